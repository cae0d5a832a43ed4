"""Words that belittle or threaten, written for this project. Content note: derogatory words.

A deliberately moderate list of general insults, verbs of hostility and words of contempt: no
slurs for a group (those are attribute words in their own right, and the lists of others hold
them: see ``harm_list: ldnoobw``).
"""

VERSION = "harm-1"

TERMS = (
    "abuse", "animal", "annoying", "attack", "awful", "backward", "banish", "barbaric", "beast",
    "beat", "bitch", "brainless", "burden", "burn", "cancer", "cheat", "cockroach", "control",
    "coward", "crazy", "criminal", "crook", "cruel", "cunning", "dangerous", "degenerate",
    "deport", "deserve to die", "despicable", "destroy", "dirt", "dirty", "disease", "disgrace",
    "disgust", "disgusting", "dishonest", "dumb", "emotional", "enemy", "evil", "exterminate",
    "fail", "fake", "fat", "feeble", "fight", "filth", "filthy", "foolish", "freak", "get rid of",
    "go back", "greedy", "gross", "hang", "hate", "hideous", "hysterical", "idiot", "idiotic",
    "ignorant", "immoral", "imbecile", "incapable", "incompetent", "inferior", "insane", "invade",
    "invader", "irrational", "kick out", "kill", "lazy", "leech", "liar", "lie", "loser",
    "maggot", "menace", "mentally ill", "monster", "moron", "murder", "murderer", "nasty",
    "nuisance", "objects", "ogre", "parasite", "pathetic", "pest", "pig", "plague", "poison",
    "primitive", "psycho", "punch", "rapist", "rat", "repulsive", "rob", "rotten", "ruin",
    "savage", "scam", "scum", "selfish", "shallow", "shameful", "shoot", "sick", "slap", "slave",
    "slob", "sly", "smelly", "snake", "steal", "stink", "stupid", "subhuman", "suffer", "swarm",
    "terrible", "terrorist", "thick", "thief", "threat", "thug", "toxic", "traitor", "trash",
    "ugly", "uncivilised", "uncivilized", "unclean", "uneducated", "unfit", "useless", "vermin",
    "vile", "violent", "waste", "weak", "wicked", "witch", "worthless", "wretched",
)  # fmt: skip

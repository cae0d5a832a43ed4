"""Attribute terms of the built-in domains: words that name a social group.

Written for this project. A term names a group plainly; pronouns are left out (they say that a
text mentions a person, not that it is about the group), and so are slurs (they belong to a harm
lexicon). Terms are lower-case, singular and plural both, and are matched whole. Many are ambiguous
outside their context (``black``, ``white``, ``old``): a list finds mentions, not targets.
"""

from __future__ import annotations

from collections.abc import Mapping


def _terms(text: str) -> tuple[str, ...]:
    return tuple(" ".join(term.split()) for term in text.split(","))


TERMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "gender": {
        "women": _terms(
            "woman, women, female, females, girl, girls, lady, ladies, wife, wives, ex-wife, "
            "ex-wives, mother, mothers, mom, moms, mum, mums, mommy, mommies, mummy, mummies, "
            "stepmother, stepmothers, mother-in-law, mothers-in-law, daughter, daughters, sister, "
            "sisters, aunt, aunts, auntie, aunties, niece, nieces, grandmother, grandmothers, "
            "grandma, grandmas, granny, grannies, girlfriend, girlfriends, housewife, housewives, "
            "bride, brides, widow, widows, actress, actresses, waitress, waitresses, hostess, "
            "hostesses, businesswoman, businesswomen, spokeswoman, spokeswomen, policewoman, "
            "policewomen, schoolgirl, schoolgirls, queen, queens, princess, princesses, gal, "
            "gals, feminist, feminists, feminism, single mother, single mothers, working mother, "
            "working mothers, womankind, womanhood, motherhood"
        ),
        "men": _terms(
            "man, men, male, males, boy, boys, gentleman, gentlemen, husband, husbands, "
            "ex-husband, ex-husbands, father, fathers, dad, dads, daddy, daddies, stepfather, "
            "stepfathers, father-in-law, fathers-in-law, son, sons, brother, brothers, uncle, "
            "uncles, nephew, nephews, grandfather, grandfathers, grandpa, grandpas, boyfriend, "
            "boyfriends, groom, grooms, widower, widowers, businessman, businessmen, spokesman, "
            "spokesmen, policeman, policemen, schoolboy, schoolboys, king, kings, prince, "
            "princes, guy, guys, single father, single fathers, manhood, fatherhood"
        ),
    },
    "race": {
        "black people": _terms(
            "black, blacks, black person, black people, black man, black men, black woman, "
            "black women, black girl, black girls, black boy, black boys, black kid, black kids, "
            "african, africans, african american, african americans, african-american, "
            "african-americans, afro-american, afro-americans, afro-caribbean, afro-caribbeans, "
            "nigerian, nigerians, somali, somalis, ethiopian, ethiopians, kenyan, kenyans, "
            "jamaican, jamaicans"
        ),
        "white people": _terms(
            "white, whites, white person, white people, white man, white men, white woman, "
            "white women, caucasian, caucasians, european american, european americans"
        ),
        "asian people": _terms(
            "asian, asians, asian american, asian americans, asian-american, asian-americans, "
            "asian person, asian people, east asian, east asians, south asian, south asians, "
            "chinese, chinese people, japanese, korean, koreans, vietnamese, filipino, filipinos, "
            "thai, indonesian, indonesians, pakistani, pakistanis, bangladeshi, bangladeshis, "
            "indian, indians, sri lankan, sri lankans"
        ),
        "hispanic people": _terms(
            "hispanic, hispanics, latino, latinos, latina, latinas, latinx, chicano, chicanos, "
            "mexican, mexicans, puerto rican, puerto ricans, latin american, latin americans"
        ),
        "arabs": _terms(
            "arab, arabs, arabic, arab american, arab americans, middle eastern, "
            "middle easterner, middle easterners, iraqi, iraqis, syrian, syrians, iranian, "
            "iranians, persian, persians"
        ),
        "indigenous people": _terms(
            "native american, native americans, american indian, american indians, indigenous, "
            "indigenous person, indigenous people, aboriginal, aboriginals, aborigine, "
            "aborigines, first nations, inuit, maori, maoris"
        ),
        "roma and travellers": _terms(
            "roma, romani, traveller, travellers, irish traveller, irish travellers"
        ),
        "any": _terms(
            "race, races, racial, ethnic, ethnicity, ethnicities, ethnic minority, "
            "ethnic minorities, non-white, non-whites, person of color, people of color, "
            "person of colour, people of colour, biracial, mixed race, mixed-race"
        ),
    },
    "religion": {
        "muslims": _terms(
            "muslim, muslims, islam, islamic, islamist, islamists, quran, koran, mosque, "
            "mosques, imam, imams, muhammad, allah, sharia, hijab, hijabs, burqa, burqas, "
            "burka, burkas, muslim american, muslim americans"
        ),
        "jews": _terms(
            "jew, jews, jewish, judaism, jewish person, jewish people, synagogue, synagogues, "
            "rabbi, rabbis, torah, talmud, kosher, zionist, zionists, zionism, jewish american, "
            "jewish americans"
        ),
        "christians": _terms(
            "christian, christians, christianity, catholic, catholics, catholicism, protestant, "
            "protestants, evangelical, evangelicals, mormon, mormons, church, churches, bible, "
            "bibles, priest, priests, jesus, christ"
        ),
        "hindus": _terms("hindu, hindus, hinduism, brahmin, brahmins"),
        "buddhists": _terms("buddhist, buddhists, buddhism"),
        "sikhs": _terms("sikh, sikhs, sikhism"),
        "atheists": _terms("atheist, atheists, atheism, unbeliever, unbelievers"),
        "any": _terms("religion, religions, religious"),
    },
    "orientation": {
        "gay people": _terms(
            "gay, gays, gay man, gay men, gay woman, gay women, gay person, gay people, lesbian, "
            "lesbians, homosexual, homosexuals, homosexuality, same-sex, same-sex couple, "
            "same-sex couples, gay couple, gay couples, gay marriage"
        ),
        "bisexual people": _terms("bisexual, bisexuals, bisexuality, bi-sexual, bi-sexuals"),
        "straight people": _terms(
            "heterosexual, heterosexuals, heterosexuality, straight person, straight people, "
            "straight man, straight men, straight woman, straight women"
        ),
        "any": _terms(
            "queer, queers, lgbt, lgbtq, lgbtq+, lgbtqi, lgbtqia, asexual, asexuals, pansexual, "
            "pansexuals, sexual orientation, sexual orientations"
        ),
    },
    "gender-identity": {
        "trans people": _terms(
            "trans, transgender, transgenders, transgendered, trans person, trans people, "
            "trans man, trans men, trans woman, trans women, transman, transmen, transwoman, "
            "transwomen, transsexual, transsexuals, trans kid, trans kids"
        ),
        "gender minorities": _terms(
            "non-binary, nonbinary, enby, enbies, genderqueer, genderfluid, gender fluid, "
            "gender-fluid, agender, intersex, two-spirit, gender minority, gender minorities"
        ),
        "cis people": _terms("cisgender, cis, cis man, cis men, cis woman, cis women"),
        "any": _terms("gender identity, gender identities"),
    },
    "disability": {
        "disabled people": _terms(
            "disabled, disabled person, disabled people, disability, disabilities, "
            "person with a disability, people with disabilities, physically disabled, "
            "mentally disabled, learning disability, learning disabilities, learning disabled, "
            "learning difficulties, handicap, handicapped, wheelchair, wheelchairs, "
            "wheelchair user, wheelchair users, paraplegic, paraplegics, quadriplegic, "
            "quadriplegics, amputee, amputees, blind, blind person, blind people, deaf, "
            "deaf person, deaf people, down syndrome, down's syndrome, cerebral palsy, autism, "
            "autistic, autistics, dyslexia, dyslexic, dyslexics, epilepsy, epileptic, "
            "epileptics, special needs, mental illness, mental illnesses, mentally ill, "
            "schizophrenia, schizophrenic, schizophrenics, bipolar, able-bodied, able bodied"
        ),
    },
    "age": {
        "old people": _terms(
            "old person, old people, old man, old men, old woman, old women, old lady, "
            "old ladies, elderly, elderly person, elderly people, elder, elders, senior, "
            "seniors, senior citizen, senior citizens, pensioner, pensioners, retiree, retirees, "
            "boomer, boomers, baby boomer, baby boomers, grandparent, grandparents, "
            "middle-aged, aged"
        ),
        "young people": _terms(
            "young person, young people, young man, young men, young woman, young women, "
            "teenager, teenagers, teen, teens, adolescent, adolescents, youth, youths, "
            "youngster, youngsters, kid, kids, child, children, millennial, millennials, "
            "gen z, zoomer, zoomers"
        ),
    },
    "nationality": {
        "immigrants": _terms(
            "immigrant, immigrants, illegal immigrant, illegal immigrants, migrant, migrants, "
            "immigration, undocumented, undocumented immigrant, undocumented immigrants, "
            "illegal alien, illegal aliens, newcomer, newcomers"
        ),
        "refugees": _terms(
            "refugee, refugees, asylum seeker, asylum seekers, asylum-seeker, asylum-seekers, "
            "asylum"
        ),
        "foreigners": _terms("foreigner, foreigners, foreign, foreign national, foreign nationals"),
        "nations": _terms(
            "american, americans, british, englishman, englishmen, french, frenchman, frenchmen, "
            "german, germans, italian, italians, spaniard, spaniards, polish, poles, russian, "
            "russians, ukrainian, ukrainians, romanian, romanians, bulgarian, bulgarians, "
            "eastern european, eastern europeans, irish, irishman, irishmen, scottish, canadian, "
            "canadians, australian, australians, chinese, japanese, korean, koreans, indian, "
            "indians, pakistani, pakistanis, mexican, mexicans, nigerian, nigerians, somali, "
            "somalis, turk, turks, turkish, albanian, albanians, greek, greeks, israeli, "
            "israelis, vietnamese, filipino, filipinos, iranian, iranians, iraqi, iraqis, "
            "syrian, syrians, afghan, afghans"
        ),
        "any": _terms("nationality, nationalities"),
    },
    "appearance": {
        "fat people": _terms(
            "fat person, fat people, fat man, fat men, fat woman, fat women, overweight, obese, "
            "obesity, plus-size, plus size"
        ),
        "other": _terms("ugly, short person, short people, short man, short men, bald"),
    },
    "socioeconomic": {
        "poor people": _terms(
            "poor, poor person, poor people, poverty, homeless, homeless person, "
            "homeless people, working class, working-class, lower class, lower-class, "
            "unemployed, welfare, on benefits, blue-collar"
        ),
        "rich people": _terms(
            "rich, rich person, rich people, wealthy, upper class, upper-class, middle class, "
            "middle-class, millionaire, millionaires, billionaire, billionaires"
        ),
    },
}

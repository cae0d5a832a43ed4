"""Controls: as many words as a rule would mask but others, and the whole text."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence

from pydantic import Field, JsonValue

from harness.data.places import DataStore
from harness.families import Masker, PluginConfig
from harness.types import MaskedPassage, MaskRequest, Span
from harness_maskers.wordlist import Wordlist, WordlistConfig
from harness_maskers.words import overlaps, word_spans


class RandomConfig(PluginConfig):
    """Which rule is imitated in number."""

    like: WordlistConfig = Field(
        WordlistConfig(), description="config of the wordlist masker whose number is taken"
    )


class RandomWords(Masker[RandomConfig]):
    """Masks as many words as `wordlist` does, chosen at random among the others.

    Counted in words, not spans: a term of two words is answered by two words. A passage that
    has fewer other words than that has all of them masked.
    """

    name = "random"
    summary = "Control: as many words as wordlist masks, chosen at random among the others."
    reference = "this project"
    control = "masks"

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """That of the imitated rule."""
        return Wordlist(self.config.like).fingerprint(data)

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        """Choose by the seed and the passage's id, so that other passages change nothing."""
        found = []
        for answer in Wordlist(self.config.like).mask(request):
            text = answer.passage.text
            taken = [(span.start, span.end) for span in answer.spans]
            words = word_spans(text)
            free = [word for word in words if not overlaps(word, taken)]
            wanted = len(words) - len(free)
            name = f"{request.seed}:{answer.passage.id}".encode()
            rng = random.Random(hashlib.sha256(name).digest())
            chosen = sorted(rng.sample(free, min(wanted, len(free))))
            spans = tuple(
                Span(start=start, end=end, kind="random", reason=f"random, seed {request.seed}")
                for start, end in chosen
            )
            found.append(MaskedPassage(passage=answer.passage, spans=spans))
        return found


class AllWords(Masker[PluginConfig]):
    """Masks every word: the method becomes gradient ascent on the whole text."""

    name = "all"
    summary = "Control: every word, which makes the method sequence-level gradient ascent."
    reference = "Jang et al. 2023, https://aclanthology.org/2023.acl-long.805"

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        """One span from the first to the last character that is not white space."""
        found = []
        for passage in request.passages:
            start = len(passage.text) - len(passage.text.lstrip())
            end = len(passage.text.rstrip())
            span = Span(start=start, end=end, kind="all", reason="the whole text")
            found.append(MaskedPassage(passage=passage, spans=(span,)))
        return found

"""``embedded``: small template-made passages that this project wrote; needs no download."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import ClassVar

from pydantic import JsonValue

from harness.data.pins import items_hash
from harness.data.places import DataStore
from harness.families import Corpus, PluginConfig
from harness.types import Label, Passage, PassageRequest, Split
from harness_corpora.choosing import choose_among
from harness_corpora.embedded_templates import CLAIMS, FRAMES, GROUPS

LABELS: tuple[Label, ...] = ("hateful", "non-hateful")
SPLITS: tuple[Split, ...] = ("train", "test")


class EmbeddedConfig(PluginConfig):
    """Nothing to set."""


class Embedded(Corpus[EmbeddedConfig]):
    """Mildly worded prejudice, and neutral sentences about the same groups.

    A passage is a frame, a group and a claim. Train and test have no frame and no claim in
    common; hateful and non-hateful passages are about the same groups, so that unlearning the
    one can be compared with unlearning the other.
    """

    name = "embedded"
    summary = "Template-made passages for gender, race and religion, written for this project"
    reference = "this project"
    domains: ClassVar[frozenset[str]] = frozenset(GROUPS)

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Hash of the passages."""
        return {"items": items_hash((p.id, p.text, p.label) for p in every_passage())}

    def passages(self, request: PassageRequest) -> Sequence[Passage]:
        """Return the passages of a domain, split and label.

        Raises:
            DataError: the domain is none of the three.
        """
        return choose_among(self.name, list(every_passage()), request, domains=self.domains)


def every_passage() -> Iterator[Passage]:
    """Yield every passage: claims within groups, each claim with each group once."""
    for domain, label, split in product(GROUPS, LABELS, SPLITS):
        frames = FRAMES[label, split]
        pairs = product(enumerate(GROUPS[domain]), enumerate(CLAIMS[domain, label, split]))
        for (g, group), (c, claim) in pairs:
            sentence = frames[(g + c) % len(frames)].format(group=group, claim=claim)
            yield Passage(
                id=f"embedded/{domain}/{label}/{split}/{g}-{c}",
                text=sentence[0].upper() + sentence[1:],
                domain=domain,
                group=group,
                label=label,
                split=split,
            )

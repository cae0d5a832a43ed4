"""Passages for a run: read once, kept, and named by a hash of what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple

from harness.boundary import read_passages
from harness.data.domains import NO_DOMAIN
from harness.data.places import DataStore
from harness.errors import DataError
from harness.planning.spec import Limits, PluginUse
from harness.plugins import Registry
from harness.types import Label, Passage, PassageRequest, Split


class Source(NamedTuple):
    """Where unlearned texts come from: a corpus, a domain of it, a label."""

    corpus: PluginUse
    domain: str
    label: Label


class Texts:
    """Reads passages through the corpora of a spec, each selection once."""

    def __init__(self, registry: Registry, data: DataStore, limits: Limits) -> None:
        self._registry = registry
        self._data = data.knowing(registry.domains)
        self._limits = limits
        self._read: dict[tuple[str, str, str, str], tuple[Passage, ...]] = {}

    def unlearned(self, source: Source) -> tuple[Passage, ...]:
        """Train passages of a source, within ``limits.passages``.

        Raises:
            DataError: the corpus has none, or cannot be read.
        """
        return self._passages(*source, "train", self._limits.passages)

    def unseen(self, source: Source, targets: Iterable[str]) -> tuple[Passage, ...]:
        """Test passages of every target domain that the source's corpus has.

        Raises:
            DataError: it has none for any of them, or cannot be read.
        """
        corpus = self._registry.get("corpus", source.corpus.use).plugin
        found: list[Passage] = []
        for domain in targets:
            if corpus.domains and domain not in corpus.domains:
                continue
            found += self._passages(
                source.corpus, domain, source.label, "test", self._limits.unseen
            )
        if not found:
            raise DataError(
                f"corpus '{source.corpus.label}' has no unseen {source.label} passage of any "
                "target domain"
            )
        return tuple(found)

    def neutral(self, corpus: PluginUse) -> tuple[Passage, ...]:
        """Plain text for methods that learn from it, within ``limits.neutral``."""
        return self._passages(corpus, NO_DOMAIN, "non-hateful", "train", self._limits.neutral)

    def _passages(
        self, use: PluginUse, domain: str, label: Label, split: Split, limit: int | None
    ) -> tuple[Passage, ...]:
        key = (use.label, domain, label, split)
        if key not in self._read:
            corpus = self._registry.create("corpus", use.use, use.config)
            request = PassageRequest(
                domain=domain,
                label=label,
                split=split,
                limit=limit,
                seed=self._limits.seed,
                data=self._data,
            )
            passages = read_passages(self._registry.get("corpus", use.use), corpus, request)
            if not passages:
                raise DataError(
                    f"corpus '{use.label}' has no {label} passage of '{domain}' in its {split} "
                    "split; choose another corpus, domain or label"
                )
            self._read[key] = passages
        return self._read[key]


def passages_hash(passages: Iterable[Passage]) -> str:
    """Hash of what passages say and how they are labelled, in order."""
    digest = hashlib.sha256()
    for p in passages:
        row = [p.id, p.text, p.domain, p.group, p.label, p.split]
        digest.update(json.dumps(row, ensure_ascii=False).encode())
        digest.update(b"\n")
    return digest.hexdigest()

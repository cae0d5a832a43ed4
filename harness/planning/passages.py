"""Passages for a run: read once, kept, and named by a hash of what they say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import NamedTuple, get_args

from harness.boundary import read_passages
from harness.data.domains import NO_DOMAIN
from harness.data.places import DataStore
from harness.errors import DataError, HarnessError
from harness.planning.spec import Limits, PluginUse, StopAt
from harness.plugins import Registry
from harness.types import Label, Passage, PassageRequest, Split

Passages = tuple[Passage, ...]


class Source(NamedTuple):
    """Where unlearned texts come from: a corpus, a domain of it, a label, and which of them.

    ``draw`` is the seed with which passages are drawn where a limit leaves some out; see
    `Texts.source`.
    """

    corpus: PluginUse
    domain: str
    label: Label
    draw: int = 0


class MaskedTexts(NamedTuple):
    """What masked test passages come from: a corpus, a masker, and the domains."""

    corpus: PluginUse
    masker: PluginUse
    domains: tuple[str, ...]


class _Selection(NamedTuple):
    """What a corpus is asked for: the fields of a request, and the corpus as it is used."""

    corpus: str
    config: str
    domain: str
    label: Label
    split: Split
    limit: int | None
    seed: int


class Texts:
    """Reads passages through the corpora of a spec, each selection once."""

    def __init__(
        self,
        registry: Registry,
        data: DataStore,
        limits: Limits,
        stop_at: StopAt | None = None,
    ) -> None:
        """Prepare to read passages.

        Args:
            registry: of the corpora.
            data: where their files are.
            limits: how many passages are used.
            stop_at: the dose of the spec, which needs so many held-out neutral texts.
        """
        self._registry = registry
        self._data = data.knowing(registry.domains)
        self._limits = limits
        self._dose_texts = stop_at.windows if stop_at is not None else 0
        self._read: dict[_Selection, Passages | HarnessError] = {}
        self._unseen: dict[tuple[_Selection, ...], Passages] = {}
        self._hashes: dict[int, tuple[Passages, str]] = {}

    def source(self, corpus: PluginUse, domain: str, label: Label, seed: int) -> Source:
        """Return the source of a fit: its seed draws the passages, unless the spec fixes them.

        Args:
            corpus: as the spec uses it.
            domain: the source domain.
            label: of the passages to unlearn.
            seed: of the fit.
        """
        return Source(corpus, domain, label, self._draw(seed, self._limits.passages))

    def unlearned(self, source: Source) -> Passages:
        """Train passages of a source, within ``limits.passages``.

        Raises:
            DataError: the corpus has none, or cannot be read.
        """
        limit = self._limits.passages
        return self._passages(
            source.corpus, source.domain, source.label, "train", limit, source.draw
        )

    def unseen(self, source: Source, targets: Iterable[str]) -> Passages:
        """Test passages of every target domain that the source's corpus has.

        They are the same for every fit, so that fits are compared on the same texts.

        Raises:
            DataError: it has none for any of them, or cannot be read.
        """
        corpus = self._registry.get("corpus", source.corpus.use).plugin
        limit = self._limits.unseen
        seed = self._limits.sample_seed
        asked = tuple(
            self._selection(source.corpus, domain, source.label, "test", limit, seed)
            for domain in targets
            if not corpus.domains or domain in corpus.domains
        )
        if asked not in self._unseen:
            passages = tuple(p for one in asked for p in self._selected(one, source.corpus))
            if not passages:
                raise DataError(
                    f"corpus '{source.corpus.label}' has no unseen {source.label} passage of any "
                    "target domain"
                )
            self._unseen[asked] = passages
        return self._unseen[asked]

    def to_mask(self, asked: MaskedTexts) -> dict[str, Passages]:
        """Return hateful and then non-hateful test passages by domain, within ``limits.unseen``.

        Domains that the corpus does not have are left out.

        Raises:
            DataError: it has none of a label for a domain that it has, or cannot be read.
        """
        corpus = self._registry.get("corpus", asked.corpus.use).plugin
        limit, seed = self._limits.unseen, self._limits.sample_seed
        by_domain = {
            domain: tuple(
                passage
                for label in get_args(Label)
                for passage in self._passages(asked.corpus, domain, label, "test", limit, seed)
            )
            for domain in asked.domains
            if not corpus.domains or domain in corpus.domains
        }
        if not by_domain:
            raise DataError(f"corpus '{asked.corpus.label}' has no passage of any target domain")
        return by_domain

    @property
    def mask_seed(self) -> int:
        """The seed with which test passages are masked."""
        return self._limits.sample_seed

    def neutral(self, corpus: PluginUse, seed: int) -> Passages:
        """Plain text for methods that learn from it, within ``limits.neutral``.

        Args:
            corpus: as the spec uses it.
            seed: of the fit, which draws the texts unless the spec fixes them.

        Raises:
            DataError: the corpus has none, or cannot be read.
        """
        limit = self._limits.neutral
        draw = self._draw(seed, limit)
        return self._passages(corpus, NO_DOMAIN, "non-hateful", "train", limit, draw)

    def held_out(self, corpus: PluginUse) -> Passages:
        """Plain text of the test split, on which the dose of a fit is measured.

        It is within ``limits.unseen``, but never fewer texts than the dose needs.

        Raises:
            DataError: the corpus has none, or cannot be read.
        """
        limit, seed = self._limits.unseen, self._limits.sample_seed
        if limit is not None:
            limit = max(limit, self._dose_texts)
        return self._passages(corpus, NO_DOMAIN, "non-hateful", "test", limit, seed)

    def hash_of(self, passages: Passages) -> str:
        """Return `passages_hash`, worked out once for each selection."""
        hashed = self._hashes.get(id(passages))
        if hashed is None:  # the passages are kept, so no other tuple can have their id
            hashed = self._hashes[id(passages)] = (passages, passages_hash(passages))
        return hashed[1]

    def _draw(self, seed: int, limit: int | None) -> int:
        """The seed with which passages are drawn; one for all where nothing is left out."""
        if limit is None:
            return 0
        return self._limits.sample_seed if self._limits.fixed_passages else seed

    def _passages(
        self,
        use: PluginUse,
        domain: str,
        label: Label,
        split: Split,
        limit: int | None,
        seed: int,
    ) -> Passages:
        return self._selected(self._selection(use, domain, label, split, limit, seed), use)

    @staticmethod
    def _selection(
        use: PluginUse, domain: str, label: Label, split: Split, limit: int | None, seed: int
    ) -> _Selection:
        config = json.dumps(use.config, sort_keys=True)
        seed = 0 if limit is None else seed
        return _Selection(use.use, config, domain, label, split, limit, seed)

    def _selected(self, asked: _Selection, use: PluginUse) -> Passages:
        if asked not in self._read:
            try:
                self._read[asked] = self._ask(asked, use)
            except HarnessError as error:  # the next cell that needs them need not ask again
                self._read[asked] = error
        answer = self._read[asked]
        if isinstance(answer, HarnessError):
            raise answer
        return answer

    def _ask(self, asked: _Selection, use: PluginUse) -> Passages:
        corpus = self._registry.create("corpus", use.use, use.config)
        request = PassageRequest(
            domain=asked.domain,
            label=asked.label,
            split=asked.split,
            limit=asked.limit,
            seed=asked.seed,
            data=self._data,
        )
        passages = read_passages(self._registry.get("corpus", use.use), corpus, request)
        if not passages:
            raise DataError(
                f"corpus '{use.label}' has no {asked.label} passage of '{asked.domain}' in its "
                f"{asked.split} split; choose another corpus, domain or label"
            )
        return passages


def passages_hash(passages: Iterable[Passage]) -> str:
    """Hash of what passages say and how they are labelled, in order."""
    digest = hashlib.sha256()
    for p in passages:
        row = [p.id, p.text, p.domain, p.group, p.label, p.split]
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()

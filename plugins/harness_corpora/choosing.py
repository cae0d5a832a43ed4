"""What the corpora share: from the passages that a data set has to those that are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from harness.data.near_duplicates import near_duplicates
from harness.data.sampling import by_rank, nested_sample
from harness.errors import NoPassageError
from harness.types import Passage, PassageRequest

T = TypeVar("T")

UNSEEN_SIMILARITY = 0.5
"""Jaccard similarity of word trigrams from which a test passage counts as seen in training."""

_AT_ONCE = 512
"""Test passages that are compared with the training passages in one pass."""


def choose(
    corpus: str,
    passages: Sequence[Passage],
    request: PassageRequest,
    *,
    domains: Iterable[str],
    train_texts: Callable[[], Iterable[str]],
) -> list[Passage]:
    """Return the passages that are asked for, in the order of the data set.

    Args:
        corpus: its name, for the error.
        passages: every passage of the domain, label and split.
        request: what is asked.
        domains: the domains that the corpus has, for the error.
        train_texts: gives the texts of the train split with the same label, of all domains.

    Raises:
        NoPassageError: there is none.
    """
    kept = chosen(passages, request, lambda p: p.id, lambda p: p.text, train_texts)
    if not kept:
        raise none_left(corpus, request, domains, len(passages))
    return kept


def chosen(
    things: Sequence[T],
    request: PassageRequest,
    name: Callable[[T], str],
    text: Callable[[T], str],
    train_texts: Callable[[], Iterable[str]],
) -> list[T]:
    """Return a nested sample of at most ``request.limit`` things in their own order.

    Of the test split, near-duplicates of training passages are left out, so that nothing close to
    what was unlearned is ever measured as unseen; see `UNSEEN_SIMILARITY`. Only as many test
    texts are compared as the limit needs.
    """
    if request.split == "train" or request.keep_seen or not things:
        return nested_sample(things, request.limit, request.seed, name)
    ranked = by_rank(things, request.seed, name) if request.limit else list(range(len(things)))
    wanted = request.limit or len(things)
    kept: list[int] = []
    step = len(things) if wanted >= len(things) else max(_AT_ONCE, 2 * wanted)
    for first in range(0, len(ranked), step):
        batch = ranked[first : first + step]
        seen = seen_in([text(things[i]) for i in batch], train_texts())
        kept += [i for i, is_copy in zip(batch, seen, strict=True) if not is_copy]
        if len(kept) >= wanted:
            break
    return [things[i] for i in sorted(kept[:wanted])]


def seen_in(texts: Sequence[str], train_texts: Iterable[str]) -> list[bool]:
    """Return for each text whether a training text is the same or nearly the same."""
    return near_duplicates(texts, train_texts, UNSEEN_SIMILARITY)


def none_left(
    corpus: str, request: PassageRequest, domains: Iterable[str], seen: int = 0
) -> NoPassageError:
    """Return the error of a corpus that has no passage of what is asked.

    Args:
        corpus: its name.
        request: what is asked.
        domains: the domains that the corpus has.
        seen: test passages that are near-duplicates of training passages.
    """
    if seen:
        return NoPassageError(
            f"corpus '{corpus}' has no unseen {request.label} passage of '{request.domain}': all "
            f"{seen} of its test split nearly repeat training passages"
        )
    return NoPassageError(
        f"corpus '{corpus}' has no {request.label} passage of '{request.domain}' in its "
        f"{request.split} split; its domains: {', '.join(sorted(set(domains))) or 'none'}"
    )


def normalised(text: str) -> str:
    """Return a text without letter case and with single spaces: equal for near-identical texts."""
    return " ".join(text.casefold().split())


def share(name: str) -> float:
    """Return a fixed number in [0, 1) for a name: the same on every machine, evenly spread."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def choose_among(
    corpus: str, passages: Sequence[Passage], request: PassageRequest, *, domains: Iterable[str]
) -> list[Passage]:
    """Do the same as `choose`, given every passage of the corpus.

    Raises:
        NoPassageError: there is none.
    """
    asked = (request.domain, request.label, request.split)
    return choose(
        corpus,
        [p for p in passages if (p.domain, p.label, p.split) == asked],
        request,
        domains=domains,
        train_texts=lambda: (
            p.text for p in passages if p.split == "train" and p.label == request.label
        ),
    )

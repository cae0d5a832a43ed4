"""What the corpora share: from candidate texts to the passages asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from harness.data.sampling import nested_sample
from harness.errors import DataError
from harness.types import Label, Passage, PassageRequest, Split


class Candidate(NamedTuple):
    """A text that a corpus could give, placed in one domain; a text may be placed in several."""

    id: str
    text: str
    domain: str
    group: str | None
    label: Label
    split: Split


def choose(
    corpus: str,
    candidates: Iterable[Candidate],
    request: PassageRequest,
    *,
    domains: Iterable[str],
    train_texts: Iterable[str],
) -> list[Passage]:
    """Return the passages asked for, in the order of the data set.

    A test text that is also a train text (of any domain or label, letter case and white space
    aside) is dropped, so nothing that is unlearned is ever measured as unseen.

    Args:
        corpus: its name, for the error.
        candidates: every text that may be asked for, in the order of the data set.
        request: what is asked.
        domains: the domains that the corpus has, for the error.
        train_texts: every text of the train split, whatever its domain.

    Raises:
        DataError: there is none.
    """
    asked = (request.domain, request.label, request.split)
    found = [c for c in candidates if (c.domain, c.label, c.split) == asked]
    if request.split == "test" and found:
        seen = {normalised(text) for text in train_texts}
        found = [c for c in found if normalised(c.text) not in seen]
    if not found:
        raise DataError(
            f"corpus '{corpus}' has no {request.label} passage of '{request.domain}' in its "
            f"{request.split} split; its domains: {', '.join(sorted(set(domains))) or 'none'}"
        )
    kept = nested_sample(found, request.limit, request.seed, lambda c: c.id)
    return [Passage(**c._asdict()) for c in kept]


def normalised(text: str) -> str:
    """A text without letter case and with single spaces: equal for near-identical texts."""
    return " ".join(text.casefold().split())


def share(name: str) -> float:
    """A fixed number in [0, 1) for a name: the same on every machine, evenly spread."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64

"""Fixing the hypotheses of a run before its first result, and refusing later changes."""

from __future__ import annotations

from datetime import datetime, timezone

from harness.errors import SpecError
from harness.planning.hypotheses import Hypotheses
from harness.storage.records import Registration
from harness.storage.store import Store


def register(store: Store, hypotheses: Hypotheses | None) -> Registration | None:
    """Return the registration to write into the index of a run.

    Hypotheses can be changed until the run has a result. Those that are added to a run with
    results are registered with the number of results that were known.

    Raises:
        SpecError: the run has results, and its hypotheses were others.
    """
    earlier = _earlier(store)
    results = sum(1 for _ in store.record_keys())
    sha256 = None if hypotheses is None else hypotheses.sha256()
    if earlier is not None and results:
        if sha256 == earlier.sha256:
            return earlier
        raise SpecError(
            f"{store.folder}: the hypotheses of this run were fixed at {earlier.fixed_at} and "
            f"{results} results exist; restore the section, or give the spec another `name`"
        )
    if sha256 is None:
        return None
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Registration(sha256=sha256, fixed_at=now, results_before=results)


def _earlier(store: Store) -> Registration | None:
    if not (store.folder / "index.json").exists():
        return None
    return store.index().registration

"""Comparing the masks behind stored results with the masks that a masker gives now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.errors import HarnessError, StoreError
from harness.planning.plan import Fit, MeasureTask, ModelPlan
from harness.running.preparing import Preparer
from harness.running.reporting import Reporter
from harness.running.units import Unit
from harness.storage.masks import StoredMasks
from harness.storage.store import Store


def outdated_by_masks(
    models: Iterable[ModelPlan],
    store: Store,
    missing: set[str],
    preparer: Preparer,
    reporter: Reporter,
) -> set[str]:
    """Return the keys of stored results whose fit had other masks than it would have now.

    Masks are made again for fits that are partly done, so that one fit never mixes masks, and for
    fits during which a service left passages unanswered, so that they can be completed.

    Args:
        models: of the plan.
        store: the results.
        missing: keys of the tasks that have no result.
        preparer: makes masks; services may be asked.
        reporter: receives the notes.
    """
    outdated: set[str] = set()
    for model in models:
        for fit in model.fits:
            if fit.masker is None or fit.problem is not None:
                continue
            used = dict(_used(fit.tasks, store, missing))
            if not used or not _must_compare(fit, set(used.values()), store, missing):
                continue
            try:
                now = StoredMasks.of(preparer.masks(fit)).sha256
            except HarnessError as error:
                reporter.note(f"{Unit(model.model, fit, ()).title}: masks not compared: {error}")
                continue
            changed = {key for key, masks in used.items() if masks != now}
            if changed:
                reporter.note(
                    f"{Unit(model.model, fit, ()).title}: {len(changed)} results were fitted with "
                    "other masks and are measured again"
                )
            outdated |= changed
    return outdated


def _used(
    tasks: Iterable[MeasureTask], store: Store, missing: set[str]
) -> Iterator[tuple[str, str]]:
    """Key and hash of the masks of the stored results of some tasks, those that say it."""
    for task in tasks:
        if task.key in missing:
            continue
        record = store.record(task.key, items=False)
        if record is not None and record.masks is not None:
            yield task.key, record.masks


def _must_compare(fit: Fit, used: set[str], store: Store, missing: set[str]) -> bool:
    partly = any(task.key in missing for task in fit.tasks)
    return partly or len(used) > 1 or not all(_complete(store, masks) for masks in used)


def _complete(store: Store, sha256: str) -> bool:
    """Whether stored masks are complete; False too where they cannot be read."""
    try:
        masks = store.masks(sha256)
    except StoreError:
        return False
    return masks is not None and masks.complete()

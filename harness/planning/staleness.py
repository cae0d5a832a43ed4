"""Stored results that a plan does not use any more, and what changed since they were measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import JsonValue

from harness.errors import StoreError
from harness.planning.plan import Plan
from harness.storage.cells import Cell
from harness.storage.store import Store

MOST_CAUSES = 8
"""Causes that are named; the rest is counted."""


class Stale(NamedTuple):
    """A change that makes stored results stale.

    Attributes:
        cause: what changed, in words.
        results: how many stored results it concerns.
    """

    cause: str
    results: int


def stale_results(store: Store, plan: Plan) -> list[Stale]:
    """Compare the index of a run with a plan for it, cell by cell.

    A stored result is stale if the plan has another key in its place. What changed is read from
    the inputs that are stored with the result.

    Returns:
        Causes, the most frequent first; a result can have several.
    """
    try:
        earlier = {_place(*at): key for *at, key in _references(store.index().cells)}
    except StoreError:
        return []
    tasks = plan.tasks()
    pairs = {
        (earlier[place], key)
        for *at, key in _references(plan.index.cells)
        if (place := _place(*at)) in earlier and earlier[place] != key and not store.has_record(key)
    }
    causes: Counter[str] = Counter()
    for old, new in pairs:
        try:
            record = store.record(old, items=False)
        except StoreError:
            continue  # damaged: it is measured again for that reason
        if record is not None:
            causes.update(set(changed_inputs(record.inputs, tasks[new].inputs)))
    return [Stale(cause, count) for cause, count in causes.most_common()]


def describe(stale: Iterable[Stale]) -> list[str]:
    """One line for each cause, for people."""
    causes = list(stale)
    lines = [
        f"{one.results} stored results are stale and will be measured again: {one.cause}"
        for one in causes[:MOST_CAUSES]
    ]
    if len(causes) > MOST_CAUSES:
        lines.append(f"{len(causes) - MOST_CAUSES} more causes of stale results are not listed")
    return lines


def changed_inputs(before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> list[str]:
    """Describe in words how the inputs of a result differ from those of a task."""
    changes = []
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) == after.get(name):
            continue
        changes += _changed_part(name, before.get(name), after.get(name))
    return changes


def _changed_part(name: str, before: JsonValue, after: JsonValue) -> list[str]:
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return [f"{_words(name)} changed from {_short(before)} to {_short(after)}"]
    what = f"{name} '{after['name']}'" if "name" in after else _words(name)
    changes = []
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if key == "code":
            changes.append(f"the code of {what} changed")
        elif key in ("fingerprint", "config", "passages"):
            changes += [f"{what}: {line}" for line in _leaves(key, old, new)]
        else:
            changes.append(f"{what}: {key} changed from {_short(old)} to {_short(new)}")
    return changes


def _leaves(path: str, before: JsonValue, after: JsonValue) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                yield from _leaves(f"{path}.{key}", before.get(key), after.get(key))
        return
    yield f"{path} changed from {_short(before)} to {_short(after)}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _short(value: JsonValue) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def _references(cells: Iterable[Cell]) -> Iterator[tuple[object, int, str, str]]:
    for cell in cells:
        for ref in cell.measures:
            yield cell.identity, ref.step, ref.evaluator, ref.key


def _place(identity: object, step: object, evaluator: object) -> tuple[object, object, object]:
    return identity, step, evaluator

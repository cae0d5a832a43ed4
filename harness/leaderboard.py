"""From the stores of one or more runs to a ranking of their methods.

A method is ranked by how far its bias scores are from their target; what it costs in language
ability stands beside it and is never mixed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.domains import NO_DOMAIN, OVERALL
from harness.matrix import Entry, Row, build_matrix
from harness.store import Store


@dataclass(frozen=True)
class Standing:
    """One method of one run, over all its sources and seeds, at each cell's last step.

    Attributes:
        distance: mean distance of the bias scores to their target, in points.
        base_distance: the same of the base model.
        in_domain: mean improvement on the source domain itself.
        transfer: mean improvement on the other domains.
        harmed: bias scores that moved away from their target, of `compared`.
        cost: change of the language metrics, by label, as a mean over cells.
        failed: failed entries.
    """

    run: str
    model: str
    method: str
    control: bool
    distance: float | None
    base_distance: float | None
    in_domain: float | None
    transfer: float | None
    harmed: int
    compared: int
    cost: dict[str, tuple[float, float]]
    failed: int
    models: int

    @property
    def improvement(self) -> float | None:
        """How much nearer to the target than the base."""
        if self.distance is None or self.base_distance is None:
            return None
        return self.base_distance - self.distance


def build_leaderboard(stores: Sequence[Store], *, step: int | None = None) -> list[Standing]:
    """Rank methods by the mean distance of their bias scores to the target; see `Standing`.

    Methods without a distance (all failed) stand last.
    """
    standings: list[Standing] = []
    for store in stores:
        matrix = build_matrix(store, step=step)
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in matrix.rows:
            method = " + ".join(
                part
                for part in (row.cell.debiaser, row.cell.masker, row.cell.corpus, _label(row))
                if part
            )
            groups.setdefault((row.cell.model, method), []).append(row)
        for (model, method), rows in groups.items():
            standings.append(_standing(matrix.name, model, method, rows))
    return sorted(standings, key=lambda s: (s.distance is None, s.distance or 0.0, s.method))


def _label(row: Row) -> str | None:
    return None if row.cell.label == "hateful" else row.cell.label


def _standing(run: str, model: str, method: str, rows: Sequence[Row]) -> Standing:
    measured = [(row, e) for row in rows for e in row.entries if e.status == "measured"]
    bias = [(row, e) for row, e in measured if e.towards_target and e.improvement is not None]
    distances: list[float] = []
    bases: list[float] = []
    inside: list[float] = []
    outside: list[float] = []
    harmed = 0
    for row, entry in bias:
        assert entry.after is not None
        assert entry.base is not None
        assert entry.after.value is not None
        assert entry.base.value is not None
        assert entry.improvement is not None
        distances.append(entry.after.direction.distance(entry.after.value))
        bases.append(entry.base.direction.distance(entry.base.value))
        (inside if entry.column.domain == row.cell.source else outside).append(entry.improvement)
        harmed += entry.improvement < 0
    return Standing(
        run=run,
        model=model,
        method=method,
        control=all(row.cell.control for row in rows),
        distance=_mean(distances),
        base_distance=_mean(bases),
        in_domain=_mean(inside),
        transfer=_mean(outside),
        harmed=harmed,
        compared=len(bias),
        cost=_cost(measured),
        failed=sum(e.status == "failed" for row in rows for e in row.entries),
        models=len({row.cell.fit_key for row in rows}),
    )


def _cost(measured: Sequence[tuple[Row, Entry]]) -> dict[str, tuple[float, float]]:
    """Mean value and mean change of the metrics that are about no domain."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _, entry in measured:
        if entry.column.domain not in (NO_DOMAIN, OVERALL) or entry.after is None:
            continue
        if entry.after.value is not None and entry.change is not None:
            label = f"{entry.column.metric} {entry.column.protocol}"
            found.setdefault(label, []).append((entry.after.value, entry.change))
    return {
        label: (sum(v for v, _ in pairs) / len(pairs), sum(c for _, c in pairs) / len(pairs))
        for label, pairs in found.items()
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

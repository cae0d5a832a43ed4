"""How much results differ between mask rules, compared with how much they differ between fits.

The paper's masks come from GPT-4, so nobody knows how much the choice of the words matters. A run
with several maskers answers that for its endpoints: where the spread between rules does not exceed
the spread between fits of one rule, the choice matters less than the random seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from harness.analysis.corrections import ALPHA, adjust
from harness.analysis.effects import Effect, Estimated, combined, estimated
from harness.analysis.matrix import Matrix, Row
from harness.analysis.tables import Evidence, Table, TableCell, TableColumn, TableRow
from harness.data.domains import NO_DOMAIN
from harness.storage.cells import Cell, is_control
from harness.storage.reader import Column


@dataclass(frozen=True)
class RulePair:
    """The difference of two rules at one endpoint.

    Attributes:
        first: label of a masker.
        second: label of another.
        difference: change under `first` minus change under `second`, with a 95 % interval over
            items and fits (both random) where there are at least three fits of each; else over
            items, as `difference.covers` says.
        p: uncorrected two-sided p-value of "no difference"; None: too few units.
        adjusted_p: corrected by Holm over the pairs of this endpoint.
    """

    first: str
    second: str
    difference: Estimated
    p: float | None
    adjusted_p: float | None

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below 0.05."""
        return self.adjusted_p is not None and self.adjusted_p < ALPHA


@dataclass(frozen=True)
class RuleSpread:
    """One endpoint under several mask rules.

    Attributes:
        rules: labels of the maskers with the change of the endpoint under each.
        between_rules: standard deviation of the true changes of the rules, estimated as the root
            of half the mean squared difference of two rules less the variance of that difference;
            0 where that is negative. None: the variance is not known.
        between_fits: standard deviation of the change between fits of one rule, pooled over the
            rules; None where no rule has two fits.
        pairs: every two rules.
    """

    rules: Mapping[str, float]
    between_rules: float | None
    between_fits: float | None
    pairs: tuple[RulePair, ...]

    @property
    def ratio(self) -> float | None:
        """How many times as far the endpoint moves between rules as between fits."""
        if self.between_rules is None or not self.between_fits:
            return None
        return self.between_rules / self.between_fits

    @property
    def widest(self) -> RulePair:
        """The two rules that differ the most."""
        return max(self.pairs, key=lambda pair: abs(pair.difference.value))


@dataclass(frozen=True)
class RuleRow:
    """The row of a table: a cell without its masker, a column, and the spread there."""

    cell: Cell
    step: int
    column: Column
    spread: RuleSpread


def spread_over_rules(effects: Mapping[str, Effect]) -> RuleSpread:
    """Compare the changes of one endpoint under several rules.

    Args:
        effects: of each masker by its label. The rules share the items; their fits are separate.

    Raises:
        ValueError: fewer than two rules.
    """
    if len(effects) < 2:
        raise ValueError("a comparison of mask rules needs two of them")
    names = list(combinations(effects, 2))
    differences = [combined([(1.0, effects[a]), (-1.0, effects[b])]) for a, b in names]
    p_values = [effect.p for effect in differences]
    tested = [k for k, p in enumerate(p_values) if p is not None]
    corrected = adjust([p for p in p_values if p is not None], "holm")
    adjusted = dict(zip(tested, corrected, strict=True))
    pairs = tuple(
        RulePair(a, b, estimated(effect.value, effect), p_values[k], adjusted.get(k))
        for k, ((a, b), effect) in enumerate(zip(names, differences, strict=True))
    )
    return RuleSpread(
        rules={name: effect.value for name, effect in effects.items()},
        between_rules=_between_rules(differences),
        between_fits=_between_fits(list(effects.values())),
        pairs=pairs,
    )


def mask_rules(matrix: Matrix) -> tuple[RuleRow, ...]:
    """Compare the maskers of a run: a row for each method, source and column that has several.

    Maskers that are controls (such as `random`) are not rules, and are left out.

    Args:
        matrix: of the run; its rows over fits are compared.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in matrix.pooled:
        if row.cell.masker is not None and not is_control(row.cell):
            method = row.cell.identity.without("masker", "seed")
            groups.setdefault((method, row.step), []).append(row)
    rows = []
    for members in groups.values():
        for column in matrix.columns:
            effects = {
                str(row.cell.masker): entry.effect
                for row in members
                if (entry := row.entry(column)) is not None and entry.effect is not None
            }
            if len(effects) > 1:
                spread = spread_over_rules(effects)
                rows.append(RuleRow(members[0].cell, members[0].step, column, spread))
    return tuple(rows)


def rule_table(matrix: Matrix) -> Table | None:
    """Build the table of `mask_rules`; None where no method was run under several rules."""
    rows = mask_rules(matrix)
    if not rows:
        return None
    return Table(
        key="mask-rules",
        title="Mask rules: how far results move between rules and between fits",
        columns=_COLUMNS,
        rows=tuple(_table_row(row, matrix) for row in rows),
        legend=_LEGEND,
        heads=3,
    )


_COLUMNS = (
    TableColumn("method", "debiased by"),
    TableColumn("source", "from"),
    TableColumn("endpoint", "endpoint"),
    TableColumn("unit", "unit"),
    TableColumn("between_rules", "between rules", form="number"),
    TableColumn("between_fits", "between fits", form="number"),
    TableColumn("pair", "furthest apart"),
    TableColumn("difference", "difference", form="effect"),
)

_LEGEND = (
    "Between rules: estimated standard deviation of the true change over mask rules; the sampling "
    "error of items and fits is subtracted.",
    "Between fits: standard deviation of the change over fits of one rule.",
    "Difference: of the two rules that are furthest apart, with a 95 % interval over items and "
    "fits where each rule has three fits, else over items. A star: significant after Holm's "
    "correction over the pairs of rules.",
)


def _table_row(row: RuleRow, matrix: Matrix) -> TableRow:
    spread, widest = row.spread, row.spread.widest
    method = str(row.cell.debiaser)
    if len({cell.cell.model for cell in matrix.pooled}) > 1:
        method = f"{row.cell.model}: {method}"
    evidence: Evidence = "untested"
    if widest.adjusted_p is not None:
        evidence = "significant" if widest.significant else "not significant"
    cells = (
        TableCell(text=method),
        TableCell(text=row.cell.source or ""),
        TableCell(text=_score(row.column)),
        TableCell(text=matrix.unit(row.column).change),
        _number(spread.between_rules, "too few items for a variance"),
        _number(spread.between_fits, "one fit for each rule"),
        TableCell(text=f"{widest.first} − {widest.second}"),
        TableCell(
            value=widest.difference.value,
            interval=widest.difference.interval,
            interval_covers=widest.difference.covers,
            p=widest.p,
            adjusted_p=widest.adjusted_p,
            evidence=evidence,
        ),
    )
    return TableRow(
        "method",
        cells,
        model=row.cell.model,
        method=method,
        source=row.cell.source or "",
        step=row.step,
    )


def _score(column: Column) -> str:
    """Name a score by its metric and evaluator, and by its domain if it has one."""
    name = f"{column.metric} ({column.evaluator})"
    return name if column.domain == NO_DOMAIN else f"{name}, {column.domain}"


def _number(value: float | None, reason: str) -> TableCell:
    return TableCell(absent="–", note=reason) if value is None else TableCell(value=value)


def _between_rules(differences: list[Effect]) -> float | None:
    """See `RuleSpread.between_rules`: for two rules with true changes drawn with variance v, the
    squared difference of the estimates has the expectation 2 v plus the difference's variance.
    """
    squares = []
    for effect in differences:
        if effect.variance is None:
            return None
        squares.append(effect.value**2 - float(effect.variance.value))
    return math.sqrt(max(0.0, math.fsum(squares) / len(squares) / 2))


def _between_fits(effects: list[Effect]) -> float | None:
    """See `RuleSpread.between_fits`."""
    squares, freedom = 0.0, 0
    for effect in effects:
        if len(effect.blocks) != 1:
            continue
        values = effect.blocks[0].values
        squares += float(((values - values.mean()) ** 2).sum())
        freedom += len(values) - 1
    return math.sqrt(squares / freedom) if freedom else None

"""What the page of a run says, as plain data: numbers formatted, drawings made, nothing in HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import plotdata
from harness.controls import is_control
from harness.matrix import Column, Entry, Matrix, Row
from harness.plotdata import Fit, Panel, SpreadPanel, TradeOff
from harness.reading import RunReader
from harness.render import svg
from harness.render.sheets import (
    Absent,
    Score,
    Sheet,
    interval,
    matrix_sheets,
    method_name,
    number,
    signed,
)
from harness.reported import Publication, ReportedNumber
from harness.transfer import Estimated, transfers

LEVELS = 5
"""Shades of the heat map on either side of no change."""

ITEMS_SHOWN = 6


@dataclass(frozen=True)
class Table:
    """A table of text: the first column heads its rows; ``left`` columns are flush left."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1


@dataclass(frozen=True)
class Figure:
    """A drawing, its caption, and the numbers in it."""

    id: str
    title: str
    drawing: str
    table: Table
    caption: str


@dataclass(frozen=True)
class HeatCell:
    """A cell of the heat map, ready to print."""

    value: str
    change: str = ""
    interval: str = ""
    mark: str = "same"
    level: int = 0
    significant: bool = False
    own: bool = False
    reason: str = ""


@dataclass(frozen=True)
class HeatLine:
    """A row of the heat map."""

    method: str
    source: str
    step: int
    control: bool
    base: bool
    cells: tuple[HeatCell, ...]


@dataclass(frozen=True)
class HeatMap:
    """A sheet with shades; ``reach`` is the improvement of the darkest."""

    sheet: Sheet
    reach: float
    lines: tuple[HeatLine, ...]


def heat_maps(matrix: Matrix) -> list[HeatMap]:
    """The matrix with each cell's shade, on one scale a sheet."""
    found = []
    for sheet in matrix_sheets(matrix):
        scores = [s for line in sheet.lines for s in line.scores if isinstance(s, Score)]
        reach = max((abs(s.gain) for s in scores if s.gain is not None), default=0.0)
        lines = tuple(
            HeatLine(
                line.method,
                line.source,
                line.step,
                line.control,
                line.base,
                tuple(_heat_cell(score, reach) for score in line.scores),
            )
            for line in sheet.lines
        )
        found.append(HeatMap(sheet, reach, lines))
    return found


def _heat_cell(score: Score | Absent, reach: float) -> HeatCell:
    if isinstance(score, Absent):
        return HeatCell("–" if score.what == "no value" else score.what, reason=score.reason or "")
    level = 0
    if score.gain and reach > 0:
        level = max(1, min(LEVELS, round(abs(score.gain) / reach * LEVELS)))
    return HeatCell(
        value=number(score.value),
        change="" if score.change is None else signed(score.change),
        interval=interval(score.low, score.high, 1),
        mark=score.mark,
        level=level,
        significant=score.significant,
        own=score.own,
    )


# -- what stands at the top ------------------------------------------------------------------


def summary(matrix: Matrix) -> list[str]:
    """The run in a few sentences, harm told as loudly as gain."""
    rows = [row for row in matrix.rows if not is_control(row.cell)]
    pairs = [(row, e) for row in rows for e in row.entries if e.status == "measured"]
    bias = [(r, e) for r, e in pairs if e.towards_target and e.improvement is not None]
    found = []
    if bias:
        inside = [e for r, e in bias if e.column.domain == r.cell.source]
        outside = [e for r, e in bias if e.column.domain != r.cell.source]
        for what, own in (("on the source itself", inside), ("on other domains", outside)):
            if own:
                found.append(_counted(what, own))
        found.append(_standing(bias, matrix))
    for label, changes in _language(pairs).items():
        low, high = min(changes), max(changes)
        span = f"{signed(low, 1)} %" if low == high else f"{signed(low, 1)} to {signed(high, 1)} %"
        found.append(f"Language ability: {label} changed by {span}.")
    detectable = [e.detectable for _, e in bias if e.detectable is not None]
    if detectable:
        found.append(
            f"These data are unlikely to show changes under {min(detectable):.1f} to "
            f"{max(detectable):.1f} points (paired test, 80 % power, 10 % of items flipping)."
        )
    seeds = {row.cell.seed for row in rows if row.cell.seed is not None}
    if len(seeds) == 1:
        found.append(
            "Every method was fitted with one seed: how much another seed would change these "
            "numbers is not known."
        )
    warned = sum(e.warning is not None for _, e in bias)
    if warned:
        found.append(
            f"In {warned} of {len(bias)} scores the aggregate moved but the balanced mean of its "
            "halves did not: rarer group words, not less stereotyping, may be behind those."
        )
    return found


def _counted(what: str, entries: Sequence[Entry]) -> str:
    gains = [e.improvement for e in entries if e.improvement is not None]
    up, down = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    return (
        f"{what[0].upper()}{what[1:]}, {up} of {len(gains)} bias scores came nearer to their "
        f"ideal and {down} went further from it (mean {signed(sum(gains) / len(gains))} points)."
    )


def _standing(bias: Sequence[tuple[Row, Entry]], matrix: Matrix) -> str:
    stands = [e for _, e in bias if e.significant and e.improvement]
    better = sum((e.improvement or 0.0) > 0 for e in stands)
    correction = {"bh": "Benjamini-Hochberg", "holm": "Holm"}[matrix.correction]
    return (
        f"After {correction} correction over all cells, {better} of the gains and "
        f"{len(stands) - better} of the harms are significant at 0.05."
    )


def _language(pairs: Sequence[tuple[Row, Entry]]) -> dict[str, list[float]]:
    """Relative changes of the metrics that have no target, in per cent, by name."""
    found: dict[str, list[float]] = {}
    for _, entry in pairs:
        if entry.towards_target or entry.change is None or entry.base is None:
            continue
        if entry.base.value:
            label = f"{entry.column.metric} ({entry.column.evaluator})"
            found.setdefault(label, []).append(100.0 * entry.change / entry.base.value)
    return found


def transfer_table(matrix: Matrix) -> Table | None:
    """Transfer of each method by each bias metric: a ratio, or the reason why there is none."""
    rows = []
    for own in transfers(matrix):
        if own.control:
            continue
        ratio = own.ratio
        rows.append(
            (
                own.method,
                f"{own.metric} ({own.evaluator}, {own.protocol})",
                _mean(own.on_sources),
                _mean(own.on_targets),
                number(ratio.value) if ratio.value is not None else "undefined",
                interval(*ratio.interval) if ratio.interval else "–",
                f"{own.gained} ({own.surely_gained})",
                f"{own.harmed} ({own.surely_harmed})",
                ratio.reason or "",
            )
        )
    header = ("method", "score", "on the source", "on other domains", "ratio", "95 % interval",
              "gained (surely)", "harmed (surely)", "why")  # fmt: skip
    return Table("Transfer", header, tuple(rows), left=2) if rows else None


def _mean(value: Estimated | None) -> str:
    if value is None:
        return "–"
    bounds = interval(*value.interval) if value.interval else ""
    return f"{signed(value.value)} {bounds}".strip()


# -- figures ---------------------------------------------------------------------------------


def styles_of(reader: RunReader) -> svg.Styles:
    """One colour a source and one dash a method, the same in every figure of the page."""
    known = list(plotdata.fits(reader))
    return svg.Styles([f.source or "" for f in known], [f.method for f in known])


def bias_figures(
    panels: Mapping[str, Sequence[Panel]], styles: svg.Styles
) -> list[tuple[str, list[Figure]]]:
    """Curves by target domain."""
    return [
        (
            domain,
            [_curves(f"bias-{i}-{j}", panel, styles, domain) for j, panel in enumerate(own)],
        )
        for i, (domain, own) in enumerate(panels.items())
    ]


def perplexity_figures(panels: Sequence[Panel]) -> tuple[list[Figure], svg.Styles]:
    """Figure 1 of the paper, a panel a fit, with colours of their own."""
    labels = list(dict.fromkeys(curve.group for panel in panels for curve in panel.curves))
    styles = svg.Styles(labels, labels)
    figures = [_curves(f"perplexity-{i}", panel, styles) for i, panel in enumerate(panels)]
    return figures, styles


def _curves(name: str, panel: Panel, styles: svg.Styles, domain: str = "") -> Figure:
    title = f"{domain}: {panel.title}" if domain else panel.title
    steps = sorted({p.step for curve in panel.curves for p in curve.points})
    rows = []
    for curve in panel.curves:
        at = {p.step: p for p in curve.points}
        cells = []
        for step in steps:
            point = at.get(step)
            range_ = interval(point.low, point.high) if point else ""
            cells.append(f"{number(point.value)} {range_}".strip() if point else "–")
        rows.append((curve.label, *cells))
    table = Table(title, ("", *(f"step {s}" for s in steps)), tuple(rows))
    return Figure(name, title, svg.curves(name, panel, styles), table, panel.title)


def trade_off_figure(plot: TradeOff, styles: svg.Styles) -> Figure:
    """Bias against language ability."""
    front = set(plot.front)
    rows = []
    if plot.base:
        rows.append(_reached("base", 0, *plot.base, plot.base in front))
    for fit, way in plot.paths:
        rows += [_reached(fit.label, step, x, y, (x, y) in front) for step, x, y in way]
    header = ("method", "step", plot.metric, "mean distance", "Pareto front")
    title = "Bias against language ability"
    table = Table(title, header, tuple(rows))
    drawing = svg.scatter("trade-off", plot, styles)
    caption = f"mean distance of the bias scores by {plot.metric}"
    return Figure("trade-off", title, drawing, table, caption)


def _reached(name: str, step: int, x: float, y: float, front: bool) -> tuple[str, ...]:
    return (name, str(step), number(x), number(y), "yes" if front else "no")


def spread_figures(panels: Sequence[SpreadPanel], styles: svg.Styles) -> list[Figure]:
    """Distributions of item changes."""
    found = []
    for i, panel in enumerate(panels):
        c = panel.column
        domain = f"{c.domain}: " if c.domain != "none" else ""
        title = f"{domain}{c.metric}, {c.evaluator} ({c.protocol})"
        rows = []
        for s in panel.spreads:
            flips = ("–", "–") if s.gained is None else (str(s.gained), str(s.lost))
            rows.append((s.fit.label, *(signed(q, 3) for q in s.quantiles()), *flips))
        header = ("", "5 %", "25 %", "median", "75 %", "95 %", "0 to 1", "1 to 0")
        drawing = svg.ridges(f"items-{i}", panel, styles, title)
        found.append(Figure(f"items-{i}", title, drawing, Table(title, header, tuple(rows)), title))
    return found


def halves_figures(matrix: Matrix) -> list[Figure]:
    """Each half of a paired suite and their balanced mean, before and after."""
    found: list[Figure] = []
    for column in matrix.columns:
        drawn: list[tuple[str, list[svg.Move]]] = []
        rows: list[tuple[str, ...]] = []
        ideal = 50.0
        for row in matrix.rows:
            entry = row.entry(column)
            if entry is None or not entry.halves or is_control(row.cell):
                continue
            heading = method_name(row) + (f" from {row.cell.source}" if row.cell.source else "")
            own = []
            cells = []
            parts = [(h.name, h.base, h.after) for h in entry.halves]
            if entry.balanced:
                parts.append(("balanced", entry.balanced.base, entry.balanced.after))
            parts.append(("all", entry.base, entry.after))  # type: ignore[arg-type]
            for name, base, after in parts:
                if base is None or after is None or base.value is None or after.value is None:
                    continue
                ideal = base.direction.target if base.direction.target is not None else ideal
                own.append(svg.Move(name, base.value, after.value))
                cells.append(
                    (
                        f"{name} ({after.n})",
                        number(base.value),
                        number(after.value),
                        signed(after.value - base.value),
                    )
                )
            if own:
                drawn.append((heading, own))
                rows += [(heading, *cell, entry.warning or "") for cell in cells]
        if drawn:
            title = f"{column.domain}: {column.evaluator} ({column.protocol})"
            name = f"halves-{len(found)}"
            header = ("method", "half (items)", "before", "after", "change", "warning")
            table = Table(title, header, tuple(rows), left=2)
            found.append(Figure(name, title, svg.moves(name, drawn, ideal, title), table, title))
    return found


# -- items -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class ItemList:
    """The items of a comparison that flipped, biggest move first."""

    title: str
    flipped: int
    rows: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    """Id, margin before, margin after, and the sentences if they could be found."""


def item_lists(
    reader: RunReader, matrix: Matrix, texts: Mapping[str, tuple[str, ...]]
) -> list[ItemList]:
    """For each bias score of each method the items whose decision flipped, biggest first."""
    found = []
    seen: set[tuple[Fit, Column]] = set()
    for row in matrix.rows:
        fit = plotdata.fit_of(row.cell)
        for entry in row.entries:
            key = (fit, entry.column)
            if fit.control or not entry.towards_target or entry.after is None or key in seen:
                continue
            changes = plotdata.item_changes(reader, row.cell, row.step, entry.column)
            flipped = [c for c in changes[2] if c.flipped] if changes else []
            if not flipped:
                continue
            seen.add(key)
            flipped.sort(key=lambda c: (-abs(c.change), c.id))
            rows = tuple(
                (c.id, signed(c.before, 3), signed(c.after, 3), texts.get(c.id, ()))
                for c in flipped[:ITEMS_SHOWN]
            )
            title = f"{fit.label}: {entry.column.domain}, {entry.column.evaluator}"
            found.append(ItemList(title, len(flipped), rows))
    return found


# -- reported numbers ------------------------------------------------------------------------


def reported_tables(
    publications: Sequence[Publication], matrix: Matrix
) -> list[tuple[Publication, Table]]:
    """Published numbers on the data sets and domains that the run measured, as they stand."""
    wanted = {(c.evaluator, c.domain) for c in matrix.columns}
    found = []
    for publication in publications:
        own = [
            n for n in publication.numbers
            if (n.evaluator.removesuffix("-test"), n.domain) in wanted
        ]  # fmt: skip
        if not own:
            continue
        columns = sorted(
            {(n.evaluator, n.metric, n.domain, n.protocol) for n in own},
            key=lambda c: (c[0], c[1], c[2]),
        )
        lines: dict[tuple[str, str], dict[Any, ReportedNumber]] = {}
        for n in own:
            # a published base has one row, whatever domain its table stands in
            name = n.method or f"{n.model} (base)"
            step = "" if not n.step else str(n.step)
            lines.setdefault((name, step), {})[n.evaluator, n.metric, n.domain, n.protocol] = n
        rows = tuple(
            (
                name + (f", step {step}" if step else ""),
                *(_printed(values.get(column)) for column in columns),
            )
            for (name, step), values in lines.items()
        )
        header = (
            "",
            *(
                f"{evaluator}, {domain} ({protocol})"
                if domain not in ("none", "overall")
                else f"{metric} ({protocol})"
                for evaluator, metric, domain, protocol in columns
            ),
        )
        found.append((publication, Table(publication.citation, header, rows)))
    return found


def _printed(value: ReportedNumber | None) -> str:
    if value is None:
        return "–"
    return f"{value.value:.2f}" + ("†" if value.note and "as printed" in value.note else "")

"""The page of a run: one HTML file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from harness import __version__
from harness.analysis.halves import halves_panels
from harness.analysis.item_changes import spread_panels
from harness.analysis.leaderboard import Leaderboard
from harness.analysis.matrix_builder import Matrix
from harness.analysis.reported import Publication
from harness.analysis.step_curves import RunCurves, fit_of
from harness.errors import DataError
from harness.render import palette
from harness.render.failures import by_cause
from harness.render.figures.catalogue import run_figures
from harness.render.page import lists as page_lists
from harness.render.page import tables as page
from harness.render.tables.leaderboard_table import LEADERBOARD_NOTE, NETS_NOTE, SEEDS_NOTE
from harness.render.tables.matrix_table import ANY_NOTE, matrix_note
from harness.render.tables.numbers import interval, number, signed
from harness.storage.reader import RunReader
from harness.storage.records import Provenance, Record

INSTALL = "pip install 'bias-transfer-harness[report]'"


@dataclass(frozen=True)
class Sources:
    """What a page is made from."""

    reader: RunReader
    matrix: Matrix
    board: Leaderboard
    publications: Sequence[Publication]
    references: Mapping[tuple[str, str], str]
    """Reference of each plugin that is installed, by family and name."""
    texts: Mapping[str, Mapping[str, str]]
    """Sentences by item id, as far as they could be found again."""


def html_page(sources: Sources) -> str:
    """Return the whole page.

    Raises:
        DataError: Jinja2 or matplotlib is not installed.
    """
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError:
        raise DataError(f"the page needs Jinja2; {INSTALL}") from None
    folder = files("harness.render.page") / "templates"
    environment = Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup(f"{palette.css()}\n{(folder / 'report.css').read_text('utf-8')}")  # no data
    environment.filters["capital"] = lambda text: text[:1].upper() + text[1:]
    # figures escape every text that they are given
    environment.filters["drawing"] = lambda figure: Markup(figure.inline())
    return environment.get_template("report.html.j2").render(style=style, **_context(sources))


def _context(sources: Sources) -> dict[str, Any]:
    reader, matrix = sources.reader, sources.matrix
    index = reader.index
    curves = RunCurves(reader, matrix)
    figures = run_figures(curves, halves_panels(matrix), spread_panels(reader, matrix))
    records = list(_records(reader))
    description = index.spec.get("description")
    return {
        "name": index.name,
        "description": description if isinstance(description, str) else "",
        "version": __version__,
        "created": index.created_at[:16].replace("T", " "),
        "facts": facts(reader, curves),
        "summary": page.summary(matrix),
        "heat_maps": page.heat_maps(matrix),
        "each_seed": page.heat_maps(matrix, each_seed=True) if matrix.seeds else [],
        "matrix_note": matrix_note(matrix),
        "any_note": ANY_NOTE,
        "notes": matrix.notes,
        "failures": by_cause(matrix.failures),
        "seeds": _seeds_table(matrix),
        "transfer": page.transfer_tables(matrix),
        "figures": figures,
        "stepwise": bool(curves.stepwise),
        "merged": curves.trade_off is not None and curves.trade_off.merged,
        "board": page.board_tables(sources.board),
        "leaderboard_note": LEADERBOARD_NOTE,
        "nets_note": NETS_NOTE,
        "seeds_note": SEEDS_NOTE,
        "items": page_lists.item_lists(reader, matrix, sources.texts),
        "items_shown": page_lists.ITEMS_SHOWN,
        "reported": page_lists.reported_tables(sources.publications, matrix),
        "spec": yaml.safe_dump(index.spec, sort_keys=False, allow_unicode=True, width=88),
        "provenance": provenance(records),
        "plugins": _plugins(records, sources.references),
        "bibtex": bibtex(),
    }


def facts(reader: RunReader, curves: RunCurves) -> list[tuple[str, str]]:
    """What was run, in a few words each."""
    index = reader.index
    debiased = [cell for cell in index.cells if not cell.is_base]
    stepwise = [cell for cell in debiased if max(cell.steps) > 1]
    fits = curves.fits

    def listed(values: Iterable[object]) -> str:
        return ", ".join(str(v) for v in dict.fromkeys(values)) or "none"

    found = [
        ("model", listed(cell.model for cell in index.cells)),
        ("methods", listed(fit.method for fit in fits if not fit.control)),
        ("controls", listed(fit.method for fit in fits if fit.control)),
        ("debiased in", listed(cell.source for cell in debiased if cell.source)),
        ("measured in", listed(index.targets)),
        ("seeds", listed(cell.seed for cell in debiased if cell.seed is not None)),
        ("steps", listed(sorted({s for c in stepwise for s in c.steps if s > 0}))),
    ]
    return [(name, value) for name, value in found if value != "none"]


def _seeds_table(matrix: Matrix) -> page.Table | None:
    rows = []
    for row in matrix.seeds:
        for entry in row.entries:
            change, gain = entry.change, entry.improvement
            rows.append(
                (
                    fit_of(row.cell, matrix.names).label,
                    f"{entry.column.domain}, {entry.column.evaluator}",
                    str(change.n),
                    f"{signed(change.mean)} ± {number(change.sd)}",
                    signed(gain.mean),
                    interval(*gain.interval) if gain.interval else "–",
                    "yes" if entry.adjusted_p is not None and entry.adjusted_p < 0.05 else "no",
                )
            )
    if not rows:
        return None
    header = ("method", "target", "seeds", "change, mean ± sd", "improvement", "95 % interval",
              "significant")  # fmt: skip
    return page.Table("Over seeds", header, tuple(rows), left=2)


# -- where the numbers come from -------------------------------------------------------------


def _records(reader: RunReader) -> Iterable[Record]:
    keys = dict.fromkeys(ref.key for cell in reader.index.cells for ref in cell.measures)
    for key in keys:  # not every file of the folder: one of another run proves nothing
        record = reader.store.record(key, items=False)
        if record is not None:
            yield record


def provenance(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Software, machine, time and tokens behind the run's records."""

    def every(values: Iterable[object]) -> str:
        return ", ".join(sorted({str(v) for v in values if v is not None})) or "unknown"

    known: list[Provenance] = [record.provenance for record in records]
    packages: dict[str, set[str]] = {}
    for own in known:
        for name, version in own.packages.items():
            packages.setdefault(name, set()).add(version)
    seconds: dict[str, float] = {}
    for record in records:
        for phase, value in record.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + value
    tokens = sum(record.tokens or 0 for record in records)
    found = [
        ("records", str(len(records))),
        ("made", _from_to([record.created_at for record in records])),
        ("harness", every(own.harness_version for own in known)),
        (
            "commit",
            every(
                f"{own.commit[:12]}{' with uncommitted changes' if own.dirty else ''}"
                for own in known
                if own.commit
            ),
        ),
        ("Python", every(own.python for own in known)),
        ("platform", every(own.platform for own in known)),
        ("device", every(own.device for own in known)),
        ("packages", ", ".join(f"{n} {'/'.join(sorted(v))}" for n, v in sorted(packages.items()))),
        ("wall time", ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())),
        ("tokens scored", f"{tokens:,}"),
    ]
    return [(name, value) for name, value in found if value]


def _from_to(times: Sequence[str]) -> str:
    if not times:
        return ""
    first, last = min(times)[:16].replace("T", " "), max(times)[:16].replace("T", " ")
    return first if first == last else f"{first} to {last}"


def _plugins(records: Sequence[Record], references: Mapping[tuple[str, str], str]) -> page.Table:
    found = {
        (p.family, p.name, p.distribution, p.version)
        for record in records
        for p in record.provenance.plugins
    }
    rows = tuple(
        (name, family, f"{distribution} {version}", references.get((family, name), "–"))
        for family, name, distribution, version in sorted(found)
    )
    return page.Table("Plugins", ("plugin", "family", "from", "reference"), rows, left=4)


def bibtex() -> str:
    """Entries for this software and for the paper whose experiment it runs."""
    return f"""@software{{bias_transfer_harness,
  title   = {{bias-transfer-harness}},
  author  = {{{{The bias-transfer-harness developers}}}},
  version = {{{__version__}}}
}}

@article{{lu2024transfer,
  title  = {{Towards Transfer Unlearning: Empirical Evidence of Cross-Domain Bias Mitigation}},
  author = {{Lu, Huimin and Isonuma, Masaru and Mori, Junichiro and Sakata, Ichiro}},
  year   = {{2024}}
}}
"""

"""Software, machine, time and plugins behind the records of a run, and how to cite it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness import __version__
from harness.render.figures.canvas import Numbers
from harness.render.page.views import TableView, view_of_numbers
from harness.storage.origin import RunOrigin
from harness.storage.reader import RunReader


@dataclass(frozen=True)
class Origin:
    """Where the numbers of a run come from.

    Attributes:
        facts: software, machine, time and tokens.
        plugins: those that took part in a number.
        bibtex: entries for the software and for the paper whose experiment it runs.
    """

    facts: tuple[tuple[str, str], ...]
    plugins: TableView
    bibtex: str


def origin_of(reader: RunReader, references: Mapping[tuple[str, str], str]) -> Origin:
    """Return where the numbers of a run come from.

    Args:
        reader: of the run; records that its index does not name are left out.
        references: reference of each installed plugin, by family and name.
    """
    for key in dict.fromkeys(ref.key for cell in reader.index.cells for ref in cell.measures):
        reader.record(key)
    return Origin(tuple(_facts(reader.origin)), _plugins(reader.origin, references), BIBTEX)


def _facts(origin: RunOrigin) -> list[tuple[str, str]]:
    provenances = origin.provenances

    def every(values: Iterable[object]) -> str:
        return ", ".join(sorted({str(v) for v in values if v is not None})) or "unknown"

    packages: dict[str, set[str]] = {}
    for provenance in provenances:
        for name, version in provenance.packages.items():
            packages.setdefault(name, set()).add(version)
    commits = [
        f"{p.commit[:12]}{' with uncommitted changes' if p.dirty else ''}"
        for p in provenances
        if p.commit
    ]
    first, last = (time[:16].replace("T", " ") for time in (origin.first, origin.last))
    facts = [
        ("records", str(origin.records)),
        ("made", first if first == last else f"{first} to {last}"),
        ("harness", every(p.harness_version for p in provenances)),
        ("commit", every(commits)),
        ("Python", every(p.python for p in provenances)),
        ("platform", every(p.platform for p in provenances)),
        ("device", every(p.device for p in provenances)),
        ("packages", ", ".join(f"{n} {'/'.join(sorted(v))}" for n, v in sorted(packages.items()))),
        ("wall time", ", ".join(f"{name} {v:.0f} s" for name, v in origin.seconds.items())),
        ("tokens scored", f"{origin.tokens:,}"),
    ]
    return [(name, value) for name, value in facts if value]


def _plugins(origin: RunOrigin, references: Mapping[tuple[str, str], str]) -> TableView:
    plugins = sorted((p.family, p.name, p.distribution, p.version) for p in origin.plugins)
    rows = tuple(
        (name, family, f"{distribution} {version}", references.get((family, name), "–"))
        for family, name, distribution, version in plugins
    )
    header = ("plugin", "family", "from", "reference")
    return view_of_numbers(Numbers(header, rows, left=4), "Plugins")


BIBTEX = f"""@software{{bias_transfer_harness,
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

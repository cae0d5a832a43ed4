"""Software, machine, time and plugins behind the records of a run, and how to cite it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness import __version__
from harness.render.figures.canvas import Numbers
from harness.render.page.views import TableView, view_of_numbers
from harness.storage.reader import RunReader
from harness.storage.records import Provenance, Record


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
    records = list(_records(reader))
    return Origin(tuple(_facts(records)), _plugins(records, references), BIBTEX)


def _records(reader: RunReader) -> Iterator[Record]:
    keys = dict.fromkeys(ref.key for cell in reader.index.cells for ref in cell.measures)
    for key in keys:
        record = reader.store.record(key, items=False)
        if record is not None:
            yield record


def _facts(records: Sequence[Record]) -> list[tuple[str, str]]:
    def every(values: Iterable[object]) -> str:
        return ", ".join(sorted({str(v) for v in values if v is not None})) or "unknown"

    known: list[Provenance] = [record.provenance for record in records]
    packages: dict[str, set[str]] = {}
    for provenance in known:
        for name, version in provenance.packages.items():
            packages.setdefault(name, set()).add(version)
    seconds: dict[str, float] = {}
    for record in records:
        for phase, value in record.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + value
    tokens = sum(record.tokens or 0 for record in records)
    commits = [
        f"{p.commit[:12]}{' with uncommitted changes' if p.dirty else ''}"
        for p in known
        if p.commit
    ]
    found = [
        ("records", str(len(records))),
        ("made", _from_to([record.created_at for record in records])),
        ("harness", every(p.harness_version for p in known)),
        ("commit", every(commits)),
        ("Python", every(p.python for p in known)),
        ("platform", every(p.platform for p in known)),
        ("device", every(p.device for p in known)),
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


def _plugins(records: Sequence[Record], references: Mapping[tuple[str, str], str]) -> TableView:
    found = {
        (p.family, p.name, p.distribution, p.version)
        for record in records
        for p in record.provenance.plugins
    }
    rows = tuple(
        (name, family, f"{distribution} {version}", references.get((family, name), "–"))
        for family, name, distribution, version in sorted(found)
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

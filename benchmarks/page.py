"""Write the figures of docs/speed.md from the history: the newest line of every case.

    python benchmarks/page.py [--check]

The page's words stand as they are; what lies between ``<!-- figures: NAME -->`` and
``<!-- end -->`` is replaced. With ``--check`` nothing is written, and the exit code is 1 if the
page would change.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measuring

PAGE = Path(__file__).resolve().parent.parent / "docs" / "speed.md"
BLOCK = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

Line = dict[str, Any]


def parser() -> argparse.ArgumentParser:
    """Options of the command."""
    made = argparse.ArgumentParser(description=__doc__)
    made.add_argument("--history", type=Path, default=measuring.HISTORY)
    made.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrite the page, or say that it is stale."""
    options = parser().parse_args(arguments)
    old = PAGE.read_text(encoding="utf-8")
    new = filled(old, newest(options.history))
    if options.check:
        if new != old:
            sys.exit("docs/speed.md is stale; run `python benchmarks/page.py`")
    else:
        PAGE.write_text(new, encoding="utf-8")


def newest(history: Path) -> list[Line]:
    """The last line of each case of each benchmark, sorted."""
    found: dict[tuple[str, str], Line] = {}
    for text in history.read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        found[line["benchmark"], line["case"]] = line
    return [found[key] for key in sorted(found)]


def filled(page: str, lines: Sequence[Line]) -> str:
    """The page with the figures of these lines."""

    def table(match: re.Match[str]) -> str:
        own = [line for line in lines if line["benchmark"] == match[2]]
        body = TABLES[match[2]](own) + machines(own) if own else "Not measured yet.\n"
        return f"{match[1]}\n{body}\n{match[3]}"

    return BLOCK.sub(table, page)


def machines(lines: Sequence[Line]) -> str:
    """A sentence on where and when."""
    said = []
    for line in lines:
        own = line["machine"]
        where = own.get("gpu") or f"{own['cpu']}, {own['threads']} of {own['cores']} cores"
        commit = f"{(own['commit'] or '')[:10]}{' with changes' if own['dirty'] else ''}"
        note = f"; {line['note']}" if line["note"] else ""
        said.append(
            f"{line['date'][:10]}, {where}, load {own['load_average']}, torch {own['torch']}, "
            f"commit {commit}{note}"
        )
    return "\nMeasured: " + ". ".join(dict.fromkeys(said)) + ".\n"


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table."""
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def scoring(lines: Sequence[Line]) -> str:
    """Ways of scoring, by suite."""
    rows = []
    for line in lines:
        figures = line["figures"]
        wall, cpu = figures["wall"], figures["cpu"]
        for name, seconds in wall["seconds"].items():
            memory = figures["memory_mib"].get(name)
            differs = figures["difference"].get(name)
            rows.append(
                (
                    f"{line['case']}, {figures['groups']} items: {name}",
                    f"{statistics.median(seconds):.1f}",
                    f"{wall['times_the_harness'].get(name, 1):.2f}",
                    f"{cpu['times_the_harness'].get(name, 1):.2f}",
                    f"{wall['over_limit'][name]:.2f}",
                    f"{cpu['over_limit'][name]:.2f}",
                    memory["peak"] if memory else "-",
                    f"{differs['text']:.0e}" if differs else "-",
                )
            )
    return markdown(
        (
            "suite and way",
            "s",
            "x harness",
            "CPU",
            "x limit",
            "CPU",
            "peak MiB",
            "nats a token apart",
        ),
        rows,
    )


def lm_eval(lines: Sequence[Line]) -> str:
    """Against lm-evaluation-harness."""
    rows = []
    for line in lines:
        figures = line["figures"]
        for scorer in figures["wall"]["times_as_fast"]:
            rows.append(
                (
                    f"{line['case']}, {figures['pairs']} pairs, {scorer}",
                    f"{figures['wall']['times_as_fast'][scorer]:.2f}",
                    f"{figures['cpu']['times_as_fast'][scorer]:.2f}",
                    f"{figures['cpu']['times_as_fast_as_its_requests'][scorer]:.2f}",
                    figures["memory_mib"]["harness"]["peak"],
                    figures["memory_mib"]["lm_eval"]["peak"],
                    f"{figures['agreement']['largest_difference_nats_a_token']:.0e}",
                )
            )
    return markdown(
        (
            "harness with",
            "times as fast",
            "CPU",
            "as its requests alone, CPU",
            "peak MiB",
            "its peak MiB",
            "nats a token apart",
        ),
        rows,
    )


def fit(lines: Sequence[Line]) -> str:
    """A fit step and its parts."""
    rows = []
    for line in lines:
        wall, cpu = line["figures"]["wall"], line["figures"]["cpu"]
        rows.append((f"{line['case']}: step", wall["step"], cpu["step"]))
        rows.append((f"{line['case']}: plain pass", wall["plain"], cpu["plain"]))
        rows.append((f"{line['case']}: **ratio**", wall["ratio"], cpu["ratio"]))
        rows += [
            (f"of the step: {name}", wall["parts"][name], cpu["parts"][name])
            for name in wall["parts"]
        ]
    return markdown(("", "s", "CPU s"), rows)


def overhead(lines: Sequence[Line]) -> str:
    """Parts of a run, and what it was limited to."""
    rows: list[tuple[object, ...]] = []
    limits: dict[str, str] = {}
    for line in lines:
        wall, cpu = line["figures"]["wall"], line["figures"]["cpu"]
        limits |= dict(own.split("=", 1) for own in line["settings"]["set"])  # the last one counts
        order = sorted(wall["parts"], key=lambda name: -float(cpu["parts"][name]))
        rows += [
            (name, f"{wall['parts'][name]:.2f}", f"{cpu['parts'][name]:.2f}") for name in order
        ]
        rows.append(
            (
                f"**{line['case']}: overhead / model**",
                f"{wall['overhead_share']:.1%}",
                f"{cpu['overhead_share']:.1%}",
            )
        )
    listed = ", ".join(f"`{key}={value}`" for key, value in limits.items())
    return markdown(("part", "s", "CPU s"), rows) + f"\nLimits: {listed}.\n"


def simple(lines: Sequence[Line]) -> str:
    """One median a case."""
    rows = []
    for line in lines:
        figures = line["figures"]
        wall = figures.get("wall", figures)["median"]
        rows.append((f"`{line['case']}`", f"{wall:.2f}", figures.get("cpu", {}).get("median", "-")))
    return markdown(("command", "s", "CPU s"), rows)


def load(lines: Sequence[Line]) -> str:
    """Commands on a large run."""
    rows = [
        (f"`{line['case']}`", f"{own['seconds']:.1f}", f"{own['cpu_seconds']:.1f}", own["peak_mib"])
        for line in lines
        for own in (line["figures"],)
    ]
    return markdown(("command", "s", "CPU s", "peak MiB"), rows)


def gpu_checks(lines: Sequence[Line]) -> str:
    """What each check of a GPU found."""
    rows = [
        (line["case"], name, value) for line in lines for name, value in line["figures"].items()
    ]
    return markdown(("check", "figure", "found"), rows)


TABLES: dict[str, Callable[[Sequence[Line]], str]] = {
    "scoring_speed": scoring,
    "vs_lm_eval": lm_eval,
    "fit_step": fit,
    "gpu_checks": gpu_checks,
    "overhead": overhead,
    "help": simple,
    "matrix_speed": simple,
    "load": load,
}


if __name__ == "__main__":
    main()

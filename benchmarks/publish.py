"""Write a folder under results/ of this repository: a run with page, figures, tables and README.

`harness publish` is what users have for their own runs. This adds what the repository wants:
figures and tables beside the run, and a README whose written text stays.

    python benchmarks/publish.py runs/my-run my-run [--spec my-run] [--results results]
        [--reported meade2022]

Copies the run in its packed form (no checkpoints). If an earlier version made the run and its
corpora are here, adds to the stored masks which words they mask. Checks that every number follows
from its items and that the run names no path of this machine. Writes report.html, figures/, tables/
and README.md. The same command does it again. It replaces all of these files, and keeps what you
wrote in README.md before the line `<!-- generated -->` and after `<!-- end of generated text -->`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.analysis.matrix_builder import matrix_of
from harness.analysis.ranking import rank
from harness.analysis.reported import find_publication
from harness.analysis.verdict import verdict
from harness.plugins import load_registry
from harness.render.console.leaderboard import print_leaderboard
from harness.render.console.matrix import print_matrix
from harness.render.console.terminal import Terminal
from harness.render.figures.catalogue import figures_of, write_figures
from harness.render.publication import machine_paths
from harness.replay.masked_texts import find_masked_texts
from harness.replay.verification import verify
from harness.running.experiment import default_data
from harness.storage.archive import MEMBERS
from harness.storage.masks import StoredMasks
from harness.storage.reader import RunReader
from harness.storage.store import Store, find_run

REPO = Path(__file__).resolve().parents[1]
MOST_BYTES = 10_000_000
BEGIN, END = "<!-- generated -->", "<!-- end of generated text -->"
TO_WRITE = "*To be written: what may be read from these tables, with their intervals and controls.*"


def copy_run(source: Path, target: Path) -> None:
    """Write the packed run in place of an earlier copy.

    A folder that is published already is left as it is, and only looked through.

    Raises:
        SystemExit: the run names a path of this machine.
    """
    store = Store.open(source)
    if paths := machine_paths(store):
        sys.exit(f"{source}: holds a path of this machine: {paths[0]}")
    if source.resolve() == target.resolve():
        return
    for folder in ("records", "items", "failures", "masks"):
        shutil.rmtree(target / folder, ignore_errors=True)
    for name in MEMBERS:
        (target / name).unlink(missing_ok=True)
    target.mkdir(parents=True, exist_ok=True)
    store.packed_copy(target)


def add_words(store: Store) -> None:
    """Store which words are masked, where a version that did not do so made the run.

    This needs the corpora. Where one is missing, it says so, and the page shows no agreement of
    maskers for its passages. The names of the masks and the records stay the same.
    """
    stored = {name: store.masks(name) for name in store.mask_keys()}
    old = {
        name
        for name, masks in stored.items()
        if masks is not None and any(mask.words is None for mask in masks.each())
    }
    if not old:
        return
    texts = find_masked_texts(RunReader(store), load_registry(), default_data(), print)
    for name in old & texts.keys():
        masks = StoredMasks.of(texts[name])
        if masks.sha256 == name:
            store.write_masks(masks)
    store.pack()


def counted(store: Store) -> str:
    """How many measurements are there, failed, or are missing."""
    keys = {ref.key for cell in store.index().cells for ref in cell.measures}
    done = sum(store.has_record(key) for key in keys)
    failed = sum(store.failure(key) is not None for key in keys)
    rest = len(keys) - done - failed
    return f"{done} of {len(keys)} measurements done, {failed} failed, {rest} not run"


def limits(spec: dict[str, Any], notes: tuple[str, ...]) -> list[str]:
    """What was left small, in words, from the spec and the notes of the evaluators."""
    own = spec.get("limits") or {}
    names = {
        "passages": "passages a source to unlearn",
        "unseen": "unseen texts a domain",
        "neutral": "neutral texts",
        "items": "items a suite and domain",
    }
    found = [f"{own[name]:,} {words}" for name, words in names.items() if own.get(name)]
    if not own.get("items"):
        found.append("all items of every suite")
    seeds, steps = _listed(spec.get("seed")), _listed(spec.get("steps"))
    found.append(f"checkpoints at steps {', '.join(steps)}")
    found.append(f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''} ({', '.join(seeds)})")
    found.append(f"{spec.get('dtype')} on {spec.get('device')}")
    return [*found, *notes]


def _listed(value: object) -> list[str]:
    return [str(own) for own in (value if isinstance(value, list) else [value])]


def shown(store: Store, reported: Sequence[str] = ()) -> tuple[str, str]:
    """The matrix and the leaderboard as the console shows them at 100 columns.

    Args:
        store: the run.
        reported: publications whose numbers are shown below, in sections of their own.
    """
    texts = []
    for what in ("matrix", "leaderboard"):
        console = Terminal(file=io.StringIO(), width=100, color_system=None)
        if what == "matrix":
            matrix = matrix_of(store)
            print_matrix(console, matrix, verdict(matrix))
        else:
            publications = [find_publication(name) for name in reported]
            print_leaderboard(console, rank([store], reported=publications))
        text = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO from above
        texts.append("\n".join(line.rstrip() for line in text.strip().splitlines()))
    return texts[0], texts[1]


def generated(store: Store, figures: list[Path], reported: Sequence[str] = ()) -> str:
    """The part of a README that is written anew each time."""
    matrix, board = shown(store, reported)
    first = [next((path for path in figures if path.stem.startswith(kind)), None)
             for kind in ("matrix-", "bias-against-")]  # fmt: skip
    pictures = [f"![{path.stem}](figures/{path.name})" for path in first if path]
    parts = [
        BEGIN,
        f"{counted(store)}. [report.html](report.html) is the whole run as one page, "
        "[tables/](tables) holds every number (`numbers.csv`) and the tables as Markdown and "
        "LaTeX, [figures/](figures) each figure.",
        *pictures,
        f"## Matrix\n\n```\n{matrix}\n```",
        f"## Leaderboard\n\n```\n{board}\n```",
        END,
    ]
    return "\n\n".join(parts)


def readme(path: Path, store: Store, spec_name: str, made: str) -> str:
    """The README: the text that is there, with the generated part replaced, or a skeleton."""
    if path.is_file():
        text = path.read_text("utf-8")
        if BEGIN in text and END in text:
            before, rest = text.split(BEGIN, 1)
            return before + made + rest.split(END, 1)[1]
        return f"{text.rstrip()}\n\n{made}\n"
    index = store.index()
    notes = matrix_of(store).notes
    description = str(index.spec.get("description") or index.name)
    facts = "\n".join(f"- {line}" for line in limits(index.spec, notes))
    return (
        f"# {index.name}\n\n{description[:1].upper()}{description[1:]}.\n\n"
        f"```bash\nharness run {spec_name}\n```\n\n"
        f"Limits, the same for every cell:\n\n{facts}\n\n{TO_WRITE}\n\n{made}\n"
    )


def listed(results: Path, name: str, store: Store, spec_name: str) -> None:
    """Add a run to the table of results/README.md, if it is not there."""
    path = results / "README.md"
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    rows = [i for i, line in enumerate(lines) if line.startswith("|")]
    if not rows or any(f"]({name}/README.md)" in line for line in lines):
        return
    what = store.index().spec.get("description") or name
    row = f"| [{name}]({name}/README.md) | {what} | `harness run {spec_name}` |"
    lines.insert(rows[-1] + 1, row)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def harness(*words: object) -> None:
    """Run a command of the harness.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", "harness", *map(str, words)]
    if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"harness {words[0]} failed")


def publish(
    source: Path, name: str, results: Path, spec_name: str, reported: Sequence[str] = ()
) -> Path:
    """Write the folder; returns it.

    Raises:
        SystemExit: the run is not fit to be published; says why.
    """
    target = results / name
    copy_run(source, target)
    add_words(Store.open(target))
    store = Store.open(target)
    differences = verify(store).differences
    if differences:
        sys.exit(f"{source}: {len(differences)} numbers do not follow from their items")
    harness("report", target, "--out", target / "report.html")
    (target / "tables").mkdir(exist_ok=True)
    for kind, file in (("csv", "numbers.csv"), ("markdown", "tables.md"), ("latex", "tables.tex")):
        harness("export", target, "--format", kind, "--out", target / "tables" / file)
    shutil.rmtree(target / "figures", ignore_errors=True)
    reader, matrix = RunReader(store), matrix_of(store)
    every = [figure for figure in figures_of(reader, matrix) if "items-" not in figure.name]
    figures = write_figures(every, target / "figures", ("svg",))
    made = generated(store, figures, reported)
    path = target / "README.md"
    path.write_text(readme(path, store, spec_name, made), "utf-8")
    listed(results, name, store, spec_name)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", help="folder of the run, or its name under runs/")
    parser.add_argument("name", help="what to call it under the results folder")
    parser.add_argument("--spec", help="spec to name in the README; default: specs/NAME.yaml")
    parser.add_argument("--results", type=Path, default=REPO / "results")
    parser.add_argument(
        "--reported",
        action="append",
        default=[],
        help="publication whose numbers stand below the leaderboard, in a section of their own",
    )
    options = parser.parse_args()
    source = find_run(options.run, Path("runs")).folder
    spec_name = options.spec or f"specs/{options.name}.yaml"
    target = publish(source, options.name, options.results, spec_name, options.reported)
    sizes = {
        path.name: sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())
        for path in sorted(target.iterdir())
    }
    for entry, size in sizes.items():
        print(f"{size / 1e6:7.2f} MB  {target / entry}")
    total = sum(sizes.values())
    print(f"{total / 1e6:7.2f} MB  in all; {counted(Store.open(target))}")
    if total > MOST_BYTES:
        sys.exit(f"more than {MOST_BYTES / 1e6:.0f} MB: too much to be kept in the repository")


if __name__ == "__main__":
    main()

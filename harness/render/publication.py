"""A folder of runs for other people: a data set on a hub, and a static page in front of it.

The folder has ``index.html`` (runs and one leaderboard), ``index.json`` (the same for programs),
``leaderboard.json``, ``README.md`` (the card of a hub data set or a static Space) and, for each
run, ``runs/NAME/`` with ``run.zip`` (see `harness.storage.archive`), ``numbers.parquet`` and
``report.html``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness import __version__
from harness.analysis.leaderboard import Leaderboard
from harness.analysis.leaderboard_tables import board_tables
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.ranking import rank
from harness.analysis.verdict import verdict
from harness.errors import StoreError
from harness.render.exports.export_format import ExportOptions
from harness.render.exports.markdown import escape
from harness.render.exports.parquet_file import PARQUET
from harness.render.files import write_files
from harness.render.page.content import each_line_once
from harness.render.page.html import html_publication
from harness.render.page.views import view_of
from harness.render.tables.plain import leaderboard_json
from harness.storage.archive import share
from harness.storage.cells import MethodNames
from harness.storage.store import Store

ARCHIVE = "run.zip"
INDEX = "index.json"
SCHEMA_VERSION = 1

_MACHINE = re.compile(r"(?:file://)?/(?:home|root|Users|work|mnt|tmp)/[^\s\"']*")


def machine_paths(store: Store) -> list[str]:
    """Return the paths of this machine that the spec or a failure of a run names, each once."""
    texts = [store.index().model_dump_json()]
    for key in store.failure_keys():
        failure = store.failure(key)
        texts.append(failure.reason if failure is not None else "")
    return list(dict.fromkeys(path for text in texts for path in _MACHINE.findall(text)))


def write_publication(
    folder: Path, stores: Mapping[str, Store], page: Callable[[Store], str], title: str
) -> None:
    """Write the folder; files of other names that are there stay.

    Args:
        folder: made if it does not exist.
        stores: runs by the name that each has in the folder.
        page: makes the HTML page of a run.
        title: of the publication.

    Raises:
        StoreError: a run is damaged or has no measurement, or a file cannot be written.
    """
    board = rank(list(stores.values()))
    runs = []
    for name, store in stores.items():
        place = f"runs/{name}"
        files = {
            f"{place}/report.html": page(store).encode(),
            f"{place}/numbers.parquet": _numbers(store),
        }
        write_files(folder, files)
        share(store, folder / place / ARCHIVE)
        runs.append(_about(folder, name, place, store))
    index = {
        "schema_version": SCHEMA_VERSION,
        "title": title,
        "written_by": f"bias-transfer-harness {__version__}",
        "leaderboard": "leaderboard.json",
        "runs": runs,
    }
    write_files(
        folder,
        {
            "leaderboard.json": f"{leaderboard_json(board)}\n".encode(),
            "index.html": _page(title, runs, board).encode(),
            "README.md": _card(title, runs).encode(),
            INDEX: (json.dumps(index, indent=1, ensure_ascii=False) + "\n").encode(),
        },
    )


def _numbers(store: Store) -> bytes:
    return PARQUET.content(store, ExportOptions())


def _about(folder: Path, name: str, place: str, store: Store) -> dict[str, Any]:
    index = store.index()
    names = MethodNames(index.cells)
    debiased = [cell for cell in index.cells if not cell.is_base]
    archive = f"{place}/{ARCHIVE}"
    return {
        "name": name,
        "created_at": index.created_at,
        "verdict": verdict(matrix_of(store)).text,
        "models": sorted({cell.model for cell in index.cells}),
        "methods": sorted({names.name(cell) for cell in debiased}),
        "sources": sorted({cell.source for cell in debiased if cell.source is not None}),
        "targets": list(index.targets),
        "evaluators": sorted({ref.evaluator for c in index.cells for ref in c.measures}),
        "archive": archive,
        "archive_sha256": hashlib.sha256((folder / archive).read_bytes()).hexdigest(),
        "numbers": f"{place}/numbers.parquet",
        "page": f"{place}/report.html",
    }


def _page(title: str, runs: Sequence[Mapping[str, Any]], board: Leaderboard) -> str:
    """The page in front."""
    boards = each_line_once(view_of(table) for table in board_tables(board) if table.rows)
    return html_publication(title, runs, list(boards), INDEX)


def _card(title: str, runs: list[dict[str, Any]]) -> str:
    """The card; its head is read by hubs, for a data set and for a static Space."""
    head = {
        "title": title,
        "pretty_name": title,
        "sdk": "static",
        "app_file": "index.html",
        "tags": ["bias", "debiasing", "bias-transfer-harness"],
        "configs": [{"config_name": "numbers", "data_files": "runs/*/numbers.parquet"}],
    }
    rows = [
        f"| {escape(run['name'])} | {escape(', '.join(run['models']))} | "
        f"{escape(', '.join(run['methods']))} | {escape(', '.join(run['targets']))} |"
        for run in runs
    ]
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---",
        f"# {escape(title)}",
        "Runs of bias-transfer-harness: how bias mitigation in one domain transfers to others, and "
        "what it costs.",
        "\n".join(["| run | models | methods | targets |", "|---|---|---|---|", *rows]),
        "## Files",
        "- `index.html`: all runs and one leaderboard. `index.json` and `leaderboard.json` are the "
        "same for programs.\n"
        "- `runs/NAME/report.html`: the run as one page.\n"
        "- `runs/NAME/numbers.parquet`: every number, one in a row.\n"
        "- `runs/NAME/run.zip`: the run itself. `harness open run.zip` makes a run folder from it, "
        "and `harness verify` recomputes its numbers.",
        "## What is in the data",
        "Scores of models on the items of bias benchmarks, by the ids of the items. The texts of "
        "the items and of the training passages are not in it; their own licences apply to them.",
        "## Limits",
        "Scores of benchmarks do not show that a model is safe or fair in use. Methods whose runs "
        "differ in limits or protocols are not ranked together.",
    ]
    return "\n\n".join(parts) + "\n"


def check_names(stores: Mapping[str, Store]) -> None:
    """Check that the names of runs can be folders of a publication.

    Raises:
        StoreError: one cannot.
    """
    for name in stores:
        if not re.fullmatch(r"[^\W_][\w.+ -]{0,99}", name):
            raise StoreError(f"{name[:80]!r} cannot name a published run; rename its folder")

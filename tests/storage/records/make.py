"""Writes ``tests/storage/records/vN`` for this checkout's schema version, once, from toy plugins.

Run from the repository as
``PYTHONPATH=tests/support python tests/storage/records/make.py``.
It refuses to write over a folder that is there: a released version's files stay as they were.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from toy_plugins import TOY_SPEC, toy_registry

from harness.analysis.matrix_builder import matrix_of
from harness.analysis.ranking import rank
from harness.data.places import DataStore
from harness.replay.verification import verify
from harness.running.experiment import Experiment
from harness.storage.records import SCHEMA_VERSION
from harness.storage.store import Store

SPEC = {
    **TOY_SPEC,
    "name": f"v{SCHEMA_VERSION}",
    "debiaser": [
        "toy-debiaser",
        {"use": "toy-debiaser", "as": "diverging", "diverge_at": 30},
        "toy-identity",
    ],
    "steps": [30],
}


def main() -> None:
    folder = Path(__file__).parent / f"v{SCHEMA_VERSION}"
    if folder.exists():
        raise SystemExit(f"{folder} is there; a version's files are written once")
    store = Store(folder)
    with tempfile.TemporaryDirectory() as temporary:
        registry = toy_registry()
        data = DataStore(cache_dir=Path(temporary), offline=True)
        Experiment.from_mapping(SPEC, registry=registry, data=data, folder=folder).run()
    found, matrix = verify(store), matrix_of(store)
    expected = {
        "records": found.records,
        "numbers": found.numbers,
        "changes": [
            [row.cell.title(), row.step, entry.column.domain, entry.status, entry.change]
            for row in matrix.rows
            for entry in row.entries
        ],
        "failures": [title for title, _ in matrix.failures],
        "methods": [s.method for s in rank([store]).standings],
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()

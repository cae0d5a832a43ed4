"""Records of every schema version that was ever written still load, and mean what they meant.

``tests/storage/records/vN`` is a run folder as version N wrote it, made by
`tests/storage/records/make.py`. Files of a released version are never written anew.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.analysis.matrix_builder import matrix_of
from harness.analysis.ranking import rank
from harness.replay.verification import verify
from harness.storage.records import SCHEMA_VERSION
from harness.storage.store import Store

FOLDER = Path(__file__).parent / "records"
VERSIONS = sorted(int(path.name[1:]) for path in FOLDER.glob("v*"))


def test_there_is_a_folder_for_every_version() -> None:
    assert list(range(1, SCHEMA_VERSION + 1)) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_run_loads_and_its_numbers_still_follow_from_its_items(version: int) -> None:
    store = Store.open(FOLDER / f"v{version}")
    expected = json.loads((store.folder / "expected.json").read_text())
    raw = json.loads((store.folder / "index.json").read_text())
    assert raw["schema_version"] == version
    found = verify(store)
    assert found.differences == ()
    assert (found.records, found.numbers) == (expected["records"], expected["numbers"])
    matrix = matrix_of(store)
    changes = [
        [row.cell.title(), row.step, entry.column.domain, entry.status, entry.change]
        for row in matrix.rows
        for entry in row.entries
    ]
    assert changes == expected["changes"]
    assert [title for title, _ in matrix.failures] == expected["failures"]
    # the one corpus of a run is no part of a method's name any more
    methods = [name.removesuffix(" + toy-corpus") for name in expected["methods"]]
    assert [s.method for s in rank([store]).standings] == methods
    for key in store.record_keys():
        record = store.record(key)
        assert record is not None
        assert record.provenance.plugins
        assert all(m.items for m in record.measurements)

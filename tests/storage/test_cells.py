"""Cells: what old indexes said of controls is still read."""

from __future__ import annotations

import pytest

from harness.storage.cells import Cell


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        ({"control": True}, "identity"),
        ({"control": False}, None),
        ({"control": False, "control_kind": "masks"}, "masks"),
        ({"control": True, "control_kind": "identity"}, "identity"),
        ({"control_kind": "change"}, "change"),
        ({}, None),
    ],
)
def test_one_field_says_what_kind_of_control_a_cell_is(
    stored: dict[str, object], kind: str | None
) -> None:
    cell = Cell.model_validate({"model": "m", "measures": [], **stored})
    assert cell.control_kind == kind
    assert "control" not in cell.model_dump()

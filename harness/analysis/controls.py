"""Which control a method is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.effects import Estimated
from harness.analysis.entry import Entry
from harness.analysis.gains import net_gain
from harness.analysis.matrix import Row
from harness.errors import StoreError, did_you_mean
from harness.storage.cells import Cell, method_labels, shared_axes
from harness.types import ControlKind

PREFERENCE: tuple[ControlKind, ...] = ("masks", "texts", "change", "identity")
"""Which kind of control is subtracted unless another is asked for: the closest to a method."""


def alike(row: Row, candidates: Sequence[Row]) -> Row | None:
    """The row of a control that is closest to a row; None where it cannot control that method.

    Controls of masks or texts are the same method with other masks or texts, so they control no
    other method.

    Args:
        row: of a method.
        candidates: the rows of one control, over its sources.
    """
    usable = [other for other in candidates if other is not row and _controls(other.cell, row.cell)]
    return max(usable, key=lambda other: _likeness(row, other), default=None)


def _controls(control: Cell, cell: Cell) -> bool:
    if control.model != cell.model:
        return False
    if control.control_kind in ("masks", "texts"):
        return control.debiaser == cell.debiaser
    return True


def _likeness(row: Row, other: Row) -> tuple[int, int]:
    shared = shared_axes(row.cell, other.cell)
    return 10 * ("source" in shared) + len(shared), -abs(row.step - other.step)


def labelled(rows: Sequence[Row], label: str) -> list[Row]:
    """The rows of a debiaser, masker or passage label.

    Raises:
        StoreError: no row has that label; says which labels there are.
    """
    labelled_rows = [row for row in rows if label in method_labels(row.cell)]
    if not labelled_rows:
        labels = {name for row in rows for name in method_labels(row.cell)}
        raise StoreError(f"no run here has a control '{label}'{did_you_mean(label, labels)}")
    return labelled_rows


def mean_net(
    bias: Sequence[tuple[Row, Entry]], candidates: Sequence[Row]
) -> tuple[Estimated, tuple[Row, ...]] | None:
    """Improvement over bias scores minus that of a control, and the rows that were subtracted.

    Args:
        bias: entries of a method, with their rows.
        candidates: the rows of the control.

    Returns:
        None unless every entry has a control with the same column.
    """
    partners: dict[int, Row | None] = {}
    controls: list[Entry] = []
    for row, entry in bias:
        if id(row) not in partners:
            partners[id(row)] = alike(row, candidates)
        partner = partners[id(row)]
        other = partner.entry(entry.column) if partner is not None else None
        if other is None:
            return None
        controls.append(other)
    net = net_gain([entry for _, entry in bias], controls)
    if net is None:
        return None
    return net, tuple(row for row in partners.values() if row is not None)

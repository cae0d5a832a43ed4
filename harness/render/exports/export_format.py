"""What an export format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.storage.store import Store


@dataclass(frozen=True)
class ExportOptions:
    """Choices of the person who exports.

    Attributes:
        spreadsheet_safe: write texts so that a spreadsheet cannot take them for formulas.
    """

    spreadsheet_safe: bool = True


@dataclass(frozen=True)
class ExportFormat:
    """A file format for the results of a run.

    Attributes:
        name: as in ``--format NAME``.
        summary: what the file contains, for the help text.
        content: returns the bytes of the file.
        binary: whether it cannot be printed, so that ``--out`` is required.
    """

    name: str
    summary: str
    content: Callable[[Store, ExportOptions], bytes]
    binary: bool = False

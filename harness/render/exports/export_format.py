"""What an export format is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.storage.store import Store


@dataclass(frozen=True)
class ExportOptions:
    """Choices of the person who exports.

    Attributes:
        spreadsheet_safe: write texts so that a spreadsheet cannot take them for formulas.
        organization: who ran the evaluation, for formats that name it.
        processes: how many may work on a large run.
    """

    spreadsheet_safe: bool = True
    organization: str = "unknown"
    processes: int = 1


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


@dataclass(frozen=True)
class FolderFormat:
    """A format of several files.

    Attributes:
        name: as in ``--format NAME``.
        summary: what the folder contains, for the help text.
        files: returns the bytes of each file, by its path below the folder.
    """

    name: str
    summary: str
    files: Callable[[Store, ExportOptions], Mapping[str, bytes]]

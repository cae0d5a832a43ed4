"""Writing a report, a figure or an export where the user wants it."""

from __future__ import annotations

from pathlib import Path

from harness import files
from harness.errors import StoreError


def write_file(path: Path, content: bytes) -> None:
    """Write a file that a user named, see `harness.files.write_output`.

    Raises:
        StoreError: the file cannot be written; an old file is untouched.
    """
    try:
        files.write_output(path, content)
    except OSError as error:
        raise StoreError(f"{path}: cannot write: {error.strerror or error}") from None

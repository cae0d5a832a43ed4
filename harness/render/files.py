"""Writing a report, a figure or an export where the user wants it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from harness import files
from harness.errors import StoreError


def write_file(path: Path, content: bytes) -> None:
    """Write a file that a user named, see `harness.files.write_output`.

    A pipe or a device, such as ``/dev/stdout``, is written to and stays what it is.

    Raises:
        StoreError: the file cannot be written; an old file is untouched.
    """
    try:
        if _is_stream(path):
            # without O_NONBLOCK, opening a pipe waits for a reader
            descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
            os.set_blocking(descriptor, True)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
        else:
            files.write_output(path, content)
    except OSError as error:
        raise StoreError(f"{path}: cannot write: {error.strerror or error}") from None


def _is_stream(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder; other files that are there stay.

    Args:
        folder: made if it does not exist.
        files: content by path below the folder.

    Raises:
        StoreError: a file cannot be written.
    """
    for name, content in files.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            where = error.filename or path.parent
            raise StoreError(f"{where}: cannot write: {error.strerror or error}") from None
        write_file(path, content)

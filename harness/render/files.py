"""Writing a report, a figure or an export where the user wants it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from harness.errors import StoreError


def write_file(path: Path, content: bytes) -> None:
    """Write a file in one step: neither a reader nor a failure ever meets half of it.

    The content goes to a temporary file in the same folder, which then takes the place of the old
    file. A link at ``path`` is replaced, not followed.

    Raises:
        StoreError: the file cannot be written; an old file is untouched.
    """
    temporary = path.with_name(f".{path.name[:40]}-{secrets.token_hex(6)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(f"{path}: cannot write: {error.strerror or error}") from None

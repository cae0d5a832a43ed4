"""Files that ship with the package: specs and reported numbers, in a wheel or a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def shipped_files(folder: str, pattern: str) -> dict[str, Path]:
    """Return shipped files by their stem.

    Args:
        folder: path below the package (in a wheel) or the repository (in a checkout).
        pattern: glob pattern of file names.
    """
    places = [PACKAGE / folder, PACKAGE.parent / folder]
    return {file.stem: file for place in places for file in place.glob(pattern)}

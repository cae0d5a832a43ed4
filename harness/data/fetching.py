"""Fetching pinned data with pooch: into a temporary folder, checked, then moved into place."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path

from harness.data.files import MAX_BYTES
from harness.data.pins import Pin, PinnedFile, file_git_blob, file_sha256, inside
from harness.errors import DataError
from harness.files import scratch_folder, use_usual_modes

TIMEOUT = 30.0
"""Seconds without an answer after which a download fails."""


def fetch_pin(pin: Pin, folder: Path) -> Path:
    """Fetch every file of a pin to its place below ``folder``.

    Returns:
        The file; for a pin with several files, their folder.

    Raises:
        DataError: no network, an unwritable folder, or bytes with a wrong checksum.
    """
    target = inside(folder, pin.filename)
    if not pin.files:
        _fetch_file(pin, PinnedFile(target.name, pin.url, pin.sha256 or ""), target)
        return target
    for part in pin.files:
        place = inside(target, part.filename)
        if not (place.is_file() and file_sha256(place) == part.sha256):
            _fetch_file(pin, part, place)
    return target


def _fetch_file(pin: Pin, part: PinnedFile, target: Path) -> None:
    try:
        # next to the target, so that the last step is a rename and never a half-written copy
        with scratch_folder(target.parent, ".fetching-") as scratch:
            fetched = _download(pin, part.url, scratch)
            if pin.archive_member is not None:
                fetched = _unpack(pin, fetched, scratch)
            _check(pin, part, fetched)
            use_usual_modes(scratch)
            os.replace(fetched, target)
    except OSError as error:
        raise DataError(
            f"data set '{pin.name}' cannot be written to {target}: {error.strerror or error}; set "
            "HARNESS_CACHE to a folder that can be written"
        ) from None


def _download(pin: Pin, url: str, scratch: Path) -> Path:
    import pooch
    import requests

    if not url.startswith(("https://", "http://")):
        raise DataError(f"data set '{pin.name}' has no address to fetch from; get it by hand")
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it would print each checksum that it was not asked to check
    try:
        # no known_hash: the checksum is of the file, which may be a member of a fetched zip
        path = pooch.retrieve(
            url,
            known_hash=None,
            fname="download",
            path=scratch,
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT),
        )
    except requests.RequestException as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"data set '{pin.name}' cannot be fetched from {url}: {type(error).__name__}: "
            f"{reason}; try again, or put {pin.filename} below a folder named with --data-dir"
        ) from None
    finally:
        logger.setLevel(level)
    return Path(path)


def _unpack(pin: Pin, archive: Path, scratch: Path) -> Path:
    """Copy one member out of a zip; the member's name is never used as a path."""
    assert pin.archive_member is not None
    try:
        with zipfile.ZipFile(archive) as opened:
            if opened.getinfo(pin.archive_member).file_size > MAX_BYTES:
                raise DataError(
                    f"data set '{pin.name}': {pin.archive_member} in {pin.url} is larger than "
                    f"{MAX_BYTES:,} bytes"
                )
            content = opened.read(pin.archive_member)
    except (zipfile.BadZipFile, KeyError):
        raise DataError(
            f"data set '{pin.name}': {pin.url} is not a zip file with {pin.archive_member}"
        ) from None
    unpacked = scratch / "member"
    unpacked.write_bytes(content)
    return unpacked


def _check(pin: Pin, part: PinnedFile, fetched: Path) -> None:
    if part.sha256:
        expected, checksum = part.sha256, file_sha256(fetched)
    elif pin.git_blob is not None:
        expected, checksum = pin.git_blob, file_git_blob(fetched)
    else:
        return  # only its items are known; they are checked whenever it is read
    if expected != checksum:
        raise DataError(
            f"data set '{pin.name}': the file from {part.url} has checksum {checksum[:16]}…, "
            f"expected {expected[:16]}…; nothing was kept"
        )

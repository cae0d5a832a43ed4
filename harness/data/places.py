"""Where data sets are looked for, and the domains that go with them.

The order is: the path that the spec gives, ``--data-dir`` / ``HARNESS_DATA``, the user cache, and
last the data set's own address. Remote code is never run, and no path leaves the folder that you
name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from harness.data.domains import Domain, Domains
from harness.data.files import expanded, is_file, is_folder, shown
from harness.data.pins import Pin, inside
from harness.errors import DataError


def user_cache() -> Path:
    """Return the cache folder: ``HARNESS_CACHE``, else a folder below ``XDG_CACHE_HOME``, else one
    below ``~/.cache``.

    Raises:
        DataError: none is named, and the user has no home folder.
    """
    if named := os.environ.get("HARNESS_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "bias-transfer-harness"
    except RuntimeError:  # a user without an entry, as in containers, and no HOME
        raise DataError(
            "you have no home folder to keep data sets and models in; name a folder in the "
            "environment variable HARNESS_CACHE"
        ) from None


@dataclass(frozen=True)
class DataStore:
    """The places where data is looked for, in order, and the domains that a run knows.

    Attributes:
        data_dir: a folder that is looked in first (``--data-dir``, ``HARNESS_DATA``).
        cache_dir: where fetched data goes.
        offline: True forbids fetching.
        domains: the domains of all plugins and of the spec, with their term lists.
    """

    data_dir: Path | None = None
    cache_dir: Path = field(default_factory=user_cache)
    offline: bool = False
    domains: Domains = field(default_factory=Domains, repr=False)

    def knowing(self, domains: Iterable[Domain] | Domains) -> DataStore:
        """Return the same places with more domains; those known already stay as they are."""
        return replace(self, domains=(Domains() | domains) | self.domains)

    def only(self, *names: str) -> DataStore:
        """Return the same places with these domains alone, as far as they are known."""
        return replace(self, domains=self.domains.only(*names))

    def locate(self, pin: Pin, override: str | Path | None = None) -> Path:
        """Return the path of a pinned file, fetching it if necessary; its bytes are unchecked.

        For a pin with several ``files``, the path is their folder.

        Args:
            pin: the data set.
            override: the path that the spec gives: the file itself, or a folder that contains
                ``pin.filename`` or its last part. No other place is then searched.

        Raises:
            DataError: it is not found and cannot be fetched, or a path leaves the folder named.
        """
        if override is not None:
            return _locate_override(pin, expanded(override))
        if self.data_dir is not None:
            if not is_folder(self.data_dir):
                raise DataError(
                    f"data folder {shown(self.data_dir)} does not exist; check --data-dir or "
                    "HARNESS_DATA"
                )
            if file := _below(self.data_dir, pin.filename, pin):
                return file
        if file := _below(self.fetched_dir, pin.filename, pin):
            return file
        if self.offline:
            raise DataError(
                f"data set '{pin.name}' is not on this machine and --offline forbids fetching it; "
                f"put {pin.filename} into a folder and name that with --data-dir or HARNESS_DATA "
                f"(from {pin.url})"
            )
        return self.fetch(pin)

    @property
    def fetched_dir(self) -> Path:
        """The folder of fetched data."""
        return self.cache_dir / "data"

    def fetch(self, pin: Pin) -> Path:
        """Fetch a data set into the cache and check its checksums; on failure nothing is kept.

        Raises:
            DataError: offline, no network, a wrong checksum, or an unwritable cache.
        """
        if self.offline:
            raise DataError(f"data set '{pin.name}' cannot be fetched: --offline is given")
        from harness.data.fetching import fetch_pin  # pooch and requests are slow to import

        return fetch_pin(pin, self.fetched_dir)


def _locate_override(pin: Pin, place: Path) -> Path:
    if is_file(place):
        if pin.files:
            raise DataError(
                f"{place} is a file; data set '{pin.name}' has {len(pin.files)} files: name "
                "their folder"
            )
        return place
    if not is_folder(place):
        raise DataError(
            f"{shown(place)} is not a file or folder; check the path given for '{pin.name}'"
        )
    for name in (pin.filename, PurePosixPath(pin.filename).name):
        if file := _below(place, name, pin):
            return file
    if pin.files:
        return _whole_set(place, pin)
    raise DataError(
        f"{place} holds neither {pin.filename} nor {PurePosixPath(pin.filename).name}; name the "
        f"file of '{pin.name}' or its folder"
    )


def _below(folder: Path, name: str, pin: Pin) -> Path | None:
    """Return the pinned file or folder below a folder, or None.

    Raises:
        DataError: it exists, but a link leads out of the folder.
    """
    path = inside(folder, name)
    if pin.files:
        complete = all(is_file(path / part.filename) for part in pin.files)
        return _whole_set(path, pin) if complete else None
    return path if is_file(path) else None


def _whole_set(folder: Path, pin: Pin) -> Path:
    for part in pin.files:
        if not is_file(inside(folder, part.filename)):
            raise DataError(f"{folder}: data set '{pin.name}' lacks {part.filename}")
    return folder

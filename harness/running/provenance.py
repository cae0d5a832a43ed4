"""The software, machine and plugins that made a record."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness import __version__
from harness.plugins import Registered
from harness.shipped import PACKAGE
from harness.storage.records import PluginVersion, Provenance

PACKAGES = ("torch", "transformers", "tokenizers", "datasets", "numpy", "scipy", "pydantic")
"""Distributions whose versions can change a number."""


def provenance(device: str, plugins: Iterable[Registered]) -> Provenance:
    """Gather the provenance of a record."""
    commit, dirty = checkout()
    used = {
        (entry.family, entry.name): PluginVersion(
            family=entry.family,
            name=entry.name,
            distribution=entry.origin.distribution,
            version=entry.origin.version,
        )
        for entry in plugins
    }
    return Provenance(
        harness_version=__version__,
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        platform=platform.platform(),
        device=device,
        packages=packages(),
        plugins=tuple(used.values()),
    )


@cache
def packages() -> dict[str, str]:
    """Versions of `PACKAGES`, where installed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@cache
def checkout() -> tuple[str | None, bool | None]:
    """Return the commit of the checkout that holds this package, and whether it is dirty.

    Both are None for an installed wheel.
    """
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None, None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return head, bool(changes)


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip()

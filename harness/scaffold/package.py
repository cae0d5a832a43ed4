"""Writes a new plugin package from templates: one class, a test, a README, a CI workflow."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template

from harness import __version__
from harness.errors import SpecError
from harness.families import Family
from harness.files import new_folder

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_SHARED = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".github/workflows/test.yml": "test.yml",
}
"""Path in the package by the name of its template; the class and its test come with the family."""


def write_package(name: str, family: Family, folder: Path) -> list[Path]:
    """Write a package with one plugin that installs and passes its test as it is.

    Args:
        name: name of the plugin in specs: lower-case words joined by hyphens.
        family: what the plugin is.
        folder: folder to make; it must not exist, or must be empty.

    Returns:
        The files written.

    Raises:
        SpecError: the name is not of that form, the folder has files already, or it cannot be
            written.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"'{name}' is not a plugin name; use lower-case letters, digits and hyphens, such as "
            "my-method"
        )
    module = f"harness_{name.replace('-', '_')}"
    words = {
        "name": name,
        "family": family,
        "distribution": f"harness-{name}",
        "module": module,
        "cls": "".join(part.capitalize() for part in name.split("-")),
        "version": __version__,
    }
    contents = {path: _filled(template, words) for path, template in _SHARED.items()}
    contents[f"{module}.py"] = _filled(f"{family}.py", words)
    contents[f"test_{module}.py"] = _filled(f"{family}_test.py", words)
    try:
        if folder.exists() and any(folder.iterdir()):
            raise SpecError(f"{folder} is not empty; name another folder with --to")
        with new_folder(folder) as made:
            for path, text in contents.items():
                file = made / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{folder}: cannot be written: {error.strerror or error}") from None
    return [folder / path for path in sorted(contents)]


def _filled(template: str, words: dict[str, str]) -> str:
    source = files("harness.scaffold") / "templates" / f"{template}.txt"
    return Template(source.read_text("utf-8")).substitute(words)

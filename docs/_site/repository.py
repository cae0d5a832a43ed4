"""Puts the files of the repository that pages link to into the site, at the same places.

A page of ``docs/`` may link to a file outside it, such as ``../results/NAME/README.md``. On the
site that link leads to a copy. A link to a file that does not exist stops the build.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

REPO = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"\]\((\.\./[^)#\s]+)")
_linked: set[str] = set()


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Note the files outside ``docs/`` that a page links to."""
    folder = posixpath.dirname(page.file.src_uri)
    for target in _LINK.findall(markdown):
        path = posixpath.normpath(posixpath.join("docs", folder, target))
        if path == "docs" or path.startswith("docs/"):
            continue
        if path.startswith("..") or not (REPO / path).exists():
            raise PluginError(f"{page.file.src_uri}: links to '{target}', which does not exist")
        _linked.add(path)
    return markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """The front page has no folder of its own on the site, so its links go up one level less."""
    if page.file.src_uri != "index.md":
        return html
    return re.sub(r'(href|src)="\.\./', r'\1="', html)


def on_post_build(config: Any, **_: Any) -> None:
    """Copy the files; a folder becomes its README."""
    for path in sorted(_linked):
        source, target = REPO / path, Path(config["site_dir"]) / path
        if source.is_dir():
            source, target = source / "README.md", target / "index.md"
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

"""Reading YAML as data, with the line of every key for error messages."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from harness.errors import SpecError

Path = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top."""


class Lines:
    """The line of each value of a file, by path; falls back to the nearest known parent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lines: dict[Path, int] = {}
        self._options: dict[Path, str] = {}

    def note(self, path: Path, line: int) -> None:
        """Remember a line (1-based)."""
        self._lines[path] = line

    def note_option(self, path: Path, option: str) -> None:
        """Remember that a value comes from an option of the command, not from the file."""
        self._options[path] = option
        for known in [known for known in self._lines if known[: len(path)] == path]:
            del self._lines[known]

    def where(self, path: Path) -> str:
        """Return ``file:line`` of a path, the option that set it, or the file alone."""
        while path:
            if path in self._options:
                return self._options[path]
            if path in self._lines:
                return f"{self.name}:{self._lines[path]}"
            path = path[:-1]
        return self.name


def parse_yaml(text: str, name: str) -> tuple[Any, Lines]:
    """Parse safe YAML (no tags, no aliases to code) into plain data and its lines.

    Raises:
        SpecError: not YAML, or a key stands twice in one mapping; names the line.
    """
    lines = Lines(name)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        return (None if node is None else _build(loader, node, (), lines)), lines
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark is not None else name
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SpecError(f"{where}: not valid YAML: {problem}") from None
    finally:
        loader.dispose()


def _build(loader: yaml.SafeLoader, node: yaml.Node, path: Path, lines: Lines) -> Any:
    lines.note(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, child, (*path, i), lines) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        built: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable) or not isinstance(key, str):
                raise SpecError(f"{lines.name}:{line}: a key must be a word, not {key!r}")
            if key in built:
                raise SpecError(f"{lines.name}:{line}: the key '{key}' stands twice")
            built[key] = _build(loader, value_node, (*path, key), lines)
            lines.note((*path, key), line)
        return built
    return loader.construct_object(node, deep=True)

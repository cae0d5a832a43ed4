"""Reading YAML as data, with the line of every key for error messages."""

from __future__ import annotations

import datetime
import re
from typing import Any

import yaml

from harness.errors import SpecError

Path = tuple[str | int, ...]
"""The place of a value: keys and list positions from the top."""

MAX_DEPTH = 50
MAX_NUMBER = 1 << 63
MAX_NODES = 100_000
"""Most values that a file may have once its aliases are followed."""

MAX_BYTES = 1 << 19
"""Largest YAML file that is read; specs are a few kilobytes."""

_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_MERGE_TAG = "tag:yaml.org,2002:merge"


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
        for inner in [inner for inner in self._lines if inner[: len(path)] == path]:
            del self._lines[inner]

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
    """Parse YAML into plain data and the line of every value.

    Only plain data is understood: text, numbers, truth values, null, lists and mappings. Aliases
    are followed within bounds (`MAX_NODES`). A date stays the text as it is written.

    Args:
        text: the YAML.
        name: what messages call it: a file, or an option.

    Returns:
        The data, and the line of each value.

    Raises:
        SpecError: it is not such YAML, a key is given twice in one mapping, or it is nested too
            deeply or too large; names the line.
    """
    lines = Lines(name)
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            value = None if node is None else _Builder(loader, lines).build(node, ())
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SpecError(f"{_where(error, text, name)}: not valid YAML: {_problem(error)}") from None
    except RecursionError:
        raise SpecError(f"{name}: not valid YAML: nested too deeply") from None
    return value, lines


class _Loader(yaml.SafeLoader):
    """Reads no deeper than `MAX_DEPTH`, which also bounds the time that the scanner takes."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                problem = f"nested more than {MAX_DEPTH} levels deep"
                raise yaml.MarkedYAMLError(None, None, problem, mark)
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _Builder:
    """Turns nodes into data; refuses a value inside itself and aliases that multiply."""

    def __init__(self, loader: yaml.SafeLoader, lines: Lines) -> None:
        self._loader = loader
        self._lines = lines
        self._open: set[int] = set()
        self._built = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        self._built += 1
        if self._built > MAX_NODES:
            raise self._error(node, f"more than {MAX_NODES:,} values; aliases multiply them")
        self._lines.note(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in _PLAIN_TAGS:
            raise self._error(node, f"the tag {node.tag!r:.80} is not plain data")
        if id(node) in self._open:
            raise self._error(node, "an alias to a value that contains it")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.build(child, (*path, i)) for i, child in enumerate(node.value)]
            return self._mapping(node, path)
        finally:
            self._open.remove(id(node))

    def _mapping(self, node: yaml.Node, path: Path) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self._error(key_node, "a key must be a word, not a list or a mapping")
            if key_node.tag == _MERGE_TAG:
                raise self._error(key_node, "'<<' is not supported; write the keys out")
            key = self._scalar(key_node)
            if not isinstance(key, str):
                raise self._error(key_node, f"a key must be a word, not {key!r:.60}")
            if key in built:
                raise self._error(key_node, f"the key '{key:.60}' is given twice")
            built[key] = self.build(value_node, (*path, key))
            self._lines.note((*path, key), key_node.start_mark.line + 1)
        return built

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            value = self._loader.construct_object(node, deep=True)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
            # an impossible date, a tag that does not fit its text, an endless number
            reason = str(error).partition(";")[0] or type(error).__name__
            what = f"{node.value!r:.60} is not what it looks like: {reason:.100}"
            raise self._error(node, what) from None
        if isinstance(value, int) and abs(value) > MAX_NUMBER:
            raise self._error(node, f"{node.value!r:.60} is too large a number")
        if _is_disguised(node, value):
            what = f"{node.value!r:.60} would be read as {value!r:.60}: YAML takes a leading 0 for "
            raise self._error(node, f"{what}octal, and ':' for base 60; write the plain number")
        if isinstance(value, (datetime.date, bytes)):
            return node.value
        if isinstance(value, str):
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise self._error(node, "half of a character (a lone surrogate)") from None
        return value

    def _error(self, node: yaml.Node, what: str) -> SpecError:
        return SpecError(f"{self._lines.name}:{node.start_mark.line + 1}: {what}")


def _is_disguised(node: yaml.ScalarNode, value: object) -> bool:
    """Whether a number is another one than a person reads: 010 is 8 in YAML, and 1:30 is 90."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    octal = re.fullmatch(r"[-+]?0[0-9_]+", node.value)
    return ":" in node.value or (octal is not None and int(node.value) != value)


def _where(error: yaml.YAMLError, text: str, name: str) -> str:
    """``name:line`` of an error; the name alone where no line is known."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return f"{name}:{mark.line + 1}"
    position = getattr(error, "position", None)  # an error of the reader, in characters
    if isinstance(position, int):
        return f"{name}:{text.count(chr(10), 0, position) + 1}"
    return name


def _problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    words = " ".join(str(problem or error).split())
    character = getattr(error, "character", None)
    if isinstance(character, int):
        words = f"character U+{character:04X}: {words}"
    return words if len(words) <= 200 else f"{words[:199]}…"

"""The section ``domains`` of a spec: domains of your own, from a few lines and files.

Example::

    domains:
      caste:
        description: castes of South Asia
        terms: {dalits: dalits.txt, brahmins: [brahmin, brahmins]}
        counterparts: castes.csv

Files are read with the spec, and the run stores their words, so a stored run can be repeated
without them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.data.domains import Counterparts, Domain
from harness.data.files import expanded, is_file, shown, stamp
from harness.data.terms import no_term, read_counterparts, read_terms
from harness.errors import DataError, SpecError, did_you_mean
from harness.planning.yaml_lines import Lines
from harness.planning.yaml_lines import Path as KeyPath

T = TypeVar("T")

KEYS = ("description", "terms", "counterparts", "in_groups", "everyday")

ANY_GROUP = "any"
"""The group of terms that are given as one list, not by group."""

LONGEST_NAME = 64
"""Characters of a domain's name: figures and files are named after it."""

MOST_BYTES = 4 << 20
"""Largest file of terms or counterparts. All terms become one pattern that every passage meets."""


def read_domains(value: Any, lines: Lines, folder: Path | None = None) -> tuple[Domain, ...]:
    """Read the section ``domains``, files included.

    Args:
        value: the section, as YAML gives it.
        lines: where each key is, for messages.
        folder: that of the spec file. A file is looked for in the current folder, then here.

    Raises:
        SpecError: a mistake in the section or in a file, with its line.
    """
    if isinstance(value, tuple) and all(isinstance(content, Domain) for content in value):
        return value
    if not isinstance(value, Mapping):
        raise SpecError(f"{lines.where(('domains',))}: give a mapping of names to domains")
    return tuple(
        _domain(name, content, ("domains", name), lines, folder) for name, content in value.items()
    )


def _domain(name: str, value: Any, path: KeyPath, lines: Lines, folder: Path | None) -> Domain:
    where = lines.where(path)
    if len(name) > LONGEST_NAME:
        raise SpecError(
            f"{where}: a domain's name has at most {LONGEST_NAME} characters, not {len(name)}"
        )
    if unicodedata.normalize("NFC", name) != name:
        raise SpecError(
            f"{where}: domain '{name}': an accent is a separate character here, so the name "
            "differs from one that looks the same; write both as one character (Unicode form NFC)"
        )
    if not isinstance(value, Mapping):
        raise SpecError(f"{where}: domain '{name}': give {', '.join(KEYS)}")
    for key in value:
        if key not in KEYS:
            raise SpecError(
                f"{lines.where((*path, key))}: domain '{name}': unknown key '{key}'"
                f"{did_you_mean(str(key), KEYS)}"
            )
    terms = value.get("terms", {})
    groups = terms if isinstance(terms, Mapping) else {ANY_GROUP: terms}
    description = value.get("description", "")
    if not isinstance(description, str):
        raise SpecError(f"{lines.where((*path, 'description'))}: the description must be a text")
    inside = (*path, "terms")
    try:
        return Domain(
            name=name,
            description=description,
            terms={
                str(group): _words(words, (*inside, group), lines, folder)
                for group, words in groups.items()
            },
            counterparts=_counterparts(value.get("counterparts"), path, lines, folder),
            in_groups=value.get("in_groups", ()),
            everyday=value.get("everyday", False),
        )
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        key = str(first["loc"][0])
        if first["type"] != "value_error":  # it does not say what it is about
            where, reason = lines.where((*path, key)), f"{key}: {reason}"
        raise SpecError(f"{where}: domain '{name}': {reason}") from None


def _words(value: Any, path: KeyPath, lines: Lines, folder: Path | None) -> tuple[str, ...]:
    """A list of words, or the terms of the file that a text names."""
    if isinstance(value, str):
        return _read(read_terms, value, path, lines, folder)
    if not (isinstance(value, list) and value and all(isinstance(word, str) for word in value)):
        raise SpecError(f"{lines.where(path)}: give a list of words or the name of a file")
    for i, word in enumerate(value):
        if (reason := no_term(word)) is not None:
            raise SpecError(f"{lines.where((*path, i))}: {reason}")
    return tuple(value)


def _counterparts(
    value: Any, path: KeyPath, lines: Lines, folder: Path | None
) -> Counterparts | None:
    """Rows of words with the roles first, or those of the file that a text names."""
    if value is None:
        return None
    path = (*path, "counterparts")
    if isinstance(value, str):
        counterparts = _read(read_counterparts, value, path, lines, folder)
    else:
        try:
            roles, *rows = (tuple(row) for row in value)
            counterparts = Counterparts(roles=roles, rows=tuple(rows))
        except (TypeError, ValueError):
            raise SpecError(
                f"{lines.where(path)}: give the name of a file, or a list of rows with the roles "
                "first and as many words in each row"
            ) from None
    if len(set(counterparts.roles)) < len(counterparts.roles):
        raise SpecError(
            f"{lines.where(path)}: two roles have one name: {', '.join(counterparts.roles)}"
        )
    return counterparts


def _read(
    reader: Callable[[Path], T], name: str, path: KeyPath, lines: Lines, folder: Path | None
) -> T:
    file = _file(name, folder)
    try:
        size = stamp(file)[2]
        if size > MOST_BYTES:
            raise DataError(
                f"{shown(file)}: {size:,} bytes, more than the limit of {MOST_BYTES:,} for a list "
                "of words"
            )
        return reader(file)
    except DataError as error:
        raise SpecError(f"{lines.where(path)}: {error}") from None


def _file(name: str, folder: Path | None) -> Path:
    """The file of a name: below the current folder, else next to the spec."""
    places = [expanded(name)]
    if folder is not None:
        places.append(folder / name)
    existing = (place for place in places if is_file(place))
    return next(existing, next((place for place in places if _exists(place)), places[0]))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False

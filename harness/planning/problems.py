"""Turning pydantic's errors into one line for people: which key, and what it must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, get_args

from pydantic import AliasChoices, BaseModel, ValidationError

from harness.errors import did_you_mean
from harness.families import HIDDEN_INPUT

MOST_SHOWN = 60
"""Characters of a wrong value that a message shows."""

_WORDS: Mapping[str, str] = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be a path",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys to values",
    "mapping_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "missing": "is missing",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "needs at least {min_length} entries",
    "too_long": "takes at most {max_length} entries",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "value_error": "{error}",
}
"""What is said of pydantic's types of errors, with the values of their context."""


class Problem(NamedTuple):
    """What is wrong, and where.

    Attributes:
        path: keys and positions from the top of the validated data.
        message: one line that begins with the key.
    """

    path: tuple[str | int, ...]
    message: str


def first_problem(error: ValidationError, model: type[BaseModel]) -> Problem:
    """Describe the first problem of a failed validation.

    Args:
        error: what pydantic raised.
        model: what was validated; its fields, or those of the nested model, are suggested.
    """
    first = error.errors()[0]
    path, fields = _path(first["loc"], model)
    if first["type"] == "extra_forbidden":
        unknown = str(first["loc"][-1])
        return Problem(
            first["loc"], f"unknown key '{_dotted(first['loc'])}'{did_you_mean(unknown, fields)}"
        )
    template = _WORDS.get(first["type"])
    said = first["msg"] if template is None else template.format(**first.get("ctx", {}))
    if first["type"] in ("missing", HIDDEN_INPUT):
        shown = ""
    else:
        shown = f" (got {shorten(first.get('input'))})"
    where = f"{_dotted(path)}: " if path else ""
    return Problem(path, " ".join(f"{where}{said}{shown}".split()))


def truth_value_as_number(
    written: object, read: object, path: tuple[str | int, ...] = ()
) -> tuple[str | int, ...] | None:
    """Return the place of a true or false that was taken for the number 1 or 0; None: nowhere.

    Args:
        written: data as it was given.
        read: what validation made of it.
        path: where it is.
    """
    if isinstance(written, bool):
        misread = isinstance(read, (int, float)) and not isinstance(read, bool)
        return path if misread else None
    parts: Iterable[tuple[str | int, object, object]] = ()
    if isinstance(written, Mapping):
        parts = [(str(key), value, _inner(read, key)) for key, value in written.items()]
    elif isinstance(written, (list, tuple)) and isinstance(read, (list, tuple)):
        pairs = zip(written, read, strict=False) if len(written) == len(read) else ()
        parts = [(i, value, read_value) for i, (value, read_value) in enumerate(pairs)]
    misread_places = (
        truth_value_as_number(value, read_value, (*path, key)) for key, value, read_value in parts
    )
    return next((place for place in misread_places if place is not None), None)


def _inner(read: object, key: Any) -> object:
    """Return the value of a field in validated data, under its name or an alias."""
    if isinstance(read, Mapping):
        return read.get(key)
    if not isinstance(read, BaseModel):
        return None
    for name, field in type(read).model_fields.items():
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else (alias,)
        if key == name or key in names:
            return getattr(read, name)
    return None


def shorten(value: object) -> str:
    """Return a value as Python writes it, cut to `MOST_SHOWN` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def _dotted(path: Iterable[str | int]) -> str:
    return ".".join(map(str, path))


def _path(
    place: tuple[str | int, ...], model: type[BaseModel]
) -> tuple[tuple[str | int, ...], list[str]]:
    """The keys of an error's place, and the fields of the innermost model on the way.

    Pydantic also puts the names of union members into a place; they are left out.
    """
    kept: list[str | int] = []
    current: type[BaseModel] | None = model
    fields = list(model.model_fields)
    for part in place:
        if isinstance(part, int):
            kept.append(part)
        elif current is not None and part in current.model_fields:
            kept.append(part)
            inner = _model_within(current.model_fields[part].annotation)
            if inner is not None:
                current, fields = inner, list(inner.model_fields)
            elif current is not model:
                current = None
    return tuple(kept), fields


def _model_within(annotation: Any) -> type[BaseModel] | None:
    """The first pydantic model in an annotation such as ``tuple[Pair, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        inner = _model_within(part)
        if inner is not None:
            return inner
    return None

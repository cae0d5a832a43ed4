"""The list of plugins, and one plugin in full: config fields and an example for a spec."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python
from rich.text import Text

from harness.planning.spec import PLUGIN_KEYS
from harness.plugins import Registered
from harness.render.console.ruled import ruled
from harness.render.console.terminal import Terminal

REQUIRED = "required"


def print_plugins(console: Terminal, entries: Sequence[Registered]) -> None:
    """Print one row a plugin, under the distribution and version that it comes from."""
    packages = dict.fromkeys((e.origin.distribution, e.origin.version) for e in entries)
    for distribution, version in packages:
        rows = [
            (e.family, e.name, e.plugin.summary)
            for e in entries
            if (e.origin.distribution, e.origin.version) == (distribution, version)
        ]
        header = ("family", "name", "summary")
        title = f"{distribution} {version}"
        console.print(ruled(title, header, rows, left=(0, 1, 2), fold=(2,)))


def print_plugin(console: Terminal, entry: Registered) -> None:
    """Print what a plugin does, where it comes from, its config, and an example for a spec."""
    console.print(Text.assemble((entry.name, "bold"), f"  {entry.family}"))
    console.print(Text(entry.plugin.summary))
    console.print(Text(f"reference: {entry.plugin.reference}"), soft_wrap=True)
    console.print(Text(f"from: {entry.origin}"), soft_wrap=True)
    fields = entry.plugin.Config.model_fields
    if fields:
        rows = [
            (name, type_text(info), default_text(info), info.description or "")
            for name, info in fields.items()
        ]
        header = ("field", "type", "default", "meaning")
        console.print(ruled("", header, rows, left=(0, 1, 2, 3), fold=(1, 2, 3)))
    else:
        console.print("\nIt has no config field.\n")
    console.print(Text("in a spec:", style="bold"))
    console.print(Text(example_fragment(entry)), soft_wrap=True)


def type_text(info: FieldInfo) -> str:
    """Say what a field takes, with its bounds: ``int ≥ 1``, ``'mean' or 'sum'``."""
    bounds = " and ".join(text for text in map(_bound, info.metadata) if text)
    return f"{_annotation(info.annotation)} {bounds}".rstrip()


def default_text(info: FieldInfo) -> str:
    """A field's default as it would be written in a spec, or ``required``."""
    if info.is_required():
        return REQUIRED
    return _inline_yaml(_default(info))


def example_fragment(entry: Registered) -> str:
    """A YAML fragment that uses the plugin with its defaults.

    A field shows the first of its `examples`; a required one without examples a placeholder.
    """
    key = next(key for key, family in PLUGIN_KEYS.items() if family == entry.family)
    fields = entry.plugin.Config.model_fields
    if not fields:
        return f"{key}:\n  - {entry.name}"
    lines = [f"{key}:", f"  - use: {entry.name}"]
    for name, info in fields.items():
        stand_in = info.is_required() or info.examples
        value = _placeholder(name, info) if stand_in else _default(info)
        lines.append(f"    {name}: {_inline_yaml(value)}")
    return "\n".join(lines)


def _default(info: FieldInfo) -> Any:
    value = info.get_default(call_default_factory=True, validated_data={})
    return None if value is PydanticUndefined else _plain(value)


def _plain(value: Any) -> Any:
    """The value as YAML and JSON can hold it."""
    return to_jsonable_python(value)


def _placeholder(name: str, info: FieldInfo) -> Any:
    if info.examples:
        return _plain(info.examples[0])
    annotation = info.annotation
    if get_origin(annotation) is Literal:
        return get_args(annotation)[0]
    if annotation in (int, float):
        return 1
    if annotation is bool:
        return True
    if get_origin(annotation) in (list, tuple, set, frozenset):
        return [name]
    if get_origin(annotation) is dict:
        return {}
    return name


def _inline_yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _annotation(annotation: Any) -> str:
    if annotation is None or annotation is type(None):
        return "null"
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(_inline_yaml(arg) for arg in args)
    if args and (origin is None or not isinstance(origin, type) or origin.__name__ == "UnionType"):
        if getattr(annotation, "__metadata__", None):  # Annotated: the field has the bounds
            return _annotation(args[0])
        return " or ".join(_annotation(arg) for arg in args)
    if isinstance(origin, type) and origin in (list, tuple, set, frozenset):
        inner = [_annotation(arg) for arg in args if arg is not Ellipsis]
        return f"list of {' or '.join(dict.fromkeys(inner))}"
    if origin is dict:
        return f"mapping of {_annotation(args[0])} to {_annotation(args[1])}"
    if isinstance(annotation, type):
        return _NAMES.get(annotation.__name__, annotation.__name__)
    return re.sub(r"\b\w+\.", "", str(annotation))


_NAMES = {
    "str": "text",
    "Path": "path",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
}
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _bound(metadata: Any) -> str:
    parts = [
        f"{sign} {getattr(metadata, name):g}"
        for name, sign in _SIGNS.items()
        if isinstance(getattr(metadata, name, None), (int, float))
    ]
    return " and ".join(parts)

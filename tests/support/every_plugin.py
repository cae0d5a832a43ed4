"""Settings and files for tests of every registered plugin; nothing here names a plugin.

Values of settings are derived from their types, files from what a setting accepts, so a plugin
that is registered tomorrow is tested too. Pinned data sets are made anew: a few lines, whose
checksums stand in for the published ones.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from harness.data.files import read_bytes
from harness.data.pins import Pin, Row, file_sha256, items_hash
from harness.data.places import DataStore
from harness.errors import HarnessError
from harness.families import NOT_IN_KEY, Plugin
from harness.planning.keys import PluginInputs, content_key
from harness.planning.spec import PluginUse
from harness.plugins import Registered, Registry, load_registry

REGISTRY = load_registry(strict=True)
Config = dict[str, Any]


# -- files that a setting may name -----------------------------------------------------------


class Sample(NamedTuple):
    """A file or folder that some setting accepts, and a change of it that is not prose."""

    name: str
    text: str
    old: str
    new: str


WORDS = ("none", "another")
"""Tried for settings that are words: names of tasks and columns that the samples have."""

HALVES = ("stereo", "antistereo")

_ROW = {
    "text": "A woman waits.", "more": "A woman waits.", "less": "A man waits.",
    "stereotype": "Girls cry.", "antistereotype": "Girls win.", "unrelated": "Girls table.",
    "none": "stereo", "another": "stereo", "context": "Girls BLANK.",
}  # fmt: skip
ITEMS = "".join(
    json.dumps({name: f"{text}{end}" if " " in text else text for name, text in _ROW.items()})
    + "\n"
    for end in ("", " And more.", " Really.")
)

SAMPLES = (
    Sample("words.txt", "women\ngirls\n", "girls", "boys"),
    Sample("rows.csv", "men,women\nman,woman\nson,daughter\n", "son", "boy"),
    Sample("items.jsonl", ITEMS, ".", "!"),
    Sample("model.gguf", "GGUF", "GGUF", "GGUG"),
    Sample("tasks", "dataset_path: json\ntest_split: test\n", "test\n", "train\n"),
    Sample("model", "", "", ""),
)
"""Tried in turn for a setting that names a path; the last two are folders."""


class Place(NamedTuple):
    """A folder with all samples and all pinned data."""

    folder: Path

    @property
    def data(self) -> DataStore:
        return DataStore(
            data_dir=self.folder / "data", cache_dir=self.folder / "cache", offline=True
        )

    def copy(self, folder: Path) -> Place:
        """The same files elsewhere."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Place(folder)


def make_place(folder: Path) -> Place:
    for sample in SAMPLES:
        if sample.name == "model":
            write_model(folder / sample.name)
        elif sample.name == "tasks":
            (folder / sample.name).mkdir()
            for word in WORDS:
                task = f"task: {word}\n{sample.text}"
                (folder / sample.name / f"{word}.yaml").write_text(task, "utf-8")
        else:
            (folder / sample.name).write_text(sample.text, "utf-8")
    for pin in {pin.name: pin for entry in REGISTRY for pin in entry.plugin.pins}.values():
        for file in files_of(pin, folder / "data" / pin.filename):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{pin.name}\n{file.name}\nlast\n", "utf-8")
    return Place(folder)


def write_model(folder: Path) -> None:
    """Write what a model's folder holds; it is looked at, and not loaded."""
    folder.mkdir()
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + b"\x01\x02\x03\x04" * 2
    (folder / "model.safetensors").write_bytes(weights)
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", *NOT_READ):
        (folder / name).write_text(json.dumps(config), "utf-8")


NOT_READ = ("generation_config.json", "README.md")
"""Files of a model's folder that change nothing."""


def files_of(pin: Pin, path: Path) -> list[Path]:
    return [path / part.filename for part in pin.files] or [path]


def lines_of(pin: Pin) -> Callable[[Path], Iterator[Row]]:
    """Stands for the parser of a pin: a line is an item, blank lines say nothing."""

    def parse(path: Path) -> Iterator[Row]:
        for file in files_of(pin, path):
            for line in read_bytes(file).decode().splitlines():
                if line:
                    yield (line,)

    return parse


Changes = dict[int, dict[str, Any]]
"""New values of the fields of pins, by the pin's id: a pin is frozen, and plugins hold it."""

PINS = {id(pin): pin for entry in REGISTRY for pin in entry.plugin.pins}


def pinned_as_made(folder: Path, parser: Callable[[Pin], Callable[[Path], Any]]) -> Changes:
    """Values with which pins are those of the files in a folder."""
    changes = {}
    for number, pin in PINS.items():
        path = folder / "data" / pin.filename
        if not all(file.exists() for file in files_of(pin, path)):
            continue
        changes[number] = {
            "parse": parser(pin),
            "items_sha256": items_hash(parser(pin)(path)),
            "sha256": None if pin.files else file_sha256(path),
            "git_blob": None,
            "n_items": None,
            "files": tuple(
                part._replace(sha256=file_sha256(path / part.filename)) for part in pin.files
            ),
        }
    return changes


@contextmanager
def pinned(changes: Changes) -> Iterator[None]:
    """Change pins for a while."""
    before = {number: {n: getattr(PINS[number], n) for n in new} for number, new in changes.items()}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(changes: Changes) -> None:
    for number, new in changes.items():
        for name, value in new.items():
            object.__setattr__(PINS[number], name, value)


# -- values that a setting may have ----------------------------------------------------------


def names_a_path(name: str, field: FieldInfo) -> bool:
    """Whether a setting names a file or folder: by its type, or as the contract says by name."""
    kinds = {field.annotation, *get_args(field.annotation)}
    named = name in ("path", "include_path") or (name == "id" and is_marked(field))
    return Path in kinds or (str in kinds and named)


def values(name: str, annotation: Any, now: Any) -> Iterator[Any]:
    """Values of a type that may differ from the one that a setting has."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from inner
    elif origin in (Union, UnionType):
        for one in inner:
            yield from values(name, one, now)
    elif origin is Annotated:
        yield from values(name, inner[0], now)
    elif annotation is NoneType:
        yield None
    elif annotation is bool:
        yield from (True, False)
    elif annotation in (int, float):
        start = now if isinstance(now, (int, float)) else 1
        yield from (start * 2, start + 1, start / 2, start + 0.001, 1, 2, 40, 0.5)
    elif annotation is str:
        yield from (*WORDS, "http://127.0.0.1:9/v1", "hf_nll", "About {}.", *_ROW, *HALVES)
    elif origin is tuple:
        members = list(values(name, inner[0], None))
        start = list(now or ())
        yield from ([member] for member in members)
        yield from ([*start[: len(start) - 1], member] for member in members)
        yield from ([*start, member] for member in members)
    elif origin is dict:
        yield from ({"a": value} for value in values(name, inner[1], None))
        yield {half: half for half in HALVES}
        yield dict(zip(HALVES, reversed(HALVES), strict=True))
        yield {"learning_rate": 0.5}
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield {}
        for key, field in annotation.model_fields.items():
            for value in values(key, field.annotation, field.get_default()):
                yield {key: value}


def made(entry: Registered, config: Config, place: Place) -> Plugin[Any] | None:
    """The plugin as configured; None where it refuses the settings, or what they name."""
    try:
        plugin = entry.plugin(entry.plugin.Config.model_validate(config))
        plugin.fingerprint(place.data.knowing(REGISTRY.domains))
    except (ValidationError, HarnessError):
        return None
    return plugin


def base_config(entry: Registered, place: Place) -> Config:
    """The least that a plugin must be told."""
    required = {n: f for n, f in entry.plugin.Config.model_fields.items() if f.is_required()}
    words = [name for name, field in required.items() if not names_a_path(name, field)]
    config: Config = {}
    for name in words:
        config[name] = next(values(name, required[name].annotation, None))
    paths = [name for name, field in required.items() if names_a_path(name, field)]
    if words and not paths:  # what the words name may be in a folder
        fields = entry.plugin.Config.model_fields.items()
        paths = [name for name, field in fields if names_a_path(name, field)]
    for name in paths:
        named = [{**config, name: str(place.folder / sample.name)} for sample in SAMPLES]
        more = (
            {**own, other: value}  # what goes with a file
            for own in named
            for other, field in entry.plugin.Config.model_fields.items()
            if other not in own and not names_a_path(other, field)
            for value in values(other, field.annotation, None)
        )
        tried = (own for own in chain(named, more) if made(entry, own, place) is not None)
        config = next(tried, config)
    assert made(entry, config, place) is not None, f"give {entry.describe()} a sample file"
    return config


def variants(
    entry: Registered, config: Config, place: Place, *, files: bool = False
) -> Iterator[tuple[str, Config]]:
    """The settings of a plugin, changed one at a time: name of the setting, changed settings.

    With ``files``, settings that name a file are changed too.
    """
    before = entry.plugin.Config.model_validate(config).model_dump(mode="json")
    for name, field in entry.plugin.Config.model_fields.items():
        if names_a_path(name, field):
            tried = (str(place.folder / sample.name) for sample in SAMPLES if files)
        else:
            tried = values(name, field.annotation, before[name])
        left = ENOUGH
        for value in tried:
            changed = {**config, name: value}
            plugin = made(entry, changed, place)
            if plugin is not None and plugin.config.model_dump(mode="json")[name] != before[name]:
                yield name, changed
                left -= 1
            if not left:
                break


ENOUGH = 1
"""Values of a setting that are tried."""


def inputs_of(
    entry: Registered, config: Config, place: Place, registry: Registry = REGISTRY
) -> dict[str, Any]:
    """What a plugin contributes to a key."""
    use = PluginUse(use=entry.name, label="mine", config=config)
    return dict(PluginInputs(registry, place.data).of(entry.family, use, "gender"))


def key(entry: Registered, config: Config, place: Place, registry: Registry = REGISTRY) -> str:
    return content_key(inputs_of(entry, config, place, registry))


def key_or_reason(entry: Registered, config: Config, place: Place) -> str:
    """The key, or the one line with which the plugin refuses what it reads."""
    try:
        return key(entry, config, place)
    except HarnessError as error:
        return str(error)


def is_marked(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and NOT_IN_KEY.items() <= extra.items()

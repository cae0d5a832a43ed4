"""Content keys of every registered plugin that reads files: moved, touched and changed files.

Nothing here names a plugin. Values of settings are derived from their types, files from what a
setting accepts, so a plugin that is registered tomorrow is tested too. Pinned data sets are made
anew: a few lines, whose checksums stand in for the published ones.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, combinations, islice, product
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from harness.boundary import read_passages
from harness.data.domains import Domain
from harness.data.files import read_bytes
from harness.data.pins import Pin, Row, file_sha256, items_hash
from harness.data.places import DataStore
from harness.errors import DataError, HarnessError
from harness.families import NOT_IN_KEY, PinnedConfig, Plugin
from harness.planning.keys import PluginInputs, content_key
from harness.planning.passages import passages_hash
from harness.planning.spec import PluginUse
from harness.plugins import Registered, Registry, load_registry
from harness.types import Label, Passage, PassageRequest, Split

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


@pytest.fixture(scope="module")
def made_place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Changes]:
    made = make_place(tmp_path_factory.mktemp("place"))
    return made, pinned_as_made(made.folder, lines_of)


@pytest.fixture
def place(made_place: tuple[Place, Changes]) -> Iterator[Place]:
    """Small files in the place of all data sets, and pins with their checksums."""
    with pinned(made_place[1]):
        yield made_place[0]


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


# -- settings --------------------------------------------------------------------------------

KEYED = [entry for entry in REGISTRY if entry.family != "corpus"]
"""Plugins that are in keys themselves. A corpus is in them by its passages; see below."""


def only_value(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


@pytest.mark.parametrize("entry", KEYED, ids=lambda e: f"{e.family}-{e.name}")
def test_a_setting_changes_the_key_unless_it_is_marked(entry: Registered, place: Place) -> None:
    if is_missing(entry):
        return
    config = base_config(entry, place)
    before = inputs_of(entry, config, place)
    fields = entry.plugin.Config.model_fields
    left = {n for n, f in fields.items() if not (only_value(f) or names_a_path(n, f))}
    changes = chain(
        (({name}, changed) for name, changed in variants(entry, config, place)),
        changes_of_two(entry, config, place, left),  # settings that go together
    )
    for names, changed in changes:
        left -= names
        after = inputs_of(entry, changed, place)
        if all(is_marked(fields[name]) for name in names):
            assert after["config"] == before["config"], changed
        else:
            assert content_key(after) != content_key(before), changed
    assert not left, f"no other value of {left} was found: extend `values`"


def is_marked(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and NOT_IN_KEY.items() <= extra.items()


def changes_of_two(
    entry: Registered, config: Config, place: Place, left: set[str]
) -> Iterator[tuple[set[str], Config]]:
    """Changes of two settings, one of which could not be changed alone; ``left`` may shrink."""
    before = entry.plugin.Config.model_validate(config).model_dump(mode="json")
    for changed in pairs_of_changes(entry, config, place):
        if not left:
            return
        if not left & {name for name, value in changed.items() if config.get(name) != value}:
            continue
        plugin = made(entry, changed, place)
        if plugin is not None:
            after = plugin.config.model_dump(mode="json")
            names = {name for name in after if after[name] != before[name]}
            if names & left:
                yield names, changed


def is_missing(entry: Registered) -> bool:
    """Whether a plugin needs nothing but what is not installed, and says so."""
    if any(field.is_required() for field in entry.plugin.Config.model_fields.values()):
        return False
    try:
        REGISTRY.create(entry.family, entry.name, {}).fingerprint(DataStore(offline=True))
    except HarnessError as error:
        return "is not installed; run `pip install" in str(error)
    return False


# -- files -----------------------------------------------------------------------------------


class Reading(NamedTuple):
    """A plugin configured so that it reads files."""

    entry: Registered
    config: Config
    pins: tuple[Pin, ...]
    paths: tuple[str, ...]

    def moved(self, old: Path, new: str | Path) -> Reading:
        """The same with the files in another folder."""
        return self._replace(
            config=json.loads(json.dumps(self.config).replace(f"{old}/", f"{new}/"))
        )


def readings(entry: Registered, place: Place) -> list[Reading]:
    """Settings of a plugin with which it reads each of its data sets and kinds of files."""
    config = base_config(entry, place)
    single = (changed for _, changed in variants(entry, config, place, files=True))
    found: list[Reading] = []
    wanted = {pin.name for pin in entry.plugin.pins}
    wanted |= {n for n, f in entry.plugin.Config.model_fields.items() if names_a_path(n, f)}
    if issubclass(entry.plugin.Config, PinnedConfig):
        wanted -= {"path"}
    for changed in chain([config], single, pairs_of_changes(entry, config, place)):
        if not wanted:
            break
        plugin = made(entry, changed, place)
        if plugin is None:
            continue
        pins = tuple(pin for pin, _ in plugin.reads() if pin.name in wanted)
        paths = tuple(n for n, path in plugin.paths().items() if n in wanted and path.exists())
        if pins or paths:
            found.append(Reading(entry, changed, pins, paths))
            wanted -= {*paths, *(pin.name for pin in pins)}
    assert not wanted, f"{entry.describe()}: with no settings it reads {wanted}"
    return found


def pairs_of_changes(entry: Registered, config: Config, place: Place) -> Iterator[Config]:
    """The settings of a plugin, changed two at a time."""
    fields = entry.plugin.Config.model_fields
    before = entry.plugin.Config.model_validate(config).model_dump(mode="json")
    single = []
    for name, field in fields.items():
        if names_a_path(name, field):
            single += [(name, str(place.folder / sample.name)) for sample in SAMPLES]
        else:
            single += [(name, value) for value in values(name, field.annotation, before[name])]
    return (
        {**config, **dict(both)} for both in combinations(single, 2) if both[0][0] != both[1][0]
    )


READERS = [
    entry
    for entry in KEYED
    if entry.plugin.pins
    or any(names_a_path(name, field) for name, field in entry.plugin.Config.model_fields.items())
]


@pytest.fixture(params=READERS, ids=lambda e: f"{e.family}-{e.name}")
def reading(request: pytest.FixtureRequest, place: Place) -> list[Reading]:
    return readings(request.param, place)


def every_file(own: Reading, place: Place) -> Iterator[Path]:
    """The files that a plugin is configured to read; of a data set of many, three."""
    for pin in own.pins:
        files = files_of(pin, place.folder / "data" / pin.filename)
        yield from dict.fromkeys((files[0], files[len(files) // 2], files[-1]))
    plugin = own.entry.plugin(own.entry.plugin.Config.model_validate(own.config))
    for name in own.paths:
        path = Path(plugin.paths()[name])
        yield from sorted(path.rglob("*.*")) if path.is_dir() else (path,)


def test_where_files_are_and_when_they_were_written_is_not_in_the_key(
    reading: list[Reading], place: Place, tmp_path: Path
) -> None:
    elsewhere = place.copy(tmp_path / "other folder, ü")
    link = tmp_path / "link"
    link.symlink_to(elsewhere.folder, target_is_directory=True)
    for own in reading:
        before = key(own.entry, own.config, place)
        moved = own.moved(place.folder, elsewhere.folder)
        assert key(own.entry, moved.config, elsewhere) == before
        for path in every_file(moved, elsewhere):
            os.utime(path, (1e9, 1e9))
        assert key(own.entry, moved.config, elsewhere) == before
        for spelled in (f"{elsewhere.folder}/data/..", str(link), f"{elsewhere.folder}/."):
            other = own.moved(place.folder, spelled)
            assert key(own.entry, other.config, Place(Path(spelled))) == before, spelled
        for pin in own.pins:
            if "path" not in own.entry.plugin.Config.model_fields or len(own.pins) > 1:
                continue
            path = elsewhere.folder / "data" / pin.filename
            for given in (path, link / "data" / pin.filename, path.parent):
                named = {**own.config, "path": str(given)}
                if issubclass(own.entry.plugin.Config, PinnedConfig):
                    assert key(own.entry, named, elsewhere) == before, given


def changed_byte(path: Path) -> bytes:
    """The content of a file with a change that is not prose."""
    content = path.read_bytes()
    for sample in SAMPLES:
        if sample.old and sample.old.encode() in content:
            return content.replace(sample.old.encode(), sample.new.encode())
    if path.suffix == ".json":
        return content.replace(b"{", b'{"x": 1, ', 1)
    return content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]


def test_a_changed_byte_of_a_file_changes_the_key_or_is_refused(
    reading: list[Reading], place: Place, tmp_path: Path
) -> None:
    changed_files = 0
    copy = place.copy(tmp_path / "copy")
    for own in reading:
        before = key(own.entry, own.config, place)
        moved = own.moved(place.folder, copy.folder)
        published = {
            file for pin in own.pins for file in files_of(pin, copy.folder / "data" / pin.filename)
        }
        for path in every_file(moved, copy):
            if path.name in NOT_READ:
                continue
            whole = path.read_bytes()
            path.write_bytes(changed_byte(path))
            changed_files += 1
            if path in published:
                with pytest.raises(HarnessError, match="not the pinned data set") as caught:
                    key(own.entry, moved.config, copy)
                assert "\n" not in str(caught.value)
                if "verify" in own.entry.plugin.Config.model_fields:
                    mine = {**moved.config, "verify": False}
                    assert key(own.entry, mine, copy) != before, path
                    path.write_bytes(whole + b"\n\n")  # other bytes, the same items
                    assert key(own.entry, moved.config, copy) == before, path
            else:
                assert key_or_reason(own.entry, moved.config, copy) != before, path
            path.write_bytes(whole)
            assert key(own.entry, moved.config, copy) == before
    assert changed_files


# -- term lists ------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", KEYED, ids=lambda e: f"{e.family}-{e.name}")
def test_another_domains_terms_are_in_the_key_only_where_all_are_read(
    entry: Registered, place: Place
) -> None:
    if is_missing(entry):
        return
    config = base_config(entry, place)
    more = [*REGISTRY.domains.values(), Domain(name="caste", terms={"any": ("dalit",)})]
    changed = Registry(list(REGISTRY), domains=more)
    same = key(entry, config, place) == key(entry, config, place, changed)
    assert same or entry.plugin.every_domain


# -- corpora ---------------------------------------------------------------------------------

CORPORA = [entry for entry in REGISTRY if entry.family == "corpus"]
LINES = 300
"""Lines of a published file from which a small one is made."""


@pytest.fixture(scope="module")
def made_short(
    tmp_path_factory: pytest.TempPathFactory, shared_data: Path
) -> tuple[Place, Changes]:
    folder = tmp_path_factory.mktemp("shortened")
    rows = "".join(f"A woman waits {n}.\n" for n in range(9))
    (folder / "rows.csv").write_text(f"text\n{rows}", "utf-8")
    for pin in (pin for entry in CORPORA for pin in entry.plugin.pins):
        path, source = folder / "data" / pin.filename, shared_data / pin.filename
        for file, full in zip(files_of(pin, path), files_of(pin, source), strict=True):
            file.parent.mkdir(parents=True, exist_ok=True)
            with full.open("rb") as stream:
                file.write_bytes(b"".join(islice(stream, LINES)))
    return Place(folder), pinned_as_made(folder, lambda pin: pin.parse)


@pytest.fixture
def shortened(made_short: tuple[Place, Changes]) -> Iterator[Place]:
    """The beginnings of the published files of corpora, and pins with their checksums."""
    with pinned(made_short[1]):
        yield made_short[0]


def passages_of(entry: Registered, config: Config, place: Place) -> list[Passage]:
    """Every passage of a corpus."""
    corpus = REGISTRY.create("corpus", entry.name, config)
    data = place.data.knowing(REGISTRY.domains)
    passages: list[Passage] = []
    refusals: list[DataError] = []
    for domain, label, split in product(
        sorted(entry.plugin.domains) or ["gender", "none"], get_args(Label), get_args(Split)
    ):
        asked = PassageRequest(domain=domain, label=label, split=split, data=data)
        try:
            passages += read_passages(REGISTRY.get("corpus", entry.name), corpus, asked)
        except DataError as error:  # it may have no such passage
            refusals.append(error)
    if not passages:
        raise refusals[0]
    return passages


def read(entry: Registered, config: Config, place: Place) -> str:
    """Hash of the passages of a corpus, as keys hold those of a source."""
    return passages_hash(passages_of(entry, config, place))


def corpus_config(entry: Registered, place: Place) -> Config:
    fields = entry.plugin.Config.model_fields
    if "path" in fields and fields["path"].is_required():
        return {"path": str(place.folder / "rows.csv"), "domain_value": "gender"}
    return {}


@pytest.mark.parametrize("entry", CORPORA, ids=lambda e: e.name)
def test_passages_are_the_same_wherever_their_file_is(
    entry: Registered, shortened: Place, tmp_path: Path
) -> None:
    config = corpus_config(entry, shortened)
    before = read(entry, config, shortened)
    copy = shortened.copy(tmp_path / "copy, ü")
    moved = json.loads(json.dumps(config).replace(str(shortened.folder), str(copy.folder)))
    assert read(entry, moved, copy) == before
    (tmp_path / "link").symlink_to(copy.folder, target_is_directory=True)
    linked = json.loads(json.dumps(moved).replace(str(copy.folder), str(tmp_path / "link")))
    assert read(entry, linked, Place(tmp_path / "link")) == before
    files = [Path(moved["path"])] if "path" in moved else []
    for pin in entry.plugin.pins:
        files += files_of(pin, copy.folder / "data" / pin.filename)
        given = {**moved, "path": str(copy.folder / "data" / pin.filename)}
        assert read(entry, given, copy) == before
        assert read(entry, {**given, "verify": False}, copy) == before
    for file in files:
        os.utime(file, (1e9, 1e9))
    assert read(entry, moved, copy) == before


@pytest.mark.parametrize(
    "entry", [e for e in CORPORA if e.plugin.pins or corpus_config(e, Place(Path()))],
    ids=lambda e: e.name,
)  # fmt: skip
def test_a_changed_passage_changes_what_is_read_or_is_refused(
    entry: Registered, shortened: Place, tmp_path: Path
) -> None:
    copy = shortened.copy(tmp_path / "copy")
    config = corpus_config(entry, copy)
    passages = passages_of(entry, config, copy)
    before = passages_hash(passages)
    own = [Path(config["path"])] if "path" in config else []
    published = [
        file
        for pin in entry.plugin.pins
        for file in files_of(pin, copy.folder / "data" / pin.filename)
    ]
    changed_files = 0
    for file in (*own, *published):
        whole = file.read_bytes()
        texts = (passage.text.encode() for passage in passages)
        text = max((text for text in texts if text in whole), key=len, default=None)
        if text is None:
            continue
        inner = next(k for k in range(1, len(text)) if text[k - 1 : k + 1].isalpha())
        file.write_bytes(whole.replace(text, text[:inner] + b"x" + text[inner:]))
        changed_files += 1
        if file in published:
            with pytest.raises(DataError, match="not the pinned data set"):
                read(entry, config, copy)
            assert read(entry, {**config, "verify": False}, copy) != before
        else:
            assert read(entry, config, copy) != before
        file.write_bytes(whole)
    assert changed_files
    assert read(entry, config, copy) == before

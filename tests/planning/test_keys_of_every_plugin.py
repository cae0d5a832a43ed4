"""Content keys of every registered plugin: its settings, and the files that it reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import chain, combinations
from pathlib import Path
from typing import Literal, NamedTuple, get_args, get_origin

import pytest
from every_plugin import (
    NOT_READ,
    REGISTRY,
    SAMPLES,
    Changes,
    Config,
    Place,
    base_config,
    files_of,
    inputs_of,
    is_marked,
    key,
    key_or_reason,
    lines_of,
    made,
    make_place,
    names_a_path,
    pinned,
    pinned_as_made,
    values,
    variants,
)
from pydantic.fields import FieldInfo

from harness.data.domains import Domain
from harness.data.pins import Pin
from harness.data.places import DataStore
from harness.errors import HarnessError
from harness.families import PinnedConfig
from harness.planning.keys import content_key
from harness.plugins import Registered, Registry


@pytest.fixture(scope="module")
def made_place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Changes]:
    made = make_place(tmp_path_factory.mktemp("place"))
    return made, pinned_as_made(made.folder, lines_of)


@pytest.fixture
def place(made_place: tuple[Place, Changes]) -> Iterator[Place]:
    """Small files in the place of all data sets, and pins with their checksums."""
    with pinned(made_place[1]):
        yield made_place[0]


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

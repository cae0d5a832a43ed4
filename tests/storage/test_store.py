"""The store: hashes, damage, packing, and run folders of strangers."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import random
import shutil
from pathlib import Path

import pytest
from bench import Bench
from made_runs import made_key, make_run
from old_masks import without_words

from harness.analysis.long_table import tidy_rows
from harness.data.words import word_spans
from harness.errors import HarnessError, StoreError
from harness.replay.verification import verify
from harness.storage import run_folder
from harness.storage.masks import StoredMasks
from harness.storage.seals import sealed, unsealed
from harness.storage.store import Store
from harness.testing import sample_passages
from harness.types import MaskedPassage, Span


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# -- hashes ----------------------------------------------------------------------------------


def test_a_seal_shows_every_change_and_is_taken_off() -> None:
    text = b'{"a":1,"b":"x"}'
    whole = sealed(text)
    assert unsealed(whole) == (text, True)
    assert unsealed(text) == (text, False)
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1
        with contextlib.suppress(ValueError):
            assert unsealed(bytes(changed)) == (bytes(changed), False)  # no longer a seal at all


def tables(store: Store) -> object:
    """Every number, label, interval and note that a table can show."""
    return [row.values() for row in tidy_rows(store)], store.index().name


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_run(
        tmp_path_factory.mktemp("runs"),
        sources=("gender",),
        targets=("gender",),
        steps=(10,),
        fail={("gender", 20)},
        evaluators=("pairs", "wikitext2-perplexity"),
    )


@pytest.mark.parametrize("packed", [False, True], ids=["files", "packed"])
def test_no_flipped_bit_passes_silently(small: Store, tmp_path: Path, packed: bool) -> None:
    """1,000 flips: each is named by verify (or by every reader), or changes no table."""
    folder = tmp_path / "run"
    shutil.copytree(small.folder, folder)
    if packed:
        Store(folder).pack()
    known = {d.key + d.what for d in verify(Store(folder)).differences}  # its keys are made up
    before = tables(Store(folder))
    names = [name for name in files(folder) if not name.startswith(".")]
    kinds = sorted({name.partition("/")[0] for name in names})
    generator = random.Random(0)
    silent, harmless = [], 0
    for number in range(500):
        kind = kinds[number % len(kinds)]
        name = generator.choice([name for name in names if name.partition("/")[0] == kind])
        path = folder / name
        content = bytearray(path.read_bytes())
        whole = bytes(content)
        bit = generator.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            found = {d.key + d.what for d in verify(Store(folder)).differences}
            if found <= known:
                harmless += 1
                if tables(Store(folder)) != before:
                    silent.append((name, bit))
        except StoreError as error:
            if name not in str(error):
                silent.append((name, bit))
        finally:
            path.write_bytes(whole)
    assert silent == []
    assert harmless < 25  # a few bits of a gzip header mean nothing


# -- damage ----------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "items cut", "items gone", "other"])
def test_a_damaged_record_is_set_aside_and_measured_again(tmp_path: Path, damage: str) -> None:
    bench = Bench(tmp_path)
    bench.run()
    before = files(bench.store.folder)
    key = next(bench.store.record_keys())
    record = bench.store.folder / "records" / f"{key}.json"
    items = bench.store.folder / "items" / f"{key}.json.gz"
    path = items if damage.startswith("items") else record
    content = path.read_bytes()
    if damage.endswith("cut"):
        path.write_bytes(content[:-20])
    elif damage == "flipped":
        path.write_bytes(content.replace(b'"n":2', b'"n":3'))
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "items gone":
        path.unlink()
    else:
        other = list(bench.store.record_keys())[-1]
        path.write_bytes((path.parent / f"{other}.json").read_bytes())
    outcome = bench.run()
    assert outcome.measured == 1
    after = files(bench.store.folder)
    aside = {name for name in after if name.endswith(".damaged")}
    assert any(name.startswith(f"records/{key}") for name in aside)
    assert set(after) - aside == set(before)
    assert bench.store.damage(key) is None
    assert not verify(bench.store).differences
    assert bench.run().measured == 0


@pytest.mark.parametrize("kind", ["record", "index"])
@pytest.mark.parametrize("change", [{"schema_version": 2}, {"schema_version": 1, "more": [1]}])
def test_what_a_newer_version_wrote_is_neither_replaced_nor_set_aside(
    tmp_path: Path, kind: str, change: dict[str, object]
) -> None:
    """Two versions of the harness may share a folder: the older one leaves it alone."""
    bench = Bench(tmp_path)
    bench.run()
    folder = bench.store.folder
    key = next(bench.store.record_keys())
    path = folder / "index.json" if kind == "index" else folder / "records" / f"{key}.json"
    values = json.loads(path.read_bytes())
    del values["sha256"]
    path.write_bytes(sealed(json.dumps({**values, **change}).encode()))
    before = files(folder)
    with pytest.raises(StoreError, match="written by a newer version of the harness") as caught:
        bench.run()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    after = files(folder)
    if kind == "record":  # the index is that of the same plan, written again
        del before["index.json"], after["index.json"]
    assert after == before


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "what was finished before is kept, free some space and run"),
        (errno.EACCES, "is kept, allow writing there and run"),
        (errno.EMFILE, "is kept, raise the limit of open files (ulimit -n) and run"),
        (errno.ENOENT, "its folder was removed or replaced while the run went on; run the same"),
    ],
)
def test_a_failed_write_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    bench = Bench(tmp_path)
    bench.run()

    def fail(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(run_folder, "write_file", fail)
    with pytest.raises(StoreError) as caught:
        bench.run(name="other")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_index_is_written_anew(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run()
    index = bench.store.folder / "index.json"
    index.write_bytes(index.read_bytes()[:-9])
    with pytest.raises(StoreError, match=r"index\.json"):
        bench.store.index()
    assert bench.run().measured == 0
    assert bench.store.index().cells
    assert index.with_name("index.json.damaged").is_file()


def test_a_damaged_failure_costs_no_table(small: Store, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(small.folder, folder)
    store = make_run(tmp_path, name="failing", fail={("gender", 10)}, steps=(10,))
    (path, *_) = (store.folder / "failures").iterdir()
    path.write_bytes(b"{")
    assert any(path.name in (row.failed_reason or "") for row in tidy_rows(store))
    assert any(path.name in d.what for d in verify(store).differences)


# -- packing ---------------------------------------------------------------------------------


def test_a_packed_run_gives_the_same_tables_and_unpacks_byte_for_byte(tmp_path: Path) -> None:
    store = make_run(tmp_path, fail={("race", 20)})
    before, numbers = files(store.folder), tables(store)
    checked = verify(store)
    written = store.pack()
    assert {path.name for path in written} == {"records.jsonl.gz", "items.jsonl.gz"}
    assert sorted(os.listdir(store.folder)) == ["index.json", "items.jsonl.gz", "records.jsonl.gz"]
    packed = files(store.folder)
    assert sum(map(len, packed.values())) < sum(map(len, before.values()))
    for reader in (store, Store(store.folder)):
        assert tables(reader) == numbers
        assert verify(reader) == checked
    store.pack()
    assert files(store.folder) == packed
    store.unpack()
    assert files(store.folder) == before
    assert tables(Store(store.folder)) == numbers


def test_a_packed_run_resumes_and_packs_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run()
    whole = files(bench.store.folder)
    keys = list(bench.store.record_keys())
    bench.store.pack()
    bench.store = Store(bench.store.folder)
    assert bench.run().measured == 0
    assert list(bench.store.record_keys()) == keys
    masks = list(bench.store.mask_keys())
    assert masks
    assert all(bench.store.masks(name) is not None for name in masks)
    # a damaged packed record is measured again, and counts before the packed one
    lost = keys[0]
    packed = bench.store.folder / "items.jsonl.gz"
    packed.write_bytes(b"x" + packed.read_bytes()[1:])
    bench.store = Store(bench.store.folder)
    assert bench.store.damage(lost) is not None
    assert bench.run().measured == 1
    assert bench.store.damage(lost) is None
    bench.store.unpack()
    now = {name: text for name, text in files(bench.store.folder).items() if lost not in name}
    assert {n: t for n, t in now.items() if n != "index.json"} == {
        n: t for n, t in whole.items() if n != "index.json" and lost not in n
    }


def test_a_damaged_pack_is_set_aside_and_measured_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run()
    keys = list(bench.store.record_keys())
    bench.store.pack()
    path = bench.store.folder / "records.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-30])
    bench.store = Store(bench.store.folder)
    assert bench.run().measured == len(keys)
    names = set(os.listdir(bench.store.folder))
    assert {"records.jsonl.gz.damaged", "items.jsonl.gz.damaged"} <= names
    assert not verify(bench.store).differences


def test_a_damaged_run_is_not_packed(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    path = next((store.folder / "items").iterdir())
    path.write_bytes(path.read_bytes()[:-1])
    before = files(store.folder)
    with pytest.raises(StoreError, match=path.name):
        store.pack()
    assert files(store.folder) == before


# -- masks -----------------------------------------------------------------------------------


def masked() -> tuple[MaskedPassage, ...]:
    return tuple(
        MaskedPassage(passage=p, spans=(Span(start=0, end=3, kind="attribute", reason="a rule"),))
        for p in sample_passages()
    )


def test_stored_masks_hold_no_text_and_fit_the_same_passages_only() -> None:
    answers = masked()
    masks = StoredMasks.of(answers)
    assert not any(a.passage.text.encode() in masks.text for a in answers)
    passages = tuple(a.passage for a in answers)
    assert StoredMasks.of_text(masks.text, masks.sha256).apply(passages) == answers
    other = passages[0].model_copy(update={"text": passages[0].text + "!"})
    for wrong in (passages[1:], (other, *passages[1:]), passages[::-1]):
        with pytest.raises(StoreError, match="others now"):
            masks.apply(wrong)
    with pytest.raises(ValueError, match="changed"):
        StoredMasks.of_text(masks.text.replace(b'"start":0', b'"start":1'), masks.sha256)


def test_masks_of_an_earlier_version_keep_their_name_and_get_their_words(tmp_path: Path) -> None:
    new = StoredMasks.of(masked())
    old = without_words(new)
    assert old.sha256 == new.sha256
    assert {mask.words for mask in old.each()} == {None}
    assert [mask.words for mask in new.each()] == [
        len(word_spans(answer.passage.text)) for answer in masked()
    ]
    store = Store(tmp_path)
    store.prepare()
    for masks in (old, new):
        store.write_masks(masks)
        assert store.masks(masks.sha256) == masks
    passages = tuple(answer.passage for answer in masked())
    assert old.apply(passages) == new.apply(passages) == masked()


def test_a_run_stores_the_masks_of_its_fits_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run()
    used = set()
    for cell in bench.store.index().cells:
        for ref in cell.measures:
            record = bench.store.record(ref.key, items=False)
            assert record is not None
            assert (record.masks is None) == (ref.step == 0 or cell.masker is None)
            used.add(record.masks)
    assert set(bench.store.mask_keys()) == used - {None}


# -- folders of strangers --------------------------------------------------------------------

HOSTILE = ["../x", "/etc/passwd", "..", "a/b", "A" * 24, "", "0" * 65, "é", "0\n", "C:\\x"]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_key_is_never_a_path(tmp_path: Path, key: str) -> None:
    store = make_run(tmp_path, steps=(10,), sources=("gender",))
    for use in (store.record, store.has_record, store.item_tables, store.masks):
        with pytest.raises(StoreError, match="not a key"):
            use(key)
    with pytest.raises(StoreError, match="not a key"):
        store.checkpoints.find(key, 1)
    text, _ = unsealed((store.folder / "index.json").read_bytes())
    for old in (made_key("pairs-base-0"), made_key("identity")):
        hostile = text.replace(
            old.encode(), key.replace("\\", "\\\\").replace("\n", "\\n").encode()
        )
        (store.folder / "index.json").write_bytes(sealed(hostile))
        with pytest.raises(StoreError, match=r"index\.json: not a RunIndex"):
            store.index()


def test_linked_folders_and_files_of_a_run_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for folder in ("records", "items", "failures", "checkpoints", "masks"):
        store = make_run(tmp_path, name=f"run-{folder}", steps=(10,), sources=("gender",))
        target = elsewhere / folder
        if (store.folder / folder).exists():
            shutil.move(store.folder / folder, target)
        target.mkdir(parents=True, exist_ok=True)
        (target / ".mine.partial").write_bytes(b"keep")
        (target / ".mine2.partial").mkdir()
        (store.folder / folder).symlink_to(target)
        before = files(elsewhere)
        with store.locked():
            pass
        key = next(iter(store.index().cells[1].measures)).key
        uses = {
            "checkpoints": lambda s=store: (
                s.checkpoints.find("0" * 24, 1),
                s.checkpoints.scratch(),
            ),
            "masks": lambda s=store: (s.masks("0" * 24), s.write_masks(StoredMasks.of(masked()))),
            "records": lambda s=store, k=key: s.record(k),
            "items": lambda s=store, k=key: s.record(k),
            "failures": lambda s=store: list(s.failure_keys()),
        }
        with pytest.raises(StoreError, match=rf"{folder}: not a folder of this run"):
            uses[folder]()
        assert files(elsewhere) == before
        assert (target / ".mine2.partial").is_dir()


def test_linked_files_are_neither_read_nor_written_through(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    store = make_run(tmp_path, steps=(10,), sources=("gender",))
    key = next(store.record_keys())
    for name in ("index.json", f"records/{key}.json", f"items/{key}.json.gz"):
        path = store.folder / name
        shutil.copy(path, secret)
        path.unlink()
        path.symlink_to(secret)
        with pytest.raises(StoreError, match="link"):
            store.index() if name == "index.json" else store.record(key)
        path.unlink()
        shutil.copy(secret, path)
    record = store.record(key)
    assert record is not None
    path = store.folder / "records" / f"{key}.json"
    path.unlink()
    secret.write_bytes(b"mine")
    path.symlink_to(secret)
    store.write_record(record)
    assert secret.read_bytes() == b"mine"
    assert not path.is_symlink()
    for link in (os.symlink, os.link):
        lock = store.folder / ".lock"
        link(secret, lock)
        with pytest.raises(StoreError, match="cannot lock"), store.locked():
            pass
        assert secret.read_bytes() == b"mine"
        lock.unlink()


def test_devices_pipes_and_bombs_end_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_folder, "MOST_BYTES", 2**20)
    monkeypatch.setattr(run_folder, "MOST_VALUES", 10_000)
    store = make_run(tmp_path, steps=(10,), sources=("gender",))
    key = next(store.record_keys())
    items = store.folder / "items" / f"{key}.json.gz"
    items.unlink()
    os.mkfifo(items)
    with pytest.raises(StoreError, match="not a regular file"):
        store.record(key)
    items.unlink()
    text, _ = unsealed((store.folder / "records" / f"{key}.json").read_bytes())
    start = text.index(b',"items_sha256"')
    (store.folder / "records" / f"{key}.json").write_bytes(text[:start] + b"}")  # any items will do
    bombs = {
        "longer than": gzip.compress(b"[" + b" " * 2**20 + b"]", 1),
        "values": gzip.compress(b"[" + b"[]," * 6_000 + b"[]]", 1),
        "cannot read": gzip.compress(b"[" * 100_000 + b"]" * 100_000),
        "compressed data": gzip.compress(b"[[]]") + b"more",
    }
    for words, bomb in bombs.items():
        items.write_bytes(bomb)
        for read in (store.record, store.item_tables):
            with pytest.raises(StoreError, match=words):
                read(key)
    index = store.folder / "index.json"
    for content in (b"[" * 2**19, b'{"a":' * 10**4, b"{" + b'"a":[],' * 10**4, b" " * 2**21):
        index.write_bytes(content)
        with pytest.raises(StoreError, match=r"index\.json"):
            store.index()


def test_a_kept_checkpoint_with_links_is_refused(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(b"mine")
    folder = store.folder / "checkpoints" / ("a" * 24) / "step-1"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"")
    assert store.checkpoints.find("a" * 24, 1) == folder
    (folder / "config.json").symlink_to(secret)
    with pytest.raises(HarnessError, match=r"config\.json: not a regular file"):
        store.checkpoints.find("a" * 24, 1)

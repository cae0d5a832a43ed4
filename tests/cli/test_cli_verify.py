"""harness verify: stored numbers follow from their items."""

from __future__ import annotations

from pathlib import Path

from bench import Bench
from command_line import invoke, rows, text_of
from made_runs import make_run

from harness.replay.verification import verify
from harness.storage.seals import sealed, unsealed


def test_every_stored_number_follows_from_its_items(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run()
    found = verify(bench.store)
    assert found.records == len(list(bench.store.record_keys()))
    assert found.numbers > found.records
    assert found.differences == ()
    assert "all as stored" in text_of("verify", bench.store.folder)


def test_altered_numbers_items_and_inputs_are_found(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run()
    keys = list(bench.store.record_keys())
    suites = [k for k in keys if "stereotype_score" in _path(bench, k).read_text()]

    def alter(key: str, old: str, new: str) -> None:
        text, _ = unsealed(_path(bench, key).read_bytes())
        assert old.encode() in text
        changed = text.replace(old.encode(), new.encode(), 1)
        _path(bench, key).write_bytes(sealed(changed))  # with a hash that fits the change

    alter(suites[0], '"value":', '"value":1')
    alter(suites[1], '"n":2', '"n":3')
    alter(suites[2], '"schema":1', '"schema":2')
    items = bench.store.folder / "items"
    (items / f"{suites[3]}.json.gz").unlink()
    (items / f"{suites[4]}.json.gz").write_bytes(b"not gzip")
    found = {d.key: d.what for d in verify(bench.store).differences}
    assert "value is" in found[suites[0]]
    assert found[suites[1]] == "n is 3, its items give 2"
    assert "not the hash" in found[suites[2]]
    assert "cannot read the items" in found[suites[3]]
    assert "cannot read the items" in found[suites[4]]
    assert len(found) == 5
    result = invoke("verify", bench.store.folder)
    assert result.exit_code == 1
    assert "5 do not agree" in rows(result.output)


def test_a_decision_that_does_not_follow_from_its_scores_is_found(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    refs = [ref for cell in store.index().cells for ref in cell.measures]
    key = next(ref.key for ref in refs if ref.evaluator == "pairs")
    record = store.record(key)
    assert record is not None
    first, *others = record.measurements
    item = first.items[3]
    values = {**item.values, "prefers_stereotype": 1.0 - item.values["prefers_stereotype"]}
    items = (*first.items[:3], item.model_copy(update={"values": values}), *first.items[4:])
    metrics = tuple(metric.compute(items) for metric in first.metrics)  # they follow from it
    changed = first.model_copy(update={"items": items, "metrics": metrics})
    store.write_record(record.model_copy(update={"measurements": (changed, *others)}))
    (found,) = (d.what for d in verify(store).differences if "scores" in d.what)
    assert found == f"prefers_stereotype of item {item.id} does not follow from its scores"


def _path(bench: Bench, key: str) -> Path:
    return bench.store.folder / "records" / f"{key}.json"

"""harness compare, show, verify, and the options of matrix and leaderboard."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from harness_evaluators.embedded import EmbeddedConfig, embedded_pairs
from harness_evaluators.pairs import pair_metrics
from made_runs import NOW, PROVENANCE, make_run
from test_runner import Bench

from harness.cli.main import cli
from harness.comparing import compare
from harness.errors import DataError, HarnessError, StoreError
from harness.leaderboard import Leaderboard, rank
from harness.matrix import build_matrix
from harness.metrics import Item, Metric
from harness.records import Cell, ControlKind, MeasureRef, Record, RunIndex
from harness.stats import percentile_interval
from harness.store import Store
from harness.transfer import transfers
from harness.types import Measurement
from harness.verification import verify


def invoke(*words: object, width: int = 100) -> Result:
    arguments = [str(word) for word in words]
    return CliRunner().invoke(cli, ["--offline", *arguments], env={"COLUMNS": str(width)})


def text_of(*words: object, width: int = 100) -> str:
    result = invoke(*words, width=width)
    assert result.exit_code == 0, result.output
    return result.output


def rows(text: str) -> str:
    return " ".join(text.split())


def with_label(store: Store, debiaser: str, label: str) -> None:
    """The cells of a debiaser once more, as the same computation under another label."""
    index = store.index()
    again = [
        cell.model_copy(update={"label": label})
        for cell in index.cells
        if cell.debiaser == debiaser
    ]
    assert again
    store.write_index(index.model_copy(update={"cells": (*index.cells, *again)}))


def test_what_reads_no_passage_is_shown_once_under_all_labels(tmp_path: Path) -> None:
    store = make_run(tmp_path, methods=["dropout"], maskers=[None], seeds=[0, 1])
    before = text_of("matrix", store.folder), text_of("leaderboard", store.folder)
    with_label(store, "dropout", "non-hateful")
    assert "non-hateful" in text_of("export", store.folder, "--format", "csv")
    assert (text_of("matrix", store.folder), text_of("leaderboard", store.folder)) == before
    assert before[0].count("dropout, 2 seeds") == 4  # two sources, columns in two blocks


def test_every_control_is_subtracted_and_none_is_cut_off(tmp_path: Path) -> None:
    kinds: dict[str, ControlKind] = {
        "a-control-of-a-long-name": "change",
        "another-control-of-a-long-name": "texts",
        "neutral-ascent-and-no-more": "change",
        "weight-noise": "change",
    }
    store = make_run(tmp_path, methods=["mlm-unlearning", *kinds], seeds=[0, 1])
    index = store.index()
    cells = [
        cell.model_copy(update={"control_kind": kinds.get(cell.debiaser or "")})
        for cell in index.cells
    ]
    store.write_index(index.model_copy(update={"cells": tuple(cells)}))
    board = rank([store])
    (method,) = (s for s in board.standings if not s.control)
    nets = {net.control: net for net in method.nets}
    assert set(nets) == {f"{name} + wordlist" for name in kinds if kinds[name] != "texts"} | {
        "identity"
    }
    table = text_of("leaderboard", store.folder, width=80).split("Net of each control")[1]
    for name, net in nets.items():
        assert rows(name) in rows(table)
        assert net.over_seeds is not None
    assert max(map(len, table.splitlines())) <= 80


# -- matrix ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100])
def test_tables_fit_and_keep_every_column(tmp_path: Path, width: int) -> None:
    targets = ["gender", "race", "religion", "age", "disability", "nationality", "orientation"]
    store = make_run(tmp_path, targets=targets, maskers=["wordlist", "random"])
    for command in ("matrix", "leaderboard"):
        text = text_of(command, store.folder, width=width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
    matrix = text_of("matrix", store.folder, width=width)
    for target in targets:
        assert target in matrix
    board = text_of("leaderboard", store.folder, width=width)
    assert "perplexity" in board.splitlines()[3]


def test_several_seeds_are_summarised_and_kept_apart_from_items(tmp_path: Path) -> None:
    store = make_run(tmp_path, seeds=range(5), identity=True)
    matrix = build_matrix(store)
    assert [len(row.entries[0].seeds) for row in matrix.seeds] == [5, 5]
    own = matrix.seeds[0].entries[0]
    entries = [row.entry(own.column) for row in matrix.rows if row.cell.source == "gender"]
    changes = [e.change for e in entries if e is not None and e.change is not None][:5]
    assert own.change.mean == pytest.approx(sum(changes) / 5)
    assert entries[0] is not None
    assert own.change.interval != entries[0].interval
    text = text_of("matrix", store.folder)
    assert "5 seeds" in text
    assert "±" in text
    assert "seed 4" in text_of("matrix", store.folder, "--each-seed")
    single = build_matrix(make_run(tmp_path, name="single"))
    assert single.seeds == ()


def test_holm_is_stricter_and_intervals_are_shown(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    by = {c: build_matrix(store, correction=c) for c in ("bh", "holm")}
    pairs = [
        (a.adjusted_p, b.adjusted_p)
        for x, y in zip(by["bh"].rows, by["holm"].rows, strict=True)
        for a, b in zip(x.entries, y.entries, strict=True)
    ]
    assert all(a is not None and b is not None and a <= b for a, b in pairs)
    assert any(a != b for a, b in pairs)
    text = text_of("matrix", store.folder, "--correction", "holm", "--intervals")
    assert "Holm" in text
    assert "[" in text.splitlines()[5]


def test_a_step_or_metric_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    result = invoke("matrix", store.folder, "--step", 15)
    assert isinstance(result.exception, StoreError)
    assert "no step 15 (known: 1, 10, 20, 30)" in str(result.exception)
    text = text_of("matrix", store.folder, "--metric", "stereotype_score_balanced")
    assert "stereotype_score_balanced (pairs, hf_nll)" in text


def skewed(folder: Path) -> Store:
    """A method that only makes the disadvantaged group's words rarer: 95 stereo, 35 antistereo."""
    store = Store(folder / "skewed")
    store.prepare()

    def record(key: str, rarer: float) -> None:
        items = []
        for i in range(260):
            stereo = i % 13 != 0
            margin = 0.3 + ((i * 37) % 100 - 50) / 50
            margin += -rarer if stereo else rarer
            items.append(
                Item(
                    id=f"i{i}",
                    stratum="stereo" if stereo else "antistereo",
                    values={
                        "more": margin,
                        "less": 0.0,
                        "prefers_stereotype": float(margin > 0),
                        "tie": 0.0,
                    },
                )
            )
        measurement = Measurement(
            domain="race", protocol="hf_nll", metrics=pair_metrics(items), items=tuple(items)
        )
        store.write_record(
            Record(
                key=key,
                inputs={},
                measurements=(measurement,),
                provenance=PROVENANCE,
                created_at=NOW,
                seconds={},
            )
        )

    record("base", 0.0)
    record("after", 0.3)
    refs = [MeasureRef(step=s, evaluator="pairs", key=k) for s, k in ((0, "base"), (10, "after"))]
    cells = (
        Cell(model="m", measures=tuple(refs[:1])),
        Cell(model="m", debiaser="d", source="race", seed=0, fit_key="f", measures=tuple(refs)),
    )
    store.write_index(
        RunIndex(name="skewed", created_at=NOW, spec={}, targets=("race",), cells=cells)
    )
    return store


def test_a_score_that_moves_without_its_balanced_mean_is_warned_of(tmp_path: Path) -> None:
    store = skewed(tmp_path)
    (entry,) = build_matrix(store).rows[0].entries
    assert entry.improvement is not None
    assert entry.improvement > 5
    assert entry.significant
    assert {half.name for half in entry.halves} == {"stereo", "antistereo"}
    by_name = {half.name: half.change or 0.0 for half in entry.halves}
    assert by_name["stereo"] < 0 < by_name["antistereo"]
    assert entry.warning is not None
    assert "group words may only have become rarer" in rows(text_of("matrix", store.folder))
    assert "group words may only have become rarer" in rows(text_of("leaderboard", store.folder))
    (did,) = build_matrix(store, metric="preference_did").rows[0].entries
    assert did.change == pytest.approx(0.0)


# -- transfer and controls -------------------------------------------------------------------


def test_transfer_is_improvement_on_targets_over_that_on_the_source(tmp_path: Path) -> None:
    store = make_run(tmp_path)
    (own,) = [t for t in transfers(build_matrix(store)) if t.method.startswith("mlm")]
    entries = [
        (row.cell.source == e.column.domain, e.improvement or 0.0)
        for row in build_matrix(store).rows
        for e in row.entries
        if e.towards_target and row.cell.debiaser == "mlm-unlearning"
    ]
    inside = [gain for same, gain in entries if same]
    outside = [gain for same, gain in entries if not same]
    assert own.on_sources is not None
    assert own.on_sources.value == pytest.approx(sum(inside) / len(inside))
    assert own.compared == len(outside) == 4
    assert own.harmed == sum(gain < 0 for gain in outside)
    assert own.gained == sum(gain > 0 for gain in outside)
    (both,) = own.asymmetries
    by_pair = {(p.source, p.target): p.on_target.value for p in own.pairs}
    there, back = by_pair["gender", "race"], by_pair["race", "gender"]
    assert both.difference.value == pytest.approx(there - back)
    assert (own.ratio.value is None) == (own.ratio.reason is not None)
    text = text_of("matrix", store.folder)
    (line,) = [x for x in text.split("Transfer:")[1].splitlines() if x.startswith(" mlm-")]
    assert line.split()[-4:] == [
        f"{own.gained}/4", f"({own.surely_gained})", f"{own.harmed}/4", f"({own.surely_harmed})"
    ]  # fmt: skip


def board(store: Store, **options: object) -> Leaderboard:
    return rank([store], **options)  # type: ignore[arg-type]


def test_effects_net_of_a_control_are_differences_on_the_same_items(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    plain = {s.method: s for s in board(store).standings}
    method = plain["mlm-unlearning + wordlist"]
    assert method.net_of == "identity"
    assert method.net is not None
    assert method.net.value == pytest.approx(method.improvement)
    named = {s.method: s for s in board(store, control="random").standings}
    against = named["mlm-unlearning + wordlist"]
    random = named["mlm-unlearning + random"]
    assert against.net_of == "mlm-unlearning + random"
    assert against.net is not None
    assert method.improvement is not None
    assert random.improvement is not None
    assert against.net.value == pytest.approx(method.improvement - random.improvement)
    assert random.net is None
    with pytest.raises(StoreError, match="no run here has a control 'randon'; did you mean"):
        board(store, control="randon")


def test_the_index_says_which_cells_are_controls(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    plan = bench.plan(label=["hateful", "non-hateful"], steps=[10])
    kinds = {(c.debiaser, c.label): c.control_kind for c in plan.index.cells if not c.is_base}
    assert kinds["toy-debiaser", "hateful"] is None
    assert kinds["toy-debiaser", "non-hateful"] == "texts"
    assert kinds["toy-identity", "hateful"] == "identity"


def test_curves_are_read_at_the_same_cost_and_never_beyond(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    found = board(store)
    costs = {s.method: s.cost_increase or 0.0 for s in found.standings if not s.control}
    weak, strong = "mlm-unlearning + random", "mlm-unlearning + wordlist"
    assert costs[weak] < costs[strong]
    least = found.levels[0]
    assert 0 < least <= costs[weak]  # the mean over sources; the least is the weakest one's
    by_method = {s.method: s for s in found.standings}
    assert all(by_method[name].matched[0].value is not None for name in (weak, strong))
    beyond = {s.method: s for s in board(store, match_at=costs[strong] / 2).standings}
    assert beyond[weak].matched[0].value is None
    assert beyond[strong].matched[0].value is not None
    text = text_of("leaderboard", store.folder, "--at-perplexity-increase", costs[strong] / 2)
    assert f"fitted at once and have no curve: {weak}" in rows(text)


def test_intervals_at_the_same_cost_are_those_of_the_steps_on_either_side(tmp_path: Path) -> None:
    store = make_run(tmp_path, sources=["race"])

    def at(step: int) -> tuple[float, np.ndarray]:
        """Cost, and bootstrap values of the mean improvement, read from a matrix of that step."""
        (method,) = (s for s in board(store, step=step).standings if not s.control)
        row = build_matrix(store, step=step).rows[0]
        draws = [e.draws.improvement for e in row.entries if e.towards_target and e.draws]
        return method.cost_increase or 0.0, np.mean(draws, axis=0)

    (low, before), (high, after), (last, _) = at(10), at(20), at(30)
    assert low < high < last
    (middle,) = (
        s for s in board(store, match_at=low + 0.25 * (high - low)).standings if not s.control
    )
    expected = percentile_interval(0.75 * before + 0.25 * after)
    assert middle.matched[0].interval == pytest.approx(expected)
    (end,) = (s for s in board(store, match_at=last).standings if not s.control)
    assert end.mean is not None
    assert end.matched[0].interval == pytest.approx(end.mean.interval)
    start = percentile_interval(0.5 * before)  # the base has improved by nothing in every sample
    (half,) = (s for s in board(store, match_at=low / 2).standings if not s.control)
    assert half.matched[0].interval == pytest.approx(start)


def test_a_budget_keeps_costly_methods_out_of_the_ranking(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    costs = {s.method: s.cost_increase or 0.0 for s in board(store).standings}
    limit = costs["mlm-unlearning + random"] + 0.01
    found = {s.method: s.in_budget for s in board(store, budget=limit).standings}
    assert found["mlm-unlearning + random"] is True
    assert found["mlm-unlearning + wordlist"] is False
    text = text_of("leaderboard", store.folder, "--max-perplexity-increase", limit)
    assert " over " in text
    assert invoke("leaderboard", store.folder, "--max-perplexity-increase", "-1").exit_code == 2


def test_the_pareto_front_is_what_no_other_method_beats(tmp_path: Path) -> None:
    store = make_run(tmp_path, maskers=["wordlist", "random"])
    ranked = [s for s in board(store).standings if not s.control]
    for own in ranked:
        beaten = any(
            (o.improvement or 0) > (own.improvement or 0)
            and (o.cost_increase or 0) < (own.cost_increase or 0)
            for o in ranked
        )
        assert not (own.pareto and beaten)
    assert any(own.pareto for own in ranked)
    assert not any(s.pareto for s in board(store).standings if s.control)


def test_several_runs_and_reported_numbers(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one")
    two = make_run(tmp_path, name="two", maskers=["random"])
    text = text_of("leaderboard", one.folder, two.folder, "--reported", "paper")
    assert "one / tiny_1" in rows(text)
    assert "two / tiny_1" in rows(text)
    ranked, reported = text.split("Reported, not measured here")
    assert "58.4" in reported
    assert "58.4" not in ranked
    result = invoke("leaderboard", one.folder, "--reported", "papr")
    assert isinstance(result.exception, DataError)
    assert "did you mean 'paper'" in str(result.exception)


# -- compare ---------------------------------------------------------------------------------


def test_runs_with_the_same_items_are_paired(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one")
    two = make_run(tmp_path, name="two", steps=[10])
    found = compare(one, two)
    assert not found.only_first
    cell = next(c for c in found.cells if "mlm" in c.title and "gender" in c.title)
    assert (cell.first_step, cell.second_step) == (30, 10)
    own = cell.numbers[0]
    assert own.shared == 40
    assert own.test is not None
    assert own.adjusted_p is not None
    assert own.difference == pytest.approx(100 * (own.test.gained - own.test.lost) / 40)
    base = found.cells[0]
    assert all(n.difference == 0.0 and n.adjusted_p == 1.0 for n in base.numbers)
    for width in (80, 100):
        text = text_of("compare", one.folder, two.folder, width=width)
        assert max(map(len, text.splitlines())) <= width


def test_runs_without_shared_items_stand_side_by_side(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one")
    two = make_run(tmp_path, name="two")
    for path in (two.folder / "items").iterdir():
        items = json.loads(gzip.decompress(path.read_bytes()))
        for item in (item for group in items for item in group):
            item["id"] = f"other-{item['id']}"
        path.write_bytes(gzip.compress(json.dumps(items).encode()))
    numbers = [n for cell in compare(one, two).cells for n in cell.numbers]
    assert numbers
    assert all(n.shared == 0 and n.p is None and n.interval is None for n in numbers)
    assert "none shared" in text_of("compare", one.folder, two.folder)


def test_differences_are_of_the_items_that_both_runs_have(tmp_path: Path) -> None:
    """A run on fewer items of the same suite does not differ from the whole one by the others."""
    one = make_run(tmp_path, name="one")
    two = make_run(tmp_path, name="two")
    for key in two.record_keys():
        record = two.record(key)
        assert record is not None
        if key.startswith("pairs"):
            few = []
            for m in record.measurements:
                items = m.items[:15]
                metrics = tuple(
                    Metric.of_items(
                        metric.name, items, estimator=metric.estimator, of=metric.of,
                        direction=metric.direction, stratum=metric.stratum, primary=metric.primary,
                    )
                    for metric in m.metrics
                )  # fmt: skip
                few.append(m.model_copy(update={"items": items, "metrics": metrics}))
            two.write_record(record.model_copy(update={"measurements": tuple(few)}))
    numbers = [n for cell in compare(one, two).cells for n in cell.numbers if n.shared == 15]
    assert len(numbers) > 10
    assert any(n.first.value != n.second.value for n in numbers)
    assert {n.difference for n in numbers} == {0.0}
    assert all(n.interval == (0.0, 0.0) for n in numbers)
    text = rows(text_of("compare", one.folder, two.folder))
    assert "over each run's own items" in text


def test_models_of_one_run_alone_are_listed(tmp_path: Path) -> None:
    one = make_run(tmp_path, name="one", sources=["gender", "race"])
    two = make_run(tmp_path, name="two", sources=["gender"])
    text = rows(text_of("compare", one.folder, two.folder))
    assert "only in one: tiny_1 / mlm-unlearning / dghs / wordlist / race" in text


def test_compare_with_published_numbers_tests_nothing(tmp_path: Path) -> None:
    store = make_run(tmp_path, name="one", steps=[10, 50])
    index = store.index()
    renamed = json.loads(index.model_dump_json().replace('"pairs"', '"crows-pairs"'))
    store.write_index(RunIndex.model_validate(renamed))
    text = rows(text_of("compare", store.folder, "--reported", "paper"))
    assert "side by side, not tested" in text
    assert "58.40" in text
    result = invoke("compare", store.folder)
    assert result.exit_code == 2
    assert "--reported" in result.output
    bare = make_run(tmp_path, name="bare", evaluators=["corpus-perplexity"])
    result = invoke("compare", bare.folder, "--reported", "paper")
    assert isinstance(result.exception, StoreError)


# -- show ------------------------------------------------------------------------------------


def suite(folder: Path) -> Store:
    """A run on embedded pairs: scores made up so that three items flip, by known amounts."""
    store = Store(folder / "suite")
    store.prepare()
    pairs = embedded_pairs("gender")

    def record(key: str, moved: dict[int, float]) -> None:
        items = tuple(
            Item(
                id=pair.id,
                cluster=pair.cluster,
                stratum=pair.stratum,
                values={
                    "more": -3.0 + moved.get(i, 0.0),
                    "less": -3.1,
                    "prefers_stereotype": float(-3.0 + moved.get(i, 0.0) > -3.1),
                    "tie": 0.0,
                },
            )
            for i, pair in enumerate(pairs)
        )
        measurement = Measurement(
            domain="gender", protocol="hf_nll", metrics=pair_metrics(items), items=items
        )
        store.write_record(
            Record(
                key=key,
                inputs={},
                measurements=(measurement,),
                provenance=PROVENANCE,
                created_at=NOW,
                seconds={},
            )
        )

    record("base", {})
    record("after", {3: -0.2, 70: -0.9, 100: -0.5, 5: 0.4})
    refs = [MeasureRef(step=s, evaluator="mine", key=k) for s, k in ((0, "base"), (10, "after"))]
    cells = [Cell(model="m", measures=tuple(refs[:1]))]
    for source in ("gender", "race"):
        cells.append(
            Cell(
                model="m",
                debiaser="d",
                source=source,
                seed=0,
                fit_key=source,
                measures=tuple(refs),
            )
        )
    config = EmbeddedConfig().model_dump(mode="json")
    spec = {
        "evaluators": [{"use": "embedded-pairs", "label": "mine", "config": config}],
        "limits": {"items": None, "seed": 0},
    }
    store.write_index(
        RunIndex(name="suite", created_at=NOW, spec=spec, targets=("gender",), cells=tuple(cells))
    )
    return store


def test_flipped_items_are_shown_biggest_first_with_their_sentences(tmp_path: Path) -> None:
    store = suite(tmp_path)
    text = text_of("show", store.folder, "d/gender")
    assert "3 of 132 items flipped: 0 from 0 to 1, 3 from 1 to 0" in text
    pairs = embedded_pairs("gender")
    places = [text.index(f"{pairs[i].id} ") for i in (70, 100, 3)]
    assert places == sorted(places)
    assert f"{pairs[5].id} " not in text  # moved, but did not flip
    flat = rows(text)
    for i in (70, 100, 3):
        assert pairs[i].more in flat
        assert pairs[i].less in flat
    assert "margin moved by 0.900" in flat
    bare = text_of("show", store.folder, "d/gender", "--no-text", "--limit", 1)
    assert pairs[70].more not in bare
    assert "2 more" in bare


def test_without_the_data_ids_and_scores_are_shown(tmp_path: Path) -> None:
    store = suite(tmp_path)
    index = json.loads(store.index().model_dump_json())
    index["spec"]["evaluators"][0].update(use="crows-pairs", config={})
    store.write_index(RunIndex.model_validate(index))
    text = rows(text_of("show", store.folder, "d/gender"))
    assert "sentences not shown: data set 'crows-pairs' is not here" in text
    assert embedded_pairs("gender")[70].id in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["d"], "several cells are 'd'"),
        (["nobody"], "no cell is 'nobody': name parts of one"),
        (["d/gender", "--step", "7"], r"has no step 7 \(known: 10\)"),
        (["d/gender", "--target", "rac"], "no target 'rac' here"),
        (["d/gender", "--metric", "stereotype_scor"], "did you mean 'stereotype_score'"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    tmp_path: Path, words: list[str], message: str
) -> None:
    result = invoke("show", suite(tmp_path).folder, *words)
    assert isinstance(result.exception, HarnessError)
    with pytest.raises(HarnessError, match=message):
        raise result.exception
    assert "\n" not in str(result.exception)


# -- verify ----------------------------------------------------------------------------------


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
        text = _path(bench, key).read_text()
        assert old in text
        _path(bench, key).write_text(text.replace(old, new, 1))

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


def _path(bench: Bench, key: str) -> Path:
    return bench.store.folder / "records" / f"{key}.json"


# -- speed -----------------------------------------------------------------------------------


def test_a_matrix_reads_only_the_items_of_the_step_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_run(tmp_path, steps=range(1, 21))
    read: list[str] = []
    items = Store.item_tables

    def counted(self: Store, key: str) -> object:
        read.append(key)
        return items(self, key)

    monkeypatch.setattr(Store, "item_tables", counted)
    monkeypatch.setattr(Store, "_items", lambda *_: pytest.fail("items as objects"))
    build_matrix(store)
    assert len(read) == len(set(read))
    assert not [key for key in read if key.endswith(("-19", "-5"))]
    assert "pairs-base-0" in read

"""The unit of every metric, and that no table mixes two of them in one number."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest
from click.testing import CliRunner
from made_runs import make_run

from harness.analysis.matrix_builder import matrix_of
from harness.analysis.matrix_tables import matrix_tables
from harness.analysis.ranking import rank
from harness.analysis.units import NO_UNIT, PERCENT, MetricUnit, metric_unit
from harness.analysis.verdict import verdict
from harness.arrays import Floats
from harness.cli.main import cli
from harness.errors import HarnessError, StoreError
from harness.estimators import Estimator, Sample
from harness.families import Evaluator
from harness.metrics import TOWARDS_0, MetricDefinition
from harness.planning.yaml_lines import parse_yaml
from harness.plugins import Registered, load_registry
from harness.quantities import LogProb, Number, Quantities
from harness.render.console.plugins import example_fragment
from harness.storage.store import Store

NATS, PER_TOKEN = MetricUnit("nats", "nats"), MetricUnit("nats a token", "nats a token")

SCORED: dict[str, dict[str, MetricUnit]] = {"text": {}, "token": {}}
for _per, _unit in (("text", NATS), ("token", PER_TOKEN)):
    SCORED[_per] = dict.fromkeys(
        ("margin", "association", "frequency", "paired_difference", "bias_diff",
         "bias_diff_ambiguous"), _unit)  # fmt: skip
"""Metrics in the unit of the score that a protocol gives: a sum over a text, or a mean."""

UNITS = {
    **dict.fromkeys(
        ("association_gap", "gap_hateful", "gap_non_hateful", "word_given_prefix",
         "word_given_both", "change_given_prefix", "change_given_both"), NATS),
    **dict.fromkeys(
        ("preference", "preference_rescaled", "stereotype_score", "tie_rate", "ss_score",
         "lm_score", "ss_score_macro", "lm_score_macro", "icat", "icat_macro", "accuracy",
         "bias_ambiguous", "bias_disambiguated", "said_more_later"), PERCENT),
    **dict.fromkeys(
        ("scale", "perplexity", "perplexity_published", "forgetting_kept", "bls_slope",
         "mean_absolute_effect_size"), NO_UNIT),
    "kl": PER_TOKEN,
}  # fmt: skip
BEGINNINGS = {
    "stereotype_score_": PERCENT,
    "accuracy_": PERCENT,
    "effect_size_": NO_UNIT,
}
PROTOCOLS = ("hf_nll", "lmeval_sum", "mlm_filler", "mlm_pll", "diff", "choice_mean", "choice_sum")


def example(entry: Registered) -> Evaluator[object]:
    """An evaluator with the config of its example."""
    ((use,),) = parse_yaml(example_fragment(entry), "example")[0].values()
    written = {} if isinstance(use, str) else use
    config = {name: value for name, value in written.items() if name != "use"}
    evaluator = entry.plugin(entry.plugin.Config.model_validate(config))
    assert isinstance(evaluator, Evaluator)
    return evaluator


def declared() -> Iterator[tuple[str, str, MetricDefinition, Quantities]]:
    """Every metric that an evaluator declares, with its protocol and the quantities of it."""
    for entry in load_registry(strict=True):
        if entry.family != "evaluator":
            continue
        evaluator = example(entry)
        for protocol in PROTOCOLS:
            try:
                quantities = evaluator.quantities(protocol)
            except HarnessError:  # not a protocol of this evaluator
                continue
            for domain in ("gender", "none", "overall"):
                for definition in evaluator.metrics(protocol, domain):
                    yield entry.name, protocol, definition, quantities


def expected(name: str, quantities: Quantities, of: tuple[str, ...]) -> MetricUnit | None:
    score = quantities.get(of[0])
    if name in SCORED["text"] and isinstance(score, LogProb):
        return SCORED[score.per][name]
    if name in UNITS:
        return UNITS[name]
    return next((unit for start, unit in BEGINNINGS.items() if name.startswith(start)), None)


def test_every_declared_metric_has_its_unit() -> None:
    seen: dict[str, set[MetricUnit]] = {}
    for evaluator, protocol, definition, quantities in declared():
        wanted = expected(definition.name, quantities, definition.of)
        assert wanted is not None, f"no unit is written down for {evaluator}: {definition.name}"
        found = metric_unit(definition, quantities)
        assert found == wanted, (evaluator, protocol, definition.name)
        seen.setdefault(definition.name, set()).add(found)
    assert len(seen) > 40
    assert seen["association_gap"] == {NATS}
    assert seen["margin"] == {NATS, PER_TOKEN}


class RootMeanSquare(Estimator):
    """Linear in the items, but not in their sums."""

    name = "test_root_mean_square"
    summary = "Root of the mean square."
    takes = (1,)

    def components(self, sample: Sample) -> Floats:
        squares: Floats = sample.values.T**2
        return squares

    def value(self, sums: Floats, counts: Floats) -> Floats:
        root: Floats = np.sqrt(sums[0] / counts[0])
        return root


class Picky(Estimator):
    """Accepts no items but its own."""

    name = "test_picky"
    summary = "Fails on others."
    takes = (1,)

    def components(self, sample: Sample) -> Floats:
        raise KeyError(sample.ids[0])


def test_an_estimator_of_a_plugin_has_a_unit_only_where_that_is_certain() -> None:
    quantities = {"a": LogProb(per="token"), "b": Number(unit="words")}

    def unit(estimator: Estimator | str, *of: str) -> MetricUnit:
        definition = MetricDefinition(name="m", estimator=estimator, of=of, direction=TOWARDS_0)
        return metric_unit(definition, quantities)

    assert unit("mean", "a") == PER_TOKEN
    assert unit("mean", "b") == MetricUnit("words", "words")
    assert unit("mean", "undeclared") == NO_UNIT
    assert unit("mean_difference", "a", "b") == NO_UNIT  # of two units
    assert unit(RootMeanSquare(), "a") == NO_UNIT
    assert unit(Picky(), "a") == NO_UNIT
    assert unit("not-installed", "a") == NO_UNIT


# -- tables ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A run with a bias score in points, one in nats, and a language metric."""
    return make_run(
        tmp_path_factory.mktemp("mixed"),
        evaluators=("pairs", "gap", "wikitext2-perplexity"),
        methods=("mlm-unlearning", "other"),
        lean=0.9,
    )


def test_the_leaderboard_averages_bias_scores_of_one_unit(mixed: Store) -> None:
    alone = rank([mixed])
    assert alone.unit == "points"
    assert alone.other_scores == (("gap (gap, causal)", "nats"),)
    nats = rank([mixed], unit="nats")
    assert nats.unit == "nats"
    assert [name for name, _ in nats.other_scores] == ["stereotype_score (pairs, hf_nll)"]
    matrix = matrix_of(mixed)
    for board in (alone, nats):
        for standing in board.standings:
            entries = [
                entry
                for row in matrix.pooled
                if matrix.names.name(row.cell) == standing.method
                for entry in row.entries
                if matrix.unit(entry.column).change == board.unit and entry.distance is not None
            ]
            squares = [e.distance.square.value for e in entries if e.distance is not None]
            assert standing.compared == standing.expected == len(entries)
            assert standing.distance is not None
            mean = math.sqrt(max(sum(squares) / len(squares), 0.0))
            assert standing.distance.value == pytest.approx(mean)
    with pytest.raises(StoreError, match=r"no bias score is in 'metres' \(units: points, nats\)"):
        rank([mixed], unit="metres")


def test_a_bound_says_its_unit(mixed: Store) -> None:
    matrix = matrix_of(mixed)
    tables = {table.metric: table for table in matrix_tables(matrix)}
    assert tables["stereotype_score"].unit == "points"
    assert tables["gap"].unit == "nats"
    for metric, unit in (("stereotype_score", "points"), ("gap", "nats"), ("perplexity", "")):
        (bound,) = [row for row in tables[metric].rows if row.kind == "detectable"]
        assert bound.method == f"minimum detectable change, {unit}".rstrip(", ")
    found = verdict(matrix)
    assert set(found.detectable) == {"points", "nats"}
    assert f"{found.detectable['points']:.1f} points" in found.text
    assert f"{found.detectable['nats']:.2f} nats" in found.text


@pytest.mark.parametrize("width", [80, 140])
def test_commands_say_nats_where_they_mean_nats(
    mixed: Store, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))

    def shown(*words: str) -> str:
        result = CliRunner().invoke(cli, [*words])
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    run = str(mixed.folder)
    only = shown("matrix", run, "--metric", "gap")
    assert "nats nearer to (+) or further from (−) 0" in only
    assert "Transfer: gap (gap), nats" in only
    assert "points" not in only
    board = shown("leaderboard", run)
    assert "to their ideals, in points" in board
    assert "In no mean here" in board
    assert "gap (gap, causal) in nats" in board
    assert "--unit nats" in board
    other = shown("leaderboard", run, "--unit", "nats")
    assert "to their ideals, in nats" in other
    data = json.loads(shown("matrix", run, "--json"))
    assert {e["unit"] for e in data["entries"] if e["metric"] == "gap"} == {"nats"}

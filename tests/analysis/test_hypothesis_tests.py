"""Verdicts and power: size and power by simulation, the commands, and what they refuse."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import invoke, rows, text_of
from made_runs import make_run
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from harness.analysis.effects import Block, Effect, combined
from harness.analysis.hypothesis_tests import ContrastTest, judged, verdicts
from harness.analysis.matrix_builder import matrix_of
from harness.analysis.power import Noise, components, plan_test, power_of
from harness.arrays import Floats
from harness.errors import StoreError
from harness.planning.hypotheses import Hypotheses, Hypothesis, Pair
from harness.render.figures.catalogue import figures_of
from harness.render.tables.numbers import signed
from harness.storage.reader import RunReader
from harness.storage.records import Registration
from harness.storage.store import Store

ITEMS, FITS = 60, 5
UNITS = tuple(f"i{k}" for k in range(ITEMS))


def hypothesis(**fields: Any) -> Hypothesis:
    section = {
        "name": "h",
        "endpoint": {"evaluator": "pairs", "metric": "stereotype_score"},
        "contrast": {
            "method": {"debiaser": "mlm-unlearning", "masker": "wordlist"},
            "control": {"debiaser": "mlm-unlearning", "masker": "random"},
        },
        **fields,
    }
    return Hypothesis.model_validate(section)


def contrast(rng: np.random.Generator, effect: float, fits: int = FITS) -> Effect:
    """A method less its control on the same items: items sd 1, fits sd .3 each, rest sd 1."""
    shared = rng.normal(0, 3, ITEMS)

    def arm(name: str, mean: float, of_items: Floats) -> Effect:
        values = mean + of_items + rng.normal(0, 0.3, (fits, 1)) + rng.normal(0, 1, (fits, ITEMS))
        centred = values - values.mean(axis=1, keepdims=True)
        influences = centred / math.sqrt(ITEMS * (ITEMS - 1))
        names = tuple(f"{name}{k}" for k in range(fits))
        return Effect((Block(names, UNITS, values.mean(axis=1), influences),))

    method = arm("m", effect, shared + rng.normal(0, 1, ITEMS))
    return combined([(1.0, method), (-1.0, arm("c", 0.0, shared))])


NOISE = Noise(items=1.0, fits=2 * 0.09, rest=2.0, source="the simulation")


def outcomes(kind: Hypothesis, effect: float, sets: int, tests: int = 1) -> list[str]:
    rng = np.random.default_rng(abs(hash((kind.side, kind.margin))) % 1000 + tests)
    found = []
    for _ in range(sets):
        tested = [
            ContrastTest(kind, "m", (Pair(source="a", target="b"),), contrast(rng, effect), worse=1)
            for _ in range(tests)
        ]
        found += [t.outcome for t in judged(tested, 0.05)]
    return found


@pytest.mark.parametrize("side", ["lower", "higher", "two-sided"])
def test_without_an_effect_a_claim_is_confirmed_in_one_of_twenty_studies(side: str) -> None:
    found = outcomes(hypothesis(side=side), 0.0, 600)
    assert found.count("confirmed") / 600 == pytest.approx(0.05, abs=0.027)


def test_holm_keeps_the_chance_of_any_false_verdict_over_six_cells() -> None:
    found = outcomes(hypothesis(side="lower"), 0.0, 250, tests=6)
    studies = [found[k : k + 6] for k in range(0, len(found), 6)]
    any_false = np.mean(["confirmed" in study for study in studies])
    assert 0.005 < any_false < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 250)


def test_equivalence_is_found_inside_the_margin_and_not_at_it() -> None:
    margin = 1.6
    at_the_margin = outcomes(hypothesis(margin=margin), margin, 600)
    assert at_the_margin.count("equivalent") / 600 == pytest.approx(0.05, abs=0.027)
    inside = outcomes(hypothesis(margin=margin), 0.0, 150)
    assert inside.count("equivalent") / 150 > 0.9
    beyond = outcomes(hypothesis(margin=margin), 3.5, 100)
    assert beyond.count("harmful") / 100 > 0.9
    assert "equivalent" not in beyond


BOTH = {"side": "lower", "margin": 1.6}


@pytest.mark.parametrize(("effect", "expected"), [
    (-3.0, "confirmed"), (0.0, "equivalent"), (3.0, "harmful"),
])  # fmt: skip
def test_a_hypothesis_with_a_side_and_a_margin_has_all_verdicts(
    effect: float, expected: str
) -> None:
    found = outcomes(hypothesis(**BOTH), effect, 80)
    assert found.count(expected) > 68
    wide = ContrastTest(hypothesis(side="lower", margin=0.1), "m", (), contrast(
        np.random.default_rng(1), 0.0))  # fmt: skip
    (judged_wide,) = judged([wide], 0.05)
    assert judged_wide.outcome == "inconclusive"


@pytest.mark.parametrize("effect", [0.0, 1.6, -1.6])
def test_both_questions_of_a_hypothesis_are_tests_of_the_family(effect: float) -> None:
    """Three hypotheses with two questions each, where the first, the second or both are false."""
    found = outcomes(hypothesis(**BOTH), effect, 300, tests=3)
    false = {"confirmed"} if effect == 0.0 else {"confirmed", "equivalent"}
    if effect < 0:
        false = {"equivalent"}
    studies = [found[k : k + 3] for k in range(0, len(found), 3)]
    any_false = np.mean([bool(false & set(study)) for study in studies])
    assert any_false < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    any_harm = np.mean(["harmful" in study for study in studies])
    if effect <= 0:
        assert any_harm < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)


def test_one_question_more_is_one_test_more() -> None:
    rng = np.random.default_rng(2)
    effects = [contrast(rng, -0.6) for _ in range(3)]
    one = judged([ContrastTest(hypothesis(side="lower"), "m", (), e) for e in effects], 0.05)
    two = judged([ContrastTest(hypothesis(**BOTH), "m", (), e) for e in effects], 0.05)
    assert [t.p for t in one] == [t.p for t in two]
    assert [len(t.p_values) for t in two] == [2, 2, 2]
    smallest = min(t.p or 1.0 for t in one)
    every = [p for t in two for p in t.p_values]
    adjusted = multipletests(every, method="holm")[1]
    assert [p for t in two for p in (t.adjusted_p, t.adjusted_equal_p)] == pytest.approx(
        adjusted.tolist()
    )
    assert min(t.adjusted_p or 1.0 for t in one) == pytest.approx(3 * smallest)


def test_what_was_registered_before_has_the_same_hash_and_one_question() -> None:
    """Sections that give a side or a margin: hashes as they were when either had to be given."""
    section = Hypotheses.model_validate(SECTION)
    assert section.sha256() == "2e2133fa850195152d5b0429b2604a4d888c8aad524fe456f2e652fcd091263c"
    assert all(test.questions() == (test,) for test in section.tests)


def test_an_effect_the_other_way_is_harmful() -> None:
    found = outcomes(hypothesis(side="lower"), 1.5, 100)
    assert found.count("harmful") > 90
    assert "confirmed" not in found


@pytest.mark.parametrize("kind", [{"side": "lower"}, {"side": "two-sided"}, {"margin": 1.0}])
def test_power_is_what_simulation_finds(kind: dict[str, Any]) -> None:
    test = hypothesis(**kind)
    wanted = 0.9 if test.margin is None else test.margin
    planned = plan_test(test, NOISE, items=ITEMS, fits=FITS, level=0.05, effect=wanted)
    assert planned.power is not None
    if test.margin is None:
        found = outcomes(test, -wanted, 500)
        share = found.count("confirmed") / 500
    else:
        share = outcomes(test, 0.0, 500).count("equivalent") / 500
    assert share == pytest.approx(planned.power, abs=3 * math.sqrt(0.25 / 500) + 0.03)


def test_the_detectable_effect_has_a_power_of_four_in_five() -> None:
    for kind in ({"side": "lower"}, {"side": "two-sided"}, {"margin": 2.0}):
        test = hypothesis(**kind)
        planned = plan_test(test, NOISE, items=ITEMS, fits=FITS, level=0.05 / 6)
        variance = NOISE.variance(ITEMS, FITS)
        found = power_of(test, variance, 0.05 / 6, planned.detectable)
        assert found == pytest.approx(0.8, abs=0.02)
        assert planned.error == pytest.approx(math.sqrt(float(variance.value)))
    expected = 1.0 / ITEMS + 2 * 0.09 / FITS + 2.0 / (ITEMS * FITS)
    assert planned.error**2 == pytest.approx(expected)


def test_what_a_design_needs_is_enough_and_one_less_is_not() -> None:
    test = hypothesis(side="lower")
    planned = plan_test(test, NOISE, items=ITEMS, fits=3, level=0.05, effect=0.7)
    assert planned.fits_needed is not None
    for fits, enough in ((planned.fits_needed, True), (planned.fits_needed - 1, False)):
        power = power_of(test, NOISE.variance(ITEMS, fits), 0.05, 0.7)
        assert (power >= 0.8) == enough
    tiny = plan_test(test, NOISE, items=ITEMS, fits=5, level=0.05, effect=0.05)
    assert (tiny.fits_needed, tiny.items_needed) == (None, None)


def test_the_components_of_a_contrast_are_those_of_the_simulation() -> None:
    rng = np.random.default_rng(5)
    found = [components(contrast(rng, 0.0, fits=6)) for _ in range(300)]
    known = [noise for noise in found if noise is not None]
    assert len(known) == 300
    assert np.mean([n.items for n in known]) == pytest.approx(1.0, rel=0.15)
    assert np.mean([n.fits for n in known]) == pytest.approx(0.18, rel=0.25)
    assert np.mean([n.rest for n in known]) == pytest.approx(2.0, rel=0.1)
    assert known[0].design == (ITEMS, 6)


def test_one_sided_power_is_that_of_a_noncentral_t() -> None:
    noise = Noise(items=1.0, fits=0.0, rest=0.0, source="")
    test = hypothesis(side="lower")
    found = power_of(test, noise.variance(25, 1), 0.05, 0.5)
    critical = scipy_stats.t.ppf(0.95, 24)
    assert found == pytest.approx(1 - scipy_stats.nct.cdf(critical, 24, 0.5 * 5))


# -- the commands ------------------------------------------------------------------------------

SECTION = {
    "alpha": 0.05,
    "tests": [
        {
            "name": "beats-random",
            "endpoint": {"evaluator": "pairs", "metric": "stereotype_score"},
            "contrast": {
                "method": {"debiaser": "mlm-unlearning", "masker": "wordlist"},
                "control": {"debiaser": "mlm-unlearning", "masker": "random"},
                "cells": "transfer",
            },
            "side": "lower",
        },
        {
            "name": "per-cell",
            "endpoint": {"evaluator": "pairs", "metric": "stereotype_score"},
            "contrast": {
                "method": {"debiaser": "mlm-unlearning", "masker": "wordlist"},
                "cells": "source",
                "pool": False,
            },
            "side": "higher",
        },
        {
            "name": "no-cost",
            "endpoint": {"evaluator": "wikitext2-perplexity", "metric": "perplexity"},
            "contrast": {
                "method": {"debiaser": "mlm-unlearning", "masker": "random"},
                "cells": [{"source": "gender", "target": "none"}],
            },
            "margin": 1.5,
        },
    ],
}


def registered(folder: Path, results_before: int = 0, section: Any = None) -> Store:
    store = make_run(
        folder, maskers=("wordlist", "random"), seeds=range(3), steps=(30,), lean=0.9, items=100
    )
    index = store.index()
    chosen = Hypotheses.model_validate(section or SECTION)
    spec = {**index.spec, "hypotheses": chosen.model_dump(mode="json")}
    fixed = Registration(
        sha256=Hypotheses.model_validate(SECTION).sha256(),
        fixed_at="2026-11-24T12:00:00+00:00",
        results_before=results_before,
    )
    store.write_index(index.model_copy(update={"spec": spec, "registration": fixed}))
    return store


def test_verdicts_of_a_run(tmp_path: Path) -> None:
    store = registered(tmp_path)
    found = verdicts(RunReader(store))
    by_name: dict[str, list[ContrastTest]] = {}
    for tested in found.tests:
        by_name.setdefault(tested.hypothesis.name, []).append(tested)
    (beats,) = by_name["beats-random"]
    assert beats.outcome == "confirmed"
    assert beats.effect is not None
    assert beats.effect.value < 0
    assert beats.effect.covers == "items and fits"
    assert len(beats.cells) == 4
    assert [t.outcome for t in by_name["per-cell"]] == ["harmful", "harmful"]
    (cost,) = by_name["no-cost"]
    assert cost.outcome == "equivalent"
    assert found.registered == "fixed 2026-11-24 12:00, before the first result"
    text = rows(text_of("test", store.folder))
    for part in ("beats-random", "confirmed", "equivalent", "harmful", "corrected by Holm over 4",
                 "exploratory", "perplexity: method +", "gender to gender"):  # fmt: skip
        assert part in text
    assert max(map(len, text_of("test", store.folder, width=80).splitlines())) <= 80
    listed = json.loads(text_of("test", store.folder, "--json"))
    assert [row["cells"][2]["text"] for row in listed["rows"]] == [t.outcome for t in found.tests]


def test_the_page_and_the_figures_show_the_verdicts(tmp_path: Path) -> None:
    store = registered(tmp_path)
    reader = RunReader(store)
    tests = verdicts(reader).tests
    drawn = figures_of(reader, matrix_of(store)).hypotheses
    shown = [row for figure in drawn for row in figure.numbers.rows]
    assert len(drawn) == len({t.hypothesis.endpoint.metric for t in tests})
    assert len(shown) == len(tests)  # no two tests of this run share a contrast
    for tested in tests:
        assert tested.effect is not None
        (row,) = [
            row for row in shown if row[0].startswith(tested.hypothesis.name)
            and row[1] == signed(tested.effect.value) and row[4] == tested.outcome
        ]  # fmt: skip
        assert row[3] == ("–" if tested.hypothesis.margin is None else "±1.50")
    for figure in drawn:
        assert b"<svg" in figure.files(("svg",))["svg"]
    invoke("report", str(store.folder), "--out", str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text("utf-8")
    assert 'id="hypotheses"' in page
    assert page.index("beats-random") < page.index('id="matrix"')


def test_a_run_without_hypotheses_has_no_such_figure(tmp_path: Path) -> None:
    store = make_run(tmp_path, steps=(30,))
    assert not figures_of(RunReader(store), matrix_of(store)).hypotheses


def test_changed_hypotheses_and_late_ones_are_named(tmp_path: Path) -> None:
    other = json.loads(json.dumps(SECTION))
    other["tests"][0]["side"] = "higher"
    changed = registered(tmp_path / "a", section=other)
    with pytest.raises(StoreError, match="not those that were fixed 2026-11-24"):
        verdicts(RunReader(changed))
    late = registered(tmp_path / "b", results_before=12)
    assert "when 12 results were known" in text_of("test", late.folder)
    bare = make_run(tmp_path / "c")
    result = invoke("test", bare.folder)
    assert isinstance(result.exception, StoreError)
    assert "this run has no hypotheses" in str(result.exception)


def test_too_few_items_and_missing_cells_are_inconclusive(tmp_path: Path) -> None:
    section = json.loads(json.dumps(SECTION))
    section["tests"] = section["tests"][:1]
    section["tests"][0]["contrast"]["control"]["masker"] = "absent"
    store = make_run(tmp_path, maskers=("wordlist",), lean=0.9)
    index = store.index()
    store.write_index(index.model_copy(update={"spec": {**index.spec, "hypotheses": section}}))
    (tested,) = verdicts(RunReader(store)).tests
    assert tested.outcome == "inconclusive"
    assert "not measured: gender to race" in tested.reason
    assert "not registered" in text_of("test", store.folder)


SPEC = """
name: planned
model: smollm2-135m
corpus: embedded
source: [gender, race]
targets: [gender, race, religion]
masker: [wordlist, random]
debiaser: mlm-unlearning
evaluators: [{use: embedded-pairs, as: pairs}]
seed: [0, 1, 2, 3, 4, 5]
hypotheses:
  tests:
    - name: beats-random
      endpoint: {evaluator: pairs, metric: stereotype_score}
      contrast:
        method: {debiaser: mlm-unlearning, masker: wordlist}
        control: {debiaser: mlm-unlearning, masker: random}
        cells: transfer
      side: lower
"""


def test_power_before_a_run(tmp_path: Path) -> None:
    spec = tmp_path / "planned.yaml"
    spec.write_text(SPEC.lstrip())
    stated = rows(text_of("power", spec, "--item-sd", 20, "--fit-sd", 1, "--rest-sd", 30,
                          "--items", 260, "--effect", 3))  # fmt: skip
    assert "beats-random" in stated
    assert "Noise from what you stated" in stated
    assert "fits needed" in stated
    earlier = registered(tmp_path)
    measured = json.loads(text_of("power", spec, "--from", earlier.folder, "--json"))
    (row,) = measured["rows"]
    assert row["cells"][1]["count"] == 100
    assert row["cells"][2]["count"] == 6
    assert row["cells"][4]["value"] > row["cells"][3]["value"] > 0
    assert "stored items of made-run" in " ".join(measured["legend"])
    for options, message in (
        ([], "take the noise from a run with --from"),
        (["--item-sd", 1], "--item-sd needs --items"),
    ):
        result = invoke("power", spec, *options)
        assert result.exit_code == 2
        assert message in result.output

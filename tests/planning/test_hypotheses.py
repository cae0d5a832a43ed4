"""Hypotheses: parsed with lines, checked against the spec, fixed before the first result."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench import Bench
from toy_plugins import toy_registry

from harness.errors import SpecError
from harness.planning.hypotheses import Contrast, Hypotheses, Pair
from harness.planning.spec import Spec
from harness.planning.spec_reader import load_spec
from harness.plugins import load_registry

SPEC = """\
model: toy
corpus: toy-corpus
source: [gender, race]
masker: [toy-masker, {use: toy-masker, as: other}]
debiaser: toy-debiaser
evaluators: toy-evaluator
targets: [gender, race, religion]
steps: [1, 2]
hypotheses:
  alpha: 0.01
  tests:
    - name: transfer
      endpoint: {evaluator: toy-evaluator, metric: stereotype_score}
      contrast:
        method: {debiaser: toy-debiaser, masker: toy-masker}
        control: {debiaser: toy-debiaser, masker: other}
        cells: transfer
      side: lower
    - name: none
      endpoint: {evaluator: toy-evaluator, metric: stereotype_score}
      contrast:
        method: {debiaser: toy-debiaser}
        cells: [{source: race, target: religion}]
      margin: 1.0
"""


def load(folder: Path, text: str = SPEC) -> Spec:
    path = folder / "study.yaml"
    path.write_text(text)
    return load_spec(path, toy_registry())


def hypotheses(folder: Path, text: str = SPEC) -> Hypotheses:
    found = load(folder, text).hypotheses
    assert found is not None
    return found


def test_reads_the_section(tmp_path: Path) -> None:
    found = hypotheses(tmp_path)
    first, second = found.tests
    assert (found.alpha, first.side, second.margin) == (0.01, "lower", 1.0)
    assert first.contrast.control is not None
    assert first.contrast.control.masker == "other"
    assert second.contrast.pairs(["gender"], ["gender"]) == (
        Pair(source="race", target="religion"),
    )


@pytest.mark.parametrize(
    ("cells", "count"), [("transfer", 2 * 3 - 2), ("source", 2), ("all", 2 * 3)]
)
def test_the_cells_of_a_contrast(cells: str, count: int) -> None:
    contrast = Contrast.model_validate({"method": {"debiaser": "x"}, "cells": cells})
    pairs = contrast.pairs(["a", "b"], ["a", "b", "c"])
    assert len(pairs) == len(set(pairs)) == count
    if cells != "all":
        assert {pair.source == pair.target for pair in pairs} == {cells == "source"}


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("masker: other}", "masker: othr}", 16, "did you mean 'other'"),
        ("evaluator: toy-evaluator", "evaluator: toy", 13, "'toy' is not among"),
        ("source: race,", "source: age,", 23, "'age' is not among the spec's source"),
        ("alpha: 0.01", "alpha: 2", 10, "alpha"),
        ("side: lower", "side: less", 18, "side"),
        ("side: lower", "side: lower\n      margin: -1", 19, "margin"),
        ("name: none", "name: transfer", 9, "two tests are called 'transfer'"),
        ("margin: 1.0", "margin: .inf", 24, "margin"),
        ("margin: 1.0", "step: 7", 24, "'7' is not among the spec's steps"),
        ("cells: transfer", "cells: home", 17, "cells"),
        ("toy-debiaser\nev", "{use: toy-debiaser, maskers: other}\nev", 15, "'toy-masker'"),
        (
            "toy-debiaser\nev",
            "{use: toy-debiaser, sources: gender}\nev",
            23,
            "'race' to 'religion'",
        ),
        (
            "toy-evaluator\nta",
            "{use: toy-evaluator, domains: race}\nta",
            23,
            "'race' to 'religion'",
        ),
    ],
)
def test_mistakes_have_their_line(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert old in SPEC
    with pytest.raises(SpecError) as caught:
        load(tmp_path, SPEC.replace(old, new, 1))
    message = str(caught.value)
    assert words in message
    assert f"study.yaml:{line}: " in message
    assert "\n" not in message


ENDPOINT = """\
model: smollm2-135m
corpus: embedded
source: gender
masker: wordlist
debiaser: mlm-unlearning
evaluators: {use: embedded-pairs, scorers: [hf_nll, bb_geo]}
hypotheses:
  tests:
    - name: one
      endpoint: ENDPOINT
      contrast: {method: {debiaser: mlm-unlearning}, cells: source}
"""


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("{evaluator: embedded-pairs, metric: preferenc}", "did you mean 'preference'?"),
        ("{evaluator: embedded-pairs, metric: preference}", "hf_nll, bb_geo"),
        ("{evaluator: embedded-pairs, metric: preference, protocol: nll}", "'nll'"),
    ],
)
def test_an_endpoint_that_cannot_be_tested_is_refused(
    tmp_path: Path, endpoint: str, words: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(ENDPOINT.replace("ENDPOINT", endpoint))
    with pytest.raises(SpecError, match=r"study\.yaml:10: ") as caught:
        load_spec(path, load_registry())
    assert words in str(caught.value)
    path.write_text(path.read_text().replace("nll}", "hf_nll}"))
    if "protocol" in endpoint:
        load_spec(path, load_registry())


def test_the_hash_is_of_the_claims_not_of_their_spelling(tmp_path: Path) -> None:
    same = SPEC.replace("cells: transfer\n", "pool: true\n").replace("alpha: 0.01", "alpha: 1.0e-2")
    other = SPEC.replace("side: lower", "side: higher")
    assert hypotheses(tmp_path).sha256() == hypotheses(tmp_path, same).sha256()
    assert hypotheses(tmp_path).sha256() != hypotheses(tmp_path, other).sha256()


TEST = {
    "name": "one",
    "endpoint": {"evaluator": "toy-evaluator", "metric": "stereotype_score"},
    "contrast": {"method": {"debiaser": "toy-debiaser"}},
}


def test_fixed_in_the_index_before_the_first_result(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(hypotheses={"tests": [TEST]})
    first = bench.store.index().registration
    assert first is not None
    assert first.results_before == 0
    bench.run(hypotheses={"tests": [TEST], "alpha": 0.05})  # the default, written out
    assert bench.store.index().registration == first
    before = bench.store.index()
    for changed in ({"tests": [{**TEST, "side": "lower"}]}, None):
        with pytest.raises(SpecError, match="another `name`"):
            bench.run(hypotheses=changed)
    assert bench.store.index() == before


def test_hypotheses_added_after_results_say_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    done = bench.run().measured
    bench.run(hypotheses={"tests": [TEST]})
    registration = bench.store.index().registration
    assert registration is not None
    assert registration.results_before == done

"""The association gap against brute force, and in a run with its base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness_evaluators.association_gap import AssociationGap, AssociationGapConfig
from word_model import WORDS, word_model

from harness.data.domains import Domain, Domains
from harness.data.places import DataStore
from harness.errors import SpecError
from harness.estimators import Sample, estimate_sample, find_estimator
from harness.lm.association import Gaps, association_gaps, candidate_words
from harness.lm.infill import MarkedText
from harness.plugins import load_registry
from harness.replay.verification import verify
from harness.running.experiment import Experiment
from harness.storage.reader import RunReader
from harness.testing import check_evaluator, save_tiny_model, tiny_causal_model
from harness.types import EvaluationRequest, no_progress

GROUPS = Domains(
    [
        Domain(name="gender", terms={"f": ("women", "girls"), "m": ("men", "boys")}),
        Domain(name="animals", terms={"c": ("cats",), "d": ("dogs", "old dogs")}),
    ]
)


def gaps_of(model: Any, text: str, word: str, domains: Domains = GROUPS, count: int = 16) -> Gaps:
    start = text.index(word)
    marked = MarkedText(text, ((start, start + len(word)),))
    return association_gaps(model, [marked], "gender", domains, count=count)


def joint(model: Any, sentence: tuple[str, ...]) -> float:
    """Return the log-probability of a sentence: the product of its words, one by one."""
    ids = [model.start_id, *(WORDS.index(word) + 2 for word in sentence)]
    with torch.no_grad():
        table = torch.log_softmax(model.module(torch.tensor([ids])).logits[0], dim=-1)
    return float(sum(table[k, ids[k + 1]] for k in range(len(sentence))))


def test_both_log_probabilities_are_those_of_all_sentences() -> None:
    """log P(a | p) and log P(a | p, s) from the joint distribution, within the candidates."""
    model = word_model()
    (scored,) = gaps_of(model, "the women hate cats", "women").words
    words = ("women", "girls", "men", "boys", "cats", "dogs")
    assert scored.candidates == len(words) + 1  # and "old dogs", of two tokens
    fillers = [*((word,) for word in words), ("old", "dogs")]
    both = [np.exp(joint(model, ("the", *f, "hate", "cats"))) for f in fillers]
    left = [np.exp(joint(model, ("the", *f))) for f in fillers]
    assert scored.full == pytest.approx(np.log(both[0] / sum(both)), abs=1e-9)
    assert scored.prefix == pytest.approx(np.log(left[0] / sum(left)), abs=1e-9)
    # the gap is the pointwise mutual information of word and suffix within the candidates
    given = np.array(both) / np.array(left)
    mean = float((given * np.array(left) / sum(left)).sum())
    assert scored.gap == pytest.approx(np.log(given[0] / mean), abs=1e-9)


def test_the_last_word_has_no_gap() -> None:
    (scored,) = gaps_of(word_model(), "cats hate women", "women").words
    assert scored.gap == 0.0


def test_words_that_cannot_be_scored_are_counted() -> None:
    model = word_model()
    long = " ".join(["the old cats hate the young dogs and hear"] * 3) + " women"
    gaps = gaps_of(model, long, "women")
    assert (gaps.words, gaps.note()) == ([], "masked words left out: beyond the model's context: 1")
    # "zebra" is unknown to the model, but group words can take its place
    assert gaps_of(model, "the young see the zebra", "zebra", count=2).words[0].candidates == 2
    none = Domains([Domain(name="gender")])
    gaps = gaps_of(model, "the young see the women", "women", none)
    assert (gaps.words, gaps.note()) == ([], "masked words left out: without another candidate: 1")


def test_candidates_take_turns_between_the_domain_and_the_others() -> None:
    ranked = candidate_words("gender", GROUPS)
    assert ranked == ("women", "cats", "men", "dogs", "girls", "old dogs", "boys")
    assert candidate_words("unknown", GROUPS)[:2] == ("cats", "women")


def test_candidates_do_not_depend_on_the_weights() -> None:
    """A debiased model is read with the candidates of its base."""
    domains = load_registry().domains
    text = "They wrote that women never answer in time."
    one, other = (
        gaps_of(tiny_causal_model(seed), text, "women", domains).words[0] for seed in (0, 1)
    )
    assert (one.slot, one.candidates) == (other.slot, other.candidates)
    assert one.full != other.full


@pytest.mark.parametrize("config", [{}, {"count": 3, "longest_suffix": 1}])
def test_the_contract(config: dict[str, Any]) -> None:
    measured = check_evaluator(AssociationGap, config, domains=("gender", "race"))
    assert [m.domain for m in measured] == ["gender", "race"]
    for measurement in measured:
        assert {item.stratum for item in measurement.items} == {"hateful", "non-hateful"}
        gaps: dict[str, list[float]] = {"hateful": [], "non-hateful": []}
        for item in measurement.items:
            gaps[str(item.stratum)].append(item.values["full"] - item.values["prefix"])
        metrics = {metric.name: metric.value for metric in measurement.metrics}
        means = {label: float(np.mean(values)) for label, values in gaps.items()}
        assert metrics["gap_hateful"] == pytest.approx(means["hateful"])
        assert metrics["gap_non_hateful"] == pytest.approx(means["non-hateful"])
        assert metrics["association_gap"] == pytest.approx(means["hateful"] - means["non-hateful"])


def test_without_masked_texts_it_says_so() -> None:
    request = EvaluationRequest(
        model=word_model(), domains=("gender",), data=DataStore(offline=True), progress=no_progress
    )
    with pytest.raises(Exception, match="has no masked text; give a 'corpus' and a 'masker'"):
        AssociationGap(AssociationGapConfig()).evaluate(request)


# -- estimators ------------------------------------------------------------------------------


def sample(values: list[list[float]], strata: list[str] | None = None) -> Sample:
    names = [str(i) for i in range(len(values))]
    return Sample(np.array(values), names, ["x", "x", "y"][: len(values)], strata or names)


def test_the_difference_of_strata_needs_two_of_them() -> None:
    estimator = find_estimator("strata_difference")
    values = [[3.0, 1.0], [5.0, 1.0], [1.0, 2.0]]
    assert estimate_sample(estimator, sample(values, ["a", "a", "b"])).value == 4.0
    assert estimate_sample(estimator, sample(values, ["a", "a", "a"])).value is None


def test_changes_from_the_base() -> None:
    base = sample([[-1.0, -2.0], [-3.0, -2.0], [-5.0, -6.0]])
    after = sample([[0.0, -4.0], [-4.0, -3.0], [-2.0, -7.0]])

    def value(name: str, columns: list[int]) -> float | None:
        estimator = find_estimator(name)
        before = base._replace(values=base.values[:, columns])
        now = after._replace(values=after.values[:, columns])
        own = estimate_sample(estimator, before._replace(reference=estimator.reference(before)))
        # the base has not changed from itself
        assert own.value is None or own.value == pytest.approx(0.0, abs=1e-12)
        return estimate_sample(estimator, now._replace(reference=estimator.reference(before))).value

    assert value("mean_change", [0]) == pytest.approx(1.0)
    assert value("mean_change", [1]) == pytest.approx(-4 / 3)
    assert value("change_ratio", [0, 1]) == pytest.approx(-3 / 4)
    # rose while it fell: the first and the third item; cluster x counts half, cluster y whole
    assert value("rose_while_fell", [0, 1]) == pytest.approx(75.0)


# -- in a run --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def experiment(model: Path, out: Path, **changes: Any) -> Experiment:
    spec: dict[str, Any] = {
        "name": "gap",
        "model": {"use": "hf", "id": str(model), "as": "tiny"},
        "corpus": "embedded",
        "source": ["gender", "race"],
        "targets": ["gender", "race"],
        "masker": ["random", "wordlist"],
        "debiaser": [{"use": "infill-unlearning", "learning_rate": 3e-3}, "identity"],
        "evaluators": ["association-gap", "embedded-pairs"],
        "steps": [2],
        "limits": {"items": 4, "passages": 6, "unseen": 5},
        **changes,
    }
    data = DataStore(cache_dir=out / "cache", offline=True)
    return Experiment.from_mapping(spec, registry=load_registry(), data=data, folder=out / "run")


def test_a_run_measures_the_base_once_and_reads_changes_from_it(
    model: Path, tmp_path: Path
) -> None:
    done = experiment(model, tmp_path)
    assert not done.run().failures
    assert not verify(done.store).differences
    index = done.store.index()
    base = {
        ref.key
        for cell in index.cells
        for ref in cell.measures
        if (ref.step, ref.evaluator) == (0, "association-gap")
    }
    assert len(base) == 1
    (key,) = base
    record = done.store.record(key)
    assert record is not None
    assert set(record.inputs["masked_texts"]) == {"gender", "race"}  # type: ignore[arg-type]
    for measurement in record.measurements:
        by_label: dict[Any, set[Any]] = {}
        for item in measurement.items:
            by_label.setdefault(item.stratum, set()).add(item.cluster)
        assert {label: len(found) for label, found in by_label.items()} == {
            "hateful": 5,
            "non-hateful": 5,
        }
    reader = RunReader(done.store)
    steps = {n: max(cell.steps) for n, cell in enumerate(index.cells)}
    changes = {}
    for name in ("change_given_prefix", "change_given_both", "forgetting_kept"):
        for column in reader.columns(steps, name):
            for cell in index.cells:
                if cell.debiaser == "infill-unlearning" and column.domain == "gender":
                    found = reader.find(cell, 2, column)
                    assert found is not None
                    changes[cell.title(), name] = found.metrics[name].value
    assert changes
    for title, name in changes:
        if name == "forgetting_kept":
            ratio = changes[title, "change_given_both"] / changes[title, "change_given_prefix"]  # type: ignore[operator]
            assert changes[title, name] == pytest.approx(ratio)


def test_masked_texts_are_in_the_key(model: Path, tmp_path: Path) -> None:
    def key(**changes: Any) -> str:
        planned = experiment(model, tmp_path, **changes).plan().index
        return next(
            ref.key for ref in planned.cells[0].measures if ref.evaluator == "association-gap"
        )

    usual = key()
    assert key(masker=["wordlist"]) == usual  # the control before it does not count
    assert key(source=["race"]) == usual
    assert key(masker=[{"use": "wordlist", "rules": ["harm"]}]) != usual
    assert key(limits={"items": 4, "passages": 6, "unseen": 4}) != usual
    assert key(limits={"items": 4, "passages": 9, "unseen": 5}) == usual
    whole = {"passages": 6, "unseen": None}  # nothing is drawn, and a word list draws nothing
    assert key(limits={**whole, "sample_seed": 7}) == key(limits=whole)


def test_a_spec_without_a_masker_of_words_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match="'association-gap' reads masked texts: it needs a 'corpus'"
    ):
        experiment(model, tmp_path, masker=["random"])

"""Specs: what is accepted, and what is said of what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_plugins import toy_registry

from harness.errors import SpecError
from harness.planning.spec import Limits, Spec, stored_limits
from harness.planning.spec_reader import load_spec
from harness.plugins import load_registry

GOOD = """\
name: toy
model: toy
corpus: toy-corpus
source: [gender, race]
masker: toy-masker
debiaser:
  - toy-debiaser
  - use: toy-debiaser
    as: fast
    rate: 1e-1
evaluators:
  - toy-evaluator
targets: [gender, race, religion]
steps: [1, 2]
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Spec:
    path = tmp_path / "toy.yaml"
    path.write_text(text)
    return load_spec(path, toy_registry(), overrides)


def test_reads_axes_labels_and_typed_configs(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD)
    assert [use.label for use in spec.debiaser] == ["toy-debiaser", "fast"]
    assert spec.debiaser[1].config["rate"] == pytest.approx(0.1)  # YAML reads 1e-1 as a word
    assert spec.source == ("gender", "race")
    assert spec.seed == (0,)
    assert spec.model[0].config == {"level": -1.0}  # defaults are written out


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("debiaser:\n  - toy-debiaser", "debiaser:\n  - toy-debaiser", 7, "'toy-debiaser'?"),
        ("rate: 1e-1", "rat: 1e-1", 10, "did you mean 'rate'?"),
        ("rate: 1e-1", "rate: quick", 10, "rate"),
        ("source: [gender, race]", "source: [gendre]", 4, "did you mean 'gender'?"),
        ("source: [gender, race]", "source: [religion]", 3, "no passages of 'religion'"),
        ("steps: [1, 2]", "steps: [2, 1]", 14, "ascend"),
        ("steps: [1, 2]", "steps: many", 14, "steps"),
        ("steps: [1, 2]", "stepz: [1, 2]", 14, "did you mean 'steps'?"),
        ("masker: toy-masker\n", "", 5, "need a 'masker'"),
        ("    as: fast\n", "", 8, "a label of its own"),
        ("name: toy", "name: ../toy", 1, "names a folder"),
        ("name: toy", "name: toy\nname: toy", 2, "given twice"),
        ("targets: [gender", "targets: [gender, profession", 13, ""),
        ("name: toy", "name: !!python/object:os.system x", 1, "not valid YAML"),
        ("name: toy", "name: [toy", 2, "not valid YAML"),
        (
            "    rate: 1e-1",
            "    maskers: [all]",
            10,
            "'all' is not among the spec's masker entries",
        ),
        ("    rate: 1e-1", "    seeds: [true]", 10, "(0)"),
        ("    rate: 1e-1", "    sources: []", 10, "give one or more"),
        ("    rate: 1e-1", "    labels: neutral", 10, "(hateful)"),
        ("  - toy-evaluator", "  - {use: toy-evaluator, seeds: [0]}", 12, "seeds"),
    ],
)
def test_mistakes_name_file_line_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if not words:  # a target that no evaluator has is fine while one of them has another
        assert "profession" in load(tmp_path, text).targets
        return
    with pytest.raises(SpecError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert f"toy.yaml:{line}: " in message
    assert words in message
    assert "\n" not in message


def test_a_debiaser_may_be_combined_with_less_than_the_axes(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD, "seed=[0, 1]", "debiaser.fast.seeds=1", "debiaser.fast.models=toy")
    whole, fast = spec.debiaser
    assert whole.only is None
    assert fast.only is not None
    assert fast.only.root == {"seeds": (1,), "models": ("toy",)}
    assert set(fast.config) == set(whole.config)  # they are no fields of the plugin


def test_an_evaluator_without_any_target_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("targets: [gender, race, religion]", "targets: [age]")
    with pytest.raises(SpecError, match="no item for any target"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("keys", "line", "words"),
    [
        ("evaluators: {use: neutral-kl, windows: 50}\nlimits: {unseen: 49}", 5, "50 held-out"),
        ("evaluators: [corpus-perplexity]\ncorpus: embedded", 5, "a 'debiaser'"),
    ],
)
def test_an_evaluator_that_could_measure_nothing_is_refused(
    tmp_path: Path, keys: str, line: int, words: str
) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(f"model: smollm2-135m\nsource: gender\n\nneutral: wikitext2\n{keys}\n")
    with pytest.raises(SpecError, match=rf"one\.yaml:{line}: ") as caught:
        load_spec(path, load_registry())
    assert words in str(caught.value)


def test_overrides(tmp_path: Path) -> None:
    spec = load(
        tmp_path,
        GOOD,
        "model={use: toy, as: other}",
        "debiaser.fast.rate=0.5",
        "debiaser.0.rate=0.25",
        "limits.items=7",
        "seed=[1, 2]",
    )
    assert spec.model[0].label == "other"
    assert [use.config["rate"] for use in spec.debiaser] == [0.25, 0.5]
    assert spec.limits.items == 7
    assert spec.seed == (1, 2)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "KEY=VALUE"),
        ("debiaser.slow.rate=1", "has no entry 'slow'"),
        ("modle=toy", "did you mean 'model'?"),
        ("name.x=1", "'name' has no keys"),
        ("model=[", "not valid YAML"),
    ],
)
def test_bad_overrides(tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(tmp_path, GOOD, override)
    assert words in str(caught.value)


def test_unknown_spec_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'quickstart'"):
        load_spec("quikstart", toy_registry())


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"name: caf\xe9")
    with pytest.raises(SpecError, match=r"line 1, byte 9 .* is not UTF-8"):
        load_spec(path, toy_registry())


def test_limits_of_old_runs_are_compared_under_todays_names() -> None:
    """An old run fixed its passages and called the seed of its samples ``seed``."""
    old = stored_limits({"items": 80, "seed": 3})
    assert old == {"items": 80, "sample_seed": 3, "fixed_passages": True}
    now = Limits(items=80, sample_seed=3, fixed_passages=True).model_dump(mode="json")
    assert stored_limits(now) == now
    assert Limits.model_validate(old) == Limits.model_validate(now)
    assert stored_limits(None) == stored_limits({}) == {}

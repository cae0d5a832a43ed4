"""Which seed draws which passages."""

from __future__ import annotations

from typing import Any

import pytest

from harness.data.places import DataStore
from harness.planning.passages import Texts
from harness.planning.plan import Fit, Plan
from harness.planning.spec import Limits, PluginUse, StopAt
from harness.plugins import Registry, load_registry
from harness.running.experiment import Experiment


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_registry(strict=True)


def plan(registry: Registry, data: DataStore, **changes: Any) -> Plan:
    spec: dict[str, Any] = {
        "name": "x",
        "model": "smollm2-135m",
        "corpus": "embedded",
        "source": "gender",
        "masker": "wordlist",
        "debiaser": "mlm-unlearning",
        "evaluators": ["embedded-pairs", "corpus-perplexity"],
        "steps": [2],
        "seed": [0, 1, 2],
        **changes,
    }
    return Experiment.from_mapping(spec, registry=registry, data=data).plan()


def fits(found: Plan) -> list[Fit]:
    return [fit for model in found.models for fit in model.fits]


def passages_of(found: Plan) -> list[str]:
    return [fit.tasks[0].inputs["source"]["passages"] for fit in fits(found)]  # type: ignore[index,call-overload,misc]


def test_a_fits_seed_draws_its_passages(registry: Registry, data_store: DataStore) -> None:
    limited = plan(registry, data_store, limits={"passages": 6})
    assert len(set(passages_of(limited))) == 3
    # what it was fitted on is also what corpus-perplexity reads, of the base model too
    base = {task.key for m in limited.models for task in m.base}
    assert len(base) == 1 + 3


@pytest.mark.parametrize(
    "limits", [{}, {"passages": 6, "fixed_passages": True}, {"passages": 10_000}]
)
def test_passages_are_the_same_for_all_where_nothing_is_drawn(
    registry: Registry, data_store: DataStore, limits: dict[str, Any]
) -> None:
    found = plan(registry, data_store, limits=limits)
    assert len(set(passages_of(found))) == 1
    assert len({fit.key for fit in fits(found)}) == 3  # the order of batches still differs


def test_fixed_passages_are_drawn_by_the_sample_seed(
    registry: Registry, data_store: DataStore
) -> None:
    def drawn(**limits: Any) -> set[str]:
        return set(passages_of(plan(registry, data_store, limits={"passages": 6, **limits})))

    assert drawn(fixed_passages=True, sample_seed=1) < drawn()
    assert drawn(fixed_passages=True) == drawn(fixed_passages=True, seed=0)  # its older name
    assert drawn(sample_seed=0) == drawn(sample_seed=5)


def corpus_use(registry: Registry, name: str) -> PluginUse:
    """Return a corpus with its defaults, as a spec uses it."""
    return PluginUse(
        use=name, label=name, config=registry.create("corpus", name, {}).config.model_dump()
    )


def test_unseen_passages_do_not_depend_on_the_fit(
    registry: Registry, data_store: DataStore
) -> None:
    use = corpus_use(registry, "embedded")
    texts = Texts(registry, data_store, Limits(passages=4, unseen=4))
    one, two = (texts.source(use, "gender", "hateful", seed) for seed in (0, 1))
    assert texts.unlearned(one) != texts.unlearned(two)
    assert texts.unseen(one, ["gender", "race"]) == texts.unseen(two, ["gender", "race"])


def test_a_seed_that_changes_nothing_has_no_cell(registry: Registry, data_store: DataStore) -> None:
    found = plan(
        registry,
        data_store,
        debiaser=["identity", "sentence-debias"],
        neutral="embedded",
        evaluators="embedded-pairs",
    )
    seeds = {(c.debiaser, c.seed) for c in found.index.cells if c.debiaser}
    assert {seed for name, seed in seeds if name == "identity"} == {0}


def test_a_dose_reads_the_texts_it_needs_whatever_the_limit(
    registry: Registry, data_store: DataStore
) -> None:
    neutral = corpus_use(registry, "wikitext2")

    def held_out(unseen: int | None, windows: int | None) -> tuple[str, ...]:
        stop_at = None if windows is None else StopAt(kl=0.05, windows=windows)
        texts = Texts(registry, data_store, Limits(unseen=unseen), stop_at)
        return tuple(passage.id for passage in texts.held_out(neutral))

    everything = held_out(None, None)
    assert len(everything) > 40
    assert len(held_out(4, None)) == 4
    assert len(held_out(4, 40)) == 40
    assert held_out(len(everything), 40) == held_out(len(everything), None)
    assert held_out(None, 40) == everything

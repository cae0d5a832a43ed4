"""What a plugin author imports to test a plugin, without a download.

Each ``check_*`` takes a plugin class, loads it as the harness would, calls it through the same
validated boundary as a run, checks what the contract promises beyond types, and returns the
answer for closer tests. A breach raises `harness.errors.PluginError` (a wrong answer) or
`ContractError` (a right-looking answer that a run could not use). Errors that the plugin itself
raises pass through.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from harness import boundary
from harness.data.domains import NO_DOMAIN, OVERALL
from harness.data.places import DataStore
from harness.errors import PluginError
from harness.families import Corpus, Debiaser, Evaluator, Masker, Model, Plugin
from harness.hookspecs import hookimpl
from harness.lm.handle import LanguageModel
from harness.metrics import estimate
from harness.plugins import HOOKS, Origin, Registered, build_registry, load_registry
from harness.quantities import Decision
from harness.testing.samples import sample_masked, sample_passages
from harness.testing.tiny_models import tiny_causal_model, tiny_masked_model
from harness.types import (
    DebiasRequest,
    EvaluationRequest,
    ItemTexts,
    Label,
    LoadRequest,
    MaskedPassage,
    MaskRequest,
    Measurement,
    Passage,
    PassageRequest,
    Split,
    no_progress,
)

if TYPE_CHECKING:
    from pydantic import JsonValue

Config = Mapping[str, Any]


class ContractError(PluginError):
    """An answer has the right types and still breaks a promise of its family."""


class Step(NamedTuple):
    """What a debiaser logged at a step."""

    step: int
    log: Mapping[str, JsonValue]


# -- checks ----------------------------------------------------------------------------------


def load_plugin(cls: type[Plugin[Any]]) -> Registered:
    """Register one plugin class as the loader would, with all of its checks.

    Raises:
        PluginError: the loader would refuse it; says why.
    """
    hook = HOOKS[cls.family]

    def offer() -> list[type[Plugin[Any]]]:
        return [cls]

    offer.__name__ = hook
    module = SimpleNamespace(**{hook: hookimpl(offer)})
    registry = build_registry([(module, Origin("under-test", "under-test", "0"))], strict=True)
    return registry.get(cls.family, cls.name)


def check_corpus(
    cls: type[Corpus[Any]],
    config: Config | None = None,
    *,
    domain: str | None = None,
    label: Label = "hateful",
    data: DataStore | None = None,
) -> tuple[Passage, ...]:
    """Check a corpus in one domain: both splits, order, limit. Returns the train passages.

    Args:
        cls: the corpus.
        config: fields of its Config.
        domain: domain to ask for; default: the first of its own, else ``gender``.
        label: which passages to ask for.
        data: where its data is; default: the user cache alone, offline.
    """
    entry, plugin = _create(cls, config)
    asked = domain or min(cls.domains, default="gender")

    def read(split: Split, limit: int | None = None) -> tuple[Passage, ...]:
        request = PassageRequest(
            domain=asked, label=label, split=split, limit=limit, data=data or _no_data()
        )
        return boundary.read_passages(entry, plugin, request)

    train, test = read("train"), read("test")
    if not train:
        raise _broken(entry, f"has no {label} train passage of '{asked}'")
    if train != read("train"):
        raise _broken(entry, "gave other passages, or another order, when asked again")
    if shared := {p.text for p in train} & {p.text for p in test}:
        raise _broken(entry, f"{len(shared)} texts are in the train and in the test split")
    if len(read("train", 1)) != 1:
        raise _broken(entry, "gave no passage for a limit of 1")
    return train


def check_masker(
    cls: type[Masker[Any]],
    config: Config | None = None,
    *,
    passages: Sequence[Passage] | None = None,
    domain: str = "gender",
    data: DataStore | None = None,
) -> tuple[MaskedPassage, ...]:
    """Check a masker: an answer a passage, in order, the same twice, and some word masked."""
    entry, plugin = _create(cls, config)
    asked = tuple(sample_passages(domain) if passages is None else passages)
    request = MaskRequest(
        passages=asked, domain=domain, data=data or _no_data(), progress=no_progress
    )
    masked = boundary.mask_passages(entry, plugin, request)
    if masked != boundary.mask_passages(entry, plugin, request):
        raise _broken(entry, "gave other spans for the same request and seed")
    if not any(answer.spans for answer in masked):
        raise _broken(entry, "masked no word of any passage")
    return masked


def check_debiaser(
    cls: type[Debiaser[Any]],
    config: Config | None = None,
    *,
    model: LanguageModel | None = None,
    domain: str = "gender",
    masked: Sequence[MaskedPassage] | None = None,
    steps: tuple[int, ...] = (1, 2),
    data: DataStore | None = None,
) -> list[Step]:
    """Check a debiaser: each step in turn, a changed and finite model, the same for one seed.

    Args:
        cls: the debiaser.
        config: fields of its Config.
        model: a model to work on a copy of; default: a tiny one of a kind it works on.
        domain: source domain.
        masked: what to learn from; default: `sample_masked`.
        steps: steps to ask for; a debiaser that is fitted at once is asked for step 1.
        data: where its data is.

    Raises:
        ContractError: nothing changed (unless it is a control), something changed (if it is),
            or the scores are not finite, or differ between two runs with one seed.
    """
    entry, plugin = _create(cls, config)
    base = model or (tiny_causal_model() if "causal" in cls.kinds else tiny_masked_model())
    answers = sample_masked(domain) if masked is None else tuple(masked)
    wanted = steps if cls.stepwise else (1,)
    probes = [passage.text for passage in sample_passages(domain)]
    before = _scores(base, probes)

    def fit() -> tuple[list[Step], list[float]]:
        request = DebiasRequest(
            model=base.copy(),
            domain=domain,
            passages=tuple(answer.passage for answer in answers),
            masked=answers,
            neutral=sample_passages("none", "non-hateful"),
            steps=wanted,
            data=data or _no_data(),
            progress=no_progress,
        )
        seen, scores = [], before
        for checkpoint in boundary.run_debiaser(entry, plugin, request):
            checkpoint.model.forget_scores()
            scores = _scores(checkpoint.model, probes)
            if not all(map(math.isfinite, scores)):
                raise _broken(entry, f"scores are not finite at step {checkpoint.step}")
            json.dumps(dict(checkpoint.log))  # goes into the record
            seen.append(Step(checkpoint.step, checkpoint.log))
        return seen, scores

    seen, after = fit()
    if cls.control == "identity" and after != before:
        raise _broken(entry, "is an identity control, and changed the model's scores")
    if cls.control != "identity" and after == before:
        raise _broken(entry, 'changed no score; set control = "identity" if that is meant')
    if fit()[1] != after:
        raise _broken(entry, "gave another model for the same request and seed")
    base.forget_scores()
    if _scores(base, probes) != before:
        raise _broken(entry, "changed a model that it was not given")
    return seen


def check_evaluator(
    cls: type[Evaluator[Any]],
    config: Config | None = None,
    *,
    model: LanguageModel | None = None,
    domains: Sequence[str] | None = None,
    limit: int | None = None,
    data: DataStore | None = None,
) -> tuple[Measurement, ...]:
    """Check an evaluator: each domain asked for, metrics that follow from their items.

    Raises:
        ContractError: a metric is not what its estimator makes of the items, a domain is
            missing or was not asked for, no metric is primary although not all are diagnostic,
            a value is not declared, a decision does not follow from its scores, `items` lists
            other items, or a second look differs.
    """
    entry, plugin = _create(cls, config)
    handle = model or (tiny_causal_model() if "causal" in cls.kinds else tiny_masked_model())
    asked = tuple(domains or sorted(cls.domains) or ("gender",))
    request = EvaluationRequest(
        model=handle,
        domains=asked,
        limit=limit,
        unlearned=sample_passages(asked[0]) if cls.reads_source else (),
        unseen=sample_passages(asked[0], split="test") if cls.reads_source else (),
        neutral=_neutral() if cls.reads_neutral else (),
        masked=_masked_tests(asked) if cls.reads_masks else (),
        data=data or _no_data(),
        progress=no_progress,
    )
    remembered = boundary.remember(entry, plugin, request)
    request = request.model_copy(update={"remembered": remembered})
    measured = boundary.measure(entry, plugin, request)
    answered = {measurement.domain for measurement in measured} - {NO_DOMAIN, OVERALL}
    if cls.domains and answered != set(asked):
        raise _broken(entry, f"measured {sorted(answered)}, asked for {sorted(asked)}")
    listed = {item.id: item for item in boundary.list_items(entry, plugin, request)}
    for measurement in measured:
        _check_metrics(entry, measurement)
        _check_quantities(entry, measurement)
        if measurement.domain != OVERALL:  # which may hold items of domains not asked for
            _check_listed(entry, measurement, listed)
    if boundary.measure(entry, plugin, request) != measured:
        raise _broken(entry, "measured something else when asked again")
    return measured


def check_model(
    cls: type[Model[Any]], config: Config | None = None, *, device: str = "cpu"
) -> LanguageModel:
    """Check a model plugin: it loads, and scores a text with natural-log probabilities."""
    entry, plugin = _create(cls, config)
    with tempfile.TemporaryDirectory() as cache:
        handle = boundary.load_model(
            entry, plugin, LoadRequest(device=device, cache_dir=Path(cache))
        )
    text = sample_passages("gender")[0].text
    (score,) = handle.token_scores([text])
    if list(score.ids) != handle.encode(text) or len(score.ids) != len(score.logprobs):
        raise _broken(entry, "token_scores() and encode() disagree about the tokens of a text")
    if any(value > 1e-6 for value in score.logprobs if not math.isnan(value)):
        raise _broken(entry, "gave a log-probability above 0")
    return handle


def _check_metrics(entry: Registered, measurement: Measurement) -> None:
    where = f"{measurement.domain} / {measurement.protocol}"
    for metric in measurement.metrics:
        again = estimate(measurement.items, metric.estimator, metric.of, metric.stratum)
        if (metric.value, metric.n, metric.numerator) != tuple(again):
            raise _broken(
                entry,
                f"{where}: {metric.name} is {metric.value} (n {metric.n}), its items give "
                f"{again.value} (n {again.n}); make it with Metric.of_items",
            )
        if metric.value is not None and not math.isfinite(metric.value):
            raise _broken(entry, f"{where}: {metric.name} is {metric.value}")
    shown = [metric for metric in measurement.metrics if metric.role != "diagnostic"]
    if shown and not any(metric.primary for metric in measurement.metrics):
        raise _broken(entry, f"{where}: no metric is primary, so no matrix can show it")


def _check_quantities(entry: Registered, measurement: Measurement) -> None:
    """Check the declared quantities, if there are any, against the items' values."""
    quantities = measurement.quantities
    for item in measurement.items if quantities else ():
        if missing := sorted(item.values.keys() - quantities.keys()):
            raise _broken(entry, f"item {item.id}: quantities() does not declare {missing[0]!r}")
        for name, quantity in quantities.items():
            if not isinstance(quantity, Decision) or len(quantity.of) < 2:
                continue
            if not {name, *quantity.of} <= item.values.keys():
                continue
            scores = np.array([[item.values[score] for score in quantity.of]])
            if item.values[name] != float(quantity.decide(scores)[0]):
                raise _broken(
                    entry, f"item {item.id}: {name!r} does not follow from {', '.join(quantity.of)}"
                )
    for definition in measurement.derived:
        if quantities and (missing := sorted(set(definition.of) - quantities.keys())):
            raise _broken(entry, f"metric {definition.name!r} reads {missing[0]!r}: not declared")


def _check_listed(
    entry: Registered, measurement: Measurement, listed: Mapping[str, ItemTexts]
) -> None:
    """Check that items() lists the measured items, if it lists any of this measurement."""
    if not any(item.id in listed for item in measurement.items):
        return
    for item in measurement.items:
        texts = listed.get(item.id)
        if texts is None:
            raise _broken(entry, f"items() does not list the measured item {item.id!r}")
        if (texts.cluster, texts.stratum) != (item.cluster, item.stratum):
            raise _broken(entry, f"items() gives {item.id!r} another cluster or stratum")


def _create(cls: type[Any], config: Config | None) -> tuple[Registered, Any]:
    entry = load_plugin(cls)
    return entry, cls(cls.Config.model_validate(dict(config or {})))


def _broken(entry: Registered, what: str) -> ContractError:
    return ContractError(f"{entry.family} '{entry.name}' {what}")


@cache
def _neutral() -> tuple[Passage, ...]:
    """Held-out plain text: 48 passages."""
    domains = ("none", "gender", "race", "religion")
    return tuple(p for d in domains for p in sample_passages(d, "non-hateful", "test"))


def _masked_tests(domains: Sequence[str]) -> tuple[MaskedPassage, ...]:
    """Masked test passages of both labels."""
    return tuple(
        answer
        for domain in domains
        for label in get_args(Label)
        for answer in sample_masked(domain, label, "test")
    )


def _no_data() -> DataStore:
    """No data folder, and the domains of all installed plugins."""
    return DataStore(offline=True, domains=load_registry().domains)


def _scores(model: LanguageModel, texts: Sequence[str]) -> list[float]:
    """Log-probabilities (nats) of all tokens but the first, which a causal model may not score."""
    return [float(x) for score in model.token_scores(texts) for x in score.logprobs[1:]]


# -- samples ---------------------------------------------------------------------------------

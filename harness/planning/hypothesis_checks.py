"""Checks that the cells and metrics of hypotheses exist, before a run fixes the hypotheses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from harness.boundary import declared, defined_metrics
from harness.data.domains import NO_DOMAIN, OVERALL
from harness.errors import HarnessError, SpecError, did_you_mean
from harness.planning.hypotheses import Arm, Endpoint, Hypothesis
from harness.planning.narrowing import Narrowing
from harness.planning.spec import PluginUse, Spec, measured_domains
from harness.planning.yaml_lines import Lines, Path
from harness.plugins import Registry
from harness.storage.cells import PLURALS


def check_hypotheses(spec: Spec, registry: Registry, lines: Lines) -> None:
    """Check that every hypothesis of a spec can be tested once the spec has run.

    Raises:
        SpecError: a name is not in the spec, the cells that it names are not planned, or the
            evaluator does not define its metric; with the line.
    """
    if spec.hypotheses is None:
        return
    for path, axis, name in spec.hypotheses.mentions():
        entries = getattr(spec, axis)
        known = [e.label if isinstance(e, PluginUse) else str(e) for e in entries]
        if name not in known:
            raise SpecError(
                f"{lines.where(path)}: '{name}' is not among the spec's {axis}"
                f"{did_you_mean(name, known)}"
            )
    for i, test in enumerate(spec.hypotheses.tests):
        path = ("hypotheses", "tests", i)
        use = _labelled(spec.evaluators, test.endpoint.evaluator)
        problems = chain(
            _endpoint_problems(spec, test.endpoint, use, registry),
            _cell_problems(spec, test, use, registry),
        )
        for inner, problem in problems:
            raise SpecError(f"{lines.where((*path, *inner))}: {problem}")


def _labelled(uses: Iterable[PluginUse], label: str) -> PluginUse:
    return next(use for use in uses if use.label == label)


def _endpoint_problems(
    spec: Spec, endpoint: Endpoint, use: PluginUse, registry: Registry
) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with an endpoint; nothing where its evaluator defines no metrics."""
    entry = registry.get("evaluator", use.use)
    evaluator = registry.create("evaluator", use.use, use.config)
    domains = [*measured_domains(spec, use, registry), NO_DOMAIN, OVERALL]
    named = endpoint.protocol
    names: dict[str, set[str]] = {}
    for protocol in [named] if named is not None else ["", *_texts_of(use)]:
        try:
            if named is not None:
                declared(entry, evaluator, named, domains[0])
            names[protocol] = {
                definition.name
                for domain in domains
                for definition in defined_metrics(entry, evaluator, protocol, domain)
            }
        except HarnessError as error:
            if named is not None:
                yield ("endpoint", "protocol"), f"evaluator '{use.label}': {error}"
    known = set().union(*names.values())
    if known and endpoint.metric not in known:
        hint = did_you_mean(endpoint.metric, known)
        message = f"evaluator '{use.label}' defines no metric '{endpoint.metric}'{hint}"
        yield ("endpoint", "metric"), message
    scorers = use.config.get("scorers")
    several = scorers if named is None and isinstance(scorers, list) else []
    having = [str(name) for name in several if endpoint.metric in names.get(str(name), ())]
    if len(having) > 1:
        listed = ", ".join(having)
        message = (
            f"evaluator '{use.label}' has several protocols ({listed}): name one in `protocol`"
        )
        yield ("endpoint",), message


def _texts_of(use: PluginUse) -> Iterator[str]:
    """Yield each text of a config: any of them may name a protocol."""
    for value in use.config.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield text


def _cell_problems(
    spec: Spec, test: Hypothesis, use: PluginUse, registry: Registry
) -> Iterator[tuple[Path, str]]:
    """Yield why cells that a hypothesis compares are not planned."""
    contrast = test.contrast
    allowed = {u.label: u.only or Narrowing({}) for u in spec.debiaser}
    arms = {"method": contrast.method, "control": contrast.control}
    for role, arm in arms.items():
        if arm is not None:
            for inner, problem in _arm_problems(spec, test, arm, allowed[arm.debiaser], registry):
                yield ((*inner,) if inner[0] == "models" else ("contrast", role, *inner)), problem
    has_domains = bool(registry.get("evaluator", use.use).plugin.domains)
    targets = measured_domains(spec, use, registry) if has_domains else spec.targets
    measured = [target for target in spec.targets if target in targets] or list(targets)
    sources = [s for s in spec.source if any(o.allows("sources", s) for o in allowed.values())]
    pairs = contrast.pairs(sources, measured)
    dead = {
        k: f"the spec has no cell from '{pair.source}' to '{pair.target}' of this contrast"
        for k, pair in enumerate(pairs)
        if pair.target not in targets
        or any(
            arm is not None and not allowed[arm.debiaser].allows("sources", pair.source)
            for arm in arms.values()
        )
    }
    at: Path = ("contrast", "cells")
    if not isinstance(contrast.cells, str):
        for k, problem in dead.items():
            yield (*at, k), problem
    elif dead and (contrast.pool or len(dead) == len(pairs)):
        yield at, f"{next(iter(dead.values()))}; list the cells"


def _arm_problems(
    spec: Spec, test: Hypothesis, arm: Arm, only: Narrowing, registry: Registry
) -> Iterator[tuple[Path, str]]:
    """Yield why a method or a control has no cell at all."""
    label = arm.debiaser
    plugin = registry.get("debiaser", _labelled(spec.debiaser, label).use).plugin
    if arm.masker is not None and "masks" not in plugin.inputs:
        yield ("masker",), f"debiaser '{label}' reads no masks, so it has no cell of a masker"
    named = {"masker": arm.masker, "corpus": arm.corpus, "label": arm.label}
    for axis, value in named.items():
        if value is not None and not only.allows(PLURALS[axis], value):
            yield (axis,), f"debiaser '{label}' is not combined with {axis} '{value}'"
    for k, model in enumerate(test.models or ()):
        if not only.allows("models", model):
            yield ("models", k), f"debiaser '{label}' is not combined with model '{model}'"

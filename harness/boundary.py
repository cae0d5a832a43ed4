"""Calling plugins: the one place where their answers are validated.

A wrong answer raises a `PluginError` that names the plugin, its distribution and version, the
method, and the field.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.data.domains import NO_DOMAIN, OVERALL
from harness.errors import DebiasError, HarnessError, PluginCrashError, PluginError
from harness.families import Corpus, Debiaser, Evaluator, Masker, Model
from harness.lm.handle import LanguageModel
from harness.metrics import Metric, MetricDefinition
from harness.plugins import Registered
from harness.quantities import Quantity
from harness.types import (
    Checkpoint,
    DebiasRequest,
    EvaluationRequest,
    ItemsRequest,
    ItemTexts,
    LoadRequest,
    MaskedPassage,
    MaskRequest,
    Measurement,
    Passage,
    PassageRequest,
)

T = TypeVar("T")

_END: Any = object()
"""Marks the end of a debiaser's checkpoints."""

_PASSAGES = TypeAdapter(tuple[Passage, ...])
_MASKED = TypeAdapter(tuple[MaskedPassage, ...])
_MEASUREMENTS = TypeAdapter(tuple[Measurement, ...])
_DEFINITIONS = TypeAdapter(tuple[MetricDefinition, ...])
_ITEM_TEXTS = TypeAdapter(tuple[ItemTexts, ...])
_QUANTITIES: TypeAdapter[dict[str, Quantity]] = TypeAdapter(dict[str, Quantity])


@contextmanager
def guarded(entry: Registered, method: str) -> Iterator[None]:
    """Run a plugin's code within a block.

    Raises:
        PluginCrashError: it raised anything that is not a `HarnessError`; the one line names the
            plugin, the method, and the file and line of the plugin where it happened.
    """
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:  # third-party code may raise anything
        said = shorten(" ".join(_message(error).split()), 300, placeholder=" …")
        what = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise PluginCrashError(
            f"{entry.describe()} failed in {method}(): {what}{_place(entry, error)}"
        ) from error


def _message(error: Exception) -> str:
    """What an exception says; of a pydantic error the first problem, without the input."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join([error.title, *map(str, first["loc"])])
    return f"{where}: {first['msg']}"


def _place(entry: Registered, error: Exception) -> str:
    """Where an exception was raised: the last line of the plugin's own package, if there is one."""
    frames = list(traceback.extract_tb(error.__traceback__))
    module = sys.modules.get(entry.plugin.__module__.partition(".")[0])
    file = getattr(module, "__file__", None)
    root = Path(file).parent if file and Path(file).name == "__init__.py" else file
    frames = [frame for frame in frames if frame.filename != __file__] or frames
    plugin_frames = [
        f for f in frames if root is not None and _is_within(Path(f.filename), Path(root))
    ]
    last_frame = (plugin_frames or frames)[-1:]
    return "".join(f" ({frame.filename}, line {frame.lineno})" for frame in last_frame)


def _is_within(path: Path, root: Path) -> bool:
    return path == root or root in path.parents


def read_passages(
    entry: Registered, corpus: Corpus[Any], request: PassageRequest
) -> tuple[Passage, ...]:
    """Ask a corpus; every passage must be of the domain, label and split asked for."""
    with guarded(entry, "passages"):
        answer = corpus.passages(request)
    passages = _checked(_PASSAGES, answer, entry, "passages")
    seen: set[str] = set()
    for passage in passages:
        asked = (request.domain, request.label, request.split)
        if (passage.domain, passage.label, passage.split) != asked:
            raise _breach(
                entry,
                "passages",
                f"passage {passage.id!r} is {passage.domain}/{passage.label}/{passage.split}, "
                f"asked for {'/'.join(asked)}",
            )
        if passage.id in seen:
            raise _breach(entry, "passages", f"passage id {passage.id!r} appears twice")
        seen.add(passage.id)
    if request.limit is not None and len(passages) > request.limit:
        raise _breach(entry, "passages", f"gave {len(passages)} passages, limit {request.limit}")
    return passages


def mask_passages(
    entry: Registered, masker: Masker[Any], request: MaskRequest
) -> tuple[MaskedPassage, ...]:
    """Ask a masker; it must answer each passage, unchanged and in order."""
    with guarded(entry, "mask"):
        answer = masker.mask(request)
    masked = _checked(_MASKED, answer, entry, "mask")
    if len(masked) != len(request.passages):
        raise _breach(
            entry, "mask", f"gave {len(masked)} answers for {len(request.passages)} passages"
        )
    for asked, got in zip(request.passages, masked, strict=True):
        if got.passage != asked:
            raise _breach(entry, "mask", f"changed or reordered passage {asked.id!r}")
    return masked


def run_debiaser(
    entry: Registered, debiaser: Debiaser[Any], request: DebiasRequest
) -> Iterator[Checkpoint]:
    """Yield a debiaser's checkpoints: exactly the requested steps, in order."""
    if request.model.kind not in debiaser.kinds:
        raise DebiasError(
            f"debiaser '{entry.name}' works on {' and '.join(sorted(debiaser.kinds))} models; "
            f"'{request.model.name}' is a {request.model.kind} one"
        )
    wanted = iter(request.steps)
    with guarded(entry, "debias"):
        answer = debiaser.debias(request)
    if not isinstance(answer, Iterator):
        raise _breach(
            entry, "debias", f"must return an iterator of Checkpoint, not {_kind(answer)}"
        )
    while True:
        with guarded(entry, "debias"):
            checkpoint = next(answer, _END)
        if checkpoint is _END:
            break
        step = next(wanted, None)
        if not isinstance(checkpoint, Checkpoint):
            raise _breach(entry, "debias", f"yielded {_kind(checkpoint)}, not a Checkpoint")
        if checkpoint.step != step:
            raise _breach(entry, "debias", f"yielded step {checkpoint.step}, expected {step}")
        if not isinstance(checkpoint.model, LanguageModel):
            raise _breach(
                entry,
                "debias",
                f"Checkpoint.model is {_kind(checkpoint.model)}, not a LanguageModel",
            )
        yield checkpoint
    if (missing := next(wanted, None)) is not None:
        raise _breach(entry, "debias", f"ended before step {missing}")


def measure(
    entry: Registered, evaluator: Evaluator[Any], request: EvaluationRequest
) -> tuple[Measurement, ...]:
    """Ask an evaluator; measurements must be of domains asked for, each once a protocol, and hold
    something.
    """
    if request.model.kind not in evaluator.kinds:
        raise PluginError(
            f"evaluator '{entry.name}' works on {' and '.join(sorted(evaluator.kinds))} models; "
            f"'{request.model.name}' is a {request.model.kind} one"
        )
    with guarded(entry, "evaluate"):
        raw = evaluator.evaluate(request)
    answer = _checked(_MEASUREMENTS, raw, entry, "evaluate")
    if not answer:
        raise _breach(entry, "evaluate", "gave no measurement")
    seen: set[tuple[str, str]] = set()
    sources = {passage.domain for passage in request.unlearned}
    allowed = {*request.domains, *sources, NO_DOMAIN, OVERALL}
    for measurement in answer:
        if measurement.domain not in allowed:
            raise _breach(
                entry,
                "evaluate",
                f"measured domain {measurement.domain!r}, asked for {', '.join(request.domains)}",
            )
        key = (measurement.domain, measurement.protocol)
        if key in seen:
            raise _breach(entry, "evaluate", f"measured {' / '.join(key)} twice")
        seen.add(key)
        if len({item.id for item in measurement.items}) != len(measurement.items):
            raise _breach(entry, "evaluate", f"item ids of {' / '.join(key)} are not unique")
        if not measurement.items and not measurement.metrics:
            raise _breach(entry, "evaluate", f"gave neither items nor metrics of {' / '.join(key)}")
    return tuple(
        measurement
        if measurement.quantities
        else declared(entry, evaluator, measurement.protocol, measurement.domain).complete(
            measurement
        )
        for measurement in answer
    )


class Declared(NamedTuple):
    """What an evaluator declares about the measurements of one protocol and domain.

    Attributes:
        quantities: what each item value is, by its name.
        definitions: of the metrics, by name.
    """

    quantities: dict[str, Quantity]
    definitions: dict[str, MetricDefinition]

    def complete(self, measurement: Measurement) -> Measurement:
        """Fill in what a measurement does not say itself.

        Metrics take their role, rank and whole from the definition of their name. A metric that
        is defined and not there is derived from the items by readers.
        """
        stored = {metric.name for metric in measurement.metrics}
        missing = tuple(
            definition for name, definition in self.definitions.items() if name not in stored
        )
        return measurement.model_copy(
            update={
                "metrics": tuple(self._as_defined(metric) for metric in measurement.metrics),
                "quantities": self.quantities,
                "derived": missing,
            }
        )

    def _as_defined(self, metric: Metric) -> Metric:
        definition = self.definitions.get(metric.name)
        if definition is None:
            return metric
        defined = {
            "role": definition.role,
            "primary": definition.primary,
            "whole": definition.whole,
        }
        changed = {name: v for name, v in defined.items() if getattr(metric, name) != v}
        return metric.model_copy(update=changed) if changed else metric


def declared(entry: Registered, evaluator: Evaluator[Any], protocol: str, domain: str) -> Declared:
    """Ask an evaluator what it declares about a protocol and a domain."""
    definitions = defined_metrics(entry, evaluator, protocol, domain)
    with guarded(entry, "quantities"):
        raw = dict(evaluator.quantities(protocol))
    try:
        quantities = _QUANTITIES.validate_python(raw)
    except ValidationError as error:
        raise _invalid(entry, "quantities", error) from None
    return Declared(quantities, {definition.name: definition for definition in definitions})


def defined_metrics(
    entry: Registered, evaluator: Evaluator[Any], protocol: str, domain: str
) -> tuple[MetricDefinition, ...]:
    """Ask an evaluator for the definitions of its metrics; see `Evaluator.metrics`."""
    with guarded(entry, "metrics"):
        answer = evaluator.metrics(protocol, domain)
    return _checked(_DEFINITIONS, answer, entry, "metrics")


def list_items(
    entry: Registered, evaluator: Evaluator[Any], request: ItemsRequest
) -> tuple[ItemTexts, ...]:
    """Ask an evaluator for its items without a model; ids must be unique in each domain."""
    with guarded(entry, "items"):
        raw = evaluator.items(request)
    answer = _checked(_ITEM_TEXTS, raw, entry, "items")
    if len({(item.domain, item.id) for item in answer}) != len(answer):
        raise _breach(entry, "items", "item ids are not unique")
    return answer


def remember(entry: Registered, evaluator: Evaluator[Any], request: EvaluationRequest) -> object:
    """Ask an evaluator what it must know of the base model; see `Evaluator.remember`."""
    if request.model.kind not in evaluator.kinds:
        return None  # `measure` says so
    with guarded(entry, "remember"):
        return evaluator.remember(request)


def load_model(entry: Registered, model: Model[Any], request: LoadRequest) -> LanguageModel:
    """Ask a model plugin for the handle."""
    with guarded(entry, "load"):
        handle = model.load(request)
    if not isinstance(handle, LanguageModel):
        raise _breach(entry, "load", f"returned {_kind(handle)}, not a LanguageModel")
    return handle


def _checked(adapter: TypeAdapter[T], answer: object, entry: Registered, method: str) -> T:
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise _breach(entry, method, f"must return a list, not {_kind(answer)}")
    with guarded(entry, method):  # a sequence of the plugin's own may compute its elements now
        elements = tuple(answer)
    try:
        return adapter.validate_python(elements)
    except ValidationError as error:
        raise _invalid(entry, method, error) from None


def _invalid(entry: Registered, method: str, error: ValidationError) -> PluginError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return _breach(entry, method, f"answer[{where}]: {first['msg']}")


def _breach(entry: Registered, method: str, what: str) -> PluginError:
    return PluginError(f"{entry.describe()} broke its contract in {method}(): {what}")


def _kind(value: object) -> str:
    return type(value).__name__

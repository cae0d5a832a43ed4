"""What the evaluators of a run declare about their measurements.

A measurement stores its quantities and its derived metrics. Records that an older version wrote
have neither, so readers ask the evaluator of the run's spec, where it is installed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError

from harness.boundary import Declared, declared
from harness.errors import HarnessError, StoreError, first_problem
from harness.estimators import known_estimators
from harness.families import Evaluator
from harness.plugins import Registered, Registry, installed_plugins
from harness.storage.records import RunIndex
from harness.types import Measurement


class EvaluatorUse(NamedTuple):
    """An evaluator as the spec of a run uses it."""

    entry: Registered
    evaluator: Evaluator[Any]


class Declarations:
    """Asks the evaluators of a run what they declare.

    Args:
        index: of the run; its spec says which evaluator is behind a label, with which config.
        registry: of the plugins; default: those that are installed, loaded when first needed.
    """

    def __init__(self, index: RunIndex, registry: Registry | None = None) -> None:
        self._index = index
        self._registry = registry
        self._declared: dict[tuple[str, str, str], Declared | None] = {}

    def evaluator(self, label: str) -> EvaluatorUse:
        """Return the evaluator behind a label.

        Raises:
            StoreError: the spec of the run does not name it, or its config has changed since.
            PluginError: it is not installed.
        """
        name, config = self._use(label)
        registry = self._registry or installed_plugins()
        try:
            plugin = registry.create("evaluator", name, config)
        except ValidationError as error:
            raise StoreError(
                f"this version of evaluator '{name}' does not accept the config of this run: "
                f"{first_problem(error)}"
            ) from None
        return EvaluatorUse(registry.get("evaluator", name), plugin)

    def complete(self, label: str, measurement: Measurement) -> Measurement:
        """Return a stored measurement with its quantities and derived metrics.

        A measurement stays as it is if it declares its quantities, or if its evaluator cannot be
        asked.
        """
        if any(metric.estimator not in known_estimators() for metric in measurement.metrics):
            installed_plugins()  # a plugin may add it
        if measurement.quantities:
            return measurement
        place = label, measurement.protocol, measurement.domain
        if place not in self._declared:
            try:
                use = self.evaluator(label)
                self._declared[place] = declared(
                    use.entry, use.evaluator, measurement.protocol, measurement.domain
                )
            except HarnessError:  # it, its config or its protocol is no longer there
                self._declared[place] = None
        declaration = self._declared[place]
        return measurement if declaration is None else declaration.complete(measurement)

    def _use(self, label: str) -> tuple[str, dict[str, Any]]:
        uses = self._index.spec.get("evaluators")
        for use in uses if isinstance(uses, list) else []:
            if isinstance(use, dict) and use.get("label") == label:
                config = use.get("config")
                return str(use["use"]), config if isinstance(config, dict) else {}
        raise StoreError(f"the spec of this run does not say what evaluator '{label}' is")

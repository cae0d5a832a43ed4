"""A plugin-based benchmark harness for cross-domain bias mitigation in language models.

Everything that you import from here is the public API; see ``__all__``. Other modules are private
by convention: their names may move without notice. Importing this package is cheap, because each
name is loaded when you first use it.

Write a plugin::

    from harness import Debiaser, hookimpl

Run an experiment and read its results::

    from harness import Experiment, open_run

    experiment = Experiment.from_spec("quickstart")
    experiment.run()
    open_run(experiment.folder).matrix()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.data.domains import Counterparts as Counterparts
    from harness.data.domains import Domain as Domain
    from harness.data.domains import Domains as Domains
    from harness.data.pins import Pin as Pin
    from harness.data.pins import PinnedFile as PinnedFile
    from harness.data.places import DataStore as DataStore
    from harness.errors import DataError as DataError
    from harness.errors import DebiasError as DebiasError
    from harness.errors import HarnessError as HarnessError
    from harness.errors import ModelError as ModelError
    from harness.errors import PluginError as PluginError
    from harness.errors import ServiceError as ServiceError
    from harness.errors import SpecError as SpecError
    from harness.errors import StoreError as StoreError
    from harness.estimators import Estimator as Estimator
    from harness.estimators import Sample as Sample
    from harness.families import NOT_IN_KEY as NOT_IN_KEY
    from harness.families import Corpus as Corpus
    from harness.families import Debiaser as Debiaser
    from harness.families import DebiaserInput as DebiaserInput
    from harness.families import Evaluator as Evaluator
    from harness.families import Masker as Masker
    from harness.families import Model as Model
    from harness.families import PinnedConfig as PinnedConfig
    from harness.families import PluginConfig as PluginConfig
    from harness.families import pinned_rows as pinned_rows
    from harness.hookspecs import hookimpl as hookimpl
    from harness.lm.handle import LanguageModel as LanguageModel
    from harness.lm.handle import TokenScores as TokenScores
    from harness.metrics import HIGHER as HIGHER
    from harness.metrics import LOWER as LOWER
    from harness.metrics import NO_IDEAL as NO_IDEAL
    from harness.metrics import TOWARDS_0 as TOWARDS_0
    from harness.metrics import TOWARDS_50 as TOWARDS_50
    from harness.metrics import Direction as Direction
    from harness.metrics import Item as Item
    from harness.metrics import Metric as Metric
    from harness.metrics import MetricDefinition as MetricDefinition
    from harness.metrics import Role as Role
    from harness.plugins import Registry as Registry
    from harness.plugins import load_registry as load_registry
    from harness.quantities import Count as Count
    from harness.quantities import Decision as Decision
    from harness.quantities import LogProb as LogProb
    from harness.quantities import Nats as Nats
    from harness.quantities import Number as Number
    from harness.quantities import Probability as Probability
    from harness.quantities import Quantities as Quantities
    from harness.quantities import Quantity as Quantity
    from harness.running.experiment import Experiment as Experiment
    from harness.runs import Run as Run
    from harness.runs import open_run as open_run
    from harness.types import Checkpoint as Checkpoint
    from harness.types import ControlKind as ControlKind
    from harness.types import DebiasRequest as DebiasRequest
    from harness.types import EvaluationRequest as EvaluationRequest
    from harness.types import ItemsRequest as ItemsRequest
    from harness.types import ItemTexts as ItemTexts
    from harness.types import Label as Label
    from harness.types import LoadRequest as LoadRequest
    from harness.types import MaskedPassage as MaskedPassage
    from harness.types import MaskEstimate as MaskEstimate
    from harness.types import MaskRequest as MaskRequest
    from harness.types import MaskUsage as MaskUsage
    from harness.types import Measurement as Measurement
    from harness.types import Passage as Passage
    from harness.types import PassageRequest as PassageRequest
    from harness.types import Placing as Placing
    from harness.types import Progress as Progress
    from harness.types import Span as Span
    from harness.types import Split as Split

__version__ = "0.1.0"

_MODULES = {
    "harness.data.domains": (
        "Counterparts",
        "Domain",
        "Domains",
    ),
    "harness.data.pins": (
        "Pin",
        "PinnedFile",
    ),
    "harness.data.places": ("DataStore",),
    "harness.errors": (
        "DataError",
        "DebiasError",
        "HarnessError",
        "ModelError",
        "PluginError",
        "ServiceError",
        "SpecError",
        "StoreError",
    ),
    "harness.estimators": (
        "Estimator",
        "Sample",
    ),
    "harness.families": (
        "NOT_IN_KEY",
        "Corpus",
        "Debiaser",
        "DebiaserInput",
        "Evaluator",
        "Masker",
        "Model",
        "PinnedConfig",
        "PluginConfig",
        "pinned_rows",
    ),
    "harness.hookspecs": ("hookimpl",),
    "harness.lm.handle": (
        "LanguageModel",
        "TokenScores",
    ),
    "harness.metrics": (
        "HIGHER",
        "LOWER",
        "NO_IDEAL",
        "TOWARDS_0",
        "TOWARDS_50",
        "Direction",
        "Item",
        "Metric",
        "MetricDefinition",
        "Role",
    ),
    "harness.plugins": (
        "Registry",
        "load_registry",
    ),
    "harness.quantities": (
        "Count",
        "Decision",
        "LogProb",
        "Nats",
        "Number",
        "Probability",
        "Quantities",
        "Quantity",
    ),
    "harness.running.experiment": ("Experiment",),
    "harness.runs": (
        "Run",
        "open_run",
    ),
    "harness.types": (
        "Checkpoint",
        "ControlKind",
        "DebiasRequest",
        "EvaluationRequest",
        "ItemTexts",
        "ItemsRequest",
        "Label",
        "LoadRequest",
        "MaskEstimate",
        "MaskRequest",
        "MaskUsage",
        "MaskedPassage",
        "Measurement",
        "Passage",
        "PassageRequest",
        "Placing",
        "Progress",
        "Span",
        "Split",
    ),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted([*_MODULE_OF, "__version__"])


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)

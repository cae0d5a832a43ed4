"""Any task of lm-evaluation-harness, measured on the loaded model (extra ``[lm-eval]``)."""

from __future__ import annotations

import hashlib
import io
import json
import math
import traceback
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from functools import lru_cache
from glob import glob, has_magic
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, JsonValue

from harness.data.domains import NO_DOMAIN
from harness.data.files import Stamp, is_file, is_folder, shown, stamp
from harness.data.pins import file_sha256
from harness.data.places import DataStore
from harness.errors import DataError, HarnessError, did_you_mean
from harness.families import Evaluator, PluginConfig
from harness.metrics import HIGHER, LOWER, TOWARDS_50, Direction, Item, MetricDefinition
from harness.quantities import Number, Quantities
from harness.types import EvaluationRequest, Measurement

RATES = ("word_perplexity", "byte_perplexity", "perplexity")
"""Metrics that are exp(nats / weight): an item has a value for each of the two."""

IDEALS: Mapping[str, Direction] = {"pct_stereotype": TOWARDS_50}
"""Metrics whose ideal is not the direction that the task states."""


class LmEvalConfig(PluginConfig):
    """Which tasks."""

    tasks: tuple[str, ...] = Field(min_length=1, description="names of lm-eval tasks")
    include_path: str | None = Field(
        None, description="folder with the YAML files of your own tasks; its content is hashed"
    )
    few_shot: int | None = Field(
        None, ge=0, description="examples in the prompt; default: what the task says"
    )
    task_domains: dict[str, str] = Field(
        {}, description="the domain that a task is about; default: none"
    )


class Task(NamedTuple):
    """What is known of a task before its data is loaded."""

    name: str
    config: Mapping[str, Any]
    file: Path | None


class LmEval(Evaluator[LmEvalConfig]):
    """Runs tasks of lm-evaluation-harness, and keeps their results for each document."""

    name = "lm-eval"
    summary = "Any lm-evaluation-harness task on the debiased model, with results per document."
    reference = "https://github.com/EleutherAI/lm-evaluation-harness"
    domains = frozenset()
    kinds = frozenset({"causal"})

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Version of lm-eval, each task's settings and version, and the files it reads."""
        tasks = _tasks(self.config)
        return {
            "lm-eval": _version(),
            "tasks": {task.name: _digest(task) for task in tasks},
        }

    def paths(self) -> Mapping[str, Path]:
        """The folder of your own tasks."""
        path = self.config.include_path
        return {} if path is None else {"include_path": Path(path)}

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        """Run the tasks; see `Evaluator.evaluate`.

        Raises:
            DataError: a task does not exist, or its data cannot be loaded.
        """
        tasks = _tasks(self.config)
        measurements = []
        for number, task in enumerate(tasks):
            request.progress(number, len(tasks), task.name)
            domain = self.config.task_domains.get(task.name, NO_DOMAIN)
            if domain != NO_DOMAIN and domain not in request.domains:
                continue
            items = _run(task, self.config, request)
            measurements.append(self.measurement(domain, task.name, items))
        if not measurements:
            raise DataError("evaluator 'lm-eval' has no task about any of the target domains")
        return measurements

    def quantities(self, protocol: str) -> Quantities:
        """Declare the numbers of a document; their units are the task's own."""
        task = self._task(protocol)
        return {name: Number() for scored in _scored(task) for name in scored.values}

    def metrics(self, protocol: str, domain: str) -> Sequence[MetricDefinition]:
        """Define the metrics of a task: means over documents, or rates of log-probabilities.

        Where a task reads answers in several ways (filters), each metric has a value for each.
        """
        task = self._task(protocol)
        metrics = _metrics(task)
        definitions = []
        for scored in _scored(task):
            metric = scored.metric
            direction = IDEALS.get(metric, HIGHER if metrics[metric] else LOWER)
            bias = direction.kind == "target"
            first = scored.filter in (None, *_filters(task)[:1])
            definitions.append(
                MetricDefinition(
                    name=scored.name,
                    estimator="exp_rate" if metric in RATES else "percent" if bias else "mean",
                    of=scored.values,
                    direction=direction,
                    role="bias" if bias else "language",
                    primary=first and (bias or metric == next(iter(metrics))),
                )
            )
        return definitions

    def _task(self, name: str) -> Task:
        return next(task for task in _tasks(self.config) if task.name == name)


class Scored(NamedTuple):
    """A metric of a task, of the answers that one of its filters reads; None: it has only one."""

    metric: str
    filter: str | None

    @property
    def name(self) -> str:
        """The metric's name, with the filter's where a task has several."""
        return self.metric if self.filter is None else f"{self.metric}_{self.filter}"

    @property
    def values(self) -> tuple[str, ...]:
        """Names of the item values that it reads."""
        name = self.name
        return (f"{name}_nats", f"{name}_weight") if self.metric in RATES else (name,)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("lm-eval")
    except PackageNotFoundError:
        raise DataError(
            "evaluator 'lm-eval' needs the package lm-eval: pip install "
            "'bias-transfer-harness[lm-eval]'"
        ) from None


def _manager(include_path: str | None, defaults: bool) -> Any:
    """lm-eval's index of tasks, as the files of the folder are now."""
    paths = () if include_path is None else sorted(Path(include_path).rglob("*"))
    state = tuple((str(path), stamp(path)) for path in paths if is_file(path))
    return _indexed(include_path, defaults, state)


@lru_cache(maxsize=4)
def _indexed(include_path: str | None, defaults: bool, state: tuple[tuple[str, Stamp], ...]) -> Any:
    """Make an index; ``state`` tells one content of the folder from another."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=include_path, include_defaults=defaults)


def _tasks(config: LmEvalConfig) -> list[Task]:
    """The tasks of a config, in its order; lm-eval's own are indexed only if they are needed.

    Raises:
        DataError: lm-eval is not installed, the folder is missing, or a task does not exist.
    """
    _version()
    folder = config.include_path
    if folder is not None and not is_folder(Path(folder)):
        raise DataError(f"evaluator 'lm-eval': include_path {shown(Path(folder))} is not a folder")
    for path in sorted(Path(folder).rglob("*.yaml")) if folder is not None else ():
        if not is_file(path):  # lm-eval would open a pipe and wait
            raise DataError(f"evaluator 'lm-eval': {path} is not a file; remove it")
    index = {} if folder is None else _manager(folder, False).task_index
    if any(name not in index for name in config.tasks):
        index = _manager(folder, True).task_index
    tasks = []
    for name in config.tasks:
        entry = index.get(name)
        if entry is None:
            alike = [task for task in index if task[:3] == name[:3]]  # of some 15,000
            hint = did_you_mean(name, alike).partition(" (known")[0]
            raise DataError(f"lm-eval has no task '{name}'{hint}; `lm_eval ls tasks` lists them")
        if entry.cfg is None or entry.kind.name not in ("TASK", "UNKNOWN"):
            raise DataError(f"lm-eval's '{name}' is not a single task; name the tasks of it")
        tasks.append(Task(name, entry.cfg, entry.yaml_path))
    return tasks


def _metrics(task: Task) -> dict[str, bool]:
    """The metrics that a task lists, and whether higher is better."""
    from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY, is_higher_better

    listed = task.config.get("metric_list") or [
        {"metric": name}
        for name in DEFAULT_METRIC_REGISTRY.get(str(task.config.get("output_type")), ())
    ]
    return {
        str(entry["metric"]): bool(
            entry["higher_is_better"]
            if "higher_is_better" in entry
            else is_higher_better(entry["metric"])
        )
        for entry in listed
        if entry["metric"] != "bits_per_byte"  # byte_perplexity on another scale
    }


def _filters(task: Task) -> list[str]:
    """Names of a task's filters, each of which reads an answer in its own way."""
    return [str(entry["name"]) for entry in task.config.get("filter_list") or ()]


def _scored(task: Task) -> list[Scored]:
    """The metrics of a task, once for each filter where there are several."""
    filters = _filters(task)
    return [
        Scored(metric, name)
        for metric in _metrics(task)
        for name in (filters if len(filters) > 1 else [None])
    ]


def _digest(task: Task) -> dict[str, JsonValue]:
    """What a task's results depend on: settings, version, the folder's code, local data."""
    text = json.dumps(task.config, sort_keys=True, default=str)
    folder = None if task.file is None else task.file.parent
    for path in _local_files(task):  # where files are must not matter
        text = text.replace(str(path), path.name)
    text = text if folder is None else text.replace(str(folder), "")
    metadata = task.config.get("metadata")
    files: dict[str, JsonValue] = {}
    if folder is not None:
        files = {path.name: file_sha256(path) for path in sorted(folder.glob("*.py"))}
    for path in _local_files(task):
        name = path.name  # two files may have one name, in a folder each
        while name in files:
            name += "'"
        files[name] = file_sha256(path)
    arguments = task.config.get("dataset_kwargs")
    return {
        "settings": hashlib.sha256(text.encode()).hexdigest(),
        "version": str((metadata if isinstance(metadata, dict) else {}).get("version", "")),
        "dataset": str(task.config.get("dataset_path", "")),
        "revision": str((arguments if isinstance(arguments, dict) else {}).get("revision", "")),
        "files": files,
    }


def _local_files(task: Task) -> list[Path]:
    """The files on this machine that a task's data is read from, in the order they are named."""
    arguments = task.config.get("dataset_kwargs")
    named = arguments if isinstance(arguments, dict) else {}
    listed = named.get("data_files")
    flat: list[Any] = list(listed.values()) if isinstance(listed, dict) else [listed]
    names = [name for given in flat for name in (given if isinstance(given, list) else [given])]
    names += [task.config.get("dataset_path"), named.get("data_dir")]
    files: dict[Path, None] = {}
    for name in (name for name in names if isinstance(name, str)):
        if is_file(Path(name)):
            files[Path(name)] = None
        elif Path(name).is_absolute() and is_folder(Path(name)):
            files |= dict.fromkeys(p for p in sorted(Path(name).rglob("*")) if p.is_file())
        elif has_magic(name):
            paths = (Path(one) for one in sorted(glob(name, recursive=True)))
            files |= dict.fromkeys(path for path in paths if path.is_file())
    return list(files)


def _run(task: Task, config: LmEvalConfig, request: EvaluationRequest) -> list[Item]:
    from lm_eval.evaluator import simple_evaluate

    from harness_evaluators.lm_eval_model import HandleLM

    greedy = task.config.get("output_type") == "loglikelihood"
    try:
        loaded = _manager(config.include_path, False if task.file is None else _is_ours(task))
        with redirect_stderr(io.StringIO()):  # progress bars of lm-eval and datasets
            results = simple_evaluate(
                model=HandleLM(request.model, greedy),
                tasks=[task.name],
                num_fewshot=config.few_shot,
                limit=request.limit,
                bootstrap_iters=0,
                log_samples=True,
                task_manager=loaded,
                random_seed=request.seed,
                numpy_random_seed=request.seed,
                torch_random_seed=request.seed,
                fewshot_random_seed=request.seed,
            )
    except HarnessError:
        raise
    except Exception as error:  # lm-eval and its templates answer bad data with any exception
        if _is_a_bug(error):
            raise
        raise DataError(f"lm-eval task '{task.name}': {_causes(error)}; {_check(task)}") from None
    by_document: dict[Any, list[Mapping[str, Any]]] = {}
    for sample in results["samples"][task.name]:  # one for each document and filter
        by_document.setdefault(sample["doc_id"], []).append(sample)
    items = [_item(task, document, samples) for document, samples in by_document.items()]
    if not items:
        raise DataError(f"lm-eval task '{task.name}' has no document")
    return items


def _is_a_bug(error: Exception) -> bool:
    """Whether an exception came through this project's own code, not of lm-eval's or a task's."""
    import harness

    ours = (Path(__file__).parent, Path(harness.__file__).parent)
    _, *frames = traceback.extract_tb(error.__traceback__)  # the first is that of the call
    within = [Path(frame.filename) for frame in frames]
    usual = (OSError, ValueError, KeyError, ImportError)
    return not isinstance(error, usual) and any(
        folder in path.parents for path in within for folder in ours
    )


def _causes(error: BaseException) -> str:
    """One line of what an exception and the ones behind it say."""
    said: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(said) < 3:
        text = " ".join(str(cause).split())
        said.append(f"{type(cause).__name__}: {text}"[:150] if text else type(cause).__name__)
        cause = cause.__cause__
    return "; ".join(said)


def _check(task: Task) -> str:
    """What a user can look at when a task fails: its local files, or the network."""
    files = [path for path in (task.file, *_local_files(task)) if path is not None]
    if not files[1:]:
        return "a task whose data is on a hub needs the network the first time"
    return f"check its files ({', '.join(str(path) for path in files)})"


def _is_ours(task: Task) -> bool:
    """Whether lm-eval's own index is needed to load a task: it came from there."""
    import lm_eval.tasks

    folder = Path(str(lm_eval.tasks.__file__)).parent
    return task.file is not None and folder in task.file.parents


def _item(task: Task, document: Any, samples: Sequence[Mapping[str, Any]]) -> Item:
    values: dict[str, float] = {}
    for scored in _scored(task):
        sample = next(s for s in samples if scored.filter in (None, s["filter"]))
        value = sample.get(scored.metric)
        if scored.metric in RATES:
            nats, weight = value if isinstance(value, (tuple, list)) else (value, 1.0)
            values |= zip(scored.values, (-float(nats), float(weight)), strict=True)
        elif isinstance(value, (int, float)) and math.isfinite(value):
            values[scored.name] = float(value)
    return Item(id=f"{task.name}/{document}", values=values)

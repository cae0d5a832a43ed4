"""What a run's workers need to know and to have, gathered by the driver."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.data.files import expanded, is_file, is_folder
from harness.errors import ModelError
from harness.families import Family, Model, Plugin
from harness.planning.spec import PluginUse
from harness.plugins import Registry
from harness.running.executors.parcels import Parcel, data_files, files_of, pack, pack_at
from harness.running.executors.remote_worker import Run, Use, plugins_of, software
from harness.running.units import Job, Unit

Put = Callable[[bytes], Any]


def manifest(job: Job, registry: Callable[[], Registry], put: Put, *, here: bool = False) -> Run:
    """Gather what all units of a job share; files are packed.

    Args:
        job: the units, and where their data is.
        registry: builds a worker's registry.
        put: takes bytes, returns what a worker fetches them by.
        here: the workers are on this machine: its paths and its cache are theirs.

    Raises:
        DataError: a file that is there cannot be read.
    """
    plugins = {
        (family, use.label): (use, job.registry.create(family, use.use, use.config))
        for family, use in _uses(job.units)
    }
    files = data_files((plugin for _, plugin in plugins.values()), job.data)
    models = {use.label: plugin for use, plugin in plugins.values() if isinstance(plugin, Model)}
    return Run(
        spec=job.spec,
        registry=registry,
        listed=os.environ.get("HARNESS_PLUGINS"),
        origins={
            (family, name): job.registry.get(family, name).origin
            for unit in job.units
            for family, name in plugins_of(unit)
        },
        software=software(),
        data=pack(files, "data", put) if files else None,
        paths={} if here else _paths({key: plugin for key, (_, plugin) in plugins.items()}, put),
        pinned={label: plugin.pinned().model_dump(mode="json") for label, plugin in models.items()},
        cached={} if here else dict(_cached(models, job.data.cache_dir / "models", put)),
        offline=job.data.offline,
        keep=job.scratch is not None,
    )


def _uses(units: Iterable[Unit]) -> Iterator[tuple[Family, PluginUse]]:
    """The plugins that workers make, as the spec uses them."""
    for unit in units:
        yield "model", unit.model
        if unit.fit is not None:
            yield "debiaser", unit.fit.debiaser
        for task in unit.tasks:
            yield "evaluator", task.evaluator


def _paths(plugins: dict[Any, Plugin[Any]], put: Put) -> dict[Use, dict[str, tuple[str, Parcel]]]:
    packed: dict[Path, Parcel] = {}
    paths: dict[Use, dict[str, tuple[str, Parcel]]] = {}
    for key, plugin in plugins.items():
        for name, given in plugin.paths().items():
            path = expanded(given)
            if not (is_file(path) or is_folder(path)):
                continue  # the plugin that reads it reports this
            path = path.resolve()
            if path not in packed:
                packed[path] = pack(files_of(path), path.name, put)
            paths.setdefault(key, {})[name] = (str(given), packed[path])
    return paths


def _cached(models: dict[str, Model[Any]], folder: Path, put: Put) -> Iterator[tuple[str, Parcel]]:
    for label, plugin in models.items():
        with suppress(ModelError):  # the worker tries itself, and says why it cannot
            if (made := plugin.cached(folder)) is not None:
                yield label, pack_at(files_of(made), f"models/{made.name}", put)

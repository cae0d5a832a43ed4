"""The worker's side of a cluster: does one unit and streams what comes of it.

The worker builds its own registry, and refuses the order if a plugin of it is missing there or
has another version. Data and models come out of the order's parcels, into this machine's cache.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness import __version__
from harness.data.places import DataStore, user_cache
from harness.errors import HarnessError, PluginError
from harness.families import Family
from harness.lm.handle import LanguageModel
from harness.planning.spec import PluginUse, Spec
from harness.plugins import Origin, Registry
from harness.running.executors.parcels import Parcel, send_folder, unpack
from harness.running.provenance import checkout, packages
from harness.running.reporting import Reporter
from harness.running.units import Event, Inputs, Kept, Note, Unit
from harness.running.worker import Worker

Use = tuple[Family, str]
"""A plugin as a spec uses it: its family, and its label there."""


@dataclass(frozen=True)
class Piece:
    """The next bytes of a file of a kept checkpoint; its `Kept` follows the last one."""

    folder: str
    path: str
    content: bytes


@dataclass(frozen=True)
class Refused:
    """This worker cannot work for the run; the error says why."""

    error: HarnessError


Message = Event | Piece | Refused


@dataclass(frozen=True)
class Run:
    """What all units of a run share.

    Attributes:
        spec: the whole of what is run.
        registry: builds the worker's registry.
        listed: the driver's ``HARNESS_PLUGINS``.
        origins: where the driver has each plugin from, by family and name.
        software: the driver's versions of what can change a number; see `software`.
        data: pinned data sets, laid out as a data folder.
        paths: by use and config field: the driver's path, and the files that are there.
        pinned: configs of models by label, with nothing left to look up.
        cached: by label: models that the driver has made ready in its cache.
        offline: nothing is fetched.
        keep: checkpoints are kept.
    """

    spec: Spec
    registry: Callable[[], Registry]
    listed: str | None
    origins: Mapping[tuple[Family, str], Origin]
    software: Mapping[str, str]
    data: Parcel | None = None
    paths: Mapping[Use, Mapping[str, tuple[str, Parcel]]] = field(default_factory=dict)
    pinned: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    cached: Mapping[str, Parcel] = field(default_factory=dict)
    offline: bool = False
    keep: bool = False


def carry_out(unit: Unit, inputs: Inputs, run: Run, fetch: Callable[[Any], bytes]) -> Iterator[Any]:
    """Do a unit on this machine; yield each `Message` as soon as it exists.

    Args:
        unit: what to do.
        inputs: its texts.
        run: what it is part of.
        fetch: gives the bytes of a parcel's piece.
    """
    scratch = Path(tempfile.mkdtemp(prefix="harness-")) if run.keep else None
    try:
        yield from _carry_out(unit, inputs, run, fetch, scratch)
    except HarnessError as error:
        yield Refused(_told(error))
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _carry_out(
    unit: Unit, inputs: Inputs, run: Run, fetch: Callable[[Any], bytes], scratch: Path | None
) -> Iterator[Message]:
    if run.listed is None:
        os.environ.pop("HARNESS_PLUGINS", None)
    else:
        os.environ["HARNESS_PLUGINS"] = run.listed
    registry = _registry(run.registry, run.listed)
    check_plugins(unit, registry, run.origins)
    if other := other_software(run.software):
        yield Note(f"worker on {socket.gethostname()}: {other}; numbers may differ")
    cache_dir = user_cache()
    folder = None if run.data is None else unpack(run.data, cache_dir, fetch)
    if (made := run.cached.get(unit.model.label)) is not None:
        unpack(made, cache_dir, fetch)
    unit, names = _moved(unit, run, cache_dir, fetch)
    data = DataStore(data_dir=folder, cache_dir=cache_dir, offline=run.offline)
    worker = _Elsewhere(registry, data, run.spec, Reporter(), scratch)
    worker.names = names
    for event in worker.carry_out(unit, lambda: inputs):
        if isinstance(event, Kept):
            name = event.folder.name
            yield from (Piece(name, *sent) for sent in send_folder(event.folder))
            event = replace(event, folder=Path(name))
        yield event


@cache
def _registry(build: Callable[[], Registry], listed: str | None) -> Registry:
    """One registry a process; ``listed`` is there to have another where it changes."""
    return build()


def _told(error: HarnessError) -> HarnessError:
    """Return an error that also names this machine."""
    return type(error)(f"worker on {socket.gethostname()}: {error}")


# -- the same software -----------------------------------------------------------------------


def check_plugins(
    unit: Unit, registry: Registry, origins: Mapping[tuple[Family, str], Origin]
) -> None:
    """Check that this process has the plugins of a unit as the driver has them.

    Raises:
        PluginError: one is missing, or of another version.
    """
    for family, name in plugins_of(unit):
        theirs = origins[family, name]
        want = f"install {theirs.distribution}=={theirs.version} there, as on the driver"
        if name not in registry.names(family):
            lost = "".join(f"; {failure}" for failure in registry.failures)
            raise PluginError(f"no {family} '{name}'; {want}{lost}")
        ours = registry.get(family, name).origin
        if (ours.distribution, ours.version) != (theirs.distribution, theirs.version):
            raise PluginError(
                f"{family} '{name}' is of {ours.distribution} {ours.version}, the driver's of "
                f"{theirs.distribution} {theirs.version}; {want}"
            )


def plugins_of(unit: Unit) -> Iterator[tuple[Family, str]]:
    """Family and name of each plugin that takes part in a unit on a worker or in its records."""
    yield "model", unit.model.use
    fit = unit.fit
    if fit is not None:
        yield "debiaser", fit.debiaser.use
        if fit.masker is not None:
            yield "masker", fit.masker.use
        if fit.neutral is not None:
            yield "corpus", fit.neutral.use
        if fit.source is not None:
            yield "corpus", fit.source.corpus.use
    for task in unit.tasks:
        yield "evaluator", task.evaluator.use
        if task.source is not None:
            yield "corpus", task.source.corpus.use
        if task.masked is not None:
            yield "corpus", task.masked.corpus.use
            yield "masker", task.masked.masker.use


def software() -> dict[str, str]:
    """Versions of this process's packages that can change a number, and the harness's commit."""
    commit, _ = checkout()
    return {**packages(), "the harness": commit or __version__}


def other_software(theirs: Mapping[str, str]) -> str:
    """What of this process's `software` is not the driver's, in words; or nothing."""
    ours = software()
    return "; ".join(
        f"{name} is {ours.get(name, 'missing')}, the driver's is {theirs.get(name, 'missing')}"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    )


# -- paths -----------------------------------------------------------------------------------


def _moved(
    unit: Unit, run: Run, cache_dir: Path, fetch: Callable[[Any], bytes]
) -> tuple[Unit, dict[str, str]]:
    """The unit with configs that name this machine's copies, and what the driver calls those."""
    names: dict[str, str] = {}

    def moved(family: Family, use: PluginUse) -> PluginUse:
        config = dict(use.config)
        for key, (original, parcel) in run.paths.get((family, use.label), {}).items():
            config[key] = str(unpack(parcel, cache_dir, fetch))
            names[str(config[key])] = original
        return use.model_copy(update={"config": config})

    fit = unit.fit
    if fit is not None:
        fit = replace(fit, debiaser=moved("debiaser", fit.debiaser))
    tasks = tuple(
        replace(task, evaluator=moved("evaluator", task.evaluator)) for task in unit.tasks
    )
    pinned = run.pinned.get(unit.model.label, unit.model.config)
    model = moved("model", unit.model.model_copy(update={"config": pinned}))
    return replace(unit, model=model, fit=fit, tasks=tasks), names


class _Elsewhere(Worker):
    """A worker whose models are called what the driver calls them, in records and adapters."""

    names: Mapping[str, str]

    def load(self, use: PluginUse) -> LanguageModel:
        model = super().load(use)
        model.name = self.names.get(model.name, model.name)
        config = getattr(getattr(model, "module", None), "config", None)
        if (known := self.names.get(str(getattr(config, "_name_or_path", "")))) is not None:
            assert config is not None
            config._name_or_path = known
        return model

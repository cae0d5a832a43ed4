"""An experiment: a spec together with the plugins, data and passages that carry it out.

Example::

    experiment = Experiment.from_spec("quickstart", limits={"items": 20})
    print(experiment.survey().problems)
    outcome = experiment.run()
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.data.places import DataStore
from harness.planning.overrides import apply_override
from harness.planning.passages import Texts
from harness.planning.plan import Plan, build_plan
from harness.planning.spec import Spec, known_data
from harness.planning.spec_reader import build_spec, load_spec
from harness.planning.survey import Survey, survey
from harness.planning.yaml_lines import Lines
from harness.plugins import Registry, load_registry
from harness.running.executors import Executor
from harness.running.reporting import Reporter
from harness.running.runner import Outcome, Runner
from harness.storage.store import Store

RESULTS = Path("runs")
"""Folder that holds run folders unless you name another."""


class Experiment:
    """A checked spec with everything that is needed to run it.

    Attributes:
        spec: the checked spec.
        registry: the plugins that it names.
        data: where data sets are looked for.
        folder: the run folder that `run` writes to.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        registry: Registry,
        data: DataStore | None = None,
        results: str | Path = RESULTS,
        folder: str | Path | None = None,
    ) -> None:
        """Bundle a checked spec with everything that is needed to run it.

        Args:
            spec: the checked spec.
            registry: the plugins that it names.
            data: where data sets are looked for; default: the folder that ``HARNESS_DATA``
                names, then the user cache, then the data set's own address.
            results: folder that holds run folders.
            folder: the run folder; default: the spec's name below ``results``.
        """
        self.spec = spec
        self.registry = registry
        self.data = known_data(spec, registry, data if data is not None else default_data())
        self.folder = Path(folder) if folder is not None else Path(results) / spec.name
        self._plan: Plan | None = None

    @classmethod
    def from_spec(
        cls,
        path: str | Path,
        *,
        registry: Registry | None = None,
        data: DataStore | None = None,
        results: str | Path = RESULTS,
        **overrides: Any,
    ) -> Experiment:
        """Read a spec file.

        Args:
            path: a YAML file, or the bare name of a shipped spec such as ``quickstart``.
            registry: plugins; default: all that are installed.
            data: where data sets are looked for.
            results: folder that holds run folders.
            overrides: top-level keys of the spec, or dotted keys as ``--set`` takes them
                (``**{"limits.items": 20}``), with values in place of YAML.

        Raises:
            SpecError: a mistake in the spec, with file and line.
            PluginError: two plugins have one name.
        """
        registry = registry if registry is not None else load_registry()
        words = [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
        spec = load_spec(path, registry, words)
        return cls(spec, registry=registry, data=data, results=results)

    @classmethod
    def from_mapping(
        cls,
        values: Mapping[str, Any],
        *,
        registry: Registry | None = None,
        data: DataStore | None = None,
        results: str | Path = RESULTS,
        folder: str | Path | None = None,
        overrides: tuple[str, ...] = (),
        source: str = "spec",
    ) -> Experiment:
        """Build an experiment from a mapping with the keys of a spec.

        Args:
            values: the spec as nested mappings and lists, with at least ``name``.
            registry: plugins; default: all that are installed.
            data: where data sets are looked for.
            results: folder that holds run folders.
            folder: the run folder; default: the spec's name below ``results``.
            overrides: ``key=value`` strings as ``--set`` takes them.
            source: what error messages call the mapping.

        Raises:
            SpecError: a mistake in the spec, with its key.
        """
        registry = registry if registry is not None else load_registry()
        raw = dict(values)
        for override in overrides:
            apply_override(raw, override)
        spec = build_spec(raw, registry, Lines(source))
        return cls(spec, registry=registry, data=data, results=results, folder=folder)

    @cached_property
    def texts(self) -> Texts:
        """The passages that the spec reads, each selection once."""
        return Texts(self.registry, self.data, self.spec.limits, self.spec.stop_at)

    @property
    def store(self) -> Store:
        """The results on disk."""
        return Store(self.folder)

    def plan(self) -> Plan:
        """Return every task with its content key. Reads data, loads no model."""
        if self._plan is None:
            self._plan = build_plan(self.spec, self.registry, self.data, self.texts)
        return self._plan

    def survey(self) -> Survey:
        """Return what would run, what is stored already, what it costs, and what is missing."""
        return survey(self.plan(), self.registry, self.data, self.texts, self.store)

    def run(
        self,
        *,
        reporter: Reporter | None = None,
        executor: Executor | None = None,
        fresh: bool = False,
    ) -> Outcome:
        """Run what is not stored yet. Call it again after an interruption to resume.

        Args:
            fresh: measure everything again, even what is stored.
            reporter: receives progress; default: none.
            executor: does the work; default: this process.

        Raises:
            StoreError: results cannot be written, or another run writes to the folder.
        """
        runner = Runner(
            self.registry, self.data, self.texts, self.store, reporter or Reporter(), executor
        )
        return runner.run(self.plan(), fresh=fresh)


def default_data() -> DataStore:
    """Return the default places for data: the folder in ``HARNESS_DATA``, then the user cache."""
    folder = os.environ.get("HARNESS_DATA")
    return DataStore(data_dir=Path(folder) if folder else None)

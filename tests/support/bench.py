"""Runs specs of the toy plugins in a folder."""

from __future__ import annotations

from pathlib import Path

from toy_plugins import TOY_SPEC, toy_registry

from harness.data.places import DataStore
from harness.planning.plan import Plan
from harness.planning.spec import Spec
from harness.running.experiment import Experiment
from harness.running.runner import Outcome
from harness.storage.store import Store


class Bench:
    """A folder and the means to run specs in it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "run")
        self.data = DataStore(cache_dir=folder / "cache", offline=True)

    def spec(self, **changes: object) -> Spec:
        return self.experiment(**changes).spec

    def experiment(self, **changes: object) -> Experiment:
        return Experiment.from_mapping(
            {**TOY_SPEC, **changes},
            registry=toy_registry(),
            data=self.data,
            folder=self.store.folder,
            source="test",
        )

    def plan(self, **changes: object) -> Plan:
        return self.experiment(**changes).plan()

    def run(self, **changes: object) -> Outcome:
        return self.experiment(**changes).run()

    def values(self) -> dict[str, object]:
        """Every record without its times, by key."""
        found = {}
        for key in self.store.record_keys():
            record = self.store.record(key)
            assert record is not None
            found[key] = record.model_dump(mode="json", exclude={"created_at", "seconds"})
        return found

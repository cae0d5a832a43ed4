"""Runs specs of the toy plugins in a folder."""

from __future__ import annotations

from pathlib import Path

from toy_plugins import TOY_SPEC, toy_registry

from harness.data.places import DataStore
from harness.planning.passages import Texts
from harness.planning.plan import Plan, build_plan
from harness.planning.spec import Spec
from harness.planning.spec_reader import build_spec
from harness.planning.yaml_lines import Lines
from harness.running.reporting import Silent
from harness.running.runner import Outcome, Runner
from harness.storage.store import Store


class Bench:
    """A folder and the means to run specs in it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "run")
        self.data = DataStore(cache_dir=folder / "cache", offline=True)

    def spec(self, **changes: object) -> Spec:
        return build_spec({**TOY_SPEC, **changes}, toy_registry(), Lines("test"))

    def plan(self, **changes: object) -> Plan:
        spec = self.spec(**changes)
        return build_plan(
            spec, toy_registry(), self.data, Texts(toy_registry(), self.data, spec.limits)
        )

    def run(self, **changes: object) -> Outcome:
        spec = self.spec(**changes)
        registry = toy_registry()
        texts = Texts(registry, self.data, spec.limits)
        plan = build_plan(spec, registry, self.data, texts)
        return Runner(registry, self.data, texts, self.store, Silent()).run(plan)

    def values(self) -> dict[str, object]:
        """Every record without its times, by key."""
        found = {}
        for key in self.store.record_keys():
            record = self.store.record(key)
            assert record is not None
            found[key] = record.model_dump(mode="json", exclude={"created_at", "seconds"})
        return found

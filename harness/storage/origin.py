"""Software, machine, time and plugins behind the records of a run, summed up as they are read."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.storage.records import PluginVersion, Provenance, Record


@dataclass
class RunOrigin:
    """A summary of the provenance of records; `add` takes them one by one.

    Attributes:
        records: how many there are.
        first, last: when the earliest and the latest were written, ISO 8601.
        provenances: each different provenance once.
        plugins: those that took part in a record.
        seconds: seconds by phase, summed.
        tokens: scored tokens, summed.
    """

    records: int = 0
    first: str = ""
    last: str = ""
    provenances: list[Provenance] = field(default_factory=list)
    plugins: set[PluginVersion] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    tokens: int = 0

    def add(self, record: Record) -> None:
        """Count one more record."""
        self.records += 1
        self.first = min(self.first or record.created_at, record.created_at)
        self.last = max(self.last, record.created_at)
        if record.provenance not in self.provenances:
            self.provenances.append(record.provenance)
            self.plugins.update(record.provenance.plugins)
        for phase, value in record.seconds.items():
            self.seconds[phase] = self.seconds.get(phase, 0.0) + value
        self.tokens += record.tokens or 0

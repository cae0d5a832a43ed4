"""Numbers from the literature, as data with their source. Never mixed with measured ones.

A file of ``results/reported/`` is one publication; a wheel carries the same files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import DataError, did_you_mean, first_problem
from harness.shipped import shipped_files


class _Reported(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReportedNumber(_Reported):
    """One number of a table: what was measured, on which model, and its value."""

    table: Annotated[str, Field(description="where in the publication it stands")]
    model: str
    method: Annotated[str | None, Field(description="None: the model as it was released")]
    source: Annotated[str | None, Field(description="domain it was debiased in")]
    step: Annotated[int | None, Field(ge=0)] = None
    evaluator: Annotated[str, Field(description="the harness's name where it has the same data")]
    protocol: Annotated[str, Field(description="scorer or window rule, stated or inferred")]
    metric: str
    domain: str
    value: Annotated[float, Field(description="as printed, in the metric's own unit")]
    numerator: int | None = None
    n: int | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _count_gives_value(self) -> ReportedNumber:
        """Check that a count next to a percentage gives it, to the printed two decimals."""
        if self.numerator is None or self.n is None:
            return self
        per_item = 2 if self.metric == "lm_score" else 1
        if abs(100.0 * self.numerator / (per_item * self.n) - self.value) > 0.0051:
            raise ValueError(f"{self.numerator} of {self.n} items is not {self.value} %")
        return self


class Publication(_Reported):
    """A publication and the numbers taken from it."""

    id: str
    aliases: tuple[str, ...] = ()
    citation: str
    url: str | None = None
    note: Annotated[str, Field(description="what keeps its numbers from being comparable")]
    numbers: tuple[ReportedNumber, ...]


def load_publications(folder: Path | None = None) -> tuple[Publication, ...]:
    """Read every publication of a folder, by id; the shipped ones unless a folder is given.

    Raises:
        DataError: a file is not what it should be; names it and the first mistake.
    """
    publications = []
    shipped = shipped_files("results/reported", "*.json").values()
    for path in sorted(shipped if folder is None else folder.glob("*.json")):
        try:
            publications.append(Publication.model_validate_json(path.read_bytes()))
        except OSError as error:
            raise DataError(f"{path}: cannot read: {error.strerror or error}") from None
        except (ValidationError, json.JSONDecodeError) as error:
            raise DataError(f"{path}: no file of reported numbers: {_first(error)}") from None
    return tuple(sorted(publications, key=lambda publication: publication.id))


def find_publication(name: str) -> Publication:
    """Return the publication with an id or alias (``paper`` is Lu et al. 2024).

    Raises:
        DataError: there is none; says which there are.
    """
    by_name: dict[str, Publication] = {}
    for publication in load_publications():
        by_name.update(dict.fromkeys((publication.id, *publication.aliases), publication))
    if name not in by_name:
        raise DataError(f"no reported numbers called '{name}'{did_you_mean(name, by_name)}")
    return by_name[name]


def _first(error: Exception) -> str:
    return first_problem(error) if isinstance(error, ValidationError) else str(error)

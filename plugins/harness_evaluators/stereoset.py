"""StereoSet, intrasentence, dev set (Nadeem et al. 2021)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from harness.data.pins import Pin
from harness.data.sampling import nested_sample
from harness.data.tabular import read_utf8
from harness.errors import DataError
from harness.families import PinnedConfig, pinned_rows
from harness.types import ItemsRequest
from harness_evaluators.triples import Triple, TripleConfig, TripleEvaluator

DOMAINS = ("gender", "profession", "race", "religion")
LABELS = ("stereotype", "anti-stereotype", "unrelated")


def parse(path: Path) -> Iterator[tuple[str, ...]]:
    """Rows (id, bias_type, target, context, stereotype, anti-stereotype, unrelated)."""
    try:
        examples = json.loads(read_utf8(path))["data"]["intrasentence"]
        for example in examples:
            yield _row(example, path)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: line {error.lineno}: not JSON ({error.msg}); the file is truncated or damaged"
        ) from None
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not StereoSet's dev.json: {error} is missing") from None


def _row(example: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    by_label = {s["gold_label"]: s["sentence"] for s in example["sentences"]}
    if sorted(by_label) != sorted(LABELS):
        raise DataError(f"{path}: example {example['id']} has labels {sorted(by_label)}")
    texts = [by_label[label] for label in LABELS]
    if any(not text.strip() for text in texts):
        raise DataError(f"{path}: example {example['id']} has an empty sentence")
    return (example["id"], example["bias_type"], example["target"], example["context"], *texts)


PIN = Pin(
    name="stereoset",
    filename="stereoset/dev.json",
    url="https://raw.githubusercontent.com/moinnadeem/StereoSet/"
    "ead7d086a64a192a1eca88e0dd2fd163de375218/data/dev.json",
    sha256=None,
    git_blob="637b1e3d284a3c629b74a4659c583b8eca9bd13e",
    items_sha256="493359c51c1150e8a66a378468e0fae2467669ddc65efcc87766e192aca99369",
    parse=parse,
    licence="CC-BY-SA-4.0",
    citation="Nadeem et al. 2021, StereoSet, ACL",
    defects="unrelated fillers are often ungrammatical; 2,379 stored sentences differ from the "
    "filled context in letter case (the stored sentence is scored)",
    n_items=2106,
)


class StereoSetConfig(TripleConfig, PinnedConfig):
    """Which scorers, and where the data is."""

    overall: bool = Field(
        True,
        description="also measure all four domains together, as the paper's LM score does "
        "(scores the profession items whatever the targets are)",
    )


class StereoSet(TripleEvaluator[StereoSetConfig]):
    """Preference for stereotypes, and for meaningful over unrelated words."""

    name = "stereoset"
    summary = "StereoSet dev, intrasentence: stereotype score, LM score, ICAT; four domains."
    reference = "Nadeem et al. 2021, https://aclanthology.org/2021.acl-long.416"
    pins = (PIN,)
    domains = frozenset(DOMAINS)

    @property
    def overall(self) -> bool:
        """Whether all four domains are also measured together."""
        return self.config.overall

    def triples(self, request: ItemsRequest) -> Mapping[str, Sequence[Triple]]:
        """Return the triples of each domain; see `TripleEvaluator.triples`."""
        return self._triples(request, request.domains)

    def scored(self, request: ItemsRequest) -> Mapping[str, Sequence[Triple]]:
        """Return the triples of all four domains if they are also measured together."""
        return self._triples(request, DOMAINS if self.config.overall else request.domains)

    def _triples(
        self, request: ItemsRequest, domains: Sequence[str]
    ) -> dict[str, Sequence[Triple]]:
        found: dict[str, Sequence[Triple]] = {}
        rows = pinned_rows(PIN, self.config, request.data)
        for domain in domains:
            own = [_triple(row) for row in rows if row[1] == domain]
            if not own:
                raise DataError(
                    f"evaluator 'stereoset' has no item for '{domain}' "
                    f"(it has: {', '.join(DOMAINS)})"
                )
            found[domain] = nested_sample(own, request.limit, request.seed, lambda t: t.id)
        return found


def _triple(row: tuple[str, ...]) -> Triple:
    identifier, domain, term, context, stereotype, anti, unrelated = row
    return Triple(f"stereoset/{identifier}", domain, term, context, stereotype, anti, unrelated)

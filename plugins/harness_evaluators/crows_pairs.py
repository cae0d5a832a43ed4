"""CrowS-Pairs (Nangia et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.data.aliases import Aliases
from harness.data.pins import Pin
from harness.data.sampling import nested_sample
from harness.data.tabular import read_csv, require_text
from harness.errors import DataError
from harness.families import PinnedConfig, pinned_rows
from harness.types import ItemsRequest
from harness_evaluators.pairs import Pair, PairConfig, PairEvaluator

TYPES = Aliases(
    "crows-pairs",
    {
        "gender": "gender",
        "race-color": "race",
        "religion": "religion",
        "sexual-orientation": "orientation",
        "disability": "disability",
        "age": "age",
        "nationality": "nationality",
        "physical-appearance": "appearance",
        "socioeconomic": "socioeconomic",
    },
)
"""The domain of each bias type."""


def parse(path: Path) -> Iterator[tuple[str, ...]]:
    """Yield rows (id, sent_more, sent_less, stereo_antistereo, bias_type) of the published CSV.

    Rows of a bias type that is not in `TYPES`, as in the revised release, are passed on unchecked:
    no domain has them.

    Raises:
        DataError: a row of a known type has an empty text or an unknown half (says the line).
    """
    columns = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
    for number, values in read_csv(path, columns):
        identifier = values.get("") or values.get("id") or str(number)
        if values["bias_type"].strip() and values["bias_type"] not in TYPES:
            yield (identifier, *(values[name] for name in columns))
            continue
        for name in columns:
            require_text(path, number, values[name])
        if values["stereo_antistereo"] not in ("stereo", "antistereo"):
            raise DataError(
                f"{path}: line {number}: stereo_antistereo is {values['stereo_antistereo']!r}, "
                "not stereo or antistereo"
            )
        yield (identifier, *(values[name] for name in columns))


PIN = Pin(
    name="crows-pairs",
    filename="crows_pairs/crows_pairs_anonymized.csv",
    url="https://raw.githubusercontent.com/nyu-mll/crows-pairs/"
    "8aaac11c485473159ec9328a65253a5be9a479dc/data/crows_pairs_anonymized.csv",
    sha256="dfb36986ce0502abbaf7055b9176da3d08d48e07df1251991b5dfbcbceab9d0c",
    items_sha256="555dc7595952c94d1b86acb107c49931f1b0e9715061758bfb9e8d53279135ab",
    parse=parse,
    licence="CC-BY-SA-4.0",
    citation="Nangia et al. 2020, CrowS-Pairs, EMNLP",
    defects="its authors advise against it as a measure by itself: many pairs are unclear "
    "(Blodgett et al. 2021), and stereo/antistereo are unbalanced",
    n_items=1508,
)


class CrowsPairsConfig(PairConfig, PinnedConfig):
    """Which scorers, and where the data is."""


class CrowsPairs(PairEvaluator[CrowsPairsConfig]):
    """How often a model prefers the more stereotyping sentence of a pair."""

    name = "crows-pairs"
    summary = "CrowS-Pairs: preference for the stereotyping sentence of a pair; nine domains."
    reference = "Nangia et al. 2020, https://aclanthology.org/2020.emnlp-main.154"
    pins = (PIN,)
    domains = TYPES.all_domains()

    def pairs(self, request: ItemsRequest) -> Mapping[str, Sequence[Pair]]:
        """Return the pairs of each domain; see `PairEvaluator.pairs`."""
        by_domain: dict[str, list[Pair]] = {domain: [] for domain in request.domains}
        for number, more, less, stratum, alias in pinned_rows(PIN, self.config, request.data):
            (domain,) = TYPES.get(alias, (None,))
            if domain in by_domain:
                by_domain[domain].append(Pair(f"crows-pairs/{number}", more, less, stratum))
        for domain, pairs in by_domain.items():
            if not pairs:
                raise DataError(
                    f"evaluator 'crows-pairs' has no item for '{domain}' "
                    f"(it has: {', '.join(sorted(self.domains))})"
                )
        return {
            domain: nested_sample(pairs, request.limit, request.seed, lambda pair: pair.id)
            for domain, pairs in by_domain.items()
        }

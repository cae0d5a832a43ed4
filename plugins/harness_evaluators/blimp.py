"""BLiMP: minimal pairs of acceptable and unacceptable sentences (Warstadt et al. 2020).

A language metric: what a debiased model may have lost of its grammar.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from harness.data.domains import NO_DOMAIN
from harness.data.pins import Pin, Row
from harness.data.sampling import nested_sample
from harness.data.tabular import read_jsonl, require_text
from harness.families import Evaluator, PinnedConfig, pinned_rows
from harness.metrics import HIGHER, Item, MetricDefinition
from harness.quantities import Decision, LogProb, Quantities
from harness.types import EvaluationRequest, ItemsRequest, ItemTexts, Measurement
from harness_evaluators.categories import require_items
from harness_evaluators.pin_files import checksums_of
from harness_evaluators.scorers import protocol_name, score_sentences

GENDER_AGREEMENT = "anaphor_gender_agreement"
"""The paradigm that asks whether a model knows which names go with which pronouns. A method that
erases gender fails it."""


def parse(folder: Path) -> Iterator[Row]:
    """Yield paradigm, pair, phenomenon, and the acceptable and the unacceptable sentence."""
    for path in sorted(folder.glob("*.jsonl")):
        required = ("sentence_good", "sentence_bad", "UID", "pairID", "linguistics_term")
        for number, values in read_jsonl(path, required):
            yield (
                str(values["UID"]),
                str(values["pairID"]),
                str(values["linguistics_term"]),
                require_text(path, number, str(values["sentence_good"])),
                require_text(path, number, str(values["sentence_bad"])),
            )


_ADDRESS, _FILES = checksums_of("blimp")
PIN = Pin(
    name="blimp",
    filename="blimp",
    url=_ADDRESS,
    sha256=None,
    items_sha256="b17c2f770b4a88cc1c6791e60e007602f03fa2fac08d0ffcb3284faf150d9980",
    parse=parse,
    licence="CC-BY-4.0",
    citation="Warstadt et al. 2020, BLiMP, TACL",
    homepage="https://github.com/alexwarstadt/blimp",
    defects="generated sentences with a small vocabulary; some paradigms are hard for people too",
    n_items=67000,
    files=_FILES,
)

PHENOMENA = (
    "anaphor_agreement",
    "argument_structure",
    "binding",
    "control_raising",
    "determiner_noun_agreement",
    "ellipsis",
    "filler_gap_dependency",
    "irregular_forms",
    "island_effects",
    "npi_licensing",
    "quantifiers",
    "s-selection",
    "subject_verb_agreement",
)


class BlimpConfig(PinnedConfig):
    """How many pairs."""

    per_paradigm: int | None = Field(
        20, ge=1, description="pairs of each of the 67 paradigms, nested; null: all 1,000"
    )


class Blimp(Evaluator[BlimpConfig]):
    """How often a model finds the acceptable sentence of a pair likelier."""

    name = "blimp"
    summary = "BLiMP: grammatical acceptability, 67 paradigms; a language metric."
    reference = "Warstadt et al. 2020, https://aclanthology.org/2020.tacl-1.25"
    pins = (PIN,)
    domains = frozenset()

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        """Score the pairs; see `Evaluator.evaluate`.

        A sentence's score is the sum of the log-probabilities of its tokens after a start token;
        of a masked model, its pseudo-log-likelihood.
        """
        rows = self._rows(request)
        texts = [text for row in rows for text in row[3:]]
        if request.model.kind == "causal":
            protocol = protocol_name("lmeval_sum", request.model)
            scores = score_sentences(request.model, texts, "lmeval_sum")
        else:
            protocol = "mlm_pll"
            scores = [float(s.logprobs.sum()) for s in request.model.token_scores(texts)]
        items = [
            Item(
                id=_id(row),
                cluster=row[0],
                stratum=row[2],
                values=_values(row, good, bad),
            )
            for row, good, bad in zip(rows, scores[::2], scores[1::2], strict=True)
        ]
        return [self.measurement(NO_DOMAIN, protocol, items)]

    def items(self, request: ItemsRequest) -> Sequence[ItemTexts]:
        """List the pairs; see `Evaluator.items`."""
        return [
            ItemTexts(
                id=_id(row),
                domain=NO_DOMAIN,
                texts={"good": row[3], "bad": row[4]},
                stratum=row[2],
                cluster=row[0],
            )
            for row in self._rows(request)
        ]

    def quantities(self, protocol: str) -> Quantities:
        """Declare the scores of a pair and what is decided from them."""
        score = LogProb(per="text")
        correct = Decision(of=("good", "bad"))
        return {
            "good": score,
            "bad": score,
            "correct": correct,
            "correct_gender_agreement": correct,
        }

    def metrics(self, protocol: str, domain: str) -> Sequence[MetricDefinition]:
        """Define the accuracy, that of each phenomenon, and that on gender agreement."""
        accuracy = MetricDefinition(
            name="accuracy",
            estimator="percent",
            of=("correct",),
            direction=HIGHER,
            role="language",
            primary=True,
        )
        part = {"primary": False, "role": "diagnostic"}
        return (
            accuracy,
            accuracy.model_copy(
                update={
                    **part,
                    "name": f"accuracy_{GENDER_AGREEMENT}",
                    "of": ("correct_gender_agreement",),
                }
            ),
            *(
                accuracy.model_copy(
                    update={**part, "name": f"accuracy_{phenomenon}", "stratum": phenomenon}
                )
                for phenomenon in PHENOMENA
            ),
        )

    def _rows(self, request: ItemsRequest) -> list[Row]:
        by_paradigm: dict[str, list[Row]] = {}
        for row in pinned_rows(PIN, self.config, request.data):
            by_paradigm.setdefault(row[0], []).append(row)
        require_items(self, by_paradigm or {"any paradigm": []}, "pair")
        limits = [n for n in (self.config.per_paradigm, request.limit) if n is not None]
        limit = min(limits, default=None)
        return [
            row
            for rows in by_paradigm.values()
            for row in nested_sample(rows, limit, request.seed, _id)
        ]


def _id(row: Row) -> str:
    return f"blimp/{row[0]}/{row[1]}"


def _values(row: Row, good: float, bad: float) -> dict[str, float]:
    values = {"good": good, "bad": bad, "correct": float(good > bad)}
    if row[0] == GENDER_AGREEMENT:
        values["correct_gender_agreement"] = values["correct"]
    return values

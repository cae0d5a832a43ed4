"""Perplexity: of WikiText-2 in windows, and of the passages of a corpus (the paper's Figure 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from harness.data.domains import NO_DOMAIN
from harness.data.pins import Pin
from harness.data.tabular import read_utf8
from harness.errors import DataError, ModelError
from harness.families import ConfigT, Evaluator, PinnedConfig, PluginConfig, pinned_rows
from harness.lm.handle import LanguageModel
from harness.metrics import HIGHER, LOWER, Item, Metric, MetricDefinition
from harness.quantities import Count, Nats, Quantities
from harness.types import EvaluationRequest, ItemsRequest, ItemTexts, Measurement, Passage
from harness_evaluators.scorers import with_start

WINDOWS = {"hf1024": 1024, "bb992": 992}
"""Window sizes of the published protocols; stride and size are the same. A start token that the
tokenizer puts in front of a text is the first token of each window."""

WINDOWS_AT_ONCE = 8


def parse_raw(path: Path) -> Iterator[tuple[str, ...]]:
    """Rows (line number, text) of wiki.test.raw: blank lines are rows, as in the hub's copy."""
    for number, line in enumerate(read_utf8(path).splitlines(keepends=True)):
        yield str(number), line if line.strip() else ""


PIN = Pin(
    name="wikitext-2-raw-test",
    filename="wikitext-2-raw/wiki.test.raw",
    url="https://wikitext.smerity.com/wikitext-2-raw-v1.zip",
    archive_member="wikitext-2-raw/wiki.test.raw",
    sha256="173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08",
    items_sha256="85afc33013adfee47028a774643f9d3e527637eefe152ca4d31634a4a66a0c78",
    parse=parse_raw,
    licence="CC-BY-SA-3.0",
    citation="Merity et al. 2016, Pointer Sentinel Mixture Models",
    n_items=4358,
)


class WindowEvaluator(Evaluator[ConfigT]):
    """Base of evaluators of the perplexity of one text, in windows that do not overlap.

    ``perplexity`` is exact: exp of the summed negative log-probabilities over the number of
    scored tokens (a window's first token has none). ``perplexity_published`` weighs each
    window's mean by all its tokens, as the published scripts do.
    """

    kinds = frozenset({"causal"})

    def quantities(self, protocol: str) -> Quantities:
        """Declare nats and tokens, exact and as the published scripts count them."""
        return {
            "nll": Nats(tokens="tokens"),
            "tokens": Count(),
            "nll_published": Nats(tokens="tokens_published"),
            "tokens_published": Count(),
        }

    def metrics(self, protocol: str, domain: str) -> Sequence[MetricDefinition]:
        """Define the two perplexities."""
        return (
            _perplexity("perplexity", ("nll", "tokens"), primary=True),
            _perplexity("perplexity_published", ("nll_published", "tokens_published")),
        )

    def windows(
        self,
        request: EvaluationRequest,
        text: str,
        size: int,
        protocol: str,
        *,
        prefix: str,
        most: int | None = None,
    ) -> Measurement:
        """Measure a text, encoded once, in windows.

        Args:
            request: says which model, and how many windows a check needs.
            text: all of it.
            size: tokens a window.
            protocol: name of the protocol.
            prefix: of the item ids.
            most: only the first windows.

        Raises:
            ModelError: the window does not fit the model's context.
            DataError: the text has no token that can be scored.
        """
        model = request.model
        if size > model.max_tokens:
            raise ModelError(
                f"windows of {size} tokens do not fit model '{model.name}' (context "
                f"{model.max_tokens}); set 'window' to at most that"
            )
        ids, front = model.encode(text), model.front
        step = size - len(front)
        windows = [[*front, *ids[at : at + step]] for at in range(0, len(ids), step)]
        windows = [window for window in windows if len(window) > 1]
        if not windows:
            raise DataError(
                f"the text of '{prefix}' has {len(ids)} token(s), and the first of a text has no "
                "score: there is nothing to measure"
            )
        kept = windows[:most][: request.sample]
        items = []
        for number, (window, scores) in enumerate(zip(kept, _scored(model, kept), strict=True)):
            items.append(window_item(f"{prefix}/window-{number}", window, scores))
            request.progress(number + 1, len(kept), "windows")
        note = None
        if len(kept) < len(windows):
            note = (
                f"perplexity over the first {len(kept)} of {len(windows)} windows of {size} tokens"
            )
        return self.measurement(NO_DOMAIN, with_start(protocol, model), items, note)


def window_item(identifier: str, window: Sequence[int], scores: np.ndarray) -> Item:
    """Make an item of a window's token scores, the first of which is missing."""
    nll = -float(np.sum(scores[1:]))
    scored = len(window) - 1
    return Item(
        id=identifier,
        values={
            "nll": nll,
            "tokens": float(scored),
            "nll_published": nll / scored * len(window),
            "tokens_published": float(len(window)),
        },
    )


def _scored(model: LanguageModel, windows: Sequence[Sequence[int]]) -> Iterator[np.ndarray]:
    """Scores of windows, a few at a time: enough for a batch, and for progress to be seen."""
    for at in range(0, len(windows), WINDOWS_AT_ONCE):
        yield from model.window_scores(windows[at : at + WINDOWS_AT_ONCE])


def _perplexity(name: str, of: tuple[str, str], *, primary: bool = False) -> MetricDefinition:
    return MetricDefinition(
        name=name,
        estimator="exp_rate",
        of=of,
        direction=LOWER,
        role="language",
        primary=primary,
    )


class WikiText2Config(PinnedConfig):
    """Which windows, and how many of them."""

    protocol: Literal["hf1024", "bb992"] = Field(
        "hf1024",
        description="hf1024: windows of 1024 (the paper's); bb992: of 992 (bias-bench)",
    )
    window: int | None = Field(
        None, ge=2, description="another window size, for a model with a shorter context"
    )
    max_windows: int | None = Field(None, ge=1, description="score the first windows only")


class WikiText2Perplexity(WindowEvaluator[WikiText2Config]):
    """Language ability: perplexity on WikiText-2 raw, test."""

    name = "wikitext2-perplexity"
    summary = "Perplexity of WikiText-2 (raw, test) in windows; the cost in language ability."
    reference = "Merity et al. 2016, https://arxiv.org/abs/1609.07843"
    pins = (PIN,)

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        """See `Evaluator.evaluate`."""
        text = "\n\n".join(row[1] for row in pinned_rows(PIN, self.config, request.data))
        if not text.strip():
            where = request.data.locate(PIN, self.config.path)
            raise DataError(f"{where}: the file holds no text; name the file of '{PIN.name}'")
        size = self.config.window or WINDOWS[self.config.protocol]
        protocol = f"window{size}" if self.config.window else self.config.protocol
        return [
            self.windows(
                request, text, size, protocol, prefix="wikitext2", most=self.config.max_windows
            )
        ]


class CorpusPerplexityConfig(PluginConfig):
    """How texts are scored."""

    start_token: bool = Field(
        True, description="put a start token in front, so that the first token is scored too"
    )


class CorpusPerplexity(Evaluator[CorpusPerplexityConfig]):
    """Perplexity of the texts that were unlearned against texts that were not seen."""

    name = "corpus-perplexity"
    summary = "Perplexity of unlearned passages and of unseen ones of every target (Figure 1)."
    reference = "Lu et al. 2024, appendix B.3"
    reads_source = True
    kinds = frozenset({"causal"})

    def evaluate(self, request: EvaluationRequest) -> Sequence[Measurement]:
        """Measure each domain's unlearned and unseen passages; see `Evaluator.evaluate`.

        Higher is better: the model is less inclined to write such texts.
        """
        groups = _groups(request)
        measurements = []
        for (domain, protocol), passages in groups.items():
            items, cut = self._items(request.model, passages)
            note = f"{cut} passages cut at the model's context" if cut else None
            metric = Metric.of_items(
                "hate_perplexity" if passages[0].label == "hateful" else "passage_perplexity",
                items,
                estimator="exp_rate",
                of=("nll", "tokens"),
                direction=HIGHER,
                role="diagnostic",
            )
            measurements.append(
                self.measurement(domain, protocol, items, note).model_copy(
                    update={"metrics": (metric,)}
                )
            )
            request.progress(len(measurements), len(groups), protocol)
        return measurements

    def quantities(self, protocol: str) -> Quantities:
        """Declare nats and tokens of a passage."""
        return {"nll": Nats(tokens="tokens"), "tokens": Count()}

    def items(self, request: ItemsRequest) -> Sequence[ItemTexts]:
        """List the passages of the request; see `Evaluator.items`."""
        return [
            ItemTexts(id=passage.id, domain=domain, texts={"text": passage.text})
            for (domain, _), passages in _groups(request).items()
            for passage in passages
        ]

    def _items(
        self, model: LanguageModel, passages: Sequence[Passage]
    ) -> tuple[tuple[Item, ...], int]:
        front = model.start_ids if self.config.start_token else model.front
        runs = [[*front, *model.encode(passage.text)] for passage in passages]
        cut = sum(len(run) > model.max_tokens for run in runs)
        kept = [
            (passage, run[: model.max_tokens])
            for passage, run in zip(passages, runs, strict=True)
            if len(run) > 1
        ]
        scores = model.window_scores([run for _, run in kept])
        items = tuple(
            Item(
                id=passage.id,
                values={"nll": -float(np.sum(logprobs[1:])), "tokens": float(len(logprobs) - 1)},
            )
            for (passage, _), logprobs in zip(kept, scores, strict=True)
        )
        return items, cut


def _groups(request: ItemsRequest) -> dict[tuple[str, str], list[Passage]]:
    """Passages by domain and protocol."""
    groups: dict[tuple[str, str], list[Passage]] = {}
    for protocol, passages in (("unlearned", request.unlearned), ("unseen", request.unseen)):
        for passage in passages:
            groups.setdefault((passage.domain, protocol), []).append(passage)
    return groups

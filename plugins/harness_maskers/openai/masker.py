"""The masker `openai`: as in the paper, a GPT-4-class model names the words to mask."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydantic import JsonValue

from harness.data.places import DataStore
from harness.errors import ServiceError
from harness.families import Masker
from harness.types import MaskedPassage, MaskEstimate, MaskRequest, MaskUsage, Passage
from harness_maskers.openai.answers import Answer, AnswerCache
from harness_maskers.openai.budget import Budget, BudgetError
from harness_maskers.openai.config import OpenAIConfig, server_of
from harness_maskers.openai.prompt import (
    SCHEMA,
    MalformedError,
    described,
    first_messages,
    to_spans,
)
from harness_maskers.openai.secrets import Redactor

if TYPE_CHECKING:
    from harness_maskers.openai.client import Client

KEY_VARIABLE = "OPENAI_API_KEY"
BASE_URL_VARIABLE = "OPENAI_BASE_URL"
DEFAULT_BASE_URL = "https://api.openai.com/v1"

_BYTES_PER_TOKEN = 4.0  # of English under OpenAI's tokenizers, roughly
_ANSWER_TOKENS = 60  # a few words with reasons, roughly

_log = logging.getLogger(__name__)


Arriving = Generator[tuple[str, Answer], None, None]
"""Answers and their keys, as they come."""


class OpenAIMasker(Masker[OpenAIConfig]):
    """Asks a model for the words that are toxic or show bias, once for each text.

    A passage without a usable answer (refused, malformed, failed) is returned without spans and
    with a `note`, and listed in a report next to the cache. More than ``max_failed_share`` of them
    is an error. Answers, refusals and malformed answers are kept; failed calls are not, so the next
    run repeats them. docs/openai.md describes each case.
    """

    name = "openai"
    summary = "A GPT-4-class model names the words, over an OpenAI-compatible server."
    reference = "Lu et al. 2024, section 4.1 (GPT-4 chose the words; the prompt is not published)"

    def fingerprint(self, data: DataStore) -> Mapping[str, JsonValue]:
        """Return the server, a hash of the prompt, and how the domain is described in it."""
        prompt = json.dumps([first_messages("", ""), SCHEMA])
        return {
            "server": server_of(self._base_url()),
            "prompt": hashlib.sha256(prompt.encode()).hexdigest()[:16],
            "domains": [described(name, data.domains) for name in data.domains],
        }

    def server(self) -> str:
        """Return the address of the server."""
        return self._base_url()

    def obstacles(self) -> Sequence[str]:
        """See `Plugin.obstacles`: a key, and the package that calls the service."""
        obstacles = []
        if not os.environ.get(KEY_VARIABLE, "").strip():
            obstacles.append(
                f"{KEY_VARIABLE} is not set; export it (any word does for a local server without "
                "keys)"
            )
        if find_spec("openai") is None:
            obstacles.append(
                "the package 'openai' is missing: pip install 'bias-transfer-harness[openai]'"
            )
        return obstacles

    def estimate(self, request: MaskRequest) -> MaskEstimate:
        """Estimate calls, tokens and cost of the texts without a stored answer. Needs no key."""
        cache = _cache(request.data)
        todo = [
            group[0]
            for key, group in self._grouped(request).items()
            if cache.get(key) is None  # an unreadable one would be asked again
        ]
        schema = len(json.dumps(SCHEMA))
        tokens_in = 0
        for passage in todo:
            asked = first_messages(passage.text, described(request.domain, request.data.domains))
            size = schema + sum(len(message["content"].encode()) for message in asked)
            tokens_in += round(size / _BYTES_PER_TOKEN)
        tokens_out = _ANSWER_TOKENS * len(todo)
        price = self.config.price
        cost = None if price is None else (tokens_in * price[0] + tokens_out * price[1]) / 1e6
        return MaskEstimate(
            calls=len(todo),
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=0.0 if not todo else cost,
        )

    def mask(self, request: MaskRequest) -> Sequence[MaskedPassage]:
        """Use stored answers, and ask for the others.

        Raises:
            ServiceError: no key, no network, no `openai` package; a refused key; ``max_cost``
                would be exceeded; too many passages failed. Answers so far are kept.
        """
        run = _Run(self.config, self._base_url(), self._grouped(request), request)
        answers = run.answers()
        run.conclude(answers)
        by_text = {group[0].text: answers[key] for key, group in run.groups.items()}
        return [_masked(passage, by_text[passage.text]) for passage in request.passages]

    def _base_url(self) -> str:
        if self.config.base_url is not None:
            return self.config.base_url
        address = os.environ.get(BASE_URL_VARIABLE) or DEFAULT_BASE_URL
        try:
            server_of(address)
        except ValueError as error:
            raise ServiceError(f"masker 'openai': {BASE_URL_VARIABLE} {error}") from None
        return address

    def _grouped(self, request: MaskRequest) -> dict[str, list[Passage]]:
        """Passages by the key of their answer: the same text is asked about once."""
        config = self.config
        inputs: dict[str, JsonValue] = {
            "server": server_of(self._base_url()),
            "model": config.model,
            "prompt": config.prompt_version,
            "temperature": config.temperature,
            "seed": config.sampling_seed,
            "max_answer_tokens": config.max_answer_tokens,
            "asks": config.asks,
            "domain": described(request.domain, request.data.domains),
        }
        groups: dict[str, list[Passage]] = {}
        for passage in request.passages:
            key = AnswerCache.key({**inputs, "text": passage.text})
            groups.setdefault(key, []).append(passage)
        return groups


class _Run:
    """The work of one call of `mask`."""

    def __init__(
        self,
        config: OpenAIConfig,
        base_url: str,
        groups: Mapping[str, list[Passage]],
        request: MaskRequest,
    ) -> None:
        self.config = config
        self.base_url = base_url
        self.groups = groups
        self._request = request
        self._total = len(request.passages)
        self._cache = _cache(request.data)
        self._secret = os.environ.get(KEY_VARIABLE, "").strip()
        self._redact = Redactor(self._secret)
        self._budget = Budget(config.price, config.max_cost)
        self._asked = 0
        self._usage = MaskUsage()
        self._rejected_formats = 0

    def answers(self) -> dict[str, Answer]:
        """Return all answers by key: stored ones, and new ones for the other texts."""
        answers = {
            key: answer for key in self.groups if (answer := self._cache.get(key)) is not None
        }
        todo = [key for key in self.groups if key not in answers]
        if todo:
            self._check(todo)
            self._progress(answers)
            with closing(self._ask(todo, answers)) as arriving:  # ends the calls on any error
                for key, answer in arriving:
                    answers[key] = answer
                    self._progress(answers)
        return answers

    def _check(self, todo: list[str]) -> None:
        """Check before the first call for problems that would stop every call.

        Raises:
            ServiceError: asking is not possible.
        """
        missing = sum(len(self.groups[key]) for key in todo)
        lacking = f"{missing} of {self._total} passages have no stored answer"
        if self._request.data.offline:
            raise ServiceError(f"masker 'openai': {lacking}, and --offline forbids asking for them")
        if not self._secret:
            raise ServiceError(
                f"masker 'openai': {lacking}, and {KEY_VARIABLE} is not set; export it (any word "
                "does for a local server without keys)"
            )
        if not (self._secret.isascii() and self._secret.isprintable()) or " " in self._secret:
            raise ServiceError(
                f"masker 'openai': {KEY_VARIABLE} holds a space, a line break or a character that "
                "cannot be sent; export the key alone"
            )
        if self._redact.leaks(self.base_url) and len(self._secret) >= 8:
            raise ServiceError(
                f"masker 'openai': the server's address holds the key; give the key in "
                f"{KEY_VARIABLE} only"
            )
        try:
            import openai  # noqa: F401  (an extra, and slow to import)
        except ImportError:
            raise ServiceError(
                "masker 'openai' needs the package 'openai'; "
                "run `pip install 'bias-transfer-harness[openai]'`"
            ) from None
        # Check that answers can be kept before paying for one.
        self._cache.write(self._cache.folder / "writable", "")

    def _ask(self, todo: list[str], stored: dict[str, Answer]) -> Arriving:
        from harness_maskers.openai.client import Client
        from harness_maskers.openai.workers import ask_all

        client = Client(self.config, self.base_url, self._secret, self._budget, self._redact)
        texts = {key: self.groups[key][0].text for key in todo}
        domain = described(self._request.domain, self._request.data.domains)
        arriving = ask_all(client, texts, domain, self._keep, self.config.max_concurrency)
        failed = sum(len(self.groups[key]) for key, a in stored.items() if a.status != "ok")
        try:
            for key, answer in arriving:
                self._asked += answer.asks
                yield key, answer
                failed += len(self.groups[key]) if answer.status != "ok" else 0
                if answer.status == "refused" and self.config.on_refusal == "error":
                    break
                if failed > self.config.max_failed_share * self._total:
                    break  # it can only get worse: stop paying
        except BudgetError:
            raise ServiceError(
                f"masker 'openai': the next call could exceed max_cost ${self.config.max_cost:g} "
                f"(spent ${self._budget.spent or 0.0:.4f}); answers so far are kept: raise "
                "max_cost and run again to continue"
            ) from None
        finally:
            arriving.close()
            self._account(client)

    def _account(self, client: Client) -> None:
        """Tell the caller what the calls used, however they ended."""
        self._rejected_formats = client.rejected_formats
        self._usage = MaskUsage(
            calls=client.calls,
            tokens_in=self._budget.tokens_in,
            tokens_out=self._budget.tokens_out,
            cost=self._budget.spent,
            unaccounted=client.unaccounted,
            events=dict(sorted(client.events.items())),
        )
        self._request.account(self._usage)

    def _keep(self, key: str, answer: Answer) -> Answer:
        """Store an answer unless the next run should ask again."""
        if answer.status != "failed" and answer.final:
            self._cache.put(key, answer)
        return answer

    def conclude(self, answers: Mapping[str, Answer]) -> None:
        """Write the report, warn about unmasked passages, and fail if there are too many.

        Raises:
            ServiceError: more than the config allows.
        """
        bad = [
            (passage, answer)
            for key, group in self.groups.items()
            if (answer := answers.get(key)) is not None and answer.status != "ok"
            for passage in group
        ]
        path = self._report(bad, len(answers))
        if not bad:
            return
        kinds = Counter(answer.status for _, answer in bad)
        told = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        first = f"first: {bad[0][0].id}: {bad[0][1].detail}"
        if kinds["refused"] and self.config.on_refusal == "error":
            raise ServiceError(
                f"masker 'openai': the model refused a passage (on_refusal: error); all in {path}"
            )
        if len(bad) > self.config.max_failed_share * self._total:
            raise ServiceError(
                f"masker 'openai': {len(bad)} of {self._total} passages have no usable answer "
                f"({told}), more than max_failed_share {self.config.max_failed_share:g}; {first}; "
                f"all in {path}; answers so far are kept"
            )
        _log.warning(
            "masker 'openai': %d of %d passages stay unmasked (%s); %s; all in %s",
            len(bad),
            self._total,
            told,
            first,
            path,
        )

    def _report(self, bad: list[tuple[Passage, Answer]], answered: int) -> str:
        """Write the report of this call next to the answers, and return its path."""
        digest = hashlib.sha256("".join(self.groups).encode()).hexdigest()[:16]
        path = self._cache.folder / "reports" / f"{digest}.json"
        if not self._asked and (path.is_file() or not bad):
            return str(path)  # nothing was asked: the report of the call that did stays
        report: dict[str, JsonValue] = {
            "model": self.config.model,
            "server": server_of(self.base_url),
            "domain": self._request.domain,
            "passages": self._total,
            "texts": len(self.groups),
            "answered": answered,
            "asked": self._asked,
            "calls": self._usage.calls,
            "rejected_formats": self._rejected_formats,
            "unaccounted": self._usage.unaccounted,
            "events": dict(self._usage.events),
            "tokens_in": self._usage.tokens_in,
            "tokens_out": self._usage.tokens_out,
            "cost": self._usage.cost,
            "unmasked": [
                {"id": passage.id, "why": answer.status, "detail": answer.detail}
                for passage, answer in bad
            ],
        }
        self._cache.write(path, json.dumps(report, indent=1, ensure_ascii=False))
        return str(path)

    def _progress(self, answers: Mapping[str, Answer]) -> None:
        done = sum(len(self.groups[key]) for key in answers)
        self._request.progress(done, self._total, "asking for masks")


def _masked(passage: Passage, answer: Answer) -> MaskedPassage:
    if answer.status != "ok":
        note = f"{answer.status}: {answer.detail}"
        final = answer.status != "failed" and answer.final
        return MaskedPassage(passage=passage, spans=(), note=note, final=final)
    try:
        spans = to_spans(passage.text, answer.words)
    except MalformedError as error:  # stored answers are checked, so a file was edited
        return MaskedPassage(passage=passage, spans=(), note=f"malformed: {error}")
    return MaskedPassage(passage=passage, spans=spans, note=None if spans else "no word named")


def _cache(data: DataStore) -> AnswerCache:
    return AnswerCache(data.cache_dir / "openai-masks")

"""One dialogue with an OpenAI-compatible server: asking, retrying, and naming how it ended.

Imported only when something has to be asked: this module needs the `openai` package.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import openai

from harness.errors import ServiceError
from harness_maskers.openai.answers import Answer, Status
from harness_maskers.openai.budget import Budget, Worst
from harness_maskers.openai.envelope import (
    RefusedError,
    Reply,
    ReplyError,
    cut_off,
    read_error,
    read_reply,
    said,
)
from harness_maskers.openai.failures import Problem, Verdict, classify
from harness_maskers.openai.formats import FORMATS, FormatChoice
from harness_maskers.openai.prompt import (
    MalformedError,
    NamedWord,
    complaint,
    first_messages,
    read_answer,
    to_spans,
)
from harness_maskers.openai.secrets import Redactor

if TYPE_CHECKING:
    from harness_maskers.openai.config import OpenAIConfig

_FRAME_TOKENS = 64
"""Upper bound of what a chat template adds to the messages."""

_NOT_ABOUT_FORMAT = {"rate limit", "timeout", "connection error"}


class StoppedError(Exception):
    """Another dialogue ended the whole run, or a person did."""


class _FailedError(Exception):
    """No answer to a call: retries are used up, or none would help."""


class _UnexplainedError(RefusedError):
    """An HTTP 403 that names no reason, from a server that has accepted the key before."""


class _Attempt(NamedTuple):
    """A failed call: what is wrong, what it means, and in how many words."""

    problem: Problem
    verdict: Verdict
    line: str


class Client:
    """Asks a server about texts, from several threads.

    Attributes:
        stop: set to end all dialogues.
        events: failed calls, refusals and malformed answers, by kind.
        calls: requests that reached the server.
        unaccounted: calls that may have been charged without an account of their tokens.
        rejected_formats: calls repeated because the server did not take the response format.
    """

    def __init__(
        self, config: OpenAIConfig, server: str, key: str, budget: Budget, redact: Redactor
    ) -> None:
        self._config = config
        self._redact = redact
        self._budget = budget
        self._formats = FormatChoice()
        self._changed = threading.Condition()
        self._answered = False
        self._dialogues = 0
        self._held = 0
        self.stop = threading.Event()
        self.events: Counter[str] = Counter()
        self.calls = 0
        self.unaccounted = 0
        self.rejected_formats = 0
        self._client = openai.OpenAI(
            api_key=key, base_url=server, timeout=config.timeout, max_retries=0
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, text: str, domain: str) -> Answer:
        """Ask about one text until an answer is usable, refused, or the tries are used up.

        Raises:
            StoppedError: `stop` was set meanwhile.
            BudgetError: the next call could pass ``max_cost``.
            ServiceError: no other text would fare better (wrong key, no quota, no such model, no
                server there).
        """
        with self._changed:
            self._dialogues += 1
        try:
            return self._dialogue(text, domain)
        finally:
            with self._changed:
                self._dialogues -= 1
                self._changed.notify_all()

    def _dialogue(self, text: str, domain: str) -> Answer:
        messages = first_messages(text, domain)
        problem = ""
        used: Counter[str] = Counter()
        model = ""

        asks = 0

        def end(status: Status, detail: str, words: tuple[NamedWord, ...] = ()) -> Answer:
            return Answer(
                status=status,
                words=tuple(w.model_copy(update={"reason": self._redact(w.reason)}) for w in words),
                detail=self._redact.line(detail),
                model=self._redact.line(model),
                asks=asks,
                tokens_in=used["in"],
                tokens_out=used["out"],
            )

        while asks < self._config.asks:
            asks += 1
            content = ""
            try:
                reply = self._call(messages, used)
                model = reply.model
                content = said(reply)
                words = _words(content, reply, text)
            except MalformedError as error:
                self._count("malformed answer")
                problem = str(error)
                # A fresh dialogue each time: the first question, the last answer, what is wrong.
                messages = first_messages(text, domain)
                if content:
                    messages += complaint(content, problem)
                continue
            except RefusedError as error:
                self._count("refusal")
                refused = end("refused", str(error))
                if isinstance(error, _UnexplainedError):
                    return refused.model_copy(update={"final": False})
                return refused
            except _FailedError as error:
                return end("failed", str(error))
            return end("ok", "", words)
        return end("malformed", problem)

    def _call(self, messages: list[dict[str, str]], used: Counter[str]) -> Reply:
        """One reply, retried as often as the config allows."""
        attempt = 0
        position = self._formats.current
        failed: dict[int, bool] = {}
        while True:
            try:
                reply = self._once(messages, position, used)
            except (openai.APIError, ReplyError) as error:
                if self.stop.is_set():
                    raise StoppedError from None
                problem, verdict, line = self._judge(error)
            else:
                self._formats.worked(position, failed)
                return reply
            transient = verdict.scope == "moment"
            following = None
            if verdict.kind not in _NOT_ABOUT_FORMAT:
                following = self._formats.after_failure(
                    position, problem.message, transient=transient
                )
            if not transient and following is not None:
                failed[position] = False
                position = following
                with self._changed:
                    self.rejected_formats += 1
                continue
            self._count(verdict.kind)
            if not transient:
                raise _FailedError(line)
            attempt += 1
            self._pause(attempt, verdict, line)
            if following is not None:
                failed.setdefault(position, True)
            position = self._formats.current if following is None else following

    def _judge(self, error: openai.APIError | ReplyError) -> _Attempt:
        """Say what a failed call means.

        Raises:
            ServiceError: no later call would fare better.
            RefusedError: a filter declined the text.
        """
        problem = _problem(error)
        if isinstance(error, openai.APITimeoutError):
            verdict = Verdict("moment", "timeout")
        elif isinstance(error, openai.APIConnectionError):
            verdict = Verdict("moment", "connection error")
        else:
            verdict = classify(problem)
        told = self._redact.line(problem.message)
        shown = f"HTTP {problem.status}: {told}" if problem.status else told
        if verdict.scope == "text":
            self._accepted()
            raise RefusedError(f"content filter: {shown}")
        if verdict.scope == "key" and not verdict.certain and self._key_works():
            raise _UnexplainedError(f"content filter: {shown}")
        if verdict.scope == "key":
            raise ServiceError(
                f"masker 'openai': the server refused the key: {shown}; check OPENAI_API_KEY"
            )
        if verdict.scope == "quota":
            raise ServiceError(f"masker 'openai': the account has no quota left: {shown}")
        if verdict.scope == "model":
            raise ServiceError(
                f"masker 'openai': {shown}; check 'model' ({self._config.model}) and 'base_url'"
            )
        return _Attempt(problem, verdict, f"{verdict.kind}: {told}")

    def _pause(self, attempt: int, verdict: Verdict, line: str) -> None:
        """Wait before the next attempt, or end the call.

        Raises:
            _FailedError: retries are used up, or the server asks to wait too long.
            ServiceError: they are used up, and the server has not answered one call yet.
        """
        if attempt > self._config.retries:
            if not self._answered:  # do not try thousands of texts in vain
                raise ServiceError(
                    f"masker 'openai': no answer in {attempt} tries, the last ended in {line}; "
                    "check the network and 'base_url'"
                )
            raise _FailedError(line)
        pause = self._config.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
        if verdict.wait is not None:
            if verdict.wait > self._config.max_wait:
                raise _FailedError(f"{line} (the server asks to wait {verdict.wait:.0f} s)")
            pause = max(pause, verdict.wait)
        if self.stop.wait(min(pause, self._config.max_wait)):
            raise StoppedError

    def _once(self, messages: list[dict[str, str]], position: int, used: Counter[str]) -> Reply:
        if self.stop.is_set():
            raise StoppedError
        body = self._body(messages, position)
        worst = Worst(_bytes(body) + _FRAME_TOKENS, self._config.max_answer_tokens)
        self._budget.reserve(worst)
        billed: Worst | None = None  # unknown, so counted as the worst
        reached = True
        try:
            raw = self._client.chat.completions.with_raw_response.create(**body)
            reply = read_reply(raw.content)
            billed = None if reply.usage is None else Worst(*reply.usage)
            self._accepted()
            return reply
        except ReplyError as error:
            if error.usage is not None:
                billed = Worst(*error.usage)
            elif not error.cut:
                billed = Worst(0, 0)
            raise
        except openai.APIStatusError:
            billed = Worst(0, 0)  # an error status is not charged; a timeout may be
            raise
        except openai.APIConnectionError as error:
            reached = not type(error.__cause__).__name__.startswith("Connect")
            billed = billed if reached else Worst(0, 0)
            raise
        finally:
            charged = worst if billed is None else billed
            self._budget.settle(worst, *charged)
            used["in"] += charged.tokens_in
            used["out"] += charged.tokens_out
            with self._changed:
                self.calls += reached
                self.unaccounted += billed is None

    def _body(self, messages: list[dict[str, str]], position: int) -> dict[str, Any]:
        config = self._config
        body: dict[str, Any] = {
            "model": config.model,
            "messages": messages,
            config.answer_limit: config.max_answer_tokens,
        }
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if config.sampling_seed is not None:
            body["seed"] = config.sampling_seed
        if (response_format := FORMATS[position]) is not None:
            body["response_format"] = response_format
        return body

    def _accepted(self) -> None:
        """Record that the server has taken the key."""
        with self._changed:
            self._answered = True
            self._changed.notify_all()

    def _key_works(self) -> bool:
        """Whether the server has taken the key in some call; waits for the calls under way."""
        with self._changed:
            self._held += 1
            self._changed.notify_all()
            try:
                while not self._answered and self._held < self._dialogues:
                    if self.stop.is_set():
                        raise StoppedError
                    self._changed.wait(0.1)
                return self._answered
            finally:
                self._held -= 1

    def _count(self, kind: str) -> None:
        with self._changed:
            self.events[kind] += 1


def _words(content: str, reply: Reply, text: str) -> tuple[NamedWord, ...]:
    """Read the words of an answer, and check that the text holds them.

    Raises:
        MalformedError: they cannot be used.
    """
    try:
        words = read_answer(content)
    except MalformedError:
        if cut_off(reply):
            raise MalformedError(
                "Your answer was too long and was cut off; name fewer words."
            ) from None
        raise
    to_spans(text, words)
    return words


def _problem(error: openai.APIError | ReplyError) -> Problem:
    if isinstance(error, ReplyError):
        return Problem(error.message, error.status, error.codes)
    if isinstance(error, openai.APIStatusError):
        told = read_error(error.response.content, error.response.reason_phrase)
        return Problem(told.message, error.status_code, told.codes, error.response.headers)
    cause = error.__cause__
    return Problem(f"{error.message} ({cause})" if cause and str(cause) else error.message, None)


def _bytes(body: dict[str, Any]) -> int:
    """UTF-8 bytes of a request: no tokenizer makes more tokens than there are bytes."""
    return len(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))

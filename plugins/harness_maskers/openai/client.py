"""One dialogue with an OpenAI-compatible server: retries, budget, and what every end is called.

Imported only when something has to be asked: this module needs the `openai` package.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import openai
from pydantic import BaseModel, ValidationError

from harness.errors import ServiceError
from harness_maskers.openai.answers import Answer, redact
from harness_maskers.openai.budget import Budget, Worst
from harness_maskers.openai.prompt import (
    SCHEMA,
    MalformedError,
    complaint,
    first_messages,
    read_answer,
    to_spans,
)

if TYPE_CHECKING:
    from harness_maskers.openai.config import OpenAIConfig

_FORMATS: tuple[dict[str, Any] | None, ...] = (
    {"type": "json_schema", "json_schema": {"name": "words", "strict": True, "schema": SCHEMA}},
    {"type": "json_object"},
    None,
)
"""Response formats, best first; a server that rejects one is asked with the next."""

_REFUSAL = re.compile(
    r"^\W*(i['’]?m sorry|i am sorry|sorry|i can(?:not|['’]t)|i am unable|i['’]m unable|"
    r"as an ai\b)",
    re.IGNORECASE,
)
_FRAME_TOKENS = 64
"""Upper bound of what a chat template adds to the messages."""


class StoppedError(Exception):
    """Another dialogue ended the whole run, or a person did."""


class _FailedError(Exception):
    """No answer to a call: retries are used up, or none would help."""


class _RefusedError(Exception):
    """The model or a filter declined."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class _Reply(BaseModel):
    model: str = ""
    choices: list[_Choice]
    usage: _Usage | None = None


class _Failure(NamedTuple):
    kind: str
    retry: bool
    wait: float | None = None


class Client:
    """Asks a server about texts, from several threads."""

    def __init__(self, config: OpenAIConfig, server: str, key: str, budget: Budget) -> None:
        self._config = config
        self._key = key
        self._budget = budget
        self._lock = threading.Lock()
        self._format = 0
        self._replied = False
        self.stop = threading.Event()
        self.events: Counter[str] = Counter()
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
            ServiceError: no other text would fare better (wrong key, no quota, no such model,
                nobody there).
        """
        messages = first_messages(text, domain)
        problem = ""
        used = Counter({"in": 0, "out": 0})
        model = ""
        for asks in range(1, self._config.asks + 1):
            content = ""
            try:
                reply = self._call(messages, used)
                model = reply.model
                content = _said(reply)
                words = read_answer(_checked(reply))
                to_spans(text, words)
            except MalformedError as error:
                self._count("malformed answer")
                problem = str(error)
                # A fresh dialogue each time: the first question, the last answer, what is wrong.
                messages = first_messages(text, domain)
                if content:
                    messages += complaint(content, problem)
                continue
            except _RefusedError as error:
                self._count("refusal")
                return self._end("refused", str(error), model, asks, used)
            except _FailedError as error:
                return self._end("failed", str(error), model, asks, used)
            return Answer(
                status="ok",
                words=words,
                model=model,
                asks=asks,
                tokens_in=used["in"],
                tokens_out=used["out"],
            )
        return self._end("malformed", problem, model, self._config.asks, used)

    def _end(self, status: Any, detail: str, model: str, asks: int, used: Counter[str]) -> Answer:
        line = " ".join(redact(detail, self._key).split())[:300]
        return Answer(
            status=status,
            detail=line,
            model=model,
            asks=asks,
            tokens_in=used["in"],
            tokens_out=used["out"],
        )

    def _call(self, messages: list[dict[str, str]], used: Counter[str]) -> _Reply:
        """One reply, retried as often as the config allows."""
        attempt = 0
        while True:
            shape = self._format
            try:
                return self._once(messages, shape, used)
            except openai.APIError as error:
                if self.stop.is_set():
                    raise StoppedError from None
                if self._next_format(error, shape):
                    continue
                failure = self._classify(error)
                line = f"{failure.kind}: {_message(error)}"
            self._count(failure.kind)
            attempt += 1
            if not failure.retry:
                raise _FailedError(line)
            if attempt > self._config.retries:
                if not self._replied:  # nobody is there: do not try thousands of texts in vain
                    raise ServiceError(
                        f"masker 'openai': no answer in {attempt} tries, the last ended in "
                        f"{redact(line, self._key)}; check the network and 'base_url'"
                    )
                raise _FailedError(line)
            pause = self._config.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            if failure.wait is not None:
                if failure.wait > self._config.max_wait:
                    raise _FailedError(f"{line} (the server asks to wait {failure.wait:.0f} s)")
                pause = max(pause, failure.wait)
            if self.stop.wait(min(pause, self._config.max_wait)):
                raise StoppedError

    def _once(self, messages: list[dict[str, str]], shape: int, used: Counter[str]) -> _Reply:
        if self.stop.is_set():
            raise StoppedError
        body = self._body(messages, shape)
        worst = Worst(_bytes(body) + _FRAME_TOKENS, self._config.max_answer_tokens)
        self._budget.reserve(worst)
        billed = worst  # what a call costs that ends without an account of it
        try:
            raw = self._client.chat.completions.with_raw_response.create(**body)
            try:
                reply = _Reply.model_validate_json(raw.text)
            except ValidationError:
                raise MalformedError("the reply is not a chat completion") from None
            finally:
                self._replied = True
            if reply.usage is not None:
                billed = Worst(reply.usage.prompt_tokens, reply.usage.completion_tokens)
            return reply
        except openai.APIStatusError:
            billed = Worst(0, 0)  # an error status is not charged; a timeout may be
            raise
        finally:
            self._budget.settle(worst, *billed)
            used["in"] += billed.tokens_in
            used["out"] += billed.tokens_out

    def _body(self, messages: list[dict[str, str]], shape: int) -> dict[str, Any]:
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
        if (response_format := _FORMATS[shape]) is not None:
            body["response_format"] = response_format
        return body

    def _next_format(self, error: openai.APIError, shape: int) -> bool:
        """Whether the server rejects the response format, and there is another to try."""
        if not isinstance(error, (openai.BadRequestError, openai.UnprocessableEntityError)):
            return False
        words = ("response_format", "json_schema", "json_object")
        if shape + 1 >= len(_FORMATS) or not any(word in _message(error) for word in words):
            return False
        with self._lock:
            self._format = max(self._format, shape + 1)
        return True

    def _classify(self, error: openai.APIError) -> _Failure:
        """Name a failed call and say whether another try may help.

        Raises:
            ServiceError: nothing that follows would fare better.
            _RefusedError: a content filter declined the text.
        """
        if isinstance(error, openai.APITimeoutError):
            return _Failure("timeout", retry=True)
        if isinstance(error, openai.APIStatusError):
            return self._classify_status(error)
        return _Failure("connection error", retry=True)

    def _classify_status(self, error: openai.APIStatusError) -> _Failure:
        said = redact(_message(error), self._key)
        status, code = error.status_code, str(error.code or "")
        if status in (401, 403):
            raise ServiceError(
                f"masker 'openai': the server refused the key (HTTP {status}): {said}; "
                "mend OPENAI_API_KEY"
            )
        if status == 404:
            raise ServiceError(
                f"masker 'openai': HTTP 404: {said}; mend 'model' ({self._config.model}) or "
                "'base_url'"
            )
        if status == 429 and code == "insufficient_quota":
            raise ServiceError(f"masker 'openai': the account has no quota left: {said}")
        if status == 400 and "content_filter" in (code, str(error.type)):
            raise _RefusedError(f"content filter: {said}")
        if status == 429:
            return _Failure("rate limit", retry=True, wait=_retry_after(error.response.headers))
        if status >= 500 or status in (408, 409):
            wait = _retry_after(error.response.headers)
            return _Failure("server error", retry=True, wait=wait)
        return _Failure(f"HTTP {status}", retry=False)

    def _count(self, kind: str) -> None:
        with self._lock:
            self.events[kind] += 1


def _said(reply: _Reply) -> str:
    return (reply.choices[0].message.content or "") if reply.choices else ""


def _checked(reply: _Reply) -> str:
    """The text of a reply that is neither a refusal nor cut off.

    Raises:
        _RefusedError: the model or a filter declined.
        MalformedError: there is none, or it was cut off.
    """
    if not reply.choices:
        raise MalformedError("the reply has no choice")
    choice = reply.choices[0]
    content = _said(reply)
    if choice.message.refusal:
        raise _RefusedError(choice.message.refusal)
    if choice.finish_reason == "content_filter":
        raise _RefusedError("content filter")
    if "{" not in content and _REFUSAL.match(content):
        raise _RefusedError(content)
    if not content.strip():
        raise MalformedError("Your answer is empty.")
    if choice.finish_reason == "length":
        raise MalformedError("Your answer was too long and was cut off; name fewer words.")
    return content


def _message(error: openai.APIError) -> str:
    return " ".join(error.message.split())[:300]


def _bytes(value: Any) -> int:
    """UTF-8 bytes of a request: no tokenizer makes more tokens than there are bytes."""
    return len(str(value).encode("utf-8", "surrogatepass"))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from ``retry-after-ms`` or ``Retry-After``."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        value = headers.get("retry-after")
        if not value:
            return None
        if re.fullmatch(r"\d+(\.\d+)?", value):
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None

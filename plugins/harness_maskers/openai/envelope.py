"""Reading a server's HTTP reply: an answer, a refusal or an error, however it is wrapped.

Servers that speak the protocol of OpenAI differ in everything around the answer. This module is
lenient about that envelope: it accepts streams, lists of content parts, wrong content types and
extra fields. A reply without a usable choice is a failed call (`ReplyError`), whatever its HTTP
status says: the model has not answered, so the reply must not be kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from harness_maskers.openai.prompt import MalformedError


class Usage(NamedTuple):
    """Tokens that the server says a call used."""

    tokens_in: int
    tokens_out: int


class Reply(NamedTuple):
    """A usable choice: what the model said, and how it ended."""

    content: str
    refusal: str
    finish_reason: str
    model: str
    usage: Usage | None


class RefusedError(Exception):
    """The model, or a content filter, declined this text."""


class ReplyError(Exception):
    """A reply without a usable choice; the message is the server's, if it sent one."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        codes: Iterable[str] = (),
        usage: Usage | None = None,
        cut: bool = False,
    ) -> None:
        """Describe the failure.

        Args:
            message: what is wrong, in words.
            status: the HTTP status that the error inside the reply names, if any.
            codes: error codes and types that the reply names.
            usage: tokens that were charged nevertheless, if the reply says so.
            cut: True if the reply began as an answer and breaks off, so that it may be charged.
        """
        super().__init__(message)
        self.message = message
        self.status = status
        self.codes = frozenset(codes)
        self.usage = usage
        self.cut = cut


_REFUSAL = re.compile(
    r"^\W*(i['’]?m sorry|i am sorry|sorry|i can(?:not|['’]t)|i am unable|i['’]m unable|"
    r"i (?:must|have to) decline|i won['’]t|as an ai\b)",
    re.IGNORECASE,
)
_THINKING = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_FILTERED = {
    "content_filter",
    "content-filter",
    "safety",
    "recitation",
    "prohibited_content",
    "refusal",
}
_CUT_OFF = {"length", "max_tokens", "max_output_tokens"}
_NOT_TEXT = {"reasoning", "thinking", "redacted_thinking", "image_url", "tool_use"}


def read_reply(body: bytes) -> Reply:
    """Read the body of a reply with HTTP status 200.

    Raises:
        ReplyError: it has no usable choice.
        RefusedError: a content filter declined the text.
    """
    text = body.decode("utf-8-sig", "replace").strip()
    if not text:
        raise ReplyError("the reply is empty")
    if _is_stream(text):
        return _from_stream(text)
    if text.startswith("<"):
        raise ReplyError(f"the reply is a web page, not an answer{_title(text)}")
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        if text.startswith("{"):
            raise ReplyError("the reply breaks off: its JSON is not complete", cut=True) from None
        raise ReplyError(f"the reply is not JSON: {text}") from None
    if isinstance(reply, list) and len(reply) == 1:
        reply = reply[0]  # Gemini's server wraps its errors in a list
    if not isinstance(reply, dict):
        raise ReplyError(f"the reply is not a chat completion but a JSON {_kind(reply)}")
    return _from_completion(reply)


def said(reply: Reply) -> str:
    """Return the answer of a reply, without the reasoning in front of it.

    Raises:
        RefusedError: the model or a filter declined.
        MalformedError: the answer is empty because it was cut off.
    """
    content = _THINKING.sub("", reply.content).strip()
    reason = reply.finish_reason.lower()
    if reply.refusal:
        raise RefusedError(reply.refusal)
    if reason in _FILTERED:
        raise RefusedError("content filter")
    if "{" not in content and _REFUSAL.match(content):
        raise RefusedError(content)
    if not content and reason in _CUT_OFF:
        raise MalformedError("Your answer was cut off before it began; think less.")
    return content


def cut_off(reply: Reply) -> bool:
    """Whether the model reached the longest answer allowed."""
    return reply.finish_reason.lower() in _CUT_OFF


def read_error(body: bytes, reason: str) -> ReplyError:
    """Read the body of a reply with an error status; lenient like `read_reply`.

    Args:
        body: what the server sent.
        reason: the words of the status line, used where the body says nothing.
    """
    text = body.decode("utf-8-sig", "replace").strip()
    if text.startswith("<"):
        return ReplyError(f"a web page{_title(text)}")
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        return ReplyError(text or reason or "no message")
    if isinstance(reply, list) and len(reply) == 1:
        reply = reply[0]
    stated = error_of(reply) if isinstance(reply, dict) else None
    return stated or ReplyError(text or reason or "no message")


# -- errors inside a reply -------------------------------------------------------------------


def error_of(reply: Mapping[str, Any]) -> ReplyError | None:
    """Return the error that a reply reports, or None.

    Known shapes: ``error`` as an object, a text, or JSON within a text; ``errors``; ``detail``
    (FastAPI); ``message`` with a code beside it.
    """
    for name in ("error", "errors", "detail"):
        if reply.get(name):
            return _error(reply[name], reply)
    if "choices" not in reply and isinstance(reply.get("message"), str):
        return _error(reply, reply)
    return None


def _error(told: Any, reply: Mapping[str, Any]) -> ReplyError | None:
    if isinstance(told, list):
        told = told[0]
    if not isinstance(told, dict):
        return ReplyError(str(told), usage=_usage(reply))
    codes = [_word(part.get(name)) for part in _nested(told) for name in ("code", "type", "status")]
    message = next(
        (str(part[n]) for n in ("message", "msg", "detail") for part in (told,) if part.get(n)), ""
    )
    metadata = told.get("metadata")
    if isinstance(metadata, dict) and metadata:
        if metadata.get("reasons") or metadata.get("flagged_input"):
            codes.append("moderation")
        message += f" {json.dumps(metadata, ensure_ascii=False)}"
    named = [code for code in codes if code not in ("", "0")]
    if not message and not named:
        return None
    numbers = [int(code) for code in named if re.fullmatch(r"[45]\d\d", code)]
    return ReplyError(
        message or f"error {named[0]}",
        status=numbers[0] if numbers else None,
        codes=(code.lower() for code in named),
        usage=_usage(reply),
    )


def _nested(told: Mapping[str, Any], depth: int = 4) -> Iterator[Mapping[str, Any]]:
    """Yield an error and the errors inside it (Azure names the filter in ``innererror``)."""
    yield told
    for name in ("innererror", "inner_error", "error"):
        inner = told.get(name)
        if isinstance(inner, dict) and depth:
            yield from _nested(inner, depth - 1)


def _word(code: Any) -> str:
    return str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else ""


# -- completions -----------------------------------------------------------------------------


def _from_completion(reply: Mapping[str, Any]) -> Reply:
    error = error_of(reply)
    if error is not None:
        raise error
    usage = _usage(reply)
    choices = reply.get("choices")
    listed = choices if isinstance(choices, list) else []
    usable = [choice for choice in listed if isinstance(choice, dict)]
    if not usable:
        raise ReplyError(f"the reply has no choice ('choices' is {_kind(choices)})", usage=usage)
    choice = usable[0]
    if choice.get("error"):
        wrapped = _error(choice["error"], reply)
        if wrapped is not None:
            raise wrapped
    message = choice.get("message") or choice.get("delta")
    if not isinstance(message, dict):
        message = {"content": choice.get("text", message)}
    return _answered(message, choice.get("finish_reason"), reply.get("model"), usage)


def _answered(message: Mapping[str, Any], finish: Any, model: Any, usage: Usage | None) -> Reply:
    refusals: list[str] = [_word(message.get("refusal"))]
    content = "".join(_parts(message.get("content"), refusals))
    refusal = " ".join(filter(None, refusals))
    reason = _word(finish)
    ended = reason.lower() in _FILTERED | _CUT_OFF
    if not content.strip() and not refusal and not ended:
        tools = message.get("tool_calls") or message.get("function_call")
        why = "only calls a tool" if tools else "has no text"
        raise ReplyError(f"the reply {why} (finish reason: {reason or 'none'})", usage=usage)
    if reason.lower() == "error":
        raise ReplyError("the server ended the answer with an error", usage=usage)
    return Reply(content, refusal, reason, _word(model), usage)


def _parts(content: Any, refusals: list[str]) -> Iterator[str]:
    """Yield the texts of a content (a text or a list of parts), and collect its refusals."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        if content.get("type") in _NOT_TEXT:
            return
        if content.get("type") == "refusal":
            refusals.append(_word(content.get("refusal") or content.get("text")))
            return
        text = content.get("text", content.get("content"))
        if isinstance(text, dict):
            text = text.get("value")
        yield from _parts(text, refusals)
    elif isinstance(content, list):
        for part in content:
            yield from _parts(part, refusals)


def _usage(reply: Mapping[str, Any]) -> Usage | None:
    """Return the tokens used, under the names of OpenAI or of other servers; None if unknown."""
    told = reply.get("usage")
    if not isinstance(told, dict):
        return None
    counts = [
        next((n for name in names if (n := _count(told.get(name))) is not None), None)
        for names in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    ]
    if counts[0] is None or counts[1] is None:
        return None
    return Usage(counts[0], counts[1])


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 1e12 else None


# -- streams ---------------------------------------------------------------------------------


def _is_stream(text: str) -> bool:
    return re.match(r"(:|data:|event:|id:|retry:)", text) is not None


def _from_stream(text: str) -> Reply:
    """Join the chunks of an event stream, which some gateways send without being asked."""
    content: list[str] = []
    refusals: list[str] = []
    finish: Any = None
    model = ""
    usage: Usage | None = None
    complete = False
    for line in re.split(r"\r\n|\n|\r", text):  # a JSON text may hold other line ends as they are
        field, _, value = line.partition(":")
        value = value.strip()
        if field != "data" or not value:
            continue
        if value == "[DONE]":
            complete = True
            continue
        try:
            chunk = json.loads(value)
        except (ValueError, RecursionError):
            raise ReplyError("the stream breaks off in a chunk", cut=True) from None
        if not isinstance(chunk, dict):
            continue
        if (error := error_of(chunk)) is not None:
            raise error
        model = _word(chunk.get("model")) or model
        usage = _usage(chunk) or usage
        choices = chunk.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(first, dict):
            delta = first.get("delta") or first.get("message") or {}
            if isinstance(delta, dict):
                content += _parts(delta.get("content"), refusals)
                refusals.append(_word(delta.get("refusal")))
            finish = first.get("finish_reason") or finish
    if not complete and finish is None:
        raise ReplyError("the stream breaks off before its end", usage=usage, cut=True)
    message = {"content": "".join(content), "refusal": "".join(refusals)}
    return _answered(message, finish, model, usage)


def _title(page: str) -> str:
    title = re.search(r"<title[^>]*>(.*?)</title>", page, re.DOTALL | re.IGNORECASE)
    return f": {' '.join(title[1].split())}" if title else ""


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", type(None): "null"}
    return names.get(type(value), "number")

"""Every odd reply that such servers are known for: its class, what is kept, said and counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from masker_bench import MaskerBench, masked_words
from openai_server import Act, Server, completion, drop, hang, naming, raw, reply, status

from harness.errors import ServiceError

FIRST = "The women wait for the ferry."
ODD = "The women always forget the women."
GOOD = naming("women")
Ends = Literal["answer", "refusal", "malformed", "retry", "fail", "stop"]


class Case(NamedTuple):
    """A reply, and how the dialogue must end when the server gives nothing else."""

    name: str
    act: Act
    ends: Ends
    told: str = ""
    event: str = ""
    """Name under which the report counts it."""


def body(value: Any, code: int = 200, **headers: str) -> Act:
    told = value[0] if isinstance(value, list) else value
    usage = told.get("usage")
    charged = None
    if isinstance(usage, dict) and "completion_tokens" in usage:
        charged = (usage["prompt_tokens"], usage["completion_tokens"])
    return raw(json.dumps(value).encode(), code, usage=charged, **headers)


def changed(**fields: Any) -> dict[str, Any]:
    """A good completion with some fields replaced."""
    return {**completion(GOOD), **fields}


def choice(**fields: Any) -> dict[str, Any]:
    """A good completion whose only choice has some fields replaced."""
    good = completion(GOOD)
    return {**good, "choices": [{**good["choices"][0], **fields}]}


def stream(*chunks: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return ("".join(lines) + ("data: [DONE]\n\n" if done else "")).encode()


def json_lines(*chunks: Any) -> bytes:
    """A stream whose JSON holds every character as it is, as most servers write it."""
    lines = [f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks]
    return ("".join(lines) + "data: [DONE]\n\n").encode()


def delta(text: str, finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}


USED = {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 20}}
OPENROUTER_FLAG = {
    "error": {
        "code": 403,
        "message": "Input was flagged",
        "metadata": {"reasons": ["hate"], "flagged_input": "The women", "provider_name": "x"},
    }
}
AZURE_FILTER = {
    "error": {
        "message": "The response was filtered",
        "code": "400",
        "innererror": {"code": "ResponsibleAIPolicyViolation"},
    }
}
NO_CHOICE = "unusable reply"

CASES = [
    # The envelope is odd, the answer is there.
    Case("content as parts", reply([{"type": "text", "text": GOOD}]), "answer"),
    Case(
        "parts with reasoning",
        reply(
            [
                {"type": "thinking", "thinking": "women?"},
                {"type": "output_text", "text": GOOD[:9]},
                {"type": "output_text", "text": GOOD[9:]},
            ]
        ),
        "answer",
    ),
    Case("part with a value", reply([{"type": "text", "text": {"value": GOOD}}]), "answer"),
    Case("code fence", reply(f"```json\n{GOOD}\n```"), "answer"),
    Case("prose around a fence", reply(f"Here it is:\n```\n{GOOD}\n```\nDone."), "answer"),
    Case("think block", reply(f'<think>{{"words": []}} or so</think>\n\n{GOOD}'), "answer"),
    Case("reasoning with a draft", reply(f'First {{"words": []}}, no: {GOOD}'), "answer"),
    Case("reasoning field", reply(GOOD, reasoning_content="women, as it seems"), "answer"),
    Case("complete though at the limit", reply(GOOD, finish_reason="length"), "answer"),
    Case("finish reason null", reply(GOOD, finish_reason=None), "answer"),
    Case("unknown finish reason", reply(GOOD, finish_reason="eos"), "answer"),
    Case("tool calls beside the text", reply(GOOD, tool_calls=[]), "answer"),
    Case("refusal null", reply(GOOD, refusal=None), "answer"),
    Case("error null", body(changed(error=None)), "answer"),
    Case("error empty", body(changed(error={"code": 0, "message": ""})), "answer"),
    Case("extra fields", body(changed(provider="x", x_groq={"id": 1})), "answer"),
    Case("no id, no object", body({"choices": completion(GOOD)["choices"]}), "answer"),
    Case("model is null", body(changed(model=None)), "answer"),
    Case("usage under other names", body(
        changed(usage={"input_tokens": 100, "output_tokens": 20})
    ), "answer"),
    Case("usage null", body(changed(usage=None)), "answer"),
    Case("usage nonsense", body(changed(usage={"prompt_tokens": "many"})), "answer"),
    Case("legacy text choice", body(choice(message=None, text=GOOD)), "answer"),
    Case("delta instead of message", body(choice(message=None, delta={"content": GOOD})), "answer"),
    Case("completion in a list", body([completion(GOOD)]), "answer"),
    Case("wrong content type", raw(
        json.dumps(completion(GOOD)).encode(), usage=(100, 20), Content_Type="text/html"
    ), "answer"),
    Case("byte order mark", raw(
        b"\xef\xbb\xbf" + json.dumps(completion(GOOD)).encode(), usage=(100, 20)
    ), "answer"),
    Case("blank lines in front", raw(
        b"\n \n\n" + json.dumps(completion(GOOD)).encode(), usage=(100, 20)
    ), "answer"),
    Case("gzip", raw(
        gzip.compress(json.dumps(completion(GOOD)).encode()),
        usage=(100, 20),
        Content_Encoding="gzip",
    ), "answer"),
    Case("event stream", raw(
        b": PROCESSING\n\n" + stream(delta(GOOD[:20]), delta(GOOD[20:], "stop"), USED),
        usage=(100, 20),
        Content_Type="text/event-stream",
    ), "answer"),
    # The model, or a filter, declines this text.
    Case("refusal field", reply(None, refusal="I will not."), "refusal", "I will not."),
    Case("refusal part", reply(
        [{"type": "refusal", "refusal": "Not this."}]
    ), "refusal", "Not this."),
    Case("apology", reply("I'm sorry, I can't help with that."), "refusal", "can't help"),
    Case("apology after thinking", reply("<think>{}</think>I cannot do it."), "refusal", "cannot"),
    Case("content_filter, null", reply(None, finish_reason="content_filter"), "refusal", "filter"),
    Case("SAFETY", reply("", finish_reason="SAFETY"), "refusal", "filter"),
    Case("400 content_filter", status(400, "no", error_code="content_filter"), "refusal", "no"),
    Case("400 Azure policy", body(AZURE_FILTER, 400), "refusal", "filtered"),
    Case("400 policy in words", status(
        400, "Your request violates our usage policies."
    ), "refusal", "usage policies"),
    Case("400 inspection", body(
        {"code": "data_inspection_failed", "message": "Input data may be inappropriate"}, 400
    ), "refusal", "HTTP 400"),
    Case("403 flagged", body(OPENROUTER_FLAG, 403), "refusal", "flagged"),
    Case("451", status(451, "blocked by content policy"), "refusal", "content policy"),
    Case("200 flagged", body(OPENROUTER_FLAG), "refusal", "flagged"),
    Case("200 Azure policy", body(AZURE_FILTER), "refusal", "filtered"),
    # The model's words cannot be used.
    Case("not JSON", reply("women, I think"), "malformed", "does not fit"),
    Case("JSON breaks off", reply(GOOD[:20], finish_reason="length"), "malformed", "cut off"),
    Case("nothing, at the limit", reply("", finish_reason="length"), "malformed", "cut off"),
    Case("other schema", reply('{"terms": ["women"]}'), "malformed", "words"),
    Case("word that is not there", reply(naming("nobody")), "malformed", "not in the text"),
    # No usable choice: a failed call.
    Case("choices null", body(changed(choices=None)), "retry", "'choices' is null", NO_CHOICE),
    Case("choices empty", body(changed(choices=[])), "retry", "no choice", NO_CHOICE),
    Case("choices of null", body(changed(choices=[None])), "retry", "no choice", NO_CHOICE),
    Case("choices missing", body({"id": "x", "model": "m"}), "retry", "no choice", NO_CHOICE),
    Case("message null", body(choice(message=None)), "retry", "no text", NO_CHOICE),
    Case("content null", reply(None), "retry", "no text", NO_CHOICE),
    Case("content blank", reply(" \n"), "retry", "no text", NO_CHOICE),
    Case("tool calls only", reply(
        None, finish_reason="tool_calls", tool_calls=[{"function": {"name": "f"}}]
    ), "retry", "only calls a tool", NO_CHOICE),
    Case("reasoning only", reply(None, reasoning_content="hm"), "retry", "no text", NO_CHOICE),
    Case("error object", body(
        {"error": {"message": "upstream timed out"}}
    ), "retry", "upstream timed out", NO_CHOICE),
    Case("error as text", body({"error": "loading"}), "retry", "loading", NO_CHOICE),
    Case("error beside null choices", body(
        {"choices": None, "error": {"message": "Provider returned error", "code": 502}}
    ), "retry", "Provider returned error", "server error"),
    Case("error in the choice", body(
        choice(finish_reason="error", error={"message": "Overloaded", "code": 529})
    ), "retry", "Overloaded", "server error"),
    Case("finish reason error", reply(GOOD, finish_reason="error"), "retry", "error", NO_CHOICE),
    Case("rate limit in 200", body(
        {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    ), "retry", "slow down", "rate limit"),
    Case("errors in a list", body(
        [{"error": {"code": 503, "message": "high demand", "status": "UNAVAILABLE"}}]
    ), "retry", "high demand", "server error"),
    Case("detail", body({"detail": "Not ready"}), "retry", "Not ready", NO_CHOICE),
    Case("sign-in page", raw(
        b"<!DOCTYPE html><html><head><title>Sign in</title></head></html>",
        Content_Type="text/html",
    ), "retry", "web page, not an answer: Sign in", NO_CHOICE),
    Case("empty body", raw(b""), "retry", "empty", NO_CHOICE),
    Case("204", raw(b"", 204), "retry", "empty", NO_CHOICE),
    Case("plain text", raw(b"upstream connect error"), "retry", "upstream connect", NO_CHOICE),
    Case("a number", raw(b"1"), "retry", "not a chat completion", NO_CHOICE),
    Case("null", raw(b"null"), "retry", "not a chat completion", NO_CHOICE),
    Case("an empty list", raw(b"[]"), "retry", "not a chat completion", NO_CHOICE),
    Case("truncated JSON", raw(b'{"id": "x", "choices": [{"mess'), "retry", "breaks", NO_CHOICE),
    Case("deep nesting", raw(b'{"choices": ' + b"[" * 100_000), "retry", "breaks off", NO_CHOICE),
    Case("not UTF-8", raw(b"\xff\xfe\x00"), "retry", "not JSON", NO_CHOICE),
    Case("stream with a line separator in a text", raw(
        json_lines(delta(GOOD, "stop"), {**USED, "id": "a\u2028b\x85c"}),
        usage=(100, 20),
        Content_Type="text/event-stream",
    ), "answer"),
    Case("stream breaks off", raw(
        stream(delta(GOOD[:20]), done=False), Content_Type="text/event-stream"
    ), "retry", "breaks off", NO_CHOICE),
    Case("stream with an error", raw(
        stream(delta(GOOD[:9]), {"error": {"message": "died", "code": 500}}),
        Content_Type="text/event-stream",
    ), "retry", "died", "server error"),
    Case("500 page", raw(
        b"<html><title>500 oops</title></html>", 500, Content_Type="text/html"
    ), "retry", "500 oops", "server error"),
    Case("502 empty", raw(b"", 502), "retry", "Bad Gateway", "server error"),
    Case("529", status(529, "overloaded"), "retry", "overloaded", "server error"),
    Case("408", status(408, "slow"), "retry", "slow", "server error"),
    Case("429", status(429, "slow down", Retry_After="0"), "retry", "slow down", "rate limit"),
    Case("429, odd wait", status(429, "x", Retry_After="soon"), "retry", "x", "rate limit"),
    Case("hangs", hang(0.7), "retry", "timed out", "timeout"),
    Case("hangs up", drop(), "retry", "", "connection error"),
    Case("body shorter than told", raw(
        b"{", Content_Length="50", Connection="close"
    ), "retry", "", "connection error"),
    Case("not gzip", raw(b"plain", Content_Encoding="gzip"), "retry", "", "connection error"),
    # This request is not accepted, now or later.
    Case("413", status(413, "too large"), "fail", "too large", "HTTP 413"),
    Case("400 context", status(400, "maximum context length is 8"), "fail", "context", "HTTP 400"),
    Case("405", raw(b"", 405), "fail", "Method Not Allowed", "HTTP 405"),
    # No other text would fare better.
    Case("401", status(401, "bad key"), "stop", "OPENAI_API_KEY"),
    Case("401 in 200", body({"error": {"message": "who?", "code": 401}}), "stop", "OPENAI_API_KEY"),
    Case("400 key", status(400, "API key not valid."), "stop", "OPENAI_API_KEY"),
    Case("402", status(402, "pay"), "stop", "no quota"),
    Case("429 quota", status(429, "pay", error_code="insufficient_quota"), "stop", "no quota"),
    Case("400 credits", status(400, "Your credit balance is too low"), "stop", "no quota"),
    Case("403 credits", status(403, "Insufficient credits"), "stop", "no quota"),
    Case("404", status(404, "no such model"), "stop", "'model'"),
    Case("400 model", status(400, "Invalid model name passed"), "stop", "'model'"),
]  # fmt: skip
CHARGED_UNKNOWN = {"usage null", "usage nonsense", "no id, no object", "truncated JSON"} | {
    "deep nesting", "stream breaks off", "hangs", "hangs up", "body shorter than told", "not gzip",
}  # fmt: skip


def bench_of(server: Server, folder: Path, **config: Any) -> MaskerBench:
    """A masker that calls one text after another and gives up soon."""
    server.default = [reply(GOOD)]
    quick = {"timeout": 0.5, "retries": 1, "asks": 2, "max_concurrency": 1, **config}
    return MaskerBench(server, folder, **quick)


def test_names_are_unique_and_there_are_many() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reply_has_its_class(server: Server, tmp_path: Path, case: Case) -> None:
    bench = bench_of(server, tmp_path)
    server.scripts = {ODD: [case.act]}
    if case.ends == "stop":
        with pytest.raises(ServiceError, match=case.told) as error:
            bench.mask(FIRST, ODD)
        assert "\n" not in str(error.value)
        note = ""
    else:
        _, odd = bench.mask(FIRST, ODD)
        note = odd.note or ""
        assert masked_words(odd) == (["women", "women"] if case.ends == "answer" else [])
        assert case.told in note
    starts = {"answer": "", "refusal": "refused: ", "malformed": "malformed: ", "stop": ""}
    assert note.startswith(starts.get(case.ends, "failed: "))
    sent = {"retry": 2, "malformed": 2}.get(case.ends, 1)
    assert len(server.requests[ODD]) == sent
    # What is reported as used is what the server has on its side.
    (used,) = bench.used
    assert used.calls == server.calls == 1 + sent
    unknown = sent if case.name in CHARGED_UNKNOWN else 0
    assert used.unaccounted == unknown
    if case.name == "usage under other names":
        assert (used.tokens_in, used.tokens_out) == (200, 40)
    elif not unknown:
        assert (used.tokens_in, used.tokens_out) == server.charged
    else:
        assert used.tokens_in > server.charged[0]
    counted = {"refusal": "refusal", "malformed": "malformed answer"}.get(case.ends, case.event)
    assert dict(used.events) == ({counted: sent} if counted else {})
    # What is kept is not asked again; what is not kept is right when the server is well again.
    server.scripts = {}
    _, odd = bench.mask(FIRST, ODD)
    kept = case.ends in ("answer", "refusal", "malformed")
    assert len(server.requests[ODD]) == sent + (0 if kept else 1)
    assert masked_words(odd) == (
        [] if case.ends in ("refusal", "malformed") else ["women", "women"]
    )


@pytest.mark.parametrize("case", [c for c in CASES if c.ends == "retry"], ids=lambda c: c.name)
def test_passing_trouble_leaves_no_trace(server: Server, tmp_path: Path, case: Case) -> None:
    """Also when it meets the first call of all, before any response format has worked."""
    bench = bench_of(server, tmp_path)
    server.scripts = {ODD: [case.act, reply(GOOD)]}
    odd, other = bench.mask(ODD, FIRST)
    assert masked_words(odd) == ["women", "women"]
    assert masked_words(other) == ["women"]
    assert bench.report()["events"] == {case.event: 1}
    assert bench.report()["calls"] == server.calls == 3
    assert bench.report()["unmasked"] == []
    assert "json_schema" in json.dumps(server.requests[FIRST][0])  # the format was not at fault


# -- 403 -------------------------------------------------------------------------------------


def test_unexplained_403_before_any_answer_is_about_the_key(server: Server, tmp_path: Path) -> None:
    bench = bench_of(server, tmp_path)
    server.default = [status(403, "Forbidden")]
    with pytest.raises(ServiceError, match="refused the key: HTTP 403: Forbidden"):
        bench.mask(ODD, FIRST)
    assert server.calls == 1


def test_unexplained_403_after_an_answer_is_about_the_text(server: Server, tmp_path: Path) -> None:
    bench = bench_of(server, tmp_path)
    server.scripts = {ODD: [status(403, "Forbidden")]}
    _, odd = bench.mask(FIRST, ODD)
    assert odd.note == "refused: content filter: HTTP 403: Forbidden"
    assert bench.report()["events"] == {"refusal": 1}
    (listed,) = bench.report()["unmasked"]
    assert (listed["id"], listed["why"]) == ("p1", "refused")
    server.scripts = {}
    assert masked_words(bench.mask(FIRST, ODD)[1]) == [
        "women",
        "women",
    ]  # no reason given: not kept


def test_unexplained_403_waits_for_the_calls_under_way(server: Server, tmp_path: Path) -> None:
    """The filtered text may come back first: the others decide what its 403 means."""
    bench = bench_of(server, tmp_path, max_concurrency=4, timeout=5.0)

    def slow(handler: Any, asked: dict[str, Any]) -> None:
        hang(0.3)(handler, asked)
        reply(GOOD)(handler, asked)

    server.default = [slow]
    server.scripts = {ODD: [status(403, "Forbidden")]}
    odd, *others = bench.mask(ODD, *(f"Text {i} on women." for i in range(3)))
    assert odd.note == "refused: content filter: HTTP 403: Forbidden"
    assert all(masked_words(other) == ["women"] for other in others)


def test_filter_on_the_first_call_is_a_refusal(server: Server, tmp_path: Path) -> None:
    bench = bench_of(server, tmp_path)
    server.scripts = {ODD: [body(OPENROUTER_FLAG, 403)]}
    odd, other = bench.mask(ODD, FIRST)
    assert (odd.note or "").startswith("refused: ")
    assert masked_words(other) == ["women"]


def test_all_filtered_is_counted_not_blamed_on_the_key(server: Server, tmp_path: Path) -> None:
    bench = bench_of(server, tmp_path, max_failed_share=0.5)
    server.default = [body(OPENROUTER_FLAG, 403)]
    with pytest.raises(ServiceError, match=r"2 of 3 passages have no usable answer \(2 refused\)"):
        bench.mask("One.", "Two.", "Three.")


# -- response formats ------------------------------------------------------------------------


@pytest.mark.parametrize("takes", ["json_object", None])
@pytest.mark.parametrize(
    "rejection",
    [
        status(400, "response_format type 'json_schema' is not supported"),
        status(400, "Failed to parse grammar"),
        status(422, "unprocessable"),
        status(500, "grammar: unexpected token"),
        body({"error": {"message": "Failed to parse grammar", "code": 400}}),
        raw(b"", 501),
        body(changed(choices=None, usage=None)),
    ],
    ids=["named", "grammar", "422", "500", "in 200", "501", "no choice"],
)
def test_format_steps_down_whatever_themasked_words(
    server: Server, tmp_path: Path, rejection: Act, takes: str | None
) -> None:
    bench = bench_of(server, tmp_path, retries=2)

    def picky(handler: Any, asked: dict[str, Any]) -> None:
        kind = asked.get("response_format", {}).get("type")
        (reply(GOOD) if kind == takes else rejection)(handler, asked)

    server.default = [picky]
    texts = [f"Text {i} on women." for i in range(6)]
    assert all(masked_words(answer) == ["women"] for answer in bench.mask(*texts))
    last = server.requests[texts[-1]]
    assert [r.get("response_format", {}).get("type") for r in last] == [takes]  # found out once
    report = bench.report()
    assert report["calls"] == server.calls
    assert report["rejected_formats"] + sum(report["events"].values()) == server.calls - 6


def test_format_is_kept_when_it_was_not_at_fault(server: Server, tmp_path: Path) -> None:
    """A text that is too long fails with every format: the next one is asked with the first."""
    bench = bench_of(server, tmp_path)
    server.scripts = {ODD: [status(400, "maximum context length is 8 tokens")]}
    odd, other = bench.mask(ODD, FIRST)
    assert (odd.note or "").startswith("failed: HTTP 400: maximum context length")
    assert masked_words(other) == ["women"]
    (asked,) = server.requests[FIRST]
    assert asked["response_format"]["type"] == "json_schema"
    assert bench.report()["calls"] == server.calls == 4


def test_working_format_is_not_given_up_for_one_bad_text(server: Server, tmp_path: Path) -> None:
    bench = bench_of(server, tmp_path)
    server.scripts = {ODD: [status(400, "Failed to parse grammar")]}
    bench.mask(FIRST, ODD, "Other women.")
    assert len(server.requests[ODD]) == 1
    assert server.requests["Other women."][0]["response_format"]["type"] == "json_schema"

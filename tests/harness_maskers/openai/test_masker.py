"""The `openai` masker against a real HTTP server that misbehaves in each way."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness_corpora.domains import BUILT_IN
from masker_bench import KEY, MaskerBench, masked_words
from openai_server import asked_text, drop, hang, reply, say, serving, status

from harness.data.places import DataStore
from harness.errors import ServiceError

GOOD = "The women always forget the women."


# -- answers become spans --------------------------------------------------------------------


def test_every_occurrence_unless_told_which(bench: MaskerBench) -> None:
    other = "They say the women, and the women's cats."
    bench.server.scripts = {GOOD: [say("women")], other: [say(("women", [2]), "CATS")]}
    first, second = bench.mask(GOOD, other)
    assert [(s.start, s.end) for s in first.spans] == [(4, 9), (28, 33)]
    assert [(s.start, s.end) for s in second.spans] == [(28, 33), (36, 40)]
    assert {s.kind for s in first.spans} == {"openai"}
    assert first.spans[0].reason == "told so"
    assert first.note is None


def test_phrase_wins_over_its_word_and_parts_of_words_do_not_count(bench: MaskerBench) -> None:
    text = "Human women forget; a man does not."
    bench.server.scripts = {text: [say("women", "women forget", "man")]}
    (answer,) = bench.mask(text)
    assert masked_words(answer) == ["women forget", "man"]
    assert answer.spans[1].start == text.index("a man") + 2


def test_no_word_named_is_an_answer(bench: MaskerBench) -> None:
    (answer,) = bench.mask("A plain text.")
    assert answer.spans == ()
    assert answer.note == "no word named"
    assert bench.report()["unmasked"] == []


def test_request_carries_schema_model_and_text(bench: MaskerBench) -> None:
    bench.mask(GOOD, model="gpt-4.1")
    (body,) = bench.server.requests[GOOD]
    assert body["model"] == "gpt-4.1"
    assert body["temperature"] == 0.0
    assert body["seed"] == 0
    assert body["max_tokens"] == 400
    schema = body["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["additionalProperties"] is False
    assert asked_text(body) == GOOD


def test_same_text_is_asked_about_once_and_order_is_kept(bench: MaskerBench) -> None:
    bench.server.default = [say("women")]
    texts = [GOOD, "Some women.", GOOD, "The other women."]
    answers = bench.mask(*texts)
    assert [a.passage.text for a in answers] == texts
    assert all(masked_words(a) for a in answers)
    assert bench.server.calls == 3
    assert bench.progress[-1] == (4, 4, "asking for masks")
    assert [done for done, _, _ in bench.progress] == sorted(d for d, _, _ in bench.progress)


# -- misbehaviour ----------------------------------------------------------------------------


def test_rate_limit_waits_as_long_as_the_server_asks(bench: MaskerBench) -> None:
    bench.server.scripts = {GOOD: [status(429, Retry_After="0.3"), say("women")]}
    (answer,) = bench.mask(GOOD)
    assert masked_words(answer) == ["women", "women"]
    first, second = bench.server.times[GOOD]
    assert second - first >= 0.3
    assert bench.report()["events"] == {"rate limit": 1}


def test_longer_wait_than_allowed_is_a_failure_not_a_sleep(bench: MaskerBench) -> None:
    bench.server.scripts = {GOOD: [status(429, Retry_After="3600")]}
    _, answer = bench.mask("A plain text.", GOOD, max_concurrency=1, max_wait=0.5)
    assert answer.note is not None
    assert "3600 s" in answer.note


@pytest.mark.parametrize(
    ("act", "event"),
    [
        (status(500), "server error"),
        (status(503, Retry_After="0"), "server error"),
        (drop(), "connection error"),
    ],
)
def test_passing_trouble_is_retried(bench: MaskerBench, act: Any, event: str) -> None:
    bench.server.scripts = {GOOD: [act, act, say("women")]}
    (answer,) = bench.mask(GOOD)
    assert masked_words(answer) == ["women", "women"]
    assert bench.report()["events"] == {event: 2}
    assert bench.server.calls == 3


def test_hang_beyond_timeout_is_retried(bench: MaskerBench) -> None:
    bench.server.scripts = {GOOD: [hang(1.5), say("women")]}
    (answer,) = bench.mask(GOOD, timeout=0.3)
    assert masked_words(answer) == ["women", "women"]
    assert bench.report()["events"] == {"timeout": 1}


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (reply("{not json"), "does not fit"),
        (reply('{"terms": ["women"]}'), "does not fit: words"),
        (reply('{"words": [{"word": 7, "occurrences": [], "reason": ""}]}'), "words.0.word"),
        (reply('{"words": [{"word": "women"', finish_reason="length"), "cut off"),
        (say("nobody"), '"nobody" is not in the text'),
        (say(("women", [3])), "occurs 2 times"),
    ],
)
def test_unusable_answer_is_rejected_with_the_reason_and_asked_again(
    bench: MaskerBench, bad: Any, told: str
) -> None:
    bench.server.scripts = {GOOD: [bad, say("women")]}
    (answer,) = bench.mask(GOOD)
    assert masked_words(answer) == ["women", "women"]
    again = bench.server.requests[GOOD][1]["messages"]
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert told in again[-1]["content"]
    assert bench.report()["events"] == {"malformed answer": 1}
    assert bench.report()["asked"] == 2


def test_malformed_to_the_end_is_counted_listed_and_kept(
    bench: MaskerBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.scripts = {GOOD: [say("nobody")], "Other women.": [say("women")]}
    with caplog.at_level(logging.WARNING):
        bad, good = bench.mask(GOOD, "Other women.", asks=3)
    assert bench.server.calls == 4
    assert bad.spans == ()
    assert bad.note is not None
    assert bad.note.startswith('malformed: "nobody" is not in the text')
    assert masked_words(good) == ["women"]
    (listed,) = bench.report()["unmasked"]
    assert (listed["id"], listed["why"]) == ("p0", "malformed")
    (record,) = caplog.records
    assert "1 of 2 passages stay unmasked (1 malformed)" in record.getMessage()
    assert "\n" not in record.getMessage()
    bench.mask(GOOD, "Other women.", asks=3)
    assert bench.server.calls == 4  # the model's own failure is an answer: not paid for again
    assert bench.report()["events"] == {"malformed answer": 3}  # of the call that asked


@pytest.mark.parametrize(
    "act",
    [
        reply(None, refusal="I will not."),
        reply("I'm sorry, I can't help with that."),
        reply("", finish_reason="content_filter"),
        status(400, "filtered", error_code="content_filter"),
    ],
)
def test_refusal_is_not_asked_again(bench: MaskerBench, act: Any) -> None:
    bench.server.scripts = {GOOD: [act]}
    (answer,) = bench.mask(GOOD)
    assert bench.server.calls == 1
    assert answer.spans == ()
    assert answer.note is not None
    assert answer.note.startswith("refused: ")
    assert bench.report()["events"] == {"refusal": 1}
    with pytest.raises(ServiceError, match="on_refusal"):
        bench.mask(GOOD, on_refusal="error")
    assert bench.server.calls == 1


def test_failed_call_is_tried_again_by_the_next_run(bench: MaskerBench) -> None:
    bench.server.scripts = {GOOD: [status(500)]}
    _, answer = bench.mask("A plain text.", GOOD, max_concurrency=1)
    assert answer.note is not None
    assert answer.note.startswith("failed: server error")
    assert bench.server.calls == 1 + 3
    bench.server.scripts = {GOOD: [say("women")]}
    _, answer = bench.mask("A plain text.", GOOD)
    assert masked_words(answer) == ["women", "women"]
    assert bench.server.calls == 1 + 3 + 1


def test_too_many_failures_end_it_and_keep_what_there_is(bench: MaskerBench) -> None:
    texts = [f"Text {i} on women." for i in range(40)]
    bench.server.default = [say("nobody")]
    bench.server.scripts = {texts[0]: [say("women")]}
    with pytest.raises(ServiceError, match=r"more than max_failed_share 0\.05") as error:
        bench.mask(*texts, max_failed_share=0.05, max_concurrency=1, asks=1)
    assert "\n" not in str(error.value)
    assert bench.server.calls <= 1 + 3 + 1  # the third of 40 is too many; one may be under way
    assert bench.masker(asks=1).estimate(bench.request(texts[0])).calls == 0


def test_server_that_rejects_schemas_is_asked_for_plain_json(bench: MaskerBench) -> None:
    unknown = status(400, "response_format type 'json_schema' is not supported")

    def picky(handler: Any, body: dict[str, Any]) -> None:
        kind = body.get("response_format", {}).get("type")
        (say("women") if kind is None else unknown)(handler, body)

    bench.server.default = [picky]
    first, second = bench.mask(GOOD, "Other women.", max_concurrency=1)
    assert masked_words(first) == ["women", "women"]
    assert masked_words(second) == ["women"]
    assert bench.server.calls == 3 + 1  # found out once
    assert bench.report()["events"] == {}


# -- nothing would help ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (status(401, f"Incorrect API key provided: {KEY}"), "OPENAI_API_KEY"),
        (status(404, "no such model"), "'model'"),
        (status(429, "pay first", error_code="insufficient_quota"), "quota"),
    ],
)
def test_hopeless_errors_end_it_at_once(bench: MaskerBench, act: Any, told: str) -> None:
    bench.server.default = [act]
    with pytest.raises(ServiceError, match=told) as error:
        bench.mask(*(f"Text {i}." for i in range(20)), max_concurrency=2)
    assert KEY not in str(error.value)
    assert bench.server.calls <= 4


def test_nobody_there(bench: MaskerBench) -> None:
    with serving() as gone:
        address = gone.base_url
    with pytest.raises(ServiceError, match=r"no answer in 3 tries.*'base_url'") as error:
        bench.mask(*(f"Text {i}." for i in range(50)), base_url=address)
    assert "\n" not in str(error.value)


def test_no_key(bench: MaskerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ServiceError, match=r"1 of 1 passages .* OPENAI_API_KEY is not set"):
        bench.mask(GOOD)
    assert bench.server.calls == 0


def test_offline(bench: MaskerBench) -> None:
    request = bench.request(GOOD, data=replace(bench.data, offline=True))
    with pytest.raises(ServiceError, match="--offline"):
        bench.masker().mask(request)
    assert bench.server.calls == 0


def test_missing_package_names_the_extra(
    bench: MaskerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ServiceError, match=r"pip install 'bias-transfer-harness\[openai\]'"):
        bench.mask(GOOD)


def test_cache_that_cannot_be_written_is_found_before_paying(
    bench: MaskerBench, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    request = bench.request(GOOD, data=DataStore(cache_dir=tmp_path / "file", domains=BUILT_IN))
    with pytest.raises(ServiceError, match="cannot keep the answers"):
        bench.masker().mask(request)
    assert bench.server.calls == 0

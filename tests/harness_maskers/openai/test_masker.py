"""The `openai` masker against a real HTTP server that misbehaves in each way."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness_corpora.domains import BUILT_IN
from harness_maskers.openai.config import OpenAIConfig
from harness_maskers.openai.masker import OpenAIMasker
from openai_server import Server, asked_text, drop, hang, reply, say, serving, status
from pydantic import ValidationError

from harness.data.places import DataStore
from harness.errors import ServiceError
from harness.types import MaskedPassage, MaskRequest, Passage, no_progress

KEY = "sk-secret-0123456789abcdef"
GOOD = "The women always forget the women."


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


class Bench:
    """A masker, its server and its cache."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.data = DataStore(cache_dir=folder, offline=False, domains=BUILT_IN)
        self.progress: list[tuple[int, int, str]] = []

    def masker(self, **config: Any) -> OpenAIMasker:
        quick = {
            "base_url": self.server.base_url,
            "timeout": 5.0,
            "retries": 2,
            "backoff": 0.001,
            "max_failed_share": 1.0,
            "max_concurrency": 4,
        }
        return OpenAIMasker(OpenAIConfig.model_validate({**quick, **config}))

    def request(self, *texts: str, data: DataStore | None = None) -> MaskRequest:
        return MaskRequest(
            passages=tuple(_passage(i, text) for i, text in enumerate(texts)),
            domain="gender",
            data=data or self.data,
            progress=lambda *args: self.progress.append(args),
        )

    def mask(self, *texts: str, **config: Any) -> list[MaskedPassage]:
        return list(self.masker(**config).mask(self.request(*texts)))

    def report(self) -> dict[str, Any]:
        (path,) = (self.data.cache_dir / "openai-masks" / "reports").glob("*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture
def bench(server: Server, tmp_path: Path) -> Bench:
    return Bench(server, tmp_path / "cache")


def _passage(i: int, text: str) -> Passage:
    return Passage(id=f"p{i}", text=text, domain="gender", label="hateful", split="train")


def _words(answer: MaskedPassage) -> list[str]:
    return [answer.passage.text[span.start : span.end] for span in answer.spans]


# -- answers become spans --------------------------------------------------------------------


def test_every_occurrence_unless_told_which(bench: Bench) -> None:
    other = "They say the women, and the women's cats."
    bench.server.scripts = {GOOD: [say("women")], other: [say(("women", [2]), "CATS")]}
    first, second = bench.mask(GOOD, other)
    assert [(s.start, s.end) for s in first.spans] == [(4, 9), (28, 33)]
    assert [(s.start, s.end) for s in second.spans] == [(28, 33), (36, 40)]
    assert {s.kind for s in first.spans} == {"openai"}
    assert first.spans[0].reason == "told so"
    assert first.note is None


def test_phrase_wins_over_its_word_and_parts_of_words_do_not_count(bench: Bench) -> None:
    text = "Human women forget; a man does not."
    bench.server.scripts = {text: [say("women", "women forget", "man")]}
    (answer,) = bench.mask(text)
    assert _words(answer) == ["women forget", "man"]
    assert answer.spans[1].start == text.index("a man") + 2


def test_no_word_named_is_an_answer(bench: Bench) -> None:
    (answer,) = bench.mask("A plain text.")
    assert answer.spans == ()
    assert answer.note == "no word named"
    assert bench.report()["unmasked"] == []


def test_request_carries_schema_model_and_text(bench: Bench) -> None:
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


def test_same_text_is_asked_about_once_and_order_is_kept(bench: Bench) -> None:
    bench.server.default = [say("women")]
    texts = [GOOD, "Some women.", GOOD, "The other women."]
    answers = bench.mask(*texts)
    assert [a.passage.text for a in answers] == texts
    assert all(_words(a) for a in answers)
    assert bench.server.calls == 3
    assert bench.progress[-1] == (4, 4, "asking for masks")
    assert [done for done, _, _ in bench.progress] == sorted(d for d, _, _ in bench.progress)


# -- misbehaviour ----------------------------------------------------------------------------


def test_rate_limit_waits_as_long_as_the_server_asks(bench: Bench) -> None:
    bench.server.scripts = {GOOD: [status(429, Retry_After="0.3"), say("women")]}
    (answer,) = bench.mask(GOOD)
    assert _words(answer) == ["women", "women"]
    first, second = bench.server.times[GOOD]
    assert second - first >= 0.3
    assert bench.report()["events"] == {"rate limit": 1}


def test_longer_wait_than_allowed_is_a_failure_not_a_sleep(bench: Bench) -> None:
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
def test_passing_trouble_is_retried(bench: Bench, act: Any, event: str) -> None:
    bench.server.scripts = {GOOD: [act, act, say("women")]}
    (answer,) = bench.mask(GOOD)
    assert _words(answer) == ["women", "women"]
    assert bench.report()["events"] == {event: 2}
    assert bench.server.calls == 3


def test_hang_beyond_timeout_is_retried(bench: Bench) -> None:
    bench.server.scripts = {GOOD: [hang(1.5), say("women")]}
    (answer,) = bench.mask(GOOD, timeout=0.3)
    assert _words(answer) == ["women", "women"]
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
    bench: Bench, bad: Any, told: str
) -> None:
    bench.server.scripts = {GOOD: [bad, say("women")]}
    (answer,) = bench.mask(GOOD)
    assert _words(answer) == ["women", "women"]
    again = bench.server.requests[GOOD][1]["messages"]
    assert [message["role"] for message in again] == ["system", "user", "assistant", "user"]
    assert told in again[-1]["content"]
    assert bench.report()["events"] == {"malformed answer": 1}
    assert bench.report()["asked"] == 2


def test_malformed_to_the_end_is_counted_listed_and_kept(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.server.scripts = {GOOD: [say("nobody")], "Other women.": [say("women")]}
    with caplog.at_level(logging.WARNING):
        bad, good = bench.mask(GOOD, "Other women.", asks=3)
    assert bench.server.calls == 4
    assert bad.spans == ()
    assert bad.note is not None
    assert bad.note.startswith('malformed: "nobody" is not in the text')
    assert _words(good) == ["women"]
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
def test_refusal_is_not_asked_again(bench: Bench, act: Any) -> None:
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


def test_failed_call_is_tried_again_by_the_next_run(bench: Bench) -> None:
    bench.server.scripts = {GOOD: [status(500)]}
    _, answer = bench.mask("A plain text.", GOOD, max_concurrency=1)
    assert answer.note is not None
    assert answer.note.startswith("failed: server error")
    assert bench.server.calls == 1 + 3
    bench.server.scripts = {GOOD: [say("women")]}
    _, answer = bench.mask("A plain text.", GOOD)
    assert _words(answer) == ["women", "women"]
    assert bench.server.calls == 1 + 3 + 1


def test_too_many_failures_end_it_and_keep_what_there_is(bench: Bench) -> None:
    texts = [f"Text {i} on women." for i in range(40)]
    bench.server.default = [say("nobody")]
    bench.server.scripts = {texts[0]: [say("women")]}
    with pytest.raises(ServiceError, match=r"more than max_failed_share 0\.05") as error:
        bench.mask(*texts, max_failed_share=0.05, max_concurrency=1, asks=1)
    assert "\n" not in str(error.value)
    assert bench.server.calls <= 1 + 3 + 1  # the third of 40 is too many; one may be under way
    assert bench.masker(asks=1).estimate(bench.request(texts[0])).calls == 0


def test_server_that_rejects_schemas_is_asked_for_plain_json(bench: Bench) -> None:
    unknown = status(400, "response_format type 'json_schema' is not supported")

    def picky(handler: Any, body: dict[str, Any]) -> None:
        kind = body.get("response_format", {}).get("type")
        (say("women") if kind is None else unknown)(handler, body)

    bench.server.default = [picky]
    first, second = bench.mask(GOOD, "Other women.", max_concurrency=1)
    assert _words(first) == ["women", "women"]
    assert _words(second) == ["women"]
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
def test_hopeless_errors_end_it_at_once(bench: Bench, act: Any, told: str) -> None:
    bench.server.default = [act]
    with pytest.raises(ServiceError, match=told) as error:
        bench.mask(*(f"Text {i}." for i in range(20)), max_concurrency=2)
    assert KEY not in str(error.value)
    assert bench.server.calls <= 4


def test_nobody_there(bench: Bench) -> None:
    with serving() as gone:
        address = gone.base_url
    with pytest.raises(ServiceError, match=r"no answer in 3 tries.*'base_url'") as error:
        bench.mask(*(f"Text {i}." for i in range(50)), base_url=address)
    assert "\n" not in str(error.value)


def test_no_key(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ServiceError, match=r"1 of 1 passages .* OPENAI_API_KEY is not set"):
        bench.mask(GOOD)
    assert bench.server.calls == 0


def test_offline(bench: Bench) -> None:
    request = bench.request(GOOD, data=replace(bench.data, offline=True))
    with pytest.raises(ServiceError, match="--offline"):
        bench.masker().mask(request)
    assert bench.server.calls == 0


def test_missing_package_names_the_extra(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ServiceError, match=r"pip install 'bias-transfer-harness\[openai\]'"):
        bench.mask(GOOD)


def test_cache_that_cannot_be_written_is_found_before_paying(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    request = bench.request(GOOD, data=DataStore(cache_dir=tmp_path / "file", domains=BUILT_IN))
    with pytest.raises(ServiceError, match="cannot keep the answers"):
        bench.masker().mask(request)
    assert bench.server.calls == 0


# -- cache, cost, secrets --------------------------------------------------------------------


def test_repeats_with_server_down_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [GOOD, "Text about women.", "Refused women."]
    with serving() as server:
        bench = Bench(server, tmp_path)
        server.default = [say("women")]
        server.scripts = {texts[2]: [reply(None, refusal="no")]}
        first = bench.mask(*texts)
        estimate = bench.masker().estimate(bench.request(*texts, "New."))
        assert estimate.calls == 1
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setitem(sys.modules, "openai", None)
    assert bench.mask(*texts) == first
    assert bench.masker().estimate(bench.request(*texts)).model_dump() == {
        "calls": 0,
        "tokens_in": 0,
        "tokens_out": 0,
        "cost": 0.0,
    }


@pytest.mark.parametrize(
    "change", [{"model": "gpt-4.1"}, {"temperature": 0.5}, {"sampling_seed": 1}, {"asks": 2}]
)
def test_what_can_change_an_answer_is_asked_anew(bench: Bench, change: dict[str, Any]) -> None:
    bench.mask(GOOD)
    bench.mask(GOOD, timeout=4.0, retries=1, max_concurrency=1, max_failed_share=0.5)
    assert bench.server.calls == 1
    bench.mask(GOOD, **change)
    assert bench.server.calls == 2


def test_damaged_cache_file_is_asked_anew(bench: Bench) -> None:
    bench.server.default = [say("women")]
    first = bench.mask(GOOD)
    (path,) = (bench.data.cache_dir / "openai-masks").glob("??/*.json")
    path.write_text(path.read_text()[:20])
    assert bench.mask(GOOD) == first
    assert bench.server.calls == 2


def test_key_is_in_no_file_and_no_message(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    echo = json.dumps({"words": [{"word": "women", "occurrences": [], "reason": f"key {KEY}"}]})
    bench.server.scripts = {
        GOOD: [reply(echo)],
        "One.": [reply(None, refusal=f"not with {KEY}")],
        "Two.": [status(418, f"teapot {KEY}")],
    }
    with caplog.at_level(logging.DEBUG):
        answers = bench.mask(GOOD, "One.", "Two.")
    assert bench.server.keys == {f"Bearer {KEY}"}  # it was used, so it could have leaked
    assert KEY not in caplog.text
    files = [path for path in bench.data.cache_dir.rglob("*") if path.is_file()]
    assert len(files) >= 3
    for path in files:
        assert KEY.encode() not in path.read_bytes()
    assert not any(KEY in answer.model_dump_json() for answer in answers)


def test_cost_is_estimated_and_counted(bench: Bench) -> None:
    bench.server.default = [say("women", usage=(1000, 100))]
    masker = bench.masker(price_in=2.0, price_out=10.0)
    request = bench.request(GOOD, "Other women.")
    estimate = masker.estimate(request)
    assert estimate.calls == 2
    assert estimate.cost == pytest.approx(
        (estimate.tokens_in * 2.0 + estimate.tokens_out * 10.0) / 1e6
    )
    masker.mask(request)
    report = bench.report()
    assert (report["tokens_in"], report["tokens_out"]) == (2000, 200)
    assert report["cost"] == pytest.approx((2000 * 2.0 + 200 * 10.0) / 1e6)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_max_cost_is_never_passed(bench: Bench, concurrency: int) -> None:
    # Worst case of a call: its bytes (under 4000 here) in and 400 out, at $1 a token-million: below
    # $0.0045. Real: 1500 + 300. The cap lets several calls through, but not all thirty.
    bench.server.default = [say("women", usage=(1500, 300))]
    texts = [f"Text {i} on women." for i in range(30)]
    config = {"price_in": 1.0, "price_out": 1.0, "max_cost": 0.02, "max_concurrency": concurrency}
    with pytest.raises(ServiceError, match=r"max_cost \$0.02 .*raise max_cost") as error:
        bench.mask(*texts, **config)
    assert "\n" not in str(error.value)
    done = bench.server.calls
    assert done * 0.0018 <= 0.02
    assert done * 0.0018 >= 0.02 - 0.0045 - 0.0018
    left = bench.masker(**config).estimate(bench.request(*texts)).calls
    assert left == 30 - done  # every answer that was paid for is kept
    assert all(_words(a) for a in bench.mask(*texts, **{**config, "max_cost": 1.0}))
    assert bench.server.calls == 30


def test_calls_of_unknown_cost_count_as_the_worst(bench: Bench) -> None:
    bench.server.default = [say("women", usage=None)]
    bench.mask(GOOD, price_in=1.0, price_out=1.0)
    assert bench.report()["tokens_out"] == 400
    assert bench.report()["tokens_in"] > 1000


def test_never_more_calls_at_once_than_allowed(bench: Bench) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def slow(handler: Any, body: dict[str, Any]) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        say("women")(handler, body)

    bench.server.default = [slow]
    bench.mask(*(f"Text {i} on women." for i in range(12)), max_concurrency=3)
    assert most[0] == 3


def test_interrupt_keeps_answers_and_does_not_wait_for_open_calls(bench: Bench) -> None:
    bench.server.default = [say("women")]
    bench.server.scripts = {"Slow women.": [hang(5.0)]}
    texts = ["Slow women.", *(f"Text {i} on women." for i in range(6))]

    def interrupt(done: int, total: int, what: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    request = bench.request(*texts).model_copy(update={"progress": interrupt})
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        bench.masker(timeout=30.0, max_concurrency=2).mask(request)
    assert time.monotonic() - began < 4.0
    assert bench.masker().estimate(bench.request(*texts)).calls <= len(texts) - 3


# -- config ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model": "somebody-s-model", "max_cost": 1.0}, "price_in and price_out"),
        ({"price_in": 1.0}, "go together"),
        ({"base_url": "ftp://example.org"}, "http or https"),
        ({"base_url": "https://me:pw@example.org/v1"}, "no user name or password"),
        ({"api_key": "x"}, "api_key"),
    ],
)
def test_config_mistakes(config: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        OpenAIConfig.model_validate(config)


def test_dated_model_names_have_the_price_of_the_model() -> None:
    assert OpenAIConfig(model="gpt-4o-2024-08-06").price == OpenAIConfig(model="gpt-4o").price
    assert OpenAIConfig(model="somebody-s-model").price is None
    request = MaskRequest(
        passages=(_passage(0, GOOD),),
        domain="gender",
        data=DataStore(domains=BUILT_IN),
        progress=no_progress,
    )
    unknown = OpenAIMasker(OpenAIConfig(model="somebody-s-model")).estimate(request)
    assert unknown.cost is None


def test_server_of_the_environment_is_in_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masker = OpenAIMasker(OpenAIConfig())
    data = DataStore(cache_dir=tmp_path, domains=BUILT_IN)
    assert masker.fingerprint(data)["server"] == "api.openai.com"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")
    assert masker.fingerprint(data)["server"] == "127.0.0.1:8000"
    assert KEY not in json.dumps(dict(masker.fingerprint(data)))
    monkeypatch.setenv("OPENAI_BASE_URL", "nonsense")
    with pytest.raises(ServiceError, match="OPENAI_BASE_URL"):
        masker.fingerprint(data)
    assert os.environ["OPENAI_API_KEY"] == KEY

"""The `openai` masker: what it keeps, what it costs, where the key may appear, its config."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from harness_corpora.domains import BUILT_IN
from harness_maskers.openai.config import OpenAIConfig
from harness_maskers.openai.masker import OpenAIMasker
from masker_bench import KEY, MaskerBench, masked_words, passage
from openai_server import hang, reply, say, serving, status
from pydantic import ValidationError

from harness.data.places import DataStore
from harness.errors import ServiceError
from harness.types import MaskRequest, no_progress

GOOD = "The women always forget the women."


def test_repeats_with_server_down_and_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [GOOD, "Text about women.", "Refused women."]
    with serving() as server:
        bench = MaskerBench(server, tmp_path)
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
def test_what_can_change_an_answer_is_asked_anew(
    bench: MaskerBench, change: dict[str, Any]
) -> None:
    bench.mask(GOOD)
    bench.mask(GOOD, timeout=4.0, retries=1, max_concurrency=1, max_failed_share=0.5)
    assert bench.server.calls == 1
    bench.mask(GOOD, **change)
    assert bench.server.calls == 2


def test_damaged_cache_file_is_asked_anew(bench: MaskerBench) -> None:
    bench.server.default = [say("women")]
    first = bench.mask(GOOD)
    (path,) = (bench.data.cache_dir / "openai-masks").glob("??/*.json")
    path.write_text(path.read_text()[:20])
    assert bench.mask(GOOD) == first
    assert bench.server.calls == 2


def test_key_is_in_no_file_and_no_message(
    bench: MaskerBench, caplog: pytest.LogCaptureFixture
) -> None:
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


def test_cost_is_estimated_and_counted(bench: MaskerBench) -> None:
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
def test_max_cost_is_never_passed(bench: MaskerBench, concurrency: int) -> None:
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
    assert all(masked_words(a) for a in bench.mask(*texts, **{**config, "max_cost": 1.0}))
    assert bench.server.calls == 30


def test_calls_of_unknown_cost_count_as_the_worst(bench: MaskerBench) -> None:
    bench.server.default = [say("women", usage=None)]
    bench.mask(GOOD, price_in=1.0, price_out=1.0)
    assert bench.report()["tokens_out"] == 400
    assert bench.report()["tokens_in"] > 1000


def test_never_more_calls_at_once_than_allowed(bench: MaskerBench) -> None:
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


def test_interrupt_keeps_answers_and_does_not_wait_for_open_calls(bench: MaskerBench) -> None:
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
        passages=(passage(0, GOOD),),
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

"""The key is written nowhere, and what is not the key stays as it is."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness_maskers.openai.config import OpenAIConfig, server_of
from harness_maskers.openai.masker import OpenAIMasker
from harness_maskers.openai.secrets import Redactor
from openai_server import Server, naming, raw, reply, status
from pydantic import ValidationError

from harness.cli.main import cli
from harness.data.places import DataStore
from harness.errors import HarnessError, ServiceError
from harness.types import MaskedPassage, MaskRequest, Passage, no_progress

LONG = "sk-secret/0123456789+abcdef="
DUMMIES = [
    "token",
    "ok",
    "words",
    "status",
    "x",
    "EMPTY",
    "none",
    "reason",
    "refused",
    "{}",
    '"',
    "0",
]


def _mask(server: Server, folder: Path, *texts: str) -> list[MaskedPassage]:
    config = OpenAIConfig(
        base_url=server.base_url, max_failed_share=1.0, retries=0, asks=1, max_concurrency=1
    )
    passages = tuple(
        Passage(id=f"p{i}", text=text, domain="gender", label="hateful", split="train")
        for i, text in enumerate(texts)
    )
    request = MaskRequest(
        passages=passages,
        domain="gender",
        data=DataStore(cache_dir=folder),
        progress=no_progress,
    )
    return list(OpenAIMasker(config).mask(request))


@pytest.mark.parametrize("key", DUMMIES)
def test_short_key_changes_no_answer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Words, statuses and field names are not free text, even where they spell the key."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    text = "The token is ok, the words are none, EMPTY of reason: x, 0."
    named = ["token", "words", "none", "EMPTY", "reason"]
    server.scripts = {
        text: [reply(naming(*named))],
        "Refused.": [reply(None, refusal="no")],
        "Odd.": [reply("not JSON")],
    }
    answer, refused, odd = _mask(server, tmp_path, text, "Refused.", "Odd.")
    assert [answer.passage.text[s.start : s.end] for s in answer.spans] == named
    assert (refused.note or "").startswith("refused: ")
    assert (odd.note or "").startswith("malformed: ")
    server.default = [status(500)]
    server.scripts = {}
    assert _mask(server, tmp_path, text, "Refused.", "Odd.") == [answer, refused, odd]  # as stored
    (report,) = (tmp_path / "openai-masks" / "reports").glob("*.json")
    found = json.loads(report.read_text())
    assert [entry["why"] for entry in found["unmasked"]] == ["refused", "malformed"]


@pytest.mark.parametrize("key", ["token", LONG])
def test_key_in_free_text_is_redacted_everywhere(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    key: str,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    text = "The women wait."
    echo = {"words": [{"word": "women", "occurrences": [], "reason": f"your {key} says so"}]}
    server.scripts = {
        text: [reply(json.dumps(echo))],
        "One.": [reply(None, refusal=f"not with {key}")],
        "Two.": [status(418, f"teapot {key}")],
        "Three.": [raw(f"<title>key={key}</title>".encode())],
        "Four.": [reply(json.dumps({"words": [{"word": key, "occurrences": [], "reason": ""}]}))],
    }
    with caplog.at_level(logging.DEBUG):
        answers = _mask(server, tmp_path, text, "One.", "Two.", "Three.", "Four.")
    assert server.keys == {f"Bearer {key}"}  # it was sent, so it could have leaked
    assert answers[0].spans[0].reason == "your [key] says so"
    assert answers[1].note == "refused: not with [key]"
    assert [bool(answer.note) for answer in answers] == [False, True, True, True, True]
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 4
    told = [*written, caplog.text, *(answer.model_dump_json() for answer in answers)]
    as_a_word = re.compile(rf"(?<!\w){re.escape(key)}(?!\w)")  # "tokens_in" is a field's name
    assert not any(as_a_word.search(text) for text in told)


def test_key_is_redacted_before_the_message_is_cut(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", LONG)
    for place in range(280, 305):
        server.default = [status(401, "x" * place + LONG)]
        with pytest.raises(ServiceError) as error:
            _mask(server, tmp_path, "Text.")
        assert LONG[:6] not in str(error.value)


def test_redactor_finds_other_forms_of_a_long_key() -> None:
    redact = Redactor(LONG)
    assert redact("sk-secret%2F0123456789%2Babcdef%3D") == "[key]"
    assert redact(f"Bearer{LONG}!") == "Bearer[key]!"
    assert redact(LONG[:-3] + "...") == "[key]..."  # a server may cut it
    assert redact("sk-secret") == "sk-secret"
    assert Redactor("")("any text") == "any text"


def test_redactor_leaves_longer_words_alone() -> None:
    redact = Redactor("token")
    assert redact("tokens, detokenise, token_count; token, (token)") == (
        "tokens, detokenise, token_count; [key], ([key])"
    )


# -- addresses -------------------------------------------------------------------------------

SECRETS = [
    "https://example.org/v1?api_key=hunter2",
    "https://example.org/v1?hunter2",
    "https://example.org/v1#hunter2",
    "https://hunter2@example.org/v1",
    "https://me:hunter2@example.org/v1",
    "https://me:hunter2",
    "ftp://me:hunter2@example.org",
    "http://[hunter2",
]


@pytest.mark.parametrize("address", SECRETS)
def test_address_with_a_secret_is_refused_without_showing_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError) as plain:
        server_of(address)
    assert "hunter2" not in str(plain.value)
    with pytest.raises(ValidationError) as error:
        OpenAIConfig(base_url=address)
    assert "hunter2" not in str(error.value)
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    spec = tmp_path / "mine.yaml"
    spec.write_text(
        f"model: smollm2-135m\ncorpus: embedded\nsource: gender\n"
        f"masker: {{use: openai, base_url: '{address}'}}\n"
        "debiaser: mlm-unlearning\nevaluators: [embedded-pairs]\n"
    )
    commands = [
        ["mask", "--masker", "openai", "--set", f"base_url={json.dumps(address)}"],
        ["mask", "--spec", str(spec)],
        ["plan", str(spec)],
        ["mask", "--masker", "openai"],
    ]
    for command in commands:
        if command == commands[-1]:
            monkeypatch.setenv("OPENAI_BASE_URL", address)
        with pytest.raises(HarnessError) as shown:
            CliRunner().invoke(cli, command, catch_exceptions=False, standalone_mode=False)
        assert "hunter2" not in str(shown.value)
        assert "\n" not in str(shown.value)
        assert "base_url" in str(shown.value).lower()


def test_address_that_holds_the_key_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "v1-key-of-a-gateway")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.base_url}/v1-key-of-a-gateway")
    request = MaskRequest(
        passages=(Passage(id="p", text="t", domain="gender", label="hateful", split="train"),),
        domain="gender",
        data=DataStore(cache_dir=tmp_path),
        progress=no_progress,
    )
    with pytest.raises(ServiceError, match="address holds the key") as error:
        OpenAIMasker(OpenAIConfig()).mask(request)
    assert "gateway" not in str(error.value)
    assert server.calls == 0


@pytest.mark.parametrize("key", ["sk-a\nb", "sk-a b", "sk-é"])
def test_key_that_cannot_be_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ServiceError, match="export the key alone"):
        _mask(server, tmp_path, "Text.")


def test_line_break_after_the_key_is_dropped(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-a-file\n")
    _mask(server, tmp_path, "Text.")
    assert server.keys == {"Bearer sk-from-a-file"}

"""What a run paid for its masks is said once, and is what the server charged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from openai_server import Server, say, serving, status
from toy_plugins import TOY_SPEC, ToyDebiaser, ToyPlugin

from harness.data.places import DataStore
from harness.hookspecs import hookimpl
from harness.plugins import Origin, Registry, build_registry
from harness.running.experiment import Experiment
from harness.running.reporting import Reporter
from harness.running.spending import Spending, usage_in_words
from harness.types import MaskUsage


class _OpenAI:
    """Gives the masker that asks a server."""

    @hookimpl
    def harness_maskers(self) -> list[type]:
        from harness_maskers.openai.masker import OpenAIMasker

        return [OpenAIMasker]


class Listening(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    @property
    def spent(self) -> list[str]:
        return [note for note in self.notes if note.startswith("masker ")]


def registry() -> Registry:
    origins = [(plugin, Origin(name, name, "1")) for plugin, name in
               ((ToyPlugin(), "toys"), (_OpenAI(), "paid"))]  # fmt: skip
    return build_registry(origins, strict=True)


def experiment(folder: Path, server: Server) -> Experiment:
    masker = {"use": "openai", "as": "gpt", "model": "gpt-4o", "base_url": server.base_url,
              "backoff": 0.001}  # fmt: skip
    return Experiment.from_mapping(
        {**TOY_SPEC, "masker": masker, "limits": {"passages": 4}},
        registry=registry(),
        data=DataStore(cache_dir=folder / "cache"),
        folder=folder / "run",
        source="test",
    )


def test_a_run_says_once_what_its_masks_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    listening, again = Listening(), Listening()
    with serving() as server:
        server.default = [status(500), say("people")]
        outcome = experiment(tmp_path, server).run(reporter=listening)
        assert not outcome.failures
        calls, charged = server.calls, server.charged
        assert experiment(tmp_path, server).run(reporter=again).spent == {}
        assert server.calls == calls  # all is stored: nothing is asked
    (line,) = listening.spent
    assert again.spent == []
    used = outcome.spent["gpt"]
    assert (used.calls, used.tokens_in, used.tokens_out) == (calls, *charged)
    cost = (charged[0] * 2.5 + charged[1] * 10) / 1e6
    assert used.cost == pytest.approx(cost)
    assert line == (
        f"masker gpt: {calls} calls, {charged[0]} tokens in and {charged[1]} out, "
        f"${cost:.4f} spent; {used.events['server error']} server error"
    )
    reports = [json.loads(p.read_text()) for p in (tmp_path / "cache").rglob("reports/*.json")]
    assert len(reports) == 2  # one for each source
    for name in ("calls", "tokens_in", "tokens_out"):
        assert sum(report[name] for report in reports) == getattr(used, name)


def test_an_interrupted_run_says_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr(ToyDebiaser, "interrupt_at", 10)
    listening = Listening()
    with serving() as server:
        server.default = [say("people")]
        with pytest.raises(KeyboardInterrupt):
            experiment(tmp_path, server).run(reporter=listening)
        (line,) = listening.spent
        assert f"masker gpt: {server.calls} calls, {server.charged[0]} tokens in" in line


def test_usage_is_added_up() -> None:
    spending = Spending()
    spending.account("a")(MaskUsage(calls=2, tokens_in=10, tokens_out=1, cost=0.5,
                                    events={"refused": 1}))  # fmt: skip
    spending.account("a")(MaskUsage(calls=1, tokens_in=5, cost=None, unaccounted=1,
                                    events={"refused": 2, "cut": 1}))  # fmt: skip
    spending.account("b")(MaskUsage())
    assert list(spending.used) == ["a"]
    assert spending.used["a"] == MaskUsage(
        calls=3, tokens_in=15, tokens_out=1, cost=None, unaccounted=1,
        events={"cut": 1, "refused": 3},
    )  # fmt: skip
    assert "price unknown" in usage_in_words(spending.used["a"])

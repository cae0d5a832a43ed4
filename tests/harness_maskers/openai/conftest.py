"""The server of each test, and the masker in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from masker_bench import KEY, MaskerBench
from openai_server import Server, serving


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def bench(server: Server, tmp_path: Path) -> MaskerBench:
    return MaskerBench(server, tmp_path / "cache")

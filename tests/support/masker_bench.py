"""A masker of the kind `openai`, its server and its cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness_corpora.domains import BUILT_IN
from harness_maskers.openai.config import OpenAIConfig
from harness_maskers.openai.masker import OpenAIMasker
from openai_server import Server

from harness.data.places import DataStore
from harness.types import MaskedPassage, MaskRequest, MaskUsage, Passage

KEY = "sk-secret-0123456789abcdef"

QUICK = {
    "timeout": 5.0,
    "retries": 2,
    "backoff": 0.001,
    "max_failed_share": 1.0,
    "max_concurrency": 4,
}


class MaskerBench:
    """A masker, its server, its cache, and what it reports as spent."""

    def __init__(self, server: Server, folder: Path, **config: Any) -> None:
        self.server = server
        self.data = DataStore(cache_dir=folder, offline=False, domains=BUILT_IN)
        self.progress: list[tuple[int, int, str]] = []
        self.used: list[MaskUsage] = []
        self._config = {"base_url": server.base_url, **QUICK, **config}

    def masker(self, **config: Any) -> OpenAIMasker:
        return OpenAIMasker(OpenAIConfig.model_validate({**self._config, **config}))

    def request(self, *texts: str, data: DataStore | None = None) -> MaskRequest:
        return MaskRequest(
            passages=tuple(passage(i, text) for i, text in enumerate(texts)),
            domain="gender",
            data=data or self.data,
            progress=lambda *args: self.progress.append(args),
            account=self.used.append,
        )

    def mask(self, *texts: str, **config: Any) -> list[MaskedPassage]:
        return list(self.masker(**config).mask(self.request(*texts)))

    def report(self) -> dict[str, Any]:
        (path,) = (self.data.cache_dir / "openai-masks" / "reports").glob("*.json")
        report: dict[str, Any] = json.loads(path.read_text())
        return report


def passage(i: int, text: str) -> Passage:
    return Passage(id=f"p{i}", text=text, domain="gender", label="hateful", split="train")


def masked_words(answer: MaskedPassage) -> list[str]:
    return [answer.passage.text[span.start : span.end] for span in answer.spans]

"""Fixtures: tiny models built in code, the real small model, the real data, a cache of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from harness_corpora.domains import BUILT_IN
from model_cache import MODEL_CACHE

from harness.data.places import DataStore
from harness.lm.handle import LanguageModel
from harness.testing import tiny_causal_model, tiny_masked_model

REPO = Path(__file__).resolve().parent.parent

if "PYTEST_XDIST_WORKER" in os.environ:
    # one process a core: more threads would only wait for each other. Read when torch is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes into the user's cache, except that converted models are shared."""
    cache = tmp_path / "cache"
    cache.mkdir()
    MODEL_CACHE.mkdir(parents=True, exist_ok=True)
    (cache / "models").symlink_to(MODEL_CACHE, target_is_directory=True)
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.delenv("HARNESS_DATA", raising=False)


@pytest.fixture
def tiny_causal() -> LanguageModel:
    """A fresh GPT-2 of two layers and width 32."""
    return tiny_causal_model()


@pytest.fixture
def tiny_masked() -> LanguageModel:
    """A fresh BERT of two layers and width 32."""
    return tiny_masked_model()


@pytest.fixture(scope="session")
def smollm2() -> LanguageModel:
    """The real default model, shared by all tests: one that changes it takes a ``copy()``."""
    from harness_models.smollm2 import SmolLM2

    from harness.types import LoadRequest

    return SmolLM2(SmolLM2.Config()).load(LoadRequest(cache_dir=MODEL_CACHE))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real benchmark data beside the checkout."""
    return REPO.parent / "shared" / "data"


@pytest.fixture
def data_store(shared_data: Path, tmp_path: Path) -> DataStore:
    """The real data and an empty cache; nothing is fetched."""
    return DataStore(
        data_dir=shared_data, cache_dir=tmp_path / "cache", offline=True, domains=BUILT_IN
    )

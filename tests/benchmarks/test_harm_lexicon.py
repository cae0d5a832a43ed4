"""The derived harm lexicon: it is what its command makes, and it separates held-out passages."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fresh_env import REPO
from harness_maskers import harm_lexicon

SHARED = REPO.parent / "shared" / "data"


@pytest.fixture(scope="module")
def command() -> ModuleType:
    path = REPO / "benchmarks" / "harm_lexicon.py"
    found = importlib.util.spec_from_file_location("harm_lexicon_command", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def texts(command: ModuleType) -> list[Any]:
    path: Path = SHARED / "dghs" / "dghs.csv"
    read: list[Any] = command.read(path)
    return read


def test_lexicon_is_what_the_train_split_gives(command: ModuleType, texts: list[Any]) -> None:
    derived = command.derive(text for text in texts if text.split == "train")
    assert harm_lexicon.FILE.read_text(encoding="utf-8") == command.written(derived)
    assert dict(harm_lexicon.derived_terms()) == derived
    assert all(weight > 0 for weight in derived.values())


def test_lexicon_separates_held_out_passages(command: ModuleType, texts: list[Any]) -> None:
    """EVIDENCE E21. The test split chose neither words nor thresholds."""
    test = [text for text in texts if text.split == "test"]
    derived = command.measure(harm_lexicon.derived_terms(), test)
    assert derived.recall > 2 * derived.false_alarms
    assert derived.precision > derived.base_rate + 0.15
    by_hand = command.measure(harm_lexicon.TERMS, test)
    assert by_hand.precision < by_hand.base_rate  # what the documentation says of that list
    for domain in ("gender", "race", "religion"):
        subset = list(filter(command.naming(domain), test))
        found = command.measure(harm_lexicon.derived_terms(), subset)
        assert found.precision > found.base_rate + 0.05


def test_figures_of_the_page_are_those_of_the_command(
    command: ModuleType, texts: list[Any]
) -> None:
    page = (REPO / "docs" / "mask-rules.md").read_text(encoding="utf-8")
    test = [text for text in texts if text.split == "test"]
    for domain in ("all", "gender"):
        subset = test if domain == "all" else list(filter(command.naming(domain), test))
        for name, terms in (
            ("dghs", harm_lexicon.derived_terms()),
            ("builtin", harm_lexicon.TERMS),
        ):
            assert command.row(domain, name, terms, subset) in page


def test_log_odds_with_a_prior(command: ModuleType) -> None:
    """By hand, from eqs. 16 and 20 of Monroe et al. with a prior of 1000 pseudo-words."""
    ratio, z = command.log_odds(30, 10, 20_000, 30_000, 0.8)
    expected = math.log(30.8 / (21_000 - 30.8)) - math.log(10.8 / (31_000 - 10.8))
    assert ratio == pytest.approx(expected)
    assert z == pytest.approx(expected / math.sqrt(1 / 30.8 + 1 / 10.8))
    same, _ = command.log_odds(20, 30, 20_000, 30_000, 1.0)
    assert abs(same) < 0.01  # the same rate in both
    rare, _ = command.log_odds(1, 0, 20_000, 30_000, 1000 / 50_000)
    _, rare_z = command.log_odds(1, 0, 20_000, 30_000, 1000 / 50_000)
    assert rare > 0
    assert rare_z < 1  # one occurrence is no evidence

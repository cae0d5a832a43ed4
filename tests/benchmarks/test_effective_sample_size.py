"""The relative information of scores, against the power that it promises."""

from __future__ import annotations

import importlib.util
import math
import sys
from types import ModuleType

import numpy as np
import pytest
from fresh_env import REPO

from harness.arrays import Floats
from harness.estimators import Preference, Sample


def _benchmark() -> ModuleType:
    path = REPO / "benchmarks" / "effective_sample_size.py"
    spec = importlib.util.spec_from_file_location("effective_sample_size", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["effective_sample_size"] = module
    spec.loader.exec_module(module)
    return module


benchmark = _benchmark()


def sample(margins: Floats, reference: tuple[float, ...] = ()) -> Sample:
    none: list[str | None] = [None] * len(margins)
    values = np.stack([margins, np.zeros(len(margins))], axis=1)
    return Sample(values, [str(i) for i in range(len(margins))], none, none, reference)


def drawn(rng: np.random.Generator, n: int, effect: float) -> tuple[Sample, Sample]:
    """A base, and a model whose margins are shifted and moved by heavy-tailed noise."""
    base = rng.normal(0.0, 1.0, n)
    after = base + 0.3 * rng.standard_t(3, n) + effect
    reference = Preference().reference(sample(base))
    return sample(base), sample(after, reference)


def test_the_ratio_is_how_many_more_items_the_sign_score_needs() -> None:
    """With as many times more items, its t statistic is as large as the preference's."""
    several = [
        benchmark.efficiency("s", *drawn(np.random.default_rng(k), 400, 0.0)) for k in range(30)
    ]
    relative = np.mean([own.relative["preference"] for own in several])

    def t(values: Floats) -> float:
        return float(values.mean() / values.std(ddof=1) * math.sqrt(len(values)))

    few, many = 200, round(200 * float(relative))
    preference, sign = [], []
    for k in range(300):
        base, after = drawn(np.random.default_rng([1, k]), few, 0.1)
        estimator = Preference()
        known = base._replace(reference=after.reference)
        preference.append(t((estimator.components(after) - estimator.components(known))[0]))
        base, after = drawn(np.random.default_rng([2, k]), many, 0.1)
        before, now = ((own.values[:, 0] > 0).astype(float) for own in (base, after))
        sign.append(t(now - before))
    assert relative > 1.5
    assert np.mean(sign) == pytest.approx(np.mean(preference), rel=0.15)


def test_the_published_runs_favour_the_continuous_scores(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = benchmark.main([str(REPO / "results" / "study-smollm2")])
    assert "relative to the sign score" in capsys.readouterr().out
    for suite in found.values():
        assert suite[benchmark.SIGN] == 1.0
        assert suite["preference"] > 2.0

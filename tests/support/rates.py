"""Rates over many drawn data sets: how often an interval covers, and how far that may be off."""

from __future__ import annotations

import math

import numpy as np

from harness.analysis.effects import Block, Effect
from harness.analysis.stats import influence, t_quantile
from harness.arrays import Floats


def slack(sets: int, rate: float = 0.95) -> float:
    """Three standard errors of a rate over so many data sets."""
    return 3.0 * math.sqrt(rate * (1.0 - rate) / sets)


def jackknife_of_means(values: Floats) -> Floats:
    """Influence of each unit on the mean, shape ``(…, units)``."""
    n = values.shape[-1]
    total = values.sum(axis=-1, keepdims=True)
    return influence((total - values) / (n - 1))


def covered(values: Floats, variance: Floats, df: Floats | float, truth: float = 0.0) -> Floats:
    reach = np.array([t_quantile(float(d)) for d in np.broadcast_to(df, values.shape)])
    inside: Floats = np.abs(values - truth) <= reach * np.sqrt(variance)
    return inside


def two_way(
    rng: np.random.Generator, sets: int, fits: int, items: int, spread: float = 0.3
) -> Floats:
    """Changes of heavy-tailed items in fits, shape ``(sets, fits, items)``; the mean is 0."""
    a = rng.standard_t(3, (sets, 1, items))
    b = rng.normal(0, spread, (sets, fits, 1))
    return a + b + rng.normal(0, 0.7, (sets, fits, items))


def block(values: Floats, fits: tuple[str, ...], units: tuple[str, ...]) -> Effect:
    """An effect of changes, shape ``(fits, items)``."""
    return Effect((Block(fits, units, values.mean(axis=1), jackknife_of_means(values)),))

"""Slopes and means with errors over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike


def log_slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least-squares slope of log y against log x (NaN for fewer than two points)."""
    u, v = np.log(np.asarray(x, dtype=float)), np.log(np.asarray(y, dtype=float))
    if len(u) < 2:
        return math.nan
    return float(np.polyfit(u, v, 1)[0])


def mean_and_error(values: ArrayLike) -> tuple[float | None, float | None]:
    """Mean of one number per seed and its standard error, which a single seed does not have."""
    sample = np.asarray(values, dtype=float)
    if len(sample) == 0:
        return None, None
    if len(sample) == 1:
        return float(sample[0]), None
    return float(sample.mean()), float(sample.std(ddof=1) / math.sqrt(len(sample)))


def means_and_errors(samples: Iterable[ArrayLike]) -> tuple[list[float], list[float]]:
    """Means of several samples and their standard errors, 0 where a single seed gives none."""
    pairs = [mean_and_error(sample) for sample in samples]
    return (
        [math.nan if mean is None else mean for mean, _ in pairs],
        [error or 0.0 for _, error in pairs],
    )

"""Distributions of overlaps and gaps, and the exponents with which they vanish or diverge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from symscape._arguments import integer

__all__ = [
    "ExponentFit",
    "LogHistogram",
    "fit_exponent",
    "log_histogram",
    "p_minus",
    "p_plus",
]

_LARGEST_RATE = 200.0  # by absolute value, of a density over the width of the window

Array = NDArray[np.float64]


def p_plus(overlaps: ArrayLike) -> Array:
    r"""Rescaled overlaps ``z = Delta / sqrt(L)`` of the unsatisfied patterns, sorted.

    ``L = (1/P) sum_{Delta > 0} Delta^2 / 2`` with P the number of all patterns given. Their
    density behaves as ``P_+(z) ~ z^theta`` (paper A, Sec. VI, Fig. 8). Empty where every pattern
    is satisfied.

    Args:
        overlaps: ``Delta`` of every pattern of one run, satisfied or not, ``(P,)``.
    """
    values = _finite(overlaps, "overlaps")
    positive = values[values > 0]
    if positive.size == 0:
        return positive
    loss = 0.5 * np.sum(positive**2) / values.size
    return np.sort(positive / math.sqrt(loss))


def p_minus(overlaps: ArrayLike) -> Array:
    r"""Gaps ``|Delta|`` of the satisfied patterns, sorted; ``P_-(Delta) ~ |Delta|^-gamma``.

    Paper A, Sec. VI, Fig. 8.

    Args:
        overlaps: ``Delta`` of every pattern of one run, satisfied or not, ``(P,)``.
    """
    values = _finite(overlaps, "overlaps")
    return np.sort(-values[values < 0])


@dataclass(frozen=True)
class LogHistogram:
    """A density in logarithmic bins, averaged over runs.

    Attributes:
        edges: bin edges, ``(B + 1,)``.
        density: density per unit of the variable (not of its logarithm), ``(B,)``; normalized to
            the fraction of all values that fall inside the edges.
        error: standard error over runs, ``(B,)``; the Poisson error where there is one run.
        counts: values per bin, all runs together, ``(B,)``.
    """

    edges: Array
    density: Array
    error: Array
    counts: NDArray[np.int64]

    @property
    def centers(self) -> Array:
        """Geometric centers of the bins, ``(B,)``."""
        return np.sqrt(self.edges[:-1] * self.edges[1:])


def log_histogram(
    runs: Sequence[ArrayLike], low: float, high: float, bins_per_decade: int = 8
) -> LogHistogram:
    """Histogram of positive values in logarithmic bins; each element of ``runs`` is one run.

    Args:
        runs: one array of positive values per independent run.
        low: lowest edge, > 0.
        high: highest edge, > ``low``.
        bins_per_decade: number of bins per factor of ten.

    Raises:
        ValueError: no runs or no values, edges not 0 < low < high, ``bins_per_decade`` < 1.
    """
    samples = _samples(runs)
    _window((low, high))
    bins_per_decade = integer("bins_per_decade", bins_per_decade, 1)
    bins = max(1, round(bins_per_decade * math.log10(high / low)))
    edges = np.geomspace(low, high, bins + 1)
    counts = np.stack([np.histogram(sample, edges)[0] for sample in samples])
    sizes = np.array([sample.size for sample in samples])
    total = counts.sum(0)
    widths = np.diff(edges)
    density = total / (sizes.sum() * widths)
    if len(samples) > 1:
        # Ratio estimator with runs as clusters: the error of sum(counts) / sum(sizes).
        residual = counts - sizes[:, None] * (total / sizes.sum())
        spread = np.sqrt((residual**2).sum(0) * len(samples) / (len(samples) - 1))
    else:
        spread = np.sqrt(total)
    return LogHistogram(edges, density, spread / (sizes.sum() * widths), total)


@dataclass(frozen=True)
class ExponentFit:
    """Exponent ``a`` of a density ``p(v) ~ v^a`` in a stated window.

    Attributes:
        exponent: ``a``; theta for overlaps, ``-gamma`` for gaps.
        error: one standard deviation.
        error_kind: "bootstrap over runs", or "single run" where only one run was given: then the
            error is that of independent values, a lower bound.
        window: the interval (low, high) of values used.
        n_values: number of values inside the window.
        n_runs: number of runs with at least one value inside the window.
    """

    exponent: float
    error: float
    error_kind: str
    window: tuple[float, float]
    n_values: int
    n_runs: int


def fit_exponent(
    runs: Sequence[ArrayLike],
    window: tuple[float, float],
    *,
    resamples: int = 400,
    seed: int = 0,
) -> ExponentFit:
    r"""Maximum-likelihood exponent of ``p(v) = (a+1) v^a / (high^(a+1) - low^(a+1))``.

    The values of one run are correlated, so runs are resampled whole (cluster bootstrap). No
    binning is involved: the sufficient statistic is the mean of ``log v`` inside the window.
    Resamples whose values crowd at one end of the window have no exponent and are left out.

    Args:
        runs: one array of positive values per independent run, e.g. from `p_plus`.
        window: (low, high), 0 < low < high; values outside are not used.
        resamples: number of bootstrap resamples, at least 2.
        seed: seed of the resampling.

    Raises:
        ValueError: fewer than 10 values inside the window, values (or all but one resample) that
            crowd at one end of it, or a wrong window or count.
    """
    low, high = _window(window)
    resamples = integer("resamples", resamples, 2)
    samples = _samples(runs)
    # Position inside the window in units of its logarithmic width, summed per run.
    positions = [np.log(s[(s >= low) & (s <= high)] / low) / math.log(high / low) for s in samples]
    positions = [p for p in positions if p.size]
    sums = np.array([p.sum() for p in positions])
    sizes = np.array([p.size for p in positions])
    n_values = int(sizes.sum()) if positions else 0
    if n_values < 10:
        raise ValueError(f"window {window} holds {n_values} values; at least 10 are needed")
    scale = math.log(high / low)
    mean = float(sums.sum() / n_values)
    if not _has_rate(mean):
        raise ValueError(
            f"window: all values crowd at one end (mean position {mean:.4f} of its logarithmic "
            "width); choose a window that the values fill"
        )
    rate = _rate_of_mean(mean)
    if len(positions) > 1:
        draws = np.random.default_rng(seed).integers(
            len(positions), size=(resamples, len(positions))
        )
        means = sums[draws].sum(1) / sizes[draws].sum(1)
        rates = [_rate_of_mean(m) for m in means if _has_rate(m)]
        if len(rates) < 2:
            raise ValueError(
                f"window: the values of {resamples - len(rates)} of {resamples} resamples crowd at "
                "one end; choose a window that the runs fill, or more resamples"
            )
        error = float(np.std(rates, ddof=1)) / scale
        kind = "bootstrap over runs"
    else:
        error = 1 / math.sqrt(n_values * _variance_of_position(rate)) / scale
        kind = "single run"
    return ExponentFit(
        rate / scale - 1, error, kind, (float(low), float(high)), n_values, len(positions)
    )


def _mean_position(rate: float) -> float:
    """Mean of u in [0, 1] with density proportional to exp(rate * u)."""
    if abs(rate) < 1e-3:
        return 0.5 + rate / 12
    return 1 / -math.expm1(-rate) - 1 / rate


def _variance_of_position(rate: float) -> float:
    """Variance of u in [0, 1] with density proportional to exp(rate * u)."""
    if abs(rate) < 1e-2:
        return 1 / 12 - rate**2 / 240
    return 1 / rate**2 - 0.25 / math.sinh(rate / 2) ** 2


def _has_rate(mean: float) -> bool:
    """Whether some rate within ``_LARGEST_RATE`` has this mean: the ends of [0, 1] have none."""
    return _mean_position(-_LARGEST_RATE) < mean < _mean_position(_LARGEST_RATE)


def _rate_of_mean(mean: float) -> float:
    """Invert `_mean_position`."""
    bound = _LARGEST_RATE
    return float(brentq(lambda rate: _mean_position(rate) - mean, -bound, bound, xtol=1e-12))


def _finite(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64).ravel()
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; got {np.count_nonzero(~np.isfinite(array))} bad")
    return array


def _samples(runs: Sequence[ArrayLike]) -> list[Array]:
    samples = [_finite(run, "runs") for run in runs]
    samples = [sample for sample in samples if sample.size]
    if not samples:
        raise ValueError("runs must hold at least one value; got none")
    smallest = min(float(sample.min()) for sample in samples)
    if smallest <= 0:
        raise ValueError(f"runs must hold positive values; got {smallest}")
    return samples


def _window(window: tuple[float, float]) -> tuple[float, float]:
    low, high = window
    if not 0 < low < high < math.inf:
        raise ValueError(f"window must be 0 < low < high, finite; got {window}")
    return low, high

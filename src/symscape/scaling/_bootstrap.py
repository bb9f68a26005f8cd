"""The cluster bootstrap: whole seeds are drawn with replacement."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A number with the error that its seeds give it.

    Attributes:
        value: the statistic of all seeds.
        error: one standard deviation; None for a single seed.
        n_seeds: how many seeds there are.
    """

    value: float
    error: float | None
    n_seeds: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""Confidence interval ``value`` :math:`\pm t_{S-1}\,` ``error`` (Student's t).

        Raises:
            ValueError: a single seed, or a level outside (0, 1).
        """
        if self.error is None:
            raise ValueError("interval: a single seed has no error bar; 2 or more are needed")
        if not 0 < level < 1:
            raise ValueError(f"level must be in (0, 1); got {level}")
        reach = float(stdtrit(self.n_seeds - 1, 0.5 + level / 2)) * self.error
        return self.value - reach, self.value + reach


def cluster_bootstrap(
    statistic: Callable[..., float],
    *samples: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    r"""A statistic of several seeds, with its error from resampling whole seeds.

    The error is the standard deviation over the resamples times :math:`\sqrt{S/(S-1)}`, which
    makes it the standard error for a mean.

    Args:
        statistic: function of the arrays, as they were given.
        *samples: arrays with the seeds along their first axis, the same number in each.
        resamples: number of resamples.
        seed: of the resampling.

    Raises:
        ValueError: no arrays, different numbers of seeds, or fewer than 2 resamples.
    """
    arrays = [np.asarray(sample) for sample in samples]
    sizes = {len(array) if array.ndim else 0 for array in arrays}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            f"samples must have one number of seeds along the first axis; got {sorted(sizes)}"
        )
    if resamples < 2:
        raise ValueError(f"resamples must be 2 or more; got {resamples}")
    S = sizes.pop()
    value = float(statistic(*arrays))
    if S == 1:
        return Estimate(value, None, 1)
    random = np.random.default_rng(seed)
    values = [
        statistic(*(array[chosen] for array in arrays))
        for chosen in random.integers(S, size=(resamples, S))
    ]
    return Estimate(value, seed_error(values, S), S)


def seed_error(values: ArrayLike, S: int) -> float:
    """Standard deviation over resamples of ``S`` seeds, corrected for their small number."""
    return float(np.std(np.asarray(values, dtype=float))) * math.sqrt(S / (S - 1))


def seed_weights(S: int, resamples: int, seed: int) -> Array:
    """How often each of ``S`` seeds is drawn in each resample: ``(resamples, S)``."""
    random = np.random.default_rng(seed)
    return random.multinomial(S, np.full(S, 1 / S), size=resamples).astype(float)


def log_curves(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Checked ``log x`` (n,), increasing, and ``log y`` (S, n), NaN where a value is missing."""
    x, y = np.asarray(x, dtype=float), np.atleast_2d(np.asarray(y, dtype=float))
    if x.ndim != 1 or y.ndim != 2 or y.shape[1] != len(x) or len(y) == 0:
        raise ValueError(
            f"y must be (seeds, n) or (n,) for x of shape (n,); got {y.shape}, {x.shape}"
        )
    if not np.all(np.isfinite(x)) or np.any(x <= 0) or len(np.unique(x)) != len(x):
        raise ValueError("x must be positive, finite and without repetition")
    given = ~np.isnan(y)
    if np.any(np.isinf(y)) or np.any(y[given] <= 0):
        raise ValueError("y must be positive and finite, or NaN where a value is missing")
    order = np.argsort(x)
    return np.log(x[order]), np.log(y[:, order])


def in_window(u: Array, window: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Which of the ``log x`` lie between the two ends of a window, which are included."""
    if window is None:
        return np.ones(len(u), dtype=bool)
    low, high = window
    if not 0 <= low < high:
        raise ValueError(f"window must be 0 <= low < high; got {window}")
    bottom = math.log(low) if low > 0 else -math.inf
    return np.asarray((u >= bottom - 1e-12) & (u <= math.log(high) + 1e-12))

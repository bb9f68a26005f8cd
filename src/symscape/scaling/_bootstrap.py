"""Curves of several seeds, of which whole seeds are drawn with replacement."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.scaling._estimate import Estimate, bootstrap

Array = NDArray[np.float64]


def cluster_bootstrap(
    statistic: Callable[..., float],
    *samples: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """A statistic of arrays with the seeds along their first axis, see :func:`bootstrap`.

    Args:
        statistic: function of the arrays, as they were given.
        *samples: arrays with the same number of seeds.
        resamples: number of resamples.
        seed: of the resampling.

    Raises:
        ValueError: no arrays, different numbers of seeds, or fewer than 2 resamples.
        NoEstimate: see :func:`bootstrap`.
    """
    arrays = [np.asarray(sample) for sample in samples]
    sizes = {len(array) if array.ndim else 0 for array in arrays}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(
            f"samples must have one number of seeds along the first axis; got {sorted(sizes)}"
        )
    if resamples < 2:
        raise ValueError(f"resamples must be 2 or more; got {resamples}")
    return bootstrap(
        range(sizes.pop()),
        lambda seeds: statistic(*(array[seeds] for array in arrays)),
        resamples=resamples,
        seed=seed,
    )


def seed_weights(S: int, resamples: int, seed: int) -> Array:
    """How often each of ``S`` seeds is drawn in each resample: ``(resamples, S)``."""
    random = np.random.default_rng(seed)
    return random.multinomial(S, np.full(S, 1 / S), size=resamples).astype(float)


def checked_curves(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Checked ``x`` (n,), increasing, and ``y`` (S, n), NaN where a value is missing."""
    x, y = np.asarray(x, dtype=float), np.atleast_2d(np.asarray(y, dtype=float))
    if x.ndim != 1 or y.ndim != 2 or y.shape[1] != len(x) or len(y) == 0:
        raise ValueError(
            f"y must be (seeds, n) or (n,) for x of shape (n,); got {y.shape}, {x.shape}"
        )
    if not np.all(np.isfinite(x)) or len(np.unique(x)) != len(x):
        raise ValueError("x must be finite and without repetition")
    if np.any(np.isinf(y)):
        raise ValueError("y must be finite, or NaN where a value is missing")
    order = np.argsort(x)
    return x[order], y[:, order]


def log_curves(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Checked ``log x`` (n,), increasing, and ``log y`` (S, n), NaN where a value is missing."""
    x, y = checked_curves(x, y)
    if np.any(x <= 0):
        raise ValueError("x must be positive, finite and without repetition")
    if np.any(y[~np.isnan(y)] <= 0):
        raise ValueError("y must be positive and finite, or NaN where a value is missing")
    return np.log(x), np.log(y)


def in_window(u: Array, window: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Which of the ``log x`` lie between the two ends of a window, which are included."""
    if window is None:
        return np.ones(len(u), dtype=bool)
    low, high = window
    if not 0 <= low < high:
        raise ValueError(f"window must be 0 <= low < high; got {window}")
    bottom = math.log(low) if low > 0 else -math.inf
    return np.asarray((u >= bottom - 1e-12) & (u <= math.log(high) + 1e-12))

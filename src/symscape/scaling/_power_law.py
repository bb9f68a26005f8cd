"""Straight lines through per-seed log curves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.scaling._bootstrap import Estimate, in_window, log_curves, seed_error, seed_weights

Array = NDArray[np.float64]


class Extrapolation(NamedTuple):
    """Values of a fitted power law and their relative errors (of the logarithm)."""

    y: Array
    log_error: Array


class LocalExponents(NamedTuple):
    """Slopes between neighboring x: where (geometric mean), slope, error over seeds."""

    x: Array
    exponent: Array
    error: Array


@dataclass(frozen=True)
class PowerLaw:
    r"""A fitted power law :math:`y = A\,x^b`.

    Attributes:
        exponent: the slope b; a decaying curve has a negative one.
        amplitude: A, the geometric mean over seeds.
        statistical: error of b over seeds (cluster bootstrap); None for a single seed.
        systematic: largest change of b in the shorter windows, half the points or more and at
            least 3; None where no window is shorter.
        window: smallest and largest x of the fit.
        n_points: how many x lie in it.
        n_seeds: how many seeds were used.
    """

    exponent: float
    amplitude: float
    statistical: float | None
    systematic: float | None
    window: tuple[float, float]
    n_points: int
    n_seeds: int
    _center: float = field(repr=False)
    _lines: Array = field(repr=False)
    _shorter: Array = field(repr=False)

    @property
    def error(self) -> float | None:
        """Statistical and systematic error, added in quadrature; None if there is neither."""
        parts = [part for part in (self.statistical, self.systematic) if part is not None]
        return math.hypot(*parts) if parts else None

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Statistical confidence interval of the exponent, see :meth:`Estimate.interval`."""
        return Estimate(self.exponent, self.statistical, self.n_seeds).interval(level)

    def predict(self, x: ArrayLike) -> Extrapolation:
        """The power law at any x, with the error of its logarithm.

        The error has the spread of the resampled lines and the largest deviation of the lines
        of shorter windows in it; it grows outside of the window.

        Raises:
            ValueError: x is not positive.
        """
        x = np.atleast_1d(np.asarray(x, dtype=float))
        if not np.all(x > 0):
            raise ValueError("x must be positive")
        u = np.log(x)
        log_y = math.log(self.amplitude) + self.exponent * u

        def values(lines: Array) -> Array:
            return lines[:, :1] + lines[:, 1:] * (u - self._center)

        statistical = np.zeros(len(u))
        if self.n_seeds > 1:
            spread = values(self._lines).std(axis=0)
            statistical = spread * math.sqrt(self.n_seeds / (self.n_seeds - 1))
        drift = np.zeros(len(u))
        if len(self._shorter):
            drift = np.abs(values(self._shorter) - log_y).max(axis=0)
        return Extrapolation(np.exp(log_y), np.hypot(statistical, drift))


def fit_power_law(
    x: ArrayLike,
    y: ArrayLike,
    window: tuple[float, float] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> PowerLaw:
    r"""Fit :math:`y = A\,x^b` by least squares on the log curve of each seed.

    The slope is common and the intercept free for each seed,
    :math:`b=\sum_s S^{uv}_s/\sum_s S^{uu}_s` with :math:`u=\log x, v=\log y`. The statistical
    error resamples seeds, not points, because the points of one curve are correlated. The
    systematic error is the drift of b over windows, see :class:`PowerLaw`.

    Args:
        x: sizes, (n,), positive, in any order.
        y: curves, (seeds, n) or (n,), positive; NaN where a value is missing.
        window: smallest and largest x to use; all if None.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: wrong shapes or signs, or a window with fewer than 2 values in every curve.
    """
    u, v = log_curves(x, y)
    inside = in_window(u, window)
    u, v = u[inside], v[:, inside]
    kept = v[(~np.isnan(v)).sum(axis=1) >= 2]
    if len(kept) == 0:
        raise ValueError(f"window={window} holds fewer than 2 values of x in every curve")
    filled = ~np.isnan(kept).all(axis=0)
    u, v = u[filled], kept[:, filled]
    S, n = v.shape
    center = float(u.mean())
    line = _line(u - center, v, np.ones((1, S)))[0]
    lines = _line(u - center, v, seed_weights(S, resamples, seed))
    shorter = _shorter_windows(u - center, v)
    drift = np.abs(shorter[:, 1] - line[1])
    return PowerLaw(
        exponent=float(line[1]),
        amplitude=math.exp(line[0] - line[1] * center),
        statistical=seed_error(lines[:, 1], S) if S > 1 else None,
        systematic=float(drift.max()) if len(drift) else None,
        window=(math.exp(u[0]), math.exp(u[-1])),
        n_points=n,
        n_seeds=S,
        _center=center,
        _lines=lines,
        _shorter=shorter,
    )


def local_exponents(x: ArrayLike, y: ArrayLike) -> LocalExponents:
    r"""Slopes :math:`\Delta\log y/\Delta\log x` between neighboring x, mean over seeds.

    Args:
        x: sizes, (n,), positive.
        y: curves, (seeds, n) or (n,), positive; NaN where a value is missing.

    Returns:
        Three arrays (n - 1,); the error is NaN where fewer than two seeds have both values.

    Raises:
        ValueError: wrong shapes or signs.
    """
    u, v = log_curves(x, y)
    slopes = np.diff(v, axis=1) / np.diff(u)
    count = (~np.isnan(slopes)).sum(axis=0)
    mean = np.full(len(count), math.nan)
    error = np.full(len(count), math.nan)
    for i, k in enumerate(count):
        if k:
            mean[i] = np.nanmean(slopes[:, i])
        if k > 1:
            error[i] = np.nanstd(slopes[:, i], ddof=1) / math.sqrt(k)
    return LocalExponents(np.exp((u[1:] + u[:-1]) / 2), mean, error)


def _line(u: Array, v: Array, weights: Array) -> Array:
    """Mean height at u = 0 and common slope, one row for each row of weights of the seeds."""
    given = ~np.isnan(v)
    count = given.sum(axis=1)
    us, vs = np.where(given, u, 0.0), np.where(given, v, 0.0)
    u_mean, v_mean = us.sum(axis=1) / count, vs.sum(axis=1) / count
    du = np.where(given, u - u_mean[:, None], 0.0)
    spread, product = (du**2).sum(axis=1), (du * vs).sum(axis=1)
    slope = (weights @ product) / (weights @ spread)
    total = weights.sum(axis=1)
    height = (weights @ v_mean - slope * (weights @ u_mean)) / total
    return np.stack([height, slope], axis=1)


def _shorter_windows(u: Array, v: Array) -> Array:
    """Lines of all shorter windows that hold half of the points, and at least 3."""
    n = len(u)
    length = max(3, math.ceil(n / 2))
    lines = []
    for start in range(n):
        for stop in range(start + length, n + 1):
            part = v[:, start:stop]
            used = (~np.isnan(part)).sum(axis=1) >= 2
            if stop - start < n and used.any():
                chosen = part[used]
                lines.append(_line(u[start:stop], chosen, np.ones((1, len(chosen))))[0])
    return np.array(lines).reshape(-1, 2)

"""Straight lines through per-seed log curves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.scaling._bootstrap import checked_curves, in_window, log_curves, seed_weights
from symscape.scaling._estimate import Estimate, NoEstimate, seed_error, student

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
        if self.statistical is None:
            raise ValueError("interval: a single seed has no error bar; 2 or more are needed")
        error = self.statistical * student(self.n_seeds)
        return Estimate(self.exponent, error, n_seeds=self.n_seeds).interval(level)

    def estimate(self, *, decay: bool = False, note: str = "") -> Estimate:
        """The exponent, or with ``decay`` its negative, with both errors; the note has the window.

        A single seed has no error.
        """
        found = _estimate(
            self.exponent, self.statistical, self.systematic, self.window,
            self.n_points, self.n_seeds, note,
        )  # fmt: skip
        return -found if decay else found

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
        ValueError: wrong shapes or signs; NoEstimate, which is one, where a window holds fewer than
            2 values in every curve.
    """
    u, v = log_curves(x, y)
    fitted = _fit(u, v, in_window(u, window), window, resamples, seed)
    return PowerLaw(
        exponent=fitted.slope,
        amplitude=math.exp(fitted.height - fitted.slope * fitted.center),
        statistical=fitted.statistical,
        systematic=fitted.systematic,
        window=(math.exp(fitted.ends[0]), math.exp(fitted.ends[1])),
        n_points=fitted.n_points,
        n_seeds=fitted.n_seeds,
        _center=fitted.center,
        _lines=fitted.lines,
        _shorter=fitted.shorter,
    )


def slope(
    x: ArrayLike,
    curves: ArrayLike,
    window: tuple[float, float] | None = None,
    *,
    log: bool = True,
    note: str = "",
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Slope of curves, common to the seeds, with a free intercept for each.

    Its error has the spread over resampled seeds, with Student's factor, and the largest drift over
    shorter windows in quadrature.

    Args:
        x: (n,), in any order.
        curves: (seeds, n) or (n,), NaN where a value is missing.
        window: smallest and largest x to use; all if None.
        log: of log y against log x, both positive; else of y against x.
        note: of the estimate.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        NoEstimate: a window with fewer than 2 values in every curve.
        ValueError: wrong shapes or signs.
    """
    if log:
        return fit_power_law(x, curves, window, resamples=resamples, seed=seed).estimate(note=note)
    u, v = checked_curves(x, curves)
    inside = np.ones(len(u), bool) if window is None else (u >= window[0]) & (u <= window[1])
    return _fit(u, v, inside, window, resamples, seed).estimate(note)


@dataclass(frozen=True)
class _Fit:
    """A line through curves, and what its errors come from."""

    ends: tuple[float, float]
    n_points: int
    n_seeds: int
    height: float
    slope: float
    center: float
    lines: Array
    shorter: Array

    @property
    def statistical(self) -> float | None:
        S = self.n_seeds
        return seed_error(self.lines[:, 1], S) if S > 1 else None

    @property
    def systematic(self) -> float | None:
        drift = np.abs(self.shorter[:, 1] - self.slope)
        return float(drift.max()) if len(drift) else None

    def estimate(self, note: str) -> Estimate:
        return _estimate(
            self.slope,
            self.statistical,
            self.systematic,
            self.ends,
            self.n_points,
            self.n_seeds,
            note,
        )


def _estimate(
    slope: float,
    statistical: float | None,
    systematic: float | None,
    ends: tuple[float, float],
    n_points: int,
    n_seeds: int,
    note: str,
) -> Estimate:
    """The slope with both errors, and a note of where they come from."""
    error = None
    said = f"Fit of {n_points} values from {ends[0]:.4g} to {ends[1]:.4g}"
    if statistical is not None:
        statistical *= student(n_seeds)
        error = math.hypot(statistical, systematic or 0.0)
        said += f", {n_seeds} seeds: error over seeds {statistical:.2g}"
        if systematic is not None:
            said += f", drift over windows {systematic:.2g}"
    return Estimate(slope, error, f"{said}.", n_seeds).noted(note)


def _fit(
    u: Array,
    v: Array,
    inside: NDArray[np.bool_],
    window: tuple[float, float] | None,
    resamples: int,
    seed: int,
) -> _Fit:
    u, v = u[inside], v[:, inside]
    kept = v[(~np.isnan(v)).sum(axis=1) >= 2]
    if len(kept) == 0:
        raise NoEstimate(f"The window {window} holds fewer than 2 values in every curve.")
    filled = ~np.isnan(kept).all(axis=0)
    u, v = u[filled], kept[:, filled]
    center, S = float(u.mean()), len(v)
    height, slope = _line(u - center, v, np.ones((1, S)))[0]
    return _Fit(
        ends=(float(u[0]), float(u[-1])),
        n_points=len(u),
        n_seeds=S,
        height=float(height),
        slope=float(slope),
        center=center,
        lines=_line(u - center, v, seed_weights(S, resamples, seed)),
        shorter=_shorter_windows(u - center, v),
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

"""Sums of powers through curves: exponents that a theory gives, or one that is fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.scaling._bootstrap import checked_curves, in_window, seed_weights
from symscape.scaling._estimate import Estimate, NoEstimate, seed_error, student

Array = NDArray[np.float64]

_GRID = 61


@dataclass(frozen=True)
class FixedPowers:
    r"""A fit of :math:`y = c + \sum_k B_k x^{p_k}`.

    Attributes:
        powers: the exponents :math:`p_k`.
        coefficients: :math:`B_k`, in the order of the powers.
        constant: c, the limit of large x where all powers are negative; 0 where none was fitted.
        r_squared: share of the variance of the mean curve that the fit explains.
        window: smallest and largest x of the fit.
        n_points: how many x lie in it.
        n_seeds: how many curves were used.
        exponent: of :func:`fit_free_power`, the exponent with its error; None of given powers.
    """

    powers: tuple[float, ...]
    coefficients: tuple[float, ...]
    constant: float
    r_squared: float
    window: tuple[float, float]
    n_points: int
    n_seeds: int
    exponent: Estimate | None = None
    _draws: Array = field(repr=False, default_factory=lambda: np.zeros((0, 1)))

    def estimate(self, power: float, note: str = "") -> Estimate:
        """The coefficient of a power, 0 for the constant, with its error over seeds.

        Raises:
            ValueError: no such power was fitted.
        """
        if power == 0:
            return self._with_error(self.constant, self._draws[:, 0], note)
        if power not in self.powers:
            raise ValueError(
                f"power: {power!r} given; allowed: 0, {', '.join(map(str, self.powers))}"
            )
        k = self.powers.index(power)
        return self._with_error(self.coefficients[k], self._draws[:, 1 + k], note)

    def predict(self, x: ArrayLike) -> Array:
        """The fitted sum at any positive x."""
        x = np.asarray(x, dtype=float)
        total: Array = self.constant + sum(
            (B * x**p for B, p in zip(self.coefficients, self.powers, strict=True)),
            start=np.zeros_like(x),
        )
        return total

    def _with_error(self, value: float, draws: Array, note: str) -> Estimate:
        S = self.n_seeds
        error = seed_error(draws, S) * student(S) if S > 1 else None
        low, high = self.window
        said = f"Fit of {self.n_points} values from {low:.4g} to {high:.4g}."
        return Estimate(value, error, said, S).noted(note)


def fit_fixed_powers(
    x: ArrayLike,
    curves: ArrayLike,
    powers: Sequence[float],
    constant: bool = True,
    *,
    window: tuple[float, float] | None = None,
    resamples: int = 400,
    seed: int = 0,
) -> FixedPowers:
    r"""Linear least squares of :math:`c + \sum_k B_k x^{p_k}` through the mean curve over seeds.

    Errors come from drawing whole curves with replacement.

    Args:
        x: sizes, (n,), positive, in any order.
        curves: (seeds, n) or (n,), complete.
        powers: the exponents, different from each other and from 0; (-1/2, -3/4) for the excess of
            a test error over its limit.
        constant: whether c is fitted; else it is 0.
        window: smallest and largest x to use; all if None.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        NoEstimate: the window holds fewer than three points, or fewer than coefficients.
        ValueError: wrong shapes or signs, powers that are not different, missing values.

    Source: Ch. 2, paper B, Eq. 9-14.
    """
    exponents = tuple(float(p) for p in powers)
    if not exponents or 0.0 in exponents or len(set(exponents)) < len(exponents):
        raise ValueError(f"powers: {powers!r} given; allowed: different numbers other than 0")
    x, y = _inside(x, curves, window, len(exponents) + constant)
    draws = seed_weights(len(y), resamples, seed) @ y / len(y)
    return _result(x, y, exponents, constant, draws)


def fit_free_power(
    x: ArrayLike,
    curves: ArrayLike,
    constant: bool = True,
    *,
    bounds: tuple[float, float] = (-3.0, -0.02),
    window: tuple[float, float] | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> FixedPowers:
    r"""Least squares of :math:`c + B x^p` with a free exponent p, through the mean curve.

    For every p the other numbers follow by linear least squares, so that only p is searched. With
    ``constant`` this extrapolates: c is the limit of large x of a decaying curve.

    Args:
        x: sizes, (n,), positive, in any order.
        curves: (seeds, n) or (n,), complete.
        constant: whether c is fitted; else it is 0.
        bounds: smallest and largest p. A fit that ends at one of them has no estimate.
        window: smallest and largest x to use; all if None.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The fit, with its ``exponent``.

    Raises:
        NoEstimate: the window holds fewer than three points, or no more points than numbers to be
            fitted, or no exponent within the bounds fits best.
        ValueError: wrong shapes or signs, missing values, bounds in the wrong order.

    Source: Ch. 2, paper B, Figs. 2 and 6.
    """
    low, high = bounds
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"bounds: {bounds!r} given; allowed: two finite numbers in order")
    x, y = _inside(x, curves, window, 3 + constant)
    p = _best_power(x, y.mean(axis=0), constant, low, high)
    if p is None:
        raise NoEstimate(f"No exponent from {low:g} to {high:g} fits best.")
    rows, exponents = [], []
    for row in seed_weights(len(y), resamples, seed) @ y / len(y) if len(y) > 1 else ():
        drawn = _best_power(x, row, constant, low, high)
        if drawn is not None:
            rows.append(row)
            exponents.append(drawn)
    lost = resamples - len(rows) if len(y) > 1 else 0
    if lost > resamples / 2:
        raise NoEstimate(f"{lost} of {resamples} resamples of the {len(y)} seeds have no exponent.")
    fit = _result(x, y, (p,), constant, np.zeros((0, len(x))))
    draws = np.array(
        [_coefficients(x, row, (q,), constant) for row, q in zip(rows, exponents, strict=True)]
    ).reshape(-1, 2)
    said = f"{lost} of {resamples} resamples gave no exponent." if lost else ""
    fit = replace(fit, _draws=draws)
    return replace(fit, exponent=fit._with_error(p, np.array(exponents), said))


def _inside(
    x: ArrayLike, curves: ArrayLike, window: tuple[float, float] | None, least: int
) -> tuple[Array, Array]:
    """The points of complete curves that lie in a window."""
    x, y = checked_curves(x, curves)
    if x[0] <= 0:
        raise ValueError("x must be positive, finite and without repetition")
    inside = in_window(np.log(x), window)
    x, y = x[inside], y[:, inside]
    if np.isnan(y).any():
        raise ValueError("curves: values are missing; this fit needs complete curves")
    if len(x) < max(3, least):
        where = "" if window is None else f" in [{window[0]:g}, {window[1]:g}]"
        raise NoEstimate(f"The fit needs {max(3, least)} points{where}; there are {len(x)}.")
    return x, y


def _result(
    x: Array, y: Array, powers: tuple[float, ...], constant: bool, draws: Array
) -> FixedPowers:
    """The fit to the mean of curves y, and the coefficients of resampled means."""
    mean = y.mean(axis=0)
    found = _coefficients(x, mean, powers, constant)
    residual = mean - _values(x, found, powers)
    total = float(((mean - mean.mean()) ** 2).sum())
    drawn = [_coefficients(x, row, powers, constant) for row in draws]
    return FixedPowers(
        powers=powers,
        coefficients=tuple(float(B) for B in found[1:]),
        constant=float(found[0]),
        r_squared=1.0 - float((residual**2).sum()) / total if total > 0 else math.nan,
        window=(float(x[0]), float(x[-1])),
        n_points=len(x),
        n_seeds=len(y),
        _draws=np.array(drawn).reshape(-1, 1 + len(powers)),
    )


def _coefficients(x: Array, y: Array, powers: tuple[float, ...], constant: bool) -> Array:
    """c and B_k; the columns are scaled to 1 at the middle, so that powers of large x fit too."""
    middle = math.exp(float(np.log(x).mean()))
    columns = [(x / middle) ** p for p in powers]
    if constant:
        columns.insert(0, np.ones_like(x))
    found = np.linalg.lstsq(np.stack(columns, 1), y, rcond=None)[0]
    scale = middle ** -np.array(powers)
    c, B = (found[0], found[1:]) if constant else (0.0, found)
    return np.concatenate([[c], B * scale])


def _values(x: Array, found: Array, powers: tuple[float, ...]) -> Array:
    total: Array = found[0] + x[:, None] ** np.array(powers) @ found[1:]
    return total


def _best_power(x: Array, y: Array, constant: bool, low: float, high: float) -> float | None:
    """The exponent of the least squares; None if it lies at a bound."""
    from scipy.optimize import minimize_scalar

    def cost(p: float) -> float:
        residual = y - _values(x, _coefficients(x, y, (p,), constant), (p,))
        return float(residual @ residual)

    grid = np.linspace(low, high, _GRID)
    # exponent 0 is the constant
    costs = [cost(p) if p != 0 else math.inf for p in grid]
    best = int(np.argmin(costs))
    if best in (0, _GRID - 1):
        return None
    found = minimize_scalar(
        cost, bounds=(grid[best - 1], grid[best + 1]), method="bounded", options={"xatol": 1e-9}
    )
    return float(found.x)

"""Finite-size scaling: curves of several sizes on one master curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.scaling._bootstrap import checked_curves, log_curves
from symscape.scaling._estimate import seed_error

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """The curves of one size.

    Attributes:
        size: the size s, positive.
        x: (n,), positive.
        y: (seeds, n) or (n,), positive unless it is compared as it is (``log=False``).
    """

    size: float
    x: ArrayLike
    y: ArrayLike


@dataclass(frozen=True)
class Collapse:
    r"""Exponents with which :math:`s^q\,y` is one function of :math:`s^p\,x`.

    Attributes:
        p: exponent of the rescaling of x.
        q: exponent of the rescaling of y.
        p_error: error over seeds; None for a single seed, 0 where p was given.
        q_error: the same of q.
        residual: root mean square distance of log y (of y with ``log=False``) from the other
            curves, after the collapse.
        before: the same without rescaling, p = q = 0.
    """

    p: float
    q: float
    p_error: float | None
    q_error: float | None
    residual: float
    before: float


def fit_collapse(
    curves: Sequence[Curve],
    p: float | None = None,
    q: float | None = None,
    *,
    log: bool = True,
    resamples: int = 50,
    seed: int = 0,
) -> Collapse:
    r"""Find p and q so that :math:`s^q\,y` against :math:`s^p\,x` falls on one curve.

    Every point is compared with the linear interpolation, in logarithms, of every other curve that
    reaches its abscissa. The mean square is divided by the share of the pairs that can be compared,
    so that curves are not pushed apart. Errors: seeds are resampled within each size.

    Curves that reach zero, as errors rescaled from 0 to 1 do, are compared in y itself with
    ``log=False``; q must then be given, because a rescaling to nothing would collapse everything.

    Args:
        curves: two sizes or more, each with two or more points; seeds are averaged in log y.
        p: the exponent of x if it is known; fitted if None.
        q: the exponent of y if it is known; fitted if None.
        log: compare log y; else y. The abscissa is log x in both.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than two sizes, wrong shapes or signs, nothing left to fit.
    """
    if len({float(curve.size) for curve in curves}) < 2 or min(c.size for c in curves) <= 0:
        raise ValueError(f"curves: two positive sizes are needed; got {[c.size for c in curves]}")
    if p is not None and q is not None:
        raise ValueError(f"p={p} and q={q} are both given; one at least must be None, to be fitted")
    if not log and q is None:
        raise ValueError("q: None given with log=False; allowed: a number")
    data = [(math.log(c.size), *(log_curves if log else _with_log_x)(c.x, c.y)) for c in curves]
    if any(len(u) < 2 or np.isnan(v).any() for _, u, v in data):
        raise ValueError("curves: each needs two values of x or more, and none may be missing")
    before = _cost([(s, u, v.mean(axis=0)) for s, u, v in data], 0.0, 0.0)
    given = q
    if not log and q is not None:
        # y is multiplied once and for all; in log y the search adds q log s
        data, q = [(s, u, math.exp(q * s) * v) for s, u, v in data], 0.0
    mean = [(s, u, v.mean(axis=0)) for s, u, v in data]
    found = _search(mean, p, q, _start(mean, p, q))
    p_error, q_error = (0.0 if p is not None else None), (0.0 if q is not None else None)
    if min(len(v) for _, _, v in data) > 1:
        random = np.random.default_rng(seed)
        draws = []
        for _ in range(resamples):
            drawn = [
                (s, u, v[random.integers(len(v), size=len(v))].mean(axis=0)) for s, u, v in data
            ]
            draws.append(_search(drawn, p, q, found))
        smallest = min(len(v) for _, _, v in data)
        p_error, q_error = (seed_error(column, smallest) for column in np.array(draws).T)
    residual = math.sqrt(_cost(mean, *found))
    reported = found[1] if given is None else given
    return Collapse(found[0], reported, p_error, q_error, residual, math.sqrt(before))


def _with_log_x(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Checked ``log x`` and ``y``."""
    x, y = checked_curves(x, y)
    if x[0] <= 0:
        raise ValueError("x must be positive, finite and without repetition")
    return np.log(x), y


_Curves = Sequence[tuple[float, Array, Array]]


def _cost(curves: _Curves, p: float, q: float) -> float:
    """Mean square distance from the other curves over the share of points that can be compared."""
    moved = [(u + p * s, v + q * s) for s, u, v in curves]
    total, compared, possible = 0.0, 0, 0
    for i, (u, v) in enumerate(moved):
        for j, (other_u, other_v) in enumerate(moved):
            if i == j:
                continue
            inside = (u >= other_u[0]) & (u <= other_u[-1])
            difference = v[inside] - np.interp(u[inside], other_u, other_v)
            total += float(difference @ difference)
            compared += int(inside.sum())
            possible += len(u)
    return total / compared * (possible / compared) if compared else math.inf


def _start(curves: _Curves, p: float | None, q: float | None) -> tuple[float, float]:
    """The best point of a grid: the cost has local minima."""
    grid = np.linspace(-3, 3, 25)
    choices = [
        (float(a), float(b))
        for a in ([p] if p is not None else grid)
        for b in ([q] if q is not None else grid)
    ]
    return min(choices, key=lambda pair: _cost(curves, *pair))


def _search(
    curves: _Curves, p: float | None, q: float | None, start: tuple[float, float]
) -> tuple[float, float]:
    from scipy.optimize import minimize

    free = [value for value, given in zip(start, (p, q)) if given is None]

    def pair(values: Sequence[float]) -> tuple[float, float]:
        rest = list(values)
        return (
            p if p is not None else float(rest.pop(0)),
            q if q is not None else float(rest.pop(0)),
        )

    simplex = np.array([free, *(np.array(free) + 0.2 * row for row in np.eye(len(free)))])
    found = minimize(
        lambda values: _cost(curves, *pair(values)),
        free,
        method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-12, "maxiter": 300, "initial_simplex": simplex},
    )
    return pair(found.x)

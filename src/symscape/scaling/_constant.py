"""Does a curve level off: a power law plus a constant against a power law."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.scaling._bootstrap import in_window, log_curves, seed_weights
from symscape.scaling._estimate import seed_error

Array = NDArray[np.float64]

_LARGEST_EXPONENT = 20.0


@dataclass(frozen=True)
class ConstantTest:
    r"""The outcome of :func:`constant_test` for :math:`y = A\,x^b + c`.

    Attributes:
        constant: c; negative where the log curve bends downward.
        error: its error over seeds (cluster bootstrap).
        exponent: b of the fit with the constant.
        amplitude: A.
        p_value: probability of so much curvature, of either sign, if c = 0.
    """

    constant: float
    error: float
    exponent: float
    amplitude: float
    p_value: float

    def prefers_constant(self, significance: float = 0.05) -> bool:
        """Whether a pure power law is refused."""
        return self.p_value < significance


def constant_test(
    x: ArrayLike,
    y: ArrayLike,
    window: tuple[float, float] | None = None,
    *,
    resamples: int = 200,
    seed: int = 0,
) -> ConstantTest:
    r"""Test a power law plus constant, :math:`A x^b + c`, against a power law.

    To first order in c the constant adds :math:`c\,x^{-b}/A` to the log curve. The part of it that
    no straight line describes is projected on the curve of each seed; under c = 0 the projections
    have mean 0, which is tested with Student's t over seeds; a spread below the rounding counts as
    the rounding. Seeds are independent however the
    points of one curve are correlated. The constant itself is fitted to the mean log curve.

    Args:
        x: sizes, (n,), n >= 4 in the window.
        y: curves, (seeds, n), positive, at least 3 seeds.
        window: smallest and largest x to use; all if None.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: wrong shapes or signs, missing values, fewer than 4 sizes or 3 seeds.
    """
    from scipy.special import stdtr

    u, v = log_curves(x, y)
    inside = in_window(u, window)
    u, v = u[inside], v[:, inside]
    S, n = v.shape
    if n < 4 or S < 3:
        raise ValueError(f"y: 4 sizes in the window and 3 seeds are needed; got {n} and {S}")
    if np.isnan(v).any():
        raise ValueError("y: values are missing; this test needs complete curves")
    center = float(u.mean())
    u = u - center
    slope = float(u @ v.mean(axis=0) / (u @ u))
    direction = np.exp(-slope * u)
    # What rounding makes of the scores of exact power laws.
    floor = 1e-12 * float(np.linalg.norm(direction)) * (1 + float(np.abs(v).max()))
    direction -= direction.mean() + u * float(u @ direction / (u @ u))
    scores = v @ direction
    spread = max(float(scores.std(ddof=1)), floor)
    t = float(scores.mean()) / (spread / math.sqrt(S))
    constant, exponent, amplitude = _fit(u, v.mean(axis=0))
    drawn = [_fit(u, w @ v / S)[0] for w in seed_weights(S, resamples, seed)]
    return ConstantTest(
        constant=constant,
        error=seed_error(drawn, S),
        exponent=exponent,
        amplitude=amplitude * math.exp(-exponent * center),
        p_value=2 * float(stdtr(S - 1, -abs(t))),
    )


def _fit(u: Array, v: Array) -> tuple[float, float, float]:
    """c, b, A with the least squares of ``v - log(A e^(b u) + c)``.

    For a given c the other two follow from a line through ``log(e^v - c)``, weighted by the
    derivative of ``v``, so that only c is searched.
    """
    from scipy.optimize import minimize_scalar

    y = np.exp(v)
    low = float(y.min())

    def line(share: float) -> tuple[float, float, float, float]:
        c = share * low
        rest = y - c
        weight = (rest / y) ** 2
        z = np.log(rest)
        total = weight.sum()
        um, zm = weight @ u / total, weight @ z / total
        b = float(weight @ ((u - um) * (z - zm)) / (weight @ (u - um) ** 2))
        b = max(-_LARGEST_EXPONENT, min(_LARGEST_EXPONENT, b))
        A = math.exp(zm - b * um)
        residual = v - np.log(np.maximum(A * np.exp(b * u) + c, 1e-300))
        return float(residual @ residual), c, b, A

    # c runs from far below zero, where the curve bends downward, up to the smallest value.
    ends = [
        minimize_scalar(
            lambda share: line(share)[0],
            bounds=bounds,
            method="bounded",
            options={"xatol": 1e-10},
        )
        for bounds in ((-3.0, 0.5), (0.0, 0.999999))
    ]
    best = min(ends, key=lambda found: found.fun)
    _, c, b, A = line(float(best.x))
    return c, b, A

"""The perceptron of largest margin: a norm whose divergence at jamming is known exactly."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MaxMargin", "inverse_margin", "max_margin"]

Array = NDArray[np.float64]

# a distance this close to 0 is that of constraints that contradict each other
_CONTRADICTION = 1e-8


class MaxMargin(NamedTuple):
    r"""The shortest w with :math:`y_\mu w\cdot x_\mu \ge 1`.

    Attributes:
        margin: :math:`\kappa = 1/\|w\|`; 0 where no w satisfies all constraints.
        w: (N,); NaN where there is none.
    """

    margin: float
    w: Array


def max_margin(x: ArrayLike, y: ArrayLike) -> MaxMargin:
    r"""The perceptron of largest margin of a training set, without bias.

    The least-distance problem of Lawson and Hanson: non-negative multipliers u minimize
    :math:`\|Z^Tu\|^2 + (\sum_\mu u_\mu - 1)^2` with the rows :math:`Z_\mu = y_\mu x_\mu`. The
    residuals r of the N + 1 equations give :math:`w_j = -r_j/r_{N+1}`.

    Args:
        x: points, (P, N).
        y: labels +1 or -1, (P,).

    Raises:
        ValueError: wrong shapes, labels other than +1 and -1, values that are not finite.
    """
    from scipy.optimize import nnls

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 2 or x.size == 0 or y.shape != x.shape[:1]:
        raise ValueError(f"x: shape {x.shape} given with labels {y.shape}; allowed: (P, N), (P,)")
    if not np.isfinite(x).all():
        raise ValueError("x: values that are not finite given; allowed: finite numbers")
    if not (np.abs(y) == 1).all():
        raise ValueError("y: values other than +1 and -1 given; allowed: +1 and -1")
    P, N = x.shape
    equations = np.vstack([(y[:, None] * x).T, np.ones(P)])
    target = np.append(np.zeros(N), 1.0)
    u, distance = nnls(equations, target, maxiter=30 * P)
    if distance <= _CONTRADICTION:
        return MaxMargin(0.0, np.full(N, np.nan))
    residual = equations @ u - target
    w = -residual[:N] / residual[N]
    return MaxMargin(1.0 / float(np.linalg.norm(w)), w)


def inverse_margin(ratio: float) -> float:
    r"""The length :math:`\|w\| = 1/\kappa` for Gaussian points with random labels.

    For large sizes it is a function of N/P > 1/2,

    .. math:: (1+\kappa^2)\Phi(\kappa) + \kappa\varphi(\kappa) = N/P,

    with the normal distribution function :math:`\Phi` and density :math:`\varphi`. Close to
    :math:`N^* = P/2` it is :math:`\sqrt{2/\pi}\,P/(N - N^*)`: it diverges with the exponent -1,
    and is a lower bound for every solution of zero loss.

    Args:
        ratio: N/P.

    Raises:
        ValueError: ratio <= 1/2, where there is no solution.

    Source: E. Gardner, J. Phys. A 21, 257 (1988), as a control of Ch. 2, paper B, Section 6.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    if not 0.5 < ratio < math.inf:
        raise ValueError(f"ratio: {ratio!r} given; allowed: a finite number above 1/2")

    def excess(kappa: float) -> float:
        density = math.exp(-(kappa**2) / 2) / math.sqrt(2 * math.pi)
        return float((1 + kappa**2) * ndtr(kappa) + kappa * density - ratio)

    return 1 / float(brentq(excess, 0.0, 1 + math.sqrt(2 * ratio), xtol=1e-15))

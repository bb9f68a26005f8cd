"""The self-consistent learning curve of kernel regression (Ch. 6, App. I)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Modes:
    r"""Eigenmodes of a kernel with the target's power in them.

    Attributes:
        eigenvalues: :math:`\lambda_\rho`, positive, (modes,).
        power: :math:`\mathbb E\langle Z,\phi_\rho\rangle^2`, (modes,).
        multiplicity: how many modes each entry stands for, (modes,); 1 if None.
    """

    eigenvalues: Array
    power: Array
    multiplicity: Array | None = None


def power_law_modes(
    alpha_T: float, alpha_S: float, d: int, decades: float = 12.0, per_decade: int = 200
) -> Modes:
    r"""Modes :math:`\lambda_\rho=\rho^{-\alpha_S/d}` with power :math:`\rho^{-\alpha_T/d}`.

    The first thousand ranks are single, further ones are gathered in logarithmic bins, so that
    truncation plays no role even for small exponents.

    Args:
        alpha_T: exponent of the Teacher's spectrum.
        alpha_S: exponent of the Student's spectrum.
        d: dimension.
        decades: of ranks.
        per_decade: bins.

    Raises:
        ValueError: an exponent that is not above d.
    """
    if not min(alpha_T, alpha_S) > d >= 1:
        raise ValueError(f"alpha_T and alpha_S must be above d >= 1; got {alpha_T}, {alpha_S}, {d}")
    first = np.arange(1.0, 1001.0)
    edges = np.unique(np.round(np.geomspace(1001, 10**decades, round(per_decade * (decades - 3)))))
    rank = np.concatenate([first, np.sqrt(edges[1:] * edges[:-1])])
    count = np.concatenate([np.ones(len(first)), np.diff(edges)])
    return Modes(rank ** (-alpha_S / d), rank ** (-alpha_T / d), count)


def self_consistent_curve(modes: Modes, n: ArrayLike) -> Array:
    r"""Learning curve of ridgeless regression from the kernel's eigenmodes.

    With t from :math:`\sum_\rho\frac{\lambda_\rho}{t+n\lambda_\rho}=1` and
    :math:`\gamma=\sum_\rho\lambda_\rho^2(1+\lambda_\rho n/t)^{-2}` (eq. 52-54),

    .. math::
        \mathbb E\,\mathrm{MSE}=\Big(1-\frac{n\gamma}{t^2}\Big)^{-1}
        \sum_\rho\frac{\mathbb E\langle Z,\phi_\rho\rangle^2}{(1+\lambda_\rho n/t)^2}.

    It is exact for Gaussian features. For random points it has the right exponent; in one
    dimension, where gaps fluctuate most, it lies some 20 % too low.

    Args:
        modes: eigenvalues and power; more modes than n.
        n: numbers of training points.

    Returns:
        Errors, of the shape of n.

    Raises:
        ValueError: eigenvalues that are not positive, shapes that differ, n not below the number
            of modes.
    """
    lam, power = np.asarray(modes.eigenvalues, float), np.asarray(modes.power, float)
    g = np.ones_like(lam) if modes.multiplicity is None else np.asarray(modes.multiplicity, float)
    if not (lam.shape == power.shape == g.shape) or lam.ndim != 1 or not np.all(lam > 0):
        raise ValueError("modes: three vectors of one length, with positive eigenvalues")
    sizes = np.asarray(n, dtype=float)
    if np.any(sizes <= 0) or np.any(sizes >= g.sum()):
        raise ValueError(f"n must be positive and below {g.sum():g}, the number of modes")
    errors = []
    for size in sizes.ravel():
        ratio = _effective_ridge(lam, g, float(size))  # t / n
        shrink = ratio / (ratio + lam)
        gamma_part = float(size * (g * np.square(lam * shrink)).sum()) / (size * ratio) ** 2
        errors.append(float((g * power * shrink**2).sum()) / (1 - gamma_part))
    return np.array(errors).reshape(sizes.shape)


def _effective_ridge(lam: Array, g: Array, n: float) -> float:
    """t / n, the ridge at which the modes hold n degrees of freedom, by bisection."""
    low, high = np.log(lam.min()) - 50.0, np.log(lam.max() * g.sum())
    for _ in range(200):
        middle = 0.5 * (low + high)
        if float((g * lam / (lam + np.exp(middle))).sum()) > n:
            low = middle
        else:
            high = middle
    return float(np.exp(0.5 * (low + high)))

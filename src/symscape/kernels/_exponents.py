"""Exponents of learning curves in closed form (Ch. 6, Sec. 5, App. H and I)."""

from __future__ import annotations

import math

from symscape._arguments import integer
from symscape.kernels._kernel import Kernel


def learning_exponent(alpha_T: float, alpha_S: float, d: int) -> float:
    r"""Theorem 1: the error decays as :math:`n^{-\beta}` with the exponent
    :math:`\beta=\frac1d\min(\alpha_T-d,2\alpha_S)`.

    Args:
        alpha_T: exponent of the Teacher's spectrum, infinite for a Gaussian.
        alpha_S: exponent of the Student's spectrum.
        d: dimension.

    Raises:
        ValueError: d < 1, or an exponent that is not above d: the variance of the field would
            not be finite.
    """
    _check(d, alpha_T=alpha_T, alpha_S=alpha_S)
    return min(alpha_T - d, 2 * alpha_S) / d


def exponent_of(teacher: Kernel, student: Kernel, d: int) -> float:
    """:func:`learning_exponent` of two kernels."""
    return learning_exponent(teacher.alpha(d), student.alpha(d), d)


def smoothness_index(beta: float, d: int) -> float:
    r"""Derivatives that a field must have for the exponent beta: :math:`s=\beta d/2`.

    Raises:
        ValueError: d < 1, or a negative beta.
    """
    _check(d)
    if not beta >= 0:
        raise ValueError(f"beta must not be negative; got {beta}")
    return beta * d / 2


def in_rkhs(alpha_T: float, alpha_S: float, d: int) -> bool:
    r"""Whether a Teacher's fields have a finite norm in the Student's RKHS.

    :math:`\mathbb E\|Z\|^2_{K_S}=\int\tilde K_T/\tilde K_S\,dw<\infty` if
    :math:`\alpha_T>\alpha_S+d` (App. H); never for the Teacher's own kernel.

    Raises:
        ValueError: as for :func:`learning_exponent`.
    """
    _check(d, alpha_T=alpha_T, alpha_S=alpha_S)
    if math.isinf(alpha_S):
        raise ValueError("alpha_S must be finite; two Gaussians differ by their length scales")
    return alpha_T > alpha_S + d


def density_exponent(alpha: float, d: float) -> float:
    r"""Exponent :math:`\theta=1+d/\alpha` of the density :math:`\lambda^{-\theta}` of eigenvalues.

    Equivalently :math:`\lambda_\rho\sim\rho^{-\alpha/d}`. (The caption of Fig. 9 prints
    :math:`1+\alpha/d`; its numbers are those of this formula.)

    Raises:
        ValueError: d or alpha is not positive.
    """
    if not (d > 0 and alpha > 0):
        raise ValueError(f"d and alpha must be positive; got {d} and {alpha}")
    return 1 + d / alpha


def spectral_exponent(q: float, theta: float) -> float:
    r"""Eq. 62: :math:`\beta=\frac{\min(q-\theta,0)+2}{\theta-1}` for
    :math:`\mathbb Ew^2\sim\lambda^q`.

    For a Gaussian Teacher :math:`q=\alpha_T/\alpha_S-1`, which returns Theorem 1.

    Raises:
        ValueError: theta outside (1, 2), or :math:`q\le\theta-2`, where the sum diverges.
    """
    if not 1 < theta < 2:
        raise ValueError(f"theta must be in (1, 2); got {theta}")
    if not q > theta - 2:
        raise ValueError(f"q must be above theta - 2 = {theta - 2:g}; got {q}")
    return (min(q - theta, 0.0) + 2) / (theta - 1)


def _check(d: int, **alphas: float) -> None:
    integer("d", d, 1)
    for name, alpha in alphas.items():
        if not alpha > d:
            raise ValueError(f"{name} must be above d = {d}, else K(0) is infinite; got {alpha}")

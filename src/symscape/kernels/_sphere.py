"""Eigenmodes of isotropic kernels on the sphere: spherical harmonics, degree by degree."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ive

from symscape._arguments import integer
from symscape.kernels._kernel import Kernel
from symscape.kernels._self_consistent import Modes

Array = NDArray[np.float64]

_INTEGRATED = 300
"""Degrees whose eigenvalue is an integral; further ones follow the power law."""

_SINGLE = 1000
"""Degrees that are kept one by one; further ones are gathered in logarithmic bins."""

_LARGEST = 1e8
_NODES = 1200
_ACCURATE = 1e-12


def sphere_modes(teacher: Kernel, student: Kernel, d: int) -> Modes:
    r"""Modes of a Student, and the Teacher's power in them, on the unit sphere :math:`S^d`.

    Both kernels are diagonal in spherical harmonics. Those of degree k have, with the Gegenbauer
    polynomial :math:`P_k(1)=1` and the uniform measure of the sphere,

    .. math::
        \lambda_k=\int K(2\sin\tfrac\theta2)\,P_k(\cos\theta),\qquad
        N_k=\frac{2k+d-1}{k}\binom{k+d-2}{k-1},\qquad\sum_kN_k\lambda_k=K(0)=1.

    With these modes :func:`self_consistent_curve` gives the learning curve of random points (Ch. 6,
    Fig. 2 and App. I), also where they are so few that its exponent is not yet that of Theorem 1.
    It is the more exact the larger d is: to 1 % for a Laplace pair on :math:`S^5`, but a quarter
    too low on the circle.

    Args:
        teacher: covariance of the field; the power in a mode is its eigenvalue.
        student: kernel of the regression. Modes of a Gaussian below all numbers are left out.
        d: dimension of the sphere.

    Raises:
        ValueError: d < 1.
    """
    d = integer("d", d, 1)
    edges = np.unique(np.round(np.geomspace(_SINGLE, _LARGEST, _SINGLE)))
    k = np.concatenate([np.arange(float(_SINGLE)), np.sqrt(edges[1:] * edges[:-1])])
    count = np.concatenate([np.ones(_SINGLE), np.diff(edges)])
    lam, power = _eigenvalues(student, k, d), _eigenvalues(teacher, k, d)
    held = lam > 0
    return Modes(lam[held], power[held], (count * _multiplicity(k, d))[held])


def _multiplicity(k: Array, d: int) -> Array:
    """Number of harmonics of degree k."""
    k = np.maximum(k, 0.5)  # degree 0 has one, see below
    log = np.log((2 * k + d - 1) / k) + gammaln(k + d - 1) - gammaln(k) - gammaln(d)
    return np.where(k < 1, 1.0, np.exp(log))


def _eigenvalues(kernel: Kernel, k: Array, d: int) -> Array:
    """Eigenvalues at the degrees k, of which the first ones are all integers."""
    shift = (d - 1) / 2
    if math.isinf(kernel.nu):
        z = 1 / kernel.sigma**2
        return math.exp(gammaln((d + 1) / 2)) * (2 / z) ** shift * ive(k + shift, z)
    lam = _integrals(kernel, d)
    accurate = lam > _ACCURATE * lam[0]
    # Beyond, the integral is made of rounding, and the power law is exact to second order in 1/k.
    cut = int(np.argmin(accurate)) if not accurate.all() else len(lam)
    decay = (k[cut:] + shift) / (k[cut - 1] + shift)
    return np.concatenate([lam[:cut], lam[cut - 1] * decay ** -kernel.alpha(d)])


def _integrals(kernel: Kernel, d: int) -> Array:
    """Eigenvalues of the first degrees, by quadrature that is dense where the kernel has a cusp."""
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    u = (node + 1) / 2
    theta = math.pi * u**3
    measure = weight * u**2 * np.sin(theta) ** (d - 1)
    f = measure / measure.sum() * kernel.radial(2 * np.sin(theta / 2))
    t = np.cos(theta)
    before, P = np.ones_like(t), t
    lam = [f.sum(), f @ t]
    for j in range(1, _INTEGRATED - 1):
        before, P = P, ((2 * j + d - 1) * t * P - j * before) / (j + d - 1)
        lam.append(f @ P)
    return np.array(lam)

"""Exponents from data: the spectrum of the Gram matrix and the target in its eigenbasis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import eigsh

from symscape._arguments import integer
from symscape.kernels._kernel import Kernel, points
from symscape.kernels._kernel import values as checked_values
from symscape.scaling import PowerLaw, fit_power_law

Array = NDArray[np.float64]


@dataclass(frozen=True)
class GramSpectrum:
    r"""Eigenvalues of a Gram matrix and the target's coefficients (Ch. 6, Sec. 6).

    Attributes:
        eigenvalues: :math:`\lambda_\rho/\tilde n`, decreasing, (:math:`\tilde n`,): they converge
            to those of the kernel's integral operator.
        power: :math:`(Z\cdot\phi_\rho)^2` with unit eigenvectors, (:math:`\tilde n`,) or
            (:math:`\tilde n`, targets).
    """

    eigenvalues: Array
    power: Array

    @property
    def tail(self) -> Array:
        r"""The sum :math:`T(n)=\sum_{\rho\ge n}(Z\cdot\phi_\rho)^2`, n from 1; T(1) is |Z|^2."""
        return np.flip(np.cumsum(np.flip(self.power, axis=0), axis=0), axis=0)

    def ranks(self, window: tuple[float, float] | None = None) -> NDArray[np.int64]:
        r"""Ranks, 20 per decade, in a window; by default from 10 to :math:`\tilde n/8`.

        Beyond :math:`\tilde n/5` the truncation bends the tail.
        """
        n = len(self.eigenvalues)
        low, high = window or (10, n / 8)
        count = max(2, round(20 * math.log10(high / low)) + 1)
        return np.unique(np.round(np.geomspace(low, high, count)).astype(np.int64))


def gram_spectrum(kernel: Kernel, x: ArrayLike, Z: ArrayLike) -> GramSpectrum:
    r"""Diagonalize the Gram matrix, which is not centered, and project the target.

    Args:
        kernel: the kernel.
        x: points, (:math:`\tilde n`, D).
        Z: target, (:math:`\tilde n`,) or (:math:`\tilde n`, targets).

    Raises:
        ValueError: wrong shapes, values that are not finite.
    """
    x = points(x, "x")
    Z = checked_values(Z, len(x))
    values, vectors = eigh(kernel(x), overwrite_a=True, check_finite=False, driver="evd")
    return GramSpectrum(values[::-1] / len(x), np.square(vectors.T[::-1] @ Z))


def leading_eigenvalues(kernel: Kernel, x: ArrayLike, count: int) -> Array:
    r"""The largest eigenvalues of a Gram matrix over its size, decreasing, by Lanczos.

    Args:
        kernel: the kernel.
        x: points, (:math:`\tilde n`, D).
        count: how many, below :math:`\tilde n`.

    Raises:
        ValueError: wrong shapes, or a count that is not in 1 to :math:`\tilde n-1`.
    """
    x = points(x, "x")
    n = len(x)
    count = integer("count", count, 1, n - 1)
    # A fixed start makes the result the same every time.
    values = eigsh(kernel(x), k=count, v0=np.ones(n), return_eigenvectors=False)
    return np.sort(values)[::-1] / n


def tail_exponent(
    spectra: list[GramSpectrum], window: tuple[float, float] | None = None
) -> PowerLaw:
    r"""Fit :math:`T(n)\sim n^{1-a}`; the learning curve is predicted to decay as it does.

    Args:
        spectra: one for each draw of the data, all of one size: error bars come from them.
        window: ranks of the fit; from 10 to :math:`\tilde n/8` if None.

    Raises:
        ValueError: no spectra, several targets, or different sizes.
    """
    _check(spectra)
    ranks = spectra[0].ranks(window)
    return fit_power_law(ranks, [spectrum.tail[ranks - 1] for spectrum in spectra])


def eigenvalue_exponent(
    spectra: list[GramSpectrum], window: tuple[float, float] | None = None
) -> PowerLaw:
    r"""Fit :math:`\lambda_\rho\sim\rho^{-\alpha/d}`.

    Args:
        spectra: one for each draw of the data, all of one size: error bars come from them.
        window: ranks of the fit; from 10 to :math:`\tilde n/8` if None.

    Raises:
        ValueError: no spectra, or different sizes.
    """
    _check(spectra)
    ranks = spectra[0].ranks(window)
    return fit_power_law(ranks, [spectrum.eigenvalues[ranks - 1] for spectrum in spectra])


def _check(spectra: list[GramSpectrum]) -> None:
    if len({len(spectrum.eigenvalues) for spectrum in spectra}) != 1:
        raise ValueError("spectra must be one or more of the same size")
    if spectra[0].power.ndim != 1:
        raise ValueError("spectra must be those of one target")

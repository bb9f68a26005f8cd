"""Counting eigenvalues: inertia, zero modes with a stated tolerance, C_0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from symscape.landscape._hessian import HessianParts

__all__ = ["Inertia", "Spectra", "inertia", "spectra"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Inertia:
    """Signs of a set of eigenvalues.

    Attributes:
        n_plus: eigenvalues above the tolerance.
        n_minus: eigenvalues below minus the tolerance.
        n_zero: the others, the zero modes.
        tolerance: largest magnitude that counts as zero.
    """

    n_plus: int
    n_minus: int
    n_zero: int
    tolerance: float

    @property
    def C0(self) -> float:
        """``N_- / N``, the fraction of negative eigenvalues among all."""
        return self.n_minus / (self.n_plus + self.n_minus + self.n_zero)

    @property
    def asymmetry(self) -> float:
        """``|N_+ - N_-| / N``."""
        total = self.n_plus + self.n_minus + self.n_zero
        return abs(self.n_plus - self.n_minus) / total


def inertia(
    eigenvalues: ArrayLike, tolerance: float | None = None, *, relative: float = 1e-10
) -> Inertia:
    """Count positive, negative and zero eigenvalues.

    The zero modes of ``H_p`` that come from the rescaling of relu neurons are exact only where
    the gradient vanishes: ``H_p v = -D grad L`` along the rescaling ``v = D w`` of a neuron. Near
    cusps the gradient does not vanish, and they spread over about ``|grad L| / |w|``; pass a
    ``tolerance`` of that order to count them.

    Args:
        eigenvalues: ``(N,)``, at least one.
        tolerance: largest magnitude that counts as zero; None: ``relative`` times the largest
            magnitude.
        relative: see ``tolerance``.

    Raises:
        ValueError: no eigenvalues, values that are not finite, a negative tolerance.
    """
    values = np.asarray(eigenvalues, dtype=np.float64).ravel()
    if values.size == 0:
        raise ValueError("eigenvalues must hold at least one value; got none")
    if not np.isfinite(values).all():
        raise ValueError("eigenvalues must be finite")
    cut = relative * float(np.abs(values).max()) if tolerance is None else float(tolerance)
    if not cut >= 0:
        raise ValueError(f"tolerance must not be negative; got {cut}")
    n_plus, n_minus = int((values > cut).sum()), int((values < -cut).sum())
    return Inertia(n_plus, n_minus, values.size - n_plus - n_minus, cut)


@dataclass(frozen=True)
class Spectra:
    """Eigenvalues of the Hessian and its parts, each ascending, ``(N,)``."""

    H0: Array
    Hp: Array
    H: Array


def spectra(parts: HessianParts) -> Spectra:
    """Eigenvalues of ``H_0``, ``H_p`` and ``H`` by dense solvers, about ``4 N^3`` flops each."""

    def eigenvalues(matrix: Tensor) -> Array:
        return torch.linalg.eigvalsh(matrix).cpu().numpy().astype(np.float64)

    return Spectra(eigenvalues(parts.H0), eigenvalues(parts.Hp), eigenvalues(parts.H))

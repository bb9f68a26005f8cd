"""Lanczos and stochastic Lanczos quadrature: spectra of symmetric operators known by products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.special import ndtr
from torch import Tensor

from symscape._arguments import integer

__all__ = [
    "Estimate",
    "SpectralQuadrature",
    "Tridiagonal",
    "hutchinson_moment",
    "lanczos",
    "spectral_quadrature",
]

MatVec = Callable[[Tensor], Tensor]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tridiagonal:
    """The projection of a symmetric operator on the Krylov space of a start vector.

    Attributes:
        diagonal: ``(m,)``.
        off_diagonal: ``(m - 1,)``, positive.
        basis: orthonormal Krylov vectors as rows, ``(m, n)``.
        residual: norm of what leaves the space, ``beta_m``; about 0 where the space is invariant.
            A Ritz pair with eigenvector s of the tridiagonal matrix has residual
            ``beta_m |s_m|``.
    """

    diagonal: Array
    off_diagonal: Array
    basis: Tensor
    residual: float

    def ritz(self) -> tuple[Array, Array]:
        """Ritz values, ascending ``(m,)``, and the eigenvectors as columns ``(m, m)``."""
        values, vectors = eigh_tridiagonal(self.diagonal, self.off_diagonal)
        return values, vectors

    def ritz_residuals(self) -> Array:
        """Residual norm ``|A u - theta u|`` of every Ritz pair, ``(m,)``, in the order of ritz."""
        _, vectors = self.ritz()
        return self.residual * np.abs(vectors[-1])


def lanczos(matvec: MatVec, start: Tensor, steps: int) -> Tridiagonal:
    """Lanczos with full reorthogonalization (two Gram-Schmidt sweeps per step).

    Stops early when the Krylov space is invariant, that is when the next vector is rounding.
    Memory: ``8 steps n`` bytes.

    Args:
        matvec: product with a symmetric operator, ``(n,)`` to ``(n,)``.
        start: start vector, ``(n,)``, not zero; float64, as orthogonality needs it.
        steps: largest dimension of the Krylov space, at least 1.

    Raises:
        ValueError: zero or non-float64 start, ``steps`` < 1, or a product that is not finite.
    """
    if start.ndim != 1 or start.dtype != torch.float64:
        raise ValueError(
            f"start must be a float64 vector; got {start.dtype} of shape {tuple(start.shape)}"
        )
    norm = float(start.norm())
    if not 0 < norm < float("inf"):
        raise ValueError(f"start must have a finite norm larger than 0; got {norm}")
    steps = integer("steps", steps, 1)
    steps = min(steps, start.shape[0])
    basis = start.new_empty(steps, start.shape[0])
    basis[0] = start / norm
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    scale, beta = 0.0, 0.0
    for step in range(steps):
        vector = matvec(basis[step])
        diagonal.append(float(vector @ basis[step]))
        known = basis[: step + 1]
        vector = vector - known.T @ (known @ vector)
        vector = vector - known.T @ (known @ vector)
        beta = float(vector.norm())
        if not np.isfinite(beta) or not np.isfinite(diagonal[-1]):
            raise ValueError(f"matvec returned values that are not finite at step {step}")
        scale = max(scale, abs(diagonal[-1]), beta)
        if step + 1 == steps or beta <= 1e-13 * scale:
            break
        off_diagonal.append(beta)
        basis[step + 1] = vector / beta
    size = len(diagonal)
    return Tridiagonal(np.array(diagonal), np.array(off_diagonal), basis[:size], beta)


@dataclass(frozen=True)
class Estimate:
    """A stochastic estimate: its value and its standard error over the probes."""

    value: float
    error: float


@dataclass(frozen=True)
class SpectralQuadrature:
    r"""Gauss quadratures of the spectral measure, one per probe.

    ``(1/n) sum_i g(lambda_i)`` is estimated by the mean over probes of ``sum_k weight_k
    g(node_k)``; exact for each probe for polynomials g up to degree ``2 m - 1``.

    Attributes:
        n: dimension of the operator.
        nodes: Ritz values, one array per probe.
        weights: their weights, non-negative, summing to 1 per probe.
        residuals: residual norm of each Ritz pair; small where a node is an eigenvalue.
    """

    n: int
    nodes: tuple[Array, ...]
    weights: tuple[Array, ...]
    residuals: tuple[Array, ...]

    def average(self, function: Callable[[Array], Array]) -> Estimate:
        """Estimate ``(1/n) tr g(A)``."""
        values = [float(w @ function(x)) for x, w in zip(self.nodes, self.weights, strict=True)]
        return _estimate(values)

    def moment(self, power: int) -> Estimate:
        """Estimate ``(1/n) tr A^power``."""
        return self.average(lambda x: x**power)

    def fraction(self, low: float = -np.inf, high: float = np.inf) -> Estimate:
        """Estimate the fraction of eigenvalues in ``[low, high)``."""
        return self.average(lambda x: ((x >= low) & (x < high)).astype(float))

    def density(self, grid: ArrayLike, width: float) -> Array:
        """Density of eigenvalues on a grid, each node broadened to a Gaussian.

        Args:
            grid: where to evaluate, ``(G,)``.
            width: standard deviation of the Gaussian, > 0.
        """
        if not width > 0:
            raise ValueError(f"width must be positive; got {width}")
        at = np.asarray(grid, dtype=np.float64)
        total = np.zeros_like(at)
        for nodes, weights in zip(self.nodes, self.weights, strict=True):
            bumps = np.exp(-0.5 * ((at[:, None] - nodes) / width) ** 2)
            total += bumps @ weights
        return total / (len(self.nodes) * width * np.sqrt(2 * np.pi))

    def cumulative(self, grid: ArrayLike, width: float) -> Array:
        """Integral of ``density`` up to each value of the grid, ``(G,)``."""
        if not width > 0:
            raise ValueError(f"width must be positive; got {width}")
        at = np.asarray(grid, dtype=np.float64)
        total = np.zeros_like(at)
        for nodes, weights in zip(self.nodes, self.weights, strict=True):
            total += ndtr((at[:, None] - nodes) / width) @ weights
        return total / len(self.nodes)

    @property
    def extremes(self) -> tuple[float, float]:
        """Smallest and largest Ritz value: inside the spectrum, close to its ends."""
        return min(x.min() for x in self.nodes), max(x.max() for x in self.nodes)


def spectral_quadrature(
    matvec: MatVec,
    n: int,
    *,
    probes: int = 10,
    steps: int = 90,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> SpectralQuadrature:
    """Stochastic Lanczos quadrature with Rademacher probes, in float64.

    Memory: ``8 steps n`` bytes; time: ``probes * steps`` products and about
    ``2 probes steps^2 n`` multiply-adds for the reorthogonalization.

    Args:
        matvec: product with a symmetric operator, ``(n,)`` to ``(n,)``, e.g. a method of
            ``HessianOperator``.
        n: dimension.
        probes: number of random vectors; at least 2, so that an error can be stated.
        steps: Lanczos steps per probe.
        seed: seed of the probes.
        device: where the vectors live.

    Raises:
        ValueError: a count too small, or as ``lanczos``.
    """
    n, probes = integer("n", n, 1), integer("probes", probes, 2)
    nodes, weights, residuals = [], [], []
    for probe in _rademacher(n, probes, seed, device):
        projection = lanczos(matvec, probe, steps)
        values, vectors = projection.ritz()
        nodes.append(values)
        weights.append(vectors[0] ** 2)
        residuals.append(projection.residual * np.abs(vectors[-1]))
    return SpectralQuadrature(n, tuple(nodes), tuple(weights), tuple(residuals))


def hutchinson_moment(
    matvec: MatVec,
    n: int,
    power: int,
    *,
    probes: int = 10,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Estimate:
    """Estimate ``(1/n) tr A^power`` by ``z . A^power z / n`` with Rademacher probes z.

    With the probes of ``spectral_quadrature`` (same seed) it gives the same number to rounding
    for ``power <= 2 steps - 1``: the check of a quadrature.

    Raises:
        ValueError: ``power`` < 1, or a count too small.
    """
    n, probes = integer("n", n, 1), integer("probes", probes, 2)
    power = integer("power", power, 1)
    values = []
    for probe in _rademacher(n, probes, seed, device):
        vector = probe
        for _ in range(power):
            vector = matvec(vector)
        values.append(float(probe @ vector) / n)
    return _estimate(values)


def _rademacher(n: int, probes: int, seed: int, device: torch.device | str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(integer("seed", seed))
    signs = torch.randint(2, (probes, n), generator=generator).to(torch.float64)
    return list((2 * signs - 1).to(device))


def _estimate(values: list[float]) -> Estimate:
    array = np.array(values)
    return Estimate(float(array.mean()), float(array.std(ddof=1) / np.sqrt(array.size)))

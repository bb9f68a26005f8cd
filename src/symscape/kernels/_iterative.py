"""Regression beyond memory: conjugate gradients with a low-rank preconditioner."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve

from symscape._arguments import integer
from symscape.kernels._gram import refuse_coinciding
from symscape.kernels._kernel import Kernel, check_ridge, points
from symscape.kernels._kernel import values as checked_values

Array = NDArray[np.float64]


@dataclass(frozen=True)
class IterativeSolution:
    r"""The coefficients of :math:`\hat Z(x)=\sum_\mu a_\mu K(x_\mu,x)`.

    Attributes:
        coefficients: a, (n,).
        iterations: products with the Gram matrix.
        residual: :math:`\|(\mathbb K+\text{ridge})a-Z\|/\|Z\|`, computed from a, not updated.
        converged: whether the residual is at most the tolerance.
    """

    coefficients: Array
    iterations: int
    residual: float
    converged: bool


def solve_iterative(
    kernel: Kernel,
    x: ArrayLike,
    Z: ArrayLike,
    ridge: float = 0.0,
    *,
    rank: int = 500,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
    block: int = 2000,
    seed: int = 0,
) -> IterativeSolution:
    r"""Solve :math:`(\mathbb K+\text{ridge}\,I)\,a=Z` without storing the Gram matrix.

    Conjugate gradients, preconditioned by :math:`FF^\top+\delta I`, where F is a partial Cholesky
    factor with pivots drawn in proportion to the diagonal that is left, and :math:`\delta` is the
    ridge plus the mean of what is left. Memory: n (rank + block) numbers.

    Args:
        kernel: the kernel.
        x: points, (n, D).
        Z: values, (n,).
        ridge: added to the diagonal.
        rank: of the preconditioner, at most n are used.
        tolerance: relative residual at which to stop.
        max_iterations: give up after so many, or where rounding stops the progress; ``converged``
            tells.
        block: rows of the Gram matrix that exist at a time.
        seed: of the pivots.

    Raises:
        ValueError: wrong shapes, values that are not finite, a negative ridge, rank or block below
            1; without a ridge, points that coincide (they are named).
    """
    x = points(x, "x")
    n = len(x)
    Z = checked_values(Z, n)
    if Z.ndim != 1:
        raise ValueError(f"Z must be ({n},); got {Z.shape}")
    check_ridge(ridge)
    rank, block = integer("rank", rank, 1), integer("block", block, 1)
    max_iterations, seed = integer("max_iterations", max_iterations, 0), integer("seed", seed, 0)
    if ridge == 0:
        refuse_coinciding(x)

    def product(a: Array) -> Array:
        rows = [kernel(x[i : i + block], x) @ a for i in range(0, n, block)]
        return np.concatenate(rows) + ridge * a

    F, left = _partial_cholesky(kernel, x, min(rank, n), seed)
    delta = ridge + max(float(left.mean()), n * float(np.finfo(float).eps))
    inner = cho_factor(F.T @ F + delta * np.eye(F.shape[1]), lower=True)

    def precondition(r: Array) -> Array:
        return (r - F @ cho_solve(inner, F.T @ r)) / delta

    goal = tolerance * float(np.linalg.norm(Z))
    a, r, iterations, size = np.zeros(n), Z.copy(), 0, math.inf
    # The updated residual drifts away from the true one: where it is small enough, start again
    # from the true one, as long as that helps.
    while goal < np.linalg.norm(r) < 0.5 * size and iterations < max_iterations:
        size = float(np.linalg.norm(r))
        z = precondition(r)
        direction, rz = z, float(r @ z)
        while np.linalg.norm(r) > goal and iterations < max_iterations:
            image = product(direction)
            step = rz / float(direction @ image)
            a, r = a + step * direction, r - step * image
            z = precondition(r)
            new = float(r @ z)
            direction, rz, iterations = z + new / rz * direction, new, iterations + 1
        r = Z - product(a)
    norm = float(np.linalg.norm(Z))
    residual = float(np.linalg.norm(r)) / norm if norm else 0.0
    return IterativeSolution(a, iterations, residual, residual <= tolerance)


def _partial_cholesky(kernel: Kernel, x: Array, rank: int, seed: int) -> tuple[Array, Array]:
    """Pivoted Cholesky with random pivots, 50 at a time: the factor and the diagonal left."""
    random = np.random.default_rng(seed)
    n = len(x)
    F, left, filled = np.zeros((n, rank)), np.ones(n), 0
    while filled < rank and left.sum() > n * 1e-14:
        want = min(50, rank - filled)
        drawn = np.unique(random.choice(n, size=want, p=left / left.sum()))
        G = kernel(x, x[drawn]) - F[:, :filled] @ F[drawn, :filled].T
        core = 0.5 * (G[drawn] + G[drawn].T)
        values, vectors = np.linalg.eigh(core)
        kept = values > 1e-12 * max(float(values[-1]), math.ulp(0.0))
        new = G @ (vectors[:, kept] / np.sqrt(values[kept]))
        F[:, filled : filled + new.shape[1]] = new
        left = np.maximum(left - np.square(new).sum(axis=1), 0.0)
        left[drawn] = 0.0
        filled += new.shape[1]
    return F[:, :filled], left

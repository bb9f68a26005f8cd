"""Solving with Gram matrices: Cholesky with a jitter that is reported, never silent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import get_lapack_funcs, solve_triangular

from symscape._arguments import integer
from symscape.kernels._kernel import Kernel, check_ridge, points

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Factor:
    r"""The Cholesky factor :math:`LL^\top=\mathbb K+(\text{ridge}+\text{jitter})\,I`.

    Attributes:
        lower: L, (n, n); what stands above its diagonal has no meaning.
        ridge: the ridge that was asked for.
        jitter: what was added to it so that the factorization succeeds; 0 as a rule.
        condition: estimate of the condition number in the 1-norm.
    """

    lower: Array
    ridge: float
    jitter: float
    condition: float

    def forward(self, b: ArrayLike, n: int | None = None) -> Array:
        r""":math:`L_n^{-1}b` for the leading n points (all if None)."""
        return solve_triangular(self._block(n), b, lower=True, check_finite=False)

    def solve(self, b: ArrayLike, n: int | None = None) -> Array:
        r""":math:`(\mathbb K_n+\dots)^{-1}b` for the leading n points (all if None)."""
        return self.back(self.forward(b, n))

    def back(self, half: Array) -> Array:
        r""":math:`L_n^{-\top}` applied to n rows, the second half of a solve."""
        block = self._block(len(half))
        return solve_triangular(block, half, lower=True, trans=1, check_finite=False)

    def sample(self, count: int, seed: int) -> Array:
        r"""Gaussian random fields :math:`L\,\mathcal N(0,I)`, of covariance :math:`LL^\top`.

        Args:
            count: number of independent fields.
            seed: of the drawing.

        Returns:
            (n, count).

        Raises:
            ValueError: count below 1.
        """
        shape = len(self.lower), integer("count", count, 1)
        normal = np.random.default_rng(integer("seed", seed, 0)).standard_normal(shape)
        return np.tril(self.lower) @ normal

    def _block(self, n: int | None) -> Array:
        return self.lower if n is None else self.lower[:n, :n]


def factorize(kernel: Kernel, x: ArrayLike, ridge: float = 0.0) -> Factor:
    r"""Factorize the Gram matrix of a kernel on points, in float64.

    Where rounding makes the matrix indefinite, the smallest of
    :math:`n\epsilon,10\,n\epsilon,\dots` that is enough is added to the diagonal; it is in the
    answer. Memory: one n x n matrix (3.2 GB for n = 20,000) and, where jitter is tried, the
    Gram matrix once more at a time.

    Args:
        kernel: the kernel.
        x: points, (n, D).
        ridge: added to the diagonal, 0 for ridgeless regression.

    Raises:
        ValueError: a negative or infinite ridge; a Gram matrix that is singular because points
            coincide (they are named).
    """
    x = points(x, "x")
    check_ridge(ridge)
    if ridge == 0:
        refuse_coinciding(x)
    return factorize_gram(lambda: kernel(x), ridge)


def factorize_gram(gram_matrix: Callable[[], Array], ridge: float) -> Factor:
    """As :func:`factorize`, of a Gram matrix that is made anew for each jitter, and used up."""
    jitter = 0.0
    while True:
        gram = gram_matrix()
        n = len(gram)
        gram.flat[:: n + 1] += ridge + jitter
        norm = float(gram.sum(axis=0).max())  # of positive numbers
        # The transpose of a symmetric matrix is itself, in the order that LAPACK overwrites.
        potrf, pocon = get_lapack_funcs(("potrf", "pocon"), (gram,))
        lower, info = potrf(gram.T, lower=1, clean=0, overwrite_a=1)
        if info == 0:
            reciprocal = float(pocon(lower, norm, uplo="L")[0])
            condition = 1 / reciprocal if reciprocal > 0 else math.inf
            return Factor(lower, ridge, jitter, condition)
        # The kernel is positive, so that this ends as soon as rounding is made up for.
        jitter = 10 * jitter or n * float(np.finfo(float).eps)


def refuse_coinciding(x: Array) -> None:
    """Name the points that coincide: they make every Gram matrix singular."""
    _, first, inverse, count = np.unique(
        x, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    if len(first) == len(x):
        return
    group = np.flatnonzero(inverse.ravel() == int(np.argmax(count > 1)))
    several = int((count - 1).sum())
    raise ValueError(
        f"x: points {', '.join(str(i) for i in group[:5])} coincide ({several} of {len(x)} points "
        "repeat another one), so that the Gram matrix is singular; remove them or give a ridge"
    )

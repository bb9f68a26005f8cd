"""Kernel regression, ridgeless or with a ridge, of many targets and nested training sets."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape._arguments import integer
from symscape.kernels._gram import Factor, factorize, factorize_gram, refuse_coinciding
from symscape.kernels._kernel import Kernel, check_ridge, points, square_distances
from symscape.kernels._kernel import values as checked_values

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Predictions of nested training sets.

    Attributes:
        values: (sizes, n_test) or (sizes, n_test, targets).
        sizes: numbers of training points.
        factor: the factorization of the largest training set.
    """

    values: Array
    sizes: tuple[int, ...]
    factor: Factor

    def mean_square_error(self, Z_test: ArrayLike) -> Array:
        """Mean over test points of the squared error, (sizes,) or (sizes, targets).

        Args:
            Z_test: values at the test points, (n_test,) or (n_test, targets).

        Raises:
            ValueError: another shape than the predictions have.
        """
        Z = np.asarray(Z_test, dtype=float)
        if Z.shape != self.values.shape[1:]:
            raise ValueError(f"Z_test must be {self.values.shape[1:]}; got {Z.shape}")
        return np.square(self.values - Z).mean(axis=1)


def nested_predictions(
    kernel: Kernel,
    x: ArrayLike,
    Z: ArrayLike,
    x_test: ArrayLike,
    sizes: Sequence[int],
    ridge: float = 0.0,
    squares: tuple[Array, Array] | None = None,
) -> Predictions:
    r"""Kernel regression on the first n points, for several n and targets at once (Ch. 6, eq. 3).

    With one factorization :math:`LL^\top` of the largest Gram matrix, whose leading blocks are the
    factors of the smaller ones,

    .. math::
        \hat Z_n(x)=k_n(x)\cdot(\mathbb K_n+\text{ridge})^{-1}Z_n=\sum_{i\le n}v_i(x)\,y_i,\qquad
        v=L^{-1}k(x),\quad y=L^{-1}Z,

    so that all n are partial sums of the same two triangular solves.

    Args:
        kernel: the kernel.
        x: training points, (n, D).
        Z: their values, (n,) or (n, targets).
        x_test: test points, (n_test, D).
        sizes: training sets are the first so many points; increasing.
        ridge: added to the diagonal.
        squares: the squares of the distances among the training points, (n, n), and between
            them and the test points, (n, n_test), where they are known: several kernels share them.

    Raises:
        ValueError: wrong shapes or sizes, values that are not finite, and the errors of
            :func:`factorize`.
    """
    x, x_test = points(x, "x"), points(x_test, "x_test")
    Z = checked_values(Z, len(x))
    chosen = checked_sizes(sizes, len(x))
    n = chosen[-1]
    if squares is None:
        factor, k = factorize(kernel, x[:n], ridge), kernel(x[:n], x_test)
    else:
        own, across = squares[0][:n, :n], squares[1][:n]
        if own.shape != (n, n) or across.shape != (n, len(x_test)):
            raise ValueError(
                f"squares: shapes {squares[0].shape} and {squares[1].shape} given; allowed: "
                f"({n}, {n}) and ({n}, {len(x_test)}), or more training points"
            )
        check_ridge(ridge)
        if ridge == 0 and np.count_nonzero(own) < n * (n - 1):
            refuse_coinciding(x[:n])
        factor = factorize_gram(partial(kernel.of_square_distances, own), ridge)
        k = kernel.of_square_distances(across)
    y, v = factor.forward(Z[:n]), factor.forward(k)
    values = []
    total = np.zeros((len(x_test), *Z.shape[1:]))
    for start, stop in zip((0, *chosen), chosen):
        total = total + v[start:stop].T @ y[start:stop]
        values.append(total)
    return Predictions(np.stack(values), chosen, factor)


@dataclass(frozen=True)
class LearningCurves:
    """Test errors of several kernels on the same draws of the data.

    Attributes:
        errors: mean squared errors, (kernels, seeds, sizes) or (kernels, seeds, sizes, targets):
            ``errors[i]`` is what :func:`symscape.scaling.fit_power_law` takes.
        sizes: numbers of training points.
        jitter: what was added to the diagonal of the largest Gram matrices, (kernels, seeds).
        condition: estimates of their condition numbers, (kernels, seeds).
    """

    errors: Array
    sizes: tuple[int, ...]
    jitter: Array
    condition: Array


def learning_curves(
    kernels: Sequence[Kernel],
    x: ArrayLike,
    Z: ArrayLike,
    sizes: Sequence[int],
    *,
    n_test: int,
    seeds: Iterable[int],
    ridge: float = 0.0,
) -> LearningCurves:
    r"""Learning curves of several kernels, length scales and draws of training and test points.

    Every seed shuffles the points; the first are for training, the following ``n_test`` for
    testing. Distances are computed once per seed for all kernels, and all sizes and targets come
    from one factorization (:func:`nested_predictions`). Memory: 2 n (n + ``n_test``) numbers for n
    training points.

    Args:
        kernels: the kernels, for example one for each length scale.
        x: points, (N, D).
        Z: their values, (N,) or (N, targets).
        sizes: numbers of training points, increasing.
        n_test: number of test points.
        seeds: of the shuffles.
        ridge: added to the diagonal.

    Raises:
        ValueError: no kernels or seeds, fewer points than are asked for, wrong shapes or sizes, and
            the errors of :func:`factorize`.
    """
    x = points(x, "x")
    Z = checked_values(Z, len(x))
    shuffles, kernels = [integer("seeds", seed, 0) for seed in seeds], list(kernels)
    integer("kernels", len(kernels), 1, allowed="1 and more of them")
    integer("seeds", len(shuffles), 1, allowed="1 and more of them")
    n_test = integer("n_test", n_test, 1)
    chosen = checked_sizes(sizes, len(x) - n_test)
    check_ridge(ridge)
    errors, factors = [], []
    for seed in shuffles:
        order = np.random.default_rng(seed).permutation(len(x))
        train, test = order[: chosen[-1]], order[chosen[-1] :][:n_test]
        squares = square_distances(x[train]), square_distances(x[train], x[test])
        for kernel in kernels:
            found = nested_predictions(kernel, x[train], Z[train], x[test], chosen, ridge, squares)
            errors.append(found.mean_square_error(Z[test]))
            factors.append((found.factor.jitter, found.factor.condition))
    shape = len(shuffles), len(kernels)
    jitter, condition = np.array(factors).reshape(*shape, 2).transpose(2, 1, 0)
    curves = np.stack(errors).reshape(*shape, *errors[0].shape).swapaxes(0, 1)
    return LearningCurves(curves, chosen, jitter, condition)


@dataclass(frozen=True)
class TeacherErrors:
    """Errors of nested training sets, averaged over the Teacher.

    Attributes:
        values: mean squared error over the test points, (sizes,).
        sizes: numbers of training points.
        factor: the factorization of the largest training set.
    """

    values: Array
    sizes: tuple[int, ...]
    factor: Factor


def teacher_errors(
    teacher: Kernel,
    student: Kernel,
    x: ArrayLike,
    x_test: ArrayLike,
    sizes: Sequence[int],
    ridge: float = 0.0,
) -> TeacherErrors:
    r"""Test error of nested training sets, averaged exactly over the fields of a Teacher.

    For values :math:`Z\sim\mathcal N(0,K_T)` that a Student learns without noise (Ch. 6, Sec. 4),

    .. math::
        \mathbb E_T(Z-\hat Z)^2(x)=K_T(0)-2\,k_S^\top\mathbb K_S^{-1}k_T
        +k_S^\top\mathbb K_S^{-1}\mathbb K_T\mathbb K_S^{-1}k_S .

    Args:
        teacher: covariance of the field.
        student: kernel of the regression.
        x: training points, (n, D).
        x_test: test points, (n_test, D).
        sizes: training sets are the first so many points; increasing.
        ridge: of the Student.

    Returns:
        The errors. Those that fall to rounding, :math:`\epsilon` times the condition number, mean
        nothing.

    Raises:
        ValueError: wrong shapes or sizes, and the errors of :func:`factorize`.
    """
    x, x_test = points(x, "x"), points(x_test, "x_test")
    chosen = checked_sizes(sizes, len(x))
    x = x[: chosen[-1]]
    factor = factorize(student, x, ridge)
    half = factor.forward(student(x, x_test))
    if teacher == student and factor.ridge + factor.jitter == 0:
        # The posterior variance, by partial sums of squares.
        variance = 1.0 - np.cumsum(np.square(half), axis=0).mean(axis=1)
        return TeacherErrors(variance[np.array(chosen) - 1], chosen, factor)
    K_T, k_T = teacher(x), teacher(x, x_test)
    errors = []
    for n in chosen:
        a = factor.back(half[:n])
        errors.append(1.0 + float(np.sum(a * (K_T[:n, :n] @ a - 2 * k_T[:n]))) / len(x_test))
    return TeacherErrors(np.array(errors), chosen, factor)


def sample_field(kernel: Kernel, x: ArrayLike, count: int, seed: int) -> Array:
    r"""Gaussian random fields :math:`Z\sim\mathcal N(0,\mathbb K)` on points, by Cholesky.

    Where rounding makes the covariance indefinite, the fields have that of :func:`factorize`, with
    a jitter on the diagonal, and a warning says how much: noise of its square root at each point.

    Args:
        kernel: the covariance.
        x: points, (n, D).
        count: number of independent fields.
        seed: of the drawing.

    Returns:
        (n, count).

    Raises:
        ValueError: count below 1, and the errors of :func:`factorize`.
    """
    factor = factorize(kernel, x)
    if factor.jitter:
        warnings.warn(
            f"sample_field: the covariance is singular in float64, jitter {factor.jitter:.1e} is "
            "added to its diagonal (factorize(kernel, x).sample does the same, silently)",
            stacklevel=2,
        )
    return factor.sample(count, seed)


def checked_sizes(sizes: Sequence[int], n: int) -> tuple[int, ...]:
    """Sizes of nested training sets: increasing, from 1 to n."""
    chosen = tuple(integer("sizes", size) for size in sizes)
    if not chosen or chosen[0] < 1 or chosen[-1] > n or sorted(set(chosen)) != list(chosen):
        raise ValueError(f"sizes must increase, from 1 to {n}; got {list(sizes)}")
    return chosen

"""The flow of the mean square error under a fixed kernel, in closed form (Ch. 2b, App. D)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FlowOutputs", "flow_outputs", "residual_covariance"]

Array = NDArray[np.float64]


class FlowOutputs(NamedTuple):
    r"""The two parts of the trained function.

    Attributes:
        residual: what training leaves of the initial function,
            :math:`f_0(x) - A_t\,\tilde y_0`; zero on the training set at infinite time.
        regression: what it learns of the labels, :math:`A_t\,y`; at infinite time kernel
            regression without ridge.
    """

    residual: Array
    regression: Array

    @property
    def total(self) -> Array:
        """The trained function, the sum of both."""
        return self.residual + self.regression


def flow_outputs(
    K: ArrayLike | Any,
    K_test: ArrayLike | Any,
    y: ArrayLike | Any,
    *,
    f0: ArrayLike | Any | None = None,
    f0_test: ArrayLike | Any | None = None,
    time: float = math.inf,
) -> FlowOutputs:
    r"""The function that gradient flow of the mean square error has learned at a time.

    With the loss :math:`\frac1{2P}\sum_\mu (y_\mu - f(x_\mu))^2` and a fixed kernel,

    .. math::
        f_t(x) = f_0(x) + A_t (y - \tilde y_0), \qquad
        A_t = \tilde\Theta_x\tilde\Theta^{-1}\big(1 - e^{-\tilde\Theta t/P}\big).

    Args:
        K: kernel of the training set :math:`\tilde\Theta`, (P, P); an array or a CPU tensor.
        K_test: kernel of test and training points :math:`\tilde\Theta_x`, (n, P).
        y: labels, (P,), or (P, m) of m targets.
        f0: initial outputs on the training set :math:`\tilde y_0`, of the shape of y; None: 0, as
            where f - f_0 is trained.
        f0_test: initial outputs on the test points, (n,) or (n, m); given together with f0.
        time: t >= 0 of the flow; infinity by default.

    Returns:
        Both parts, (n,) or (n, m), float64.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, a kernel that is not
            symmetric, not positive semidefinite, or (at infinite time) singular to rounding.

    Source: Ch. 2, paper B, App. D, Eq. 16 and 17; a finite time replaces the inverse of the kernel.
    """
    y = _array("y", y)
    A = _propagated(K, K_test, time)
    n, P = A.shape
    if y.ndim not in (1, 2) or len(y) != P:
        raise ValueError(f"y: shape {y.shape} given; allowed: ({P},) or ({P}, m)")
    shape = (n, *y.shape[1:])
    if (f0 is None) != (f0_test is None):
        raise ValueError("f0_test: given without f0, or f0 without it; allowed: both or none")
    if f0 is None or f0_test is None:
        return FlowOutputs(np.zeros(shape), A @ y)
    f0, f0_test = _array("f0", f0), _array("f0_test", f0_test)
    for name, values, allowed in (("f0", f0, y.shape), ("f0_test", f0_test, shape)):
        if values.shape != allowed:
            raise ValueError(f"{name}: shape {values.shape} given; allowed: {allowed}")
    return FlowOutputs(f0_test - A @ f0, A @ y)


def residual_covariance(
    K: ArrayLike | Any,
    K_test: ArrayLike | Any,
    nngp: ArrayLike | Any,
    nngp_test: ArrayLike | Any,
    nngp_test_test: ArrayLike | Any,
    *,
    time: float = math.inf,
) -> Array:
    r"""Covariance over initializations of what training leaves of the initial function.

    The initial function is a Gaussian process of covariance :math:`\Sigma` (the kernel NNGP), and
    the kernel of its flow is fixed: with :math:`A_t` of :func:`flow_outputs`,

    .. math::
        \Sigma_{xx'} - A_t\Sigma_{Xx'} - \Sigma_{xX}A_t^T + A_t\Sigma_{XX}A_t^T.

    It does not depend on the width of the network.

    Args:
        K: neural tangent kernel of the training set X, (P, P).
        K_test: that of n test and the training points, (n, P).
        nngp: :math:`\Sigma_{XX}`, (P, P).
        nngp_test: :math:`\Sigma_{xX}`, (n, P).
        nngp_test_test: :math:`\Sigma_{xx'}`, (n, n).
        time: t >= 0 of the flow; infinity by default.

    Returns:
        (n, n), float64.

    Raises:
        ValueError: see :func:`flow_outputs`.

    Source: Ch. 2, paper B, App. D.
    """
    A = _propagated(K, K_test, time)
    n, P = A.shape
    inner, rows = _array("nngp", nngp), _array("nngp_test", nngp_test)
    outer = _array("nngp_test_test", nngp_test_test)
    for name, values, allowed in (
        ("nngp", inner, (P, P)),
        ("nngp_test", rows, (n, P)),
        ("nngp_test_test", outer, (n, n)),
    ):
        if values.shape != allowed:
            raise ValueError(f"{name}: shape {values.shape} given; allowed: {allowed}")
    cross = A @ rows.T
    covariance: Array = outer - cross - cross.T + A @ inner @ A.T
    return covariance


def _propagated(K: ArrayLike | Any, K_test: ArrayLike | Any, time: float) -> Array:
    """A_t, (n, P)."""
    K, K_test = _array("K", K), _array("K_test", K_test)
    P = len(K)
    if K.shape != (P, P) or P == 0:
        raise ValueError(f"K: shape {K.shape} given; allowed: (P, P) with P >= 1")
    if K_test.ndim != 2 or K_test.shape[1] != P:
        raise ValueError(f"K_test: shape {K_test.shape} given; allowed: (n, {P})")
    if not time >= 0:
        raise ValueError(f"time: {time!r} given; allowed: a number >= 0")
    size = float(np.abs(K).max())
    if float(np.abs(K - K.T).max()) > 1e-5 * size:
        raise ValueError("K: a matrix that is not symmetric given; allowed: symmetric ones")
    values, vectors = np.linalg.eigh(K)
    rounding = P * np.finfo(float).eps * values[-1]
    # kernels computed in single precision have negative eigenvalues of that size
    if values[0] < -1e-5 * max(values[-1], 0.0) or values[-1] <= 0:
        raise ValueError("K: a matrix that is not positive semidefinite given; allowed: kernels")
    if math.isinf(time):
        if values[0] <= rounding:
            raise ValueError(
                f"K: singular, its smallest eigenvalue is {values[0]:.3g} of {values[-1]:.3g}; "
                "allowed: a positive definite kernel, or a finite time"
            )
        inverse = 1.0 / values
    else:
        values = np.maximum(values, 0.0)
        safe = np.where(values > 0, values, 1.0)
        inverse = np.where(values > 0, -np.expm1(-values * time / P) / safe, time / P)
    propagated: Array = (K_test @ vectors * inverse) @ vectors.T
    return propagated


def _array(name: str, values: ArrayLike | Any) -> Array:
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: values that are not finite given; allowed: finite numbers")
    return array

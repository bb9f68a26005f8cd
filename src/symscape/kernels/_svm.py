"""The soft-margin support vector machine with a precomputed kernel (Ch. 6, App. A)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.kernels._kernel import Kernel, points

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MarginMachine:
    r"""A trained machine :math:`\hat Z(x)=\sum_\mu Z_\mu a_\mu K(x_\mu,x)+b`.

    Attributes:
        a: dual variables, (n,), in [0, C].
        b: offset.
        C: bound of the dual variables.
        duality_gap: primal minus dual objective, relative to the primal one; 0 at the optimum.
    """

    kernel: Kernel
    x: Array
    Z: Array
    a: Array
    b: float
    C: float
    duality_gap: float

    def __call__(self, x: ArrayLike) -> Array:
        r"""The output :math:`\hat Z` at points (n, D), whose sign is the class."""
        used = self.a > 0
        return self.kernel(x, self.x[used]) @ (self.Z * self.a)[used] + self.b

    def output(self, k: ArrayLike) -> Array:
        r"""The output at m points, from the kernel between the training points and them.

        Args:
            k: (n, m), where it is known already.

        Raises:
            ValueError: another number of training points.
        """
        k = np.asarray(k, dtype=float)
        if k.shape[:1] != self.a.shape:
            raise ValueError(f"k must be ({len(self.a)}, m); got {k.shape}")
        return (self.Z * self.a) @ k + self.b


def margin_machine(
    kernel: Kernel,
    x: ArrayLike,
    Z: ArrayLike,
    C: float = 1e4,
    tolerance: float = 1e-4,
    gram: Array | None = None,
) -> MarginMachine:
    r"""Minimize :math:`\frac12\|w\|^2+C\sum_\mu\xi_\mu` with
    :math:`Z_\mu(w\cdot\phi(x_\mu)+b)\ge1-\xi_\mu`, :math:`\xi_\mu\ge0`.

    The dual is solved by scikit-learn, which has to be installed (``symscape[lab]``).

    Args:
        kernel: the kernel.
        x: points, (n, D).
        Z: labels -1 or 1, both present.
        C: price of a violation; the thesis uses :math:`10^4`.
        tolerance: of the optimality conditions.
        gram: the Gram matrix of x, where it is known already.

    Raises:
        ValueError: labels other than -1 and 1 or of one class only, C not positive.
    """
    from sklearn.svm import SVC

    x, Z = points(x, "x"), np.asarray(Z, dtype=float)
    if Z.shape != (len(x),) or set(np.unique(Z)) != {-1.0, 1.0}:
        raise ValueError(f"Z must be {len(x)} labels -1 and 1, both present; got {np.unique(Z)}")
    if not C > 0:
        raise ValueError(f"C must be positive; got {C}")
    K = kernel(x) if gram is None else gram
    # libsvm starts to trade accuracy for speed when its cache is small.
    machine = SVC(C=C, kernel="precomputed", tol=tolerance, cache_size=1000).fit(K, Z)
    signed = np.zeros(len(x))
    signed[machine.support_] = machine.dual_coef_[0]
    a, output = signed * Z, K @ signed
    b = float(machine.intercept_[0])
    norm = float(signed @ output)
    primal = 0.5 * norm + C * float(np.maximum(0, 1 - Z * (output + b)).sum())
    dual = float(a.sum()) - 0.5 * norm
    return MarginMachine(kernel, x, Z, a, b, C, (primal - dual) / primal)

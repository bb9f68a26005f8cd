"""Training with a kernel that does not move: the linearized network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from symscape.dynamics._fire import Fire
from symscape.dynamics._first_order import Adam
from symscape.dynamics._frozen_objective import FrozenObjective
from symscape.dynamics._labels import check_labels
from symscape.dynamics._loop import run
from symscape.dynamics._losses import Loss
from symscape.dynamics._result import TrainResult
from symscape.dynamics._sgd import SGD
from symscape.dynamics._stepper import Integrator
from symscape.dynamics._stop import Record, Stop
from symscape.dynamics._train import check_alpha

__all__ = ["train_frozen"]

# relative asymmetry of a kernel matrix that is taken for rounding
_ASYMMETRY = 1e-5


def train_frozen(
    K: Tensor,
    y: Tensor,
    *,
    loss: Loss,
    integrator: Integrator,
    stop: Stop | None = None,
    alpha: float | None = None,
    test: tuple[Tensor, Tensor] | None = None,
    record: Record | None = None,
) -> TrainResult:
    r"""Train the outputs under a frozen kernel.

    .. math::
        \dot F(x) = -\frac1P\sum_\mu K(x, x_\mu)\,\ell'(F(x_\mu), y_\mu), \qquad F(t=0) = 0,

    that is :math:`F = K c`, :math:`\dot c_\mu = -\ell'(F_\mu, y_\mu)/P`, :math:`c(0) = 0`. With the
    NTK of a network at its initial weights this is the limit :math:`\alpha\to\infty` of
    :func:`train`. Losses, integrators, step control, stopping and records are those of
    :func:`train`; errors of steps are measured in the space of the linearized network's weights,
    :math:`\sqrt{e^T K e}`, relative to :math:`\sqrt{P/\langle K_{\mu\mu}\rangle}`, and in that of
    the outputs.

    Args:
        K: kernel of the training set, (P, P), symmetric and positive semidefinite.
        y: labels, (P,): +-1 of the dtype of K, or any finite numbers for :class:`Square`.
        loss: the loss of one pattern.
        integrator: a gradient flow (``Chebyshev()``, ``RungeKutta()``; ``EulerThesis(small=0.1)``
            is the thesis's) or ``GradientDescent``.
        stop: when to end; ``Stop()`` by default.
        alpha: F does not depend on it; the losses of the result are divided by its square, as those
            of :func:`train` are.
        test: rows of the kernel (P_test, P), test by training patterns, and the test labels.
        record: what the history holds; ``Record()`` by default.

    Returns:
        The result, with the coefficients c in the place of w: F on other patterns is their kernel
        rows times ``w``.

    Raises:
        ValueError: shapes, dtypes or labels that do not fit, a matrix that is no kernel, a method
            that is no flow of the outputs (Adam, SGD, Fire), the observable ``displacement``.

    Source: Ch. 3, paper I, App. A, Eq. 25-28.
    """
    if isinstance(integrator, Adam | SGD | Fire):
        raise ValueError(
            f"integrator: {integrator} given; allowed: a gradient flow or GradientDescent"
        )
    if K.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"K: {K.dtype} given; allowed: torch.float32 and torch.float64")
    if K.ndim != 2 or K.shape[0] != K.shape[1] or len(K) == 0:
        raise ValueError(f"K: shape {tuple(K.shape)} given; allowed: (P, P) with P >= 1")
    _check_rows("K", "y", K, y, K, loss)
    if float((K - K.T).abs().max()) > _ASYMMETRY * float(K.abs().max()):
        raise ValueError("K: a matrix that is not symmetric given; allowed: symmetric ones")
    if test is not None:
        _check_rows("test kernel", "test labels", *test, K, loss)
    c = K.new_zeros(1, len(K))
    scale = None if alpha is None else check_alpha(alpha, c)
    stop = stop or Stop()
    with torch.no_grad():
        objective = FrozenObjective(K.detach(), y, loss, scale)
        on_test = None if test is None else objective.on(test[0].detach(), test[1])
        max_time = math.inf if stop.max_time is None else stop.max_time
        stepper = integrator.start(objective, c, max_time)
        return run(stepper, stop, record or Record(), on_test)[0]


def _check_rows(
    rows_name: str, labels_name: str, rows: Tensor, labels: Tensor, K: Tensor, loss: Loss
) -> None:
    """Raise ValueError unless kernel rows and labels fit together and to the kernel."""
    P = len(K)
    if rows.ndim != 2 or rows.shape[1] != P or len(rows) == 0:
        raise ValueError(f"{rows_name}: shape {tuple(rows.shape)} given; allowed: (P_test, {P})")
    if rows.dtype != K.dtype or rows.device != K.device:
        raise ValueError(
            f"{rows_name}: {rows.dtype} on {rows.device} given; "
            f"allowed: that of K, {K.dtype} on {K.device}"
        )
    if labels.shape != rows.shape[:1]:
        raise ValueError(
            f"{labels_name}: shape {tuple(labels.shape)} given; allowed: ({len(rows)},)"
        )
    if not bool(torch.isfinite(rows).all()):
        raise ValueError(f"{rows_name}: entries that are not finite; allowed: finite numbers")
    check_labels(labels_name, labels, K.dtype, 1, loss)

"""Training one network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from symscape.dynamics._labels import check_labels
from symscape.dynamics._loop import run
from symscape.dynamics._losses import Loss
from symscape.dynamics._network_objective import NetworkObjective
from symscape.dynamics._result import TrainResult
from symscape.dynamics._stepper import Integrator
from symscape.dynamics._stop import Record, Stop
from symscape.networks import FullyConnected

__all__ = ["check_problem", "run_members", "train"]

Data = tuple[Tensor, Tensor]


def train(
    net: FullyConnected,
    w0: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    loss: Loss,
    integrator: Integrator,
    stop: Stop | None = None,
    alpha: float | None = None,
    test: Data | None = None,
    record: Record | None = None,
) -> TrainResult:
    r"""Train one network on its training set.

    Minimizes :math:`\mathcal L(w) = \frac1P\sum_\mu \ell(f(w, x_\mu), y_\mu)`, or, with ``alpha``,
    :math:`\frac1{\alpha^2P}\sum_\mu\ell(F_\mu, y_\mu)` with the predictor
    :math:`F = \alpha(f(w) - f(w_0))`.

    Args:
        net: the architecture.
        w0: initial parameters, (n_parameters,).
        x: training inputs, (P, d).
        y: labels, (P,): +-1 of the dtype of x for the binary losses, integers for the multiclass
            ones.
        loss: the loss of one pattern.
        integrator: the method, e.g. ``RungeKutta()`` (gradient flow) or ``Adam(lr=1e-3)``.
        stop: when to end; ``Stop()`` by default.
        alpha: scale of the centered predictor, > 0; None: f itself is the predictor.
        test: test inputs and labels; their error is recorded.
        record: what the history holds; ``Record()`` by default.

    Returns:
        The result. Its status is one of ``converged``, ``stalled``, ``out_of_budget``,
        ``diverged``; nothing is raised for a loss that is not finite (see
        :meth:`TrainResult.raise_if_diverged`).

    Raises:
        ValueError: shapes, dtypes or labels that do not fit.

    Source: Introduction, Section 0.2; Ch. 1, paper B, App. B; Ch. 3, paper I, Eq. 6-7.
    """
    if w0.ndim != 1:
        raise ValueError(f"w0: shape {tuple(w0.shape)} given; allowed: ({net.n_parameters},)")
    check_problem(net, w0.unsqueeze(0), x, y, loss, test)
    scale = None if alpha is None else check_alpha(alpha, w0.unsqueeze(0))
    return run_members(net, w0.unsqueeze(0), x, y, loss, integrator, stop, scale, test, record)[0]


def run_members(
    net: FullyConnected,
    w0: Tensor,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    integrator: Integrator,
    stop: Stop | None,
    alpha: Tensor | None,
    test: Data | None,
    record: Record | None,
) -> list[TrainResult]:
    """Train the members (E, n_parameters) of one batch, with arguments checked by the caller."""
    stop, record = stop or Stop(), record or Record()
    w0 = w0.detach()
    with torch.no_grad():
        objective = NetworkObjective(net, x, y, loss, alpha, w0)
        on_test = None if test is None else objective.on(*test, w0)
        max_time = math.inf if stop.max_time is None else stop.max_time
        stepper = integrator.start(objective, w0, max_time)
        return run(stepper, stop, record, on_test)


def check_alpha(alpha: float | Tensor, w0: Tensor) -> Tensor:
    """``alpha`` as one number per member, (E,).

    Raises:
        ValueError: a wrong shape, or a value that is not positive and finite.
    """
    values = torch.as_tensor(alpha, dtype=w0.dtype, device=w0.device)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != len(w0)):
        raise ValueError(
            f"alpha: shape {tuple(values.shape)} given; allowed: a number or ({len(w0)},)"
        )
    if not bool(((values > 0) & torch.isfinite(values)).all()):
        raise ValueError(f"alpha: {alpha!r} given; allowed: positive finite numbers")
    return values.expand(len(w0)).clone()


def check_problem(
    net: FullyConnected, w0: Tensor, x: Tensor, y: Tensor, loss: Loss, test: Data | None
) -> None:
    """Raise ValueError unless weights (E, n_parameters), data and labels fit together."""
    if w0.ndim != 2 or w0.shape[1] != net.n_parameters or len(w0) == 0:
        raise ValueError(
            f"w0: shape {tuple(w0.shape)} given; allowed: (E, {net.n_parameters}) with E >= 1"
        )
    if w0.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"w0: {w0.dtype} given; allowed: torch.float32 and torch.float64")
    if not bool(torch.isfinite(w0).all()):
        raise ValueError("w0: entries that are not finite given; allowed: finite numbers")
    pairs = [("x", "y", x, y)]
    if test is not None:
        pairs.append(("test inputs", "test labels", *test))
    for x_name, y_name, inputs, labels in pairs:
        if inputs.dtype != w0.dtype or inputs.device != w0.device:
            raise ValueError(
                f"{x_name}: {inputs.dtype} on {inputs.device} given; "
                f"allowed: that of w0, {w0.dtype} on {w0.device}"
            )
        if inputs.ndim not in (2, 3) or inputs.shape[-1] != net.d or inputs.shape[-2] == 0:
            raise ValueError(
                f"{x_name}: shape {tuple(inputs.shape)} given; allowed: (P, {net.d}) with P >= 1"
            )
        if labels.ndim not in (1, 2) or labels.shape[-1] != inputs.shape[-2]:
            raise ValueError(
                f"{y_name}: shape {tuple(labels.shape)} given; allowed: ({inputs.shape[-2]},)"
            )
        for name, values, least in ((x_name, inputs, 2), (y_name, labels, 1)):
            if values.ndim > least and values.shape[0] != len(w0):
                raise ValueError(
                    f"{name}: shape {tuple(values.shape)} given; "
                    f"allowed: {len(w0)} members in its first dimension"
                )
        if not bool(torch.isfinite(inputs).all()):
            raise ValueError(f"{x_name}: entries that are not finite; allowed: finite numbers")
        check_labels(y_name, labels, inputs.dtype, net.c, loss)

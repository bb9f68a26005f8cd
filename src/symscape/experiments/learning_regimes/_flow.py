"""The setup of paper I: networks in the NTK parametrization under gradient flow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.dynamics import Integrator, Loss, TrainResult
    from symscape.networks import FullyConnected


def network(d: int, h: int, L: int, activation: str = "softplus") -> FullyConnected:
    """A network without biases whose activation has unit second moment (paper I, Sec. 2)."""
    from symscape.networks import FullyConnected

    return FullyConnected(
        d, h, L, parametrization="ntp", activation=activation, bias=False, normalized=True
    )


def flow(
    net: FullyConnected,
    w0: Tensor,
    x: Tensor,
    y: Tensor,
    tilde_alpha: float,
    *,
    tol: float,
    max_steps: int,
    loss: Loss | None = None,
    integrator: Integrator | None = None,
) -> TrainResult:
    r"""Gradient flow of :math:`F=\alpha(f(w)-f(w_0))`, :math:`\alpha=\tilde\alpha/\sqrt h`, until
    every point has the margin 1.

    It also ends after ``max_steps`` steps, or where the loss has come to rest above zero: it falls
    by less than a hundredth in 60 steps.

    Args:
        net: the network.
        w0: its initial weights.
        x: training inputs.
        y: labels.
        tilde_alpha: scale of the predictor, > 0.
        tol: tolerance of a step.
        max_steps: limit on the steps.
        loss: the soft hinge of paper I by default.
        integrator: ``Chebyshev`` by default, to which alone ``tol`` is given.

    Raises:
        FloatingPointError: the flow diverged.
    """
    from symscape.dynamics import Chebyshev, ErrorPerStep, Plateau, Record, SoftHinge, Stop, train

    result = train(
        net,
        w0,
        x,
        y,
        loss=loss or SoftHinge(),
        integrator=integrator or Chebyshev(ErrorPerStep(tol), max_stages=30),
        alpha=tilde_alpha / math.sqrt(net.h),
        stop=Stop(max_steps=max_steps, plateau=Plateau(60, 1e-2), loss_below=None),
        record=Record(per_decade=0, every=None),
    )
    result.raise_if_diverged()
    return result


def predictor(net: FullyConnected, w: Tensor, w0: Tensor, x: Tensor, tilde_alpha: float) -> Tensor:
    """F on the points x."""
    return tilde_alpha / math.sqrt(net.h) * (net(w, x) - net(w0, x))

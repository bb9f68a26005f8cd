"""How far and how fast networks move in training."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.dynamics._losses import Loss
from symscape.dynamics._network_objective import NetworkObjective
from symscape.dynamics._train import check_alpha, check_problem
from symscape.networks import FullyConnected

__all__ = ["displacement", "output_norm", "preactivation_speed"]


def displacement(w: Tensor, w0: Tensor) -> Tensor:
    r"""How far the weights moved, :math:`\|w - w_0\| / \|w_0\|` over all parameters.

    Args:
        w: parameters, (..., n_parameters).
        w0: initial parameters, of a shape that broadcasts with it.

    Returns:
        (...).

    Source: Ch. 3, paper I, Fig. 9.
    """
    norm = torch.linalg.vector_norm
    return norm(w - w0, dim=-1) / norm(w0, dim=-1)


def output_norm(f: Tensor) -> Tensor:
    r"""The norm of a function on a set of points, :math:`\langle f(x_\mu)^2\rangle_\mu^{1/2}`.

    Args:
        f: outputs, (..., P).

    Returns:
        (...).

    Source: Ch. 2, paper B, Section 3; Ch. 3, paper I, Eq. 31.
    """
    return f.square().mean(-1).sqrt()


def preactivation_speed(
    net: FullyConnected,
    w0: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    loss: Loss,
    alpha: float | None = None,
) -> Tensor:
    r"""How fast the preactivations of each layer move when the gradient flow starts.

    For the layers l = 1..L,

    .. math::
        \Big(\frac1P\sum_\mu\frac1h\sum_i \dot{\tilde z}^l_i(x_\mu)^2\Big)^{1/2}, \qquad
        \dot w = -\nabla\mathcal L(w_0),

    with the exact derivative of the preactivations along :math:`\dot w`, which goes through the
    layers with :math:`\dot{\tilde z}^{l+1} = \lambda(\dot W z^l + W \dot z^l) + \dot b`.

    Args:
        net: the architecture, with L >= 1.
        w0: initial parameters, (n_parameters,).
        x: training inputs, (P, d).
        y: labels, (P,).
        loss: the loss of one pattern.
        alpha: scale of the centered predictor; None: f itself is the predictor.

    Returns:
        (L,).

    Raises:
        ValueError: arguments that do not fit, see :func:`train`.

    Source: Ch. 3, paper I, App. D, Fig. 11.
    """
    if w0.ndim != 1:
        raise ValueError(f"w0: shape {tuple(w0.shape)} given; allowed: ({net.n_parameters},)")
    if net.L == 0:
        raise ValueError("net: no hidden layer given; allowed: L >= 1")
    members = w0.detach().unsqueeze(0)
    check_problem(net, members, x, y, loss, None)
    scale = None if alpha is None else check_alpha(alpha, members)
    with torch.no_grad():
        objective = NetworkObjective(net, x, y, loss, scale, members)
        objective.evaluate(members)
        velocity = -objective.gradient()[0]
        return torch.stack([a.square().mean().sqrt() for a in _moving(net, w0, velocity, x)])


def _moving(net: FullyConnected, w: Tensor, velocity: Tensor, x: Tensor) -> list[Tensor]:
    """The derivatives of the L preactivations along a velocity of the weights, (h, P) each."""
    layers = zip(net.unpack(w), net.unpack(velocity), net.prefactors, strict=True)
    preactivations = net.preactivations(w, x)
    z, z_dot, moving = x.mT, torch.zeros_like(x.mT), []
    # the last layer is left out
    for a, ((W, _), (W_dot, b_dot), prefactor) in zip(preactivations, layers, strict=False):
        a_dot = prefactor * (W_dot @ z + W @ z_dot)
        if b_dot is not None:
            a_dot = a_dot + net.bias_factor * b_dot.unsqueeze(-1)
        moving.append(a_dot)
        z, z_dot = net.phi.f(a.mT), net.phi.df(a.mT) * a_dot
    return moving

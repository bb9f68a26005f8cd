"""How the output of a network changes with its input, at many points at once."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.networks import FullyConnected

__all__ = ["input_gradient_norm", "input_gradients"]

# points that go through the layers together
_BLOCK = 4096


def input_gradients(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    r"""The gradients :math:`\nabla_x f(w, x_\mu)`, by one backward pass and no autograd.

    Where a preactivation is exactly at the kink of a relu its derivative is taken as 0.

    Args:
        net: a network with one output.
        w: parameters, (..., n_parameters); leading dimensions are members of an ensemble.
        x: points, (P, d).

    Returns:
        (..., P, d).

    Raises:
        ValueError: several outputs, or wrong shapes.

    Source: Ch. 2, paper B, Section 3.
    """
    if net.c != 1:
        raise ValueError(f"net: {net.c} outputs given; allowed: one output")
    if x.ndim != 2 or x.shape[1] != net.d:
        raise ValueError(f"x: shape {tuple(x.shape)} given; allowed: (P, {net.d})")
    with torch.no_grad():
        return torch.cat([_of_block(net, w, block) for block in x.split(_BLOCK)], dim=-2)


def input_gradient_norm(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    r"""The lengths :math:`\|\nabla_x f(w, x_\mu)\|`, (..., P); see :func:`input_gradients`."""
    return torch.linalg.vector_norm(input_gradients(net, w, x), dim=-1)


def _of_block(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    matrices = [
        prefactor * matrix
        for prefactor, (matrix, _) in zip(net.prefactors, net.unpack(w), strict=True)
    ]
    # (..., h, P) from one column of the last layer for all points
    delta = matrices[-1].mT.expand(*w.shape[:-1], -1, len(x))
    activations = net.preactivations(w, x)
    for matrix, a in zip(matrices[-2::-1], activations[::-1], strict=True):
        delta = matrix.mT @ (delta * net.phi.df(a.mT))
    return delta.mT

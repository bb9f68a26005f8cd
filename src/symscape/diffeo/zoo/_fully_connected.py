"""Fully connected networks in the parametrization of the chapter."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["FullConn"]


class FullConn(nn.Module):
    r"""L linear maps, :math:`z = \mathrm{relu}(W z'/\sqrt{n'} + b)`, the last one
    :math:`W z/n` without bias; all weights and biases are drawn from N(0, 1).

    The scaling of the last map goes with ADAM at a rate of 0.1.

    Args:
        inputs: size of an image, channels times pixels.
        classes: number of outputs.
        depth: L, the number of linear maps, >= 2.
        width: of the hidden layers.

    Source: Ch. 4, App. E.1 and Table 1.
    """

    def __init__(self, inputs: int, classes: int, depth: int, width: int) -> None:
        super().__init__()
        sizes = [inputs, *[width] * (depth - 1)]
        self.hidden = nn.ModuleList(_Scaled(*pair) for pair in pairwise(sizes))
        self.last = nn.Parameter(torch.randn(classes, width))

    def forward(self, x: Tensor) -> Tensor:
        """The outputs, (B, classes)."""
        z = x.flatten(1)
        for layer in self.hidden:
            z = layer(z)
        return z @ self.last.T / self.last.shape[1]


class _Scaled(nn.Module):
    def __init__(self, fan_in: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, fan_in))
        self.bias = nn.Parameter(torch.randn(out))

    def forward(self, z: Tensor) -> Tensor:
        return torch.relu(z @ self.weight.T / self.weight.shape[1] ** 0.5 + self.bias)

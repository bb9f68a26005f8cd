"""A fully connected network as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.networks._fully_connected import FullyConnected

__all__ = ["FullyConnectedModule"]


class FullyConnectedModule(torch.nn.Module):
    """The network ``net`` with its own parameters ``weights.0, biases.0, weights.1, ...``.

    Args:
        net: the architecture.
        w: initial parameters, (n_parameters,); copied.
    """

    def __init__(self, net: FullyConnected, w: Tensor) -> None:
        super().__init__()
        if w.ndim != 1:
            raise ValueError(f"w: shape {tuple(w.shape)} given; allowed: ({net.n_parameters},)")
        self.net = net
        layers = net.unpack(w.detach().clone())
        self.weights = torch.nn.ParameterList(matrix for matrix, _ in layers)
        self.biases = torch.nn.ParameterList(b for _, b in layers if b is not None)

    def flat(self) -> Tensor:
        """The parameters as one vector, in the order of ``net``."""
        biases = list(self.biases) if self.net.bias else [None] * len(self.weights)
        return self.net.pack(list(zip(self.weights, biases, strict=True)))

    def forward(self, x: Tensor) -> Tensor:
        """f(w, x): (P, d) -> (P,), or (P, c)."""
        return self.net(self.flat(), x)

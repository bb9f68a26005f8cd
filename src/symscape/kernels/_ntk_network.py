"""Weight gradients of the library's fully connected networks, without a Jacobian."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.kernels._ntk_blocks import Outer
from symscape.networks import FullyConnected

__all__ = ["NetworkSource"]


class NetworkSource:
    r"""Activations and backward signals of a :class:`symscape.networks.FullyConnected`.

    With the backward signals :math:`\delta^l=\partial f/\partial\tilde z^l` of the layer l, whose
    preactivation is :math:`\tilde z^l=\lambda_lW^lz^{l-1}+s\,b^l`
    (s = 0 without biases),

    .. math:: \Theta(x,x')=\sum_{l=1}^{L+1}(\delta^l\cdot\delta'^l)
              (\lambda_l^2\,z^{l-1}\cdot z'^{l-1}+s^2).

    Source: Ch. 3, paper I, Section 5; sheet 03, Section 2.
    """

    def __init__(self, net: FullyConnected, w: Tensor, each: bool) -> None:
        self._net = net
        self._layers = net.unpack(w.detach())
        self._each = each
        self.r = net.c if each else 1
        neurons = sum(fan_in for _, fan_in in net.shapes)
        signals = net.c * sum(out for out, _ in net.shapes)
        self.bytes_held = (neurons + signals) * w.element_size()
        # preactivations are kept until the backward signals are known, which are made of three
        # arrays of one layer
        widest = max(out for out, _ in net.shapes)
        self.bytes_passing = (neurons + (net.c + 2) * widest) * w.element_size()
        self.bytes_fixed = max(out * fan_in for out, fan_in in net.shapes) * w.element_size()

    @torch.no_grad()
    def features(self, x: Tensor) -> list[Outer]:
        net, P = self._net, len(x)
        values, preactivations = [x], []
        for (matrix, b), prefactor in zip(self._layers[:-1], net.prefactors):
            a = (values[-1] @ matrix.mT).mul_(prefactor)
            if b is not None:
                a += net.bias_factor * b
            preactivations.append(a)
            values.append(net.phi.f(a))
        identity = torch.eye(net.c, dtype=x.dtype, device=x.device)
        delta = identity.expand(P, net.c, net.c)
        features = []
        for index in range(net.L, -1, -1):
            prefactor = net.prefactors[index]
            signals = delta if self._each else delta.flatten(1).unsqueeze(1)
            bias = net.bias_factor**2 if net.bias else 0.0
            features.append(Outer(signals, values[index], bias, prefactor**2))
            if index > 0:
                matrix = prefactor * self._layers[index][0]
                delta = net.phi.df(preactivations[index - 1]).unsqueeze(1) * (delta @ matrix)
        return features

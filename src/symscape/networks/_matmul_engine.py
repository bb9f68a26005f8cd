"""Propagation by matrix products of torch: any device, any width, one network or many."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from symscape.networks._fully_connected import FullyConnected

__all__ = ["MatmulEngine", "layer_factors"]


def layer_factors(net: FullyConnected) -> list[float]:
    """What multiplies each weight matrix when neurons hold the activation's base function.

    The prefactor of the layer times the scale of the activation below it.
    """
    scale = net.phi.scale if net.phi.derivative_from_value is not None else 1.0
    return [
        prefactor * (scale if index > 0 else 1.0) for index, prefactor in enumerate(net.prefactors)
    ]


class MatmulEngine:
    """See :class:`symscape.networks.Propagator`.

    Each layer is one matrix [W b] applied to neurons with a row of ones below them, so that the
    bias and its gradient need no pass of their own.
    """

    name: Literal["compiled", "matmul"] = "matmul"

    def __init__(self, net: FullyConnected, x: Tensor, members: int | None) -> None:
        self._net = net
        self._batch: tuple[int, ...] = () if members is None else (members,)
        self._mm = torch.mm if members is None else torch.bmm
        self._ones = 1 if net.bias else 0
        self._in_place = net.phi.derivative_from_value is not None
        P = x.shape[-2]
        batch = self._batch
        inputs = x.new_ones((*x.shape[:-2], net.d + self._ones, P))
        inputs[..., : net.d, :] = x.mT
        if members is not None:
            inputs = inputs.expand(members, -1, -1)
        hidden = [x.new_ones((*batch, width + self._ones, P)) for width in net.widths]
        self._z = [inputs, *hidden]
        self._a = [] if self._in_place else [x.new_empty((*batch, h, P)) for h in net.widths]
        self._f = x.new_empty((*batch, net.c, P))
        widest = max(net.widths, default=0)
        self._delta = [x.new_empty((*batch, widest, P)) for _ in range(min(net.L, 2))]
        self._order, self._inverse, factors = _augmented_order(net)
        self._order, self._inverse = self._order.to(x.device), self._inverse.to(x.device)
        self._factors = None if bool((factors == 1).all()) else factors.to(x)
        self._matrices = x.new_empty((*batch, net.n_parameters))
        self._gradient = torch.empty_like(self._matrices)
        self._ordered = torch.empty_like(self._matrices)
        self._views = self._split(self._matrices)
        self._gradient_views = self._split(self._gradient)

    def forward(self, w: Tensor) -> Tensor:
        torch.index_select(w, -1, self._order, out=self._matrices)
        if self._factors is not None:
            self._matrices.mul_(self._factors)
        for index, width in enumerate(self._net.widths):
            z = self._z[index + 1][..., :width, :]
            if self._in_place:
                self._mm(self._views[index], self._z[index], out=z)
                _apply_base(self._net, z)
            else:
                self._mm(self._views[index], self._z[index], out=self._a[index])
                z.copy_(self._net.phi.f(self._a[index]))
        self._mm(self._views[-1], self._z[-1], out=self._f)
        return self._f.squeeze(-2) if self._net.c == 1 else self._f.mT

    def backward(self, df: Tensor, active: Tensor | None) -> Tensor:
        net = self._net
        z, a, buffers = self._z, self._a, self._delta
        delta = df.unsqueeze(-2) if net.c == 1 else df.mT
        if not self._batch and delta.device.type == "cpu":
            if active is None:
                active = (delta != 0).any(0).nonzero().squeeze(1)
            if 2 * len(active) < delta.shape[-1]:
                z, a, buffers = ([t[:, active] for t in group] for group in (z, a, buffers))
                delta = delta[:, active]
                active = None
        if active is not None and len(active) < delta.shape[-1]:
            mask = torch.zeros_like(delta[0]).index_fill_(0, active, 1.0)
            delta = delta * mask
        for index in range(net.L, -1, -1):
            self._mm(delta, z[index].mT, out=self._gradient_views[index])
            if index > 0:
                width = net.widths[index - 1]
                below = buffers[index % len(buffers)][..., :width, :]
                matrix = self._views[index][..., :width]
                self._mm(matrix.mT, delta, out=below)
                if self._in_place:
                    _times_base_derivative(net, below, z[index][..., :width, :])
                else:
                    below.mul_(net.phi.df(a[index - 1]))
                delta = below
        if self._factors is not None:
            self._gradient.mul_(self._factors)
        return torch.index_select(self._gradient, -1, self._inverse, out=self._ordered)

    def _split(self, flat: Tensor) -> list[Tensor]:
        views, start = [], 0
        for out, fan_in in self._net.shapes:
            size = out * (fan_in + self._ones)
            views.append(flat[..., start : start + size].unflatten(-1, (out, fan_in + self._ones)))
            start += size
        return views


def _augmented_order(net: FullyConnected) -> tuple[Tensor, Tensor, Tensor]:
    """Where each entry of the matrices [W b] sits in w, the inverse, and the entries' factors."""
    indices, factors = [], []
    layers = net.unpack(torch.arange(net.n_parameters))
    for (matrix, b), factor in zip(layers, layer_factors(net), strict=True):
        columns, scale = [matrix], [torch.full(matrix.shape, factor, dtype=torch.float64)]
        if b is not None:
            columns.append(b.unsqueeze(1))
            scale.append(torch.full((len(b), 1), net.bias_factor, dtype=torch.float64))
        indices.append(torch.cat(columns, 1).flatten())
        factors.append(torch.cat(scale, 1).flatten())
    order = torch.cat(indices)
    return order, torch.argsort(order), torch.cat(factors)


def _apply_base(net: FullyConnected, a: Tensor) -> None:
    """a <- base function of the activation, in place."""
    name = net.phi.name
    if name == "relu":
        a.clamp_min_(0.0)
    elif name == "tanh":
        a.tanh_()
    elif name != "linear":
        a.copy_(net.phi.f(a))
        if net.phi.scale != 1.0:
            a.div_(net.phi.scale)


def _times_base_derivative(net: FullyConnected, delta: Tensor, z: Tensor) -> None:
    """delta <- delta * (derivative of the base function, from its value z), in place."""
    name = net.phi.name
    if name == "relu":
        torch.ops.aten.threshold_backward.grad_input(delta, z, 0.0, grad_input=delta)
    elif name == "tanh":
        torch.ops.aten.tanh_backward.grad_input(delta, z, grad_input=delta)
    elif name != "linear" and net.phi.derivative_from_value is not None:
        delta.mul_(net.phi.derivative_from_value(z))

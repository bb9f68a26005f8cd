"""Propagation of one network on the CPU by compiled loops."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from symscape.networks import _kernels
from symscape.networks._fully_connected import FullyConnected
from symscape.networks._matmul_engine import layer_factors

__all__ = ["KINDS", "CompiledEngine", "factors_in_w"]

KINDS = {
    "linear": _kernels.LINEAR,
    "relu": _kernels.RELU,
    "tanh": _kernels.TANH,
    "softplus": _kernels.SOFTPLUS,
}

# columns of a block (measured): shorter rows pay for the entry of each loop, longer ones leave the
# cache
_BLOCK = 192


class CompiledEngine:
    """See :class:`symscape.networks.Propagator`; for the named activations only."""

    name: Literal["compiled", "matmul"] = "compiled"

    def __init__(self, net: FullyConnected, x: Tensor) -> None:
        self._net = net
        self._P = P = len(x)
        blocks = -(-P // _BLOCK)
        B = -(-P // (16 * blocks)) * 16
        padded = np.zeros((blocks * B, net.d), dtype=x.numpy().dtype)
        padded[:P] = x.numpy()
        self._x = np.ascontiguousarray(padded.reshape(blocks, B, net.d).transpose(0, 2, 1))
        self._z = np.zeros((blocks, net.L, max(net.widths, default=0), B), dtype=padded.dtype)
        self._kind = KINDS[net.phi.name]
        smooth = self._kind == _kernels.SOFTPLUS
        self._slope = np.zeros(self._z.shape if smooth else (0, 0, 0, 0), dtype=padded.dtype)
        self._f = np.zeros((blocks, net.c, B), dtype=padded.dtype)
        self._sizes = np.array([net.d, *net.widths, net.c], dtype=np.int64)
        self._beta = net.phi.beta
        self._gradient = np.zeros(net.n_parameters, dtype=padded.dtype)
        factors = factors_in_w(net)
        self._factors = None if bool((factors == 1).all()) else factors.astype(padded.dtype)
        self._w = np.zeros_like(self._gradient)

    def forward(self, w: Tensor) -> Tensor:
        numbers = w.numpy()
        if self._factors is None:
            self._w[:] = numbers
        else:
            np.multiply(numbers, self._factors, out=self._w)
        _kernels.forward(
            self._w,
            self._sizes,
            self._net.bias,
            self._kind,
            self._beta,
            self._x,
            self._z,
            self._slope,
            self._f,
        )
        if self._net.c == 1:
            return torch.from_numpy(self._f.reshape(-1))[: self._P]
        return torch.from_numpy(self._f).transpose(1, 2).reshape(-1, self._net.c)[: self._P]

    def backward(self, df: Tensor, active: Tensor | None) -> Tensor:
        if active is not None:
            df = torch.zeros_like(df).index_copy_(0, active, df[active])
        columns = np.ascontiguousarray(df.reshape(self._P, self._net.c).numpy().T)
        _kernels.backward(
            self._w,
            self._sizes,
            self._net.bias,
            self._kind,
            columns,
            self._x,
            self._z,
            self._slope,
            self._gradient,
        )
        if self._factors is not None:
            self._gradient *= self._factors
        return torch.from_numpy(self._gradient)


def factors_in_w(net: FullyConnected) -> np.ndarray:
    """The factor of each entry of w: that of its layer, or of the biases."""
    parts = []
    for (out, fan_in), factor in zip(net.shapes, layer_factors(net), strict=True):
        parts.append(np.full(out * fan_in, factor))
        if net.bias:
            parts.append(np.full(out, net.bias_factor))
    return np.concatenate(parts)

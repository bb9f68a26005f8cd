"""A fully connected network on random batches, with optional batch normalization."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from symscape.networks import FullyConnected

__all__ = ["BatchNetwork", "CompiledBatchNetwork"]

# added to the variance, torch's default
_EPSILON = 1e-5


class BatchNetwork:
    r"""Forward and backward passes of E members, each on its own batch.

    With batch normalization each hidden preactivation :math:`\tilde z_i` becomes
    :math:`\gamma_i(\tilde z_i - \mu_i)/\sqrt{s_i^2 + 10^{-5}} + \beta_i` with the mean and the
    variance over the batch. The :math:`\gamma` and :math:`\beta` of all hidden layers follow the
    parameters of the network in the vector of parameters.

    Args:
        net: the architecture.
        batch_norm: whether preactivations are normalized.
    """

    def __init__(self, net: FullyConnected, batch_norm: bool) -> None:
        self._net = net
        self._batch_norm = batch_norm and net.L > 0

    def extend(self, w: Tensor) -> Tensor:
        """Parameters with unit scales and zero shifts after those of the network."""
        if not self._batch_norm:
            return w
        size = (len(w), self._net.n_neurons)
        return torch.cat([w, w.new_ones(size), w.new_zeros(size)], -1)

    def forward(self, parameters: Tensor, x: Tensor) -> Tensor:
        """Outputs (E, b) or (E, b, c) on the batches x, (E, b, d)."""
        net = self._net
        layers, scales, shifts = self._split(parameters)
        z = x.mT
        self._below, self._slopes, self._normalized = [], [], []
        for index, (matrix, b) in enumerate(layers):
            self._below.append(z)
            a = net.prefactors[index] * (matrix @ z)
            if b is not None:
                a = a + net.bias_factor * b.unsqueeze(-1)
            if index == net.L:
                break
            if self._batch_norm:
                deviation = torch.rsqrt(a.var(-1, correction=0, keepdim=True) + _EPSILON)
                a_hat = (a - a.mean(-1, keepdim=True)) * deviation
                self._normalized.append((a_hat, deviation))
                a = scales[:, index].unsqueeze(-1) * a_hat + shifts[:, index].unsqueeze(-1)
            self._slopes.append(net.phi.df(a))
            z = net.phi.f(a)
        self._layers, self._scales = layers, scales
        return a.squeeze(-2) if net.c == 1 else a.mT

    def backward(self, df: Tensor) -> Tensor:
        """The gradient by all parameters, (E, n), of the sum of df times the outputs."""
        net = self._net
        delta = df.unsqueeze(-2) if net.c == 1 else df.mT
        gradients: list[tuple[Tensor, Tensor | None]] = []
        scales, shifts = [], []
        for index in range(net.L, -1, -1):
            matrix, b = self._layers[index]
            prefactor = net.prefactors[index]
            below = self._below[index]
            to_bias = None if b is None else net.bias_factor * delta.sum(-1)
            gradients.append((prefactor * (delta @ below.mT), to_bias))
            if index == 0:
                break
            delta = prefactor * (matrix.mT @ delta) * self._slopes[index - 1]
            if self._batch_norm:
                a_hat, deviation = self._normalized[index - 1]
                scales.append((delta * a_hat).sum(-1))
                shifts.append(delta.sum(-1))
                delta = delta * self._scales[:, index - 1].unsqueeze(-1)
                along = (delta * a_hat).mean(-1, keepdim=True)
                delta = (delta - delta.mean(-1, keepdim=True) - a_hat * along) * deviation
        w = net.pack(gradients[::-1])
        return torch.cat([w, *scales[::-1], *shifts[::-1]], -1)

    def fold(self, parameters: Tensor, x: Tensor) -> Tensor:
        """The parameters (E, n_parameters) of the plain network with the statistics of ``x``."""
        net = self._net
        if not self._batch_norm:
            return parameters
        layers, scales, shifts = self._split(parameters)
        folded: list[tuple[Tensor, Tensor | None]] = []
        z = x.mT
        for index, (matrix, b) in enumerate(layers):
            if index == net.L or b is None:
                folded.append((matrix, b))
                break
            b = net.bias_factor * b
            a = net.prefactors[index] * (matrix @ z) + b.unsqueeze(-1)
            deviation = torch.rsqrt(a.var(-1, correction=0) + _EPSILON)
            factor = scales[:, index] * deviation
            shift = factor * (b - a.mean(-1)) + shifts[:, index]
            folded.append((factor.unsqueeze(-1) * matrix, shift / net.bias_factor))
            z = net.phi.f(factor.unsqueeze(-1) * (a - b.unsqueeze(-1)) + shift.unsqueeze(-1))
        return net.pack(folded)

    def _split(
        self, parameters: Tensor
    ) -> tuple[list[tuple[Tensor, Tensor | None]], Tensor, Tensor]:
        """Layers, scales (E, L, h) and shifts (E, L, h)."""
        net = self._net
        layers = net.unpack(parameters[:, : net.n_parameters])
        rest = parameters[:, net.n_parameters :]
        if not self._batch_norm:
            return layers, rest, rest
        scales, shifts = rest.unflatten(-1, (2, net.L, net.widths[0])).unbind(1)
        return layers, scales, shifts


class CompiledBatchNetwork(BatchNetwork):
    """The same for one member on the CPU, by compiled loops."""

    def __init__(self, net: FullyConnected, batch_norm: bool, batch: int, w: Tensor) -> None:
        super().__init__(net, batch_norm)
        from symscape.dynamics import _batch_kernels
        from symscape.networks._compiled_engine import KINDS, factors_in_w

        self._kernels = _batch_kernels
        dtype = w.numpy().dtype
        self._kind = KINDS[net.phi.name]
        self._sizes = np.array([net.d, *net.widths, net.c], dtype=np.int64)
        self._factors = factors_in_w(net).astype(dtype)
        widest = max(net.widths, default=0)
        self._z = np.zeros((1, net.L, widest, batch), dtype)
        self._slope = np.zeros_like(self._z)
        kept = (net.L, widest) if self._batch_norm else (0, 0)
        self._normal = np.zeros((*kept, batch), dtype)
        self._deviation = np.zeros(kept, dtype)
        self._to_norm = np.zeros((2, *kept), dtype)
        self._f = np.zeros((net.c, batch), dtype)
        self._gradient = np.zeros(net.n_parameters, dtype)

    def forward(self, parameters: Tensor, x: Tensor) -> Tensor:
        net = self._net
        numbers = parameters[0].numpy()
        self._w = numbers[: net.n_parameters] * self._factors
        self._norm = numbers[net.n_parameters :].reshape(self._to_norm.shape)
        self._x = np.ascontiguousarray(x[0].numpy().T)
        self._kernels.forward(
            self._w, self._sizes, net.bias, self._kind, net.phi.beta, _EPSILON, self._norm,
            self._x, self._z, self._slope, self._normal, self._deviation, self._f,
        )  # fmt: skip
        f = torch.from_numpy(self._f)
        return f if net.c == 1 else f.T.unsqueeze(0)

    def backward(self, df: Tensor) -> Tensor:
        net = self._net
        columns = np.ascontiguousarray(df.numpy() if net.c == 1 else df[0].numpy().T)
        self._kernels.backward(
            self._w, self._sizes, net.bias, self._kind, self._norm, columns, self._x, self._z,
            self._slope, self._normal, self._deviation, self._gradient, self._to_norm,
        )  # fmt: skip
        gradient = np.concatenate([self._gradient * self._factors, self._to_norm.reshape(-1)])
        return torch.from_numpy(gradient).unsqueeze(0)

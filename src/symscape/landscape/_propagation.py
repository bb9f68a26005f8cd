"""One forward and one backward pass of a scalar network, with everything that Hessians reuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from symscape.networks import FullyConnected

__all__ = ["PatternLoss", "Propagation", "propagate", "require_parameters", "require_scalar"]


class PatternLoss(Protocol):
    """What a loss must offer here: derivatives with respect to the output, per pattern."""

    def derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """First derivative of the loss of each pattern with respect to its output, ``(P,)``."""
        ...

    def second_derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """Second derivative of the loss of each pattern with respect to its output, ``(P,)``."""
        ...


@dataclass(frozen=True)
class Propagation:
    r"""Forward and backward quantities on P patterns, feature-major, layers l = 1..L+1.

    ``a_l = W_l z_{l-1} + b_l``, ``z_l = phi(a_l)``, ``f = a_{L+1}``, where the prefactor of the
    parametrization is inside ``W_l``. Lists are indexed from 0, so entry ``l-1`` is layer l.

    Attributes:
        net: the network.
        matrices: ``W_l`` times its prefactor, ``(n_l, n_{l-1})``.
        inputs: ``z_{l-1}``, ``(n_{l-1}, P)``.
        slopes: ``phi'(a_l)`` of the hidden layers, ``(h, P)``.
        bends: ``phi''(a_l) df/dz_l`` of the hidden layers, ``(h, P)``.
        deltas: ``df/da_l``, ``(n_l, P)``; the last is 1.
        f: outputs, ``(P,)``.
        curved: whether any bend is non-zero; False for relu.
    """

    net: FullyConnected
    matrices: list[Tensor]
    inputs: list[Tensor]
    slopes: list[Tensor]
    bends: list[Tensor]
    deltas: list[Tensor]
    f: Tensor
    curved: bool

    @property
    def P(self) -> int:
        """Number of patterns."""
        return self.f.shape[0]

    def select(self, patterns: slice) -> Propagation:
        """The same pass on a slice of the patterns, as views."""

        def cut(tensors: list[Tensor]) -> list[Tensor]:
            return [tensor[:, patterns] for tensor in tensors]

        return Propagation(
            self.net,
            self.matrices,
            cut(self.inputs),
            cut(self.slopes),
            cut(self.bends),
            cut(self.deltas),
            self.f[patterns],
            self.curved,
        )

    def extended_input(self, index: int) -> Tensor:
        """Derivative of ``a_l`` by the parameters that feed it: prefactor times ``z_{l-1}``, and 1.

        The last row belongs to the bias and is absent where the net has none.
        """
        z = self.inputs[index] * self.net.prefactors[index]
        if not self.net.bias:
            return z
        return torch.cat([z, torch.ones_like(z[:1])])

    def gradients(self) -> Tensor:
        """Gradients of f by all parameters, one column per pattern, ``(N_tot, P)``."""
        rows: list[Tensor] = []
        for index, delta in enumerate(self.deltas):
            z = self.inputs[index] * self.net.prefactors[index]
            rows.append((delta[:, None, :] * z[None, :, :]).flatten(0, 1))
            if self.net.bias:
                rows.append(delta)
        return torch.cat(rows)


def require_scalar(net: FullyConnected) -> None:
    """Raise unless the network has one output."""
    if net.c != 1:
        raise ValueError(f"net must have one output (c = 1); got c = {net.c}")


def require_parameters(net: FullyConnected, w: Tensor) -> None:
    """Raise unless ``w`` is one vector of the network's parameters: batches are not supported."""
    if w.shape != (net.n_parameters,):
        raise ValueError(f"w must have shape ({net.n_parameters},); got {tuple(w.shape)}")


def propagate(net: FullyConnected, w: Tensor, x: Tensor) -> Propagation:
    """Run the network forward and backward on x.

    Args:
        net: network with one output.
        w: parameters, ``(N_tot,)``.
        x: inputs, ``(P, d)``.

    Raises:
        ValueError: more than one output, a factor of the biases, or wrong shapes or dtypes.
    """
    require_scalar(net)
    if net.bias and net.bias_factor != 1.0:
        raise ValueError(f"net: bias_factor={net.bias_factor} given; allowed: 1 for the landscape")
    require_parameters(net, w)
    if x.ndim != 2 or x.shape[1] != net.d:
        raise ValueError(f"x must have shape (P, {net.d}); got {tuple(x.shape)}")
    if x.dtype != w.dtype:
        raise ValueError(f"x must have the dtype of w, {w.dtype}; got {x.dtype}")
    layers = net.unpack(w.detach())
    matrices = [
        matrix if prefactor == 1.0 else prefactor * matrix
        for (matrix, _), prefactor in zip(layers, net.prefactors, strict=True)
    ]
    inputs = [x.detach().T.contiguous()]
    slopes, curvatures = [], []
    a = torch.empty(0)
    for index, (_, b) in enumerate(layers):
        a = matrices[index] @ inputs[index]
        if b is not None:
            a = a + b[:, None]
        if index < net.L:
            inputs.append(net.phi.f(a))
            slopes.append(net.phi.df(a))
            curvatures.append(net.phi.d2f(a))
    deltas = [torch.ones_like(a)]
    bends: list[Tensor] = []
    for index in range(net.L - 1, -1, -1):
        pull = matrices[index + 1].T @ deltas[0]
        deltas.insert(0, slopes[index] * pull)
        bends.insert(0, curvatures[index] * pull)
    curved = any(bool(bend.any()) for bend in bends)
    return Propagation(net, matrices, inputs, slopes, bends, deltas, a[0], curved)

"""Values and weight gradients of a network on a fixed set of inputs, without autograd."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.networks._activations import COMPILED
from symscape.networks._fully_connected import FullyConnected
from symscape.networks._matmul_engine import MatmulEngine

__all__ = ["Propagator"]

# above this width the matrix products of the BLAS are faster than the compiled loops (measured)
_WIDEST_COMPILED = 100


class _Engine(Protocol):
    name: Literal["compiled", "matmul"]

    def forward(self, w: Tensor) -> Tensor: ...

    def backward(self, df: Tensor, active: Tensor | None) -> Tensor: ...


class Propagator:
    r"""Forward and backward passes of ``net`` on the inputs ``x``, with preallocated buffers.

    This is what a training loop needs and nothing more: :meth:`forward` gives
    :math:`f(w, x_\mu)` and keeps the neurons' values, :meth:`backward` gives
    :math:`\sum_\mu \delta_\mu \nabla_w f(w, x_\mu)` at the weights of the last forward pass.
    Patterns with :math:`\delta_\mu = 0` (the satisfied ones of a hinge loss) cost nothing in the
    backward pass. Results agree with autograd to rounding.

    Arrays are feature-major inside, (h, P): for widths of tens of neurons that is twice as fast
    as (P, h).

    Args:
        net: the architecture.
        x: inputs, (P, d); or (E, P, d) with ``members`` = E, one set of inputs per member. Its
            dtype and device are those of the computation.
        members: number of members E of an ensemble that is propagated at once; None for one
            network without the leading dimension.

    Raises:
        ValueError: shapes that do not fit.
    """

    def __init__(self, net: FullyConnected, x: Tensor, *, members: int | None = None) -> None:
        if members is not None:
            members = integer("members", members, 1, allowed="None or an integer >= 1")
        dimensions = 2 if members is None or x.ndim == 2 else 3
        wrong_members = dimensions == 3 and x.shape[0] != members
        if x.ndim != dimensions or x.shape[-1] != net.d or wrong_members:
            prefix = "" if members is None else f"({members}, P, {net.d}) or "
            raise ValueError(f"x: shape {tuple(x.shape)} given; allowed: {prefix}(P, {net.d})")
        self.net = net
        self.P = x.shape[-2]
        self.members = members
        self._engine: _Engine = _choose_engine(net, x, members)

    @property
    def engine(self) -> Literal["compiled", "matmul"]:
        """Which implementation runs: compiled loops, or matrix products of torch."""
        return self._engine.name

    def forward(self, w: Tensor) -> Tensor:
        """The outputs at ``w``.

        Args:
            w: parameters, (n_parameters,) or (E, n_parameters), contiguous.

        Returns:
            (..., P) if c = 1, else (..., P, c): a buffer that the next call overwrites.
        """
        return self._engine.forward(w)

    def backward(self, df: Tensor, active: Tensor | None = None) -> Tensor:
        r"""The weight gradient :math:`\sum_\mu \delta_\mu\cdot\nabla_w f(w, x_\mu)`.

        Args:
            df: the derivatives :math:`\delta`, of the shape of the outputs.
            active: indices of the patterns to sum over, (n,); the others are left out whatever
                their ``df``. None: those with a derivative other than 0. One network only.

        Returns:
            (..., n_parameters): a buffer that the next call overwrites.
        """
        if active is not None and self.members is not None:
            raise ValueError("active: given with an ensemble; allowed: None (set df to 0 instead)")
        return self._engine.backward(df, active)


def _choose_engine(net: FullyConnected, x: Tensor, members: int | None) -> _Engine:
    known = net.activation in COMPILED
    alone = members is None and x.device.type == "cpu" and net.h <= _WIDEST_COMPILED
    if known and alone and x.dtype in (torch.float32, torch.float64):
        from symscape.networks._compiled_engine import CompiledEngine

        return CompiledEngine(net, x)
    return MatmulEngine(net, x, members)

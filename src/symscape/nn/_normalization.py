"""What the normalizations of irreps have in common: means, mean squares, scales and biases."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from symscape.nn._blocks import repeat_components, runs_of, sum_components
from symscape.o3 import Irreps

_NORMALIZATIONS = ("component", "norm")


class IrrepNormalization(torch.nn.Module):
    r"""Base of the normalizations.

    .. math:: x_{um} \mapsto \frac{x_{um} - \mu_u}{\sqrt{\sigma_u^2 + \epsilon}}\,w_u + b_u

    The mean :math:`\mu_u` and the bias :math:`b_u` belong to invariant scalars (0e) only: to add
    to anything else would break the symmetry. What the mean and the mean square
    :math:`\sigma_u^2` are taken over is the subject of the derived classes.
    """

    weight: Tensor | None
    bias: Tensor | None
    _scalar_positions: Tensor

    def __init__(
        self, irreps: Any, eps: float, affine: bool, include_bias: bool, normalization: str
    ) -> None:
        super().__init__()
        if normalization not in _NORMALIZATIONS:
            raise ValueError(
                f"normalization: {normalization!r} given; allowed: {', '.join(_NORMALIZATIONS)}"
            )
        if not eps >= 0:
            raise ValueError(f"eps: {eps} given; allowed: a number >= 0")
        self.irreps = Irreps(irreps)
        self._dim = self.irreps.dim
        self.eps = eps
        self.affine = affine
        self.include_bias = include_bias
        self.normalization = normalization
        self._runs = runs_of(self.irreps)
        positions = [
            position
            for block, (_, ir) in zip(self.irreps.slices(), self.irreps)
            if ir.is_scalar()
            for position in range(block.start, block.stop)
        ]
        self.num_scalars = len(positions)
        self.register_buffer(
            "_scalar_positions", torch.tensor(positions, dtype=torch.long), persistent=False
        )
        num_irreps = self.irreps.num_irreps
        weight = torch.nn.Parameter(torch.ones(num_irreps)) if affine else None
        bias = (
            torch.nn.Parameter(torch.zeros(self.num_scalars)) if affine and include_bias else None
        )
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias)

    def _scalars(self, x: Tensor) -> Tensor:
        """The invariant scalars of ``(..., dim)``: ``(..., num_scalars)``."""
        return x.index_select(-1, self._scalar_positions)

    def _spread(self, scalars: Tensor) -> Tensor:
        """Invariant scalars at their places, and zeros elsewhere: ``(..., dim)``."""
        zeros = scalars.new_zeros(*scalars.shape[:-1], self._dim)
        return zeros.index_copy(-1, self._scalar_positions, scalars)

    def _squares(self, x: Tensor) -> Tensor:
        """Squared norm of each irrep, or its mean over the components: ``(..., num_irreps)``."""
        squares = sum_components(x.square(), self._runs)
        if self.normalization == "norm":
            return squares
        dims = [dim for mul, dim in self._runs for _ in range(mul)]
        return squares / squares.new_tensor(dims)

    def _rescale(self, centered: Tensor, variance: Tensor) -> Tensor:
        """Divide by the roots of the variances ``(..., num_irreps)``, apply weight and bias."""
        scale = (variance + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        out = centered * repeat_components(scale, self._runs)
        return out if self.bias is None else out + self._spread(self.bias)


def widened(x: Tensor) -> Tensor:
    """Half precision as float32, in which sums of many squares are exact enough."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x

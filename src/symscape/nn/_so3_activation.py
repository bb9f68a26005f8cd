"""Activation of signals on the rotation group."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from symscape.math import normalize2mom
from symscape.nn._blocks import check_features
from symscape.o3 import SO3Grid

__all__ = ["SO3Activation"]


class SO3Activation(torch.nn.Module):
    r"""Applies a function to the values of a signal on SO(3).

    .. math:: f(R) = \sum_{l,m,n} F^l_{mn} D^l_{mn}(R) \;\mapsto\; c\,\phi(f(R))

    by a transform to a grid and back. The result is equivariant up to the aliasing of
    :math:`\phi(f)` on the grid, which a finer grid reduces.

    Args:
        lmax_in: highest degree of the input.
        lmax_out: highest degree of the output.
        act: the function :math:`\phi`; it is normalized by `symscape.math.normalize2mom`.
        resolution: of the grid, as of [symscape.o3.SO3Grid][].
        normalization: that of the transforms.
        aspect_ratio: of the grid.

    Source: Ch. 5.1; Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        lmax_in: int,
        lmax_out: int,
        act: Callable[[Tensor], Tensor],
        resolution: int,
        *,
        normalization: str = "component",
        aspect_ratio: int = 2,
    ) -> None:
        super().__init__()
        self.grid_in, self.grid_out = (
            SO3Grid(lmax, resolution, normalization=normalization, aspect_ratio=aspect_ratio)
            for lmax in (lmax_in, lmax_out)
        )
        self.act = normalize2mom(act)
        self.lmax_in = lmax_in
        self.lmax_out = lmax_out
        self._dim_in = sum((2 * l + 1) ** 2 for l in range(lmax_in + 1))

    def forward(self, features: Tensor) -> Tensor:
        r"""Apply the function.

        Args:
            features: ``(..., sum of (2l+1)^2)`` for l up to ``lmax_in``.

        Returns:
            ``(..., sum of (2l+1)^2)`` for l up to ``lmax_out``.

        Raises:
            ValueError: the last axis has another length, or the dtype is not floating.
        """
        check_features(features, self._dim_in)
        return self.grid_out.from_grid(self.act(self.grid_in.to_grid(features)))

    def __repr__(self) -> str:
        return f"SO3Activation ({self.lmax_in} -> {self.lmax_out})"

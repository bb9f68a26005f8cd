"""Activation of signals on the sphere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from symscape.math import normalize2mom
from symscape.nn._activation import parity_of
from symscape.nn._blocks import check_features
from symscape.o3 import FromS2Grid, Irreps, ToS2Grid, rand_angles

__all__ = ["S2Activation"]


class S2Activation(torch.nn.Module):
    r"""Applies a function to the values of a signal on the sphere.

    .. math:: f(x) = \sum_{lm} F_{lm} Y_{lm}(x) \;\mapsto\; c\,\phi(f(x)) =
        \sum_{lm} F'_{lm} Y_{lm}(x)

    by a transform to a grid and back. The result is equivariant up to the aliasing of
    :math:`\phi(f)` on the grid, which a finer grid reduces.

    Args:
        irreps: the coefficients :math:`F`: each l = 0, 1, ... up to some lmax once, with parities
            :math:`p_\text{val}\,p_\text{arg}^l`.
        act: the function :math:`\phi`; it is normalized by `symscape.math.normalize2mom`.
        res: resolution of the grid, a number or ``(beta, alpha)``, as of
            [symscape.o3.ToS2Grid][].
        normalization: that of the transforms.
        lmax_out: the highest degree kept, that of the input if not given.
        random_rot: rotate the signal by a random rotation before, and back after, so that the
            error of the grid has no preferred direction; from torch's global generator.

    Attributes:
        irreps_in: the input.
        irreps_out: the output.

    Raises:
        ValueError: irreps that are not those of one signal, or a function without parity of a
            signal whose values are odd.

    Source: Ch. 5.1; Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        irreps: Any,
        act: Callable[[Tensor], Tensor],
        res: int | tuple[int, int],
        normalization: str = "component",
        lmax_out: int | None = None,
        random_rot: bool = False,
    ) -> None:
        super().__init__()
        irreps = Irreps(irreps).simplify()
        lmax = len(irreps) - 1
        p_val = irreps[0].ir.p if lmax >= 0 else 1
        p_arg = irreps[1].ir.p * p_val if lmax >= 1 else 1
        if lmax < 0 or irreps != _signal_irreps(lmax, p_val, p_arg):
            raise ValueError(
                f"irreps: {irreps} given; allowed: each l = 0, 1, ..., lmax once, with parities "
                "p_val p_arg^l, such as 0e+1o+2e"
            )
        normalized = normalize2mom(act)
        parity = 1 if p_val == 1 else parity_of(normalized)
        if parity == 0:
            raise ValueError(
                f"act: the parity is violated by a function that is neither even nor odd; allowed "
                f"for irreps = {irreps}, a signal of odd values: even or odd functions"
            )
        lmax_out = lmax if lmax_out is None else lmax_out
        self.irreps_in = irreps
        self._dim = irreps.dim
        self.irreps_out = _signal_irreps(lmax_out, parity, p_arg)
        self.to_s2 = ToS2Grid(lmax, res, normalization=normalization)
        grid = (self.to_s2.res_beta, self.to_s2.res_alpha)
        self.from_s2 = FromS2Grid(grid, lmax_out, normalization=normalization, lmax_in=lmax)
        self.act = normalized
        self.random_rot = random_rot

    def forward(self, features: Tensor) -> Tensor:
        """Apply the function.

        Args:
            features: ``(..., irreps_in.dim)``.

        Returns:
            ``(..., irreps_out.dim)``.

        Raises:
            ValueError: the last axis has another length, or the dtype is not floating.
        """
        check_features(features, self._dim)
        if not self.random_rot:
            return self.from_s2(self.act(self.to_s2(features)))
        angles = rand_angles(dtype=features.dtype, device=features.device)
        turned = features @ self.irreps_in.D_from_angles(*angles).mT
        return self.from_s2(self.act(self.to_s2(turned))) @ self.irreps_out.D_from_angles(*angles)

    def __repr__(self) -> str:
        return f"S2Activation ({self.irreps_in} -> {self.irreps_out})"


def _signal_irreps(lmax: int, p_val: int, p_arg: int) -> Irreps:
    return Irreps([(1, (l, p_val * p_arg**l)) for l in range(lmax + 1)])

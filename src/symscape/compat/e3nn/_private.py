"""Names with an underscore of e3nn that its clients import, and that have no counterpart here."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from symscape.nn import Extract
from symscape.o3 import Irreps, spherical_harmonics, wigner_3j

__all__: list[str] = []


class _Sortcut(torch.nn.Module):
    """Splits a sorted feature axis into parts.

    Args:
        *irreps_outs: irreps of the parts.

    Attributes:
        irreps_in: all parts, sorted and simplified.
        irreps_outs: the parts, simplified.
    """

    def __init__(self, *irreps_outs: Any) -> None:
        super().__init__()
        self.irreps_outs = tuple(Irreps(irreps).simplify() for irreps in irreps_outs)
        blocks, position, _ = Irreps(
            [entry for irreps in self.irreps_outs for entry in irreps]
        ).sort()
        places = iter(position)
        instructions = [tuple(next(places) for _ in irreps) for irreps in self.irreps_outs]
        self.cut = Extract(blocks, self.irreps_outs, instructions)
        self.irreps_in = blocks.simplify()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``(..., irreps_in.dim)`` to a tuple of ``(..., irreps.dim)``."""
        return self.cut(x)


def _so3_clebsch_gordan(l1: int, l2: int, l3: int) -> Tensor:
    """The Wigner 3j symbols in float64."""
    return wigner_3j(l1, l2, l3, dtype=torch.float64)


def _spherical_harmonics(lmax: int, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """The polynomials up to ``lmax``, of norm ``sqrt(2l+1)`` on the unit sphere."""
    degrees = list(range(lmax + 1))
    return spherical_harmonics(degrees, torch.stack([x, y, z], -1), False, "component")

"""Spherical harmonics of angles, and their factors in alpha and in beta."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from symscape.o3._irreps import Irreps, IrrepsLike
from symscape.o3._rotation import angles_to_xyz
from symscape.o3._spherical_harmonics import SphericalHarmonics, polynomials, scales

__all__ = [
    "Legendre",
    "SphericalHarmonicsAlphaBeta",
    "spherical_harmonics_alpha",
    "spherical_harmonics_alpha_beta",
]


class SphericalHarmonicsAlphaBeta(nn.Module):
    r"""Spherical harmonics at the points ``angles_to_xyz(alpha, beta)``.

    Args:
        l: degree, list of degrees, or irreps.
        normalization: as in ``SphericalHarmonics``.

    Raises:
        ValueError: as ``SphericalHarmonics``.
    """

    def __init__(
        self, l: int | Sequence[int] | IrrepsLike, normalization: str = "integral"
    ) -> None:
        super().__init__()
        self._harmonics = SphericalHarmonics(l, False, normalization)
        self.irreps_out: Irreps = self._harmonics.irreps_out
        self.normalization = normalization

    def forward(self, alpha: Tensor, beta: Tensor) -> Tensor:
        """The harmonics.

        Args:
            alpha: radians; the shapes broadcast.
            beta: radians, from the polar axis y.

        Returns:
            ``(..., irreps_out.dim)``.
        """
        return self._harmonics(angles_to_xyz(alpha, beta))


def spherical_harmonics_alpha_beta(
    l: int | Sequence[int] | IrrepsLike,
    alpha: Tensor,
    beta: Tensor,
    *,
    normalization: str = "integral",
) -> Tensor:
    """Spherical harmonics of angles, see ``SphericalHarmonicsAlphaBeta``."""
    return SphericalHarmonicsAlphaBeta(l, normalization)(alpha, beta)


def spherical_harmonics_alpha(l: int, alpha: Tensor) -> Tensor:
    r"""The factor in alpha: :math:`\sqrt 2 \sin m\alpha` for order -m, 1, and
    :math:`\sqrt 2 \cos m\alpha`.

    Args:
        l: largest order.
        alpha: ``(...)``, radians.

    Returns:
        ``(..., 2l+1)``, orders from -l to l.
    """
    m = torch.arange(1, l + 1, dtype=alpha.dtype, device=alpha.device)
    phase = m * alpha[..., None]
    sine = math.sqrt(2) * torch.sin(phase).flip(-1)
    return torch.cat(
        [sine, torch.ones_like(alpha)[..., None], math.sqrt(2) * torch.cos(phase)], dim=-1
    )


class Legendre(nn.Module):
    r"""The factor in beta: associated Legendre polynomials, such that their product with
    ``spherical_harmonics_alpha`` has integral normalization.

    Args:
        ls: degrees.

    Raises:
        ValueError: a negative degree.
    """

    def __init__(self, ls: Sequence[int]) -> None:
        super().__init__()
        self.ls = list(ls)
        if any(l < 0 for l in self.ls):
            raise ValueError(f"ls must not be negative; got {self.ls}")

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        r"""The polynomials.

        Args:
            z: :math:`\cos\beta`; the shapes broadcast.
            y: :math:`|\sin\beta|`.

        Returns:
            ``(..., sum of 2l+1)``, with equal values for the orders m and -m.
        """
        if not self.ls:
            return z.new_empty((*z.shape, 0))
        lmax = max(self.ls)
        z, y = torch.broadcast_tensors(z, y)
        # in the half plane alpha = 0, where only the orders >= 0 are not zero
        points = torch.stack([torch.zeros_like(z), z, y], dim=-1)
        square = torch.ones_like(z)[..., None]
        found = polynomials(lmax, scales(lmax, "integral"), points, square)
        blocks = []
        for l in self.ls:
            positive = found[l][..., l + 1 :] / math.sqrt(2)
            blocks += [positive.flip(-1), found[l][..., l : l + 1], positive]
        return torch.cat(blocks, dim=-1)

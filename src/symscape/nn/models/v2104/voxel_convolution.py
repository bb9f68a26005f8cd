"""Convolution on voxels, with a kernel of given diameter in physical units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.nn.models._voxels import LowPassFilter, VoxelConvolution, ball_lattice

__all__ = ["Convolution", "LowPassFilter"]


class Convolution(VoxelConvolution):
    """Equivariant convolution on voxels.

    Args:
        irreps_in: features of the input.
        irreps_out: features of the output.
        irreps_sh: spherical harmonics of the kernel, usually ``Irreps.spherical_harmonics(lmax)``.
        diameter: of the kernel, in physical units.
        num_radial_basis: number of its radial functions.
        steps: size of a voxel along each axis, in physical units.
        **kwargs: arguments of ``torch.nn.functional.conv3d``; the padding keeps the number of
            voxels if not given.

    Attributes:
        lattice: the voxels of the kernel, ``(x, y, z, 3)``.

    Raises:
        ValueError: ``steps`` are not three positive numbers, or the diameter is negative.

    Source: Ch. 5.2; Ch. 5.3 (e3nn).
    """

    lattice: Tensor

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        irreps_sh: Any,
        diameter: float,
        num_radial_basis: int,
        steps: Sequence[float] = (1.0, 1.0, 1.0),
        **kwargs: Any,
    ) -> None:
        lattice = ball_lattice(diameter, steps)
        super().__init__(irreps_in, irreps_out, irreps_sh, lattice, diameter / 2, num_radial_basis)
        self.num_radial_basis = num_radial_basis
        self.register_buffer("lattice", lattice)
        self.kwargs = {"padding": tuple(n // 2 for n in lattice.shape[:3]), **kwargs}

    def kernel(self) -> Tensor:
        """The kernel, ``(irreps_out.dim, irreps_in.dim, x, y, z)``."""
        return self._matrices(1 / self.sh[..., 0].numel()).permute(4, 3, 0, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: ``(batch, irreps_in.dim, x, y, z)``.

        Returns:
            ``(batch, irreps_out.dim, x, y, z)``.
        """
        convolved = torch.nn.functional.conv3d(x, self.kernel(), **self.kwargs)
        return self._self_connection(x) + convolved

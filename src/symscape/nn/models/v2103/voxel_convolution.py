"""Convolution on voxels, with a kernel of given size in voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.nn.models._voxels import LowPassFilter, VoxelConvolution, cube_lattice

__all__ = ["Convolution", "LowPassFilter"]

# what the neighbors count for beside the self-connection
_NEIGHBORS = 0.1


class Convolution(VoxelConvolution):
    """Equivariant convolution on voxels.

    Args:
        irreps_in: features of the input.
        irreps_out: features of the output.
        irreps_sh: spherical harmonics of the kernel, usually ``Irreps.spherical_harmonics(lmax)``.
        size: width of the kernel along the finest axis, in voxels; also the number of its radial
            functions.
        steps: size of a voxel along each axis.
        **kwargs: arguments of ``torch.nn.functional.conv3d``; the padding keeps the number of
            voxels if not given and the numbers of the kernel are odd.

    Raises:
        ValueError: ``steps`` are not three positive numbers, or leave no voxel along an axis.

    Source: Ch. 5.2; Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        irreps_sh: Any,
        size: int,
        steps: Sequence[float] = (1, 1, 1),
        **kwargs: Any,
    ) -> None:
        super().__init__(irreps_in, irreps_out, irreps_sh, cube_lattice(size, steps), 1.0, size)
        self.size = size
        self.num_rbfs = size
        self.kwargs = {"padding": tuple(n // 2 for n in self.sh.shape[:3]), **kwargs}

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: ``(batch, irreps_in.dim, x, y, z)``.

        Returns:
            ``(batch, irreps_out.dim, x, y, z)``.
        """
        kernel = self._matrices(_NEIGHBORS / self.size**1.5).permute(4, 3, 0, 1, 2)
        return self._self_connection(x) + torch.nn.functional.conv3d(x, kernel, **self.kwargs)

"""Convolution on voxels of which few are stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.nn.models._voxels import VoxelConvolution, ball_lattice

__all__ = ["Convolution"]


class Convolution(VoxelConvolution):
    """Equivariant convolution on sparse voxels.

    The output has the voxels of the input; those that are not stored count as zero. It equals
    `symscape.nn.models.v2104.voxel_convolution`'s on these voxels.

    Args:
        irreps_in: features of the input.
        irreps_out: features of the output.
        irreps_sh: spherical harmonics of the kernel, usually ``Irreps.spherical_harmonics(lmax)``.
        diameter: of the kernel, in physical units.
        num_radial_basis: number of its radial functions.
        steps: size of a voxel along each axis, in physical units.

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
    ) -> None:
        lattice = ball_lattice(diameter, steps)
        super().__init__(irreps_in, irreps_out, irreps_sh, lattice, diameter / 2, num_radial_basis)
        self.num_radial_basis = num_radial_basis
        self.register_buffer("lattice", lattice)

    def kernel(self) -> Tensor:
        """The kernel, ``(voxels, irreps_in.dim, irreps_out.dim)``, x changing fastest."""
        matrices = self._matrices(1 / self.sh[..., 0].numel())
        return matrices.permute(2, 1, 0, 3, 4).flatten(0, 2)

    def forward(self, x: Any) -> Any:
        """Convolve.

        Args:
            x: a sparse tensor of torch, ``(batch, x, y, z, irreps_in.dim)``, of which the last
                dimension is dense (``torch.sparse_coo_tensor``); or one of MinkowskiEngine.

        Returns:
            A sparse tensor of the same kind, and with the same voxels.

        Raises:
            ValueError: neither of these.
        """
        if isinstance(x, Tensor):
            return self._torch(x)
        names = ("F", "C", "coordinate_map_key", "coordinate_manager")
        if not all(hasattr(x, name) for name in names):
            raise ValueError(
                f"x: {type(x).__name__} given; allowed: torch.sparse_coo_tensor with one dense "
                "dimension, or MinkowskiEngine.SparseTensor"
            )
        stride = [int(step) for step in getattr(x, "tensor_stride", (1, 1, 1))]
        return type(x)(
            self._convolved(x.C, x.F, stride),
            coordinate_map_key=x.coordinate_map_key,
            coordinate_manager=x.coordinate_manager,
        )

    def _torch(self, x: Tensor) -> Tensor:
        if x.layout != torch.sparse_coo or x.sparse_dim() != 4 or x.dense_dim() != 1:
            raise ValueError(
                f"x: {x.layout} of shape {tuple(x.shape)} given; allowed: torch.sparse_coo of "
                "shape (batch, x, y, z, irreps_in.dim), of which the last dimension is dense"
            )
        x = x.coalesce()
        out = self._convolved(x.indices().T, x.values(), (1, 1, 1))
        shape = (*x.shape[:-1], out.shape[-1])
        return torch.sparse_coo_tensor(
            x.indices(), out, shape, is_coalesced=True, check_invariants=False
        )

    def _convolved(self, coordinates: Tensor, features: Tensor, stride: Sequence[int]) -> Tensor:
        """Features of voxels at ``(voxels, 4)``: batch, x, y, z."""
        out = self.sc(features)
        if len(features) == 0:
            return out
        for matrix, (here, there) in zip(self.kernel(), self._pairs(coordinates, stride)):
            out = out.index_add(0, here, features[there] @ matrix)
        return out

    def _pairs(self, coordinates: Tensor, stride: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each voxel of the kernel, the pairs of stored voxels that it connects."""
        halves = [n // 2 for n in self.lattice.shape[:3]]
        low, high = coordinates.long().amin(0), coordinates.long().amax(0)
        # half a kernel of room around the voxels, so that each place has a number of its own
        _, n_x, n_y, n_z = (high - low + 1).tolist()
        n_y, n_z = n_y + 2 * halves[1] * stride[1], n_z + 2 * halves[2] * stride[2]
        n_x += 2 * halves[0] * stride[0]
        batch, x, y, z = (coordinates.long() - low).T
        number = ((batch * n_x + x) * n_y + y) * n_z + z
        numbers, order = number.sort()
        ranges = [range(-half * step, half * step + 1, step) for half, step in zip(halves, stride)]
        for d_z, d_y, d_x in itertools.product(*reversed(ranges)):
            wanted = number + (d_x * n_y + d_y) * n_z + d_z
            found = torch.searchsorted(numbers, wanted).clamp(max=len(numbers) - 1)
            (here,) = torch.nonzero(numbers[found] == wanted, as_tuple=True)
            yield here, order[found[here]]

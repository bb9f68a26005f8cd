"""What the convolutions on voxels have in common: lattices, kernels, the low-pass filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.math import soft_one_hot_linspace
from symscape.o3 import (
    FullyConnectedTensorProduct,
    Irreps,
    Linear,
    spherical_harmonics,
    wigner_3j,
)

__all__ = ["LowPassFilter", "VoxelConvolution", "ball_lattice", "cube_lattice"]

# the filter is cut at this many standard deviations
_CUT = 2.5


def cube_lattice(size: int, steps: Sequence[float]) -> Tensor:
    """Voxels of a cube from -1 to 1, ``size`` of them along the finest axis: ``(x, y, z, 3)``."""
    _check_steps(steps)
    r = torch.linspace(-1, 1, size)
    axes = [axis[axis.abs() <= 1] for axis in (r * step / min(steps) for step in steps)]
    if not all(len(axis) for axis in axes):
        raise ValueError(
            f"size: {size} given with steps = {steps}, no voxel along an axis; allowed: an odd "
            "size, which has one in the middle, or equal steps"
        )
    return _mesh(axes)


def ball_lattice(diameter: float, steps: Sequence[float]) -> Tensor:
    """Voxels of the box around a ball, in physical units: ``(x, y, z, 3)``, odd numbers of them."""
    _check_steps(steps)
    if not diameter >= 0:
        raise ValueError(f"diameter: {diameter} given; allowed: a number >= 0")
    halves = [math.floor(diameter / 2 / step) for step in steps]
    return _mesh([torch.arange(-half, half + 1.0) * step for half, step in zip(halves, steps)])


def _check_steps(steps: Sequence[float]) -> None:
    if len(steps) != 3 or not min(steps) > 0:
        raise ValueError(f"steps: {steps} given; allowed: three positive numbers")


def _mesh(axes: list[Tensor]) -> Tensor:
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


class VoxelConvolution(torch.nn.Module):
    r"""Base of the convolutions on voxels.

    The kernel is a radial network of one layer times spherical harmonics,

    .. math:: K(r) = \sum_{b}\phi_b(\|r\|)\;\left(W_b \otimes Y(\hat r)\right)

    Args:
        irreps_in: features of the input.
        irreps_out: features of the output.
        irreps_sh: spherical harmonics.
        lattice: the voxels of the kernel, ``(x, y, z, 3)``.
        radius: at which the radial functions vanish.
        number_of_basis: number of radial functions.

    Attributes:
        weight: ``(number_of_basis, tp.weight_numel)``.
        emb: the radial functions, ``(x, y, z, number_of_basis)``.
        sh: the spherical harmonics, ``(x, y, z, irreps_sh.dim)``.
    """

    emb: Tensor
    sh: Tensor

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        irreps_sh: Any,
        lattice: Tensor,
        radius: float,
        number_of_basis: int,
    ) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in)
        self.irreps_out = Irreps(irreps_out)
        self.irreps_sh = Irreps(irreps_sh)
        # in the order of e3nn, so that the same seed gives the same weights
        self.sc = Linear(self.irreps_in, self.irreps_out)
        emb = soft_one_hot_linspace(
            lattice.norm(dim=-1), 0.0, radius, number_of_basis, "smooth_finite", True
        )
        self.register_buffer("emb", emb)
        sh = spherical_harmonics(self.irreps_sh, lattice, True, "component")
        self.register_buffer("sh", sh)
        self.tp = FullyConnectedTensorProduct(
            self.irreps_in, self.irreps_sh, self.irreps_out, shared_weights=False
        )
        self.weight = torch.nn.Parameter(torch.randn(number_of_basis, self.tp.weight_numel))
        self._blocks = torch.nn.ModuleList(
            _KernelBlock(self.tp, i_in, i_out)
            for i_in in range(len(self.irreps_in))
            for i_out in range(len(self.irreps_out))
        )

    def _matrices(self, scale: float) -> Tensor:
        """The kernel as maps of features, ``(x, y, z, irreps_in.dim, irreps_out.dim)``.

        The same as ``tp.right(sh, emb @ weight * scale)``, with fewer operations: the harmonics
        are single irreps, and all voxels share the weights.
        """
        sh = self.sh.flatten(0, 2)
        weight = self.emb.flatten(0, 2) @ (self.weight * scale)
        found = [block(sh, weight) for block in self._blocks]
        outs = len(self.irreps_out)
        if not found:
            return sh.new_zeros(*self.sh.shape[:3], self.irreps_in.dim, self.irreps_out.dim)
        rows = [torch.cat(found[i : i + outs], 2) for i in range(0, len(found), outs)]
        return torch.cat(rows, 1).unflatten(0, self.sh.shape[:3])

    def _self_connection(self, x: Tensor) -> Tensor:
        return self.sc(x.transpose(1, 4)).transpose(1, 4)


class _KernelBlock(torch.nn.Module):
    """The part of the kernel that maps a block of the input to one of the output.

    Args:
        tp: the fully connected product of features and harmonics.
        i_in: which block of the input.
        i_out: which block of the output.
    """

    coupling: Tensor

    def __init__(self, tp: FullyConnectedTensorProduct, i_in: int, i_out: int) -> None:
        super().__init__()
        (self._mul_in, ir_in), (self._mul_out, ir_out) = tp.irreps_in1[i_in], tp.irreps_out[i_out]
        self._dims = (ir_in.dim, ir_out.dim)
        places = tp.irreps_in2.slices()
        self._weights: list[tuple[int, int, int]] = []  # start, end, copies of the harmonics
        couplings = []
        start = 0
        for ins in tp.instructions:
            end = start + math.prod(ins.path_shape)
            if (ins.i_in1, ins.i_out) == (i_in, i_out):
                mul, ir = tp.irreps_in2[ins.i_in2]
                self._weights.append((start, end, mul))
                symbols = ins.path_weight * wigner_3j(
                    ir_in.l, ir.l, ir_out.l, dtype=torch.float64
                ).movedim(1, 0).flatten(1)
                coupling = symbols.new_zeros(tp.irreps_in2.dim, mul, symbols.shape[1])
                of_copies = coupling[places[ins.i_in2]].unflatten(0, (mul, ir.dim))
                for v in range(mul):
                    of_copies[v, :, v] = symbols
                couplings.append(coupling)
            start = end
        # of harmonics, for each path and copy of them the matrices of components
        empty = torch.zeros(tp.irreps_in2.dim, 0, ir_in.dim * ir_out.dim)
        matrices = torch.cat(couplings, 1) if couplings else empty
        matrices = matrices.to(torch.get_default_dtype()).flatten(1)
        self.register_buffer("coupling", matrices, persistent=False)

    def forward(self, sh: Tensor, weight: Tensor) -> Tensor:
        """The block, for each voxel.

        Args:
            sh: the harmonics, ``(voxels, dim)``.
            weight: the weights of the product, ``(voxels, weight_numel)``.

        Returns:
            ``(voxels, dim of the input, dim of the output)``.
        """
        voxels, (dim_in, dim_out) = len(sh), self._dims
        mixings = [
            weight[:, start:end].view(voxels, self._mul_in, mul, self._mul_out).transpose(1, 2)
            for start, end, mul in self._weights
        ]
        if not mixings:
            return sh.new_zeros(voxels, self._mul_in * dim_in, self._mul_out * dim_out)
        mixing = mixings[0] if len(mixings) == 1 else torch.cat(mixings, 1)
        components = (sh @ self.coupling).view(voxels, -1, dim_in * dim_out)
        blocks = torch.bmm(components.mT, mixing.flatten(2))
        blocks = blocks.view(voxels, dim_in, dim_out, self._mul_in, self._mul_out)
        return blocks.permute(0, 3, 1, 4, 2).reshape(
            voxels, self._mul_in * dim_in, self._mul_out * dim_out
        )


class LowPassFilter(torch.nn.Module):
    r"""Smooths each channel of a volume by a Gaussian, to be sampled more coarsely.

    The standard deviation is :math:`\sigma = \frac12\sqrt{\text{scale}^2 - 1}` voxels of the
    finest axis; the Gaussian is cut at 2.5 of them. All axes are padded as the finest one needs, as
    in e3nn, so with unequal ``steps`` an image grows along the others.

    Args:
        scale: the ratio of the new resolution to the old; the image is left alone if it is 1 or
            less.
        stride: keep one voxel in ``stride`` along each axis.
        transposed: the transposed operation: ``stride`` times as many voxels.
        steps: size of a voxel along each axis.

    Raises:
        ValueError: ``stride`` without smoothing, or ``steps`` not positive.

    Source: Ch. 5.2, Section 4.4 (stride and low-pass filter); Ch. 5.3 (e3nn).
    """

    kernel: Tensor

    def __init__(
        self,
        scale: float,
        stride: int = 1,
        transposed: bool = False,
        steps: Sequence[float] = (1, 1, 1),
    ) -> None:
        super().__init__()
        if scale <= 1 and stride != 1:
            raise ValueError(f"stride: {stride} given with scale = {scale}; allowed: 1")
        sigma = 0.5 * max(scale**2 - 1, 0.0) ** 0.5
        size = int(1 + 2 * _CUT * sigma)
        size += 1 - size % 2
        away = (size // 2) * cube_lattice(size, steps).norm(dim=-1)
        kernel = torch.exp(-away.square() / (2 * sigma**2)) if sigma > 0 else torch.ones_like(away)
        kernel = kernel / kernel.sum()
        if transposed:
            kernel = kernel * stride**3
        self.register_buffer("kernel", kernel[None, None])
        self.scale = scale
        self.stride = stride
        self.size = size
        self.transposed = transposed

    def forward(self, image: Tensor) -> Tensor:
        """Smooth.

        Args:
            image: ``(..., x, y, z)``.

        Returns:
            ``(..., x, y, z)``, with the new numbers of voxels.

        Raises:
            ValueError: fewer than three dimensions.
        """
        if image.ndim < 3:
            raise ValueError(f"image: shape {tuple(image.shape)} given; allowed: (..., x, y, z)")
        if self.scale <= 1:
            return image
        convolve = (
            torch.nn.functional.conv_transpose3d if self.transposed else torch.nn.functional.conv3d
        )
        channels = image.reshape(-1, 1, *image.shape[-3:])
        out = convolve(channels, self.kernel, padding=self.size // 2, stride=self.stride)
        return out.reshape(*image.shape[:-3], *out.shape[-3:])

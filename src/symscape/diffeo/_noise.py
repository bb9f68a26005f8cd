"""Isotropic noise with the norm of a deformation."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from symscape.diffeo._normals import scaled_normals

__all__ = ["matched_noise", "noise"]


def noise(shape: tuple[int, ...], norms: Tensor, seeds: Tensor, dtype: torch.dtype) -> Tensor:
    """Vectors uniform on spheres, one per seed.

    Args:
        shape: of one vector.
        norms: their lengths, (B,) or ().
        seeds: int64, (B,), see :func:`sample_seeds`.
        dtype: of the result.

    Returns:
        (B, *shape); a vector depends on its own seed and norm only.
    """
    size = math.prod(shape)
    side = math.isqrt((size - 1) // 2) + 1  # two numbers per mode
    ones = torch.ones(side, side, dtype=torch.float64, device="cpu")
    drawn_in = _drawn_in(dtype)
    # another stream than that of the fields, which may have the same seeds
    normals = scaled_normals(~seeds, ones, drawn_in).flatten(1)[:, :size]
    factors = norms.reshape(-1, 1) / torch.linalg.vector_norm(normals, dim=1, keepdim=True)
    return (normals * factors.to(drawn_in)).to(dtype).reshape(len(seeds), *shape)


def matched_noise(
    images: Tensor,
    deformed: Tensor,
    seeds: Tensor,
    match: Literal["image", "mean", "median"] = "image",
) -> Tensor:
    r"""Noise :math:`\eta`, uniform on the sphere, as large as the deformations.

    Args:
        images: (B, ...).
        deformed: the same images after deformation.
        seeds: int64, (B,), see :func:`sample_seeds`.
        match: ``"image"``: :math:`\|\eta_i\| = \|\tau x_i - x_i\|`, image by image, as in the
            thesis's code; ``"mean"`` or ``"median"`` over the images, as in its text.

    Returns:
        (B, ...), to be added to the images.

    Raises:
        ValueError: another ``match``; images that are not floating point, or differ in shape or
            dtype from the deformed ones.

    Source: Ch. 4, Section 3.
    """
    if not images.dtype.is_floating_point:
        raise ValueError(
            f"images: {images.dtype} given; allowed: floating point, for example "
            "images.float() / 255"
        )
    if deformed.shape != images.shape or deformed.dtype != images.dtype:
        raise ValueError(
            f"deformed: {deformed.dtype} of shape {tuple(deformed.shape)} given; allowed: that of "
            f"the images, {images.dtype} of shape {tuple(images.shape)}"
        )
    moved = (deformed - images).flatten(1)
    norms = torch.linalg.vector_norm(moved, dim=1, dtype=_drawn_in(images.dtype))
    if match == "mean":
        norms = norms.mean()
    elif match == "median":
        norms = norms.median()
    elif match != "image":
        raise ValueError(f"match: {match!r} given; allowed: 'image', 'mean' or 'median'")
    return noise(tuple(images.shape[1:]), norms.expand(len(images)), seeds, images.dtype)


def _drawn_in(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which numbers of a dtype are computed."""
    return dtype if dtype == torch.float32 else torch.float64

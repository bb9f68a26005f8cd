"""The usual augmentation of images: small shifts and mirror images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from symscape._arguments import integer

__all__ = ["augmented"]


def augmented(x: Tensor, pad: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Each image moved by up to ``pad`` pixels (zeros come in) and mirrored with chance 1/2.

    Args:
        x: images, (B, channels, rows, columns).
        pad: largest shift, >= 0.
        flip: whether half of the images are mirrored, left to right.
        generator: on the CPU, whatever the device of the images.

    Raises:
        ValueError: images of another shape, or a negative ``pad``.

    Source: Ch. 1, paper A, Sec. II.B; Ch. 4, App. E.1 (padding of 4 and mirror images).
    """
    if x.ndim != 4:
        raise ValueError(f"x: shape {tuple(x.shape)} given; allowed: (B, channels, rows, columns)")
    pad = integer("pad", pad, 0)
    n, _, rows, columns = x.shape
    if flip:
        mirrored = torch.rand(n, generator=generator) < 0.5
        x = torch.where(mirrored[:, None, None, None].to(x.device), x.flip(3), x)
    if pad:
        corner = torch.randint(2 * pad + 1, (2, n, 1), generator=generator)
        row, column = corner[0] + torch.arange(rows), corner[1] + torch.arange(columns)
        image = torch.arange(n)[:, None, None]
        # Indices around a full slice put the channels last.
        moved = F.pad(x, (pad, pad, pad, pad))[image, :, row[:, :, None], column[:, None, :]]
        x = moved.permute(0, 3, 1, 2)
    return x

"""The compiled loops on tensors, on a pool of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from symscape.contraction._threads import in_slices
from symscape.diffeo import _loops, _normal_loops

__all__ = ["backward", "draw", "forward", "unfold"]

_LEAST_WORK = 1 << 15  # numbers that a slice makes, at least: a thread is not worth less
_MOST_SLICES = 64


def forward(
    images: Tensor, fields: Tensor, image_of: Tensor, field_of: Tensor, out: Tensor
) -> None:
    """out (B, channels, rows, columns) <- the images pulled back."""
    tensors = (images.flatten(-2), fields, image_of, field_of, out)
    arrays: list[Any] = [t.numpy() for t in tensors]
    loop: Any = _loops.interpolate
    _in_parts(lambda first, last: loop(*arrays, first, last), out)


def backward(
    images: Tensor, fields: Tensor, image_of: Tensor, field_of: Tensor, grad_out: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients for the image and the field of each output, (B, channels, rows, columns) and
    (B, 2, rows, columns)."""
    grad_images = torch.zeros_like(grad_out)
    grad_fields = grad_out.new_zeros(len(grad_out), 2, *grad_out.shape[-2:])
    tensors = (
        images.flatten(-2),
        fields,
        image_of,
        field_of,
        grad_out,
        grad_images.flatten(-2),
        grad_fields,
    )
    arrays: list[Any] = [t.numpy() for t in tensors]
    loop: Any = _loops.interpolate_backward
    _in_parts(lambda first, last: loop(*arrays, first, last), grad_out)
    return grad_images, grad_fields


def draw(seeds: Tensor, counters: Tensor, scale: Tensor, out: Tensor) -> None:
    """out (B, 2, M) <- scale (M,) times the normal numbers of the seeds (B,) and counters (M,)."""
    words = [t.numpy().view("uint64") for t in (seeds, counters)]
    single = out.dtype == torch.float32
    loop: Any = _normal_loops.draw_single if single else _normal_loops.draw_double
    _in_parts(lambda first, last: loop(*words, scale.numpy(), out.numpy(), first, last), out)


def unfold(quarters: Tensor, out: Tensor) -> None:
    """out (K, rows, columns) <- the quarters, (2, 2, K, half of them), and their mirrors."""
    loop: Any = _loops.unfold
    _in_parts(lambda first, last: loop(quarters.numpy(), out.numpy(), first, last), out)


def _in_parts(loop: Callable[[int, int], None], out: Tensor) -> None:
    """Run the loop on ranges of the first dimension of ``out``."""
    rows = len(out)
    count = max(1, min(rows, out.numel() // _LEAST_WORK, _MOST_SLICES))
    in_slices(
        lambda index: loop(rows * index // count, rows * (index + 1) // count),
        count,
    )

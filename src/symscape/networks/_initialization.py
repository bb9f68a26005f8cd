"""Random initial weights of a stack of dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Scheme", "initial_layers", "orthogonal", "orthogonal_rows"]

Scheme = Literal["normal", "orthogonal", "orthogonal_rows", "pytorch"]

_SCHEMES = ("normal", "orthogonal", "orthogonal_rows", "pytorch")


def initial_layers(
    shapes: Sequence[tuple[int, int]],
    bias: bool,
    scheme: Scheme,
    gain: float,
    generator: torch.Generator,
) -> list[tuple[Tensor, Tensor | None]]:
    """Weights (out, in) and biases (out,) of every layer, float64 on the CPU.

    Args:
        shapes: (out, in) of every layer.
        bias: whether layers have biases.
        scheme: ``"normal"``, ``"orthogonal"``, ``"orthogonal_rows"`` or ``"pytorch"``.
        gain: factor on the weights of the last layer.
        generator: source of randomness, on the CPU.

    Raises:
        ValueError: unknown scheme.
    """
    if scheme not in _SCHEMES:
        raise ValueError(f"scheme: {scheme!r} given; allowed: {', '.join(_SCHEMES)}")
    layers: list[tuple[Tensor, Tensor | None]] = []
    for index, (out, fan_in) in enumerate(shapes):
        if scheme == "normal":
            matrix = torch.randn(out, fan_in, generator=generator, dtype=torch.float64)
        elif scheme == "orthogonal":
            matrix = orthogonal(out, fan_in, generator)
        elif scheme == "orthogonal_rows":
            matrix = orthogonal_rows(out, fan_in, generator)
        else:
            matrix = _uniform((out, fan_in), fan_in, generator)
        if index == len(shapes) - 1:
            matrix = matrix * gain
        b = None
        if bias:
            pytorch = scheme == "pytorch"
            b = (
                _uniform((out,), fan_in, generator)
                if pytorch
                else torch.zeros(out, dtype=torch.float64)
            )
        layers.append((matrix, b))
    return layers


def orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A Haar-random matrix with orthonormal rows (or columns, whichever are fewer), float64."""
    gaussian = torch.randn(
        max(rows, columns), min(rows, columns), generator=generator, dtype=torch.float64
    )
    q, r = torch.linalg.qr(gaussian)
    # without the signs Q would not be Haar-distributed: QR fixes its own convention for them
    q = q * torch.where(torch.diagonal(r) < 0, -1.0, 1.0)
    return (q if rows >= columns else q.T).contiguous()


def orthogonal_rows(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Independent Haar-random blocks of at most ``columns`` orthonormal rows each, float64.

    Every row has unit norm, also where there are more rows than columns.
    """
    blocks = [
        orthogonal(min(columns, rows - start), columns, generator)
        for start in range(0, rows, columns)
    ]
    return torch.cat(blocks)


def _uniform(shape: tuple[int, ...], fan_in: int, generator: torch.Generator) -> Tensor:
    return (2.0 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1.0) * fan_in**-0.5

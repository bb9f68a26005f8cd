"""e3nn's small functions: default types, products, pieces of a feature axis."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

__all__ = [
    "explicit_default_types",
    "prod",
    "torch_get_default_device",
    "torch_get_default_tensor_type",
]


class Chunk(NamedTuple):
    """A block of a feature axis."""

    mul: int
    dim: int
    slice: Any = None


class Path(NamedTuple):
    """The blocks that a path of a product connects."""

    input_1_slice: Chunk
    input_2_slice: Chunk
    output_slice: Chunk


def torch_get_default_tensor_type() -> str:
    """Name of the type of ``torch.empty(0)``, e.g. ``"torch.FloatTensor"``."""
    return torch.empty(0).type()


def torch_get_default_device() -> torch.device:
    """The device on which torch creates tensors."""
    return torch.get_default_device()


def explicit_default_types(
    dtype: torch.dtype | None, device: torch.device | str | None
) -> tuple[torch.dtype, torch.device]:
    """Torch's defaults in place of None."""
    return (
        torch.get_default_dtype() if dtype is None else dtype,
        torch.get_default_device() if device is None else torch.device(device),
    )


def prod(x: Iterable[Any]) -> Any:
    """Product of numbers or tensors; 1 if there are none."""
    product: Any = 1
    for factor in x:
        product = product * factor
    return product

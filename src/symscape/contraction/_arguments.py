"""Checks of what the public functions are given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Proxy

__all__ = [
    "check_features",
    "check_floating",
    "check_indices",
    "check_like",
    "check_range",
    "check_weight",
    "is_autocast",
    "promoted",
]


def check_features(tensor: Tensor, length: int, name: str, axis: str) -> None:
    """The last axis must have the length that the product says."""
    if tensor.ndim == 0 or tensor.shape[-1] != length:
        raise ValueError(
            f"{name} must have the shape (..., {axis} = {length}); got {tuple(tensor.shape)}"
        )


def check_weight(weight: Tensor | None, numel: int) -> None:
    """Weights must be there exactly where the product has them."""
    if weight is None:
        if numel:
            raise ValueError(f"weight is missing: the product has weight_numel = {numel}")
        return
    check_features(weight, numel, "weight", "weight_numel")


def check_floating(tensor: Tensor, name: str) -> None:
    """Features are real numbers; integers would be cut off, or fail somewhere inside."""
    if isinstance(tensor, Proxy):
        return  # symbolic tracing knows no dtypes
    if not tensor.dtype.is_floating_point:
        raise ValueError(f"{name} must be of a floating dtype; got {tensor.dtype}")


def check_like(tensor: Tensor | None, like: Tensor, name: str, like_name: str) -> None:
    """Same dtype, floating, and same device."""
    check_floating(like, like_name)
    if tensor is None:
        return
    if tensor.dtype != like.dtype:
        raise ValueError(
            f"{name} and {like_name} must have the same dtype; got {tensor.dtype} and {like.dtype}"
        )
    if tensor.device != like.device:
        raise ValueError(
            f"{name} and {like_name} must be on the same device; got {tensor.device} and "
            f"{like.device}"
        )


def check_indices(index: Tensor, edges: int, name: str) -> None:
    """An integer for each edge."""
    if index.shape != (edges,) or index.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"{name} must be an int64 or int32 tensor of shape (edges = {edges},); got "
            f"{index.dtype} of shape {tuple(index.shape)}"
        )


def check_range(index: Tensor, nodes: int, name: str) -> None:
    """Nodes of ``0 <= index < nodes``: kernels read and write where they point."""
    if not index.numel():
        return
    low, high = int(index.min()), int(index.max())
    if low < 0 or high >= nodes:
        raise ValueError(f"{name} must be within 0 and {nodes - 1}, the nodes; got {low} to {high}")


def is_autocast(tensor: Tensor) -> bool:
    """Whether autocast is on for the tensor's device; torch has none for meta tensors."""
    return not tensor.is_meta and torch.is_autocast_enabled(tensor.device.type)


def promoted(*tensors: Tensor | None) -> tuple[Any, ...]:
    """Under autocast, all tensors in float32 (float64 where one is); else as they are.

    Sums of products of three factors lose too many digits in half precision, so the contraction
    counts among the operations that autocast runs in float32.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    if not given or not is_autocast(given[0]):
        return tensors
    double = any(tensor.dtype == torch.float64 for tensor in given)
    target = torch.float64 if double else torch.float32
    return tuple(
        tensor.to(target) if tensor is not None and tensor.dtype.is_floating_point else tensor
        for tensor in tensors
    )

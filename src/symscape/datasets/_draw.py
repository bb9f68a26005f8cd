"""Drawing balanced training and test sets from labeled images."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

    from symscape.datasets._sources import DataSource


class ImageSplit(NamedTuple):
    """A training and a test set of images, and which data they come from.

    Inputs are (P, d), or (P, channels, n, n) where asked for. Labels are those of the function
    that made it: -1 (even) and +1 (odd class), or the classes themselves.
    """

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    source: DataSource


def interleaved(classes: np.ndarray, n_classes: int, seed: int) -> torch.Tensor:
    """Indices of one entry of each class in turn: 0, 1, ..., 0, 1, ..., each class shuffled.

    It ends with the smallest class, and no entry occurs twice.

    Args:
        classes: Integers (n,), from 0 to `n_classes` - 1.
        seed: Of the shuffling.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    members = [torch.from_numpy(np.flatnonzero(classes == each)) for each in range(n_classes)]
    shuffled = [index[torch.randperm(len(index), generator=generator)] for index in members]
    n = min(map(len, shuffled))
    return torch.stack([index[:n] for index in shuffled], dim=1).flatten()


def check_size(
    name: str, value: int, largest: int, *, least: int = 1, zero_allowed: bool = False
) -> None:
    """Raise a ValueError unless `least` <= `value` <= `largest` (or 0, where that is allowed)."""
    if least <= value <= largest or (zero_allowed and value == 0):
        return
    allowed = f"{'0 or ' if zero_allowed else ''}{least}..{max(largest, 0)}"
    raise ValueError(f"{name} must be in {allowed} for these data, got {value}")

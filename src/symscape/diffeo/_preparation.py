"""Images as the chapter's networks see them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["normalized_images"]

_MEAN_AND_DEVIATION = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "fashion-mnist": ((0.5,), (0.5,)),
}


def normalized_images(images: np.ndarray, name: str) -> Tensor:
    """Images (n, rows, columns) or (n, rows, columns, channels), uint8, normalized as in App. E.1.

    Args:
        images: of :func:`symscape.datasets.load`.
        name: of the data set; digits stay in [0, 1].

    Returns:
        (n, channels, rows, columns), float32.
    """
    x = torch.from_numpy(images).float().div_(255)
    x = x.unsqueeze(1) if x.ndim == 3 else x.permute(0, 3, 1, 2).contiguous()
    if name in _MEAN_AND_DEVIATION:
        mean, deviation = (torch.tensor(v)[:, None, None] for v in _MEAN_AND_DEVIATION[name])
        x = (x - mean) / deviation
    return x

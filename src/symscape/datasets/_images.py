"""Loading image data sets as uint8 arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from symscape.datasets._cifar10 import read_cifar10
from symscape.datasets._idx import read_idx
from symscape.datasets._sources import DataSource, locate


@dataclass(frozen=True)
class ImageSet:
    """Images with their class labels, the official training part first.

    Attributes:
        images: uint8, (n, 28, 28) for digits and clothes, (n, 32, 32, 3) for CIFAR-10.
        labels: uint8, (n,), classes 0..9.
        n_train: Size of the official training part: the first `n_train` entries. It is `n` where
            the files do not tell the parts apart.
        source: Which data these are.
    """

    images: np.ndarray
    labels: np.ndarray
    n_train: int
    source: DataSource


def load(name: str = "auto") -> ImageSet:
    """Load a data set of images.

    Args:
        name: `"mnist"`, `"mnist-sample"`, `"fashion-mnist"`, `"cifar10"`; `"auto"` for MNIST where
            it is found and else the packaged sample; or a pinned name (`DataSource.pinned`).

    Raises:
        DataNotFoundError: The data are not on this machine.
        ValueError: Unknown name; damaged, truncated or contradictory files.
    """
    source, files = locate(name)
    if source.name == "cifar10":
        images, labels, n_train = read_cifar10(files)
    else:
        images, labels, n_train = _read_idx_parts(files)
    if len(images) != len(labels) or labels.max(initial=0) > 9:
        raise ValueError(
            f"{source.path}: {len(images)} images and {len(labels)} labels up to "
            f"{labels.max(initial=0)}; allowed are as many labels as images, from 0 to 9"
        )
    return ImageSet(images, labels, n_train, source)


def _read_idx_parts(files: tuple[Path, ...]) -> tuple[np.ndarray, np.ndarray, int]:
    """Concatenate (images, labels) pairs of idx files; the first pair is the training part."""
    parts = [
        (read_idx(images), read_idx(labels)) for images, labels in zip(files[::2], files[1::2])
    ]
    for path, (images, labels) in zip(files[::2], parts, strict=True):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"{path}: shape {images.shape} beside labels of shape {labels.shape}; "
                "allowed are (n, rows, columns) and (n,)"
            )
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    return images, labels, len(parts[0][1])

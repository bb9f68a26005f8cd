"""Loading image data sets as uint8 arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from symscape.datasets._catalogue import data_set
from symscape.datasets._cifar10 import cifar10_images
from symscape.datasets._idx import image_parts, read_bytes
from symscape.datasets._sources import DataSource, locate


@dataclass(frozen=True)
class ImageSet:
    """Images with their class labels, the official training part first.

    Attributes:
        images: uint8, (n, 28, 28) for digits, letters and clothes, (n, 32, 32, 3) for CIFAR-10.
        labels: uint8, (n,), classes 0..9, or 0..25 for letters.
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
        name: `"mnist"`, `"mnist-sample"`, `"fashion-mnist"`, `"emnist-letters"`, `"cifar10"`;
            `"auto"` for MNIST where it is found and else the packaged sample; or a pinned name
            (`DataSource.pinned`).

    Raises:
        DataNotFoundError: The data are not on this machine.
        ValueError: Unknown name; damaged, truncated or contradictory files.
    """
    source, files = locate(name)
    contents = (read_bytes(path) for path in files)
    if source.name == "cifar10":
        images, labels, n_train = cifar10_images(files, contents)
    else:
        item = data_set(source.name)
        parts = image_parts(files, contents, item.classes)
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        labels = labels - np.uint8(item.classes[0])
        images = np.ascontiguousarray(images.mT) if item.transposed else images
        n_train = len(parts[0][1])
    return ImageSet(images, labels, n_train, source)

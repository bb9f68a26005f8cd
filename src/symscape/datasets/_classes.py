"""Balanced sets of images, labeled by their classes or by the parity of these."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

from symscape._arguments import integer, refused
from symscape.datasets._catalogue import data_set
from symscape.datasets._draw import ImageSplit, check_size, interleaved
from symscape.datasets._images import load
from symscape.datasets._pca import (
    PrincipalComponents,
    mean_image,
    normalized_rows,
    remembered_pca,
)
from symscape.datasets._sources import resolve

if TYPE_CHECKING:
    import torch

_BLOCK = 4096


def binary_images(
    name: str,
    P: int,
    seed: int = 0,
    *,
    n_test: int,
    components: int | None = None,
    whiten: bool = True,
    grey: bool = False,
    as_images: bool = False,
    dtype: torch.dtype | None = None,
) -> ImageSplit:
    r"""Images in two groups of classes: the even ones (-1) against the odd ones (+1).

    The official training and test images are merged, shuffled inside each class and interleaved:
    class 0, 1, ..., 0, 1, .... From each image the mean image of the whole set is subtracted, and
    it is rescaled to $\sum_i x_i^2 = d$, with d its number of entries. The first `P` are the
    training set, the next `n_test` the test set; one seed gives nested training sets.

    With `components`, the inputs are the leading principal components of all the normalized
    images, each whitened to unit variance over the whole set; they are not rescaled once more
    (`mnist_parity` is the variant of the jamming chapter: components of the bytes, then rescaled).

    Args:
        name: What `load` understands: `"mnist"`, `"mnist-sample"`, `"fashion-mnist"`,
            `"emnist-letters"`, `"cifar10"`, `"auto"`, or a pinned name.
        P: Size of the training set; a multiple of the number of classes balances them.
        seed: Decides which images are drawn and in which order.
        n_test: Size of the test set, 0 for none.
        components: Number of principal components; default: the images themselves.
        whiten: Scale the components to unit variance.
        grey: Turn colors into luminance (1024 entries for CIFAR-10 in place of 3072).
        as_images: Inputs (P, channels, n, n) in place of (P, d).
        dtype: Default `torch.float64`.

    Raises:
        DataNotFoundError: The data are not on this machine.
        ValueError: Sizes out of range; an unknown name; `as_images` of components; `grey` of
            images without colors; damaged files.

    Source: Ch. 3, paper I, Sec. 2, with the details of the authors' program.
    """
    split = image_classes(
        name,
        P,
        seed,
        n_test=n_test,
        components=components,
        whiten=whiten,
        grey=grey,
        as_images=as_images,
        dtype=dtype,
    )
    y_train, y_test = (2 * (y % 2) - 1 for y in (split.y_train, split.y_test))
    dtype = split.x_train.dtype
    return split._replace(y_train=y_train.to(dtype), y_test=y_test.to(dtype))


def image_classes(
    name: str,
    P: int,
    seed: int = 0,
    *,
    n_test: int,
    components: int | None = None,
    whiten: bool = True,
    grey: bool = False,
    as_images: bool = False,
    dtype: torch.dtype | None = None,
) -> ImageSplit:
    """The images of `binary_images` with their classes, int64 from 0 on, as labels.

    Arguments and errors are those of `binary_images`.
    """
    import torch

    P, seed, n_test = integer("P", P), integer("seed", seed), integer("n_test", n_test)
    components = None if components is None else integer("components", components, 1)
    if as_images and components is not None:
        raise refused("as_images", True, "False where components are asked for")
    source = resolve(name)
    images, labels, mean = _whole(source.pinned, grey)
    order = interleaved(labels, len(data_set(source.name).classes), seed)
    check_size("P", P, len(order))
    check_size("n_test", n_test, len(order) - P, zero_allowed=True)
    chosen = order[: P + n_test].numpy()
    basis = None if components is None else _basis(source.pinned, grey)

    def inputs(block: np.ndarray) -> torch.Tensor:
        rows = normalized_rows(images[block].reshape(len(block), -1), mean)
        if basis is not None and components is not None:
            rows = basis.project(rows, components, whiten=whiten)
        return torch.from_numpy(rows).to(dtype or torch.float64)

    # Blocks, so that float64 is held of a few images at a time only.
    blocks = [chosen[i : i + _BLOCK] for i in range(0, len(chosen), _BLOCK)]
    x = torch.cat([inputs(block) for block in blocks])
    if as_images:
        x = _channels_first(x, images.shape[1:])
    y = torch.from_numpy(labels[chosen].astype(np.int64))
    return ImageSplit(x[:P], y[:P], x[P:], y[P:], source)


@functools.lru_cache(maxsize=4)
def _whole(pinned: str, grey: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All images, their labels and the mean image (d,); read once per process."""
    data = load(pinned)
    images = data.images
    if grey:
        if images.ndim != 4:
            raise refused("grey", True, f"True for images with colors only, not for {pinned}")
        images = luminance(images)
    return images, data.labels, mean_image(images)


@functools.lru_cache(maxsize=4)
def _basis(pinned: str, grey: bool) -> PrincipalComponents:
    """Principal components of all normalized images."""
    images, _, _ = _whole(pinned, grey)
    key = f"{resolve(pinned).sha256}{'-grey' if grey else ''}"
    return remembered_pca(images, key, normalized=True)


def luminance(images: np.ndarray) -> np.ndarray:
    """Luminance (n, ...) of colors (n, ..., 3), uint8: the ITU-R 601 weights, rounded."""
    weights = np.array([299, 587, 114], dtype=np.uint32)
    return ((images @ weights + 500) // 1000).astype(np.uint8)


def _channels_first(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    x = x.reshape(len(x), *shape)
    return x.unsqueeze(1) if len(shape) == 2 else x.permute(0, 3, 1, 2).contiguous()

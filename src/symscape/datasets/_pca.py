"""Principal components of images, exact and blockwise, remembered between processes."""

from __future__ import annotations

import functools
import os
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from symscape.datasets._random import centered_on_sphere

_BLOCK = 4096
_FORMAT = 1  # of the file in the cache; raise it when the numbers change


@dataclass(frozen=True)
class PrincipalComponents:
    """Eigen-decomposition of a covariance matrix.

    Attributes:
        mean: (k,) mean of the data.
        variances: (k,) eigenvalues of the covariance, decreasing.
        vectors: (k, k) eigenvectors in the columns, the largest entry of each positive.
    """

    mean: np.ndarray
    variances: np.ndarray
    vectors: np.ndarray

    def project(self, x: np.ndarray, d: int, *, whiten: bool = True) -> np.ndarray:
        r"""The `d` leading components $u = (x - \bar x) V_{:,1:d}$ of the rows of `x`.

        Args:
            x: (n, ...), flattened to (n, k).
            whiten: Divide each component by its standard deviation $\sqrt{e_i}$.

        Returns:
            (n, d), float64.

        Raises:
            ValueError: `d` outside 1..k, or a component to be whitened that does not vary.
        """
        k = len(self.mean)
        if not 1 <= d <= k:
            raise ValueError(f"d must be in 1..{k}, got {d}")
        basis = self.vectors[:, :d]
        if whiten:
            if self.variances[d - 1] <= 1e-12 * self.variances[0]:
                raise ValueError(f"d: component {d} does not vary, it cannot be whitened")
            basis = basis / np.sqrt(self.variances[:d])
        offset = self.mean @ basis
        rows = x.reshape(len(x), -1)
        return (
            np.concatenate(
                [
                    rows[i : i + _BLOCK].astype(np.float64) @ basis
                    for i in range(0, len(rows), _BLOCK)
                ]
                or [np.empty((0, d))]
            )
            - offset
        )


def pca(images: np.ndarray, *, normalized: bool = False) -> PrincipalComponents:
    """Principal components of the rows of an array of bytes.

    The sums behind the mean and the covariance are sums of integers below 2^53, so they are exact
    in float64: the result depends neither on the blocks nor on the number of threads (those of
    normalized rows depend on them by rounding). Memory: one block of 4096 rows in float64 beside
    the images.

    Args:
        images: uint8, (n, ...), flattened to (n, k); n at least 2.
        normalized: Components of the normalized rows (`normalized_rows`), not of the bytes.

    Raises:
        ValueError: Not uint8, or fewer than 2 rows.
    """
    if images.dtype != np.uint8 or len(images) < 2:
        raise ValueError(
            f"images must be uint8 with 2 rows or more, got {images.dtype} {images.shape}"
        )
    rows = images.reshape(len(images), -1)
    mean, covariance = _moments(rows, lambda block: block.astype(np.float64))
    if normalized:
        mean, covariance = _moments(rows, functools.partial(normalized_rows, mean=mean))
    variances, vectors = np.linalg.eigh(covariance)
    variances, vectors = variances[::-1], vectors[:, ::-1]
    largest = np.abs(vectors).argmax(0)
    vectors = vectors * np.sign(vectors[largest, np.arange(len(largest))])
    return PrincipalComponents(mean, np.maximum(variances, 0.0), vectors)


def normalized_rows(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    r"""Rows (n, k) minus the mean image (k,), rescaled to $\sum_i x_i^2 = k$; float64."""
    import torch

    return centered_on_sphere(torch.from_numpy(rows - mean), torch.zeros(())).numpy()


def mean_image(images: np.ndarray) -> np.ndarray:
    """Mean (k,) of the flattened images: a sum of integers, exact before it is divided."""
    rows = images.reshape(len(images), -1)
    return rows.sum(0, dtype=np.int64) / len(rows)


def _moments(
    rows: np.ndarray, transform: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (k,) and covariance (k, k) of the transformed rows, block by block."""
    total = np.zeros(rows.shape[1])
    products = np.zeros((rows.shape[1], rows.shape[1]))
    for i in range(0, len(rows), _BLOCK):
        block = transform(rows[i : i + _BLOCK])
        total += block.sum(0)
        products += block.T @ block
    mean = total / len(rows)
    return mean, products / len(rows) - np.outer(mean, mean)


def remembered_pca(
    images: np.ndarray, key: str, *, normalized: bool = False
) -> PrincipalComponents:
    """`pca` of the images, kept in the user's cache under `key`, which must name these very images.

    A cache that is missing, damaged or cannot be written costs time and nothing else.
    """
    key = f"{key}-normalized" if normalized else key
    path = platformdirs.user_cache_path("symscape") / "pca" / f"{key}-v{_FORMAT}.npz"
    found = _read(path, k=images[0].size)
    if found is None:
        found = pca(images, normalized=normalized)
        _write(path, found)
    return found


def _read(path: Path, k: int) -> PrincipalComponents | None:
    try:
        with np.load(path, allow_pickle=False) as content:
            found = PrincipalComponents(content["mean"], content["variances"], content["vectors"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    shapes = (found.mean.shape, found.variances.shape, found.vectors.shape)
    return found if shapes == ((k,), (k,), (k, k)) else None


def _write(path: Path, components: PrincipalComponents) -> None:
    """Write under another name first: a reader sees the whole file or none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                np.savez(file, **vars(components))
                file.close()
                os.replace(file.name, path)
            except BaseException:
                file.close()
                os.unlink(file.name)
                raise
    except OSError:
        return

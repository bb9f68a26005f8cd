"""Numbers that describe a kernel and how training changed it (chapter 3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigh
from scipy.spatial import cKDTree

from symscape._arguments import integer, refused

__all__ = [
    "KernelPCA",
    "alignment",
    "kernel_change",
    "kernel_norm",
    "kernel_pca",
    "mutual_information",
]

Array = NDArray[np.float64]


class KernelPCA(NamedTuple):
    r"""The leading eigenvectors of a Gram matrix and what they know of the labels.

    Attributes:
        eigenvalues: (k,), the largest first.
        vectors: normalized eigenvectors :math:`\phi_\lambda` as columns, (P, k).
        projections: :math:`\omega_\lambda=|\phi_\lambda\cdot y|/\|y\|`, (k,); the squares of all P
            of them add up to 1.
        mutual_information: of each eigenvector and the labels, in bits, (k,).
    """

    eigenvalues: Array
    vectors: Array
    projections: Array
    mutual_information: Array


def kernel_norm(K: ArrayLike | Any) -> float:
    r"""The Frobenius norm :math:`\|\Theta\|=(\sum_{\mu\nu}\Theta(x_\mu,x_\nu)^2)^{1/2}`.

    Args:
        K: matrix of a kernel (or all of its entries in any shape), array or tensor.

    Source: Ch. 3, paper I, Section 5.
    """
    return float(np.linalg.norm(_array("K", K).ravel()))


def kernel_change(K: ArrayLike | Any, K0: ArrayLike | Any) -> float:
    r"""The relative change :math:`\|\Theta-\Theta_0\|/\|\Theta_0\|` of a kernel.

    Args:
        K: the kernel after training.
        K0: the kernel before, of the same shape.

    Raises:
        ValueError: shapes that differ, or a kernel of norm 0 before.

    Source: Ch. 3, paper I, Fig. 5.
    """
    after, before = _array("K", K), _array("K0", K0)
    if after.shape != before.shape:
        raise refused("K", after.shape, f"the shape of K0, {before.shape}")
    norm = kernel_norm(before)
    if norm == 0:
        raise refused("K0", "a matrix of zeros", "a kernel that is not 0")
    return kernel_norm(after - before) / norm


def alignment(K: ArrayLike | Any, y: ArrayLike | Any, *, centered: bool = False) -> float:
    r"""The alignment :math:`y^\top Ky/(\|K\|\,\|y\|^2)` of a kernel with labels.

    It is 1 for :math:`K=yy^\top`, and between 0 and 1 for any kernel.

    Args:
        K: Gram matrix, (P, P).
        y: labels, (P,).
        centered: subtract the mean of the labels and of the kernel's features first, so that a
            constant added to the kernel changes nothing.

    Raises:
        ValueError: shapes that do not fit; labels or a kernel that are 0 (after centering).
    """
    matrix, labels = _gram_and_labels(K, y)
    if centered:
        labels = labels - labels.mean()
        matrix = matrix - matrix.mean(axis=0)
        matrix = matrix - matrix.mean(axis=1, keepdims=True)
    norms = kernel_norm(matrix) * float(labels @ labels)
    if norms == 0:
        raise refused("y" if not labels.any() else "K", "only zeros (centered)", "not all equal")
    return float(labels @ matrix @ labels) / norms


def kernel_pca(K: ArrayLike | Any, y: ArrayLike | Any, k: int = 10) -> KernelPCA:
    """The k leading eigenvectors of a Gram matrix, and how much of the labels lies in them.

    Args:
        K: Gram matrix, (P, P), symmetric.
        y: labels, (P,), positive and negative.
        k: number of eigenvectors, from 1 to P.

    Raises:
        ValueError: shapes that do not fit, a matrix that is not symmetric, a sign without enough
            labels for the mutual information.

    Source: Ch. 3, paper II, Fig. 10.
    """
    matrix, labels = _gram_and_labels(K, y)
    k = integer("k", k, 1, len(labels))
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if asymmetry > 1e-4 * float(np.abs(matrix).max()):
        raise refused("K", f"a matrix that differs from its transpose by {asymmetry:.1e}", "none")
    P = len(labels)
    values, vectors = eigh(matrix, subset_by_index=(P - k, P - 1))
    values, vectors = values[::-1].copy(), vectors[:, ::-1].copy()
    projections = np.abs(vectors.T @ labels) / np.linalg.norm(labels)
    information = np.array([mutual_information(column, labels) for column in vectors.T])
    return KernelPCA(values, vectors, projections, information)


def mutual_information(phi: ArrayLike | Any, y: ArrayLike | Any, *, neighbors: int = 5) -> float:
    r"""Mutual information in bits of a feature and binary labels, by nearest neighbors.

    At each point the share of the positive label is estimated from the distances :math:`r_\pm` to
    the k-th neighbor of each label, :math:`q_+=1/(1+(r_+/r_-)^D)`; a point is no neighbor of
    itself. With the entropy :math:`h_2` of a share, :math:`I=h_2(p_+)-\langle h_2(q_+)\rangle`,
    where :math:`p_+` is the share among all points.

    The noise of the shares adds about :math:`1/(2k\ln2)` bits, and the tails of a density, where
    neighbors lie on one side, take some away: compare features, do not trust one number.

    Args:
        phi: the feature of each point, (P,), or several, (P, D). Each is standardized.
        y: labels, (P,); their sign counts.
        neighbors: k.

    Raises:
        ValueError: shapes that do not fit, or not more than k points of some label.

    Source: Ch. 3, paper II, Fig. 10; sheet 03, A9.
    """
    feature, labels = _array("phi", phi), _array("y", y)
    feature = feature[:, None] if feature.ndim == 1 else feature
    if labels.ndim != 1 or feature.ndim != 2 or len(feature) != len(labels):
        raise refused("phi", feature.shape, f"({labels.size},) or ({labels.size}, D), as y")
    neighbors = integer("neighbors", neighbors, 1)
    positive = labels > 0
    count = min(int(positive.sum()), int((~positive).sum()))
    if count <= neighbors:
        raise refused("y", f"a label that occurs {count} times", f"more than {neighbors} times")
    spread = feature.std(axis=0)
    feature = (feature - feature.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    to_positive = _distance(feature, positive, neighbors)
    to_negative = _distance(feature, ~positive, neighbors)
    D = feature.shape[1]
    near, far = to_negative**D, to_positive**D
    total = near + far
    share = np.where(total > 0, near / np.where(total > 0, total, 1.0), 0.5)
    return float(_entropy(np.array(positive.mean())) - _entropy(share).mean())


def _distance(feature: Array, chosen: NDArray[np.bool_], k: int) -> Array:
    """Distance of every point to its k-th neighbor among the chosen ones, itself left out."""
    distances, _ = cKDTree(feature[chosen]).query(feature, [k, k + 1])
    return np.where(chosen, distances[:, 1], distances[:, 0])


def _entropy(q: Array) -> Array:
    """Entropy in bits of a share."""
    q = np.clip(q, 1e-300, 1.0)
    r = np.clip(1.0 - q, 1e-300, 1.0)
    return -(q * np.log2(q) + r * np.log2(r))


def _gram_and_labels(K: ArrayLike | Any, y: ArrayLike | Any) -> tuple[Array, Array]:
    matrix, labels = _array("K", K), _array("y", y)
    if labels.ndim != 1 or matrix.shape != (len(labels), len(labels)):
        raise refused("K", matrix.shape, f"({labels.size}, {labels.size}), as y")
    if not labels.any():
        raise refused("y", "only zeros", "labels")
    return matrix, labels


def _array(name: str, values: ArrayLike | Any) -> Array:
    """Numbers of an array or of a tensor on any device, as float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise refused(name, "a NaN or an infinity", "finite numbers")
    return array

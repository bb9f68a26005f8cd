"""MNIST as the jamming chapter uses it: few principal components, parity labels."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

import numpy as np

from symscape._arguments import integer
from symscape.datasets._draw import ImageSplit, check_size, interleaved
from symscape.datasets._images import load
from symscape.datasets._pca import remembered_pca
from symscape.datasets._random import alternating_labels, centered_on_sphere
from symscape.datasets._sources import resolve

if TYPE_CHECKING:
    import torch

Pool = Literal["all", "train"]


def mnist_parity(
    P: int,
    d: int = 10,
    seed: int = 0,
    source: str = "auto",
    *,
    whiten: bool = True,
    pool: Pool = "all",
    n_test: int | None = None,
    dtype: torch.dtype | None = None,
) -> ImageSplit:
    r"""Even against odd digits, seen through their `d` leading principal components.

    The components of all images are $u = (x - \bar x) V_{:,1:d} / \sqrt{e_{1:d}}$. Even and odd
    digits are each shuffled and then interleaved, so that the labels are -1, +1, -1, ...; the
    first `P` are the training set and those that follow the test set. Each of the two sets is
    centered by its own mean, and its rows are rescaled to $\|x_\mu\| = \sqrt d$.
    (Paper B, App. B, with the details of the authors' program.)

    Args:
        P: Size of the training set, at least 2. Of MNIST's 70,000 images 68,836 can be paired.
        seed: Decides which images are drawn and in which order.
        source: Name of the data: `"auto"`, `"mnist"`, `"mnist-sample"` or a pinned name.
        whiten: Scale the components to unit variance before the rescaling of the rows.
        pool: Images that define the components: `"all"`, or the official training part (`"train"`).
            Either way, all images can be drawn.
        n_test: Size of the test set: 0, or 2 and more; default: all that is left.
        dtype: Default `torch.float64`.

    Raises:
        ValueError: Sizes out of range, unknown data, data not found, unknown `pool`.
    """
    import torch

    if pool not in ("all", "train"):
        raise ValueError(f"pool must be 'all' or 'train', got {pool!r}")
    P, d, seed = integer("P", P), integer("d", d, 1), integer("seed", seed)
    n_test = None if n_test is None else integer("n_test", n_test)
    found = resolve(source)
    u, labels = _components(f"{found.name}@{found.sha256}", pool, d, whiten)
    order = interleaved(labels % 2, 2, seed)
    left = len(order) - P
    n_test = left if n_test is None else n_test
    # One row alone has no direction left once its mean is subtracted.
    check_size("P", P, len(order), least=2)
    check_size("n_test", n_test, left, least=2, zero_allowed=True)
    chosen = torch.from_numpy(u)[order[: P + n_test]]
    y = alternating_labels(P + n_test)
    dtype = dtype or torch.float64
    train, test = slice(None, P), slice(P, None)
    return ImageSplit(
        centered_on_sphere(chosen[train]).to(dtype),
        y[train].to(dtype),
        centered_on_sphere(chosen[test]).to(dtype),
        y[test].to(dtype),
        found,
    )


@functools.lru_cache(maxsize=8)
def _components(pinned: str, pool: Pool, d: int, whiten: bool) -> tuple[np.ndarray, np.ndarray]:
    """Components (n, d) and labels (n,) of all images; images are read once per process."""
    digits = load(pinned)
    images = digits.images[: digits.n_train] if pool == "train" else digits.images
    components = remembered_pca(images, key=f"{digits.source.sha256}-{pool}")
    return components.project(digits.images, d, whiten=whiten), digits.labels

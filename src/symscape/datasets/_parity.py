"""MNIST as the jamming chapter uses it: few principal components, parity labels."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from symscape._arguments import integer
from symscape.datasets._images import load
from symscape.datasets._pca import remembered_pca
from symscape.datasets._random import to_sphere
from symscape.datasets._sources import DataSource, resolve

if TYPE_CHECKING:
    import torch

Pool = Literal["all", "train"]


class ParitySplit(NamedTuple):
    """A training and a test set: inputs (P, d), labels -1 (even) or +1 (odd), and their source."""

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    source: DataSource


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
) -> ParitySplit:
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
    order = _interleaved(labels, seed)
    left = len(order) - P
    n_test = left if n_test is None else n_test
    _check_size("P", P, len(order), zero_allowed=False)
    _check_size("n_test", n_test, left, zero_allowed=True)
    chosen = torch.from_numpy(u)[order[: P + n_test]]
    y = 2.0 * (torch.arange(P + n_test) % 2).to(torch.float64) - 1.0
    dtype = dtype or torch.float64
    train, test = slice(None, P), slice(P, None)
    return ParitySplit(
        _centered_on_sphere(chosen[train]).to(dtype),
        y[train].to(dtype),
        _centered_on_sphere(chosen[test]).to(dtype),
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


def _interleaved(labels: np.ndarray, seed: int) -> torch.Tensor:
    """Indices even, odd, even, ... of the shuffled classes, as far as they pair up."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    parity = torch.from_numpy(labels.astype(np.int64)) % 2
    even, odd = (torch.nonzero(parity == bit).flatten() for bit in (0, 1))
    even = even[torch.randperm(len(even), generator=generator)]
    odd = odd[torch.randperm(len(odd), generator=generator)]
    n = min(len(even), len(odd))
    return torch.stack([even[:n], odd[:n]], dim=1).flatten()


def _centered_on_sphere(x: torch.Tensor) -> torch.Tensor:
    return to_sphere(x - x.mean(0), math.sqrt(x.shape[1])) if len(x) else x


def _check_size(name: str, value: int, largest: int, *, zero_allowed: bool) -> None:
    # One row alone has no direction left once its mean is subtracted.
    if 2 <= value <= largest or (zero_allowed and value == 0):
        return
    allowed = f"{'0 or ' if zero_allowed else ''}2..{max(largest, 0)}"
    raise ValueError(f"{name} must be in {allowed} for these data, got {value}")

"""A slab on the sphere: a task with one relevant direction and no file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from symscape._arguments import integer, refused
from symscape.datasets._random import uniform_sphere
from symscape.datasets._teacher import Split

if TYPE_CHECKING:
    import torch


def slab(
    P: int,
    d: int = 8,
    seed: int = 0,
    *,
    n_test: int = 1000,
    width: float = 0.68,
    dtype: torch.dtype | None = None,
) -> Split:
    r"""Points on the sphere, labeled by whether they lie in a slab through its center.

    $x$ uniform on the sphere of radius $\sqrt d$, $y = \mathrm{sign}(|u\cdot x| - w)$ with a random
    unit vector $u$: -1 inside the slab of half-width $w$, +1 on its two sides. At w = 0.68 the
    share inside is 0.47 for d = 8, and 1/2 for large d. One seed gives nested training sets, and
    neither $u$ nor the test set depends on `P`. (Ch. 3's figures without a data set.)

    Args:
        P: Size of the training set, at least 1.
        d: Dimension, at least 2.
        n_test: Size of the test set, at least 1.
        width: Half-width w of the slab, in (0, sqrt(d)).
        dtype: Default `torch.float64`.

    Raises:
        ValueError: `P`, `d`, `n_test` or `width` out of range.
    """
    import torch

    P, d, n_test = integer("P", P, 1), integer("d", d, 2), integer("n_test", n_test, 1)
    seed = integer("seed", seed)
    if not 0 < width < d**0.5:
        raise refused("width", width, "a number between 0 and sqrt(d)")
    # Streams apart from each other, as for the teacher.
    x_train = uniform_sphere(P, d, seed)
    x_test = uniform_sphere(n_test, d, seed + 2**34)
    u = uniform_sphere(1, d, seed + 2**33, radius=1.0)[0]
    y_train, y_test = (
        torch.where((x @ u).abs() > width, 1.0, -1.0).to(torch.float64) for x in (x_train, x_test)
    )
    dtype = dtype or torch.float64
    return Split(*(tensor.to(dtype) for tensor in (x_train, y_train, x_test, y_test)))

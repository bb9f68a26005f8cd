"""A teacher network that labels random points: real structure without any file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from symscape._arguments import integer
from symscape.datasets._random import uniform_sphere

if TYPE_CHECKING:
    import torch


class Split(NamedTuple):
    """A training and a test set: inputs (P, d) and labels -1 or +1, (P,)."""

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor


def teacher(
    P: int,
    d: int,
    seed: int,
    flip: float = 0.1,
    *,
    n_test: int = 4000,
    hidden: int = 12,
    teacher_seed: int | None = None,
    dtype: torch.dtype | None = None,
) -> Split:
    r"""Points on the sphere labeled by a random one-hidden-layer network.

    $x$ uniform on the sphere of radius $\sqrt d$, $y = \mathrm{sign}(w\cdot\tanh(Ax))$ with
    $A_{ij}\sim\mathcal N(0, 4/d)$ and $w_i\sim\mathcal N(0, 1)$. Exactly `round(flip P)` training
    labels, chosen at random, are flipped; the test labels are the teacher's. (A stand-in for
    MNIST in the generalization curves of paper B, Fig. 4.)

    Args:
        flip: Fraction of flipped training labels, in [0, 1].
        hidden: Number of hidden units of the teacher.
        teacher_seed: Seed of the teacher, where several draws share one; default `seed`.
        dtype: Default `torch.float64`.

    Raises:
        ValueError: `P`, `n_test`, `d` or `hidden` below 1, `flip` outside [0, 1].
    """
    import torch

    P, d, seed = integer("P", P, 1), integer("d", d, 1), integer("seed", seed)
    hidden, n_test = integer("hidden", hidden, 1), integer("n_test", n_test, 1)
    teacher_seed = seed if teacher_seed is None else integer("teacher_seed", teacher_seed)
    if not 0.0 <= flip <= 1.0:
        raise ValueError(f"flip must be in [0, 1], got {flip}")
    # Streams apart from each other: the teacher does not depend on the number of points.
    x_train = uniform_sphere(P, d, seed)
    x_test = uniform_sphere(n_test, d, seed + 2**34)
    weights = torch.Generator().manual_seed(teacher_seed + 2**33)
    A = 2.0 / d**0.5 * torch.randn(hidden, d, generator=weights, dtype=torch.float64)
    w = torch.randn(hidden, generator=weights, dtype=torch.float64)

    y_train, y_test = (
        torch.where(torch.tanh(x @ A.T) @ w > 0, 1.0, -1.0).to(torch.float64)
        for x in (x_train, x_test)
    )
    flips = torch.Generator().manual_seed(seed + 2**35)
    y_train[torch.randperm(P, generator=flips)[: round(flip * P)]] *= -1.0
    dtype = dtype or torch.float64
    return Split(*(tensor.to(dtype) for tensor in (x_train, y_train, x_test, y_test)))

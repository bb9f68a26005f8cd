"""Random points on the sphere, with random labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from symscape._arguments import integer

if TYPE_CHECKING:
    import torch


def uniform_sphere(
    P: int, d: int, seed: int, *, radius: float | None = None, dtype: torch.dtype | None = None
) -> torch.Tensor:
    r"""P independent points, uniform on the sphere of `radius` in R^d.

    Args:
        radius: Default $\sqrt d$.
        dtype: Default `torch.float64`.

    Returns:
        (P, d)

    Raises:
        ValueError: `P` or `d` below 1, `radius` not positive.
    """
    P, d = integer("P", P, 1), integer("d", d, 1)
    radius = math.sqrt(d) if radius is None else radius
    if not (math.isfinite(radius) and radius > 0):
        raise ValueError(f"radius must be positive, got {radius}")
    return to_sphere(_normal(P, d, seed), radius).to(dtype or _float64())


def random_sphere(
    P: int,
    d: int,
    seed: int,
    labels: Literal["alternating", "iid"] = "alternating",
    *,
    centered: bool = True,
    dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Random data of the jamming transition: points on the sphere of radius $\sqrt d$.

    $x_\mu \sim \mathcal N(0, 1)^d$, minus the mean over the set, each row rescaled to
    $\|x_\mu\| = \sqrt d$; the labels do not depend on the points. (Paper A, sec. III; the
    centering is that of the authors' program.)

    Args:
        labels: `"alternating"`: -1, +1, -1, ..., hence balanced; `"iid"`: independent fair coins.
        centered: Subtract the mean over the set before the rescaling.
        dtype: Default `torch.float64`.

    Returns:
        The points (P, d) and their labels (P,), -1 or +1.

    Raises:
        ValueError: `P` or `d` below 1 (2 where centered), unknown `labels`.
    """
    import torch

    smallest = 2 if centered else 1
    P, d, seed = integer("P", P, smallest), integer("d", d, smallest), integer("seed", seed)
    x = _normal(P, d, seed)
    if centered:
        x = x - x.mean(0)
    if labels == "alternating":
        y = alternating_labels(P)
    elif labels == "iid":
        # A stream of its own: the points are the same for both kinds of labels.
        generator = torch.Generator().manual_seed(seed + 2**32)
        y = 2.0 * torch.randint(2, (P,), generator=generator).to(torch.float64) - 1.0
    else:
        raise ValueError(f"labels must be 'alternating' or 'iid', got {labels!r}")
    dtype = dtype or torch.float64
    return to_sphere(x, math.sqrt(d)).to(dtype), y.to(dtype)


def alternating_labels(P: int) -> torch.Tensor:
    """-1, +1, -1, ... (float64, (P,))."""
    import torch

    return 2.0 * (torch.arange(P) % 2).to(torch.float64) - 1.0


def to_sphere(x: torch.Tensor, radius: float) -> torch.Tensor:
    """Rescale each row of `x` (P, d) to the norm `radius`.

    Raises:
        ValueError: A row is zero (or not finite) and has no direction.
    """
    norm = x.norm(dim=1, keepdim=True)
    bad = ~((norm > 0) & norm.isfinite())
    if bool(bad.any()):
        raise ValueError(f"x: {int(bad.sum())} of {len(x)} rows are zero or not finite")
    return radius * x / norm


def centered_on_sphere(x: torch.Tensor, mean: torch.Tensor | None = None) -> torch.Tensor:
    r"""The rows of `x` (P, k) minus `mean` (default: their own), rescaled to the norm $\sqrt k$."""
    if len(x) == 0:
        return x
    return to_sphere(x - (x.mean(0) if mean is None else mean), math.sqrt(x.shape[1]))


def _normal(P: int, d: int, seed: int) -> torch.Tensor:
    import torch

    generator = torch.Generator().manual_seed(integer("seed", seed))
    return torch.randn(P, d, generator=generator, dtype=torch.float64)


def _float64() -> torch.dtype:
    import torch

    return torch.float64

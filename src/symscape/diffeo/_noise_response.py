"""The response of a network to noise of given norms."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from symscape.diffeo._noise import noise
from symscape.diffeo._normals import sample_seeds
from symscape.diffeo._probing import check_repeatable, probing

__all__ = ["noise_response"]


def noise_response(
    model: nn.Module,
    images: Tensor,
    norms: Sequence[float],
    *,
    statistics: Literal["running", "batch"] = "running",
    seed: int = 0,
) -> Tensor:
    r""":math:`G_f` against the norm of the noise, with medians over images and pairs of images.

    A copy of the model is measured in float64, so that the change by a small noise is not lost in
    rounding.

    Args:
        model: from (B, channels, rows, columns) to (B, outputs); it is left as it was.
        images: (B, channels, rows, columns), B >= 2; they are looked at together.
        norms: of the noise, positive.
        statistics: see :func:`measure_distances`.
        seed: of the directions of the noise, which are the same for all norms.

    Returns:
        (len(norms),), float64; NaN where most pairs of images have the same output.

    Raises:
        ValueError: fewer than two images; norms that are not positive numbers; a model whose
            output changes between calls or is not floating point.

    Source: Ch. 4, Fig. 11.
    """
    if images.ndim != 4 or len(images) < 2:
        raise ValueError(
            f"images: shape {tuple(images.shape)} given; allowed: (B, channels, rows, columns), "
            "B >= 2"
        )
    if not all(0 < norm < float("inf") for norm in norms):
        raise ValueError(f"norms: {norms!r} given; allowed: finite numbers > 0")
    exact = copy.deepcopy(model).double()
    x = images.double()
    seeds = sample_seeds(seed, len(x), device=x.device)
    with probing(exact, statistics) as may_drop:
        check_repeatable(exact, x[:2], may_drop)
        f = exact(x).reshape(len(x), -1)
        scale = torch.cdist(f, f).square().median()
        response = []
        for norm in norms:
            eta = noise(tuple(x.shape[1:]), torch.tensor(norm), seeds, x.dtype)
            moved = exact(x + eta).reshape(len(x), -1)
            response.append((moved - f).square().sum(1).median() / scale)
    answer = torch.stack(response).cpu()
    return torch.where(answer.isfinite(), answer, torch.nan)

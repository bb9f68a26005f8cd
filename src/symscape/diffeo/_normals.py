"""Normal numbers that depend on a seed and a mode only, not on the batch or the cut-off.

A counter is hashed (the finalizer of splitmix64) and the two halves of the word become a pair of
normal numbers (Box-Muller). The pair of mode (i, j) is thus the same whatever is drawn beside it:
a sample does not depend on its batch, and a smaller cut-off keeps the modes that remain.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.contraction._context import kept

__all__ = ["check_seeds", "mode_counters", "mode_normals", "sample_seeds", "scaled_normals"]

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_ROW = 1 << 20  # counters of mode (i, j): i _ROW + j
_SAMPLES = 1 << 42  # counters of samples lie beyond those of modes
_MOST_MODES = _ROW - 1


def sample_seeds(
    seed: int | torch.Generator, count: int, *, first: int = 0, device: torch.device | str = "cpu"
) -> Tensor:
    """Seeds of samples ``first``, ..., ``first + count - 1``, one each.

    Seed k depends on ``seed`` and k only, so a data set may be taken in batches of any size, by
    any number of workers.

    Args:
        seed: an integer, or a generator, which is asked for one number.
        count: how many.
        first: index of the first sample.
        device: where the seeds are.

    Returns:
        int64, (count,).

    Raises:
        ValueError: a negative count or index.
    """
    count, first = integer("count", count, 0), integer("first", first, 0)
    if isinstance(seed, torch.Generator):
        top = torch.iinfo(torch.int64).max
        drawn = torch.randint(top, (1,), generator=seed, device=seed.device)
        seed = int(drawn)
    key = torch.full((1,), _signed(integer("seed", seed)), dtype=torch.int64, device=device)
    counters = torch.arange(_SAMPLES + first, _SAMPLES + first + count, device=device)
    return _mix(_mix(key) + counters * _signed(_GOLDEN))


def scaled_normals(seeds: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Pairs of independent normal numbers with the given deviations, one pair per mode.

    Args:
        seeds: int64, (B,), on any device.
        scale: (c_x, c_y), float64, on the CPU.
        dtype: of the result.

    Returns:
        (B, 2, c_x, c_y) on the device of the seeds.
    """
    check_seeds(seeds, scale)
    if seeds.device.type == "cpu" and dtype in (torch.float32, torch.float64):
        from symscape.diffeo import _kernels

        out = torch.empty(len(seeds), 2, *scale.shape, dtype=dtype, device="cpu")
        tables = mode_counters(*scale.shape).flatten(), scale.to(dtype).flatten()
        _kernels.draw(seeds.contiguous(), *tables, out.flatten(2))
        return out
    return (mode_normals(seeds, *scale.shape) * scale.to(seeds.device)).to(dtype)


def check_seeds(seeds: Tensor, scale: Tensor) -> None:
    """Raise ValueError for seeds that are not int64, or more modes than there are counters."""
    if seeds.dtype != torch.int64:
        raise ValueError(f"seeds: {seeds.dtype} given; allowed: torch.int64")
    if max(scale.shape) > _MOST_MODES:
        raise ValueError(f"c: {max(scale.shape)} given; allowed: at most {_MOST_MODES}")


@kept(16)
def mode_counters(c_x: int, c_y: int) -> Tensor:
    """What is added to the key of a sample for mode (i, j), (c_x, c_y), int64 on the CPU."""
    i, j = torch.arange(1, c_x + 1), torch.arange(1, c_y + 1)
    return (i[:, None] * _ROW + j) * _signed(_GOLDEN)


def mode_normals(seeds: Tensor, c_x: int, c_y: int) -> Tensor:
    """Two independent standard normal numbers per mode in plain torch, (B, 2, c_x, c_y),
    float64."""
    words = _mix(_mix(seeds)[:, None, None] + mode_counters(c_x, c_y).to(seeds.device))
    high, low = _shifted(words, 32), words & 0xFFFFFFFF
    radius = (-2.0 * torch.log((high.to(torch.float64) + 0.5) * 2.0**-32)).sqrt()
    angle = low.to(torch.float64) * (2.0 * math.pi * 2.0**-32)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)


def _mix(words: Tensor) -> Tensor:
    """The finalizer of splitmix64; int64 arithmetic wraps around as that of uint64."""
    words = (words ^ _shifted(words, 30)) * _signed(_FIRST)
    words = (words ^ _shifted(words, 27)) * _signed(_SECOND)
    return words ^ _shifted(words, 31)


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Logical shift to the right, which int64 does not have."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)


def _signed(word: int) -> int:
    """The int64 with the bits of a uint64."""
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >= 1 << 63 else word

r"""Displacement fields of seeds on the CPU: numbers drawn and transformed some fields at a time.

A field is :math:`n\,S C S^T` with the sine table S. Since
:math:`\sin(i\pi(1-u)) = (-1)^{i+1}\sin(i\pi u)`, the odd and the even modes need their transforms
on one half of the image alone, which halves the multiplications of each of the two products. That
pays where there are many modes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from symscape.contraction._context import kept
from symscape.diffeo import _kernels
from symscape.diffeo._modes import sines
from symscape.diffeo._normals import check_seeds, mode_counters

__all__ = ["sampled_fields"]

_MANY_MODES = 128  # from here on the halves are worth their bookkeeping
_NUMBERS = 1 << 20  # coefficients drawn at a time, at least one field


def sampled_fields(seeds: Tensor, scale: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """The fields whose coefficients are :func:`scaled_normals`, without keeping these.

    A field depends on its own seed alone, to the last bit.

    Args:
        seeds: int64, (B,), on the CPU.
        scale: deviations of the coefficients, (c, c), float64, on the CPU.
        n: pixels along the side.
        dtype: float32 or float64.

    Returns:
        (B, 2, n, n), in pixels.
    """
    c = len(scale)
    check_seeds(seeds, c)
    halves = min(n, c) >= _MANY_MODES
    counters, deviations = _counters(c, halves), _ordered(scale.to(dtype), halves)
    transform = _transform_halves if halves else _transform
    seeds = seeds.contiguous()
    out = torch.empty(len(seeds), 2, n, n, dtype=dtype, device="cpu")
    step = max(1, _NUMBERS // (2 * c * c))
    for first in range(0, len(seeds), step):
        some = seeds[first : first + step]
        drawn = torch.empty(len(some), 2, c * c, dtype=dtype, device="cpu")
        _kernels.draw(some, counters, deviations, drawn)
        transform(drawn.view(-1, c, c), out[first : first + step].view(-1, n, n))
    return out


def _ordered(table: Tensor, halves: bool) -> Tensor:
    """Numbers of the modes (c, c) as the first product wants them, (c c,): transposed, and odd
    modes first where the halves are apart."""
    if halves:
        order = torch.cat(_parities(len(table)))
        table = table[order][:, order]
    return table.T.flatten()


@kept(16)
def _counters(c: int, halves: bool) -> Tensor:
    return _ordered(mode_counters(c), halves)


class _Tables(NamedTuple):
    """Sine tables of both products, in pixels: (m, c) from the left, (c, m) from the right."""

    left: Tensor
    right: Tensor


@kept(32)
def _tables(n: int, c: int, dtype: torch.dtype) -> _Tables:
    table = sines(n, c)
    return _Tables(table.to(dtype), (n * table).T.to(dtype).contiguous())


@kept(32)
def _half_tables(n: int, c: int, dtype: torch.dtype) -> tuple[_Tables, _Tables]:
    """The tables of the odd and of the even modes, on the upper or left half of the image."""
    table = sines(n, c)[: (n + 1) // 2]
    odd, even = (table[:, modes] for modes in _parities(c))
    return (
        _Tables(odd.to(dtype).contiguous(), (n * odd).T.to(dtype).contiguous()),
        _Tables(even.to(dtype).contiguous(), (n * even).T.to(dtype).contiguous()),
    )


def _parities(c: int) -> tuple[Tensor, Tensor]:
    """Places of the odd and of the even modes."""
    return torch.arange(0, c, 2, device="cpu"), torch.arange(1, c, 2, device="cpu")


def _transform(coefficients: Tensor, out: Tensor) -> None:
    """out (K, n, n) <- the fields of coefficients (K, c, c), whose rows are the modes along v."""
    K, c, _ = coefficients.shape
    n = out.shape[-1]
    left, right = _tables(n, c, out.dtype)
    part = torch.bmm(left.expand(K, n, c), coefficients)
    torch.mm(part.view(-1, c), right, out=out.view(-1, n))


def _transform_halves(coefficients: Tensor, out: Tensor) -> None:
    """The same for coefficients whose odd modes come first, both ways."""
    K, c, _ = coefficients.shape
    n = out.shape[-1]
    near, odd = (n + 1) // 2, (c + 1) // 2
    modes = slice(0, odd), slice(odd, c)
    tables = _half_tables(n, c, out.dtype)
    quarters = out.new_empty(2, 2, K, near, near)
    for a in (0, 1):
        left = tables[a].left
        part = torch.bmm(left.expand(K, *left.shape), coefficients[:, modes[a]]).view(-1, c)
        for b in (0, 1):
            torch.mm(part[:, modes[b]], tables[b].right, out=quarters[a, b].view(-1, near))
    _kernels.unfold(quarters, out)

r"""Displacement fields of seeds on the CPU: numbers drawn and transformed some fields at a time.

A field is :math:`\sqrt{n_xn_y}\,S_y C^T S_x^T` with the sine tables S of both sides. Since
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
from symscape.diffeo._modes import Size, side, sides, sines
from symscape.diffeo._normals import check_seeds, mode_counters

__all__ = ["sampled_fields"]

_MANY_MODES = 128  # from here on the halves are worth their bookkeeping
_NUMBERS = 1 << 20  # coefficients drawn at a time, at least one field


def sampled_fields(seeds: Tensor, scale: Tensor, n: Size, dtype: torch.dtype) -> Tensor:
    """The fields whose coefficients are :func:`scaled_normals`, without keeping these.

    A field depends on its own seed alone, to the last bit.

    Args:
        seeds: int64, (B,), on the CPU.
        scale: deviations of the coefficients, (c_x, c_y), float64, on the CPU.
        n: size of the image.
        dtype: float32 or float64.

    Returns:
        (B, 2, rows, columns), in pixels.
    """
    check_seeds(seeds, scale)
    rows, columns = sides(n)
    c_x, c_y = scale.shape
    halves = min(rows, columns, c_x, c_y) >= _MANY_MODES
    counters, deviations = _counters(c_x, c_y, halves), _ordered(scale.to(dtype), halves)
    transform = _transform_halves if halves else _transform
    seeds = seeds.contiguous()
    out = torch.empty(len(seeds), 2, rows, columns, dtype=dtype, device="cpu")
    step = max(1, _NUMBERS // (2 * c_x * c_y))
    for first in range(0, len(seeds), step):
        some = seeds[first : first + step]
        drawn = torch.empty(len(some), 2, c_x * c_y, dtype=dtype, device="cpu")
        _kernels.draw(some, counters, deviations, drawn)
        transform(drawn.view(-1, c_y, c_x), out[first : first + step].view(-1, rows, columns))
    return out


def _ordered(table: Tensor, halves: bool) -> Tensor:
    """Numbers of the modes (c_x, c_y) as the first product wants them, (c_y c_x,): transposed, and
    odd modes first where the halves are apart."""
    if halves:
        along_x, along_y = (torch.cat(_parities(c)) for c in table.shape)
        table = table[along_x][:, along_y]
    return table.T.flatten()


@kept(16)
def _counters(c_x: int, c_y: int, halves: bool) -> Tensor:
    return _ordered(mode_counters(c_x, c_y), halves)


class _Tables(NamedTuple):
    """Sine tables of both products, in pixels: (m_y, c_y) from the left, (c_x, m_x) from the
    right."""

    left: Tensor
    right: Tensor


def _scaled_tables(along_y: Tensor, along_x: Tensor, n: Size, dtype: torch.dtype) -> _Tables:
    return _Tables(along_y.to(dtype).contiguous(), (side(n) * along_x).T.to(dtype).contiguous())


@kept(32)
def _tables(rows: int, columns: int, c_x: int, c_y: int, dtype: torch.dtype) -> _Tables:
    return _scaled_tables(sines(rows, c_y), sines(columns, c_x), (rows, columns), dtype)


@kept(32)
def _half_tables(
    rows: int, columns: int, c_x: int, c_y: int, dtype: torch.dtype
) -> tuple[_Tables, _Tables]:
    """The tables of the odd and of the even modes, on the upper or left half of the image."""
    along_y, along_x = (
        sines(rows, c_y)[: (rows + 1) // 2],
        sines(columns, c_x)[: (columns + 1) // 2],
    )
    odd, even = (
        _scaled_tables(along_y[:, of_y], along_x[:, of_x], (rows, columns), dtype)
        for of_y, of_x in zip(_parities(c_y), _parities(c_x), strict=True)
    )
    return odd, even


def _parities(c: int) -> tuple[Tensor, Tensor]:
    """Places of the odd and of the even modes."""
    return torch.arange(0, c, 2, device="cpu"), torch.arange(1, c, 2, device="cpu")


def _transform(coefficients: Tensor, out: Tensor) -> None:
    """out (K, rows, columns) <- the fields of coefficients (K, c_y, c_x)."""
    K, c_y, c_x = coefficients.shape
    rows, columns = out.shape[1:]
    left, right = _tables(rows, columns, c_x, c_y, out.dtype)
    part = torch.bmm(left.expand(K, rows, c_y), coefficients)
    torch.mm(part.view(-1, c_x), right, out=out.view(-1, columns))


def _transform_halves(coefficients: Tensor, out: Tensor) -> None:
    """out (K, rows, columns) <- the fields of coefficients (K, c_y, c_x) whose odd modes come
    first, both ways."""
    K, c_y, c_x = coefficients.shape
    rows, columns = out.shape[1:]
    of_y, of_x = ((slice(0, (c + 1) // 2), slice((c + 1) // 2, c)) for c in (c_y, c_x))
    tables = _half_tables(rows, columns, c_x, c_y, out.dtype)
    across = (columns + 1) // 2
    quarters = out.new_empty(2, 2, K, (rows + 1) // 2, across)
    for a in (0, 1):
        left = tables[a].left
        part = torch.bmm(left.expand(K, *left.shape), coefficients[:, of_y[a]]).view(-1, c_x)
        for b in (0, 1):
            torch.mm(part[:, of_x[b]], tables[b].right, out=quarters[a, b].view(-1, across))
    _kernels.unfold(quarters, out)

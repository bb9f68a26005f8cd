"""Which sine modes a displacement field has."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from symscape.contraction._context import kept

__all__ = [
    "Modes",
    "amplitudes",
    "check_cutoff",
    "inverse_square_sum",
    "mode_mask",
    "sine_table",
    "sines",
]

Modes = Literal["rounded", "disc", "square"]
r"""Rule of the cut-off c: :math:`\sqrt{i^2+j^2} < c + 1/2`, :math:`i^2+j^2\le c^2`, or
:math:`i, j \le c`."""


def check_cutoff(c: int, modes: Modes) -> None:
    """Raise ValueError unless the cut-off leaves a mode."""
    if modes not in get_args(Modes):
        raise ValueError(f"modes: {modes!r} given; allowed: {', '.join(get_args(Modes))}")
    least = 2 if modes == "disc" else 1
    if isinstance(c, bool) or not isinstance(c, int) or c < least:
        raise ValueError(f"c: {c!r} given; allowed with modes={modes!r}: an integer >= {least}")


def mode_mask(c: int, modes: Modes = "rounded") -> Tensor:
    r"""The modes (i, j) of a cut-off.

    Args:
        c: the cut-off; the thesis's is on the length of (i, j).
        modes: ``"rounded"``, :math:`\sqrt{i^2+j^2} < c + 1/2`, is the rule of the thesis's code,
            with which its figures were made; ``"disc"``, :math:`i^2+j^2\le c^2`, that of its text;
            ``"square"``, :math:`i,j\le c`, has no cut-off where c is the size of the image.

    Returns:
        Booleans of shape (c, c); entry [i - 1, j - 1] is mode (i, j).

    Raises:
        ValueError: an unknown rule, or a cut-off that leaves no mode.

    Source: Ch. 4, Section 2.1.
    """
    check_cutoff(c, modes)
    return _mask(c, modes).clone()


@kept(64)
def _mask(c: int, modes: Modes) -> Tensor:
    squared = _squared(c)
    if modes == "square":
        return torch.ones(c, c, dtype=torch.bool)
    if modes == "disc":
        return squared <= c * c
    return squared.to(torch.float64).sqrt() < c + 0.5


@kept(64)
def inverse_square_sum(c: int, modes: Modes = "rounded") -> float:
    r"""The sum of :math:`1/(i^2+j^2)` over the modes; it grows like :math:`(\pi/2)\ln c`."""
    return math.fsum((1.0 / _squared(c)[mode_mask(c, modes)].to(torch.float64)).tolist())


@kept(64)
def amplitudes(c: int, modes: Modes) -> Tensor:
    r"""Deviations of the coefficients at T = 1, :math:`1/\sqrt{i^2+j^2}` or 0, (c, c), float64."""
    return _mask(c, modes) / _squared(c).to(torch.float64).sqrt()


def sine_table(n: int, c: int, derivative: bool = False) -> Tensor:
    r"""The modes on the pixels: :math:`\sin(i\pi u_k)` with :math:`u_k = k/(n-1)`, (n, c), float64.

    Args:
        n: pixels along the side, >= 2.
        c: number of modes.
        derivative: :math:`i\pi\cos(i\pi u_k)` instead.
    """
    return sines(n, c, derivative).clone()


@kept(64)
def sines(n: int, c: int, derivative: bool = False) -> Tensor:
    """The table of :func:`sine_table` itself, not to be written to."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 2:
        raise ValueError(f"n: {n!r} given; allowed: an integer >= 2")
    i = torch.arange(1, c + 1)
    # i k is reduced exactly, so that the field is zero on the frame to rounding for every i
    turns = torch.outer(torch.arange(n), i).remainder(2 * (n - 1)).to(torch.float64)
    angle = turns * (math.pi / (n - 1))
    if derivative:
        return angle.cos() * (i.to(torch.float64) * math.pi)
    table = angle.sin()
    table[0] = table[-1] = 0.0
    return table


def _squared(c: int) -> Tensor:
    i = torch.arange(1, c + 1)
    return i[:, None] ** 2 + i[None, :] ** 2

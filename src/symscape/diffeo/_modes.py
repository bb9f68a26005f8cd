r"""Which sine modes a displacement field has.

On an image of :math:`n_y` rows and :math:`n_x` columns mode (i, j) is
:math:`\sin(i\pi x/n_x)\sin(j\pi y/n_y)`. Its wave number squared, in units of
:math:`\pi^2/(n_xn_y)`, is

.. math:: k_{ij}^2 = i^2\,n_y/n_x + j^2\,n_x/n_y ,

which is :math:`i^2+j^2` for a square one. Per unit of :math:`k` there are as many modes whatever
the aspect, so that the limits of many modes are those of the square with :math:`n^2=n_xn_y`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from symscape._arguments import integer, is_integer, refused
from symscape.contraction._context import kept

__all__ = [
    "Modes",
    "Size",
    "amplitudes",
    "check_cutoff",
    "in_words",
    "inverse_square_sum",
    "mode_mask",
    "side",
    "sides",
    "sine_table",
    "sines",
    "wave_numbers",
]

Modes = Literal["rounded", "disc", "square"]
r"""Rule of the cut-off c: :math:`k < c + 1/2`, :math:`k\le c`, or :math:`i\le c\sqrt{n_x/n_y}` and
:math:`j\le c\sqrt{n_y/n_x}`."""

Size = int | Sequence[int]
"""Pixels along the side of a square image, or (rows, columns)."""

_SQUARE = (1, 1)


def sides(n: Size) -> tuple[int, int]:
    """Rows and columns of an image.

    Raises:
        ValueError: not an integer >= 2 or two of them.
    """
    both = (n, n) if is_integer(n) else tuple(n) if isinstance(n, Sequence) else ()
    if len(both) != 2 or not all(is_integer(part) and part >= 2 for part in both):
        raise refused("n", n, "an integer >= 2, or (rows, columns) of such")
    return int(both[0]), int(both[1])


def side(n: Size) -> float:
    """The side of the square of as many pixels, exact for a square."""
    rows, columns = sides(n)
    return rows if rows == columns else math.sqrt(rows * columns)


def in_words(n: Size) -> str:
    """The size of an image in a message: ``"28"``, or ``"24 x 40"``."""
    rows, columns = sides(n)
    return str(rows) if rows == columns else f"{rows} x {columns}"


def _aspect(n: Size) -> tuple[int, int]:
    """Rows and columns without their common factor, so that all squares share their tables."""
    rows, columns = sides(n)
    common = math.gcd(rows, columns)
    return rows // common, columns // common


def check_cutoff(c: int, modes: Modes, n: Size | None = None) -> int:
    """The cut-off; ValueError unless it leaves a mode, on a square where no size is given."""
    if modes not in get_args(Modes):
        raise ValueError(f"modes: {modes!r} given; allowed: {', '.join(get_args(Modes))}")
    least = 2 if modes == "disc" else 1
    c = integer("c", c, least, allowed=f"with modes={modes!r} an integer >= {least}")
    if n is not None and not bool(_mask(c, modes, _aspect(n)).any()):
        raise ValueError(f"c: {c} leaves no mode on {in_words(n)} pixels with modes={modes!r}")
    return c


def mode_mask(c: int, modes: Modes = "rounded", n: Size | None = None) -> Tensor:
    r"""The modes (i, j) of a cut-off.

    Args:
        c: the cut-off; the thesis's is on the length of (i, j), which is that of the wave number
            :math:`k_{ij}` where the image is not square.
        modes: ``"rounded"``, :math:`k < c + 1/2`, is the rule of the thesis's code, with which its
            figures were made; ``"disc"``, :math:`k\le c`, that of its text; ``"square"`` has no
            cut-off where c is the size of the image.
        n: size of the image, of which the ratio of rows to columns alone counts; None for a square.

    Returns:
        Booleans of shape (c_x, c_y), which is (c, c) for a square; entry [i - 1, j - 1] is mode
        (i, j).

    Raises:
        ValueError: an unknown rule, or a cut-off that leaves no mode.

    Source: Ch. 4, Section 2.1.
    """
    c = check_cutoff(c, modes, n)
    return _mask(c, modes, _SQUARE if n is None else _aspect(n)).clone()


@kept(64)
def _mask(c: int, modes: Modes, aspect: tuple[int, int]) -> Tensor:
    squared = wave_numbers(torch.empty(_extents(c, modes, aspect)), aspect)
    if modes == "square":
        return torch.ones_like(squared, dtype=torch.bool)
    if modes == "disc":
        return squared <= c * c
    return squared.sqrt() < c + 0.5


def _extents(c: int, modes: Modes, aspect: tuple[int, int]) -> tuple[int, int]:
    """How far i and j go: the largest ones that the rule allows alone; c and c for a square."""
    rows, columns = aspect
    twice = 2 * c + (modes == "rounded")
    return (
        math.isqrt(twice**2 * columns // (4 * rows)),
        math.isqrt(twice**2 * rows // (4 * columns)),
    )


@kept(64)
def _inverse_squares(c: int, modes: Modes, aspect: tuple[int, int]) -> Tensor:
    mask = _mask(c, modes, aspect)
    return mask / wave_numbers(mask, aspect)


def inverse_square_sum(c: int, modes: Modes = "rounded", n: Size | None = None) -> float:
    r"""The sum of :math:`1/k_{ij}^2` over the modes; it grows like :math:`(\pi/2)\ln c`.

    Args:
        c: cut-off.
        modes: rule of the cut-off, see :func:`mode_mask`.
        n: size of the image; None for a square.

    Raises:
        ValueError: an unknown rule, or a cut-off that leaves no mode.
    """
    c = check_cutoff(c, modes, n)
    aspect = _SQUARE if n is None else _aspect(n)
    return math.fsum(_inverse_squares(c, modes, aspect).flatten().tolist())


def amplitudes(c: int, modes: Modes, n: Size | None = None) -> Tensor:
    r"""Deviations of the coefficients at T = 1, :math:`1/k_{ij}` or 0, (c_x, c_y), float64."""
    c = check_cutoff(c, modes, n)
    return _amplitudes(c, modes, _SQUARE if n is None else _aspect(n))


@kept(64)
def _amplitudes(c: int, modes: Modes, aspect: tuple[int, int]) -> Tensor:
    mask = _mask(c, modes, aspect)
    return mask / wave_numbers(mask, aspect).sqrt()


def sine_table(n: int, c: int, derivative: bool = False) -> Tensor:
    r"""The modes on the pixels along a side: :math:`\sin(i\pi u_k)` with :math:`u_k = k/(n-1)`,
    (n, c), float64.

    Args:
        n: pixels along the side, >= 2.
        c: number of modes.
        derivative: :math:`i\pi\cos(i\pi u_k)` instead.
    """
    return sines(n, c, derivative).clone()


@kept(64)
def sines(n: int, c: int, derivative: bool = False) -> Tensor:
    """The table of :func:`sine_table` itself, not to be written to."""
    n = integer("n", n, 2)
    i = torch.arange(1, c + 1)
    # i k is reduced exactly, so that the field is zero on the frame to rounding for every i
    turns = torch.outer(torch.arange(n), i).remainder(2 * (n - 1)).to(torch.float64)
    angle = turns * (math.pi / (n - 1))
    if derivative:
        return angle.cos() * (i.to(torch.float64) * math.pi)
    table = angle.sin()
    table[0] = table[-1] = 0.0
    return table


def wave_numbers(like: Tensor, aspect: tuple[int, int] = _SQUARE) -> Tensor:
    r""":math:`k_{ij}^2` of the modes of a table, whose last two dimensions are (c_x, c_y), float64
    on the CPU; ``aspect`` has the rows and columns of the image, or their ratio."""
    rows, columns = aspect
    i, j = (torch.arange(1, c + 1, dtype=torch.float64, device="cpu") for c in like.shape[-2:])
    return i[:, None] ** 2 * (rows / columns) + j**2 * (columns / rows)

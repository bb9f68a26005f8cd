"""Temperature and displacement: nominal and exact sizes, and the acceptable region.

For an image that is not square, n in the formulas is the side of the square of as many pixels,
:math:`n^2 = n_xn_y`; see :class:`MaximumEntropy`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from symscape._arguments import integer
from symscape.diffeo._modes import (
    Modes,
    Size,
    in_words,
    inverse_square_sum,
    mode_mask,
    side,
    sides,
    wave_numbers,
)

__all__ = [
    "AcceptableRange",
    "acceptable_range",
    "center_displacement",
    "check_acceptable",
    "displacement",
    "rms_displacement",
    "temperature",
]


class AcceptableRange(NamedTuple):
    """Temperatures whose fields are visible and, in half of the draws or more, bijective.

    Attributes:
        low: T_min, below which displacements are smaller than half a pixel.
        high: T_max, above which fields fold over.
    """

    low: float
    high: float

    @property
    def is_empty(self) -> bool:
        """Whether no temperature is acceptable: c is above 2n / pi."""
        return self.low > self.high


def displacement(T: float, c: int, n: Size) -> float:
    r"""The nominal displacement in pixels, :math:`\delta = \frac n2\sqrt{\pi T\ln c}`.

    It is the limit of the root mean square for many modes; :func:`rms_displacement` is exact.

    Args:
        T: temperature, >= 0.
        c: cut-off, >= 2.
        n: pixels along the side, or (rows, columns).

    Raises:
        ValueError: a value out of these bounds.

    Source: Ch. 4, Eq. 3.
    """
    c = check_size(c, n)
    check_number("T", T)
    return 0.5 * side(n) * math.sqrt(math.pi * T * math.log(c))


def temperature(delta: float, c: int, n: Size) -> float:
    r"""The temperature of a nominal displacement, :math:`T = 4\delta^2/(\pi n^2\ln c)`.

    Args:
        delta: nominal displacement in pixels, >= 0.
        c: cut-off, >= 2.
        n: pixels along the side, or (rows, columns).

    Raises:
        ValueError: a value out of these bounds.

    Source: Ch. 4, Eq. 3.
    """
    c = check_size(c, n)
    check_number("delta", delta)
    return 4.0 * delta**2 / (math.pi * side(n) ** 2 * math.log(c))


def acceptable_range(c: int, n: Size) -> AcceptableRange:
    r"""The acceptable region at a cut-off:
    :math:`T_{\min} = 1/(\pi n^2\ln c)` and :math:`T_{\max} = 4/(\pi^3c^2\ln c)`.

    Args:
        c: cut-off, >= 2.
        n: pixels along the side, or (rows, columns).

    Raises:
        ValueError: a value out of these bounds.

    Source: Ch. 4, Eq. 8 and 14.
    """
    c = check_size(c, n)
    logarithm = math.log(c)
    return AcceptableRange(
        1.0 / (math.pi * side(n) ** 2 * logarithm), 4.0 / (math.pi**3 * c**2 * logarithm)
    )


def check_acceptable(T: float, c: int, n: Size) -> None:
    """Raise ValueError for a temperature outside the acceptable region, naming the bound."""
    hint = 'outside="allow" takes it nevertheless'
    if c < 2:
        raise ValueError(f"c: {c} has no acceptable region, which begins at c = 2; {hint}")
    low, high = acceptable_range(c, n)
    if low > high:
        raise ValueError(
            f"c: {c} is above 2 n / pi = {2 * side(n) / math.pi:.3g} for {in_words(n)} pixels, "
            f"where no temperature is acceptable (T_min = {low:.4g} exceeds T_max = {high:.4g}); "
            f"{hint}"
        )
    if not low <= T <= high:
        bound = (
            f"below T_min = {low:.4g} (displacements under half a pixel)"
            if low > T
            else f"above T_max = {high:.4g} (fields that fold over)"
        )
        raise ValueError(
            f"T: {T:.4g} is {bound}; acceptable for c = {c} and {in_words(n)} pixels: "
            f"{low:.4g} to {high:.4g}; {hint}"
        )


def rms_displacement(T: float, c: int, n: Size, modes: Modes = "rounded") -> float:
    r"""The exact root mean square displacement over the image, in pixels:
    :math:`\delta^2 = \frac{Tn_xn_y}2\sum_{ij}\frac1{k_{ij}^2}` with
    :math:`k_{ij}^2 = i^2n_y/n_x + j^2n_x/n_y`, which is :math:`i^2+j^2` for a square.

    Args:
        T: temperature, >= 0.
        c: cut-off.
        n: pixels along the side, or (rows, columns).
        modes: rule of the cut-off, see :func:`mode_mask`.

    Raises:
        ValueError: a value out of these bounds.

    Source: Ch. 4, Eq. 3, before the limit.
    """
    check_number("T", T)
    return side(n) * math.sqrt(0.5 * T * inverse_square_sum(c, modes, n))


def center_displacement(T: float, c: int, n: Size, modes: Modes = "rounded") -> float:
    r"""The exact root mean square displacement of the image's center, in pixels:
    :math:`2Tn_xn_y\sum_{i,j\,\mathrm{odd}}\frac1{k_{ij}^2}` under the root, with
    :math:`k_{ij}^2 = i^2n_y/n_x + j^2n_x/n_y`, which is :math:`i^2+j^2` for a square.

    Args:
        T: temperature, >= 0.
        c: cut-off.
        n: pixels along the side, or (rows, columns).
        modes: rule of the cut-off, see :func:`mode_mask`.

    Raises:
        ValueError: a value out of these bounds.
    """
    check_number("T", T)
    mask = mode_mask(c, modes, n)
    inverse = mask / wave_numbers(mask, sides(n))
    odd = math.fsum(inverse[::2, ::2].flatten().tolist())
    return side(n) * math.sqrt(2.0 * T * odd)


def check_size(c: int, n: Size) -> int:
    """The cut-off; ValueError unless it and the image's size have a nominal displacement."""
    sides(n)
    return integer("c", c, 2, allowed="an integer >= 2 (the logarithm of 1 is 0)")


def check_number(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}: {value!r} given; allowed: a finite number >= 0")

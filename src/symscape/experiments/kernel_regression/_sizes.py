"""Numbers of points, as the chapter's parameters take them."""

from __future__ import annotations

from itertools import pairwise


def increasing(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Validate a parameter: windows and nested sets are counted from the largest size, the last.

    Raises:
        ValueError: the sizes do not increase.
    """
    if any(b <= a for a, b in pairwise(sizes)):
        raise ValueError("sizes must increase")
    return sizes

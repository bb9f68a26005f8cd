"""Pictures of tensor products."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from symscape.o3._irreps import Irreps
    from symscape.o3._tensor_product import TensorProduct

__all__ = ["draw_product"]

_Point = tuple[float, float]

# the corners of the triangle whose sides carry the blocks of in1 (left), in2 (right) and out
_BOTTOM_LEFT, _TOP, _BOTTOM_RIGHT = (-1.0, 0.0), (0.0, 1.6), (1.0, 0.0)


def draw_product(
    product: TensorProduct,
    strengths: Sequence[float | None] | None,
    aspect_ratio: float,
    ax: Any,
) -> tuple[Any, Any]:
    """Draw the paths of a product in a triangle.

    Args:
        product: the product.
        strengths: of each path, for its color, None for one without weights; None: all black.
        aspect_ratio: width over height.
        ax: matplotlib axes, None for new ones.

    Returns:
        The figure and the axes.

    Raises:
        ImportError: matplotlib is needed for new axes and not installed.
    """
    if ax is None:
        try:
            plt = importlib.import_module("matplotlib.pyplot")
        except ImportError:
            raise ImportError(
                "visualize draws with matplotlib, which is not installed: pip install matplotlib"
            ) from None
        ax = plt.figure().gca()
    ends1 = _blocks(ax, product.irreps_in1, _BOTTOM_LEFT, _TOP, "right")
    ends2 = _blocks(ax, product.irreps_in2, _TOP, _BOTTOM_RIGHT, "left")
    ends_out = _blocks(ax, product.irreps_out, _BOTTOM_RIGHT, _BOTTOM_LEFT, "center")
    largest = max((s for s in strengths or [] if s is not None), default=1.0) or 1.0
    for i, ins in enumerate(product.instructions):
        ends = (ends1[ins.i_in1], ends2[ins.i_in2], ends_out[ins.i_out])
        center = (sum(x for x, _ in ends) / 3, sum(y for _, y in ends) / 3)
        color = "black" if strengths is None else _color(strengths[i], largest)
        for end in ends:
            ax.plot([center[0], end[0]], [center[1], end[1]], color=color, zorder=1)
        ax.text(*center, ins.connection_mode, ha="center", va="center", fontsize="small")
    ax.set_aspect(1 / aspect_ratio)
    ax.axis("off")
    return ax.figure, ax


def _blocks(ax: Any, irreps: Irreps, start: _Point, end: _Point, side: str) -> list[_Point]:
    """Write the names of the blocks along a side of the triangle; their positions."""
    ax.plot([start[0], end[0]], [start[1], end[1]], color="lightgray", zorder=0)
    points = []
    for i, entry in enumerate(irreps):
        t = (i + 1) / (len(irreps) + 1)
        x, y = ((1 - t) * a + t * b for a, b in zip(start, end))
        ax.text(x, y, f" {entry} ", ha=side, va="top" if side == "center" else "center")
        points.append((x, y))
    return points


def _color(strength: float | None, largest: float) -> str | tuple[float, float, float]:
    """From pale to full blue; gray for a path without weights."""
    if strength is None:
        return "gray"
    pale = 0.85 * (1 - strength / largest)
    return (pale, pale, 1.0)

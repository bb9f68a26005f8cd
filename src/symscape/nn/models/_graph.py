"""Graphs of near points, and sums over the nodes of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["batch_of", "entry", "pooled", "radius_graph", "scatter"]

# Up to here all pairs are faster than cells.
_FEW = 256
# Cells per axis; larger ones hold more points, but all numbers of cells fit into 64 bits.
_MOST_CELLS = 2**14
# Rounding must not put points at a distance of one cell two cells apart.
_MARGIN = 1 + 1e-9


def radius_graph(pos: Tensor, r_max: float, batch: Tensor | None = None) -> Tensor:
    """Edges between all different points of a graph that are closer than ``r_max``.

    Points in the same place are not connected. The points are sorted into cells as wide as
    ``r_max``, so that time and memory grow as the number of points.

    Args:
        pos: the points, ``(points, 3)``.
        r_max: the radius.
        batch: the graph to which each point belongs, integers ``(points,)``; all to one if not
            given.

    Returns:
        ``(2, edges)``: the first point and the second of each edge, in both directions, sorted by
        the first, then the second.

    Raises:
        ValueError: shapes that do not fit, points that are not finite, or a radius that is not a
            number.
    """
    if pos.ndim != 2 or pos.shape[1] != 3:
        raise ValueError(f"pos: shape {tuple(pos.shape)} given; allowed: (points, 3)")
    if batch is None:
        batch = torch.zeros(len(pos), dtype=torch.long, device=pos.device)
    if batch.shape != pos.shape[:1] or batch.is_floating_point():
        raise ValueError(
            f"batch: shape {tuple(batch.shape)} of {batch.dtype} given; allowed: ({len(pos)},) of "
            "integers, one for each of pos"
        )
    if not r_max == r_max:
        raise ValueError(f"r_max: {r_max} given; allowed: a number")
    pos = pos.detach()
    if not bool(pos.isfinite().all()):
        raise ValueError("pos: a point that is not finite given; allowed: finite coordinates")
    if len(pos) <= _FEW:
        near = _distances(pos[:, None], pos[None, :])
        pairs = (near < r_max) & (near > 0) & (batch[:, None] == batch[None, :])
        return pairs.nonzero().T
    edges = torch.cat(_pairs_in_cells(pos, float(r_max), batch.long()), 1)
    return edges[:, (edges[0] * len(pos) + edges[1]).argsort()]


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # cdist by products of matrices, the default for many points, is off by 1e-3 in float32
    return (a - b).square().sum(-1).sqrt()


def _pairs_in_cells(pos: Tensor, r_max: float, batch: Tensor) -> list[Tensor]:
    """Edges, from the points of each cell to those of nine rows of three cells around it."""
    away = pos.double() - pos.double().amin(0)
    width = max(r_max * _MARGIN, float(away.max()) / _MOST_CELLS) or 1.0
    cell = (away / width).floor().long()
    # an empty layer at the end of each axis, so that the cell before the first one is empty too
    n_x, n_y, n_z = (int(n) + 2 for n in cell.amax(0))
    key = cell[:, 0] + n_x * (cell[:, 1] + n_y * (cell[:, 2] + n_z * batch))
    keys, order = key.sort()
    pairs = []
    for row in (n_x * (y + n_y * z) for z in (-1, 0, 1) for y in (-1, 0, 1)):
        first = torch.searchsorted(keys, key + row - 1)
        counts = torch.searchsorted(keys, key + row + 1, right=True) - first
        source = torch.repeat_interleave(counts)
        within = torch.arange(len(source), device=pos.device) - (counts.cumsum(0) - counts)[source]
        target = order[first[source] + within]
        distance = _distances(pos[source], pos[target])
        pairs.append(torch.stack([source, target])[:, (distance < r_max) & (distance > 0)])
    return pairs


def scatter(src: Tensor, index: Tensor, dim_size: int) -> Tensor:
    """Sums of rows: row ``n`` of the result is the sum of those of ``src`` whose index is ``n``.

    Args:
        src: ``(rows, dim)``.
        index: ``(rows,)``, integers from 0.
        dim_size: the number of rows of the result.

    Returns:
        ``(dim_size, dim)``.
    """
    return src.new_zeros(dim_size, src.shape[1]).index_add(0, index, src)


def entry(data: Mapping[str, Any], name: str) -> Tensor:
    """What ``data`` holds under a name.

    Raises:
        ValueError: nothing.
    """
    if name not in data:
        raise ValueError(f"data: has no {name!r}, which this network needs")
    return data[name]


def batch_of(data: Mapping[str, Any]) -> Tensor:
    """The graph to which each node belongs; all to the first if ``data`` has no ``batch``."""
    if "batch" in data:
        return data["batch"]
    pos = entry(data, "pos")
    return torch.zeros(len(pos), dtype=torch.long, device=pos.device)


def pooled(nodes: Tensor, batch: Tensor, num_nodes: float) -> Tensor:
    """Sum over the nodes of each graph, divided by the root of their typical number."""
    graphs = int(batch.max()) + 1 if len(batch) else 0
    return scatter(nodes, batch, graphs) / num_nodes**0.5

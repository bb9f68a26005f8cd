"""The CPU backend: generated kernels on slices of the rows."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from symscape.contraction._compile import Function, compiled
from symscape.contraction._kernels import ENTRY, INPUTS, OUTPUTS, Kernel, source
from symscape.contraction._lanes import group, uuu_paths
from symscape.contraction._memory import empty
from symscape.contraction._product import Product
from symscape.contraction._threads import in_slices, slices

__all__ = ["evaluate", "evaluate_edges", "kernel_of", "row_function", "work_of_row"]

_TYPES = [ctypes.c_int64] * 2 + [ctypes.c_void_p] * 3
_TYPES += [ctypes.c_void_p, ctypes.c_int64] * (len(INPUTS) + len(OUTPUTS))


def evaluate(product: Product, inputs: dict[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
    """Derivatives of the form for rows of samples.

    Args:
        product: in lane modes only.
        inputs: x and y, and of w, g, tx, ty, tw those that exist; (rows, ...), w also flat.
        outputs: of `OUTPUTS`.
    """
    rows = inputs["x"].shape[0]
    kernel = kernel_of(inputs, outputs, indexed=False)
    arrays = _outputs(product, inputs, outputs, rows)
    if rows:
        starts = slices(rows, work_of_row(product))
        _run(product, kernel, inputs, arrays, starts, (None, None, None))
    elif kernel.shared and "gw" in arrays:
        arrays["gw"].zero_()
    return [arrays[name] for name in outputs]


def evaluate_edges(
    product: Product,
    inputs: dict[str, Tensor],
    outputs: Sequence[str],
    edges: tuple[Tensor, Tensor],
    orders: tuple[Tensor, Tensor],
    nodes: int,
) -> list[Tensor]:
    """The same for rows of edges, with x, tx by source and g by destination.

    Args:
        product: in lane modes only.
        inputs: as in `evaluate`; x and tx have a row per source node, g one per destination.
        outputs: of `OUTPUTS`; `out` has a row per destination node, `gx` one per source node.
        edges: source and destination, int64, contiguous.
        orders: edges sorted by source, and by destination.
        nodes: number of destination nodes.
    """
    found: dict[str, Tensor] = {}
    # rows of nodes are added up by one thread, which therefore has all edges of its nodes
    sides = (
        [name for name in outputs if name != "out"],
        [name for name in outputs if name == "out"],
    )
    for names, order, key in zip(sides, orders, edges):
        if not names:
            continue
        kernel = kernel_of(inputs, names, indexed=True)
        arrays = _outputs(product, inputs, names, nodes)
        rows = order.shape[0]
        if rows:
            starts = _node_boundaries(key, order, slices(rows, work_of_row(product)))
            _run(product, kernel, inputs, arrays, starts, (order, *edges))
        else:
            for array in arrays.values():
                array.zero_()
        found.update(arrays)
    return [found[name] for name in outputs]


def kernel_of(
    inputs: dict[str, Tensor], outputs: Sequence[str], *, indexed: bool = False
) -> Kernel:
    """The kernel of these derivatives, of the form or of its variation."""
    tangents = tuple(name for name in ("tx", "ty", "tw") if name in inputs)
    weight = inputs.get("w")
    return Kernel(
        outputs=tuple(name for name in OUTPUTS if name in outputs),
        tangents=tangents or None,
        double=inputs["x"].dtype == torch.float64,
        indexed=indexed,
        shared="gw" in outputs and weight is not None and weight.ndim == 1,
    )


def _outputs(
    product: Product, inputs: dict[str, Tensor], outputs: Sequence[str], nodes: int
) -> dict[str, Tensor]:
    x, y = inputs["x"], inputs["y"]
    shapes: dict[str, tuple[int, ...]] = {
        "out": (nodes, product.dim_out),
        "gx": (x.shape[0], product.dim_in1),
        "gy": (y.shape[0], product.dim_in2),
    }
    if "w" in inputs:
        shapes["gw"] = tuple(inputs["w"].shape)
    return {name: empty(shapes[name], x) for name in outputs}


def _run(
    product: Product,
    kernel: Kernel,
    inputs: dict[str, Tensor],
    arrays: dict[str, Tensor],
    starts: Sequence[int],
    indices: tuple[Tensor | None, Tensor | None, Tensor | None],
) -> None:
    if kernel.indexed:
        for name in ("out", "gx"):
            if name in arrays:
                arrays[name].zero_()
    count = len(starts) - 1
    partial = arrays["gw"].new_zeros((count, product.weight_numel)) if kernel.shared else None
    rows = {**inputs, **arrays}
    rows = {name: t if t.stride(-1) == 1 else t.contiguous() for name, t in rows.items()}

    common = row_function(product, kernel, rows, indices=indices)

    def run(index: int) -> None:
        function = common
        if partial is not None:
            own = {**rows, "gw": partial[index]}
            function = row_function(product, kernel, own, indices=indices)
        function(starts[index], starts[index + 1])

    in_slices(run, count)
    if partial is not None:
        torch.sum(partial, 0, out=arrays["gw"])


def row_function(
    product: Product,
    kernel: Kernel,
    tensors: dict[str, Tensor],
    blocks: Collection[str] = (),
    indices: Sequence[Tensor | None] = (None, None, None),
) -> Callable[[int, int], None]:
    """The kernel as a function of the first and the last row.

    Args:
        product: in lane modes only.
        kernel: what is computed.
        tensors: inputs and outputs, the elements of a row side by side.
        blocks: names of tensors that begin at the first row.
        indices: order, source, and destination of the edges, or None.
    """
    function = _function(product, kernel)
    arguments: list[int | None] = [None if t is None else t.data_ptr() for t in indices]
    shifts: list[tuple[int, int, int]] = []
    for name in INPUTS + OUTPUTS:
        tensor = tensors.get(name)
        if tensor is None:
            arguments += [None, 0]
            continue
        stride = tensor.stride(0) if tensor.ndim == 2 else 0
        if name in blocks:
            shift = stride * tensor.element_size()
            shifts.append((len(arguments), tensor.data_ptr(), shift))
        arguments += [tensor.data_ptr(), stride]

    def run(first: int, last: int) -> None:
        for place, pointer, shift in shifts:
            arguments[place] = pointer - first * shift
        function(first, last, *arguments)

    return run


@functools.lru_cache(maxsize=4096)
def _function(product: Product, kernel: Kernel) -> Function:
    name = f"{product.key} {kernel.name}"
    return compiled(name, ENTRY, _TYPES, lambda: source(product, kernel))


@functools.lru_cache(maxsize=4096)
def work_of_row(product: Product) -> int:
    """Multiply-adds of a row."""
    work = sum(
        len(path.pairs) * path.lane_segment.mul * scalar_group.mul
        for scalar_group in group(product)
        for path in scalar_group.paths
    )
    return work + sum(2 * len(path.table) * path.in1.mul for path in uuu_paths(product))


def _node_boundaries(key: Tensor, order: Tensor, starts: Sequence[int]) -> list[int]:
    """The starts of slices, moved to where a node's edges begin."""
    nodes = key[order]
    inner = list(starts[1:-1])
    moved = torch.searchsorted(nodes, nodes[inner]).tolist() if inner else []
    return [0, *moved, starts[-1]]

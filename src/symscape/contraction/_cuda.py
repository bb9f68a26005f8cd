"""The GPU backend: generated Triton kernels.

Triton comes with builds of torch for GPUs. Where `TRITON_INTERPRET=1` is set it runs the kernels
in Python on the CPU, which is slow and there to check them.
"""

from __future__ import annotations

import functools
import importlib.util
import linecache
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.contraction import _triton_kernels as kernels
from symscape.contraction._product import Product
from symscape.contraction._triton_kernels import TileKernel

__all__ = ["evaluate", "evaluate_edges", "interpreted", "is_available"]

_HAS_TRITON = importlib.util.find_spec("triton") is not None
_PROGRAMS = 512  # of the sum over rows for shared weights: enough to fill a GPU


def is_available() -> bool:
    """Whether there is a Triton, and something that it can run on."""
    return _HAS_TRITON and (interpreted() or torch.cuda.is_available())


def interpreted() -> bool:
    """Whether Triton's interpreter is switched on."""
    return _HAS_TRITON and os.environ.get("TRITON_INTERPRET") == "1"


def evaluate(product: Product, inputs: dict[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
    """Derivatives of the form for rows of samples.

    Args:
        product: in lane modes only.
        inputs: x and y, and of w, g, tx, ty, tw those that exist; (rows, ...), w also flat.
        outputs: out of `out gx gy gw`.
    """
    found: dict[str, Tensor] = {}
    own = [name for name in outputs if not (name == "gw" and _is_shared(inputs))]
    if own:
        found.update(_tiles(product, inputs, own, {}))
    if len(own) < len(outputs):
        found["gw"] = _shared_gradient(product, inputs, {})
    return [found[name] for name in outputs]


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
        outputs: `out` has a row per destination node, `gx` one per source node.
        edges: source and destination, int64, contiguous.
        orders: edges sorted by source, and by destination.
        nodes: number of destination nodes.
    """
    index = {"source": edges[0], "destination": edges[1]}
    found: dict[str, Tensor] = {}
    sides = {"gx": (edges[0], orders[0], inputs["x"].shape[0]), "out": (edges[1], orders[1], nodes)}
    for name, (ends, order, count) in sides.items():
        if name in outputs:
            bounds = torch.arange(count + 1, device=ends.device)
            starts = torch.searchsorted(ends[order], bounds)
            given = {**index, "order": order, "starts": starts}
            found[name] = _loops(product, inputs, name, given, count)
    own = [n for n in outputs if n == "gy" or (n == "gw" and not _is_shared(inputs))]
    if own:
        found.update(_tiles(product, inputs, own, index))
    if "gw" in outputs and "gw" not in found:
        found["gw"] = _shared_gradient(product, inputs, index)
    return [found[name] for name in outputs]


def _is_shared(inputs: dict[str, Tensor]) -> bool:
    return "w" in inputs and inputs["w"].ndim == 1


def _tiles(
    product: Product, inputs: dict[str, Tensor], outputs: Sequence[str], index: dict[str, Tensor]
) -> dict[str, Tensor]:
    rows = inputs["y"].shape[0]
    widths = {"out": product.dim_out, "gx": product.dim_in1, "gy": product.dim_in2}
    arrays = {
        name: inputs["x"].new_empty((rows, widths.get(name, product.weight_numel)))
        for name in outputs
    }
    size = kernels.tile_rows(product)
    if rows:
        kernel = _kernel(inputs, tuple(outputs), gather=bool(index), looped=False)
        _launch(product, kernel, -(-rows // size), {**inputs, **index, **arrays, "rows": rows})
    return arrays


def _loops(
    product: Product,
    inputs: dict[str, Tensor],
    output: str,
    index: dict[str, Tensor],
    programs: int,
) -> Tensor:
    widths = {"out": product.dim_out, "gx": product.dim_in1, "gw": product.weight_numel}
    array = inputs["x"].new_empty((programs, widths[output]))
    if programs:
        kernel = _kernel(inputs, (output,), gather="source" in index, looped=True)
        _launch(product, kernel, programs, {**inputs, **index, output: array})
    return array


def _shared_gradient(
    product: Product, inputs: dict[str, Tensor], index: dict[str, Tensor]
) -> Tensor:
    """Parts of the sum over the rows, in an order that depends on their number only."""
    rows, size = inputs["y"].shape[0], kernels.tile_rows(product)
    programs = min(_PROGRAMS, -(-rows // size))
    starts = torch.arange(programs + 1, device=inputs["x"].device) * rows // max(programs, 1)
    return _loops(product, inputs, "gw", {**index, "starts": starts}, programs).sum(0)


def _kernel(
    inputs: dict[str, Tensor], outputs: tuple[str, ...], *, gather: bool, looped: bool
) -> TileKernel:
    tangents = tuple(name for name in ("tx", "ty", "tw") if name in inputs)
    double = inputs["x"].dtype == torch.float64
    return TileKernel(outputs, tangents or None, double, gather, looped)


def _launch(product: Product, kernel: TileKernel, programs: int, given: dict[str, Any]) -> None:
    values: list[Any] = []
    for name in kernels.arguments(product, kernel):
        if not name.endswith("_stride"):
            value = given[name]
            rowwise = isinstance(value, Tensor) and value.ndim > 0 and value.is_floating_point()
            if rowwise and value.stride(-1) != 1:
                value = value.contiguous()
            values.append(value)
        else:  # weights that all rows share have no rows
            values.append(values[-1].stride(0) if values[-1].ndim == 2 else 0)
    size = kernels.tile_rows(product)
    function = _function(product, kernel)
    if given["x"].device.type == "cuda":
        with torch.cuda.device(given["x"].device):
            function[(programs,)](*values, ROWS=size)
    else:
        function[(programs,)](*values, ROWS=size)


@functools.lru_cache(maxsize=4096)
def _function(product: Product, kernel: TileKernel) -> Any:
    text = kernels.source(product, kernel)
    # Triton reads the text of a function, which has to be found under a file name
    name = f"<symscape {product.key} {kernel}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {}
    exec(compile(text, name, "exec"), namespace)
    return namespace[kernels.ENTRY]

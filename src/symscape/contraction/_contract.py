"""The public functions: arguments checked, shapes flattened, a backend chosen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from symscape.contraction import _cuda, _reference
from symscape.contraction._arguments import (
    check_features,
    check_indices,
    check_like,
    check_range,
    check_weight,
    is_autocast,
    promoted,
)
from symscape.contraction._context import is_eager
from symscape.contraction._mixing import mix_rows
from symscape.contraction._ops import derivatives, edge_order, nodes_of_edges
from symscape.contraction._product import Mixing, Product

__all__ = ["available_backends", "contract", "contract_right", "convolve", "mix"]


def available_backends() -> tuple[str, ...]:
    """Names of the backends that work here, `reference` first."""
    return ("reference", "cpu", *(["cuda"] if _cuda.is_available() else []))


def contract(
    product: Product,
    x: Tensor,
    y: Tensor,
    weight: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    r"""Evaluate a product.

    .. math:: out_{zkw} = \sum_\text{paths} c \sum_{ijuv} C_{ijk}\, x_{zui}\, y_{zvj}\, W_{(z)uvw}

    Differentiable to any order in x, y and the weights. Under autocast all arguments are cast to
    float32.

    Args:
        product: the paths.
        x: first input, ``(..., dim_in1)``.
        y: second input, ``(..., dim_in2)``.
        weight: ``(weight_numel,)``, shared by all samples, or ``(..., weight_numel)``; None if
            the product has no weights.
        backend: one of `available_backends()`; None for the fastest that takes the arguments.

    Returns:
        ``(..., dim_out)``; the leading dimensions are those of the arguments, broadcast.

    Raises:
        ValueError: shapes that do not fit the product or each other, different dtypes or devices,
            an unknown backend, or one that does not take the arguments.
    """
    check_features(x, product.dim_in1, "x", "dim_in1")
    check_features(y, product.dim_in2, "y", "dim_in2")
    check_weight(weight, product.weight_numel)
    x, y, weight = promoted(x, y, weight)
    check_like(y, x, "y", "x")
    check_like(weight, x, "weight", "x")
    chosen = _backend(backend, x)
    shape, (x, y, weight) = _flat(("x", x), ("y", y), ("weight", weight))
    if chosen == "reference":
        out = _without_autocast(_reference.contract_reference, product, x, y, weight)
    else:
        out = _without_autocast(_lowered_contract, product, x, y, weight, chosen)
    return _unflat(out, shape)


def contract_right(product: Product, y: Tensor, weight: Tensor | None = None) -> Tensor:
    """The matrices of the linear maps ``x -> contract(product, x, y, weight)``.

    Args:
        product: the paths.
        y: second input, ``(..., dim_in2)``.
        weight: as in `contract`.

    Returns:
        ``(..., dim_in1, dim_out)``: ``contract(x, y) = x @ contract_right(y)``.

    Raises:
        ValueError: as in `contract`.
    """
    check_features(y, product.dim_in2, "y", "dim_in2")
    check_weight(weight, product.weight_numel)
    y, weight = promoted(y, weight)
    check_like(weight, y, "weight", "y")
    shape, (y, weight) = _flat(("y", y), ("weight", weight))
    out = _without_autocast(_reference.contract_right_reference, product, y, weight)
    return out.reshape(*shape, product.dim_in1, product.dim_out)


def convolve(
    product: Product,
    x: Tensor,
    y: Tensor,
    weight: Tensor | None,
    source: Tensor,
    destination: Tensor,
    num_nodes: int,
    *,
    backend: str | None = None,
) -> Tensor:
    r"""Message passing on a graph, without storing the messages.

    .. math:: out_n = \sum_{e:\ destination_e = n} contract(x_{source_e}, y_e, W_{(e)})

    Deterministic: the messages of a node are added in the order of the edges. Differentiable to
    any order in x, y and the weights.

    Args:
        product: the paths.
        x: features of the nodes, ``(nodes, dim_in1)``.
        y: features of the edges, ``(edges, dim_in2)``.
        weight: ``(weight_numel,)``, ``(edges, weight_numel)``, or None.
        source: node at which each edge starts, ``(edges,)``, in any order.
        destination: node at which each edge ends, ``(edges,)``, in any order.
        num_nodes: number of nodes of the output, larger than any destination.
        backend: as in `contract`.

    Returns:
        ``(num_nodes, dim_out)``; zero for nodes at which no edge ends.

    Raises:
        ValueError: as in `contract`; nodes out of range.
    """
    check_features(x, product.dim_in1, "x", "dim_in1")
    check_features(y, product.dim_in2, "y", "dim_in2")
    check_weight(weight, product.weight_numel)
    edges = y.shape[0]
    if x.ndim != 2 or y.ndim != 2 or (weight is not None and weight.ndim > 2):
        raise ValueError(
            "x, y and weight must have the shapes (nodes, dim_in1), (edges, dim_in2) and "
            f"(weight_numel,) or (edges, weight_numel); got {tuple(x.shape)}, {tuple(y.shape)} "
            f"and {None if weight is None else tuple(weight.shape)}"
        )
    if weight is not None and weight.ndim == 2 and weight.shape[0] != edges:
        raise ValueError(
            f"weight and y must have one row for each edge; got {weight.shape[0]} and {edges}"
        )
    if num_nodes < 0:
        raise ValueError(f"num_nodes must not be negative; got {num_nodes}")
    check_indices(source, edges, "source")
    check_indices(destination, edges, "destination")
    x, y, weight = promoted(x, y, weight)
    check_like(y, x, "y", "x")
    check_like(weight, x, "weight", "x")
    for name, index in (("source", source), ("destination", destination)):
        if index.device != x.device:
            raise ValueError(
                f"{name} and x must be on the same device; got {index.device} and {x.device}"
            )
    chosen = _backend(backend, x)
    source = _nodes(source, x.shape[0], "source")
    destination = _nodes(destination, num_nodes, "destination")
    graph = (source, destination, num_nodes)
    if chosen == "reference":
        return _without_autocast(_reference.convolve_reference, product, x, y, weight, *graph)
    return _without_autocast(_lowered_convolve, product, x, y, weight, *graph, chosen)


def _nodes(index: Tensor, nodes: int, name: str) -> Tensor:
    """The ends of the edges as the kernels take them: 64 bits, side by side, within range."""
    if index.is_meta or not is_eager((index,)):
        return nodes_of_edges(index, nodes, name)
    check_range(index, nodes, name)
    return index.long().contiguous()


def mix(mixing: Mixing, x: Tensor, weight: Tensor, *, backend: str | None = None) -> Tensor:
    r"""Mix the copies of equal representations: the linear layer.

    .. math:: out_{zwk} = \sum_\text{paths} c \sum_u x_{zuk}\, W_{(z)uw}

    Args:
        mixing: the paths.
        x: input, ``(..., dim_in1)``.
        weight: ``(weight_numel,)``, shared by all samples, or ``(..., weight_numel)``.
        backend: as in `contract`.

    Returns:
        ``(..., dim_out)``.

    Raises:
        ValueError: as in `contract`.
    """
    check_features(x, mixing.dim_in1, "x", "dim_in1")
    check_features(weight, mixing.weight_numel, "weight", "weight_numel")
    x, weight = promoted(x, weight)
    check_like(weight, x, "weight", "x")
    chosen = _backend(backend, x)
    shape, (x, weight) = _flat(("x", x), ("weight", weight))
    # on a GPU the matrix products of torch are hard to beat
    evaluate = mix_rows if chosen == "cpu" else _reference.mix_reference
    return _unflat(_without_autocast(evaluate, mixing, x, weight), shape)


def _backend(backend: str | None, like: Tensor) -> str:
    """The backend that was asked for, or the fastest for such tensors."""
    device, kernels = like.device.type, like.dtype in (torch.float32, torch.float64)
    if backend is None:
        fast = device == "cpu" or (device == "cuda" and _cuda.is_available())
        return device if kernels and fast else "reference"
    known = available_backends()
    if backend not in known:
        missing = " (cuda needs a GPU and Triton)" if backend == "cuda" else ""
        raise ValueError(
            f"backend must be None or one of {', '.join(known)}; got {backend!r}{missing}"
        )
    fits = device == backend or (backend == "cuda" and _cuda.interpreted())
    if backend != "reference" and not (kernels and fits):
        where = {"cpu": "the CPU", "cuda": "a GPU"}[backend]
        raise ValueError(
            f"backend {backend} takes float32 and float64 on {where}; got {like.dtype} on {device}"
        )
    return backend


def _lowered_contract(
    product: Product, x: Tensor, y: Tensor, weight: Tensor | None, backend: str
) -> Tensor:
    return _sum_of_parts(product, x, y, weight, 0, (None,) * 4, backend)


def _lowered_convolve(
    product: Product,
    x: Tensor,
    y: Tensor,
    weight: Tensor | None,
    source: Tensor,
    destination: Tensor,
    num_nodes: int,
    backend: str,
) -> Tensor:
    if product.parts.mixing is not None and weight is not None and weight.ndim == 2:
        # the weights of the edges are larger than their features, which may as well be stored
        messages = _lowered_contract(product, x[source], y, weight, backend)
        return messages.new_zeros((num_nodes, product.dim_out)).index_add(0, destination, messages)
    orders = edge_order(source, x.shape[0]), edge_order(destination, num_nodes)
    # sums over the edges and over the copies commute: the mixing is done once per node
    graph = (source, destination, *orders)
    return _sum_of_parts(product, x, y, weight, num_nodes, graph, backend)


def _sum_of_parts(
    product: Product,
    x: Tensor,
    y: Tensor,
    weight: Tensor | None,
    nodes: int,
    graph: tuple[Tensor | None, ...],
    backend: str,
) -> Tensor:
    parts, absent = product.parts, (None, None, None, None)
    terms = []
    if parts.direct is not None:
        key = parts.direct.key
        terms.append(derivatives(key, backend, "out", nodes, x, y, weight, *absent, *graph)[0])
    if parts.mixed is not None and _in_blocks(weight, graph, backend):
        arguments = (x, y, weight, *absent, *graph)
        terms.append(derivatives(parts.mixed.key, backend, "out", nodes, *arguments)[0])
    elif parts.joint is not None and parts.mixing is not None:
        key = parts.joint.key
        copies = derivatives(key, backend, "out", nodes, x, y, None, *absent, *graph)[0]
        mixed = mix_rows if backend == "cpu" else _reference.mix_reference
        terms.append(mixed(parts.mixing, copies, _with_ones(weight, parts.ones, x)))
    return sum(terms[1:], terms[0])


def _in_blocks(weight: Tensor | None, graph: tuple[Tensor | None, ...], backend: str) -> bool:
    """Whether the product of copies can be mixed while it is in the cache."""
    return backend == "cpu" and graph[0] is None and (weight is None or weight.ndim == 1)


def _with_ones(weight: Tensor | None, count: int, like: Tensor) -> Tensor:
    if weight is None:
        return like.new_ones(count)
    if not count:
        return weight
    return torch.cat([weight, weight.new_ones((*weight.shape[:-1], count))], dim=-1)


def _without_autocast(function: Callable[..., Tensor], *args: Any) -> Tensor:
    if not is_autocast(args[1]):
        return function(*args)
    with torch.autocast(args[1].device.type, enabled=False):
        return function(*args)


def _unflat(out: Tensor, shape: torch.Size) -> Tensor:
    return out if len(shape) == 1 else out.reshape(*shape, out.shape[-1])


def _flat(*named: tuple[str, Tensor | None]) -> tuple[torch.Size, list[Any]]:
    """Broadcast the leading dimensions and flatten them into one; shared weights stay flat."""
    leading = [t.shape[:-1] for _, t in named if t is not None]
    first = leading[0]
    if len(first) == 1 and all(
        shape == first or (name == "weight" and not shape)
        for (name, _), shape in zip((pair for pair in named if pair[1] is not None), leading)
    ):
        return first, [t for _, t in named]
    try:
        shape = torch.broadcast_shapes(*leading)
    except RuntimeError:
        given = ", ".join(f"{name} {tuple(t.shape)}" for name, t in named if t is not None)
        raise ValueError(f"leading dimensions must broadcast; got {given}") from None
    numel = math.prod(shape)
    flat = [
        t
        if t is None or (name == "weight" and t.ndim == 1)
        else t.expand(*shape, t.shape[-1]).reshape(numel, t.shape[-1])
        for name, t in named
    ]
    return shape, flat

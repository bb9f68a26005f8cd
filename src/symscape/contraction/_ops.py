"""The form's derivatives as operators of torch: differentiable, and opaque to its compilers.

The form ``F(x, y, W, g) = <g, out(x, y, W)>`` is linear in x, y and g. In W it is linear where all
paths have weights, else affine: its variation along a direction of W is the form of the paths with
weights, with the direction in the place of W. The operator evaluates some of its partial
derivatives, or those of its variation along tangents of x, y and W. Any derivative of these is
again a sum of such terms, which makes the set closed.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symscape.contraction import _cpu, _cuda
from symscape.contraction._arguments import check_range
from symscape.contraction._context import is_eager, is_traced, keeps_tensors
from symscape.contraction._mixed import evaluate_mixed
from symscape.contraction._product import product_of, weighted_part

__all__ = ["derivatives", "edge_order", "nodes_of_edges"]

_VARIABLE = {"gx": "x", "gy": "y", "gw": "w", "out": "g"}
_GRADIENT = {variable: name for name, variable in _VARIABLE.items()}
_ARGUMENTS = ("x", "y", "w", "g", "tx", "ty", "tw")


@torch.library.custom_op("symscape::form", mutates_args=())
def form(
    key: str,
    backend: str,
    outputs: str,
    nodes: int,
    x: Tensor,
    y: Tensor,
    w: Tensor | None,
    g: Tensor | None,
    tx: Tensor | None,
    ty: Tensor | None,
    tw: Tensor | None,
    source: Tensor | None,
    destination: Tensor | None,
    by_source: Tensor | None,
    by_destination: Tensor | None,
) -> list[Tensor]:
    """Partial derivatives of a product's form.

    Args:
        key: `Product.key`.
        backend: `cpu` or `cuda`.
        outputs: names out of `out gx gy gw`, separated by blanks: the derivatives with respect to
            g, x, y, W.
        nodes: rows of `out`, with edges.
        x: (rows, dim_in1), y: (rows, dim_in2), w: (weight_numel,) or (rows, weight_numel),
            g: (rows, dim_out); tx, ty, tw: tangents. With edges, x and tx have a row for each
            source node, g one for each destination node.
        source: node at which each edge starts, destination: where it ends, by_source and
            by_destination: the edges in these orders; or None.
    """
    tensors = (x, y, w, g, tx, ty, tw, source, destination, by_source, by_destination)
    return _evaluate(key, backend, outputs, nodes, *tensors)


@form.register_fake
def _(
    key: str, backend: str, outputs: str, nodes: int, x: Any, y: Any, w: Any, g: Any, *rest: Any
) -> list[Tensor]:
    shapes = _shapes(key, nodes, x, y, w, rest[3])
    return [x.new_empty(shapes[name]) for name in outputs.split()]


def _shapes(
    key: str, nodes: int, x: Tensor, y: Tensor, w: Tensor | None, source: Tensor | None
) -> dict[str, Sequence[int]]:
    rows = x.shape[0] if source is None else nodes
    like = {"gx": x, "gy": y, "gw": w}
    shapes = {name: tensor.shape for name, tensor in like.items() if tensor is not None}
    return {"out": (rows, product_of(key).dim_out), **shapes}


def _evaluate(key: str, backend: str, outputs: str, nodes: int, *tensors: Any) -> list[Tensor]:
    inputs = {n: t for n, t in zip(_ARGUMENTS, tensors) if t is not None}
    source, destination, by_source, by_destination = tensors[len(_ARGUMENTS) :]
    product, run = product_of(key), _cuda if backend == "cuda" else _cpu
    if product.parts.mixed is not None:
        return evaluate_mixed(product, inputs, outputs.split())
    if source is None:
        return run.evaluate(product, inputs, outputs.split())
    edges, orders = (source, destination), (by_source, by_destination)
    return run.evaluate_edges(product, inputs, outputs.split(), edges, orders, nodes)


def _setup(ctx: Any, inputs: tuple, output: list[Tensor]) -> None:
    ctx.key, ctx.backend, ctx.outputs, ctx.nodes = inputs[:4]
    ctx.save_for_backward(*inputs[4:])
    ctx.save_for_forward(*inputs[4:])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grads: Sequence[Tensor | None]) -> tuple:
    saved = ctx.saved_tensors
    values = {n: t for n, t in zip(_ARGUMENTS, saved) if t is not None}
    cotangents = {
        _VARIABLE[name]: grad for name, grad in zip(ctx.outputs.split(), grads) if grad is not None
    }
    # without a cotangent there is no gradient: undefined, as autograd calls it
    needed = ctx.needs_input_grad[4:] if cotangents else ()
    wanted = [name for name, needs in zip(_ARGUMENTS, needed) if needs]
    found = _derivatives((ctx.key, ctx.backend), ctx.nodes, saved[7:], values, cotangents, wanted)
    return (
        None,
        None,
        None,
        None,
        *(found.get(name) for name in _ARGUMENTS),
        None,
        None,
        None,
        None,
    )


form.register_autograd(_backward, setup_context=_setup)


def _jvp(ctx: Any, *tangents: Any) -> tuple[Tensor | None, ...]:
    """Forward mode: the outputs with one argument after the other replaced by its tangent."""
    saved = ctx.saved_tensors
    values = {n: t for n, t in zip(_ARGUMENTS, saved) if t is not None}
    along = {n: t for n, t in zip(_ARGUMENTS, tangents[4:]) if t is not None}
    names = ctx.outputs.split()
    found: dict[str, Tensor] = {}

    start: list[dict[str, str]] = [{name: name for name in "xywg" if name in values}]
    first = {name[1]: tensor for name, tensor in values.items() if name[0] == "t"}
    for term in _varied(start, "t", first) if first else start:
        for slot, variable in term.items():
            if variable not in along:
                continue
            others = [n for n in names if term.get(_VARIABLE[n], _VARIABLE[n]) == _VARIABLE[n]]
            arguments = {s: values[n] for s, n in term.items()} | {slot: along[variable]}
            wanted = [name for name in others if _VARIABLE[name] != slot]
            if wanted:
                key = _key_of(ctx.key, term | {slot: f"t{variable}"})
                parts = _call((key, ctx.backend), ctx.nodes, saved[7:], wanted, arguments)
                _add(found, wanted, parts)
    # torch.func takes no tangent that is missing, like that of gx along x, which it does not hold
    shapes = _shapes(ctx.key, ctx.nodes, saved[0], saved[1], saved[2], saved[7])
    return tuple(
        found[name] if name in found else saved[0].new_zeros(shapes[name]) for name in names
    )


def _derivatives(
    which: tuple[str, str],
    nodes: int,
    edges: Sequence[Tensor | None],
    values: dict[str, Tensor],
    cotangents: dict[str, Tensor],
    wanted: list[str],
) -> dict[str, Tensor]:
    """Gradient of sum <cotangent, output>: the variation of the form along the cotangents."""

    def call(
        outputs: list[str], term: dict[str, str], arguments: dict[str, Tensor]
    ) -> Sequence[Tensor]:
        key = _key_of(which[0], term)
        return _call((key, which[1]), nodes, edges, outputs, arguments)

    base = {name: tensor for name, tensor in values.items() if name in "xyw"}
    tangents = {name[1]: tensor for name, tensor in values.items() if name[0] == "t"}
    if not tangents:
        names = [_GRADIENT[variable] for variable in wanted]
        if not names:
            return {}
        if set(cotangents) == {"g"}:
            return dict(zip(wanted, call(names, {}, base | cotangents)))
        if "g" not in cotangents:
            moved = {f"t{variable}": tangent for variable, tangent in cotangents.items()}
            return dict(zip(wanted, call(names, {}, {**base, "g": values["g"], **moved})))
    return _terms(call, base, values.get("g"), tangents, cotangents, wanted)


def _terms(
    call: Any,
    base: dict[str, Tensor],
    g: Tensor | None,
    tangents: dict[str, Tensor],
    cotangents: dict[str, Tensor],
    wanted: list[str],
) -> dict[str, Tensor]:
    """The same for a form that is a variation already, term by term."""
    found: dict[str, Tensor] = {}
    start = [{name: name for name in (*base, "g")}]
    values = {**base, **{f"t{name}": tangent for name, tangent in tangents.items()}}
    if g is not None:
        values["g"] = g
    values |= {f"c{name}": cotangent for name, cotangent in cotangents.items()}
    terms = _varied(start, "t", tangents) if tangents else start
    for term in _varied(terms, "c", cotangents):
        slots = {slot: name for slot, name in term.items() if name in wanted}
        if not slots:
            continue
        names = [_GRADIENT[slot] for slot in slots]
        # the derivative with respect to g needs no g, and a term without g has no other
        arguments = {slot: values[name] for slot, name in term.items() if name in values}
        _add(found, slots.values(), call(names, term, arguments))
    return found


def _call(
    which: tuple[str, str],
    nodes: int,
    edges: Sequence[Tensor | None],
    outputs: list[str],
    arguments: dict[str, Tensor],
) -> Sequence[Tensor]:
    given = [arguments.get(name) for name in _ARGUMENTS]
    return derivatives(*which, " ".join(outputs), nodes, *given, *edges)


def _add(found: dict[str, Tensor], names: Iterable[str], parts: Sequence[Tensor]) -> None:
    for name, part in zip(names, parts):
        found[name] = found[name] + part if name in found else part


def _key_of(key: str, term: dict[str, str]) -> str:
    """The product of a term: only its paths with weights where a direction takes their place."""
    return weighted_part(key) if term.get("w", "w") != "w" else key


def _varied(
    terms: list[dict[str, str]], prefix: str, along: dict[str, Tensor]
) -> list[dict[str, str]]:
    """Each term, with one of its arguments replaced by the direction, for all arguments."""
    return [
        {**term, variable: prefix + variable}
        for term in terms
        for variable in along
        if term.get(variable) == variable
    ]


def _vmap(info: Any, in_dims: tuple, *args: Any) -> tuple:
    """Fold the mapped dimension into the rows, or loop over it where each has own weights."""
    key, backend, outputs, nodes = args[:4]
    tensors, dims, edges = list(args[4:11]), in_dims[4:11], args[11:]
    if any(dim is not None for dim in in_dims[11:]):
        raise ValueError("source and destination must be the same for all entries under vmap")
    moved = [t if t is None or d is None else t.movedim(d, 0) for t, d in zip(tensors, dims)]
    batched = [t is not None and d is not None for t, d in zip(tensors, dims)]
    shared = tensors[2] is not None and moved[2].ndim - batched[2] == 1
    names = outputs.split()
    mixed = product_of(key).parts.mixed is not None and "gw" in names
    if edges[0] is not None or (shared and (batched[2] or batched[6] or mixed)):
        results = [
            derivatives(
                key,
                backend,
                outputs,
                nodes,
                *(t[entry] if b else t for t, b in zip(moved, batched)),
                *edges,
            )
            for entry in range(info.batch_size)
        ]
        return tuple(torch.stack(pieces) for pieces in zip(*results)), (0,) * len(names)
    size, rows = info.batch_size, moved[0].shape[int(batched[0])]

    def fold(tensor: Tensor | None, is_batched: bool, weight: bool) -> Tensor | None:
        if tensor is None:
            return None
        if weight and shared:
            # rows of their own, so that each entry of the batch gets its own gradient
            return tensor.expand(size * rows, -1) if "gw" in names else tensor
        full = tensor if is_batched else tensor.expand(size, *tensor.shape)
        return full.reshape(size * rows, tensor.shape[-1])

    folded = [fold(t, b, i in (2, 6)) for i, (t, b) in enumerate(zip(moved, batched))]
    found = derivatives(key, backend, outputs, nodes, *folded, *edges)
    unfolded = [t.reshape(size, rows, t.shape[-1]) for t in found]
    if shared and "gw" in names:
        index = names.index("gw")
        unfolded[index] = unfolded[index].sum(1)
    return tuple(unfolded), (0,) * len(names)


class _Form(torch.autograd.Function):
    """The operator in the shape that `torch.func` asks for; faster to call, too."""

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, ...]:
        return tuple((_evaluate if is_eager(args[4:]) else form)(*args))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        _setup(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple:
        return _backward(ctx, grads)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> tuple[Tensor | None, ...]:
        return _jvp(ctx, *tangents)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> tuple:
        return _vmap(info, in_dims, *args)


# torch asks for it in every call, and takes longer to find it out than the rest of the call
_Form.forward.__signature__ = inspect.signature(_Form.forward)  # type: ignore[attr-defined]


def derivatives(*args: Any) -> Sequence[Tensor]:
    """`form`, in the way that suits what is going on: eager, compiled, or `torch.func`."""
    if is_traced():
        return form(*args)
    return _Form.apply(*args)


@torch.library.custom_op("symscape::nodes_of_edges", mutates_args=())
def nodes_of_edges(index: Tensor, nodes: int, name: str) -> Tensor:
    """The index as consecutive 64-bit integers, checked when a recorded program runs."""
    check_range(index, nodes, name)
    return index.to(torch.int64, memory_format=torch.contiguous_format, copy=True)


@nodes_of_edges.register_fake
def _(index: Tensor, nodes: int, name: str) -> Tensor:
    return index.new_empty(index.shape, dtype=torch.int64)


def edge_order(index: Tensor, nodes: int) -> Tensor:
    """The edges, sorted by node; those of a node stay in their order."""
    if is_eager((index,)) and keeps_tensors():  # the operator takes longer to call
        return _edge_order(index, int(nodes))
    return _edge_order_op(index, nodes)


@torch.library.custom_op("symscape::edge_order", mutates_args=())
def _edge_order_op(index: Tensor, nodes: int) -> Tensor:
    """An operator, since no program can be recorded of how the edges are sorted."""
    return _edge_order(index, nodes)


@_edge_order_op.register_fake
def _(index: Tensor, nodes: int) -> Tensor:
    return torch.empty_like(index)


def _edge_order(index: Tensor, nodes: int) -> Tensor:
    if index.numel() < 2 or bool((index[1:] >= index[:-1]).all()):
        return torch.arange(index.shape[0], device=index.device)
    if index.device.type != "cpu":
        return torch.argsort(index, stable=True)
    # numpy sorts 16-bit numbers by counting them, many times faster than by comparing
    keys = index.numpy()
    order = np.argsort((keys & 0xFFFF).astype(np.uint16), kind="stable")
    for digit in range(1, -(-max(nodes - 1, 1).bit_length() // 16)):
        part = (keys[order] >> (16 * digit) & 0xFFFF).astype(np.uint16)
        order = order[np.argsort(part, kind="stable")]
    return torch.from_numpy(order)

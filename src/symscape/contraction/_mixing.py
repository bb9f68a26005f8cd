"""The linear layer on the CPU, as operators of torch.

``out = x W`` is linear in both arguments, and so are its gradients ``gx = g W^T`` and ``gW =
x^T g``: the three products are closed under differentiation.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from symscape.contraction._compile import Function, compiled
from symscape.contraction._context import is_eager, is_traced
from symscape.contraction._memory import empty
from symscape.contraction._mixing_kernels import ENTRY, product_source, weight_source
from symscape.contraction._product import Mixing, MixingPath, mixing_of
from symscape.contraction._reference import mix_reference
from symscape.contraction._threads import in_slices, slices

__all__ = [
    "contiguous_rows",
    "mix_rows",
    "mixing_function",
    "mixing_work",
    "reversed_mixing",
    "transposed_weight",
]

_TYPES = [ctypes.c_int64] * 2 + [ctypes.c_void_p, ctypes.c_int64]
_TYPES += [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]


def mix_rows(mixing: Mixing, x: Tensor, weight: Tensor) -> Tensor:
    """`mix` for x (rows, dim_in1) and weight (weight_numel,) or (rows, weight_numel)."""
    if weight.ndim == 2:
        return mix_reference(mixing, x, weight)
    return _product(mixing.key, x, weight, False)


def _product(key: str, x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    if is_traced():
        return _product_op(key, x, weight, transposed)
    return _Product.apply(key, x, weight, transposed)


def _gradient(key: str, x: Tensor, g: Tensor) -> Tensor:
    if is_traced():
        return _gradient_op(key, x, g)
    return _Gradient.apply(key, x, g)


@torch.library.custom_op("symscape::mix", mutates_args=())
def _product_op(key: str, x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    """``out[z, w, k] = sum_u x[z, u, k] W[u, w]``, or with the transposed weights."""
    return _run_product(key, x, weight, transposed)


@torch.library.custom_op("symscape::mix_gradient", mutates_args=())
def _gradient_op(key: str, x: Tensor, g: Tensor) -> Tensor:
    """``W[u, w] = sum_{zk} x[z, u, k] g[z, w, k]``"""
    return _run_gradient(key, x, g)


@_product_op.register_fake
def _(key: str, x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    mixing = mixing_of(key)
    return x.new_empty((x.shape[0], mixing.dim_in1 if transposed else mixing.dim_out))


@_gradient_op.register_fake
def _(key: str, x: Tensor, g: Tensor) -> Tensor:
    return x.new_empty(mixing_of(key).weight_numel)


def _setup_product(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.key, x, weight, ctx.transposed = inputs
    ctx.save_for_backward(x, weight)
    ctx.save_for_forward(x, weight)


def _product_backward(ctx: Any, g: Tensor) -> tuple:
    x, weight = ctx.saved_tensors
    gx = gw = None
    if ctx.needs_input_grad[1]:
        gx = _product(ctx.key, g, weight, not ctx.transposed)
    if ctx.needs_input_grad[2]:
        gw = _gradient(ctx.key, g, x) if ctx.transposed else _gradient(ctx.key, x, g)
    return None, gx, gw, None


def _setup_gradient(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.key, x, g = inputs
    ctx.save_for_backward(x, g)
    ctx.save_for_forward(x, g)


def _gradient_backward(ctx: Any, h: Tensor) -> tuple:
    x, g = ctx.saved_tensors
    gx = _product(ctx.key, g, h, True) if ctx.needs_input_grad[1] else None
    gg = _product(ctx.key, x, h, False) if ctx.needs_input_grad[2] else None
    return None, gx, gg


def _sum(*terms: Tensor | None) -> Tensor:
    some = [term for term in terms if term is not None]
    return sum(some[1:], some[0])


_product_op.register_autograd(_product_backward, setup_context=_setup_product)
_gradient_op.register_autograd(_gradient_backward, setup_context=_setup_gradient)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(key: str, x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
        run = _run_product if is_eager((x, weight)) else _product_op
        return run(key, x, weight, transposed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _setup_product(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple:
        return _product_backward(ctx, g)

    @staticmethod
    def jvp(ctx: Any, _: None, tx: Tensor | None, tw: Tensor | None, __: None) -> Tensor:
        x, weight = ctx.saved_tensors
        return _sum(
            None if tx is None else _product(ctx.key, tx, weight, ctx.transposed),
            None if tw is None else _product(ctx.key, x, tw, ctx.transposed),
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> tuple:
        key, x, weight, transposed = args
        if in_dims[2] is None:
            rows = x.movedim(in_dims[1], 0)
            flat = rows.reshape(-1, rows.shape[-1])
            return _product(key, flat, weight, transposed).reshape(*rows.shape[:2], -1), 0
        return _one_by_one(
            lambda x, weight: _product(key, x, weight, transposed), info, in_dims[1:3], (x, weight)
        )


class _Gradient(torch.autograd.Function):
    @staticmethod
    def forward(key: str, x: Tensor, g: Tensor) -> Tensor:
        return (_run_gradient if is_eager((x, g)) else _gradient_op)(key, x, g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _setup_gradient(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple:
        return _gradient_backward(ctx, h)

    @staticmethod
    def jvp(ctx: Any, _: None, tx: Tensor | None, tg: Tensor | None) -> Tensor:
        x, g = ctx.saved_tensors
        return _sum(
            None if tx is None else _gradient(ctx.key, tx, g),
            None if tg is None else _gradient(ctx.key, x, tg),
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> tuple:
        key, x, g = args
        return _one_by_one(lambda x, g: _gradient(key, x, g), info, in_dims[1:], (x, g))


# torch asks for them in every call, and takes longer to find them out than the rest of the call
for _function in (_Product, _Gradient):
    _function.forward.__signature__ = inspect.signature(_function.forward)  # type: ignore[union-attr]


def _one_by_one(
    function: Callable[..., Tensor], info: Any, in_dims: tuple, tensors: tuple[Tensor, ...]
) -> tuple[Tensor, int]:
    """Each entry of the mapped dimension has its own matrix, so each is its own product."""
    pieces = [
        function(*(t if d is None else t.select(d, entry) for t, d in zip(tensors, in_dims)))
        for entry in range(info.batch_size)
    ]
    return torch.stack(pieces), 0


def _run_product(key: str, x: Tensor, weight: Tensor, transposed: bool) -> Tensor:
    mixing = mixing_of(key)
    if transposed:
        weight = transposed_weight(mixing, weight)
        mixing = reversed_mixing(mixing)
    x, weight = contiguous_rows(x), weight.contiguous()
    out = empty((x.shape[0], mixing.dim_out), x)
    function = mixing_function(mixing, x.dtype == torch.float64, False)
    starts = slices(x.shape[0], mixing_work(mixing))

    def run(index: int) -> None:
        pointers = x.data_ptr(), x.stride(0), weight.data_ptr(), out.data_ptr(), out.stride(0)
        function(starts[index], starts[index + 1], *pointers)

    in_slices(run, len(starts) - 1)
    return out


def _run_gradient(key: str, x: Tensor, g: Tensor) -> Tensor:
    mixing = mixing_of(key)
    x, g = contiguous_rows(x), contiguous_rows(g)
    function = mixing_function(mixing, x.dtype == torch.float64, True)
    starts = slices(x.shape[0], mixing_work(mixing))
    partial = x.new_zeros((max(1, len(starts) - 1), mixing.weight_numel))

    def run(index: int) -> None:
        pointer = partial.data_ptr() + index * partial.stride(0) * partial.element_size()
        rows = (x.data_ptr(), x.stride(0)), (g.data_ptr(), g.stride(0))
        function(starts[index], starts[index + 1], *rows[0], pointer, *rows[1])

    in_slices(run, len(starts) - 1)
    return partial.sum(0)


def contiguous_rows(tensor: Tensor) -> Tensor:
    """The same numbers, with the elements of a row side by side."""
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()


@functools.lru_cache(maxsize=4096)
def mixing_function(mixing: Mixing, double: bool, gradient: bool) -> Function:
    """The kernel of the product, or of the gradient of the weights."""
    name = f"{mixing.key} {'gradient' if gradient else 'product'} {double}"
    make = weight_source if gradient else product_source
    return compiled(name, ENTRY, _TYPES, lambda: make(mixing, double))


@functools.lru_cache(maxsize=4096)
def mixing_work(mixing: Mixing) -> int:
    """Multiply-adds of a row."""
    return sum(path.in1.mul * path.out.mul * path.out.dim for path in mixing.paths)


@functools.lru_cache(maxsize=4096)
def reversed_mixing(mixing: Mixing) -> Mixing:
    """The mixing in the other direction, from out to in."""
    paths = tuple(MixingPath(p.out, p.in1, p.weight, p.coefficient) for p in mixing.paths)
    return Mixing(mixing.dim_out, mixing.dim_in1, mixing.weight_numel, paths)


def transposed_weight(mixing: Mixing, weight: Tensor) -> Tensor:
    """The weights with the matrix of each path transposed in its place."""
    turned = torch.empty_like(weight)
    for path in mixing.paths:
        shape = path.in1.mul, path.out.mul
        block = slice(path.weight, path.weight + shape[0] * shape[1])
        turned[block].view(shape[1], shape[0]).copy_(weight[block].view(shape).T)
    return turned

"""Operations on whole irreps: a factor for each, and the inner products of each with another.

Each is the derivative of the other, so they are differentiable to any order. On the CPU, where
nothing records what is done, they run as kernels, in one pass over the features; else they are
operations of torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from symscape.contraction._context import is_eager, keeps_tensors
from symscape.o3 import _irrepwise_kernels as kernels
from symscape.o3._irreps import Irreps
from symscape.o3._irrepwise_kernels import Runs

__all__ = [
    "Runs",
    "gate",
    "has_kernels",
    "inner",
    "join",
    "repeat_components",
    "rows_of",
    "runs_of",
    "scale",
    "shaped",
    "squares",
    "sum_components",
]

# rows whose inner products are added up before the sums of these groups are
_GROUP = 64
# numbers: with fewer, if only these need gradients, one multiplication is faster than a function
# of Python in the graph of autograd
_FEW = 50_000


def runs_of(irreps: Irreps) -> Runs:
    """The longest runs of irreps of equal dimension, whatever their parity."""
    runs: list[tuple[int, int]] = []
    for mul, ir in irreps:
        if mul == 0:
            continue
        if runs and runs[-1][1] == ir.dim:
            runs[-1] = (runs[-1][0] + mul, ir.dim)
        else:
            runs.append((mul, ir.dim))
    return tuple(runs)


def scale(scalars: Tensor, x: Tensor, runs: Runs, shift: Tensor | None = None) -> Tensor:
    """Each irrep times its scalar, plus a shift.

    Args:
        scalars: ``(irreps,)``, or ``(..., irreps)`` with leading dimensions that broadcast with
            those of x.
        x: ``(..., dim)``.
        runs: the irreps.
        shift: ``(dim,)``.

    Returns:
        ``(..., dim)``.
    """
    tensors = (scalars, x) if shift is None else (scalars, x, shift)
    # a program that is recorded must not depend on the size
    few = recorded(x) and not scalars.requires_grad and is_eager((x,)) and x.numel() < _FEW
    if few or not has_kernels(*tensors):
        scaled = x * repeat_components(scalars, runs)
        return scaled if shift is None else scaled + shift
    if scalars.ndim > 1 and scalars.shape[:-1] != x.shape[:-1]:
        leading = torch.broadcast_shapes(scalars.shape[:-1], x.shape[:-1])
        scalars = scalars.expand(*leading, scalars.shape[-1])
        x = x.expand(*leading, x.shape[-1])
    if recorded(*tensors):
        return _Scale.apply(scalars, x, runs, shift)
    return _scale(scalars, x, runs, shift)


def gate(first: Tensor, scalars: Tensor, x: Tensor, constants: Tensor, runs: Runs) -> Tensor:
    """Scalars, and beside them irreps times scalars of their own.

    Args:
        first: ``(..., length)``.
        scalars: ``(..., irreps)``.
        x: ``(..., dim)``.
        constants: ``(length + irreps,)``, by which ``first`` and ``scalars`` are multiplied.
        runs: the irreps of x.

    Returns:
        ``(..., length + dim)``.
    """
    some = (first,) if first.numel() else ()
    if not has_kernels(*some, scalars, x, constants):
        k, c = constants.split([first.shape[-1], scalars.shape[-1]])
        return torch.cat([first * k, x * repeat_components(scalars * c, runs)], -1)
    if recorded(first, scalars, x):
        return _Gate.apply(first, scalars, x, constants, runs)
    return _gate(first, scalars, x, constants, runs)


def inner(x: Tensor, y: Tensor, runs: Runs) -> Tensor:
    """Inner product of each irrep of x with that of y.

    Args:
        x: ``(..., dim)``.
        y: the same shape.
        runs: the irreps.

    Returns:
        ``(..., irreps)``.
    """
    if not has_kernels(x, y) or x.shape != y.shape:
        return sum_components(x * y, runs)
    if recorded(x, y):
        return _Inner.apply(x, y, runs)
    return _inner(x, y, runs)


def squares(x: Tensor, runs: Runs) -> Tensor:
    """Squared norm of each irrep: ``(..., dim)`` to ``(..., irreps)``."""
    if not has_kernels(x):
        return sum_components(x.square(), runs)
    return _Squares.apply(x, runs) if recorded(x) else _inner(x, None, runs)


# In torch's operations


def join(parts: Sequence[Tensor], like: Tensor, dim: int = -1) -> Tensor:
    """The parts side by side on the axis ``dim``, of length zero if there are none."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(tuple(parts), dim) if parts else like.narrow(dim, 0, 0)


def sum_components(x: Tensor, runs: Runs) -> Tensor:
    """Sum over the components of each irrep: ``(..., dim)`` to ``(..., irreps)``."""
    blocks = x.split([mul * dim for mul, dim in runs], -1)
    sums = [
        block if dim == 1 else block.unflatten(-1, (mul, dim)).sum(-1)
        for block, (mul, dim) in zip(blocks, runs)
    ]
    return join(sums, x)


def repeat_components(values: Tensor, runs: Runs) -> Tensor:
    """A value per irrep, for each of its components: ``(..., irreps)`` to ``(..., dim)``."""
    blocks = values.split([mul for mul, _ in runs], -1)
    repeated = [
        block if dim == 1 else block.unsqueeze(-1).expand(*block.shape, dim).flatten(-2)
        for block, (_, dim) in zip(blocks, runs)
    ]
    return join(repeated, values)


# As kernels


def has_kernels(*tensors: Tensor) -> bool:
    """Whether kernels take the tensors: in memory, of equal dtype, and nobody looks on.

    ``torch.compile``, ``torch.export``, ``torch.func``, ``torch.jit.trace`` and forward-mode
    derivatives get operations of torch.
    """
    if not keeps_tensors() or torch.autograd.forward_ad._current_level >= 0:
        return False
    dtype = tensors[0].dtype
    if dtype is not torch.float32 and dtype is not torch.float64:
        return False
    for t in tensors:
        if type(t) is not Tensor and type(t) is not nn.Parameter:
            return False
        if t.dtype is not dtype or not t.is_cpu or t.numel() == 0:
            return False
    return True


def recorded(*tensors: Tensor) -> bool:
    """Whether autograd needs to know what happens to the tensors."""
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def rows_of(x: Tensor) -> Tensor:
    """``(rows, length)``, with consecutive elements in each row; a view where possible."""
    if x.ndim != 2:
        x = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])  # also where rows are empty
    return x if x.stride(1) == 1 or x.shape[1] == 1 else x.contiguous()


def shaped(rows: Tensor, leading: Sequence[int]) -> Tensor:
    """A new result ``(rows, length)`` with its leading dimensions.

    In place: a view that a function of autograd returns could not be changed in place later.
    """
    return rows if len(leading) == 1 else rows.resize_(*leading, rows.shape[1])


def _scale(scalars: Tensor, x: Tensor, runs: Runs, shift: Tensor | None) -> Tensor:
    row = None if shift is None else rows_of(shift)
    return shaped(kernels.combine(runs, 1, [(rows_of(scalars), rows_of(x))], row), x.shape[:-1])


def _gate(first: Tensor, scalars: Tensor, x: Tensor, constants: Tensor, runs: Runs) -> Tensor:
    out = kernels.gate(runs, rows_of(first), rows_of(scalars), rows_of(x), constants)
    return shaped(out, x.shape[:-1])


def _inner(x: Tensor, y: Tensor | None, runs: Runs) -> Tensor:
    out = kernels.inner(runs, 1, rows_of(x), None if y is None else rows_of(y))
    return shaped(out, x.shape[:-1])


def _inner_over_rows(x: Tensor, y: Tensor, runs: Runs) -> Tensor:
    """Sum over all rows, of the gradient with respect to scalars that all rows share."""
    if recorded(x, y) or not has_kernels(x, y):
        return inner(x, y, runs).flatten(0, -2).sum(0)
    return kernels.inner(runs, _GROUP, rows_of(x), rows_of(y)).sum(0)


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scalars: Tensor, x: Tensor, runs: Runs, shift: Tensor | None) -> Tensor:
        ctx.save_for_backward(scalars, x)
        ctx.runs = runs
        return _scale(scalars, x, runs, shift)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        scalars, x = ctx.saved_tensors
        of_scalars = of_x = of_shift = None
        if ctx.needs_input_grad[0]:
            shared = scalars.ndim == 1 and x.ndim > 1
            of_scalars = (_inner_over_rows if shared else inner)(x, grad, ctx.runs)
        if ctx.needs_input_grad[1]:
            of_x = scale(scalars, grad, ctx.runs)
        if ctx.needs_input_grad[3]:
            of_shift = grad.reshape(-1, grad.shape[-1]).sum(0)
        return of_scalars, of_x, None, of_shift


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, first: Tensor, scalars: Tensor, x: Tensor, constants: Tensor, runs: Runs
    ) -> Tensor:
        ctx.save_for_backward(scalars, x, constants)
        ctx.runs = runs
        return _gate(first, scalars, x, constants, runs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        scalars, x, constants = ctx.saved_tensors
        runs = ctx.runs
        if not torch.is_grad_enabled() and has_kernels(grad, x):
            found = kernels.gate_gradients(
                runs, rows_of(scalars), rows_of(x), constants, rows_of(grad)
            )
            shapes = (grad.shape[-1] - x.shape[-1], scalars.shape[-1], x.shape[-1])
            views = (t.view(*x.shape[:-1], n) for t, n in zip(found, shapes))
            return *views, None, None
        of_first, of_gated = grad.split([grad.shape[-1] - x.shape[-1], x.shape[-1]], -1)
        k, c = constants.split([of_first.shape[-1], scalars.shape[-1]])
        of_scalars = inner(x, of_gated, runs) * c
        return of_first * k, of_scalars, scale(scalars * c, of_gated, runs), None, None


class _Inner(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, runs: Runs) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.runs = runs
        return _inner(x, y, runs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x, y = ctx.saved_tensors
        of_x = scale(grad, y, ctx.runs) if ctx.needs_input_grad[0] else None
        of_y = scale(grad, x, ctx.runs) if ctx.needs_input_grad[1] else None
        return of_x, of_y, None


class _Squares(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, runs: Runs) -> Tensor:
        ctx.save_for_backward(x)
        ctx.runs = runs
        return _inner(x, None, runs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        (x,) = ctx.saved_tensors
        return scale(2 * grad, x, ctx.runs), None

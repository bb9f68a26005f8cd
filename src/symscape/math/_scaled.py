"""Functions times constants, without extra passes over memory where torch allows it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["constant_vector", "scaled", "scaled_beside"]

_aten = torch.ops.aten


class Rule(NamedTuple):
    """How to differentiate a function whose value is new memory.

    Attributes:
        backward: of a cotangent, and of the argument or the value, the argument's cotangent.
        of_value: whether it is given the value.
    """

    backward: Callable[[Tensor, Tensor], Tensor]
    of_value: bool


_SILU = Rule(_aten.silu_backward, False)
_GELU = Rule(_aten.gelu_backward, False)
_RELU = Rule(lambda grad, x: _aten.threshold_backward(grad, x, 0), False)
_SIGMOID = Rule(_aten.sigmoid_backward, True)
_TANH = Rule(_aten.tanh_backward, True)

_RULES: dict[Any, Rule] = {
    torch.nn.functional.silu: _SILU,
    torch.nn.functional.gelu: _GELU,
    torch.nn.functional.relu: _RELU,
    torch.relu: _RELU,
    torch.nn.functional.sigmoid: _SIGMOID,
    torch.sigmoid: _SIGMOID,
    torch.nn.functional.tanh: _TANH,
    torch.tanh: _TANH,
}

# with fewer numbers, calling Python from autograd takes longer than a pass over them
_MANY = 20_000


def scaled(f: Callable[[Tensor], Tensor], constant: float, x: Tensor) -> Tensor:
    """``f(x) * constant``."""
    rule = _rule_of(f) if _is_eager(x) else None
    if rule is None:
        return f(x).mul(constant)
    if not (torch.is_grad_enabled() and x.requires_grad):
        return f(x).mul_(constant)
    if x.numel() < _MANY:
        return f(x).mul(constant)
    return _Scaled.apply(x, f, constant, rule)


def scaled_beside(
    fs: Sequence[Callable[[Tensor], Tensor] | None],
    constants: Sequence[float],
    lengths: Sequence[int],
    x: Tensor,
    dim: int,
) -> Tensor:
    """Functions of the pieces of an axis, times constants, side by side.

    Args:
        fs: a function for each piece; None leaves it as it is.
        constants: their constants.
        lengths: those of the pieces.
        x: any shape.
        dim: the axis.
    """
    pieces = x.split(lengths, dim)
    values = [pieces[i] if f is None else f(pieces[i]) for i, f in enumerate(fs)]
    if not _is_eager(x) or any(type(value) is not Tensor for value in values):
        scaled_values = [v if c == 1.0 else v * c for v, c in zip(values, constants)]
        return torch.cat(scaled_values, dim)
    if x.numel() < _MANY and dim == -1:
        return torch.cat(values, dim) * constant_vector(
            x.dtype, x.device, tuple(zip(lengths, constants))
        )
    if torch.is_grad_enabled() and any(value.requires_grad for value in values):
        return _Beside.apply(constants, lengths, dim, *values)
    return _beside(constants, lengths, dim, values)


@functools.lru_cache(maxsize=256)
def constant_vector(
    dtype: torch.dtype, device: torch.device, constants: tuple[tuple[int, float], ...]
) -> Tensor:
    """A constant for each place of an axis, out of those of its pieces."""
    values = [constant for length, constant in constants for _ in range(length)]
    with torch.inference_mode(False):  # it may be saved for gradients later
        return torch.tensor(values, dtype=dtype, device=device)


def _beside(
    constants: Sequence[float], lengths: Sequence[int], dim: int, values: Sequence[Tensor]
) -> Tensor:
    shape = list(values[0].shape)
    shape[dim] = sum(lengths)
    out = values[0].new_empty(shape)
    for place, value, constant in zip(out.split(lengths, dim), values, constants):
        if constant == 1.0:
            place.copy_(value)
        else:
            torch.mul(value, constant, out=place)
    return out


def _rule_of(f: Callable[[Tensor], Tensor]) -> Rule | None:
    try:
        return _RULES.get(f)
    except TypeError:  # not hashable
        return None


def _is_eager(x: Tensor) -> bool:
    """Whether nobody but autograd records what is done with x."""
    return (
        type(x) in (Tensor, torch.nn.Parameter)
        and x.is_floating_point()
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and not torch._C._len_torch_dispatch_stack()
        and torch._C._functorch.maybe_current_level() is None
        and torch.autograd.forward_ad._current_level < 0
    )


class _Scaled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, f: Callable[[Tensor], Tensor], constant: float, rule: Rule
    ) -> Tensor:
        y = f(x)
        ctx.save_for_backward(x, *([y] if rule.of_value else []))
        ctx.f, ctx.constant, ctx.rule = f, constant, rule
        return y.mul(constant) if rule.of_value else y.mul_(constant)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        x = ctx.saved_tensors[0]
        if torch.is_grad_enabled():  # to be differentiated again, which the saved value cannot
            value = ctx.f(x).mul(ctx.constant)
            (found,) = torch.autograd.grad(value, x, grad, create_graph=True)
            return found, None, None, None
        return ctx.rule.backward(grad, ctx.saved_tensors[-1]).mul_(ctx.constant), None, None, None


class _Beside(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, constants: Sequence[float], lengths: Sequence[int], dim: int, *values: Tensor
    ) -> Tensor:
        ctx.constants, ctx.lengths, ctx.dim = constants, lengths, dim
        return _beside(constants, lengths, dim, values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        pieces = grad.split(ctx.lengths, ctx.dim)
        found = (p if c == 1.0 else p * c for p, c in zip(pieces, ctx.constants))
        return None, None, None, *found

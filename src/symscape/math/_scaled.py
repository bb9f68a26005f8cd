"""A function times a constant, without an extra pass over memory where torch allows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["scaled"]

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

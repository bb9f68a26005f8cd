"""What layers of a module were given and gave, and the derivatives of the outputs by the latter."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Use", "changed_in_place", "outputs_of", "recorded", "signals"]


@dataclass(frozen=True)
class Use:
    """One call of a layer in a forward pass.

    Attributes:
        module: the layer.
        inputs: what it was given, (n, ...), without its history.
        output: what it gave, part of the graph of autograd.
        version: how often the output had been changed in place when the layer had run.
    """

    module: nn.Module
    inputs: Tensor
    output: Tensor
    version: int


@contextmanager
def recorded(modules: Collection[nn.Module], copied: Collection[nn.Module]) -> Iterator[list[Use]]:
    """Record the calls of some layers.

    Args:
        modules: the layers.
        copied: those whose outputs the network changes in place later on: it is given copies.
    """
    uses: list[Use] = []

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        inputs = (args[0] if args else kwargs["input"]).detach()
        uses.append(Use(module, inputs, output, output._version))
        return output.clone() if module in copied else None

    handles = [module.register_forward_hook(hook, with_kwargs=True) for module in modules]
    try:
        yield uses
    finally:
        for handle in handles:
            handle.remove()


def changed_in_place(uses: list[Use]) -> set[nn.Module]:
    """The layers whose outputs were changed after they had been recorded."""
    return {use.module for use in uses if use.version != use.output._version}


def outputs_of(model: nn.Module, x: Tensor, dtype: torch.dtype) -> Tensor:
    """The outputs as (n, c), with their graph.

    Raises:
        ValueError: they are not one tensor of the right dtype of shape (n,) or (n, c).
    """
    f = model(x)
    if not isinstance(f, Tensor):
        raise ValueError(f"model: outputs are a {type(f).__name__}; allowed: one tensor")
    if f.ndim not in (1, 2) or len(f) != len(x) or f.numel() == 0:
        raise ValueError(
            f"model: outputs of shape {tuple(f.shape)} for {len(x)} points; "
            f"allowed: ({len(x)},) or ({len(x)}, c)"
        )
    if f.dtype != dtype:
        raise ValueError(f"model: outputs of {f.dtype}; allowed: {dtype}, as the parameters")
    return f.reshape(len(x), -1)


def signals(f: Tensor, uses: list[Use]) -> list[Tensor]:
    """Derivatives of each output by the output of each layer, (n, c, ...).

    Points must not interact, so that the derivative of the sum over points is that of each.
    """
    outputs = [use.output for use in uses]
    c = f.shape[1]
    if not outputs:
        return []
    results = [] if c == 1 else [t.new_empty(len(t), c, *t.shape[1:]) for t in outputs]
    for k in range(c):
        found = torch.autograd.grad(
            f[:, k].sum(), outputs, retain_graph=k < c - 1, allow_unused=True
        )
        zeroed = [
            torch.zeros_like(t) if g is None else g for t, g in zip(outputs, found, strict=True)
        ]
        if c == 1:
            return [g.unsqueeze(1) for g in zeroed]
        for result, g in zip(results, zeroed, strict=True):
            result[:, k] = g
    return results

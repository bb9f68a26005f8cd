"""Modules with one flat vector of weights, their own or given in each call, as in e3nn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["FlatWeights", "weight_flags"]


def weight_flags(
    shared_weights: bool | None, internal_weights: bool | None, has_weights: bool
) -> tuple[bool, bool]:
    """Complete the flags ``(shared_weights, internal_weights)``, where None is "as usual".

    Weights are shared by all samples unless told otherwise, and they are parameters of the
    module if they are shared and there are any.

    Raises:
        ValueError: internal weights that are not shared.
    """
    if shared_weights is None:
        shared_weights = True
    if internal_weights is None:
        internal_weights = shared_weights and has_weights
    if internal_weights and not shared_weights:
        raise ValueError(
            "internal_weights = True needs shared_weights = True: the module has one vector of "
            "weights; got shared_weights = False"
        )
    return shared_weights, internal_weights


class FlatWeights(torch.nn.Module):
    """Base of the modules whose instructions share one flat vector of weights.

    The weights of the instructions follow each other, each in row-major order of its
    ``path_shape``.

    Attributes:
        weight: the weights: a parameter if ``internal_weights``, else an empty buffer.
        weight_numel: number of weights (of one sample, and of one pair of outer indices).
        shared_weights: whether all samples have the same weights.
        internal_weights: whether the weights are parameters of the module.
    """

    weight: Tensor
    weight_numel: int
    shared_weights: bool
    internal_weights: bool
    instructions: list[Any]
    _outer: tuple[int, ...] = ()
    # checkpoints of e3nn also hold the constants of its generated code
    _foreign_keys: tuple[str, ...] = ("_compiled_main",)

    def _make_weight(self) -> None:
        if self.internal_weights and self.weight_numel > 0:
            self.weight = torch.nn.Parameter(torch.randn(*self._outer, self.weight_numel))
        else:
            self.register_buffer("weight", torch.empty(0))

    def _resolved(self, weight: Tensor | Sequence[Tensor] | None) -> Tensor | None:
        """The weights to use: those given or the module's own; None if it has none."""
        if weight is None:
            if self.weight_numel == 0:
                return None
            if not self.internal_weights:
                raise ValueError(
                    f"weight must be given, of shape {self._weight_shape()}: "
                    f"{type(self).__name__} has no internal weights"
                )
            return self.weight
        if not isinstance(weight, Tensor):
            weight = self._flattened(weight)
        shape = (*self._outer, self.weight_numel)
        fits = tuple(weight.shape[weight.ndim - len(shape) :]) == shape
        if not fits or (weight.ndim == len(shape)) != self.shared_weights:
            raise ValueError(
                f"weight must have the shape {self._weight_shape()} with shared_weights = "
                f"{self.shared_weights}; got {tuple(weight.shape)}"
            )
        return weight

    def _weight_shape(self) -> str:
        inner = ", ".join(map(str, (*self._outer, self.weight_numel)))
        return f"({inner},)" if self.shared_weights else f"(..., {inner})"

    def _flattened(self, weights: Sequence[Tensor]) -> Tensor:
        """The flat weights out of one tensor for each instruction that has weights."""
        shapes = [ins.path_shape for _, ins, _ in self._slices()]
        fits = len(weights) == len(shapes) and all(
            tuple(w.shape[w.ndim - len(s) :]) == s for w, s in zip(weights, shapes)
        )
        if not fits:
            raise ValueError(
                f"weight must hold one tensor for each instruction with weights, of shapes "
                f"(..., path_shape) with {shapes}; got {[tuple(w.shape) for w in weights]}"
            )
        return torch.cat([w.flatten(w.ndim - len(s)) for w, s in zip(weights, shapes)], dim=-1)

    def _slices(self) -> Iterator[tuple[int, Any, slice]]:
        """Number and instruction of those with weights, and where these lie in the vector."""
        start = 0
        for number, ins in enumerate(self.instructions):
            if ins.has_weight:
                end = start + math.prod(ins.path_shape)
                yield number, ins, slice(start, end)
                start = end

    def weight_view_for_instruction(self, instruction: int, weight: Tensor | None = None) -> Tensor:
        """The weights of one instruction, as a view.

        Args:
            instruction: its number in ``instructions``.
            weight: the flat weights; None for the module's own.

        Returns:
            ``(..., *path_shape)``.

        Raises:
            ValueError: an instruction without weights, or weights missing or of another shape.
        """
        for number, ins, where in self._slices():
            if number == instruction:
                flat = self._given(weight)[..., where]
                return flat.view(*flat.shape[:-1], *ins.path_shape)
        raise ValueError(
            f"instruction must be the number of one with weights; got {instruction} of "
            f"{self.instructions}"
        )

    def weight_views(
        self, weight: Tensor | None = None, yield_instruction: bool = False
    ) -> Iterator[Any]:
        """The weights of each instruction that has some, as views.

        Args:
            weight: the flat weights; None for the module's own.
            yield_instruction: yield ``(number, instruction, view)`` instead of views.

        Raises:
            ValueError: weights missing, or of another shape.
        """
        flat = self._given(weight)
        for number, ins, where in self._slices():
            view = flat[..., where].view(*flat.shape[:-1], *ins.path_shape)
            yield (number, ins, view) if yield_instruction else view

    def _given(self, weight: Tensor | None) -> Tensor:
        resolved = self._resolved(weight)
        return self.weight if resolved is None else resolved

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        foreign = tuple(prefix + key for key in self._foreign_keys)
        unexpected_keys[:] = [key for key in unexpected_keys if not key.startswith(foreign)]

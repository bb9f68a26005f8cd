"""Linear maps between features of the same irreps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from symscape.contraction import Mixing, MixingPath, mix
from symscape.contraction._arguments import is_autocast
from symscape.o3._irreps import Irreps, IrrepsLike
from symscape.o3._tensor_product import one_of, output_mask, segments
from symscape.o3._weights import FlatWeights, weight_flags

__all__ = ["Linear", "LinearInstruction"]


class LinearInstruction(NamedTuple):
    """One path of a `Linear`, or the bias of a block of its output.

    Attributes:
        i_in: which block of ``irreps_in``; -1 for a bias.
        i_out: which block of ``irreps_out``.
        path_shape: ``(mul_in, mul_out)``, or ``(mul_out,)`` for a bias.
        path_weight: the coefficient of the path.
    """

    i_in: int
    i_out: int
    path_shape: tuple[int, ...]
    path_weight: float

    @property
    def has_weight(self) -> bool:
        """Whether it is a path, not a bias."""
        return self.i_in >= 0


class Linear(FlatWeights):
    r"""Equivariant linear map: it mixes the copies of equal irreps.

    .. math:: y_{wm} = \sum_\text{paths} c \sum_u x_{um} W_{uw} + b_w

    By default, all pairs of blocks of the same irrep are paths. Biases exist for scalars only.
    Names, arguments, normalizations, order of the weights and state dict are those of e3nn.

    Args:
        irreps_in: of the input.
        irreps_out: of the output.
        f_in: length of an additional axis of the input that is mixed too, with weights of its
            own; None for no such axis.
        f_out: the same for the output; both or none.
        internal_weights: whether weights and biases are parameters of the module; by default, if
            they are shared.
        shared_weights: whether all samples have the same weights; True by default.
        instructions: pairs ``(i_in, i_out)`` of blocks of the same irrep; None for all.
        biases: whether scalars in the output get biases, for all blocks, or one flag for each.
        path_normalization: ``element`` (default; each product of elements contributes equally)
            or ``path`` (each path does).
        _optimize_einsums: has no effect; e3nn's.

    Attributes:
        irreps_in: of the input.
        irreps_out: of the output.
        instructions: list of `LinearInstruction`.
        weight_numel: number of weights (of one pair of outer indices).
        bias: the biases: a parameter if they are internal, else an empty buffer.
        bias_numel: number of biases.
        output_mask: 1 for the components that a path or bias reaches, else 0.

    Raises:
        ValueError: paths between different irreps, biases of blocks that are no scalars, one of
            ``f_in`` and ``f_out`` alone, internal weights that are not shared.
    """

    bias: Tensor
    output_mask: Tensor

    def __init__(
        self,
        irreps_in: IrrepsLike,
        irreps_out: IrrepsLike,
        *,
        f_in: int | None = None,
        f_out: int | None = None,
        internal_weights: bool | None = None,
        shared_weights: bool | None = None,
        instructions: Iterable[tuple[int, int]] | None = None,
        biases: bool | Sequence[bool] = False,
        path_normalization: str = "element",
        _optimize_einsums: bool | None = None,
    ) -> None:
        super().__init__()
        if (f_in is None) != (f_out is None):
            raise ValueError(f"f_in and f_out must be given together; got {f_in} and {f_out}")
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self._outer = () if f_in is None or f_out is None else (f_in, f_out)
        paths = _paths(self.irreps_in, self.irreps_out, instructions)
        mode = one_of(path_normalization, ("element", "path"), "path_normalization")
        flags = _bias_flags(self.irreps_out, biases)
        self.instructions: list[LinearInstruction] = [
            *_normalized(self.irreps_in, self.irreps_out, paths, mode, f_in or 1),
            *(
                LinearInstruction(-1, i, (self.irreps_out[i].mul,), 1.0)
                for i, flag in enumerate(flags)
                if flag
            ),
        ]
        self.weight_numel = sum(math.prod(ins.path_shape) for _, ins, _ in self._slices())
        self.bias_numel = sum(ins.path_shape[0] for ins in self.instructions if not ins.has_weight)
        self.shared_weights, self.internal_weights = weight_flags(
            shared_weights, internal_weights, self.weight_numel + self.bias_numel > 0
        )
        # kept apart for forward: torch.compile cannot guard on irreps
        self._inner = (*self._outer[:1], self.irreps_in.dim)
        self._dim_out = self.irreps_out.dim
        self._bias_layout = [(flag, entry.dim) for flag, entry in zip(flags, self.irreps_out)]
        self._mixing = self._make_mixing()
        self._make_weight()
        if self.internal_weights and self.bias_numel > 0:
            self.bias = torch.nn.Parameter(torch.zeros(*self._outer[1:], self.bias_numel))
        else:
            self.register_buffer("bias", torch.empty(0))
        reached = {ins.i_out for ins in self.instructions if 0 not in ins.path_shape}
        self.register_buffer("output_mask", output_mask(self.irreps_out, reached))

    def _make_mixing(self) -> Mixing:
        """All pairs of outer indices side by side: the features of each follow each other."""
        blocks_in, blocks_out = segments(self.irreps_in), segments(self.irreps_out)
        f_in, f_out = self._outer or (1, 1)
        dim_in, dim_out = self.irreps_in.dim, self.irreps_out.dim
        paths = []
        for _, ins, where in self._slices():
            if 0 in ins.path_shape:
                continue
            block_in, block_out = blocks_in[ins.i_in], blocks_out[ins.i_out]
            paths += [
                MixingPath(
                    in1=block_in._replace(offset=block_in.offset + a * dim_in),
                    out=block_out._replace(offset=block_out.offset + b * dim_out),
                    weight=where.start + (a * f_out + b) * self.weight_numel,
                    coefficient=ins.path_weight,
                )
                for a in range(f_in)
                for b in range(f_out)
            ]
        return Mixing(
            dim_in1=f_in * dim_in,
            dim_out=f_out * dim_out,
            weight_numel=f_in * f_out * self.weight_numel,
            paths=tuple(paths),
        )

    def forward(
        self,
        features: Tensor,
        weight: Tensor | Sequence[Tensor] | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Apply the map.

        Args:
            features: ``(..., [f_in,] irreps_in.dim)``.
            weight: ``([f_in, f_out,] weight_numel)`` if the weights are shared, else with
                leading dimensions, or a list with one tensor ``(..., mul_in, mul_out)`` for each
                path; None for the internal weights.
            bias: ``(..., [f_out,] bias_numel)``; None for the internal biases.

        Returns:
            ``(..., [f_out,] irreps_out.dim)``.

        Raises:
            ValueError: shapes, dtypes or devices that do not fit, or weights or biases missing.
        """
        if tuple(features.shape[features.ndim - len(self._inner) :]) != self._inner:
            raise ValueError(
                f"features must have the shape (..., {', '.join(map(str, self._inner))}), of "
                f"{self.irreps_in}; got {tuple(features.shape)}"
            )
        given = self._resolved(weight)
        if given is None:
            given = features.new_zeros(0)
        if self._outer:
            features = features.flatten(-2)
            given = given.flatten(-3) if given.ndim > 1 else given
        out = mix(self._mixing, features, given)
        if self._outer:
            out = out.unflatten(-1, (self._outer[1], self._dim_out))
        return out if self.bias_numel == 0 else self._add_bias(out, bias)

    def _add_bias(self, out: Tensor, bias: Tensor | None) -> Tensor:
        if bias is None:
            if not self.internal_weights:
                raise ValueError(
                    f"bias must be given, of shape (..., {self.bias_numel}): Linear has no "
                    "internal weights"
                )
            bias = self.bias
        shape = (*self._outer[1:], self.bias_numel)
        if tuple(bias.shape[bias.ndim - len(shape) :]) != shape:
            raise ValueError(
                f"bias must have the shape (..., {', '.join(map(str, shape))}); got "
                f"{tuple(bias.shape)}"
            )
        if bias.dtype != out.dtype and not is_autocast(out):
            raise ValueError(
                f"bias and features must have the same dtype; got {bias.dtype} and {out.dtype}"
            )
        return out + self._spread(bias.to(out.dtype))

    def _spread(self, bias: Tensor) -> Tensor:
        """The biases at the places of their scalars in the output, zero elsewhere."""
        pieces, start = [], 0
        for has_bias, dim in self._bias_layout:
            if has_bias:
                pieces.append(bias[..., start : start + dim])
                start += dim
            else:
                pieces.append(bias.new_zeros(*bias.shape[:-1], dim))
        return torch.cat(pieces, dim=-1)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.irreps_in} -> {self.irreps_out} | "
            f"{self.weight_numel} weights)"
        )


def _paths(
    irreps_in: Irreps, irreps_out: Irreps, given: Iterable[tuple[int, int]] | None
) -> list[tuple[int, int]]:
    if given is None:
        return [
            (i_in, i_out)
            for i_in, (_, ir_in) in enumerate(irreps_in)
            for i_out, (_, ir_out) in enumerate(irreps_out)
            if ir_in == ir_out
        ]
    paths = [(i_in, i_out) for i_in, i_out in given]
    for i, (i_in, i_out) in enumerate(paths):
        if not (0 <= i_in < len(irreps_in) and 0 <= i_out < len(irreps_out)):
            raise ValueError(
                f"instructions[{i}] = {(i_in, i_out)} must be numbers of blocks of irreps_in = "
                f"{irreps_in} and irreps_out = {irreps_out}"
            )
        if irreps_in[i_in].ir != irreps_out[i_out].ir:
            raise ValueError(
                f"instructions[{i}] = {(i_in, i_out)} must connect equal irreps; got "
                f"{irreps_in[i_in]} of irreps_in and {irreps_out[i_out]} of irreps_out"
            )
    return paths


def _normalized(
    irreps_in: Irreps, irreps_out: Irreps, paths: list[tuple[int, int]], mode: str, f_in: int
) -> list[LinearInstruction]:
    """Coefficients that make the variance of the output one."""
    instructions = []
    for i_in, i_out in paths:
        same = [f_in * irreps_in[other].mul for other, out in paths if out == i_out]
        mul = irreps_in[i_in].mul
        terms = sum(same) if mode == "element" else f_in * mul * len(same)
        coefficient = 1.0 / math.sqrt(terms) if terms else 1.0
        instructions.append(
            LinearInstruction(i_in, i_out, (mul, irreps_out[i_out].mul), coefficient)
        )
    return instructions


def _bias_flags(irreps_out: Irreps, biases: bool | Sequence[bool]) -> list[bool]:
    if isinstance(biases, bool):
        return [biases and entry.ir.is_scalar() for entry in irreps_out]
    flags = [bool(flag) for flag in biases]
    if len(flags) != len(irreps_out):
        raise ValueError(
            f"biases must be a flag or one for each block of irreps_out = {irreps_out}; got {flags}"
        )
    for flag, entry in zip(flags, irreps_out):
        if flag and not entry.ir.is_scalar():
            raise ValueError(f"biases exist for scalars (0e) only; got a bias for {entry}")
    return flags

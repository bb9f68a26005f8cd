"""The tensor product of two features, path by path."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.contraction import Path, Product, Segment, contract, contract_right
from symscape.o3._instruction import Instruction, normalized
from symscape.o3._irreps import Irreps, IrrepsLike
from symscape.o3._weights import FlatWeights, weight_flags
from symscape.o3._wigner import wigner_3j_table

__all__ = ["TensorProduct", "output_mask", "segments"]

IRREP_NORMALIZATIONS = ("component", "norm", "none")
PATH_NORMALIZATIONS = ("element", "path", "none")


class TensorProduct(FlatWeights):
    r"""Tensor product with any set of paths.

    Each instruction couples a block of the first input with one of the second to one of the
    output,

    .. math:: z_{kw} \mathrel{+}= c \sum_{ijuv} C_{ijk}\, x_{ui}\, y_{vj}\, W_{uvw}

    with the Wigner 3j symbols C, the weights W, and a coefficient c that makes the components of
    the output of variance one at initialization, if the components of the inputs (or, with
    ``irrep_normalization="norm"``, the norms of their irreps) are. How u, v and w are connected
    is the mode of the instruction: ``uvw`` (fully connected), ``uvu``, ``uvv``, ``uuw``, ``uuu``
    (elementwise), ``uvuv`` (all pairs), ``uvu<v`` and ``u<vw`` (pairs of different copies).
    Names, arguments, normalizations, order of the weights and state dict are those of e3nn.

    Args:
        irreps_in1: of the first input.
        irreps_in2: of the second input.
        irreps_out: of the output.
        instructions: tuples ``(i_in1, i_in2, i_out, mode, has_weight[, path_weight])`` with
            numbers of blocks; the variance that the path contributes is proportional to
            ``path_weight``, 1 by default.
        in1_var: variance of each block of the first input; 1 by default.
        in2_var: the same for the second.
        out_var: variance wanted of each block of the output; 1 by default.
        irrep_normalization: ``component`` (default), ``norm`` or ``none``.
        path_normalization: ``element`` (default; each product of elements contributes equally),
            ``path`` (each path does) or ``none``.
        internal_weights: whether the weights are parameters of the module; by default, if they
            are shared.
        shared_weights: whether all samples have the same weights; True by default.
        compile_left_right: has no effect; e3nn's.
        compile_right: has no effect; e3nn's. `right` always works.
        normalization: deprecated name of ``irrep_normalization``.
        _specialized_code: has no effect; e3nn's.
        _optimize_einsums: has no effect; e3nn's.

    Attributes:
        irreps_in1: of the first input.
        irreps_in2: of the second input.
        irreps_out: of the output.
        instructions: list of `Instruction`.
        output_mask: 1 for the components that a path reaches, 0 for those that are always 0.

    Raises:
        ValueError: a path that does not exist, multiplicities that do not fit its mode, unknown
            modes or normalizations, variances that do not fit the irreps.
    """

    output_mask: Tensor

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        irreps_out: IrrepsLike,
        instructions: Iterable[tuple],
        in1_var: Sequence[float] | Tensor | None = None,
        in2_var: Sequence[float] | Tensor | None = None,
        out_var: Sequence[float] | Tensor | None = None,
        irrep_normalization: str | None = None,
        path_normalization: str | None = None,
        internal_weights: bool | None = None,
        shared_weights: bool | None = None,
        compile_left_right: bool = True,
        compile_right: bool = False,
        normalization: str | None = None,
        _specialized_code: bool | None = None,
        _optimize_einsums: bool | None = None,
    ) -> None:
        super().__init__()
        if normalization is not None:
            warnings.warn(
                "normalization is deprecated, use irrep_normalization",
                DeprecationWarning,
                stacklevel=2,
            )
            irrep_normalization = normalization
        self.irreps_in1 = Irreps(irreps_in1)
        self.irreps_in2 = Irreps(irreps_in2)
        self.irreps_out = Irreps(irreps_out)
        self.instructions: list[Instruction] = normalized(
            self.irreps_in1,
            self.irreps_in2,
            self.irreps_out,
            instructions,
            _variances(in1_var, self.irreps_in1, "in1_var", "irreps_in1"),
            _variances(in2_var, self.irreps_in2, "in2_var", "irreps_in2"),
            _variances(out_var, self.irreps_out, "out_var", "irreps_out"),
            one_of(irrep_normalization, IRREP_NORMALIZATIONS, "irrep_normalization"),
            one_of(path_normalization, PATH_NORMALIZATIONS, "path_normalization"),
        )
        self.shared_weights, self.internal_weights = weight_flags(
            shared_weights, internal_weights, any(ins.has_weight for ins in self.instructions)
        )
        self.weight_numel = sum(
            math.prod(ins.path_shape) for ins in self.instructions if ins.has_weight
        )
        self._product = self._make_product()
        self._make_weight()
        reached = {ins.i_out for ins in self.instructions if ins.contributes}
        self.register_buffer("output_mask", output_mask(self.irreps_out, reached))

    def _make_product(self) -> Product:
        blocks1, blocks2, blocks_out = map(
            segments, (self.irreps_in1, self.irreps_in2, self.irreps_out)
        )
        where = {number: span.start for number, _, span in self._slices()}
        paths = [
            Path(
                mode=ins.connection_mode,
                in1=blocks1[ins.i_in1],
                in2=blocks2[ins.i_in2],
                out=blocks_out[ins.i_out],
                weight=where.get(number),
                coefficient=ins.path_weight,
                table=wigner_3j_table(
                    self.irreps_in1[ins.i_in1].ir.l,
                    self.irreps_in2[ins.i_in2].ir.l,
                    self.irreps_out[ins.i_out].ir.l,
                ),
            )
            for number, ins in enumerate(self.instructions)
            if ins.contributes
        ]
        return Product(
            dim_in1=self.irreps_in1.dim,
            dim_in2=self.irreps_in2.dim,
            dim_out=self.irreps_out.dim,
            weight_numel=self.weight_numel,
            paths=tuple(paths),
        )

    def forward(
        self, x: Tensor, y: Tensor, weight: Tensor | Sequence[Tensor] | None = None
    ) -> Tensor:
        """The product of x and y.

        Args:
            x: ``(..., irreps_in1.dim)``.
            y: ``(..., irreps_in2.dim)``; leading dimensions of all arguments broadcast.
            weight: ``(weight_numel,)`` if the weights are shared, else ``(..., weight_numel)``,
                or a list with one tensor ``(..., *path_shape)`` for each instruction that has
                weights; None for the internal weights.

        Returns:
            ``(..., irreps_out.dim)``.

        Raises:
            ValueError: shapes, dtypes or devices that do not fit, or weights missing.
        """
        return contract(self._product, x, y, self._resolved(weight))

    def right(self, y: Tensor, weight: Tensor | Sequence[Tensor] | None = None) -> Tensor:
        """The matrices M of the maps of x to the product: it is ``x @ M``.

        Args:
            y: ``(..., irreps_in2.dim)``.
            weight: as in `forward`.

        Returns:
            ``(..., irreps_in1.dim, irreps_out.dim)``.

        Raises:
            ValueError: as in `forward`.
        """
        return contract_right(self._product, y, self._resolved(weight))

    def visualize(
        self,
        weight: Tensor | None = None,
        plot_weight: bool = True,
        aspect_ratio: float = 1,
        ax: Any = None,
    ) -> tuple[Any, Any]:
        """Draw the paths as stars between the blocks of inputs and output.

        Args:
            weight: the weights; None for the module's own.
            plot_weight: whether the color of a path is the root mean square of its weights
                (gray without weights) instead of black.
            aspect_ratio: width over height.
            ax: matplotlib axes to draw in; None for new ones.

        Returns:
            The figure and the axes.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from symscape.o3._drawing import draw_product

        strengths: list[float | None] = [None] * len(self.instructions)
        if plot_weight and self.weight_numel:
            for i, _, view in self.weight_views(weight, yield_instruction=True):
                strengths[i] = float(view.detach().square().mean().sqrt())
        return draw_product(self, strengths if plot_weight else None, aspect_ratio, ax)

    def __repr__(self) -> str:
        paths = sum(math.prod(ins.path_shape) for ins in self.instructions)
        return (
            f"{type(self).__name__}({self.irreps_in1.simplify()} x {self.irreps_in2.simplify()} "
            f"-> {self.irreps_out.simplify()} | {paths} paths | {self.weight_numel} weights)"
        )


def segments(irreps: Irreps) -> list[Segment]:
    """The blocks of irreps in the feature axis."""
    starts = itertools.accumulate((entry.dim for entry in irreps), initial=0)
    return [Segment(start, entry.mul, entry.ir.dim) for start, entry in zip(starts, irreps)]


def output_mask(irreps: Irreps, reached: set[int]) -> Tensor:
    """1 for the components in the blocks ``reached``, 0 elsewhere."""
    flags = [float(i in reached) for i, entry in enumerate(irreps) for _ in range(entry.dim)]
    return torch.tensor(flags, dtype=torch.get_default_dtype())


def one_of(value: str | None, allowed: tuple[str, ...], name: str) -> str:
    """The value, or the first of those allowed for None.

    Raises:
        ValueError: a value that is not allowed.
    """
    if value is None:
        return allowed[0]
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    return value


def _variances(
    given: Sequence[float] | Tensor | None, irreps: Irreps, name: str, irreps_name: str
) -> list[float]:
    if given is None:
        return [1.0] * len(irreps)
    values = [float(value) for value in given]
    if len(values) != len(irreps):
        raise ValueError(
            f"{name} must have one value for each block of {irreps_name} = {irreps}; got {values}"
        )
    return values

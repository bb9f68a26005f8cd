"""Tensor products whose paths follow from the irreps."""

from __future__ import annotations

import itertools
from typing import Any

from symscape.o3._instruction import irrep_set
from symscape.o3._irreps import Irrep, Irreps, IrrepsLike
from symscape.o3._tensor_product import TensorProduct

__all__ = [
    "ElementwiseTensorProduct",
    "FullTensorProduct",
    "FullyConnectedTensorProduct",
]


class FullyConnectedTensorProduct(TensorProduct):
    """All paths to given irreps, each with all weights (mode ``uvw``).

    Args:
        irreps_in1: of the first input.
        irreps_in2: of the second input.
        irreps_out: of the output.
        irrep_normalization: as in `TensorProduct`.
        path_normalization: as in `TensorProduct`.
        **kwargs: passed to `TensorProduct`.

    Raises:
        ValueError: as `TensorProduct`.
    """

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        irreps_out: IrrepsLike,
        irrep_normalization: str | None = None,
        path_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        irreps_in1, irreps_in2, irreps_out = map(Irreps, (irreps_in1, irreps_in2, irreps_out))
        instructions = [
            (i_1, i_2, i_out, "uvw", True, 1.0)
            for i_1, (_, ir_1) in enumerate(irreps_in1)
            for i_2, (_, ir_2) in enumerate(irreps_in2)
            for i_out, (_, ir_out) in enumerate(irreps_out)
            if ir_out in ir_1 * ir_2
        ]
        super().__init__(
            irreps_in1,
            irreps_in2,
            irreps_out,
            instructions,
            irrep_normalization=irrep_normalization,
            path_normalization=path_normalization,
            **kwargs,
        )


class ElementwiseTensorProduct(TensorProduct):
    """The products of the irreps of two inputs in order, without weights (mode ``uuu``).

    The blocks of both inputs are cut where a block of the other ends.

    Args:
        irreps_in1: of the first input.
        irreps_in2: of the second input, with as many irreps.
        filter_ir_out: irreps to keep in the output; None for all.
        irrep_normalization: as in `TensorProduct`.
        **kwargs: passed to `TensorProduct`.

    Raises:
        ValueError: different numbers of irreps; as `TensorProduct`.
    """

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        filter_ir_out: IrrepsLike | None = None,
        irrep_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        irreps_in1, irreps_in2 = Irreps(irreps_in1).simplify(), Irreps(irreps_in2).simplify()
        keep = irrep_set(filter_ir_out, "filter_ir_out")
        irreps_in1, irreps_in2 = cut(irreps_in1, irreps_in2)
        out: list[tuple[int, Irrep]] = []
        instructions: list[tuple] = []
        for i, ((mul, ir_1), (_, ir_2)) in enumerate(zip(irreps_in1, irreps_in2)):
            for ir in ir_1 * ir_2:
                if keep is None or ir in keep:
                    instructions.append((i, i, len(out), "uuu", False))
                    out.append((mul, ir))
        super().__init__(
            irreps_in1,
            irreps_in2,
            Irreps(out),
            instructions,
            irrep_normalization=irrep_normalization,
            **kwargs,
        )


class FullTensorProduct(TensorProduct):
    """The products of all pairs of irreps, without weights (mode ``uvuv``), sorted.

    Args:
        irreps_in1: of the first input.
        irreps_in2: of the second input.
        filter_ir_out: irreps to keep in the output; None for all.
        irrep_normalization: as in `TensorProduct`.
        **kwargs: passed to `TensorProduct`.

    Raises:
        ValueError: as `TensorProduct`.
    """

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        filter_ir_out: IrrepsLike | None = None,
        irrep_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        irreps_in1, irreps_in2 = Irreps(irreps_in1).simplify(), Irreps(irreps_in2).simplify()
        keep = irrep_set(filter_ir_out, "filter_ir_out")
        out: list[tuple[int, Irrep]] = []
        paths: list[tuple[int, int, int]] = []
        for i_1, (mul_1, ir_1) in enumerate(irreps_in1):
            for i_2, (mul_2, ir_2) in enumerate(irreps_in2):
                for ir in ir_1 * ir_2:
                    if keep is None or ir in keep:
                        paths.append((i_1, i_2, len(out)))
                        out.append((mul_1 * mul_2, ir))
        irreps_out, position, _ = Irreps(out).sort()
        super().__init__(
            irreps_in1,
            irreps_in2,
            irreps_out,
            [(i_1, i_2, position[i_out], "uvuv", False) for i_1, i_2, i_out in paths],
            irrep_normalization=irrep_normalization,
            **kwargs,
        )


def cut(irreps_in1: Irreps, irreps_in2: Irreps) -> tuple[Irreps, Irreps]:
    """Equally many irreps in blocks of equal multiplicities.

    Raises:
        ValueError: not equally many.
    """
    if irreps_in1.num_irreps != irreps_in2.num_irreps:
        raise ValueError(
            "irreps_in1 and irreps_in2 must have equally many irreps; got "
            f"{irreps_in1.num_irreps} in {irreps_in1} and {irreps_in2.num_irreps} in {irreps_in2}"
        )
    return _cut(irreps_in1, irreps_in2), _cut(irreps_in2, irreps_in1)


def _cut(irreps: Irreps, other: Irreps) -> Irreps:
    """The irreps, with blocks divided where a block of the other ends."""
    ends = set()
    for blocks in (irreps, other):
        total = 0
        for mul, _ in blocks:
            total += mul
            ends.add(total)
    pieces, start = [], 0
    for mul, ir in irreps:
        marks = [start, *sorted(end for end in ends if start < end < start + mul), start + mul]
        pieces += [(b - a, ir) for a, b in itertools.pairwise(marks)]
        start += mul
    return Irreps(pieces)

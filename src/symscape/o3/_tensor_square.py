"""The tensor product of a feature with itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from symscape.o3._instruction import irrep_set
from symscape.o3._irreps import Irrep, Irreps, IrrepsLike
from symscape.o3._tensor_product import IRREP_NORMALIZATIONS, TensorProduct, one_of

__all__ = ["TensorSquare"]


class TensorSquare(TensorProduct):
    r"""The product of x with itself, each pair of irreps once.

    Pairs of different copies are coupled once instead of twice, and a copy with itself only to
    even degrees, since the others vanish. The coefficients take into account that the factors
    are not independent: for a copy with itself, the second moment of the coupling to
    :math:`l_3` is, with :math:`n = 2l+1`,

    * ``component``: :math:`n + 2` for :math:`l_3 = 0`, else :math:`2 / (2 l_3 + 1)` per
      component;
    * ``norm``: :math:`1 / n` for :math:`l_3 = 0`, else :math:`2 / (n (n + 2))` in total.

    Args:
        irreps_in: of the input.
        irreps_out: of the output, fully connected with weights; None for all products, without
            weights, sorted.
        filter_ir_out: irreps to keep where ``irreps_out`` is None; None for all.
        irrep_normalization: as in `TensorProduct`.
        **kwargs: passed to `TensorProduct`.

    Attributes:
        irreps_in: of the input.

    Raises:
        ValueError: both ``irreps_out`` and ``filter_ir_out``; as `TensorProduct`.
    """

    def __init__(
        self,
        irreps_in: IrrepsLike,
        irreps_out: IrrepsLike | None = None,
        filter_ir_out: IrrepsLike | None = None,
        irrep_normalization: str | None = None,
        **kwargs: Any,
    ) -> None:
        irrep_normalization = one_of(
            irrep_normalization, IRREP_NORMALIZATIONS, "irrep_normalization"
        )
        irreps_in = Irreps(irreps_in).simplify()
        keep = irrep_set(filter_ir_out, "filter_ir_out")
        if irreps_out is None:
            irreps_out, instructions = _all_products(irreps_in, keep, irrep_normalization)
        else:
            if keep is not None:
                raise ValueError(
                    "irreps_out and filter_ir_out exclude each other; got "
                    f"irreps_out = {irreps_out} and filter_ir_out = {filter_ir_out}"
                )
            irreps_out = Irreps(irreps_out).simplify()
            instructions = _fully_connected(irreps_in, irreps_out, irrep_normalization)
        super().__init__(
            irreps_in,
            irreps_in,
            irreps_out,
            instructions,
            irrep_normalization="none",
            **kwargs,
        )
        self.irreps_in = irreps_in

    def forward(  # type: ignore[override]
        self, x: Tensor, weight: Tensor | Sequence[Tensor] | None = None
    ) -> Tensor:
        """The product of x with itself.

        Args:
            x: ``(..., irreps_in.dim)``.
            weight: as in `TensorProduct.forward`.

        Returns:
            ``(..., irreps_out.dim)``.

        Raises:
            ValueError: shapes, dtypes or devices that do not fit, or weights missing.
        """
        return super().forward(x, x, weight)

    def __repr__(self) -> str:
        return super().__repr__().replace(f" x {self.irreps_in.simplify()}", "", 1)


def _all_products(
    irreps: Irreps, keep: frozenset[Irrep] | None, normalization: str
) -> tuple[Irreps, list[tuple]]:
    """All couplings of pairs, without weights, and the sorted irreps of the output."""
    out: list[tuple[int, Irrep]] = []
    paths: list[tuple[int, int, int, str, float]] = []
    for i_1, i_2, ir in _couplings(irreps):
        if keep is not None and ir not in keep:
            continue
        (mul_1, ir_1), (mul_2, ir_2) = irreps[i_1], irreps[i_2]
        pairs = _second_moment_of_pairs(ir_1, ir_2, ir, normalization)
        if i_1 != i_2:
            paths.append((i_1, i_2, len(out), "uvuv", pairs))
            out.append((mul_1 * mul_2, ir))
            continue
        if mul_1 > 1:
            paths.append((i_1, i_1, len(out), "uvu<v", pairs))
            out.append((mul_1 * (mul_1 - 1) // 2, ir))
        if ir.l % 2 == 0:
            moment = _second_moment_of_squares(ir_1, ir, normalization)
            paths.append((i_1, i_1, len(out), "uuu", moment))
            out.append((mul_1, ir))
    irreps_out, position, _ = Irreps(out).sort()
    instructions = [
        (i_1, i_2, position[i_out], mode, False, 1 / moment)
        for i_1, i_2, i_out, mode, moment in paths
    ]
    return irreps_out, instructions


def _fully_connected(irreps: Irreps, irreps_out: Irreps, normalization: str) -> list[tuple]:
    """All paths to the irreps of the output, with weights."""
    instructions = []
    for i_1, (mul_1, ir_1) in enumerate(irreps):
        for i_2, (_, ir_2) in enumerate(irreps[i_1:], start=i_1):
            for i_out, (_, ir) in enumerate(irreps_out):
                if ir not in ir_1 * ir_2:
                    continue
                pairs = _second_moment_of_pairs(ir_1, ir_2, ir, normalization)
                if i_1 != i_2:
                    instructions.append((i_1, i_2, i_out, "uvw", True, 1 / pairs))
                    continue
                if mul_1 > 1:
                    instructions.append((i_1, i_1, i_out, "u<vw", True, 1 / pairs))
                if ir.l % 2 == 0:
                    moment = _second_moment_of_squares(ir_1, ir, normalization)
                    instructions.append((i_1, i_1, i_out, "uuw", True, 1 / moment))
    return instructions


def _couplings(irreps: Irreps) -> Iterable[tuple[int, int, Irrep]]:
    """Pairs of blocks, each once, and what they couple to."""
    for i_1, (_, ir_1) in enumerate(irreps):
        for i_2, (_, ir_2) in enumerate(irreps[i_1:], start=i_1):
            for ir in ir_1 * ir_2:
                yield i_1, i_2, ir


def _second_moment_of_pairs(ir_1: Irrep, ir_2: Irrep, ir: Irrep, normalization: str) -> float:
    """Of the coupling of independent irreps, per component or in total."""
    return {"component": 1 / ir.dim, "norm": 1 / (ir_1.dim * ir_2.dim), "none": 1.0}[normalization]


def _second_moment_of_squares(ir_in: Irrep, ir: Irrep, normalization: str) -> float:
    """Of the coupling of an irrep with itself.

    From the fourth moments of a normal vector, ``E x_i x_j x_k x_l`` = sum over pairings of
    deltas, and of a unit vector, the same divided by ``n (n + 2)``.
    """
    n = ir_in.dim
    total = n + 2 if ir.l == 0 else 2.0
    return {"component": total / ir.dim, "norm": total / (n * (n + 2)), "none": 1.0}[normalization]

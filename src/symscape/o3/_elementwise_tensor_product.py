"""The elementwise tensor product with a sorted output."""

from __future__ import annotations

from torch import Tensor

from symscape.o3._full_tensor_product import promoted, without_buffers
from symscape.o3._instruction import irrep_set
from symscape.o3._irreps import Irrep, Irreps, IrrepsLike
from symscape.o3._tensor_product import TensorProduct
from symscape.o3._tensor_products import cut

__all__ = ["ElementwiseTensorProductv2"]


class ElementwiseTensorProductv2(TensorProduct):
    """The products of the irreps of two inputs in order, without weights, sorted.

    e3nn has it beside `ElementwiseTensorProduct`, whose output is not sorted; the state dict is
    empty.

    Args:
        irreps_in1: of the first input.
        irreps_in2: of the second input, with as many irreps.
        filter_ir_out: irreps to keep in the output; None for all.
        irrep_normalization: as in `TensorProduct`.

    Raises:
        ValueError: different numbers of irreps; as `TensorProduct`.
    """

    # the Wigner symbols in checkpoints of e3nn
    _foreign_keys = ("cg_",)

    def __init__(
        self,
        irreps_in1: IrrepsLike,
        irreps_in2: IrrepsLike,
        *,
        filter_ir_out: IrrepsLike | None = None,
        irrep_normalization: str = "component",
    ) -> None:
        irreps_in1, irreps_in2 = cut(Irreps(irreps_in1), Irreps(irreps_in2))
        keep = irrep_set(filter_ir_out, "filter_ir_out")
        found: list[tuple[int, Irrep]] = []
        paths: list[tuple[int, int]] = []
        for i, ((mul, ir_1), (_, ir_2)) in enumerate(zip(irreps_in1, irreps_in2)):
            for ir in ir_1 * ir_2:
                if keep is None or ir in keep:
                    paths.append((i, len(found)))
                    found.append((mul, ir))
        irreps_out, position, _ = Irreps(found).sort()
        super().__init__(
            irreps_in1,
            irreps_in2,
            irreps_out,
            [(i, i, position[k], "uuu", False) for i, k in paths],
            irrep_normalization=irrep_normalization,
        )
        without_buffers(self)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:  # type: ignore[override]
        """The products of the irreps of the inputs.

        Args:
            input1: ``(..., irreps_in1.dim)``.
            input2: ``(..., irreps_in2.dim)``; leading dimensions broadcast, and the wider dtype is
                taken.

        Returns:
            ``(..., irreps_out.dim)``.

        Raises:
            ValueError: shapes or devices that do not fit.
        """
        return super().forward(*promoted(input1, input2))

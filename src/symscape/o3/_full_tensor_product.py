"""The full tensor product on regrouped inputs."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.o3._irreps import Irreps, IrrepsLike
from symscape.o3._tensor_product import TensorProduct
from symscape.o3._tensor_products import FullTensorProduct

__all__ = ["FullTensorProductv2"]


class FullTensorProductv2(FullTensorProduct):
    """The products of all pairs of irreps, without weights, of regrouped inputs.

    e3nn has it beside `FullTensorProduct`; the state dict is empty.

    Args:
        irreps_in1: of the first input.
        irreps_in2: of the second input.
        filter_ir_out: irreps to keep in the output; None for all.
        irrep_normalization: as in `TensorProduct`.
        regroup_output: regroup the irreps of the *inputs* first (``Irreps.regroup``), as e3nn
            does, so that equal irreps lie together in the output; the inputs are then expected
            in this order, which is that of the attributes ``irreps_in1`` and ``irreps_in2``.

    Raises:
        ValueError: as `TensorProduct`.
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
        regroup_output: bool = True,
    ) -> None:
        irreps_in1, irreps_in2 = Irreps(irreps_in1), Irreps(irreps_in2)
        if regroup_output:
            irreps_in1, irreps_in2 = irreps_in1.regroup(), irreps_in2.regroup()
        super().__init__(irreps_in1, irreps_in2, filter_ir_out, irrep_normalization)
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


def without_buffers(product: TensorProduct) -> None:
    """Leave the buffers of a product without weights out of its state dict."""
    product.register_buffer("weight", product.weight, persistent=False)
    product.register_buffer("output_mask", product.output_mask, persistent=False)


def promoted(input1: Tensor, input2: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the dtype that holds the numbers of either."""
    dtype = torch.promote_types(input1.dtype, input2.dtype)
    return input1.to(dtype), input2.to(dtype)

"""Norms of irreps."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.contraction._arguments import check_floating
from symscape.o3._irreps import Irreps, IrrepsLike
from symscape.o3._irrepwise import runs_of, squares
from symscape.o3._tensor_product import TensorProduct

__all__ = ["Norm"]


class Norm(torch.nn.Module):
    r"""Norm of each irrep, :math:`(\sum_m x_m^2)^{1/2}`, with gradient 0 where it is 0.

    Args:
        irreps_in: of the input.
        squared: leave out the root.

    Attributes:
        irreps_in: of the input.
        irreps_out: as many scalars as the input has irreps.
        squared: as given.
    """

    def __init__(self, irreps_in: IrrepsLike, squared: bool = False) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in).simplify()
        self.squared = squared
        self._dim = self.irreps_in.dim
        self._runs = runs_of(self.irreps_in)
        # for the state dict, and as e3nn has it; the scalar in x times x is the square of its norm
        # over sqrt(2l+1)
        self.tp = TensorProduct(
            self.irreps_in,
            self.irreps_in,
            Irreps([(mul, "0e") for mul, _ in self.irreps_in]),
            [(i, i, i, "uuu", False, ir.dim) for i, (_, ir) in enumerate(self.irreps_in)],
            irrep_normalization="none",
        )
        self.irreps_out = self.tp.irreps_out.simplify()

    def forward(self, features: Tensor) -> Tensor:
        """The norms.

        Args:
            features: ``(..., irreps_in.dim)``.

        Returns:
            ``(..., irreps_out.dim)``.

        Raises:
            ValueError: features of another shape, or not of a floating dtype.
        """
        if features.ndim == 0 or features.shape[-1] != self._dim:
            raise ValueError(
                f"features must have the shape (..., {self._dim}), of {self.irreps_in}; got "
                f"{tuple(features.shape)}"
            )
        check_floating(features, "features")
        square = squares(features, self._runs)
        if self.squared:
            return square
        # the derivative of the root is infinite at 0; NaN is not caught by this comparison
        zero = square <= 0
        return torch.where(zero, 1.0, square).sqrt().masked_fill(zero, 0.0)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.irreps_in})"

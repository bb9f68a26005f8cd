"""Parts that modules share: checks of features, and products that e3nn makes of tensor products."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.contraction._arguments import check_floating
from symscape.o3 import Irreps
from symscape.o3._irrepwise import runs_of, scale, squares


def check_dim(features: Tensor, irreps_dim: int, dim: int = -1) -> None:
    """Refuse features whose axis ``dim`` is not as long as the irreps.

    The modules store the dimension as a number: torch.compile cannot guard on irreps.
    """
    if isinstance(features, torch.fx.Proxy):
        return  # symbolic tracing knows no shapes
    if features.ndim == 0 or features.shape[dim] != irreps_dim:
        raise ValueError(
            f"features: shape {tuple(features.shape)} given; allowed: length {irreps_dim} "
            f"(the dimension of the irreps) on axis {dim}"
        )


def check_features(features: Tensor, irreps_dim: int, dim: int = -1) -> None:
    """Refuse also features of another dtype than a floating one."""
    check_dim(features, irreps_dim, dim)
    check_floating(features, "features")


def is_observed(*modules: torch.nn.Module | None) -> bool:
    """Whether somebody is to be told when one of the modules is called, so that it has to be."""
    return any(
        module is not None
        and (
            module._forward_hooks
            or module._forward_pre_hooks
            or module._backward_hooks
            or module._backward_pre_hooks
        )
        for module in modules
    )


class ProductBuffers(torch.nn.Module):
    """The buffers that a tensor product without weights has in e3nn, so that checkpoints fit.

    Args:
        dim_out: dimension of the output.
    """

    weight: Tensor
    output_mask: Tensor

    def __init__(self, dim_out: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(0))
        self.register_buffer("output_mask", torch.ones(dim_out))


class ScaleIrreps(ProductBuffers):
    """Multiplies each irrep by a scalar of its own; in e3nn an elementwise tensor product.

    Args:
        irreps_in1: the scalars, one for each irrep of ``irreps_in2``.
        irreps_in2: what is scaled.
    """

    def __init__(self, irreps_in1: Irreps, irreps_in2: Irreps) -> None:
        irreps_out = _scaled_irreps(irreps_in1, irreps_in2)
        super().__init__(irreps_out.dim)
        self.irreps_in1 = irreps_in1
        self.irreps_in2 = irreps_in2
        self.irreps_out = irreps_out
        self.runs = runs_of(irreps_in2)

    def forward(self, scalars: Tensor, x: Tensor) -> Tensor:
        """Scale the irreps.

        Args:
            scalars: ``(..., irreps_in1.dim)``.
            x: ``(..., irreps_in2.dim)``.

        Returns:
            ``(..., irreps_out.dim)``.
        """
        return scale(scalars, x, self.runs)

    def extra_repr(self) -> str:
        return f"{self.irreps_in1} x {self.irreps_in2} -> {self.irreps_out}"


class SquaredNorms(torch.nn.Module):
    """Squared norm of each irrep; in e3nn a tensor product inside of ``Norm``.

    Args:
        irreps: the features.
    """

    def __init__(self, irreps: Irreps) -> None:
        super().__init__()
        self.tp = ProductBuffers(irreps.num_irreps)
        self._runs = runs_of(irreps)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., irreps.dim)`` to ``(..., num_irreps)``."""
        return squares(x, self._runs)


def _scaled_irreps(scalars: Irreps, irreps: Irreps) -> Irreps:
    """The irreps of the products; a block ends where one of either factor ends, as in e3nn."""
    left = [[mul, ir] for mul, ir in scalars.simplify()]
    scaled = []
    for mul, ir in irreps.simplify():
        while mul:
            taken = min(mul, left[0][0])
            scaled.append((taken, (ir.l, ir.p * left[0][1].p)))
            mul -= taken
            left[0][0] -= taken
            if left[0][0] == 0:
                left.pop(0)
    return Irreps(scaled)

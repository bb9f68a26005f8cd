"""The identity as a module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from symscape.nn._blocks import check_dim
from symscape.o3 import Irreps

__all__ = ["Identity"]


class Identity(torch.nn.Module):
    """Returns its input: a placeholder with the interface of a layer.

    Args:
        irreps_in: the input.
        irreps_out: the output; the same irreps once both are simplified.

    Attributes:
        irreps_in: the input, simplified.
        irreps_out: the output, equal to it.

    Raises:
        ValueError: the irreps differ.

    Source: Ch. 5.3 (e3nn).
    """

    output_mask: Tensor

    def __init__(self, irreps_in: Any, irreps_out: Any) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in).simplify()
        self.irreps_out = Irreps(irreps_out).simplify()
        if self.irreps_in != self.irreps_out:
            raise ValueError(
                f"irreps_out: {self.irreps_out} given; allowed: irreps_in = {self.irreps_in}"
            )
        self._dim = self.irreps_in.dim
        self.register_buffer("output_mask", torch.ones(self.irreps_out.dim))

    def forward(self, features: Tensor) -> Tensor:
        """The features themselves, ``(..., irreps_in.dim)``.

        Raises:
            ValueError: the last axis has another length.
        """
        check_dim(features, self._dim)
        return features

    def __repr__(self) -> str:
        return f"Identity ({self.irreps_in} -> {self.irreps_out})"

"""Parts of a feature axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.nn._blocks import check_dim
from symscape.o3 import Irrep, Irreps
from symscape.o3._irrepwise import join

__all__ = ["Extract", "ExtractIr"]


class Extract(torch.nn.Module):
    """Takes blocks out of a feature axis.

    Args:
        irreps_in: the input.
        irreps_outs: the outputs, any number.
        instructions: for each output, the indices of the blocks of ``irreps_in`` that it
            consists of, in order.
        squeeze_out: return the tensor itself instead of a tuple if there is one output.

    Attributes:
        irreps_in: the input.
        irreps_outs: the outputs.
        instructions: the blocks of each output.

    Raises:
        ValueError: the instructions do not fit the irreps.

    Source: Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_outs: Sequence[Any],
        instructions: Sequence[Sequence[int]],
        squeeze_out: bool = False,
    ) -> None:
        super().__init__()
        self.irreps_in = Irreps(irreps_in)
        self.irreps_outs = tuple(Irreps(irreps) for irreps in irreps_outs)
        self.instructions = [tuple(blocks) for blocks in instructions]
        if len(self.irreps_outs) != len(self.instructions):
            raise ValueError(
                f"instructions: {len(self.instructions)} given; allowed: {len(self.irreps_outs)}, "
                "one for each of irreps_outs"
            )
        for irreps, blocks in zip(self.irreps_outs, self.instructions):
            taken = [
                self.irreps_in[i] for i in blocks if -len(self.irreps_in) <= i < len(self.irreps_in)
            ]
            if tuple(taken) != tuple(irreps):
                raise ValueError(
                    f"instructions: {blocks} for the output {irreps} given, but irreps_in = "
                    f"{self.irreps_in}; allowed: the indices of the blocks of this output"
                )
        self.squeeze_out = squeeze_out
        self._dim = self.irreps_in.dim
        slices = self.irreps_in.slices()
        self._pieces = [
            [(slices[i].start, slices[i].stop - slices[i].start) for i in blocks]
            for blocks in self.instructions
        ]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Take the blocks.

        Args:
            x: ``(..., irreps_in.dim)``.

        Returns:
            A tensor ``(..., irreps.dim)`` for each of ``irreps_outs``; not in a tuple if there is
            one and ``squeeze_out``.

        Raises:
            ValueError: the last axis has another length.
        """
        check_dim(x, self._dim)
        outs = tuple(
            join([x.narrow(-1, start, length) for start, length in pieces], x)
            for pieces in self._pieces
        )
        return outs[0] if self.squeeze_out and len(outs) == 1 else outs


class ExtractIr(Extract):
    """Takes all blocks of one irrep out of a feature axis.

    Args:
        irreps_in: the input.
        ir: the irrep.

    Attributes:
        irreps_out: the output.

    Source: Ch. 5.3 (e3nn).
    """

    def __init__(self, irreps_in: Any, ir: Any) -> None:
        irreps_in, ir = Irreps(irreps_in), Irrep(ir)
        blocks = [i for i, mul_ir in enumerate(irreps_in) if mul_ir.ir == ir]
        irreps_out = Irreps([irreps_in[i] for i in blocks])
        super().__init__(irreps_in, [irreps_out], [blocks], squeeze_out=True)
        self.irreps_out = irreps_out

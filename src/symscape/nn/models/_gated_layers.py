"""Layers of a convolution and a gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from symscape.nn._gate import Gate
from symscape.o3 import Irrep, Irreps

__all__ = ["Compose", "gate_after", "tp_path_exists"]

_Acts = dict[int, Callable[[Tensor], Tensor]]

# by parity of the scalars
_ACTS: _Acts = {1: torch.nn.functional.silu, -1: torch.tanh}
_ACTS_OF_GATES: _Acts = {1: torch.sigmoid, -1: torch.tanh}


def tp_path_exists(irreps_in1: Any, irreps_in2: Any, ir_out: Any) -> bool:
    """Whether the product of some irrep of either input contains ``ir_out``."""
    irreps_in1, irreps_in2, ir_out = Irreps(irreps_in1), Irreps(irreps_in2), Irrep(ir_out)
    return any(
        ir_out in ir_1 * ir_2
        for mul_1, ir_1 in irreps_in1
        for mul_2, ir_2 in irreps_in2
        if mul_1 and mul_2
    )


def gate_after(
    irreps_in: Irreps,
    irreps_edge_attr: Irreps,
    irreps_hidden: Irreps,
    *,
    simplify: bool,
    need_gates: bool,
) -> Gate:
    """The gate that follows a convolution: those of the hidden irreps to which paths lead.

    Args:
        irreps_in: input of the convolution.
        irreps_edge_attr: its edge attributes.
        irreps_hidden: the output wanted.
        simplify: merge blocks of equal scalars.
        need_gates: refuse gated irreps for which no path leads to scalars; otherwise their
            gates are zero, and so are they.

    Raises:
        ValueError: no path leads to scalars, though ``need_gates``.
    """
    reached = [
        (mul, ir) for mul, ir in irreps_hidden if tp_path_exists(irreps_in, irreps_edge_attr, ir)
    ]
    scalars = Irreps([(mul, ir) for mul, ir in reached if ir.l == 0])
    gated = Irreps([(mul, ir) for mul, ir in reached if ir.l > 0])
    even, odd = (tp_path_exists(irreps_in, irreps_edge_attr, ir) for ir in ("0e", "0o"))
    if need_gates and gated.dim > 0 and not (even or odd):
        raise ValueError(
            f"irreps_edge_attr: {irreps_edge_attr} times the node features {irreps_in} gives no "
            f"scalars as gates of {gated}; allowed: irreps with a path to 0e or 0o"
        )
    gates = Irreps([(mul, "0e" if even else "0o") for mul, _ in gated])
    if simplify:
        scalars, gates = scalars.simplify(), gates.simplify()
    return Gate(
        scalars,
        [_ACTS[ir.p] for _, ir in scalars],
        gates,
        [_ACTS_OF_GATES[ir.p] for _, ir in gates],
        gated,
    )


class Compose(torch.nn.Module):
    """Two modules after each other; only the second has one argument."""

    def __init__(self, first: torch.nn.Module, second: torch.nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second
        self.irreps_in = self.first.irreps_in
        self.irreps_out = self.second.irreps_out

    def forward(self, *input: Any) -> Tensor:
        """``second(first(*input))``."""
        return self.second(self.first(*input))

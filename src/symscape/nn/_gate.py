"""Gates: irreps times activated scalars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.nn._activation import Activation
from symscape.nn._blocks import ScaleIrreps, check_dim
from symscape.o3 import Irreps
from symscape.o3._irrepwise import join, scale_beside

__all__ = ["Gate"]

_Acts = Sequence[Callable[[Tensor], Tensor] | None]


class Gate(torch.nn.Module):
    r"""Scalars are activated, the other irreps are multiplied by activated scalars of their own.

    .. math:: \left(\bigoplus_i \phi_i(x_i)\right) \oplus
        \left(\bigoplus_j \phi_j(g_j)\, y_j\right)

    with the scalars :math:`x_i`, the gates :math:`g_j` and the gated irreps :math:`y_j`. The
    input is ``irreps_in``: all three, sorted and simplified.

    Args:
        irreps_scalars: the scalars :math:`x`.
        act_scalars: a function or None for each block of ``irreps_scalars``.
        irreps_gates: the scalars :math:`g`, one for each gated irrep.
        act_gates: a function or None for each block of ``irreps_gates``.
        irreps_gated: the irreps :math:`y`.

    Attributes:
        irreps_in: the input.
        irreps_out: the output, scalars first.

    Raises:
        ValueError: scalars or gates that are not scalar, another number of gates than of gated
            irreps, or what [symscape.nn.Activation][] refuses.

    Source: Ch. 5.2, Section 4.3 (gated nonlinearity); Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        irreps_scalars: Any,
        act_scalars: _Acts,
        irreps_gates: Any,
        act_gates: _Acts,
        irreps_gated: Any,
    ) -> None:
        super().__init__()
        self.irreps_scalars = Irreps(irreps_scalars)
        self.irreps_gates = Irreps(irreps_gates)
        self.irreps_gated = Irreps(irreps_gated)
        for name in ("irreps_scalars", "irreps_gates"):
            irreps = getattr(self, name)
            if any(ir.l != 0 for mul, ir in irreps if mul):
                raise ValueError(f"{name}: {irreps} given; allowed: scalars (0e, 0o) only")
        if self.irreps_gates.num_irreps != self.irreps_gated.num_irreps:
            raise ValueError(
                f"irreps_gates: {self.irreps_gates} has {self.irreps_gates.num_irreps} scalars; "
                f"allowed: {self.irreps_gated.num_irreps}, one for each irrep of irreps_gated = "
                f"{self.irreps_gated}"
            )
        groups = (self.irreps_scalars, self.irreps_gates, self.irreps_gated)
        self._irreps_in, self._lengths, self._parts = _sorted_parts(groups)
        self._dim = self._irreps_in.dim
        self._has_scalars = self.irreps_scalars.dim > 0
        self._has_gated = self.irreps_gated.dim > 0
        self.act_scalars = Activation(self.irreps_scalars, act_scalars)
        self.act_gates = Activation(self.irreps_gates, act_gates)
        self.mul = ScaleIrreps(self.act_gates.irreps_out, self.irreps_gated)
        self._irreps_out = self.act_scalars.irreps_out + self.mul.irreps_out

    @property
    def irreps_in(self) -> Irreps:
        """The input."""
        return self._irreps_in

    @property
    def irreps_out(self) -> Irreps:
        """The output."""
        return self._irreps_out

    def forward(self, features: Tensor) -> Tensor:
        """Activate and gate.

        Args:
            features: ``(..., irreps_in.dim)``.

        Returns:
            ``(..., irreps_out.dim)``.

        Raises:
            ValueError: the last axis has another length.
        """
        check_dim(features, self._dim)
        pieces = features.split(self._lengths, -1)
        scalars, gates, gated = (join([pieces[i] for i in part], features) for part in self._parts)
        if not self._has_gated:
            return self.act_scalars(scalars)
        if not self._has_scalars:
            return self.mul(self.act_gates(gates), gated)
        return scale_beside(self.act_scalars(scalars), self.act_gates(gates), gated, self.mul.runs)

    def __repr__(self) -> str:
        return f"Gate ({self.irreps_in} -> {self.irreps_out})"


def _sorted_parts(
    groups: Sequence[Irreps],
) -> tuple[Irreps, list[int], tuple[tuple[int, ...], ...]]:
    """The groups as one sorted input.

    Returns:
        The input, the lengths of its pieces, and the pieces of each group in the group's order.
    """
    blocks = [
        (ir, mul, group, position)
        for group, irreps in enumerate(groups)
        for position, (mul, ir) in enumerate(irreps)
    ]
    # the sort is stable: equal irreps stay in the order of the groups
    blocks.sort(key=lambda block: block[0])
    irreps_in = Irreps([(mul, ir) for ir, mul, _, _ in blocks]).simplify()
    lengths: list[int] = []
    parts: list[list[tuple[int, int]]] = [[] for _ in groups]  # first position, piece
    last: tuple[int, int] | None = None
    for ir, mul, group, position in blocks:
        if mul == 0:
            continue
        if last == (group, position - 1):  # the next block of the group: the same piece
            lengths[-1] += mul * ir.dim
        else:
            parts[group].append((position, len(lengths)))
            lengths.append(mul * ir.dim)
        last = (group, position)
    return irreps_in, lengths, tuple(tuple(piece for _, piece in sorted(p)) for p in parts)

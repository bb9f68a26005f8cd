"""Gates: irreps times activated scalars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from symscape.math import normalize2mom
from symscape.math._scaled import constant_vector
from symscape.nn._activation import Activation, Piece, merged
from symscape.nn._blocks import ScaleIrreps, check_features, is_observed
from symscape.o3 import Irrep, Irreps
from symscape.o3._irrepwise import gate, has_kernels, join

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
        self._has_scalars = self.irreps_scalars.dim > 0
        self._has_gated = self.irreps_gated.dim > 0
        self.act_scalars = Activation(self.irreps_scalars, act_scalars)
        self.act_gates = Activation(self.irreps_gates, act_gates)
        self.mul = ScaleIrreps(self.act_gates.irreps_out, self.irreps_gated)
        self._irreps_out = self.act_scalars.irreps_out + self.mul.irreps_out
        groups = [
            _blocks(0, self.irreps_scalars, self.act_scalars),
            _blocks(1, self.irreps_gates, self.act_gates),
            _blocks(2, self.irreps_gated, None),
        ]
        # the sort is stable: equal irreps stay in the order of the groups
        blocks = sorted((block for group in groups for block in group), key=lambda b: b.ir)
        self._irreps_in = Irreps([(block.mul, block.ir) for block in blocks]).simplify()
        self._dim = self._irreps_in.dim
        self._lengths, self._parts = _parts(blocks)
        self._runs = self.mul.runs
        self._watched = (
            self.act_scalars,
            self.act_gates,
            self.mul,
            *self.act_scalars.acts,
            *self.act_gates.acts,
        )

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
            ValueError: the last axis has another length, or the dtype is not floating.
        """
        check_features(features, self._dim)
        blocks = features.split(self._lengths, -1)
        if not (self._has_gated and has_kernels(features) and self._has_its_modules()):
            return self._in_modules(blocks, features)
        first, gates, gated = (
            join([piece(blocks[i]) for i, piece in part], features) for part in self._parts
        )
        constants = constant_vector(
            features.dtype,
            features.device,
            tuple((piece.length, piece.constant) for part in self._parts[:2] for _, piece in part),
        )
        return gate(first, gates, gated, constants, self._runs)

    def _has_its_modules(self) -> bool:
        """Whether its modules need not be called: none is replaced, and nobody watches."""
        own = tuple(self._modules.values())
        return self._watched[:3] == own and not is_observed(*self._watched)

    def _in_modules(self, blocks: Sequence[Tensor], features: Tensor) -> Tensor:
        """The same by the modules that this one consists of."""
        scalars, gates, gated = (
            join([blocks[i] for i, _ in part], features) for part in self._parts
        )
        parts = [self.act_scalars(scalars)] if self._has_scalars else []
        if self._has_gated:
            parts.append(self.mul(self.act_gates(gates), gated))
        return join(parts, features)

    def __repr__(self) -> str:
        return f"Gate ({self.irreps_in} -> {self.irreps_out})"


class _Block(NamedTuple):
    """A block of one of the groups: scalars, gates, gated irreps."""

    ir: Irrep
    mul: int
    group: int
    position: int
    act: normalize2mom | None


def _blocks(group: int, irreps: Irreps, activation: Activation | None) -> list[_Block]:
    acts: Any = [None] * len(irreps) if activation is None else activation.acts
    return [_Block(ir, mul, group, i, act) for i, ((mul, ir), act) in enumerate(zip(irreps, acts))]


def _parts(blocks: Sequence[_Block]) -> tuple[list[int], list[list[tuple[int, Piece]]]]:
    """Where the groups lie in the sorted input.

    Returns:
        Lengths of the pieces of the input, and for each group its pieces, with their numbers, in
        the group's order.
    """
    lengths: list[int] = []
    found: list[list[tuple[int, int, Piece]]] = [[], [], []]
    last: _Block | None = None
    for block in blocks:
        if block.mul == 0:
            continue
        length = block.mul * block.ir.dim
        group = found[block.group]
        follows = last is not None and last[2:4] == (block.group, block.position - 1)
        pieces = merged([group[-1][2], Piece(length, block.act)]) if follows else ()
        if len(pieces) == 1:
            group[-1] = (*group[-1][:2], pieces[0])
            lengths[-1] += length
        else:
            group.append((block.position, len(lengths), Piece(length, block.act)))
            lengths.append(length)
        last = block
    return lengths, [
        [(number, piece) for _, number, piece in sorted(g, key=lambda b: b[0])] for g in found
    ]

"""Scalar functions on scalar features, with the rules of parity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.math import normalize2mom
from symscape.nn._blocks import check_dim
from symscape.o3 import Irreps
from symscape.o3._irrepwise import join

__all__ = ["Activation"]

# Where and how exactly the parity of a function is tested.
_PROBES = 256
_PROBE_END = 10.0
_PROBE_TOLERANCE = 1e-5


def parity_of(f: Callable[[Tensor], Tensor]) -> int:
    """+1 if the function is even, -1 if it is odd, 0 if it is neither; judged at 256 points."""
    x = torch.linspace(0.0, _PROBE_END, _PROBES, device="cpu")
    with torch.no_grad():
        right, left = f(x), f(-x)
    if (right - left).abs().max() < _PROBE_TOLERANCE:
        return 1
    return -1 if (right + left).abs().max() < _PROBE_TOLERANCE else 0


class Activation(torch.nn.Module):
    r"""Scalar activation functions, each on one block of scalars.

    .. math:: x_u \mapsto c\,\phi(x_u), \qquad E\,(c\,\phi(z))^2 = 1,\quad z\sim\mathcal N(0, 1)

    On odd scalars (``0o``) only even and odd functions are equivariant: an odd one keeps the
    parity, an even one makes the output even.

    Args:
        irreps_in: the input.
        acts: a function or None (nothing happens) for each block of ``irreps_in``. They are
            normalized by `symscape.math.normalize2mom`.

    Attributes:
        irreps_in: the input.
        irreps_out: the output.

    Raises:
        ValueError: the number of functions is not that of the blocks, a function on a block that
            is not scalar, or a function without parity on odd scalars.

    Source: Ch. 5.3 (e3nn).
    """

    def __init__(self, irreps_in: Any, acts: Sequence[Callable[[Tensor], Tensor] | None]) -> None:
        super().__init__()
        irreps_in = Irreps(irreps_in)
        if len(acts) != len(irreps_in):
            raise ValueError(
                f"acts: {len(acts)} functions given; allowed: {len(irreps_in)}, one for each "
                f"block of irreps_in = {irreps_in}"
            )
        normalized = [None if act is None else normalize2mom(act) for act in acts]
        irreps_out = [
            (mul, ir if act is None else _activated(ir, act))
            for (mul, ir), act in zip(irreps_in, normalized)
        ]
        self.irreps_in = irreps_in
        self._dim = irreps_in.dim
        self.irreps_out = Irreps(irreps_out)
        # a list with gaps, so that the names in the state dict are those of e3nn
        self.acts = torch.nn.ModuleList(normalized)  # type: ignore[arg-type]
        self.paths = [(mul, (ir.l, ir.p), act) for (mul, ir), act in zip(irreps_in, normalized)]
        self._pieces = _pieces(irreps_in, normalized)

    def forward(self, features: Tensor, dim: int = -1) -> Tensor:
        """Apply the functions.

        Args:
            features: any shape, ``irreps_in.dim`` long on the axis ``dim``.
            dim: the axis of the irreps.

        Returns:
            The shape of ``features``.

        Raises:
            ValueError: the axis has another length.
        """
        check_dim(features, self._dim, dim)
        if not self._pieces:
            return features
        acts = tuple(self.acts)
        if len(self._pieces) == 1:
            act = acts[self._pieces[0][1]]
            return features if act is None else act(features)
        blocks = features.split([length for length, _ in self._pieces], dim)
        activated = []
        for i, (_, block) in enumerate(self._pieces):
            act = acts[block]
            activated.append(blocks[i] if act is None else act(blocks[i]))
        return join(activated, features, dim)

    def __repr__(self) -> str:
        acts = "".join(" " if act is None else "x" for act in self.acts)
        return f"Activation [{acts}] ({self.irreps_in} -> {self.irreps_out})"


def _pieces(irreps: Irreps, acts: Sequence[normalize2mom | None]) -> tuple[tuple[int, int], ...]:
    """Length of each piece of the axis with one function, and the first block with it."""
    pieces: list[tuple[int, int]] = []
    for i, ((mul, ir), act) in enumerate(zip(irreps, acts)):
        if mul == 0:
            continue
        if pieces:
            length, first = pieces[-1]
            before = acts[first]
            if (act and act.f) is (before and before.f):
                pieces[-1] = (length + mul * ir.dim, first)
                continue
        pieces.append((mul * ir.dim, i))
    return tuple(pieces)


def _activated(ir: Any, act: Callable[[Tensor], Tensor]) -> tuple[int, int]:
    if ir.l != 0:
        raise ValueError(
            f"irreps_in: cannot apply a function to a block of {ir}; allowed: scalars (0e, 0o)"
        )
    if ir.p == 1:
        return (0, 1)
    parity = parity_of(act)
    if parity == 0:
        raise ValueError(
            "acts: the parity is violated by a function that is neither even nor odd on odd "
            "scalars (0o); allowed: even or odd functions, such as abs or tanh"
        )
    return (0, parity)

"""Scalar functions on scalar features, with the rules of parity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from symscape.math import normalize2mom
from symscape.math._scaled import scaled_beside
from symscape.nn._blocks import check_features, is_observed
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


class Piece(NamedTuple):
    """A part of the axis with one function.

    Attributes:
        length: of the part.
        act: the function, normalized; None if nothing happens.
    """

    length: int
    act: normalize2mom | None

    @property
    def constant(self) -> float:
        """By which the function is multiplied."""
        return 1.0 if self.act is None else self.act.cst

    def __call__(self, x: Tensor) -> Tensor:
        """The function without its constant."""
        return x if self.act is None else self.act.f(x)


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
        dims = [mul * ir.dim for mul, ir in irreps_in]
        pieces = merged(Piece(dim, act) for dim, act in zip(dims, normalized))
        self._pieces = tuple(zip(*pieces))  # lengths, and functions
        self._functions = tuple(_function(piece) for piece in pieces)

    def forward(self, features: Tensor, dim: int = -1) -> Tensor:
        """Apply the functions.

        Args:
            features: any shape, ``irreps_in.dim`` long on the axis ``dim``.
            dim: the axis of the irreps.

        Returns:
            The shape of ``features``.

        Raises:
            ValueError: the axis has another length, or the dtype is not floating.
        """
        check_features(features, self._dim, dim)
        if not self._pieces:
            return features
        lengths, acts = self._pieces
        if len(acts) == 1:
            return features if acts[0] is None else acts[0](features)
        if is_observed(*acts):
            blocks = features.split(lengths, dim)
            called = [block if act is None else act(block) for act, block in zip(acts, blocks)]
            return join(called, features, dim)
        constants = [1.0 if act is None else act.cst for act in acts]
        return scaled_beside(self._functions, constants, lengths, features, dim)

    def __repr__(self) -> str:
        acts = "".join(" " if act is None else "x" for act in self.acts)
        return f"Activation [{acts}] ({self.irreps_in} -> {self.irreps_out})"


def merged(pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """The pieces, neighbors with the same function in one, empty ones left out."""
    found: list[Piece] = []
    for piece in pieces:
        if piece.length == 0:
            continue
        if found and _function(found[-1]) is _function(piece):
            found[-1] = found[-1]._replace(length=found[-1].length + piece.length)
        else:
            found.append(piece)
    return tuple(found)


def _function(piece: Piece) -> Callable[[Tensor], Tensor] | None:
    return None if piece.act is None else piece.act.f


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

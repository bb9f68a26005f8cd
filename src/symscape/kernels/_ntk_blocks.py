"""Gram matrices of weight gradients by blocks of points, under a memory budget."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from torch import Tensor

__all__ = ["Dense", "Features", "Outer", "Positions", "Source", "gram"]

# points along one side of the blocks that matrix products work on: their temporaries stay in the
# cache, and the half of a symmetric matrix that is left out is nearly a half (measured)
_BLOCK = 256


class Features(Protocol):
    """The weight gradients of some parameters at some points, in whatever form is cheapest."""

    def rows(self, start: int, stop: int) -> Self:
        """Those of some of the points, as views."""
        ...

    def add_gram(self, other: Self, out: Tensor) -> None:
        """out (p r, q r) += the products of these gradients with those of ``other``.

        Rows are pairs (point, output): r = 1 where outputs are summed over.
        """
        ...


@dataclass(frozen=True)
class Dense:
    """The gradients themselves: ``gradients`` (P, r, n)."""

    gradients: Tensor

    def rows(self, start: int, stop: int) -> Self:
        return type(self)(self.gradients[start:stop])

    def add_gram(self, other: Self, out: Tensor) -> None:
        out.addmm_(self.gradients.flatten(0, 1), other.gradients.flatten(0, 1).mT)


@dataclass(frozen=True)
class Outer:
    r"""Gradients that are outer products :math:`\delta_r\otimes a`, of layers used at one position.

    Attributes:
        signals: :math:`\delta`, (P, r, m).
        activations: a, (P, n).
        bias: add the gradient :math:`\delta_r` of a bias.
    """

    signals: Tensor
    activations: Tensor
    bias: bool

    def rows(self, start: int, stop: int) -> Self:
        return type(self)(self.signals[start:stop], self.activations[start:stop], self.bias)

    def add_gram(self, other: Self, out: Tensor) -> None:
        product = self.activations @ other.activations.mT
        if self.bias:
            product += 1
        signals = self.signals.flatten(0, 1) @ other.signals.flatten(0, 1).mT
        r, p, q = self.signals.shape[1], len(self.activations), len(other.activations)
        if r == 1:
            out.addcmul_(signals, product)
        else:
            signals.view(p, r, q, r).mul_(product[:, None, :, None])
            out += signals


@dataclass(frozen=True)
class Positions:
    r"""Gradients that are sums over positions, :math:`\sum_t\delta_{rt}\otimes a_t`.

    Attributes:
        signals: :math:`\delta`, (groups, P, r, T, m).
        activations: a, (groups, P, T, n).
    """

    signals: Tensor
    activations: Tensor

    def rows(self, start: int, stop: int) -> Self:
        return type(self)(self.signals[:, start:stop], self.activations[:, start:stop])

    def add_gram(self, other: Self, out: Tensor) -> None:
        groups, p, r, T, _ = self.signals.shape
        q = other.signals.shape[1]
        for g in range(groups):
            # T^2 numbers for each pair of points: a few rows at a time
            a, b = other.activations[g].flatten(0, 1), other.signals[g].flatten(0, 2)
            step = max(1, _POSITION_PAIRS // (q * (r * T) ** 2))
            for start in range(0, p, step):
                mine = self.rows(start, start + step)
                n = mine.signals.shape[1]
                products = (mine.activations[g].flatten(0, 1) @ a.mT).view(n, 1, T, q, 1, T)
                signals = (mine.signals[g].flatten(0, 2) @ b.mT).view(n, r, T, q, r, T)
                sums = (signals * products).sum((2, 5)).view(n * r, q * r)
                out[start * r : (start + n) * r] += sums


_POSITION_PAIRS = 2**21


class Source(Protocol):
    """Where gradients come from: a network and its weights.

    Attributes:
        r: rows of the Gram matrix for each point: 1, or the number of outputs.
        bytes_held: for each point, by what :meth:`features` returns.
        bytes_passing: needed beside that, for each point, while it works.
        bytes_fixed: needed whatever the number of points is.
    """

    r: int
    bytes_held: int
    bytes_passing: int
    bytes_fixed: int

    def features(self, x: Tensor) -> Sequence[Features]: ...


def gram(source: Source, x1: Tensor, x2: Tensor | None, like: Tensor, memory: int) -> Tensor:
    """The Gram matrix of the gradients at ``x1`` and ``x2`` (``x1`` again if None).

    Args:
        source: of the gradients.
        x1: inputs, (P1, ...).
        x2: inputs, (P2, ...), or None for the symmetric matrix.
        like: a tensor with the dtype and device of the result.
        memory: bytes beside the result.

    Returns:
        (P1 r, P2 r).

    Raises:
        ValueError: a budget that not even one pair of points fits.
    """
    r, P1, P2 = source.r, len(x1), len(x1 if x2 is None else x2)
    out = like.new_zeros(P1 * r, P2 * r)
    tile = _tile(source, P1, P2, x2 is None, like.element_size(), memory)
    for i, i_end in _ranges(P1, tile):
        mine = source.features(x1[i:i_end])
        if x2 is None:
            _add_symmetric(mine, out[i * r : i_end * r, i * r : i_end * r], r)
        for j, j_end in _ranges(P2, tile, i_end if x2 is None else 0):
            others = source.features((x1 if x2 is None else x2)[j:j_end])
            _add(mine, others, out[i * r : i_end * r, j * r : j_end * r], r)
            del others
        del mine
    if x2 is None:
        _mirror(out)
    return out


def _tile(source: Source, P1: int, P2: int, symmetric: bool, size: int, memory: int) -> int:
    """How many points are worked on at a time: as many as the budget allows."""
    block = 2 * (_BLOCK * source.r) ** 2 * size + source.bytes_fixed
    whole = P1 if symmetric else P1 + P2
    if whole * source.bytes_held + max(P1, P2) * source.bytes_passing + block <= memory:
        return max(P1, P2, 1)
    per_point = 2 * source.bytes_held + source.bytes_passing
    tile = (memory - block) // per_point
    if tile < 1:
        raise ValueError(
            f"memory: {memory} bytes given; allowed: at least {block + per_point}, what the "
            "smallest block of this network needs beside the result"
        )
    return int(tile)


def _ranges(end: int, step: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Cut start..end into pieces of at most ``step`` that differ by one in length."""
    pieces = -(-(end - start) // step)
    edges = [start + (end - start) * k // max(pieces, 1) for k in range(pieces + 1)]
    return itertools.pairwise(edges)


def _add(mine: Sequence[Features], others: Sequence[Features], out: Tensor, r: int) -> None:
    for a, a_end in _ranges(len(out) // r, _BLOCK):
        for b, b_end in _ranges(out.shape[1] // r, _BLOCK):
            block = out[a * r : a_end * r, b * r : b_end * r]
            for left, right in zip(mine, others, strict=True):
                left.rows(a, a_end).add_gram(right.rows(b, b_end), block)


def _add_symmetric(features: Sequence[Features], out: Tensor, r: int) -> None:
    """The blocks on the diagonal and above it."""
    ranges = list(_ranges(len(out) // r, _BLOCK))
    for index, (a, a_end) in enumerate(ranges):
        for b, b_end in ranges[index:]:
            block = out[a * r : a_end * r, b * r : b_end * r]
            for each in features:
                each.rows(a, a_end).add_gram(each.rows(b, b_end), block)


def _mirror(out: Tensor) -> None:
    """Copy what stands above the diagonal below it."""
    ranges = list(_ranges(len(out), _BLOCK))
    for index, (a, a_end) in enumerate(ranges):
        diagonal = out[a:a_end, a:a_end]
        diagonal.copy_(diagonal.triu() + diagonal.triu(1).mT)
        for b, b_end in ranges[index + 1 :]:
            out[b:b_end, a:a_end] = out[a:a_end, b:b_end].mT

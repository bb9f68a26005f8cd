"""Gram matrices of weight gradients by blocks of points, under a memory budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, Self

import torch
from torch import Tensor

__all__ = ["Dense", "Features", "Outer", "Positions", "Source", "gram", "mirror", "ranges"]

# points along one side of the blocks that matrix products work on: their temporaries stay in the
# cache, and the half of a symmetric matrix that is left out is nearly a half (measured)
_BLOCK = 256


class Features:
    """The weight gradients of some parameters at some points, in whatever form is cheapest.

    Every tensor of a subclass has the points as its first dimension.
    """

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by the names of their fields."""
        named = ((field.name, getattr(self, field.name)) for field in fields(self))  # type: ignore[arg-type]
        return {name: value for name, value in named if isinstance(value, Tensor)}

    def map(self, function: Callable[[str, Tensor], Tensor]) -> Self:
        """The features with each tensor replaced."""
        changed = {name: function(name, value) for name, value in self.tensors().items()}
        return replace(self, **changed)  # type: ignore[type-var]

    def rows(self, start: int, stop: int) -> Self:
        """Those of some of the points, as views."""
        return self.map(lambda _, tensor: tensor[start:stop])

    def add_gram(self, other: Self, out: Tensor) -> None:
        """out (p r, q r) += the products of these gradients with those of ``other``.

        Rows are pairs (point, output): r = 1 where outputs are summed over.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Dense(Features):
    """The gradients themselves: ``gradients`` (P, r, n)."""

    gradients: Tensor

    def add_gram(self, other: Self, out: Tensor) -> None:
        out.addmm_(self.gradients.flatten(0, 1), other.gradients.flatten(0, 1).mT)


@dataclass(frozen=True)
class Outer(Features):
    r"""Gradients that are outer products :math:`\delta_r\otimes a`, of layers used at one position.

    Attributes:
        signals: :math:`\delta`, (P, r, m).
        activations: a, (P, n).
        bias: added to the products of the activations: the square of a bias's factor.
        factor: what multiplies these products before.
    """

    signals: Tensor
    activations: Tensor
    bias: float = 0.0
    factor: float = 1.0

    def add_gram(self, other: Self, out: Tensor) -> None:
        left, right, factor = self.activations, other.activations.mT, self.factor
        if self.bias:
            constant = left.new_full((1,), self.bias)
            product, factor = torch.addmm(constant, left, right, alpha=factor), 1.0
        else:
            product = left @ right
        signals = self.signals.flatten(0, 1) @ other.signals.flatten(0, 1).mT
        r, p, q = self.signals.shape[1], len(self.activations), len(other.activations)
        if r == 1:
            out.addcmul_(signals, product, value=factor)
        else:
            signals.view(p, r, q, r).mul_(product[:, None, :, None])
            out.add_(signals, alpha=factor)


@dataclass(frozen=True)
class Positions(Features):
    r"""Gradients that are sums over positions, :math:`\sum_t\delta_{rt}\otimes a_t`.

    Attributes:
        signals: :math:`\delta`, (P, groups, r, T, m).
        activations: a, (P, groups, T, n); or, for a table of vectors that is looked up, the
            integers of the rows, (P, 1, T).
    """

    signals: Tensor
    activations: Tensor

    def add_gram(self, other: Self, out: Tensor) -> None:
        p, groups, r, T, _ = self.signals.shape
        q = len(other.signals)
        # T^2 numbers for each pair of points: a few rows at a time
        step = max(1, _POSITION_PAIRS // (q * (r * T) ** 2))
        for start in range(0, p, step):
            mine = self.rows(start, start + step)
            n = len(mine.signals)
            rows = out[start * r : (start + n) * r]
            for g in range(groups):
                a, b = mine.activations[:, g].flatten(0, 1), other.activations[:, g].flatten(0, 1)
                products = a[:, None] == b if a.ndim == 1 else a @ b.mT
                signals = mine.signals[:, g].flatten(0, 2) @ other.signals[:, g].flatten(0, 2).mT
                pairs = signals.view(n, r, T, q, r, T) * products.view(n, 1, T, q, 1, T)
                rows += pairs.sum((2, 5)).view(n * r, q * r)


# numbers per pair of points and positions that are made at a time
_POSITION_PAIRS = 2**20


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
    for i, i_end in ranges(P1, tile):
        mine = source.features(x1[i:i_end])
        if x2 is None:
            _add_symmetric(mine, out[i * r : i_end * r, i * r : i_end * r], r)
        for j, j_end in ranges(P2, tile, i_end if x2 is None else 0):
            others = source.features((x1 if x2 is None else x2)[j:j_end])
            _add(mine, others, out[i * r : i_end * r, j * r : j_end * r], r)
            del others
        del mine
    if x2 is None:
        mirror(out)
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


def ranges(end: int, step: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Cut start..end into pieces of at most ``step`` that differ by one in length."""
    pieces = -(-(end - start) // step)
    edges = [start + (end - start) * k // max(pieces, 1) for k in range(pieces + 1)]
    return itertools.pairwise(edges)


def _add(mine: Sequence[Features], others: Sequence[Features], out: Tensor, r: int) -> None:
    for a, a_end in ranges(len(out) // r, _BLOCK):
        for b, b_end in ranges(out.shape[1] // r, _BLOCK):
            block = out[a * r : a_end * r, b * r : b_end * r]
            for left, right in zip(mine, others, strict=True):
                left.rows(a, a_end).add_gram(right.rows(b, b_end), block)


def _add_symmetric(features: Sequence[Features], out: Tensor, r: int) -> None:
    """The blocks on the diagonal and above it."""
    pieces = list(ranges(len(out) // r, _BLOCK))
    for index, (a, a_end) in enumerate(pieces):
        for b, b_end in pieces[index:]:
            block = out[a * r : a_end * r, b * r : b_end * r]
            for each in features:
                each.rows(a, a_end).add_gram(each.rows(b, b_end), block)


def mirror(out: Tensor) -> None:
    """Copy what stands above the diagonal below it."""
    pieces = list(ranges(len(out), _BLOCK))
    for index, (a, a_end) in enumerate(pieces):
        diagonal = out[a:a_end, a:a_end]
        diagonal.copy_(diagonal.triu() + diagonal.triu(1).mT)
        for b, b_end in pieces[index + 1 :]:
            out[b:b_end, a:a_end] = out[a:a_end, b:b_end].mT

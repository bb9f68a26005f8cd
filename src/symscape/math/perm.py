"""Permutations as tuples: p sends i to ``p[i]``."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import torch
from torch import Tensor

from symscape.math._linalg import complete_basis

__all__ = [
    "compose",
    "from_int",
    "germinate",
    "group",
    "identity",
    "inverse",
    "is_group",
    "is_perm",
    "natural_representation",
    "rand",
    "sign",
    "standard_representation",
    "to_cycles",
    "to_int",
]

Permutation = tuple[int, ...]


def is_perm(p: Iterable[int]) -> bool:
    """Whether p holds each of 0, ..., n-1 once."""
    entries = tuple(p)
    return sorted(entries) == list(range(len(entries)))


def identity(n: int) -> Permutation:
    """The permutation of n elements that moves none."""
    return tuple(range(n))


def compose(p1: Permutation, p2: Permutation) -> Permutation:
    """The product "first p2, then p1": i goes to ``p1[p2[i]]``.

    Raises:
        ValueError: not two permutations of the same number of elements.
    """
    _check(p1, "p1")
    _check(p2, "p2")
    if len(p1) != len(p2):
        raise ValueError(f"p1 and p2 must permute equally many elements; got {p1} and {p2}")
    return tuple(p1[i] for i in p2)


def inverse(p: Permutation) -> Permutation:
    """The permutation that undoes p.

    Raises:
        ValueError: not a permutation.
    """
    _check(p, "p")
    return tuple(sorted(range(len(p)), key=p.__getitem__))


def rand(n: int, rng: random.Random | None = None) -> Permutation:
    """A uniformly random permutation of n elements.

    Args:
        n: number of elements.
        rng: source of randomness; None for the global one of the module `random`, as in e3nn.
    """
    draw = random.randint if rng is None else rng.randint
    return from_int(draw(0, math.factorial(n) - 1), n)


def from_int(i: int, n: int) -> Permutation:
    """The permutation number i of n elements, ``0 <= i < n!``.

    The digits of i in the factorial system (last digit first, base n, n-1, ...) say which of
    the elements left comes next.

    Raises:
        ValueError: i out of range.
    """
    if not 0 <= i < math.factorial(n):
        raise ValueError(f"i must be within 0 and {n}! - 1; got {i}")
    left = list(range(n))
    chosen = []
    for base in range(n, 0, -1):
        i, digit = divmod(i, base)
        chosen.append(left.pop(digit))
    return tuple(chosen)


def to_int(p: Permutation) -> int:
    """The number of a permutation: the inverse of `from_int`.

    Raises:
        ValueError: not a permutation.
    """
    _check(p, "p")
    left = sorted(p)
    number, unit = 0, 1
    for base, element in zip(range(len(p), 0, -1), p):
        digit = left.index(element)
        left.pop(digit)
        number += unit * digit
        unit *= base
    return number


def group(n: int) -> set[Permutation]:
    """All permutations of n elements."""
    return {from_int(i, n) for i in range(math.factorial(n))}


def germinate(subset: set[Permutation]) -> set[Permutation]:
    """The smallest set that contains the subset and all products and inverses in it.

    Raises:
        ValueError: entries that are not permutations of equally many elements.
    """
    generators = set(subset) | {inverse(p) for p in subset}
    found = set(generators)
    new = found
    while new:
        new = {compose(p, g) for p in new for g in generators} - found
        found |= new
    return found


def is_group(g: set[Permutation]) -> bool:
    """Whether a set of permutations contains the identity, and all products and inverses."""
    if not g:
        return False
    size = len(next(iter(g)))
    if any(len(p) != size or not is_perm(p) for p in g):
        return False
    return identity(size) in g and all(compose(p, inverse(q)) in g for p in g for q in g)


def to_cycles(p: Permutation) -> set[Permutation]:
    """The cycles longer than one, each beginning with its smallest element.

    Raises:
        ValueError: not a permutation.
    """
    _check(p, "p")
    cycles, seen = set(), set()
    for start in range(len(p)):
        if start in seen:
            continue
        cycle = [start]
        while p[cycle[-1]] != start:
            cycle.append(p[cycle[-1]])
        seen.update(cycle)
        if len(cycle) > 1:
            cycles.add(tuple(cycle))
    return cycles


def sign(p: Permutation) -> int:
    """+1 for an even number of exchanges, -1 for an odd one.

    Raises:
        ValueError: not a permutation.
    """
    return (-1) ** sum(len(cycle) - 1 for cycle in to_cycles(p))


def natural_representation(
    p: Permutation, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Tensor:
    """The matrix that permutes the coordinates: ``a[p[i], i] = 1``.

    Returns:
        ``(n, n)``; a homomorphism: the matrix of ``compose(p, q)`` is the product of theirs.

    Raises:
        ValueError: not a permutation.
    """
    _check(p, "p")
    matrix = torch.zeros(len(p), len(p), dtype=dtype, device=device)
    matrix[list(p), list(range(len(p)))] = 1.0
    return matrix


def standard_representation(
    p: Permutation, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Tensor:
    """The natural representation on the vectors whose coordinates add up to 0; irreducible.

    Returns:
        ``(n - 1, n - 1)``, orthogonal.

    Raises:
        ValueError: not a permutation.
    """
    natural = natural_representation(p, dtype, device)
    basis = complete_basis(natural.new_ones(1, len(p)))
    return basis @ natural @ basis.T


def _check(p: Permutation, name: str) -> None:
    if not is_perm(p):
        raise ValueError(f"{name} must hold each of 0, ..., n-1 once; got {p}")

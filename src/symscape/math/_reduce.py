"""Tensors with symmetries under exchange of their indices."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from symscape.math import perm

__all__ = ["germinate_formulas", "index_values", "reduce_permutation", "symmetrized"]

Formulas = set[tuple[int, tuple[int, ...]]]
"""Signed permutations ``(s, p)``: the tensor T equals s times T with its indices permuted by p."""


def germinate_formulas(formula: str) -> tuple[str, Formulas]:
    """All symmetries that follow from a formula.

    Args:
        formula: indices and what they equal, as ``ij=-ji`` (antisymmetric) or
            ``ijkl=jikl=klij``.

    Returns:
        The indices, and the group of signed permutations ``(s, p)``. With ``ij=-ij`` both signs
        of one permutation occur, and only the zero tensor has the symmetry.

    Raises:
        ValueError: an index twice, a sign before the first term, or a term that is not a
            permutation of the first.
    """
    first, *others = (term.strip() for term in formula.split("="))
    if len(set(first)) != len(first) or not (first == "" or first.isalpha()):
        raise ValueError(
            f"formula must begin with different letters, one for each index; got {formula!r}"
        )
    generators = {(1, perm.identity(len(first)))}
    for term in others:
        letters = term.removeprefix("-")
        if sorted(letters) != sorted(first):
            raise ValueError(
                f"formula must equate permutations of {first!r}; got {term!r} in {formula!r}"
            )
        generators.add((-1 if term != letters else 1, tuple(map(first.index, letters))))
    return first, _germinate(generators)


def _germinate(generators: Formulas) -> Formulas:
    generators = generators | {(s, perm.inverse(p)) for s, p in generators}
    found = set(generators)
    new = found
    while new:
        products = {
            (s * t, perm.compose(p, q)) for (s, p), (t, q) in itertools.product(new, generators)
        }
        new = products - found
        found |= new
    return found


def symmetrized(tensors: Tensor, formulas: Formulas) -> Tensor:
    r"""Orthogonal projection of tensors on those with a symmetry.

    .. math:: \frac1{|G|} \sum_{(s, p) \in G} s\, T_{i_{p_1} \ldots i_{p_n}}

    Args:
        tensors: ``(batch, d_1, ..., d_n)``.
        formulas: a group of signed permutations, from `germinate_formulas`.
    """
    total = torch.zeros_like(tensors)
    for s, p in formulas:
        total.add_(tensors.permute(0, *(1 + i for i in p)), alpha=s)
    return total / len(formulas)


def reduce_permutation(
    f0: str,
    formulas: Formulas,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    **dims: int,
) -> tuple[Tensor, list[list[tuple[int, tuple[int, ...]]]]]:
    """Orthonormal basis of the tensors with a symmetry, one basis tensor for each orbit.

    Args:
        f0: names of the indices, from `germinate_formulas`.
        formulas: a group of signed permutations of the indices.
        dtype: dtype of the basis.
        device: device of the basis.
        dims: dimension of each index; indices that are exchanged have the same, which is needed
            for one of them only.

    Returns:
        The basis ``(n, d_1, ..., d_n)``, and for each basis tensor its non-zero elements
        ``(sign, indices)``.

    Raises:
        ValueError: a dimension missing, different for indices that are exchanged, or given for
            an index that does not occur.
    """
    sizes = index_values(f0, formulas, dims, "dimension")
    orbits = _orbits(formulas, sizes)
    basis = torch.zeros(len(orbits), *sizes, dtype=dtype, device=device)
    for tensor, orbit in zip(basis, orbits):
        for s, indices in orbit:
            tensor[indices] = s / len(orbit) ** 0.5
    return basis, orbits


def index_values(f0: str, formulas: Formulas, given: dict, what: str) -> tuple:
    """The value of each index of a formula; indices that are exchanged share theirs.

    Raises:
        ValueError: a value missing, two values for indices that are exchanged, or one for an
            index that does not occur.
    """
    unknown = sorted(set(given) - set(f0))
    if unknown:
        raise ValueError(f"{what} of {', '.join(unknown)} given, which is no index of {f0!r}")
    values = []
    for position, name in enumerate(f0):
        partners = sorted({f0[p[position]] for _, p in formulas} & set(given))
        if not partners:
            raise ValueError(f"index {name} of {f0!r} has no {what}; given: {sorted(given)}")
        different = [other for other in partners if given[other] != given[partners[0]]]
        if different:
            raise ValueError(
                f"{what} of {partners[0]} and {different[0]}, which are exchanged, must be the "
                f"same; got {given[partners[0]]} and {given[different[0]]}"
            )
        values.append(given[partners[0]])
    return tuple(values)


def _orbits(formulas: Formulas, sizes: tuple[int, ...]) -> list[list[tuple[int, tuple[int, ...]]]]:
    """Signed index tuples that the symmetry ties together, without those it forces to zero."""
    orbits, seen = [], set()
    for indices in itertools.product(*map(range, sizes)):
        if indices in seen:
            continue
        orbit = {(s, tuple(indices[i] for i in p)) for s, p in formulas}
        members = {member for _, member in orbit}
        seen |= members
        if len(members) < len(orbit):
            continue
        # where signs differ, the first element in lexicographic order has the minus, as in e3nn
        if any(s < 0 for s, _ in orbit):
            first = next(s for s, member in orbit if member == indices)
            orbit = {(-first * s, member) for s, member in orbit}
        orbits.append(sorted(orbit))
    return sorted(orbits)

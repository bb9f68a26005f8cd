"""Tensors with symmetries under exchange of indices."""

import math

import pytest
import torch

from symscape.math import germinate_formulas, perm, reduce_permutation, symmetrized

_FORMULAS = [
    ("ij=ji", {"i": 4}),
    ("ij=-ji", {"j": 4}),
    ("ijk=jik=ikj", {"i": 3}),
    ("ijk=-jik=-ikj", {"i": 4}),
    ("ijk=-jik", {"i": 3, "k": 2}),
    ("ijkl=-jikl=klij", {"i": 3}),
    ("ijk=jki", {"k": 3}),
    ("ij", {"i": 2, "j": 3}),
]


@pytest.mark.parametrize(("formula", "dims"), _FORMULAS)
def test_basis_spans_the_image_of_the_projection(formula, dims) -> None:
    f0, formulas = germinate_formulas(formula)
    basis, orbits = reduce_permutation(f0, formulas, dtype=torch.float64, **dims)
    flat = basis.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(len(flat), dtype=torch.float64))
    torch.testing.assert_close(symmetrized(basis, formulas), basis)
    # rank of the projection: its trace
    shape = basis.shape[1:]
    units = torch.eye(math.prod(shape), dtype=torch.float64).unflatten(1, shape)
    projection = symmetrized(units, formulas).flatten(1)
    torch.testing.assert_close(projection @ projection, projection)
    assert float(projection.trace()) == pytest.approx(len(basis))
    for tensor, orbit in zip(basis, orbits):
        assert {tuple(i) for i in tensor.nonzero().tolist()} == {i for _, i in orbit}
        assert all(math.copysign(1, tensor[i]) == s for s, i in orbit)


def test_counts_in_closed_form() -> None:
    for n in range(1, 6):
        f0, symmetric = germinate_formulas("ijk=jik=ikj")
        assert len(reduce_permutation(f0, symmetric, i=n)[0]) == math.comb(n + 2, 3)
        f0, antisymmetric = germinate_formulas("ijk=-jik=-ikj")
        assert len(reduce_permutation(f0, antisymmetric, i=n)[0]) == math.comb(n, 3)


def test_formulas_generate_groups() -> None:
    f0, formulas = germinate_formulas("ijkl = -jikl = klij")
    assert f0 == "ijkl"
    assert len(formulas) == 8
    assert perm.is_group({p for _, p in formulas})
    _, antisymmetric = germinate_formulas("ijk=-jik=-ikj")
    assert antisymmetric == {(perm.sign(p), p) for p in perm.group(3)}


def test_contradicting_signs_leave_nothing() -> None:
    f0, formulas = germinate_formulas("ij=-ij")
    basis, orbits = reduce_permutation(f0, formulas, i=2, j=2)
    assert basis.shape == (0, 2, 2)
    assert orbits == []
    assert symmetrized(torch.randn(3, 2, 2), formulas).eq(0).all()


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("ij=ik", "must equate permutations of 'ij'; got 'ik'"),
        ("ij=jii", "must equate permutations of 'ij'; got 'jii'"),
        ("ii=ii", "different letters"),
        ("-ij=ji", "different letters"),
        ("ij=", "got ''"),
    ],
)
def test_wrong_formulas_are_refused(formula, message) -> None:
    with pytest.raises(ValueError, match=message):
        germinate_formulas(formula)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ({"i": 2}, "index k of 'ijk' has no dimension"),
        ({"i": 2, "j": 3, "k": 2}, "dimension of i and j, which are exchanged, must be the same"),
        ({"i": 2, "k": 2, "z": 2}, "dimension of z given, which is no index of 'ijk'"),
    ],
)
def test_wrong_dimensions_are_refused(dims, message) -> None:
    f0, formulas = germinate_formulas("ijk=jik")
    with pytest.raises(ValueError, match=message):
        reduce_permutation(f0, formulas, **dims)

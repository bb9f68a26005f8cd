"""Irrep and Irreps: algebra, strings, errors, representation matrices."""

import copy
import itertools
import pickle
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape import o3
from symscape.o3.irrep import l1o, l2y

F64 = torch.float64

irreps = st.lists(
    st.tuples(st.integers(0, 4), st.tuples(st.integers(0, 4), st.sampled_from([-1, 1]))),
    max_size=6,
).map(o3.Irreps)


@given(irreps)
def test_strings_read_back(x):
    assert o3.Irreps(str(x)) == x
    assert hash(o3.Irreps(str(x))) == hash(x)
    assert pickle.loads(pickle.dumps(x)) == x == copy.deepcopy(x)
    assert type(pickle.loads(pickle.dumps(x))) is o3.Irreps


@given(irreps)
def test_slices_partition_the_dimension(x):
    covered = [i for s in x.slices() for i in range(s.start, s.stop)]
    assert covered == list(range(x.dim))
    assert [s.stop - s.start for s in x.slices()] == [e.mul * e.ir.dim for e in x]


@given(irreps)
def test_sorting_is_a_permutation(x):
    found = x.sort()
    assert [found.irreps[p] for p in found.p] == list(x)
    assert [x[i] for i in found.inv] == list(found.irreps)
    assert all(a.ir <= b.ir for a, b in itertools.pairwise(found.irreps))
    once = [entry.ir for entry in x.regroup()]
    assert once == sorted({entry.ir for entry in x if entry.mul})


@given(irreps, st.integers(0, 8), st.integers(0, 8))
def test_slices_by_multiplicity(x, start, stop):
    single = [entry.ir for entry in x for _ in range(entry.mul)]
    expected = o3.Irreps(single[start:stop]).simplify()
    assert x.slice_by_mul[start:stop].simplify() == expected


@given(irreps, irreps)
def test_sum_and_counts(x, y):
    total = x + y
    assert total.dim == x.dim + y.dim
    for ir in o3.Irrep.iterator(4):
        assert total.count(ir) == x.count(ir) + y.count(ir)
        assert (ir in total) == (ir in x or ir in y)
    assert x.filter(lmax=2) == x.filter(drop=lambda entry: entry.ir.l > 2)
    assert str(x + str(y)) == str(total)


def test_the_product_of_irreps_follows_the_triangle():
    found = list(o3.Irrep("1o") * o3.Irrep("2o"))
    assert found == [o3.Irrep("1e"), o3.Irrep("2e"), o3.Irrep("3e")]
    assert 3 * o3.Irrep("1o") == o3.Irreps("3x1o")


def test_names():
    assert l1o == o3.Irrep("1o") == o3.Irrep(1, -1)
    assert l2y == o3.Irrep("2e") == o3.Irrep("2y")
    with pytest.raises(AttributeError, match="named like l1o"):
        o3.irrep.foo  # noqa: B018
    assert [str(ir) for ir in o3.Irrep.iterator(1)] == ["0e", "0o", "1o", "1e"]
    assert str(o3.Irreps.spherical_harmonics(3)) == "1x0e+1x1o+1x2e+1x3o"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: o3.Irrep("1x"), 'unable to convert string "1x" into an Irrep'),
        (lambda: o3.Irrep(-1, 1), "l: -1 given; allowed: an integer >= 0"),
        (lambda: o3.Irrep(1, 2), "p, the parity, must be 1 or -1; got 2"),
        (lambda: o3.Irreps("2x1o+"), 'unable to convert string "2x1o+" into Irreps: "" is not'),
        (lambda: o3.Irreps("2x1"), '"2x1" is not a term like'),
        (lambda: o3.Irreps([(-1, "1o")]), "mul: -1 given; allowed: an integer >= 0"),
        (lambda: o3.Irreps(1), "unable to convert 1 into Irreps"),
        (lambda: o3.Irreps([1]), "unable to interpret 1 as an entry of Irreps"),
        (lambda: o3.Irreps("").lmax, "lmax is not defined for empty irreps"),
        (lambda: o3.Irreps("1o").randn(2, 3), "size must have one -1"),
        (lambda: o3.Irreps("1o").randn(-1, normalization="x"), "normalization must be"),
        (lambda: o3.Irreps("1o").filter("1o", lmax=1), "only one of keep, drop, lmax"),
        (lambda: o3.Irreps("1o").D_from_matrix(torch.eye(2)), "R must have shape"),
    ],
)
def test_errors_name_what_was_given(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_random_features():
    x = o3.Irreps("4x0e+2x1o+0x2e").randn(3, -1, 2, normalization="norm", dtype=F64)
    assert x.shape == (3, 10, 2)
    vectors = x[:, 4:].unflatten(1, (2, 3))
    torch.testing.assert_close(vectors.norm(dim=2), torch.ones(3, 2, 2, dtype=F64))
    generator = torch.Generator().manual_seed(0)
    y = o3.Irreps("2x1o").randn(5000, -1, generator=generator, requires_grad=True)
    assert y.requires_grad
    assert abs(float(y.detach().var()) - 1) < 0.05


@settings(deadline=None, max_examples=20)
@given(irreps, st.integers(0, 100))
def test_matrices_represent_the_group(x, seed):
    generator = torch.Generator().manual_seed(seed)
    R, S = o3.rand_matrix(2, dtype=F64, generator=generator)
    D = x.D_from_matrix
    torch.testing.assert_close(D(-R @ S), D(-R) @ D(S), rtol=0, atol=1e-12)
    angles = o3.matrix_to_angles(R)
    k = torch.ones((), dtype=F64)
    torch.testing.assert_close(x.D_from_angles(*angles, k), D(-R), rtol=0, atol=1e-12)
    q = o3.matrix_to_quaternion(R)
    torch.testing.assert_close(x.D_from_quaternion(q, k), D(-R), rtol=0, atol=1e-12)
    axis_angle = o3.matrix_to_axis_angle(R)
    torch.testing.assert_close(x.D_from_axis_angle(*axis_angle), D(R), rtol=0, atol=1e-12)
    assert D(R).shape == (x.dim, x.dim)

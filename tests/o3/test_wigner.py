"""Wigner 3j symbols and D matrices: closed forms, symmetries, both sets of signs."""

import cmath
import itertools
import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import hessian, jvp

from symscape import o3
from symscape.o3._wigner import _cached_constant, wigner_D_from_matrix

F64 = torch.float64
TRIPLES = [
    (l1, l2, l3)
    for l1, l2 in itertools.product(range(5), repeat=2)
    for l3 in range(abs(l1 - l2), min(4, l1 + l2) + 1)
]
# of e3nn 0.4: the triples up to 6 whose sign is not that of later versions
OLD_SIGNS = {
    (1, 2, 2), (1, 3, 3), (1, 4, 4), (1, 5, 5), (1, 6, 6),
    (4, 4, 5), (5, 5, 5), (3, 4, 6), (4, 5, 6), (5, 6, 6),
}  # fmt: skip


def _angles(count=3, seed=0):
    return o3.rand_angles(count, dtype=F64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("triple", [*TRIPLES, (6, 7, 8), (11, 11, 11), (20, 20, 20), (20, 19, 3)])
def test_3j_is_the_invariant_tensor_of_norm_1(triple):
    C = o3.wigner_3j(*triple, dtype=F64)
    assert abs(float(C.norm()) - 1) < 1e-14
    A, B, D = (o3.wigner_D(l, *(a[0] for a in _angles())) for l in triple)
    turned = torch.einsum("ai,ijk->ajk", A, C)
    turned = torch.einsum("bj,ajk->abk", B, turned)
    turned = torch.einsum("ck,abk->abc", D, turned)
    torch.testing.assert_close(turned, C, rtol=0, atol=1e-13)


@pytest.mark.parametrize("triple", [*TRIPLES, (20, 19, 18)])
@pytest.mark.parametrize("signs", ["0.6", "0.4"])
def test_3j_under_permutations(triple, signs):
    C = o3.wigner_3j(*triple, dtype=F64, signs=signs)
    sign = (-1) ** sum(triple)
    for order in itertools.permutations(range(3)):
        even = sum(a > b for a, b in itertools.combinations(order, 2)) % 2 == 0
        permuted = o3.wigner_3j(*(triple[i] for i in order), dtype=F64, signs=signs)
        expected = C.permute(order)
        torch.testing.assert_close(
            permuted, expected if even else sign * expected, rtol=0, atol=1e-14
        )


@pytest.mark.parametrize(("l1", "l2"), [(1, 1), (2, 3), (4, 4)])
def test_3j_are_orthogonal_and_complete(l1, l2):
    columns = [
        math.sqrt(2 * l + 1) * o3.wigner_3j(l1, l2, l, dtype=F64).flatten(0, 1)
        for l in range(abs(l1 - l2), l1 + l2 + 1)
    ]
    Q = torch.cat(columns, dim=1)
    torch.testing.assert_close(Q.T @ Q, torch.eye(len(Q), dtype=F64), rtol=0, atol=1e-13)


def test_3j_of_vectors():
    eye = torch.eye(3, dtype=F64)
    torch.testing.assert_close(
        o3.wigner_3j(1, 1, 0, dtype=F64)[..., 0], eye / math.sqrt(3), rtol=0, atol=1e-15
    )
    cross = torch.linalg.cross(eye[:, None].expand(3, 3, 3), eye.expand(3, 3, 3))
    torch.testing.assert_close(
        o3.wigner_3j(1, 1, 1, dtype=F64), cross / math.sqrt(6), rtol=0, atol=1e-15
    )


def test_signs_of_e3nn_04():
    flipped = {
        triple
        for triple in itertools.combinations_with_replacement(range(7), 3)
        if triple[2] <= triple[0] + triple[1]
        and float(
            (o3.wigner_3j(*triple, dtype=F64) * o3.wigner_3j(*triple, dtype=F64, signs="0.4")).sum()
        )
        < 0
    }
    assert flipped == OLD_SIGNS
    with o3.wigner_signs("0.4"):
        assert torch.equal(o3.wigner_3j(1, 2, 2), -o3.wigner_3j(1, 2, 2, signs="0.6"))
        assert o3.wigner_3j_table(1, 2, 2) == o3.wigner_3j_table(1, 2, 2, signs="0.4")
    assert torch.equal(o3.wigner_3j(1, 2, 2), o3.wigner_3j(1, 2, 2, signs="0.6"))


def test_table_holds_the_non_zeros():
    C = torch.zeros(7, 5, 9, dtype=F64)
    table = o3.wigner_3j_table(3, 2, 4)
    for i, j, k, value in table:
        C[i, j, k] = value
    assert torch.equal(C, o3.wigner_3j(3, 2, 4, dtype=F64))
    # what is zero by symmetry is exactly 0
    assert all(abs(value) > 1e-6 for *_, value in table)
    assert list(table) == sorted(table)


def test_degrees_are_checked():
    with pytest.raises(ValueError, match=r"between \|l1 - l2\| and l1"):
        o3.wigner_3j(1, 1, 3)
    with pytest.raises(ValueError, match="l2: -1 given; allowed: an integer >= 0"):
        o3.wigner_3j(1, -1, 1)
    with pytest.raises(ValueError, match=r"signs must be one of 0\.6, 0\.4; got '0\.5'"):
        o3.wigner_3j(1, 1, 1, signs="0.5")


@pytest.mark.parametrize("l", [0, 1, 2, 5, 20])
def test_D_is_an_orthogonal_representation(l):
    R, S = (o3.angles_to_matrix(*_angles(4, seed)) for seed in (1, 2))
    D, E, DE = (o3.wigner_D(l, *o3.matrix_to_angles(M)) for M in (R, S, R @ S))
    torch.testing.assert_close(D @ E, DE, rtol=0, atol=1e-12)
    eye = torch.eye(2 * l + 1, dtype=F64).expand_as(D)
    torch.testing.assert_close(D @ D.mT, eye, rtol=0, atol=1e-12)
    *_, direct = wigner_D_from_matrix(l, R)
    torch.testing.assert_close(direct, D, rtol=0, atol=1e-12)


def test_D_of_degree_1_is_the_rotation_matrix():
    angles = _angles(5)
    torch.testing.assert_close(o3.wigner_D(1, *angles), o3.angles_to_matrix(*angles))


def test_D_is_accurate_at_degree_100():
    alpha, beta, gamma = _angles(1)
    D = o3.wigner_D(100, alpha, beta, gamma)[0]
    assert (D @ D.T - torch.eye(201, dtype=F64)).abs().max() < 1e-11
    # the zonal element is the Legendre polynomial
    coefficients = [0.0] * 100 + [1.0]
    expected = np.polynomial.legendre.legval(math.cos(float(beta)), coefficients)
    assert abs(float(D[100, 100]) - expected) < 1e-11


def test_generators_are_derivatives_at_the_identity():
    zero = torch.zeros((), dtype=F64)
    for l in (1, 3):
        X = o3.so3_generators(l).to(F64)
        dy = torch.func.jacrev(lambda a, l=l: o3.wigner_D(l, a, zero, zero))(zero)
        dx = torch.func.jacfwd(lambda b, l=l: o3.wigner_D(l, zero, b, zero))(zero)
        torch.testing.assert_close(dy, X[1], rtol=0, atol=1e-6)
        torch.testing.assert_close(dx, X[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(X[0] @ X[1] - X[1] @ X[0], X[2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.4, math.pi])
def test_D_is_differentiable_everywhere(beta):
    angles = tuple(torch.tensor(a, dtype=F64, requires_grad=True) for a in (0.0, beta, 0.3))
    assert torch.autograd.gradcheck(lambda *a: o3.wigner_D(3, *a), angles)
    assert torch.autograd.gradgradcheck(lambda *a: o3.wigner_D(2, *a), angles)


def test_D_from_matrix_is_differentiable_at_the_identity():
    R = torch.eye(3, dtype=F64, requires_grad=True)
    # the sign of the determinant is taken as constant
    assert torch.autograd.gradcheck(o3.Irreps("1e+2e+3e").D_from_matrix, R)


def _small_d(l, m, n, beta):
    """Wigner's formula."""
    f, total = math.factorial, 0.0
    for k in range(max(0, n - m), min(l + n, l - m) + 1):
        parts = (l + n - k, k, m - n + k, l - m - k)
        scale = math.sqrt(f(l + m) * f(l - m) * f(l + n) * f(l - n))
        power = math.cos(beta / 2) ** (2 * l + n - m - 2 * k) * math.sin(beta / 2) ** (
            m - n + 2 * k
        )
        total += (-1) ** (m - n + k) * scale / math.prod(map(f, parts)) * power
    return total


@pytest.mark.parametrize("l", [1, 2, 4])
def test_complex_D_of_the_thesis(l):
    """e^{-i m alpha} d_mn(beta) e^{-i n gamma}, with the thesis's angles as they are."""
    alpha, beta, gamma = 0.3, 0.7, 1.1
    angles = (torch.tensor(a, dtype=F64) for a in (alpha, beta, gamma))
    Q = o3.change_basis_real_to_complex(l, dtype=F64)
    found = (Q @ o3.wigner_D(l, *angles).to(Q.dtype) @ Q.mH).conj()
    orders = range(-l, l + 1)
    expected = [
        [cmath.exp(-1j * (m * alpha + n * gamma)) * _small_d(l, m, n, beta) for n in orders]
        for m in orders
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), rtol=0, atol=1e-14)


def test_D_under_compile_without_graph_breaks():
    alpha, beta, gamma = _angles(3)
    R = o3.angles_to_matrix(alpha, beta, gamma)
    for function, x in (
        (lambda a: o3.wigner_D(3, a, beta, gamma), alpha),
        (o3.Irreps("1o+2e").D_from_matrix, R),
    ):
        found = []
        for f in (function, torch.compile(function, fullgraph=True, backend="aot_eager")):
            leaf = x.clone().requires_grad_()
            value = f(leaf)
            found.append((value, *torch.autograd.grad(value.square().sum() + value.sum(), leaf)))
        torch.testing.assert_close(*found)


def _of_angles(x):
    return o3.wigner_D(3, x[0], x[1], x[2])


def _of_matrix(x):
    return o3.Irreps("2e+3o").D_from_matrix(x)


@pytest.mark.parametrize("first", ["transform", "fake tensors", "inference"])
def test_constants_belong_to_no_transform_or_mode(first):
    """Those that are first asked for in a transform or a mode serve other calls, too."""
    for f, x in ((_of_angles, torch.rand(3)), (_of_matrix, o3.rand_matrix())):
        _cached_constant.cache_clear()
        if first == "transform":
            hessian(lambda x, f=f: f(x).pow(3).sum())(x)
        elif first == "inference":
            with torch.inference_mode():
                f(x)
        else:
            with FakeTensorMode() as mode:
                f(mode.from_tensor(x))
        D, change = jvp(f, (x,), (x,))
        leaf = x.clone().requires_grad_()
        out = f(leaf)
        assert type(out) is torch.Tensor
        torch.testing.assert_close(out, D)
        (gradient,) = torch.autograd.grad(out.pow(2).sum(), leaf)
        torch.testing.assert_close((gradient * x).sum(), (2 * D * change).sum(), atol=1e-4, rtol=0)

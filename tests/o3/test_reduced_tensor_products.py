"""Tensors with index symmetries: what they contain, and the basis that says so."""

import itertools
import time

import pytest
import torch

from symscape import o3
from symscape.math import germinate_formulas, reduce_permutation, symmetrized

# spec: the tensors of vectors that physics uses
_CONTENT = {
    "ij": "0e+1e+2e",
    "ij=ji": "0e+2e",
    "ij=-ji": "1e",
    "ijk=-jik=-ikj": "0o",
    "ijk=jik=ikj": "1o+3o",
    "ijkl=jikl=klij": "2x0e+2x2e+4e",
    "ijkl=jikl=ikjl=ijlk": "0e+2e+4e",
    "ijkl=-jikl=-ijlk=klij": "0e+2e",  # the Riemann tensor, in three dimensions
    "ijk=jki": "0o+1o+3o",
    "ij=-ij": "",
}


@pytest.mark.parametrize("formula", list(_CONTENT))
def test_irreps_of_symmetric_tensors(formula: str) -> None:
    indices = formula.split("=")[0]
    _, irreps, _ = o3.reduced_basis(formula, **dict.fromkeys(indices, "1o"))
    assert irreps == o3.Irreps(_CONTENT[formula]).simplify()


@pytest.mark.parametrize(
    ("formula", "irreps"),
    [
        ("ij=ji", {"i": "2x1o+0e"}),
        ("ij=-ji", {"i": "0e+1o+0o"}),
        ("ijk=jik=ikj", {"i": "1o+2e"}),
        ("ijk=-jik", {"i": "1o+0e", "k": "0o+2e"}),
        ("ijkl=jikl=klij", {"i": "1o+0e"}),
        ("ijk=jki", {"i": "1e+0o"}),
        ("i", {"i": "1o+2x0e+1o"}),
    ],
)
def test_basis_is_orthonormal_symmetric_complete_and_equivariant(formula, irreps) -> None:
    irreps_in, irreps_out, Q = o3.reduced_basis(formula, **irreps)
    f0, formulas = germinate_formulas(formula)
    flat = Q.flatten(1)
    identity = torch.eye(len(flat), dtype=torch.float64)
    torch.testing.assert_close(flat @ flat.T, identity, rtol=0, atol=1e-12)
    torch.testing.assert_close(symmetrized(Q, formulas), Q, rtol=0, atol=1e-12)
    dims = dict(zip(f0, Q.shape[1:]))
    counted, _ = reduce_permutation(f0, formulas, **dims)
    assert len(Q) == len(counted) == irreps_out.dim
    torch.manual_seed(0)
    R = -o3.rand_matrix(dtype=torch.float64)
    rotated = Q
    for axis, blocks in enumerate(irreps_in):
        D = blocks.D_from_matrix(R)
        rotated = torch.tensordot(rotated, D, dims=([axis + 1], [0])).movedim(-1, axis + 1)
    expected = torch.einsum("ba,a...->b...", irreps_out.D_from_matrix(R), Q)
    assert (rotated - expected).abs().max() < 1e-10


def test_module_is_the_contraction_with_its_basis() -> None:
    module = o3.ReducedTensorProducts("ijk=-jik", i="1o+0e", k="1e").double()
    x, y, z = (irreps.randn(5, -1, dtype=torch.float64) for irreps in module.irreps_in)
    expected = torch.einsum("aijk,zi,zj,zk->za", module.change_of_basis, x, y, z)
    torch.testing.assert_close(module(x, y, z), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(module(y, x, z), -expected, rtol=1e-12, atol=1e-6)


def test_filters() -> None:
    _, every, Q = o3.reduced_basis("ijk=jik", i="1o", k="1e+0e")
    _, some, P = o3.reduced_basis("ijk=jik", filter_ir_out="1e+2e", i="1o", k="1e+0e")
    assert some == every.filter("1e+2e")
    rows = torch.cat([Q[block] for (_, ir), block in zip(every, every.slices()) if ir in some])
    assert torch.equal(P, rows)
    # couplings through scalars only: x . y times z
    _, middle, M = o3.reduced_basis("ijk=jik", filter_ir_mid="0e+1e", i="1o", k="1e")
    assert middle == o3.Irreps("1e")
    delta = torch.eye(3, dtype=torch.float64)
    expected = torch.einsum("ij,ak->aijk", delta, delta) / 3**0.5
    torch.testing.assert_close(M, expected, rtol=0, atol=1e-12)


def test_rank_three_over_four_irreps_takes_seconds() -> None:
    threads = torch.get_num_threads()
    start = time.process_time()
    _, irreps, _ = o3.reduced_basis("ijk=jik=ikj", i="0e+1o+2e+3o")
    elapsed = time.process_time() - start
    assert torch.get_num_threads() == threads
    assert elapsed < 10  # below 1 s on a free core; e3nn needs minutes
    assert irreps.dim == 16 * 17 * 18 // 6


def test_symmetric_power_has_the_character_of_a_plethysm() -> None:
    """Symmetric cube: character (chi(R)^3 + 3 chi(R) chi(R^2) + 2 chi(R^3)) / 6."""
    irreps_in = o3.Irreps("0e+1o+2e")
    _, irreps, _ = o3.reduced_basis("ijk=jik=ikj", i=irreps_in)
    axis = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    for angle, sign in itertools.product((0.3, 1.1, 2.5), (1.0, -1.0)):
        R = sign * o3.axis_angle_to_matrix(axis, torch.tensor(angle, dtype=torch.float64))

        def chi(blocks, M):
            return float(blocks.D_from_matrix(M).trace())

        one, two, three = chi(irreps_in, R), chi(irreps_in, R @ R), chi(irreps_in, R @ R @ R)
        assert chi(irreps, R) == pytest.approx((one**3 + 3 * one * two + 2 * three) / 6, abs=1e-9)


@pytest.mark.parametrize(
    ("formula", "irreps", "message"),
    [
        ("ij=ji", {}, "index i of 'ij' has no irreps"),
        ("ijk=jik", {"i": "1o"}, "index k of 'ijk' has no irreps"),
        ("ij=ji", {"i": "1o", "z": "1o"}, "irreps of z given, which is no index"),
        ("ij=ji", {"i": "1o", "j": "1e"}, "irreps of i and j, which are exchanged, must be the"),
        ("ij=ik", {"i": "1o"}, "formula must equate permutations of 'ij'; got 'ik'"),
        ("ii", {"i": "1o"}, "different letters"),
        ("", {}, "at least one index"),
    ],
)
def test_wrong_arguments_are_refused(formula, irreps, message) -> None:
    with pytest.raises(ValueError, match=message):
        o3.ReducedTensorProducts(formula, **irreps)


def test_wrong_calls_are_refused() -> None:
    module = o3.ReducedTensorProducts("ij=ji", i="1o")
    with pytest.raises(ValueError, match="xs must be 2 tensors; got 1"):
        module(torch.randn(3))
    with pytest.raises(ValueError, match=r"xs\[1\] must have the shape \(..., 3\), of 1x1o"):
        module(torch.randn(3), torch.randn(4))

"""Cartesian tensors as irreps and back."""

import copy
import pickle
import re

import pytest
import torch

from symscape import o3
from symscape.io import CartesianTensor
from symscape.math import germinate_formulas, symmetrized

_FORMULAS = ["ij=ji", "ij=-ji", "ij", "ijk=-jik", "ijkl=jikl=klij", "i"]


@pytest.mark.parametrize("formula", _FORMULAS)
def test_there_and_back_is_the_symmetric_part(formula: str) -> None:
    x = CartesianTensor(formula)
    n = len(x.indices)
    data = torch.randn(5, *(3,) * n, dtype=torch.float64)
    there = x.from_cartesian(data)
    assert there.shape == (5, x.dim)
    _, formulas = germinate_formulas(formula)
    torch.testing.assert_close(x.to_cartesian(there), symmetrized(data, formulas))
    values = torch.randn(2, 3, x.dim, dtype=torch.float64)
    torch.testing.assert_close(x.from_cartesian(x.to_cartesian(values)), values)


@pytest.mark.parametrize("formula", _FORMULAS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_equivariant(formula: str, sign: float) -> None:
    x = CartesianTensor(formula)
    torch.manual_seed(0)
    R = sign * o3.rand_matrix(dtype=torch.float64)
    vectors = torch.randn(len(x.indices), 4, 3, dtype=torch.float64)
    out = x.from_vectors(*vectors)
    rotated = x.from_vectors(*(vectors @ R.T))
    torch.testing.assert_close(rotated, out @ x.D_from_matrix(R).T, rtol=1e-10, atol=1e-10)


def test_stress_tensor() -> None:
    """Trace and traceless part of a symmetric matrix; the norm is kept."""
    x = CartesianTensor("ij=ji")
    assert isinstance(x, o3.Irreps)
    assert x == o3.Irreps("0e+2e")
    assert (x.formula, x.indices) == ("ij=ji", "ij")
    stress = torch.randn(7, 3, 3, dtype=torch.float64)
    stress = stress + stress.mT
    irreps = x.from_cartesian(stress)
    trace = stress.diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(irreps[:, 0], trace / 3**0.5)
    torch.testing.assert_close(irreps.square().sum(1), stress.square().sum((1, 2)))


def test_module_does_the_same() -> None:
    x = CartesianTensor("ijk=jik")
    vectors = torch.randn(3, 4, 3, dtype=torch.float64)
    module = x.reduced_tensor_products(vectors)
    assert module.change_of_basis.dtype == torch.float64
    torch.testing.assert_close(module(*vectors), x.from_vectors(*vectors), rtol=0, atol=1e-14)
    data = x.to_cartesian(module(*vectors), rtp=module)
    torch.testing.assert_close(x.from_cartesian(data, module), module(*vectors))


def test_basis_is_not_rebuilt(monkeypatch) -> None:
    x = CartesianTensor("ij=ji")
    monkeypatch.setattr("symscape.o3._reduce.reduced_basis", None)
    monkeypatch.setattr("symscape.io._cartesian_tensor.reduced_basis", None)
    y = x.from_cartesian(torch.eye(3))
    torch.testing.assert_close(x.to_cartesian(y), torch.eye(3))


def test_copies_and_dtypes() -> None:
    x = CartesianTensor("ij=-ji")
    data = torch.randn(2, 3)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (y, y.formula, type(y)) == (x, x.formula, CartesianTensor)
        assert torch.equal(y.to_cartesian(data), x.to_cartesian(data))
    assert x.to_cartesian(data.bfloat16()).dtype == torch.bfloat16
    jacobian = torch.func.jacrev(x.to_cartesian)(data[0])
    assert jacobian.shape == (3, 3, 3)
    assert type(x + x) is o3.Irreps


def test_wrong_arguments_are_refused() -> None:
    x = CartesianTensor("ij=ji")
    with pytest.raises(ValueError, match="equate permutations of 'ij'; got 'ki'"):
        CartesianTensor("ij=ki")
    with pytest.raises(ValueError, match=re.escape("('...', 3, 3), one axis for each index")):
        x.from_cartesian(torch.randn(3))
    with pytest.raises(ValueError, match=re.escape("data must have the shape (..., 6)")):
        x.to_cartesian(torch.randn(5))
    with pytest.raises(ValueError, match="one vector for each index of ij=ji; got 1"):
        x.from_vectors(torch.randn(3))
    with pytest.raises(ValueError, match=re.escape("xs[1] must have the shape (..., 3); got (2,)")):
        x.from_vectors(torch.randn(3), torch.randn(2))
    with pytest.raises(ValueError, match="floating dtype"):
        x.to_cartesian(torch.ones(6, dtype=torch.int64))

"""Bases and direct sums."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from symscape.math import complete_basis, direct_sum, orthonormalize

_small = st.integers(1, 6)


@given(rank=st.integers(0, 4), copies=st.integers(0, 4), d=_small, seed=st.integers(0, 99))
def test_basis_and_complement(rank: int, copies: int, d: int, seed: int) -> None:
    rank = min(rank, d)
    generator = torch.Generator().manual_seed(seed)
    # integer mixtures of well separated vectors: the rank is known, not guessed
    q, _ = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
    vectors = q[:rank]
    if rank:
        mixing = torch.randint(-2, 3, (copies, rank), generator=generator).double()
        vectors = torch.cat([vectors, mixing @ vectors])
    basis, matrix = orthonormalize(vectors)
    identity = torch.eye(rank, dtype=torch.float64)
    assert basis.shape == (rank, d)
    torch.testing.assert_close(basis @ basis.T, identity, rtol=0, atol=1e-10)
    torch.testing.assert_close(matrix @ vectors, basis, rtol=0, atol=1e-7)
    torch.testing.assert_close((vectors @ basis.T) @ basis, vectors, rtol=0, atol=1e-7)
    assert all(row[row.nonzero()[0, 0]] > 0 for row in basis)

    rest = complete_basis(vectors)
    assert rest.shape == (d - rank, d)
    whole = torch.cat([basis, rest])
    torch.testing.assert_close(
        whole @ whole.T, torch.eye(d, dtype=torch.float64), rtol=0, atol=1e-7
    )


def test_dependent_vectors_in_float32() -> None:
    """The sum of two rows, rounded to float32, is still dependent."""
    for seed in range(20):
        torch.manual_seed(seed)
        v = torch.randn(2, 6)
        basis, _ = orthonormalize(torch.cat([v, v[:1] + v[1:], 3 * v[1:]]))
        assert basis.shape == (2, 6)
        assert basis.dtype == torch.float32
        assert complete_basis(v).shape == (4, 6)


def test_direct_sum_is_block_diagonal() -> None:
    a, b = torch.randn(4, 2, 3), torch.randn(4, 1, 2)
    x, y = torch.randn(4, 3, 1), torch.randn(4, 2, 1)
    whole = direct_sum(a, b)
    assert whole.shape == (4, 3, 5)
    torch.testing.assert_close(whole @ torch.cat([x, y], 1), torch.cat([a @ x, b @ y], 1))


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one matrix"):
        direct_sum()
    with pytest.raises(ValueError, match="same leading dimensions"):
        direct_sum(torch.ones(2, 1, 1), torch.ones(3, 1, 1))
    with pytest.raises(
        ValueError, match=r"original must have the shape \(vectors, d\); got \(3,\)"
    ):
        orthonormalize(torch.ones(3))
    with pytest.raises(ValueError, match="vecs must have the shape"):
        complete_basis(torch.ones(3))

"""Bases of vector spaces and direct sums of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["complete_basis", "direct_sum", "orthonormalize"]

# a sum of vectors, rounded to their dtype, is off by a few units in the last place
_ROUNDING = 8.0


def direct_sum(*matrices: Tensor) -> Tensor:
    """The block diagonal matrix of matrices.

    Args:
        matrices: ``(..., n_i, m_i)`` with the same leading dimensions.

    Returns:
        ``(..., sum n_i, sum m_i)``.

    Raises:
        ValueError: no matrices, or different leading dimensions.
    """
    if not matrices:
        raise ValueError("matrices must hold at least one matrix; got none")
    leading = matrices[0].shape[:-2]
    if any(matrix.ndim < 2 or matrix.shape[:-2] != leading for matrix in matrices):
        shapes = [tuple(matrix.shape) for matrix in matrices]
        raise ValueError(f"matrices must have the same leading dimensions; got shapes {shapes}")
    rows = sum(matrix.shape[-2] for matrix in matrices)
    columns = sum(matrix.shape[-1] for matrix in matrices)
    out = matrices[0].new_zeros(*leading, rows, columns)
    i = j = 0
    for matrix in matrices:
        n, m = matrix.shape[-2:]
        out[..., i : i + n, j : j + m] = matrix
        i, j = i + n, j + m
    return out


def orthonormalize(original: Tensor, eps: float = 1e-9) -> tuple[Tensor, Tensor]:
    r"""Orthonormal basis of the span of vectors, by Gram and Schmidt in the order given.

    Each vector of the basis has its sign such that its first non-zero component is positive.

    Args:
        original: ``(n, d)``, one vector a row.
        eps: vectors whose remainder is not longer than ``2 eps`` (or than rounding in the dtype
            of the vectors explains) are taken for dependent, and components below eps are set to
            zero.

    Returns:
        ``(basis, matrix)`` of shapes ``(rank, d)`` and ``(rank, n)`` with
        ``basis = matrix @ original``.

    Raises:
        ValueError: not a matrix.
    """
    _check_matrix(original, "original")
    vectors = original.double()  # in float32, remainders of dependent vectors are not small
    resolution = torch.finfo(original.dtype).eps
    basis, matrix = vectors.new_zeros(0, vectors.shape[1]), vectors.new_zeros(0, len(vectors))
    for index, vector in enumerate(vectors):
        row = vectors.new_zeros(len(vectors))
        row[index] = 1.0
        threshold = max(2 * eps, _ROUNDING * resolution * float(vector.norm()))
        for _ in range(2):  # once loses digits where the remainder is small
            overlap = basis @ vector
            vector = vector - overlap @ basis
            row = row - overlap @ matrix
        norm = vector.norm()
        if norm <= threshold:
            continue
        vector, row = _flushed(vector / norm, eps), _flushed(row / norm, eps)
        positive = vector[vector.nonzero()[0, 0]].sign()
        basis = torch.cat([basis, positive * vector[None]])
        matrix = torch.cat([matrix, positive * row[None]])
    return basis.to(original.dtype), matrix.to(original.dtype)


def complete_basis(vecs: Tensor, eps: float = 1e-9) -> Tensor:
    """Orthonormal basis of the vectors orthogonal to all given ones.

    It comes from the unit vectors, orthonormalized in order.

    Args:
        vecs: ``(n, d)``, one vector a row; they may be dependent.
        eps: as in `orthonormalize`.

    Returns:
        ``(d - rank, d)``.

    Raises:
        ValueError: not a matrix.
    """
    _check_matrix(vecs, "vecs")
    span, _ = orthonormalize(vecs, eps)
    span = span.double()
    units = torch.eye(vecs.shape[1], dtype=span.dtype, device=vecs.device)
    basis, _ = orthonormalize(torch.cat([span, units]), eps)
    return basis[len(span) :].to(vecs.dtype)


def _check_matrix(matrix: Tensor, name: str) -> None:
    if matrix.ndim != 2:
        raise ValueError(f"{name} must have the shape (vectors, d); got {tuple(matrix.shape)}")


def _flushed(vector: Tensor, eps: float) -> Tensor:
    return torch.where(vector.abs() < eps, torch.zeros_like(vector), vector)

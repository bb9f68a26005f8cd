"""Decomposition of tensors with index symmetries into irreps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from symscape.contraction._arguments import is_autocast
from symscape.math import germinate_formulas, index_values, orthonormalize, symmetrized
from symscape.math._reduce import Formulas
from symscape.o3._instruction import irrep_set
from symscape.o3._irreps import Irrep, Irreps, IrrepsLike
from symscape.o3._wigner import wigner_3j

__all__ = ["ReducedTensorProducts", "reduced_basis"]

_Couplings = list[tuple[Irrep, Tensor]]
"""Irreps and couplings to them, ``(couplings, 2l+1, elements)``, in e3nn's order."""


class ReducedTensorProducts(torch.nn.Module):
    r"""The irreps of tensors with symmetries under exchange of indices.

    .. math:: y_a = \sum_{i_1 \ldots i_n} Q_{a i_1 \ldots i_n} x^1_{i_1} \cdots x^n_{i_n}

    The rows of Q are orthonormal, have the symmetry of the formula, and transform as
    ``irreps_out``. Where an irrep occurs several times, its copies are chosen as in e3nn: the
    iterated Wigner couplings from the left to it, in order, are projected on the tensors that
    have the symmetry and orthonormalized.

    Args:
        formula: the symmetry, as ``ij=-ji`` or ``ijkl=jikl=klij``.
        filter_ir_out: irreps to keep in the output; None for all.
        filter_ir_mid: irreps allowed in the intermediate couplings; None for all.
        eps: tolerance for eigenvalues, and below which elements count as zero.
        **irreps: of each index; indices that are exchanged have the same, which is needed for
            one of them only.

    Attributes:
        irreps_in: list of the irreps of the indices.
        irreps_out: of the output.
        change_of_basis: Q, ``(irreps_out.dim, d_1, ..., d_n)``.

    Raises:
        ValueError: a formula that cannot be read, irreps missing, too many, or different for
            indices that are exchanged.
    """

    change_of_basis: Tensor

    def __init__(
        self,
        formula: str,
        filter_ir_out: IrrepsLike | None = None,
        filter_ir_mid: IrrepsLike | None = None,
        eps: float = 1e-9,
        **irreps: IrrepsLike,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out, basis = reduced_basis(
            formula, filter_ir_out, filter_ir_mid, eps, **irreps
        )
        # kept apart for forward: torch.compile cannot guard on irreps
        self._dims = [entry.dim for entry in self.irreps_in]
        self.register_buffer("change_of_basis", basis.to(torch.get_default_dtype()))

    def forward(self, *xs: Tensor) -> Tensor:
        """The irreps of the product of vectors.

        Args:
            *xs: one ``(..., d_i)`` for each index; leading dimensions broadcast.

        Returns:
            ``(..., irreps_out.dim)``.

        Raises:
            ValueError: a number of inputs other than that of indices, shapes or dtypes that do
                not fit.
        """
        if len(xs) != len(self._dims):
            raise ValueError(f"xs must be {len(self._dims)} tensors; got {len(xs)}")
        q = self.change_of_basis
        if is_autocast(q):  # products of many factors need float32
            xs = tuple(x.to(q.dtype) for x in xs)
        for i, (x, dim) in enumerate(zip(xs, self._dims)):
            if x.ndim == 0 or x.shape[-1] != dim:
                raise ValueError(
                    f"xs[{i}] must have the shape (..., {dim}), of {self.irreps_in[i]}; got "
                    f"{tuple(x.shape)}"
                )
            if x.dtype != q.dtype or x.device != q.device:
                raise ValueError(
                    f"xs[{i}] and change_of_basis must have the same dtype and device; got "
                    f"{x.dtype} on {x.device} and {q.dtype} on {q.device}"
                )
        outer = xs[0]
        for x in xs[1:]:
            outer = (outer[..., :, None] * x[..., None, :]).flatten(-2)
        with torch.autocast(q.device.type, enabled=False) if is_autocast(q) else nullcontext():
            return outer @ q.flatten(1).T

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:  # type: ignore[no-untyped-def]
        super()._load_from_state_dict(state_dict, prefix, *args)
        # checkpoints of e3nn also hold the tensor products that it chains up to the output
        unexpected_keys = args[3]
        unexpected_keys[:] = [k for k in unexpected_keys if not k.startswith(prefix + "main.")]

    def __repr__(self) -> str:
        factors = " times ".join(map(str, self.irreps_in))
        return f"{type(self).__name__}(\n    in: {factors}\n    out: {self.irreps_out}\n)"


def reduced_basis(
    formula: str,
    filter_ir_out: IrrepsLike | None = None,
    filter_ir_mid: IrrepsLike | None = None,
    eps: float = 1e-9,
    **irreps: IrrepsLike,
) -> tuple[list[Irreps], Irreps, Tensor]:
    r"""The change of basis of `ReducedTensorProducts`, in float64.

    The orthogonal projection S on the symmetric tensors commutes with rotations. Therefore, in
    the orthonormal basis R of couplings to an irrep, :math:`R S R^T` is the same for each of its
    components, and its eigenvectors of eigenvalue 1 are the symmetric combinations of
    couplings: one component decides, and all matrices have the size of the multiplicity.

    Args:
        formula: as in `ReducedTensorProducts`.
        filter_ir_out: as in `ReducedTensorProducts`.
        filter_ir_mid: as in `ReducedTensorProducts`.
        eps: as in `ReducedTensorProducts`.
        **irreps: as in `ReducedTensorProducts`.

    Returns:
        The irreps of each index, those of the output, and Q, ``(dim, d_1, ..., d_n)``.

    Raises:
        ValueError: as `ReducedTensorProducts`.
    """
    f0, formulas = germinate_formulas(formula)
    if not f0:
        raise ValueError(f"formula must have at least one index; got {formula!r}")
    given = {index: Irreps(value) for index, value in irreps.items()}
    irreps_in = list(index_values(f0, formulas, given, "irreps"))
    keep_out = irrep_set(filter_ir_out, "filter_ir_out")
    keep_mid = irrep_set(filter_ir_mid, "filter_ir_mid")
    with torch.device("cpu"), _one_thread():  # tables are made where the Wigner symbols are
        irreps_out, basis = _reduced(formulas, irreps_in, keep_out, keep_mid, eps)
    return irreps_in, irreps_out, basis.to(torch.get_default_device())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Thousands of small operations: threads gain nothing, and on a busy core cost 30 times."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _reduced(
    formulas: Formulas,
    irreps: list[Irreps],
    keep_out: frozenset[Irrep] | None,
    keep_mid: frozenset[Irrep] | None,
    eps: float,
) -> tuple[Irreps, Tensor]:
    """The irreps of the symmetric tensors and their orthonormal basis, in float64."""
    left = _single_index(irreps[0])
    for blocks in irreps[1:-1]:
        left = [
            (ir, _coupled(_couplers(left, blocks, ir)))
            for ir in _reachable(left, blocks)
            if keep_mid is None or ir in keep_mid
        ]
    dims = [blocks.dim for blocks in irreps]
    out: list[tuple[int, Irrep]] = []
    rows = [torch.zeros(0, *dims, dtype=torch.float64)]
    if len(irreps) == 1:
        for ir in dict.fromkeys(ir for ir, _ in left):
            if (keep_out is None or ir in keep_out) and len(formulas) == 1:
                blocks_of_ir = [tensors for other, tensors in left if other == ir]
                out.append((sum(map(len, blocks_of_ir)), ir))
                rows += [tensors.flatten(0, 1) for tensors in blocks_of_ir]
        return Irreps(out), torch.cat(rows)
    for ir in _reachable(left, irreps[-1]):
        if any(keep is not None and ir not in keep for keep in (keep_out, keep_mid)):
            continue
        couplers = _couplers(left, irreps[-1], ir)
        one_component = _coupled(couplers, component=0)[:, 0].unflatten(-1, dims)
        combinations = _symmetric_combinations(one_component, formulas, eps)
        if len(combinations):
            out.append((len(combinations), ir))
            tensors = _combined(couplers, combinations, irreps[-1].dim)
            rows.append(tensors.flatten(0, 1).unflatten(-1, dims))
    return Irreps(out), torch.cat(rows)


class _Coupler(NamedTuple):
    """How the couplings of the indices so far to one irrep meet the copies in the next index.

    Attributes:
        left: the couplings, ``(u, 2l+1, elements)``.
        right: for each copy, its place in the next index and the Wigner symbols
            ``(i, j, k)``, scaled so that they keep the norm of each component.
        dim: dimension of the next index.
    """

    left: Tensor
    right: list[tuple[slice, Tensor]]
    dim: int


def _single_index(blocks: Irreps) -> _Couplings:
    """A block of the first index is a coupling to its irrep, in the order of the blocks."""
    units = torch.eye(blocks.dim, dtype=torch.float64)
    return [
        (ir, units[block].unflatten(0, (mul, ir.dim)))
        for (mul, ir), block in zip(blocks, blocks.slices())
        if mul
    ]


def _reachable(left: _Couplings, blocks: Irreps) -> list[Irrep]:
    return sorted({ir for ir_left, _ in left for mul, r in blocks if mul for ir in ir_left * r})


def _couplers(left: _Couplings, blocks: Irreps, ir: Irrep) -> list[_Coupler]:
    """All ways to couple the next index so that the result is ``ir``, in e3nn's order."""
    couplers = []
    for ir_left, tensors in left:
        right = []
        for (mul, ir_right), block in zip(blocks, blocks.slices()):
            if ir not in ir_left * ir_right:
                continue
            symbols = wigner_3j(ir_left.l, ir_right.l, ir.l, dtype=torch.float64)
            symbols = symbols * ir.dim**0.5
            for u in range(mul):
                start = block.start + u * ir_right.dim
                right.append((slice(start, start + ir_right.dim), symbols))
        if right:
            couplers.append(_Coupler(tensors, right, blocks.dim))
    return couplers


def _coupled(couplers: list[_Coupler], component: int | None = None) -> Tensor:
    """All couplings, one component or all: ``(couplings, components, elements)``."""
    pieces = []
    for left, right, dim in couplers:
        chosen = slice(None) if component is None else slice(component, component + 1)
        count = right[0][1][..., chosen].shape[-1]
        piece = left.new_zeros(left.shape[0], len(right), count, left.shape[2], dim)
        for c, (where, symbols) in enumerate(right):
            piece[:, c, ..., where] = torch.einsum("uie,ijk->ukej", left, symbols[..., chosen])
        pieces.append(piece.flatten(3).flatten(0, 1))
    return torch.cat(pieces)


def _combined(couplers: list[_Coupler], combinations: Tensor, dim: int) -> Tensor:
    """Linear combinations of all couplings, without storing these."""
    total: Tensor | float = 0.0
    start = 0
    for left, right, _ in couplers:
        width = left.shape[0] * len(right)
        weights = combinations[:, start : start + width].unflatten(1, (left.shape[0], len(right)))
        start += width
        piece = left.new_zeros(len(combinations), right[0][1].shape[-1], left.shape[2], dim)
        for c, (where, symbols) in enumerate(right):
            mixed = torch.einsum("su,uie->sie", weights[:, :, c], left)
            piece[..., where] += torch.einsum("sie,ijk->skej", mixed, symbols)
        total = total + piece
    return torch.as_tensor(total).flatten(2)


def _symmetric_combinations(couplings: Tensor, formulas: Formulas, eps: float) -> Tensor:
    """Orthonormal combinations of orthonormal tensors that have the symmetry, one a row."""
    flat = couplings.flatten(1)
    overlap = flat @ symmetrized(couplings, formulas).flatten(1).T
    values, vectors = torch.linalg.eigh((overlap + overlap.T) / 2)
    symmetric = vectors[:, values > 1 - eps]
    combinations, _ = orthonormalize(symmetric @ symmetric.T, eps)
    return combinations

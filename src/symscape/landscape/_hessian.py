r"""The Hessian of the loss and its two parts, ``H = H_0 + H_p`` (paper A, Eq. 3; paper B, Eq. 6).

With ``l(f, y)`` the loss of one pattern and ``L = (1/P) sum_mu l(f(x_mu), y_mu)``,

    H_0 = (1/P) sum_mu l''(f_mu) grad f_mu (x) grad f_mu,
    H_p = (1/P) sum_mu l'(f_mu)  Hess f_mu.

For the quadratic hinge ``l'' = theta(Delta)`` and ``l' = -y max(0, Delta)``: both sums run over
the unsatisfied patterns only. All parameters are included, biases too, in the order of ``w``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.dynamics import check_labels
from symscape.landscape._propagation import (
    PatternLoss,
    Propagation,
    propagate,
    require_parameters,
    require_scalar,
)
from symscape.networks import FullyConnected

__all__ = ["HessianParts", "h0_spectrum", "hessian", "hessian_by_autograd"]

_BLOCK_BYTES = 64 * 2**20
_TILE = 256

_Places = list[tuple[slice, slice, tuple[int, int]]]


@dataclass(frozen=True)
class HessianParts:
    """The two parts of a Hessian.

    Attributes:
        H0: ``(1/P) sum l'' grad f (x) grad f``, positive semi-definite for a convex loss, (N, N).
        Hp: ``(1/P) sum l' Hess f``, of either sign, (N, N).
    """

    H0: Tensor
    Hp: Tensor

    @property
    def H(self) -> Tensor:
        """The Hessian ``H_0 + H_p``, (N, N); a new tensor at each call."""
        return self.H0 + self.Hp


def _check_problem(net: FullyConnected, w: Tensor, x: Tensor, y: Tensor, loss: PatternLoss) -> None:
    require_scalar(net)
    require_parameters(net, w)
    if y.shape != x.shape[:1]:
        raise ValueError(f"y: shape {tuple(y.shape)} given; allowed: ({x.shape[0]},)")
    if x.shape[0] == 0:
        raise ValueError(f"x: shape {tuple(x.shape)} given; allowed: (P, {net.d}) with P >= 1")
    check_labels("y", y, x.dtype, net.c, loss)


@dataclass(frozen=True)
class ActivePatterns:
    """The patterns that the loss acts on, propagated.

    Attributes:
        state: forward and backward pass on these patterns, ``P_active`` of them.
        first: ``l'(f) / P``, ``(P_active,)``, with P the number of all patterns.
        second: ``l''(f) / P``, ``(P_active,)``.
    """

    state: Propagation
    first: Tensor
    second: Tensor


def active_patterns(
    net: FullyConnected, w: Tensor, x: Tensor, y: Tensor, loss: PatternLoss
) -> ActivePatterns:
    """Find the patterns with ``l'`` or ``l''`` different from 0, and propagate them."""
    _check_problem(net, w, x, y, loss)
    with torch.no_grad():
        f = net(w.detach(), x)
        first, second = loss.derivative(f, y), loss.second_derivative(f, y).to(f.dtype)
        active = (first != 0) | (second != 0)
        state = propagate(net, w, x[active])
    return ActivePatterns(state, first[active] / x.shape[0], second[active] / x.shape[0])


def hessian(
    net: FullyConnected,
    w: Tensor,
    x: Tensor,
    y: Tensor,
    loss: PatternLoss,
    *,
    block: int | None = None,
) -> HessianParts:
    r"""Exact ``H_0`` and ``H_p`` by the layer formula, without autograd.

    With ``d_l = df/da_l``, ``e_l`` the extended input (prefactor times ``z_{l-1}``, and 1 for the
    bias), ``F_{lj} = dz_l/da_j`` and ``S_{kj} = d^2 f / da_k da_j`` at fixed parameters (zero for
    relu), the second derivative of f by the parameters of layers ``k >= j`` is

        d_k[i] lambda_k F_{k-1,j}[m,p] e_j[q]  +  S_{kj}[i,p] e_k[m] e_j[q],

    the first term for ``k > j`` only. Each sum over patterns is a matrix product of two factors.
    For relu, off the cusps, it is exact with the 0/1 masks frozen and same-layer blocks vanish.

    Memory: the two results, ``2 * 8 N^2`` bytes in float64 (400 MB at N = 5000), and work arrays
    of about 4 blocks of at most 64 MB each plus one block of a pair of layers. Time: about
    ``N_active N^2`` multiply-adds for ``H_0``, at most as many for ``H_p`` of relu, twice as many
    for smooth activations.

    Args:
        net: network with one output.
        w: parameters, ``(N_tot,)``.
        x: inputs, ``(P, d)``.
        y: labels, ``(P,)``.
        loss: a loss of ``symscape.dynamics``; only its two derivatives are used.
        block: patterns per block; None chooses it so that a block holds 64 MB.

    Raises:
        ValueError: more than one output, wrong shapes, dtypes or labels, ``block`` < 1.
    """
    if block is not None:
        block = integer("block", block, 1)
    patterns = active_patterns(net, w, x, y, loss)
    N = net.n_parameters
    if block is None:
        block = max(1, _BLOCK_BYTES // (N * w.element_size()))
    H0 = w.new_empty(N, N) if patterns.state.P else w.new_zeros(N, N)
    Hp = w.new_zeros(N, N)
    with torch.no_grad():
        for start in range(0, patterns.state.P, block):
            part = slice(start, start + block)
            state = patterns.state.select(part)
            _add_h0(H0, state.gradients(), patterns.second[part], first_block=start == 0)
            _add_cross_layer(Hp, state, patterns.first[part])
            if state.curved:
                _add_curved(Hp, state, patterns.first[part])
        _mirror(H0, _TILE)
        _mirror_layers(Hp, net)
    return HessianParts(H0, Hp)


def hessian_by_autograd(
    net: FullyConnected, w: Tensor, x: Tensor, y: Tensor, loss: PatternLoss
) -> HessianParts:
    """The same two parts by automatic differentiation: the oracle, for small N.

    Memory: ``8 N^2`` bytes per part and the Jacobian of all patterns, ``8 N P``. Arguments as in
    ``hessian``.
    """
    _check_problem(net, w, x, y, loss)
    w, P = w.detach(), x.shape[0]
    f = net(w, x)
    first, second = loss.derivative(f, y) / P, loss.second_derivative(f, y) / P
    jacobian = torch.func.jacrev(lambda v: net(v, x))(w)
    Hp = torch.func.hessian(lambda v: first @ net(v, x))(w)
    return HessianParts(jacobian.T @ (second[:, None] * jacobian), Hp)


def h0_spectrum(net: FullyConnected, w: Tensor, x: Tensor, y: Tensor, loss: PatternLoss) -> Tensor:
    r"""Eigenvalues of ``H_0``, ascending, ``(N_tot,)``.

    Where fewer patterns are active than there are parameters, the non-zero ones are those of the
    Gram matrix ``sqrt(l''_mu l''_nu) grad f_mu . grad f_nu / P``, which is a sum over layers
    ``(e_l^T e_l) * (d_l^T d_l)`` and needs no Jacobian; the other ``N - N_active`` are exact
    zeros. Memory: ``3 * 8 N_active^2`` bytes, else as ``hessian``. Arguments as in ``hessian``.

    Raises:
        ValueError: as ``hessian``, or a loss with a negative second derivative.
    """
    patterns = active_patterns(net, w, x, y, loss)
    state = patterns.state
    if bool((patterns.second < 0).any()):
        raise ValueError("loss must be convex in the output; its second derivative is negative")
    if net.n_parameters <= state.P:
        return torch.linalg.eigvalsh(hessian(net, w, x, y, loss).H0)
    gram = w.new_zeros(state.P, state.P)
    for index, delta in enumerate(state.deltas):
        z = state.extended_input(index)
        gram += (z.T @ z) * (delta.T @ delta)
    root = patterns.second.sqrt()
    spectrum = w.new_zeros(net.n_parameters)
    if state.P:
        spectrum[: state.P] = torch.linalg.eigvalsh(root[:, None] * gram * root)
    return spectrum.sort().values


def _add_h0(H0: Tensor, gradients: Tensor, second: Tensor, *, first_block: bool) -> None:
    """Add ``sum_mu second_mu g_mu (x) g_mu`` to the upper tiles of H0.

    The first block overwrites what is there, which spares filling the matrix with zeros.
    """
    for start in range(0, H0.shape[0], _TILE):
        rows = slice(start, start + _TILE)
        weighted = gradients[rows] * second
        H0[rows, start:].addmm_(weighted, gradients[start:].T, beta=0 if first_block else 1)


def _mirror(matrix: Tensor, tile: int) -> None:
    """Copy the upper tiles of a symmetric matrix below the diagonal."""
    for start in range(0, matrix.shape[0], tile):
        end = start + tile
        corner = matrix[start:end, start:end]
        corner.copy_(0.5 * (corner + corner.T))
        matrix[end:, start:end] = matrix[start:end, end:].T


class _Pair:
    """The block of layers (k, j) of a matrix over parameters, seen as (i, m, p, q).

    ``(i, m)`` are the indices of the matrix of layer k, ``(p, q)`` those of layer j; on either
    side the bias is the last value of m or q and lives in another place of the matrix.
    """

    def __init__(self, matrix: Tensor, net: FullyConnected, k: int, j: int) -> None:
        self._matrix = matrix
        self._net = net
        self._rows = _places(net, k)
        self._columns = _places(net, j)

    def _views(self, rows: _Places) -> Iterator[tuple[Tensor, slice, slice]]:
        """Views ``(i, m, p, q)`` of the parts of the block, with the ranges of m and q."""
        for m, row_range, row_shape in rows:
            for q, column_range, column_shape in self._columns:
                part = self._matrix[row_range, column_range]
                yield part.unflatten(1, column_shape).unflatten(0, row_shape), m, q

    def add(self, block: Tensor) -> None:
        """Add a block ``(i, m, p, q)``."""
        for view, m, q in self._views(self._rows):
            view.add_(block[:, m, :, q])

    def add_to_weights(self, block: Tensor) -> None:
        """Add a block ``(i, m, p, q)`` that has no bias of layer k."""
        for view, _, q in self._views(self._rows[:1]):
            view.add_(block[..., q])

    def add_where_m_is_p(self, block: Tensor) -> None:
        """Add a block ``(i, p, q)`` at ``m = p``, without bias of layer k."""
        for view, _, q in self._views(self._rows[:1]):
            torch.diagonal(view, dim1=1, dim2=2).add_(block[:, :, q].transpose(1, 2))

    def add_where_i_is_p(self, block: Tensor) -> None:
        """Add a block ``(i, m, q)`` at ``i = p``."""
        for view, m, q in self._views(self._rows):
            torch.diagonal(view, dim1=0, dim2=2).add_(block[:, m, q].permute(1, 2, 0))


def _places(net: FullyConnected, index: int) -> _Places:
    """Where the weights and the bias of a layer live.

    Returns:
        For each: the range of the extended input's index, the range in w, the shape (out, in).
    """
    sizes = [out * fan_in + (out if net.bias else 0) for out, fan_in in net.shapes]
    start = sum(sizes[:index])
    out, fan_in = net.shapes[index]
    end = start + out * fan_in
    places = [(slice(0, fan_in), slice(start, end), (out, fan_in))]
    if net.bias:
        places.append((slice(fan_in, fan_in + 1), slice(end, end + out), (out, 1)))
    return places


def _mirror_layers(Hp: Tensor, net: FullyConnected) -> None:
    """Copy the blocks of layers k > j to (j, k)."""
    starts = [_places(net, index)[0][1].start for index in range(net.L + 1)] + [Hp.shape[0]]
    for j in range(net.L):
        own, below = slice(starts[j], starts[j + 1]), slice(starts[j + 1], None)
        Hp[own, below] = Hp[below, own].T


def _product(left: Tensor, right: Tensor) -> Tensor:
    """``sum_mu left[a, b, mu] right[c, d, mu]`` as ``(a, b, c, d)``."""
    product = left.flatten(0, 1) @ right.flatten(0, 1).T
    return product.unflatten(1, right.shape[:2]).unflatten(0, left.shape[:2])


def _add_cross_layer(Hp: Tensor, state: Propagation, first: Tensor) -> None:
    """Add ``sum_mu first_mu d_k[i] lambda_k F_{k-1,j}[m,p] e_j[q]`` for all k > j."""
    net = state.net
    extended = [state.extended_input(index) for index in range(net.L + 1)]
    for k in range(1, net.L + 1):
        weighted = first * net.prefactors[k] * state.deltas[k]
        forward = None
        for j in range(k - 1, -1, -1):
            pair = _Pair(Hp, net, k, j)
            left = weighted[:, None, :] * extended[j]  # (i, q, mu)
            if j == k - 1:
                # F_{jj} is the diagonal matrix of slopes: no sum over m different from p
                flat = left.flatten(0, 1) @ state.slopes[j].T
                block = flat.unflatten(0, left.shape[:2])  # (i, q, p)
                pair.add_where_m_is_p(block.transpose(1, 2))
                continue
            if forward is None:
                forward = _as_matrix(state.slopes[k - 1])
            forward = _step_back(forward, state, j)
            pair.add_to_weights(_product(left, forward).permute(0, 2, 3, 1))


def _as_matrix(diagonal: Tensor) -> Tensor:
    """Diagonal matrices ``(n, n, P)`` of vectors ``(n, P)``."""
    return torch.diag_embed(diagonal.T).permute(1, 2, 0).contiguous()


def _step_back(matrices: Tensor, state: Propagation, j: int) -> Tensor:
    """From ``d. / da_{j+1}`` to ``d. / da_j``: ``(i, p', P)`` to ``(i, p, P)``."""
    return (state.matrices[j + 1].T @ matrices) * state.slopes[j]


def _add_curved(Hp: Tensor, state: Propagation, first: Tensor) -> None:
    """Add ``sum_mu first_mu S_{kj}[i,p] e_k[m] e_j[q]`` for all hidden layers k >= j."""
    net = state.net
    extended = [state.extended_input(index) for index in range(net.L)]
    S_kk = None
    for k in range(net.L - 1, -1, -1):
        S_kk = _own_curvature(S_kk, state, k)
        S_kj = S_kk
        for j in range(k, -1, -1):
            pair = _Pair(Hp, net, k, j)
            inputs = extended[k][:, None, :] * extended[j]  # (m, q, mu)
            if j == k == net.L - 1:
                # the last hidden layer's own curvature is diagonal
                block = (first * state.bends[k]) @ inputs.flatten(0, 1).T
                pair.add_where_i_is_p(block.unflatten(1, inputs.shape[:2]))
                continue
            if j < k:
                S_kj = _step_back(S_kj, state, j)
            block = _product(first * S_kj, inputs)  # (i, p, m, q)
            pair.add(block.permute(0, 2, 1, 3))


def _own_curvature(above: Tensor | None, state: Propagation, k: int) -> Tensor:
    """``S_kk = diag(phi'' df/dz_k) + (dz_k/da_k W_{k+1}^T) S_{k+1,k+1} (W_{k+1} dz_k/da_k)``."""
    own = _as_matrix(state.bends[k])
    if above is None:
        return own
    inner = _step_back(above, state, k)  # (i of k+1, p of k, mu)
    outer = (state.matrices[k + 1].T @ inner.flatten(1)).unflatten(1, inner.shape[1:])
    return own + state.slopes[k][:, None, :] * outer

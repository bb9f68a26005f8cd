"""Effective number of parameters: how many directions change the function (paper A, App. A)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from symscape._arguments import integer
from symscape.landscape._propagation import Propagation, propagate
from symscape.networks import FullyConnected

__all__ = ["EffectiveParameters", "derivative_rows", "effective_parameters"]


@dataclass(frozen=True)
class EffectiveParameters:
    """Rank of the derivative rows.

    Attributes:
        rank: ``N_eff``, the number of singular values above the cut.
        gap: ratio of the last singular value above the cut to the first one below it; infinite
            where that one is 0 or absent. A rank is trustworthy where the gap is large.
        cut: relative cut; singular values above ``cut`` times the largest count.
        singular_values: descending, ``(min(P (d + 1), N_tot),)``.
    """

    rank: int
    gap: float
    cut: float
    singular_values: NDArray[np.float64]


def derivative_rows(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    r"""The rows ``G_{(mu,n)}``, n = 0..d, of paper A, Eq. A5, ``(P (d + 1), N_tot)``.

    ``G_{(mu,0)} = grad_w f(x_mu)``; ``G_{(mu,n)} = grad_w f(x_mu) + d/dx_n grad_w f(x_mu)``. Row
    ``mu (d + 1) + n``. By the layer formula, the derivative along all d inputs at once; for relu
    off the cusps.

    Args:
        net: network with one output.
        w: parameters, ``(N_tot,)``.
        x: inputs, ``(P, d)``.
    """
    state = propagate(net, w, x)
    gradients = state.gradients()[:, None, :]
    rows = torch.cat([gradients, gradients + _input_derivatives(state)], 1)
    return rows.permute(2, 1, 0).reshape(-1, net.n_parameters)


def effective_parameters(
    net: FullyConnected,
    w: Tensor,
    x: Tensor,
    *,
    cut: float = 1e-8,
    block: int | None = None,
    mixed: bool = False,
) -> EffectiveParameters:
    r"""``N_eff = rank G`` (paper A, Eqs. A4-A5): dimension of the functions' tangent space.

    The rows of ``derivative_rows`` are folded block by block into one triangular factor (QR), so
    that the singular values are those of the whole stack, to rounding and not to its square
    root. Expected: ``d + 1`` for a linear net, ``N_tot - L h`` for relu (one rescaling per
    neuron; fewer with dead neurons), ``N_tot`` for tanh; never more than ``P (d + 1)``.

    With ``mixed``, the blocks are added up with normal random weights, row by row, and one QR
    ends it. The rank is the same with probability one, while the singular values and the gap are
    those of the sums: for many patterns, of which none may be left out, lest a neuron that is on
    for few of them be lost.

    Memory: ``16 N_tot^2`` bytes and a block. Time: ``2 P (d + 1) N_tot^2`` multiply-adds; with
    ``mixed`` ``8 N_tot^3`` and what the rows take.

    Args:
        net: network with one output.
        w: parameters, ``(N_tot,)``, float64.
        x: inputs, ``(P, d)``.
        cut: relative cut on singular values, in (0, 1).
        block: patterns per block; None: about ``N_tot`` rows per block, with ``mixed`` twice that.
        mixed: add the blocks up.

    Raises:
        ValueError: wrong shapes, ``cut`` outside (0, 1), ``block`` < 1, not float64, derivatives
            that are not finite.
    """
    if not 0 < cut < 1:
        raise ValueError(f"cut must be in (0, 1); got {cut}")
    if w.dtype != torch.float64:
        raise ValueError(f"w must be float64, to tell small singular values; got {w.dtype}")
    if block is None:
        block = 1 + (2 if mixed else 1) * net.n_parameters // (net.d + 1)
    block = integer("block", block, 1)
    if x.shape[0] == 0:
        raise ValueError("x must hold at least one pattern; got none")
    blocks = (_finite(derivative_rows(net, w, some)) for some in x.split(block))
    factor = w.new_zeros(0, net.n_parameters)
    for rows in [_mixed(blocks)] if mixed else blocks:
        factor = torch.linalg.qr(torch.cat([factor, rows]), mode="r").R
    values = torch.linalg.svdvals(factor)
    rank = int((values > cut * values[0]).sum())
    below = float(values[rank]) if rank < values.shape[0] else 0.0
    gap = float(values[rank - 1]) / below if rank and below > 0 else float("inf")
    return EffectiveParameters(rank, gap, cut, values.cpu().numpy())


def _finite(rows: Tensor) -> Tensor:
    if not bool(torch.isfinite(rows).all()):
        raise ValueError("w: derivatives of f that are not finite; allowed: finite ones")
    return rows


def _mixed(blocks: Iterator[Tensor]) -> Tensor:
    """The sum of all blocks of rows, of which the first is the largest, each row times a number."""
    total = torch.zeros_like(first := next(blocks))
    generator = torch.Generator(first.device).manual_seed(0)
    for rows in itertools.chain([first], blocks):
        weights = torch.randn(
            len(rows), 1, generator=generator, dtype=rows.dtype, device=rows.device
        )
        total[: len(rows)] += weights * rows
    return total


def _input_derivatives(state: Propagation) -> Tensor:
    """``d/dx_n grad_w f``, ``(N_tot, d, P)``: forward derivatives, then those of the deltas."""
    net = state.net
    d, P = net.d, state.P
    eye = torch.eye(d, dtype=state.f.dtype, device=state.f.device)
    moved = [eye[:, :, None].expand(d, d, P)]  # d z_{l-1} / d x_n, (n_{l-1}, d, P)
    pushes: list[Tensor] = []  # d a_l / d x_n
    for index in range(net.L):
        pushes.append((state.matrices[index] @ moved[-1].flatten(1)).unflatten(1, (d, P)))
        moved.append(state.slopes[index][:, None] * pushes[-1])
    turn = state.f.new_zeros(1, d, P)
    turns = [turn]
    for index in range(net.L - 1, -1, -1):
        pulled = (state.matrices[index + 1].T @ turn.flatten(1)).unflatten(1, (d, P))
        turn = state.slopes[index][:, None] * pulled
        if state.curved:
            turn = turn + state.bends[index][:, None] * pushes[index]
        turns.insert(0, turn)
    rows: list[Tensor] = []
    for index, prefactor in enumerate(net.prefactors):
        delta, z = state.deltas[index], state.inputs[index]
        products = turns[index][:, None] * z[None, :, None] + delta[:, None, None] * moved[index]
        rows.append((prefactor * products).flatten(0, 1))
        if net.bias:
            rows.append(turns[index])
    return torch.cat(rows)

"""Steady states of Markov chains: with reset by one linear solve, without by elimination."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components
from torch import Tensor

__all__ = ["mean_reward", "steady_state", "steady_state_without_reset"]

Array = NDArray[np.float64]


def steady_state(T: Tensor, start: Tensor, reset: float) -> Tensor:
    r"""Steady state of a chain that is reset with probability r at every step.

    :math:`p = r\,(I - (1-r)T)^{-1} p_0`, the fixed point of
    :math:`\tilde T = r\,p_0\mathbf 1^\top + (1-r)T`.

    Args:
        T: ``(..., n, n)``, columns are sources: ``T[..., s', s]`` is the probability of s to s'.
        start: :math:`p_0`, ``(..., n)``.
        reset: r in (0, 1].

    Returns:
        ``(..., n)``, differentiable by autograd.

    Raises:
        ValueError: ``reset`` outside (0, 1]; :func:`steady_state_without_reset` is for 0.

    Source: Ch. 7, Lemma 2.1 and App. A, Eq. 11-12.
    """
    return reset * torch.linalg.solve(_system(T, reset), start.unsqueeze(-1)).squeeze(-1)


def mean_reward(T: Tensor, start: Tensor, reward: Tensor, reset: float) -> Tensor:
    r"""Mean reward :math:`\mathbb E_p[R]` in the steady state of a chain with reset.

    Its gradient comes from the adjoint state :math:`\lambda = (I-(1-r)T)^{-\top}R`, with the
    factors of the forward solve: :math:`\partial E/\partial T = (1-r)\,\lambda p^\top` and
    :math:`\partial E/\partial p_0 = r\lambda`.

    Args:
        T: ``(..., n, n)``, columns are sources.
        start: :math:`p_0`, ``(..., n)`` or ``(n,)``.
        reward: R, ``(n,)``.
        reset: r in (0, 1].

    Returns:
        ``(...)``.

    Raises:
        ValueError: ``reset`` outside (0, 1].

    Source: Ch. 7, Lemma 2.1.
    """
    value: Tensor = _MeanReward.apply(T, start.expand(T.shape[:-1]), reward, reset)
    return value


class _MeanReward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, T: Tensor, start: Tensor, reward: Tensor, reset: float) -> Tensor:
        factors = torch.linalg.lu_factor(_system(T, reset))
        p = reset * torch.linalg.lu_solve(*factors, start.unsqueeze(-1)).squeeze(-1)
        ctx.save_for_backward(*factors, p, T, start, reward)
        ctx.reset = reset
        return p @ reward

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        lu, pivots, p, T, start, reward = ctx.saved_tensors
        r = ctx.reset
        right = outer[0][..., None, None] * reward[:, None]
        if torch.is_grad_enabled():
            # A second derivative is wanted: the factors and p have to depend on T.
            p = steady_state(T, start, r)
            adjoint = torch.linalg.solve(_system(T, r).mT, right).squeeze(-1)
        else:
            adjoint = torch.linalg.lu_solve(lu, pivots, right, adjoint=True).squeeze(-1)
        grad_T = (1 - r) * adjoint.unsqueeze(-1) * p.unsqueeze(-2)
        grad_reward = (outer[0].unsqueeze(-1) * p).reshape(-1, p.shape[-1]).sum(0)
        return grad_T, r * adjoint, grad_reward, None


def _system(T: Tensor, reset: float) -> Tensor:
    if not 0 < reset <= 1:
        raise ValueError(
            f"reset: {reset!r} given; allowed: 0 < reset <= 1 "
            "(steady_state_without_reset is for reset = 0)"
        )
    return torch.eye(T.shape[-1], dtype=T.dtype, device=T.device) - (1 - reset) * T


def steady_state_without_reset(T: Tensor, start: Tensor) -> Tensor:
    r"""Steady state of a chain that is never reset, by elimination without subtractions.

    The elimination of Grassmann, Taksar and Heyman adds, multiplies and divides numbers of one
    sign only, so every probability has a small *relative* error, even where transitions have
    probabilities such as :math:`10^{-18}`. States that are left for ever have probability 0.

    Args:
        T: ``(n, n)``, columns are sources; the diagonal is not used.
        start: ``(n,)``; says which part of the chain is visited.

    Returns:
        ``(n,)``, without a gradient.

    Raises:
        ValueError: the visited states hold several closed classes, so that the steady state
            depends on chance.

    Source: Ch. 7, App. D.3 needs the limit of small exit rates without reset.
    """
    rows = T.detach().cpu().numpy().T.astype(np.float64, copy=True)
    visited = _closed_class(rows, start.detach().cpu().numpy())
    p = np.zeros(len(rows))
    p[visited] = _eliminate(rows[np.ix_(visited, visited)])
    return torch.from_numpy(p).to(dtype=T.dtype, device=T.device)


def _closed_class(rows: Array, start: Array) -> NDArray[np.intp]:
    """The states that the chain ends up in."""
    graph = csr_matrix(rows > 0)
    reached = np.zeros(len(rows), dtype=bool)
    for source in np.flatnonzero(start > 0):
        if not reached[source]:
            reached[breadth_first_order(graph, source, return_predecessors=False)] = True
    count, label = connected_components(graph, directed=True, connection="strong")
    source, target = graph.nonzero()
    left = np.zeros(count, dtype=bool)
    left[label[source[label[source] != label[target]]]] = True
    closed = [c for c in np.unique(label[reached]) if not left[c]]
    if len(closed) != 1:
        raise ValueError(
            f"T: the visited states hold {len(closed)} closed classes; allowed: one (give a "
            "reset > 0, or probabilities > 0 to go from one class to the other)"
        )
    return np.flatnonzero(label == closed[0])


def _eliminate(rows: Array) -> Array:
    """Stationary distribution of an irreducible chain, rows are sources (destroyed)."""
    n = len(rows)
    for k in range(n - 1, 0, -1):
        rows[:k, k] /= rows[k, :k].sum()
        rows[:k, :k] += np.outer(rows[:k, k], rows[k, :k])
    p = np.ones(n)
    for k in range(1, n):
        p[k] = p[:k] @ rows[:k, k]
    return p / p.sum()

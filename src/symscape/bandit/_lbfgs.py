"""Quasi-Newton minimization of log q from many starts at once, and annealing in the reset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from symscape.bandit._bandit import Bandit
from symscape.bandit._memory import Memory
from symscape.bandit._policy import Logits, Policy

__all__ = ["Optimum", "anneal", "minimize"]

_PAIRS = 10
"""Pairs of steps and changes of the gradient that approximate the Hessian."""

_MAX_MOVE = 1.0
"""Largest change of a logit in one step: beyond it the softmax is not quadratic."""


@dataclass(frozen=True)
class Optimum:
    r"""What a minimization found for a batch of starts.

    Attributes:
        logits: at the end, ``(B, ...)``.
        q: at the end, ``(B,)``.
        gradient: largest component of :math:`\partial\log q/\partial w` at the end, ``(B,)``.
        converged: whether that is below the tolerance, ``(B,)``.
    """

    logits: Logits
    q: Tensor
    gradient: Tensor
    converged: Tensor

    @property
    def policy(self) -> Policy:
        """The policies at the end."""
        return Policy.from_logits(self.logits)


def minimize(
    bandit: Bandit, logits: Logits, *, evaluations: int, tolerance: float = 1e-7
) -> Optimum:
    r"""Minimize :math:`\log q` over logits by L-BFGS, every start for itself.

    The logarithm makes the steps independent of how small q is. A step is taken if q decreases
    enough (Armijo), else it is cut; no logit changes by more than 1 in a step.

    Args:
        bandit: what is optimized; its reset is positive.
        logits: the starts, ``(B, O, A)`` and ``(B, S)``.
        evaluations: gradients computed for each start, at most.
        tolerance: on the largest component of the gradient of log q.

    Raises:
        ValueError: ``evaluations`` below 1, ``tolerance`` negative, or as
            :meth:`Bandit.q_and_gradient`.
    """
    if evaluations < 1:
        raise ValueError(f"evaluations: {evaluations!r} given; allowed: integers >= 1")
    if not tolerance >= 0:
        raise ValueError(f"tolerance: {tolerance!r} given; allowed: numbers >= 0")
    logits = bandit.checked_logits(logits)
    shape = logits.actions.shape[1:]
    x = torch.cat([logits.actions.flatten(1), logits.start], 1)
    best = _Descent(bandit, shape, x, tolerance)
    for _ in range(evaluations):
        if not best.step():
            break
    return best.result()


class _Descent:
    """State of the starts that still move; a start that ends keeps its row and is passed over."""

    def __init__(self, bandit: Bandit, shape: torch.Size, x: Tensor, tolerance: float) -> None:
        self.bandit, self.shape, self.tolerance = bandit, shape, tolerance
        self.x = x.clone()
        self.f, self.g = self._evaluate(x)
        # (pairs, B, n), newest last; rho is 0 where a pair was refused
        self.S = x.new_zeros(0, *x.shape)
        self.Y = x.new_zeros(0, *x.shape)
        self.rho = x.new_zeros(0, len(x))
        self.direction = -self.g
        self.length = self._first_length()
        self.moving = self.g.abs().amax(1) > tolerance

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q, g = self.bandit._q_and_gradient(_logits(x, self.shape))
        return q.log(), torch.cat([g.actions.flatten(1), g.start], 1).div_(q[:, None])

    def _first_length(self) -> Tensor:
        return 1 / self.g.abs().amax(1).clamp_min(1e-300)

    def step(self) -> bool:
        """One evaluation for every start that moves; False where none does."""
        rows = self.moving.nonzero().squeeze(1)
        if not len(rows):
            return False
        d, length = self.direction[rows], self.length[rows]
        length = torch.minimum(length, _MAX_MOVE / d.abs().amax(1).clamp_min(1e-300))
        move = length[:, None] * d
        f, g = self._evaluate(self.x[rows] + move)
        slope = (self.g[rows] * d).sum(1)
        accepted = f <= self.f[rows] + 1e-4 * length * slope
        self.length[rows] = length / 4
        taken = rows[accepted]
        if len(taken):
            self._remember(taken, move[accepted], g[accepted] - self.g[taken])
            self.x[taken] += move[accepted]
            self.f[taken], self.g[taken] = f[accepted], g[accepted]
            self._aim(taken)
        largest = self.g[rows].abs().amax(1)
        self.moving[rows] = (largest > self.tolerance) & (self.length[rows] > 1e-12)
        return True

    def _remember(self, rows: Tensor, s: Tensor, y: Tensor) -> None:
        """Append the pairs of the starts that moved; the others keep their own ten."""
        curvature = (s * y).sum(1)
        good = curvature > 1e-10 * s.norm(dim=1) * y.norm(dim=1)
        if len(self.rho) < _PAIRS:
            self.S = torch.cat([self.S.new_zeros(1, *self.x.shape), self.S])
            self.Y = torch.cat([self.Y.new_zeros(1, *self.x.shape), self.Y])
            self.rho = torch.cat([self.rho.new_zeros(1, len(self.x)), self.rho])
        keep, s, y = rows[good], s[good], y[good]
        for table, new in ((self.S, s), (self.Y, y), (self.rho, 1 / curvature[good])):
            table[:-1, keep] = table[1:, keep].clone()
            table[-1, keep] = new

    def _aim(self, rows: Tensor) -> None:
        """The direction -H g by the two-loop recursion, and its first length."""
        S, Y, rho = self.S[:, rows], self.Y[:, rows], self.rho[:, rows]
        g = self.g[rows]
        d = -g
        weights = []
        for s, y, r in zip(S.flip(0), Y.flip(0), rho.flip(0)):
            weights.append(r * (s * d).sum(1))
            d = d - weights[-1][:, None] * y
        newest = rho[-1] > 0
        scale = torch.where(newest, 1 / (rho[-1] * (Y[-1] ** 2).sum(1)).clamp_min(1e-300), 1.0)
        d = d * scale[:, None]
        for s, y, r, weight in zip(S, Y, rho, reversed(weights)):
            d = d + (weight - r * (y * d).sum(1))[:, None] * s
        uphill = (d * g).sum(1) >= 0
        self.direction[rows] = torch.where(uphill[:, None], -g, d)
        plain = uphill | ~newest
        self.length[rows] = torch.where(plain, self._first_length()[rows], 1.0)

    def result(self) -> Optimum:
        gradient = self.g.abs().amax(1)
        return Optimum(
            _logits(self.x, self.shape), self.f.exp(), gradient, gradient <= self.tolerance
        )


def _logits(x: Tensor, shape: torch.Size) -> Logits:
    n = shape.numel()
    return Logits(x[:, :n].unflatten(1, shape), x[:, n:])


def anneal(
    memory: Memory,
    arms: Tensor,
    resets: Sequence[float],
    logits: Logits,
    *,
    evaluations: int,
    tolerance: float = 1e-7,
) -> Optimum:
    """Minimize at a sequence of resets, each time from where the last one ended.

    At a large reset the agent has no time to make use of a subtle policy and the landscape is
    simple; its optimum is followed to the small reset that is wanted.

    Args:
        memory: what the agent remembers.
        arms: ``(H, 2)`` as in :class:`Bandit`.
        resets: decreasing, the last one is wanted.
        logits: the starts.
        evaluations: for each reset, as in :func:`minimize`.
        tolerance: as in :func:`minimize`.

    Returns:
        The optimum at the last reset.

    Raises:
        ValueError: no resets, or not decreasing; or as :func:`minimize`.
    """
    if not resets or any(later >= earlier for earlier, later in pairwise(resets)):
        raise ValueError(f"resets: {list(resets)} given; allowed: a decreasing sequence, not empty")
    for reset in resets:
        found = minimize(
            Bandit(memory, arms, reset), logits, evaluations=evaluations, tolerance=tolerance
        )
        # A probability that is zero for all practical purposes could never come back.
        logits = found.policy.logits(floor=1e-6)
    return found

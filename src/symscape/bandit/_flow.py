"""The thesis's optimization: gradient flow of the mean reward with an adaptive Euler step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.bandit._bandit import Bandit
from symscape.bandit._policy import Logits, Policy

__all__ = ["Flow", "gradient_flow"]

MAX_CHANGE = 1e-4
"""Largest change of the gradient in a step: the sum of the two maxima, policy and start."""


@dataclass(frozen=True)
class Flow:
    """Where a batch of gradient flows went.

    Attributes:
        logits: at the end, ``(B, ...)``.
        q: at the end, ``(B,)``.
        t: time reached, ``(B,)``.
        steps: accepted steps, ``(B,)``.
        times: grid of times, ``(T,)``, four per decade from 1 on.
        q_of_time: ``(B, T)``, q at these times; NaN beyond the time reached.
    """

    logits: Logits
    q: Tensor
    t: Tensor
    steps: Tensor
    times: Tensor
    q_of_time: Tensor

    @property
    def policy(self) -> Policy:
        """The policies at the end."""
        return Policy.from_logits(self.logits)


def gradient_flow(bandit: Bandit, logits: Logits, *, evaluations: int, t_max: float = 1e9) -> Flow:
    r"""Follow :math:`\dot w = \partial E/\partial w`, :math:`E = \mathbb E_p[R] = rG_\pi`.

    Explicit Euler steps, from ``dt = 1``. A step is rejected, and dt divided by 10, if E decreases
    or if the gradient changes by :math:`10^{-4}` (largest change of a component of the policy's
    gradient, plus that of the start's); dt grows by 1.1 after a step with less than half of that.
    Every start has its own dt.

    Args:
        bandit: what is optimized; its reset is positive.
        logits: the starts, ``(B, O, A)`` and ``(B, S)``.
        evaluations: gradients computed for each start, at most.
        t_max: time at which a flow ends.

    Raises:
        ValueError: ``evaluations`` below 1, ``t_max`` not positive, or as
            :meth:`Bandit.q_and_gradient`.

    Source: Ch. 7, Eq. 3 (whose time is this one divided by r) and the thesis's public code.
    """
    evaluations = integer("evaluations", evaluations, 1)
    if not t_max > 0:
        raise ValueError(f"t_max: {t_max!r} given; allowed: positive numbers")
    state = _State(bandit, bandit.checked_logits(logits), t_max)
    for _ in range(evaluations):
        state.step()
        if not len(state.index):
            break
    return state.result()


class _State:
    """The flows that still run, and the results of all."""

    def __init__(self, bandit: Bandit, logits: Logits, t_max: float) -> None:
        B = len(logits.start)
        self.bandit, self.t_max = bandit, t_max
        self.scale = -2 * bandit.gap
        self.times = 10 ** torch.arange(0, 4 * 9 + 1, dtype=torch.float64).div(4)
        self.q_of_time = torch.full((B, len(self.times)), torch.nan, dtype=torch.float64)
        self.final = Logits(logits.actions.clone(), logits.start.clone())
        self.final_q = torch.empty(B, dtype=torch.float64)
        self.final_t = torch.zeros(B, dtype=torch.float64)
        self.final_steps = torch.zeros(B, dtype=torch.long)
        self.index = torch.arange(B)
        self.w = logits
        self.q, self.g = self._evaluate(logits)
        self.t = torch.zeros(B, dtype=torch.float64)
        self.dt = torch.ones(B, dtype=torch.float64)
        self.steps = torch.zeros(B, dtype=torch.long)

    def _evaluate(self, logits: Logits) -> tuple[Tensor, Logits]:
        q, g = self.bandit._q_and_gradient(logits)
        return q, Logits(g.actions.mul_(self.scale), g.start.mul_(self.scale))

    def step(self) -> None:
        dt = self.dt
        w = Logits(
            torch.addcmul(self.w.actions, dt[:, None, None], self.g.actions),
            torch.addcmul(self.w.start, dt[:, None], self.g.start),
        )
        q, g = self._evaluate(w)
        change = (g.actions - self.g.actions).flatten(1).abs().amax(1)
        change += (g.start - self.g.start).abs().amax(1)
        accepted = (q <= self.q) & (change < MAX_CHANGE)
        t = torch.where(accepted, self.t + dt, self.t)
        self._record(t, torch.where(accepted, q, self.q))
        if bool(accepted.all()):
            self.w, self.q, self.g = w, q, g
        else:
            self.w, self.g = _choose(accepted, w, self.w), _choose(accepted, g, self.g)
            self.q = torch.where(accepted, q, self.q)
        self.t, self.steps = t, self.steps + accepted
        grown = torch.where(change < MAX_CHANGE / 2, 1.1 * dt, dt)
        self.dt = torch.where(accepted, grown, dt / 10)
        self._retire((self.t >= self.t_max) | (self.t + self.dt == self.t))

    def _record(self, t: Tensor, q: Tensor) -> None:
        """q at the times of the grid that were passed, interpolated in log t and log q."""
        passed = (self.times > self.t[:, None]) & (self.times <= t[:, None])
        if not bool(passed.any()):
            return
        row, column = passed.nonzero(as_tuple=True)
        # A step from t = 0 has no logarithm; one of length 1 ends on the first time of the grid.
        before = self.t[row].clamp_min(1e-3).log()
        after = t[row].log()
        share = (self.times[column].log() - before) / (after - before)
        log_q = torch.lerp(self.q[row].log(), q[row].log(), share)
        self.q_of_time[self.index[row], column] = log_q.exp()

    def _retire(self, done: Tensor) -> None:
        if not bool(done.any()):
            return
        self._store(done)
        keep = ~done
        self.w, self.g = _rows(self.w, keep), _rows(self.g, keep)
        self.q, self.t, self.dt = self.q[keep], self.t[keep], self.dt[keep]
        self.steps, self.index = self.steps[keep], self.index[keep]

    def _store(self, which: Tensor) -> None:
        rows = self.index[which]
        self.final.actions[rows] = self.w.actions[which]
        self.final.start[rows] = self.w.start[which]
        self.final_q[rows], self.final_t[rows] = self.q[which], self.t[which]
        self.final_steps[rows] = self.steps[which]

    def result(self) -> Flow:
        self._store(torch.ones(len(self.index), dtype=torch.bool))
        return Flow(
            self.final, self.final_q, self.final_t, self.final_steps, self.times, self.q_of_time
        )


def _choose(accepted: Tensor, new: Logits, old: Logits) -> Logits:
    return Logits(
        torch.where(accepted[:, None, None], new.actions, old.actions),
        torch.where(accepted[:, None], new.start, old.start),
    )


def _rows(logits: Logits, keep: Tensor) -> Logits:
    return Logits(logits.actions[keep], logits.start[keep])

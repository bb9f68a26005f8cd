"""Exact performance of a memory and its gradient: one LU of the choices against repeated squaring.

The peer is Algorithm 1 of the chapter, written as in the thesis: the transition matrix of the
5M states of a RAM, with reset, for each of the two hypotheses, is squared until all columns agree
to 1e-8, and a column is differentiated through. Both start from the same logits in float64. Rounds
are interleaved so that both see the same machine; times are medians of wall time.

    python benchmarks/bench_bandit.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from symscape.bandit import RAM, Bandit, Logits, two_hypotheses

MU = 0.1
RESETS = (1e-3, 1e-6)
SIZES = (10, 20, 50)
BATCH = 100
ROUNDS = 7
GOAL, GOAL_BATCH = 50.0, 500.0


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Squaring:
    """The 5M states (memory, arm, reward) and (memory), and Algorithm 1."""

    def __init__(self, M: int, reset: float) -> None:
        self.M, self.reset = M, reset
        n = 5 * M
        # (2, n, 2M): destination of state after action and hypothesis, as a matrix of rewards
        self.arms = torch.arange(2 * M) % 2
        self.paid = two_hypotheses(MU)[:, self.arms]
        self.wrong = torch.full((2, n), 0.5, dtype=torch.float64)
        for h in range(2):
            self.wrong[h, : 4 * M] = (self.arms != h).double().repeat_interleave(2)

    def __call__(self, logits: Logits) -> tuple[Tensor, Logits]:
        actions = logits.actions.clone().requires_grad_()
        start = logits.start.clone().requires_grad_()
        policy = actions.softmax(-1)  # (n, 2M)
        begin = torch.cat([torch.zeros(4 * self.M, dtype=torch.float64), start.softmax(-1)])
        q = torch.zeros((), dtype=torch.float64)
        for h in range(2):
            played = torch.stack([self.paid[h] * policy, (1 - self.paid[h]) * policy], -1)
            T = torch.cat([played.flatten(1).T, torch.zeros(self.M, len(policy))])
            matrix = self.reset * begin[:, None] + (1 - self.reset) * T
            while float((matrix - matrix[:, :1]).detach().abs().max()) > 1e-8:
                matrix = matrix @ matrix
            q = q + self.wrong[h] @ matrix[:, 0] / 2
        q.backward()
        assert actions.grad is not None
        assert start.grad is not None
        return q.detach(), Logits(actions.grad, start.grad)


def run(M: int, reset: float) -> tuple[float, float]:
    bandit, peer = Bandit(RAM(M), two_hypotheses(MU), reset), Squaring(M, reset)
    many = RAM(M).random_logits(BATCH, seed=0)
    single = Logits(many.actions[:1], many.start[:1])
    alone = Logits(many.actions[0], many.start[0])
    (q, gradient), (their_q, their_gradient) = bandit.q_and_gradient(single), peer(alone)
    error = float((q - their_q).abs().max())
    slope = float((gradient.actions[0] - their_gradient.actions).abs().max())
    slope /= float(gradient.actions.abs().max())
    bandit.q_and_gradient(many)
    ours, batched, theirs = [], [], []
    for _ in range(ROUNDS):
        ours.append(min(seconds(lambda: bandit.q_and_gradient(single)) for _ in range(5)))
        batched.append(seconds(lambda: bandit.q_and_gradient(many)) / BATCH)
        theirs.append(seconds(lambda: peer(alone)))
    t, t_batch, t_peer = (statistics.median(x) for x in (ours, batched, theirs))
    print(
        f"M = {M:2d} r = {reset:g} | squaring {1e3 * t_peer:7.2f} ms | ours {1e3 * t:6.3f} ms, "
        f"ratio {t_peer / t:6.1f} | {BATCH} starts, each {1e3 * t_batch:6.3f} ms, "
        f"ratio {t_peer / t_batch:6.1f} | difference of q {error:.0e}, of the gradient {slope:.0e}",
        flush=True,
    )
    return t_peer / t, t_peer / t_batch


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    print(f"RAM, mu = {MU}, float64, one thread, medians of {ROUNDS} rounds")
    ratios = {(M, reset): run(M, reset) for M in SIZES for reset in RESETS}
    single, batch = ratios[SIZES[-1], RESETS[0]]
    print(
        f"goals at M = {SIZES[-1]}: one policy {GOAL:g}: "
        f"{'met' if single >= GOAL else 'MISSED'} ({single:.0f}); {BATCH} starts {GOAL_BATCH:g}: "
        f"{'met' if batch >= GOAL_BATCH else 'MISSED'} ({batch:.0f})"
    )


if __name__ == "__main__":
    main()

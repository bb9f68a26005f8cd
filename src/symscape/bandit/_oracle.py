"""The best deterministic policy of a small memory, by branch and bound: no gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from symscape._arguments import integer
from symscape.bandit._bandit import Bandit
from symscape.bandit._memory import RAM
from symscape.bandit._policy import Policy

__all__ = ["DeterministicOptimum", "best_deterministic_policy"]

_POPPED = 1024
"""Nodes that are branched together."""


@dataclass(frozen=True)
class DeterministicOptimum:
    """The best deterministic policy that was found, and what is known about better ones.

    Attributes:
        policy: one policy; rows of observations that it never sees are arbitrary.
        q: its probability to play the worse arm.
        bound: no deterministic policy has a smaller q; equal to ``q`` where the search ended.
        nodes: partial policies whose bound was computed.
    """

    policy: Policy
    q: float
    bound: float
    nodes: int

    @property
    def proven(self) -> bool:
        """Whether the search ended: nothing better exists."""
        return self.bound >= self.q


def best_deterministic_policy(
    bandit: Bandit, *, max_nodes: int = 1_000_000, seed: int = 0
) -> DeterministicOptimum:
    r"""Search all deterministic policies by branch and bound.

    A partial policy fixes the actions after some observations. Its q is bounded from below by
    letting the agent *know the hypothesis* wherever its action is free: that is a Markov decision
    process for each hypothesis, solved by policy iteration. The search branches on the observation
    that is seen most among those after which the two relaxed agents differ; where none is seen the
    bound is the q of a policy. It goes deep first, and drops what is not better than the best
    known policy, the first of which comes from exchanging single actions. Memory states of a
    :class:`RAM` are numbered in the order of their first use, because their names do not matter.

    Args:
        bandit: the problem; its reset is positive.
        max_nodes: where the search stops unfinished.
        seed: of the policies from which single actions are exchanged.

    Raises:
        ValueError: ``max_nodes`` below 1, or a reset of 0.
    """
    max_nodes = integer("max_nodes", max_nodes, 1)
    if bandit.reset == 0:
        raise ValueError("reset: 0 given; allowed: 0 < reset <= 1")
    search = _Search(bandit)
    search.exchange(seed)
    search.run(max_nodes)
    return search.result()


class _Search:
    def __init__(self, bandit: Bandit) -> None:
        memory = bandit.memory
        self.bandit, self.memory = bandit, memory
        self.following = bandit._successor()
        self.first = 2 * memory.n_choices  # the start observation
        self.best_q = float("inf")
        self.best = torch.zeros(memory.n_observations, dtype=torch.long)
        self.nodes = 0
        self.open = torch.full((1, memory.n_observations), -1)
        self.open_bounds = torch.zeros(1, dtype=torch.float64)

    def exchange(self, seed: int, starts: int = 20) -> None:
        """Deterministic policies that no exchange of a single action improves."""
        memory = self.memory
        O, A = memory.n_observations, memory.n_actions
        generator = torch.Generator().manual_seed(integer("seed", seed))
        for _ in range(starts):
            actions = torch.randint(A, (O,), generator=generator)
            q = self._offer(actions[None])
            while True:
                others = actions.repeat(O * A, 1)
                others[torch.arange(O * A), torch.arange(O * A) // A] = torch.arange(O * A) % A
                better = self._offer(others)
                if not float(better.min()) < float(q) * (1 - 1e-12):
                    break
                q = better.min()
                actions = others[int(better.argmin())]

    def _offer(self, actions: Tensor) -> Tensor:
        """q of complete policies ``(n, O)``; the best one is kept."""
        start = torch.zeros(len(actions), self.memory.n_starts, dtype=torch.float64)
        start[:, 0] = 1.0
        one_hot = F.one_hot(actions, self.memory.n_actions).to(torch.float64)
        q = self.bandit.q(Policy(one_hot, start))
        if float(q.min()) < self.best_q:
            self.best_q, self.best = float(q.min()), actions[int(q.argmin())].clone()
        return q

    def run(self, max_nodes: int) -> None:
        while len(self.open) and self.nodes < max_nodes:
            hopeful = self.open_bounds[-_POPPED:] < self.best_q * (1 - 1e-12)
            popped, self.open = self.open[-_POPPED:][hopeful], self.open[:-_POPPED]
            self.open_bounds = self.open_bounds[:-_POPPED]
            bounds, relaxed, branch = self._bound(popped)
            leaf = branch < 0
            if bool(leaf.any()):
                # Both relaxed agents do the same wherever they go: a policy of the real agent.
                self._offer(self._merge(popped[leaf], relaxed[leaf]))
            alive = ~leaf & (bounds < self.best_q * (1 - 1e-12))
            children, their_bounds = self._children(popped[alive], branch[alive], bounds[alive])
            order = their_bounds.argsort(descending=True, stable=True)
            self.open = torch.cat([self.open, children[order]])
            self.open_bounds = torch.cat([self.open_bounds, their_bounds[order]])

    def _merge(self, fixed: Tensor, relaxed: Tensor) -> Tensor:
        """Complete policies of leaves: rows that only one relaxed agent sees are that one's."""
        seen = self._seen(relaxed) > 0
        # The first agent that sees an observation; where none does, the first agent.
        owner = seen.to(torch.int8).argmax(1, keepdim=True)
        return torch.where(fixed >= 0, fixed, relaxed.gather(1, owner).squeeze(1))

    def _children(self, nodes: Tensor, branch: Tensor, bounds: Tensor) -> tuple[Tensor, Tensor]:
        """All actions after the observation to branch on; the parent's bound holds for them."""
        A = self.memory.n_actions
        children = nodes.repeat_interleave(A, 0)
        action = torch.arange(A).repeat(len(nodes))
        children[torch.arange(len(children)), branch.repeat_interleave(A)] = action
        their = bounds.repeat_interleave(A)
        if isinstance(self.memory, RAM):
            used = torch.where(nodes >= 0, nodes // 2, 0).amax(1).repeat_interleave(A)
            keep = action // 2 <= used + 1
            children, their = children[keep], their[keep]
        return children, their

    def _bound(self, nodes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lower bounds of q, the relaxed actions ``(n, H, O)``, and the observation to branch on.

        -1 stands for a node that need not be branched.
        """
        bandit, H = self.bandit, len(self.bandit.arms)
        self.nodes += len(nodes)
        fixed = (nodes >= 0)[:, None, :]
        actions = nodes.clamp_min(0)[:, None, :].repeat(1, H, 1)
        while True:
            value = self._value(actions)
            # (n, H, O, A): value of the choice that an action leads to
            ahead = value[..., self.following]
            current = ahead.gather(-1, actions[..., None]).squeeze(-1)
            best, greedy = ahead.min(-1)
            change = ~fixed & (best < current - 1e-12)
            if not bool(change.any()):
                break
            actions = torch.where(change, greedy, actions)
        first = current[..., self.first]
        bounds = bandit.reset / 2 + (1 - bandit.reset) * bandit.reset * first.mean(1)
        seen = self._seen(actions)
        differ = (actions != actions[:, :1]).any(1) & (seen > 0).all(1)
        # Where the agents part for the first time, they both are.
        weight = seen.mean(1) * differ
        branch = torch.where(weight.amax(1) > 0, weight.argmax(1), -1)
        return bounds, actions, branch

    def _value(self, actions: Tensor) -> Tensor:
        """``(n, H, C)``: discounted plays of the worse arm from a choice on."""
        bandit, C = self.bandit, self.memory.n_choices
        return torch.linalg.solve(self._system(actions), bandit._worse.expand(len(actions), -1, C))

    def _system(self, actions: Tensor) -> Tensor:
        """``(n, H, C, C)``: I - (1 - r) A, rows are sources."""
        bandit, C = self.bandit, self.memory.n_choices
        rows = torch.arange(2 * C)
        target = self.following[rows, actions[..., : 2 * C]].unflatten(-1, (C, 2))
        weight = torch.stack([bandit._positive, 1 - bandit._positive], -1).expand(target.shape)
        system = torch.zeros(*target.shape[:-2], C, C, dtype=torch.float64)
        system.scatter_add_(-1, target, (bandit.reset - 1) * weight)
        system.diagonal(dim1=-2, dim2=-1).add_(1.0)
        return system

    def _seen(self, actions: Tensor) -> Tensor:
        """``(n, H, O)``: how much each observation is seen."""
        bandit, C = self.bandit, self.memory.n_choices
        source = F.one_hot(self.following[self.first, actions[..., self.first]], C)
        u = torch.linalg.solve(self._system(actions).mT, source.to(torch.float64))
        # Rounding leaves specks of probability where the agent never is.
        u = torch.where(u > 1e-13, u, 0.0)
        played = torch.stack([u * bandit._positive, u * (1 - bandit._positive)], -1).flatten(-2)
        starts = torch.zeros(*u.shape[:-1], self.memory.n_starts, dtype=torch.float64)
        starts[..., 0] = 1.0
        return torch.cat([played, starts], -1)

    def result(self) -> DeterministicOptimum:
        start = torch.zeros(self.memory.n_starts, dtype=torch.float64)
        start[0] = 1.0
        actions = F.one_hot(self.best, self.memory.n_actions).to(torch.float64)
        bound = self.best_q
        if len(self.open):
            bound = min(bound, float(self.open_bounds.min()))
        return DeterministicOptimum(Policy(actions, start), self.best_q, bound, self.nodes)

"""The two-hypothesis bandit: exact performance of a policy and its gradient, in batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.bandit._memory import Memory
from symscape.bandit._policy import Logits, Policy, check_type
from symscape.bandit._pomdp import POMDP
from symscape.bandit._steady import steady_state_without_reset

__all__ = ["Bandit", "likelihood_ratio", "two_hypotheses"]

_MEMORY_BUDGET = 2**31
"""Bytes that the chains of one batch may take."""

_CACHE = 2**20
"""Bytes of chains that are solved together: more of them only leave the cache."""


def two_hypotheses(mu: float) -> Tensor:
    r"""The two hypotheses :math:`(k_A, k_B) = \tfrac12(1\pm\mu, 1\mp\mu)`, one per row.

    Args:
        mu: difference of the mean rewards divided by 2, in [0, 1].

    Returns:
        ``(2, 2)``: probabilities of the reward +1 of arms A and B under H_A and H_B.

    Raises:
        ValueError: ``mu`` outside [0, 1].

    Source: Ch. 7, Eq. 4.
    """
    check_mu(mu)
    return torch.tensor([[1 + mu, 1 - mu], [1 - mu, 1 + mu]], dtype=torch.float64) / 2


def likelihood_ratio(mu: float) -> float:
    r""":math:`\alpha = (1-\mu)/(1+\mu)`, by which one event changes the odds of the hypotheses.

    Raises:
        ValueError: ``mu`` outside [0, 1].

    Source: Ch. 7, Sec. 3.
    """
    check_mu(mu)
    return (1 - mu) / (1 + mu)


def check_mu(mu: float) -> None:
    """Refuse a mu outside [0, 1]."""
    if not 0 <= mu <= 1:
        raise ValueError(f"mu: {mu!r} given; allowed: 0 <= mu <= 1")


class Bandit:
    r"""Agents with a finite memory that play two arms, one of which is better.

    The environment is one of H hypotheses with equal probability: arm j pays +1 with probability
    ``arms[h, j]``, else -1. At every step the agent is reset with probability r. Its performance
    is :math:`q`, the probability that the arm played last is the worse one (1/2 where none was
    played since the reset), and :math:`\mathbb E_p[R] = \mu(1-2q)` for :func:`two_hypotheses`.

    **How it is solved.** With :math:`A_h` the chain of choices (:class:`Memory`) and b the choices
    made from the start, the probabilities of the choices are
    :math:`u_h = (1-r)\,r\,(I-(1-r)A_h)^{-1}b`, and :math:`q = \frac r2 +
    \frac1H\sum_h\sum_{c\text{ worse}}u_h(c)`. One LU factorization per hypothesis gives u, and
    the adjoint that the gradient needs.

    Args:
        memory: what the agent remembers.
        arms: ``(H, 2)``, probabilities of a positive reward. Where both are equal there is no
            worse arm, and each play counts one half.
        reset: r in [0, 1]; with 0 there is no gradient.

    Raises:
        ValueError: no hypotheses, probabilities outside [0, 1], a reset outside [0, 1], or a
            memory whose chains do not fit (the largest that does is named).

    Source: Ch. 7, Sec. 2.3 and Lemma 2.1.
    """

    def __init__(
        self, memory: Memory, arms: Tensor | Sequence[Sequence[float]], reset: float
    ) -> None:
        arms = torch.as_tensor(arms).to(torch.float64)
        rows = arms.ndim == 2 and len(arms) > 0 and arms.shape[-1] == 2
        if not rows or not bool(((arms >= 0) & (arms <= 1)).all()):
            raise ValueError(
                f"arms: {arms.tolist()} given; allowed: one row (k_A, k_B) of probabilities or more"
            )
        if not 0 <= reset <= 1:
            raise ValueError(f"reset: {reset!r} given; allowed: 0 <= reset <= 1")
        self.memory = memory
        self.arms = arms
        self.reset = float(reset)
        self._bytes = 8 * len(arms) * memory.n_choices**2
        self.check_batch(1)
        # (H, C): probability of a positive reward, and whether the arm is the worse one
        self._positive = arms[:, memory.arms]
        worse = arms.argmin(-1)
        self._worse = (memory.arms[None, :] == worse[:, None]).to(torch.float64)
        # Equal arms have no worse one: each play counts one half.
        self._worse[arms[:, 0] == arms[:, 1]] = 0.5

    def __repr__(self) -> str:
        return f"Bandit({self.memory}, {self.arms.tolist()}, reset={self.reset:g})"

    def check_batch(self, starts: int) -> None:
        """Refuse a batch of so many policies whose chains do not fit in 2 GiB.

        Raises:
            ValueError: says which memory, and how many policies, fit.
        """
        if starts * self._bytes <= _MEMORY_BUDGET:
            return
        fits = math.isqrt(_MEMORY_BUDGET // (8 * len(self.arms)))
        largest = self.memory.largest_that_fits(fits)
        few = _MEMORY_BUDGET // self._bytes
        allowed = f"{few} policies with {self.memory}" if few else f"at most {largest}"
        raise ValueError(
            f"memory: the chains of {starts} {'policy' if starts == 1 else 'policies'} with "
            f"{self.memory} take {starts * self._bytes / 2**30:.1f} GiB; allowed: "
            f"{_MEMORY_BUDGET / 2**30:g} GiB, that is {allowed}"
        )

    @property
    def gap(self) -> float:
        r"""Difference of the probabilities of a reward, :math:`\mu` for the two hypotheses.

        Raises:
            ValueError: it differs from hypothesis to hypothesis, so that q does not fix the gain.
        """
        gaps = (self.arms[:, 0] - self.arms[:, 1]).abs()
        if float(gaps.max() - gaps.min()) > 1e-12:
            raise ValueError(
                f"arms: {self.arms.tolist()} given; allowed: the same difference of the arms in "
                "all hypotheses, otherwise q does not fix the gain"
            )
        return float(gaps[0])

    def q(self, policy: Policy) -> Tensor:
        """Probability to play the worse arm, differentiable where the reset is positive.

        Args:
            policy: of this memory; a batch ``(...)`` of policies gives ``(...)``.

        Raises:
            TypeError: something else than a policy, for example logits.
            ValueError: the policy has another shape, or, without reset, several closed classes.
        """
        actions, start = self._batch(policy)
        batch = policy.start.shape[:-1]
        if self.reset == 0:
            return self._q_without_reset(actions, start).reshape(batch)
        value: Tensor = _WorseArm.apply(actions, start, self)
        return value.reshape(batch)

    def gain(self, policy: Policy) -> Tensor:
        r"""Discounted gain :math:`G_\pi = \mathbb E_p[R]/r`, with :math:`\gamma = 1-r`.

        Raises:
            ValueError: as :meth:`q`, and where the reset is 0.

        Source: Ch. 7, Lemma 2.1 (the text's :math:`G=\frac r{1-r}(1-2q)` is a slip).
        """
        if self.reset == 0:
            raise ValueError("reset: 0 given; allowed: positive, the gain diverges without reset")
        best = self.arms.max(-1).values
        played = (1 - self.reset) * (2 * best - 1).mean()
        return (played - 2 * self.gap * (self.q(policy) - self.reset / 2)) / self.reset

    def q_and_gradient(self, logits: Logits) -> tuple[Tensor, Logits]:
        """q and its gradient with respect to logits, without the overhead of autograd.

        Args:
            logits: ``(B, O, A)`` and ``(B, S)``, B >= 1; autograd does not see what becomes of
                them.

        Returns:
            ``(B,)``, and the gradient in the shape of the logits.

        Raises:
            TypeError: something else than logits, for example a policy.
            ValueError: logits of another shape, not in float64, or NaN; without reset, or where
                the batch does not fit in memory.
        """
        return self._q_and_gradient(self.checked_logits(logits))

    def checked_logits(self, logits: Logits) -> Logits:
        """The logits of a batch, without the graph that autograd may have made of them.

        Raises:
            TypeError: something else than logits, for example a policy.
            ValueError: another shape than ``(B, O, A)`` and ``(B, S)``, no policy, another type
                than float64, NaN or infinity.
        """
        check_type("logits", logits, Logits)
        memory, B = self.memory, len(logits.start)
        allowed = (B, memory.n_observations, memory.n_actions), (B, memory.n_starts)
        given = tuple(tuple(x.shape) for x in logits)
        if given != allowed or B == 0:
            (_, *rows), (_, *starts) = allowed
            raise ValueError(
                f"logits: shapes {given[0]} and {given[1]} given; allowed with {memory}: "
                f"(B, {rows[0]}, {rows[1]}) and (B, {starts[0]}), B >= 1"
            )
        for name, x in zip(Logits._fields, logits):
            if x.dtype != torch.float64:
                raise ValueError(f"logits.{name}: {x.dtype} given; allowed: torch.float64")
            # Minus infinity is a probability of 0.
            if not bool((x < torch.inf).all()):
                raise ValueError(f"logits.{name}: NaN or infinity given; allowed: numbers")
        return Logits(*(x.detach() for x in logits))

    def _q_and_gradient(self, logits: Logits) -> tuple[Tensor, Logits]:
        """As :meth:`q_and_gradient`, for logits that are checked already."""
        self.check_reset()
        actions, start = logits.actions, logits.start
        size = max(1, _CACHE // self._bytes)
        self.check_batch(min(size, len(start)))
        q = actions.new_empty(len(start))
        gradient = Logits(torch.empty_like(actions), torch.empty_like(start))
        for first in range(0, len(start), size):
            part = slice(first, first + size)
            q[part] = self._chunk(
                actions[part], start[part], gradient.actions[part], gradient.start[part]
            )
        return q, gradient

    def _chunk(self, actions: Tensor, start: Tensor, g_actions: Tensor, g_start: Tensor) -> Tensor:
        """q of a few logits, and its gradient written to the last two arguments."""
        actions, start = actions.softmax(-1), start.softmax(-1)
        q = self._solve(actions, start, g_actions, g_start)
        for p, g in ((actions, g_actions), (start, g_start)):
            g.sub_((p * g).sum(-1, keepdim=True)).mul_(p)  # back through the softmax
        return q

    def choices(self, policy: Policy) -> Tensor:
        """Probabilities u of the choices in the steady state.

        Args:
            policy: one policy, or a batch ``(B,)`` where the reset is positive.

        Returns:
            ``(..., H, C)``; the sum over choices is 1 - r.

        Raises:
            ValueError: as :meth:`q`, and where the chains of the batch do not fit in memory.
        """
        actions, start = self._batch(policy)
        batch = policy.start.shape[:-1]
        if self.reset == 0:
            if len(batch):
                raise ValueError(
                    f"policy: a batch {tuple(batch)} given; allowed without reset: one policy at "
                    "a time"
                )
            return self._choices_without_reset(actions[0], start[0])
        self.check_batch(len(start))
        u = self._forward(actions, start)[0]
        return u.reshape(*batch, *u.shape[1:])

    def observations(self, policy: Policy) -> Tensor:
        """Probabilities of the observations in the steady state, averaged over hypotheses.

        Returns:
            ``(..., O)``, summing to one.

        Raises:
            ValueError: as :meth:`choices`.
        """
        u = self.choices(policy)
        played = torch.stack([u * self._positive, u * (1 - self._positive)], -1)
        return torch.cat([played.mean(-3).flatten(-2), self.reset * policy.start], -1)

    def q_of_horizon(self, policy: Policy, horizon: int) -> Tensor:
        """Mean probability to play the worse arm in the first plays after the start, no reset.

        Args:
            policy: of this memory; a batch ``(...)`` gives ``(...)``.
            horizon: number of plays, >= 1.

        Returns:
            ``(...)``, differentiable by autograd.

        Raises:
            ValueError: the policy has another shape, ``horizon`` below 1, or the chains of the
                batch do not fit in memory.
        """
        actions, start = self._batch(policy)
        horizon = integer("horizon", horizon, 1)
        batch = policy.start.shape[:-1]
        self.check_batch(len(start))
        chain = self._chains(actions)
        source = self._sources(actions, start)
        u = source[:, None, :].expand(-1, len(self.arms), -1)
        total = (u * self._worse).sum(-1)
        for _ in range(horizon - 1):
            u = (u.unsqueeze(-2) @ chain).squeeze(-2)
            total = total + (u * self._worse).sum(-1)
        return (total.mean(-1) / horizon).reshape(batch)

    def pomdp(self) -> POMDP:
        r"""The same problem written out as a general POMDP, for comparison and small memories.

        A state is a hypothesis and an observation; there are H O of them. The reward of a state is
        the one received on the way to it, 0 in the start observations.

        Returns:
            The POMDP, started in every start observation with equal probability (a policy's own
            start would be another ``start``).
        """
        memory, H = self.memory, len(self.arms)
        C, O, A = memory.n_choices, memory.n_observations, memory.n_actions
        following = self._successor()
        transition = torch.zeros(A, H, O, H, O, dtype=torch.float64)
        for a in range(A):
            for o in range(O):
                c = int(following[o, a])
                for h in range(H):
                    transition[a, h, 2 * c, h, o] = self._positive[h, c]
                    transition[a, h, 2 * c + 1, h, o] = 1 - self._positive[h, c]
        reward = torch.zeros(O, dtype=torch.float64)
        reward[0 : 2 * C : 2], reward[1 : 2 * C : 2] = 1.0, -1.0
        start = torch.zeros(O, dtype=torch.float64)
        start[2 * C :] = 1 / memory.n_starts
        return POMDP(
            transition.reshape(A, H * O, H * O),
            torch.eye(O, dtype=torch.float64).repeat(1, H),
            reward.repeat(H),
            start.repeat(H) / H,
        )

    def _batch(self, policy: Policy) -> tuple[Tensor, Tensor]:
        """Probabilities of a batch of policies, ``(B, O, A)`` and ``(B, S)``, in float64.

        Raises:
            ValueError: the policies have another shape.
        """
        self.memory.check(policy)
        B = math.prod(policy.start.shape[:-1])
        return (
            policy.actions.reshape(B, *policy.actions.shape[-2:]).to(torch.float64),
            policy.start.reshape(B, policy.start.shape[-1]).to(torch.float64),
        )

    def check_reset(self) -> None:
        """Refuse a reset of 0, which leaves no gradient."""
        if self.reset == 0:
            raise ValueError("reset: 0 given; allowed: 0 < reset <= 1 where a gradient is needed")

    def _successor(self) -> Tensor:
        """``(O, A)``, the next choice."""
        memory = self.memory
        if memory.successor is not None:
            return memory.successor
        return torch.arange(memory.n_actions).expand(memory.n_observations, -1)

    def _chains(self, actions: Tensor) -> Tensor:
        """``(B, H, C, C)``: probability to go from a choice (row) to the next one (column)."""
        C, following = self.memory.n_choices, self.memory.successor
        after = actions[:, None, : 2 * C].unflatten(2, (C, 2))
        plus, minus = self._positive[..., None], 1 - self._positive[..., None]
        if following is None:
            return torch.addcmul(plus * after[..., 0, :], minus, after[..., 1, :])
        weighted = torch.stack([plus * after[..., 0, :], minus * after[..., 1, :]], -2).flatten(-2)
        target = following[: 2 * C].reshape(C, -1)
        chain = actions.new_zeros(len(actions), len(self.arms), C, C)
        return chain.scatter_add(-1, target.expand_as(weighted), weighted)

    def _sources(self, actions: Tensor, start: Tensor) -> Tensor:
        """``(B, C)``: probabilities of the first choice."""
        C, following = self.memory.n_choices, self.memory.successor
        first = (start.unsqueeze(-2) @ actions[:, 2 * C :]).squeeze(-2)
        if following is None:
            return first
        weighted = (start.unsqueeze(-1) * actions[:, 2 * C :]).flatten(1)
        source = actions.new_zeros(len(actions), C)
        return source.scatter_add(-1, following[2 * C :].flatten().expand_as(weighted), weighted)

    def _forward(self, actions: Tensor, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Steady state of the choices ``(B, H, C)``, and the factors of I - (1-r) A."""
        r = self.reset
        # A chain with rows as sources is, read as a matrix of columns, already transposed.
        system = self._chains(actions).mul_(r - 1)
        system.diagonal(dim1=-2, dim2=-1).add_(1.0)
        lu, pivots = torch.linalg.lu_factor(system.mT)
        source = ((1 - r) * r * self._sources(actions, start))[:, None, :, None]
        right = source.expand(-1, len(self.arms), -1, -1)
        return torch.linalg.lu_solve(lu, pivots, right).squeeze(-1), lu, pivots

    def _solve(self, actions: Tensor, start: Tensor, g_actions: Tensor, g_start: Tensor) -> Tensor:
        """q; its gradient with respect to the probabilities is written to the last arguments."""
        C, H, r = self.memory.n_choices, len(self.arms), self.reset
        u, lu, pivots = self._forward(actions, start)
        q = (u * self._worse).sum((-1, -2)) / H + r / 2
        right = (self._worse / H)[None, :, :, None].expand(len(u), -1, -1, -1)
        z = torch.linalg.lu_solve(lu, pivots, right, adjoint=True).squeeze(-1)
        # (B, H, 2C): how often an observation is left towards the next choice
        visits = torch.stack([u * self._positive, u * (1 - self._positive)], -1).mul_(1 - r)
        visits = visits.flatten(-2)
        first = ((1 - r) * r) * z.sum(1, keepdim=True)
        following = self.memory.successor
        if following is None:
            torch.matmul(visits.mT, z, out=g_actions[:, : 2 * C])
        else:
            g_actions[:, : 2 * C] = torch.einsum(
                "bho,bhoa->boa", visits, z[..., following[: 2 * C]]
            )
            first = first[:, 0][:, following[2 * C :]]
        torch.mul(start.unsqueeze(-1), first, out=g_actions[:, 2 * C :])
        g_start.copy_((actions[:, 2 * C :] * first).sum(-1))
        return q

    def _differentiable_q(self, actions: Tensor, start: Tensor) -> Tensor:
        """q ``(B,)`` by operations that autograd follows to any order, with all chains at once."""
        self.check_batch(len(start))
        u = self._forward(actions, start)[0]
        return (u * self._worse).sum((-1, -2)) / len(self.arms) + self.reset / 2

    def _q_without_reset(self, actions: Tensor, start: Tensor) -> Tensor:
        values = [
            (self._choices_without_reset(*one) * self._worse).sum() / len(self.arms)
            for one in zip(actions, start)
        ]
        return torch.stack(values) if values else start.new_empty(0)

    def _choices_without_reset(self, actions: Tensor, start: Tensor) -> Tensor:
        """``(H, C)``, of one policy."""
        chain = self._chains(actions[None])[0]
        source = self._sources(actions[None], start[None])[0]
        return torch.stack([steady_state_without_reset(A.mT, source) for A in chain])


class _WorseArm(torch.autograd.Function):
    """q as a function of the probabilities, in chunks that stay in the cache."""

    @staticmethod
    def forward(ctx: Any, actions: Tensor, start: Tensor, bandit: Bandit) -> Tensor:
        inputs = actions, start
        actions, start = actions.detach(), start.detach()
        size = max(1, _CACHE // bandit._bytes)
        q, g_actions, g_start = (
            start.new_empty(len(start)),
            *map(torch.empty_like, (actions, start)),
        )
        for first in range(0, len(start), size):
            part = slice(first, first + size)
            q[part] = bandit._solve(actions[part], start[part], g_actions[part], g_start[part])
        ctx.save_for_backward(g_actions, g_start, *inputs)
        ctx.bandit = bandit
        return q

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        g_actions, g_start, *inputs = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return outer[0][:, None, None] * g_actions, outer[0][:, None] * g_start, None
        # A second derivative is wanted: the gradient itself has to be a function of the inputs.
        needed = ctx.needs_input_grad[:2]
        q = ctx.bandit._differentiable_q(*inputs)
        wanted = [x for x, need in zip(inputs, needed) if need]
        found = iter(torch.autograd.grad(q, wanted, outer[0], create_graph=True))
        return *(next(found) if need else None for need in needed), None

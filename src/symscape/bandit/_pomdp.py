"""Partially observable Markov decision processes with finitely many states, solved exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.bandit._policy import check_distribution
from symscape.bandit._steady import mean_reward, steady_state

__all__ = ["POMDP"]


@dataclass(frozen=True)
class POMDP:
    r"""A POMDP :math:`(S, A, T, R, \Omega, O, p_0)` with n states; the discount is given later.

    Attributes:
        transition: ``(A, n, n)``; ``transition[a, s', s]`` is :math:`T(s'|s, a)`.
        observation: ``(O, n)``; ``observation[o, s]`` is :math:`O(o|s)`.
        reward: ``(n,)``, :math:`R(s)`.
        start: ``(n,)``, :math:`p_0`.

    Policies are tensors ``(..., O, A)`` with :math:`\pi(a|o)` in ``[..., o, a]``; leading axes are
    a batch.

    Raises:
        ValueError: shapes do not fit together, or something is not a distribution.

    Source: Ch. 7, Def. 2.1-2.4.
    """

    transition: Tensor
    observation: Tensor
    reward: Tensor
    start: Tensor

    def __post_init__(self) -> None:
        n = self.start.shape[-1]
        shapes = {
            "transition": (len(self.transition), n, n),
            "observation": (len(self.observation), n),
            "reward": (n,),
            "start": (n,),
        }
        for name, shape in shapes.items():
            given = tuple(getattr(self, name).shape)
            if given != shape:
                raise ValueError(f"{name}: shape {given} given; allowed with {n} states: {shape}")
        check_distribution("transition", self.transition.mT)
        check_distribution("observation", self.observation.mT)
        check_distribution("start", self.start)

    def transition_matrix(self, policy: Tensor) -> Tensor:
        r"""The chain of a policy, :math:`T_\pi(s'|s) = \sum_{oa} T(s'|s,a)\,\pi(a|o)\,O(o|s)`.

        Args:
            policy: ``(..., O, A)``.

        Returns:
            ``(..., n, n)``, columns are sources and sum to one.

        Raises:
            ValueError: the policy has another shape, or is not a distribution.

        Source: Ch. 7, Eq. 1.
        """
        shape = (len(self.observation), len(self.transition))
        if tuple(policy.shape[-2:]) != shape:
            raise ValueError(
                f"policy: shape {tuple(policy.shape)} given; allowed: (..., {shape[0]}, {shape[1]})"
            )
        check_distribution("policy", policy)
        acts = torch.einsum("...oa,os->...as", policy, self.observation)
        return torch.einsum("ats,...as->...ts", self.transition, acts)

    def steady_state(self, policy: Tensor, reset: float) -> Tensor:
        """Steady state of the chain of a policy with reset (:func:`steady_state`)."""
        return steady_state(self.transition_matrix(policy), self.start, reset)

    def mean_reward(self, policy: Tensor, reset: float) -> Tensor:
        r"""Mean reward per step, :math:`\mathbb E_p[R]`; its gradient is the adjoint's."""
        return mean_reward(self.transition_matrix(policy), self.start, self.reward, reset)

    def gain(self, policy: Tensor, discount: float) -> Tensor:
        r"""Discounted gain :math:`G_\pi = \mathbb E\sum_t\gamma^tR(s_t) = \mathbb E_p[R]/r`.

        Args:
            policy: ``(..., O, A)``.
            discount: :math:`\gamma` in [0, 1); the reset is :math:`r = 1-\gamma`.

        Raises:
            ValueError: ``discount`` outside [0, 1).

        Source: Ch. 7, Eq. 2 and Lemma 2.1.
        """
        if not 0 <= discount < 1:
            raise ValueError(f"discount: {discount!r} given; allowed: 0 <= discount < 1")
        return self.mean_reward(policy, 1 - discount) / (1 - discount)

    def gain_of_horizon(self, policy: Tensor, horizon: int, discount: float = 1.0) -> Tensor:
        r"""Gain of a finite horizon, :math:`\mathbb E\sum_{t=0}^{h-1}\gamma^tR(s_t)`.

        Args:
            policy: ``(..., O, A)``.
            horizon: number of terms h >= 1.
            discount: :math:`\gamma` in [0, 1].

        Raises:
            ValueError: ``horizon`` below 1, or ``discount`` outside [0, 1].
        """
        horizon = integer("horizon", horizon, 1)
        if not 0 <= discount <= 1:
            raise ValueError(f"discount: {discount!r} given; allowed: 0 <= discount <= 1")
        T = self.transition_matrix(policy)
        p = self.start.expand(T.shape[:-1])
        total = p @ self.reward
        for t in range(1, horizon):
            p = (T @ p.unsqueeze(-1)).squeeze(-1)
            total = total + discount**t * (p @ self.reward)
        return total

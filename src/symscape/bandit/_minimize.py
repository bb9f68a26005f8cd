"""Quasi-Newton minimization of log q from many starts, and annealing in the reset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from torch import Tensor

from symscape._arguments import integer
from symscape.bandit._bandit import Bandit
from symscape.bandit._memory import Memory
from symscape.bandit._policy import Logits, Policy

__all__ = ["Optimum", "anneal", "minimize"]

Array = NDArray[np.float64]

_PAIRS = 30
"""Pairs of steps and changes of the gradient that approximate the Hessian."""


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
    bandit: Bandit, logits: Logits, *, evaluations: int, tolerance: float = 1e-6
) -> Optimum:
    r"""Minimize :math:`\log q` over logits by L-BFGS, every start for itself.

    The logarithm makes the steps independent of how small q is. The starts follow each other
    through scipy's L-BFGS-B. A batch of them, as in :func:`gradient_flow`, would share the cost of
    a call, but the starts need a line search each: with a common one (Armijo's) 20 random policies
    of ``RAM(8)`` take thousands of gradients, six times as long, and 3 of them do not converge.

    Args:
        bandit: what is optimized; its reset is positive.
        logits: the starts, ``(B, O, A)`` and ``(B, S)``.
        evaluations: gradients after which a start makes no further step.
        tolerance: on the largest component of the gradient of log q. Rounding leaves about
            1e-6 at a reset of 1e-6.

    Raises:
        TypeError: ``logits`` are something else, for example a policy.
        ValueError: ``evaluations`` below 1, ``tolerance`` negative, or as
            :meth:`Bandit.q_and_gradient`.
    """
    evaluations = integer("evaluations", evaluations, 1)
    if not tolerance >= 0:
        raise ValueError(f"tolerance: {tolerance!r} given; allowed: numbers >= 0")
    logits = bandit.checked_logits(logits)
    bandit.check_reset()
    options = {
        "maxcor": _PAIRS,
        "maxfun": evaluations,
        "maxiter": evaluations,
        "gtol": tolerance,
        "ftol": 0.0,
    }
    ends, log_q, gradient = [], [], []
    for start in zip(*logits):
        problem = _LogQ(bandit, Logits(*start))
        found = scipy.optimize.minimize(
            problem, np.zeros(problem.size), jac=True, method="L-BFGS-B", options=options
        )
        ends.append(problem.moved(found.x))
        log_q.append(float(found.fun))
        gradient.append(float(np.abs(found.jac).max()))
    largest = torch.tensor(gradient, dtype=torch.float64)
    return Optimum(
        Logits(*map(torch.stack, zip(*ends))),
        torch.tensor(log_q, dtype=torch.float64).exp(),
        largest,
        largest <= tolerance,
    )


class _LogQ:
    """log q and its gradient, as a function of how far one start has moved.

    A logit of minus infinity, a probability of 0, has no gradient and does not move.
    """

    def __init__(self, bandit: Bandit, start: Logits) -> None:
        self.bandit, self.start = bandit, start
        self.size = start.actions.numel() + start.start.numel()

    def moved(self, move: Array) -> Logits:
        by, n = torch.from_numpy(move), self.start.actions.numel()
        return Logits(
            self.start.actions + by[:n].view(self.start.actions.shape), self.start.start + by[n:]
        )

    def __call__(self, move: Array) -> tuple[float, Array]:
        q, gradient = self.bandit.q_and_gradient(Logits(*(x[None] for x in self.moved(move))))
        return float(q.log()), torch.cat([g.flatten() for g in gradient]).div(q).numpy()


def anneal(
    memory: Memory,
    arms: Tensor,
    resets: Sequence[float],
    logits: Logits,
    *,
    evaluations: int,
    tolerance: float = 1e-6,
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

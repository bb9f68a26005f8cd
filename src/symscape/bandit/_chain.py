"""Random walks on a chain of sites: who gets to the end, and how long the ends are held."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from symscape._arguments import integer
from symscape.bandit._memory import HellmanCover
from symscape.bandit._policy import Policy

__all__ = [
    "chain_crossing",
    "chain_end_probability",
    "hellman_cover_policy",
    "hellman_cover_q",
]


def hellman_cover_q(M: int, alpha: float) -> float:
    r"""q of the optimal walk on M memory states, :math:`\alpha^{M-1}/(1+\alpha^{M-1})`.

    The limit of :func:`hellman_cover_policy` where the ends are left with a vanishing rate, and
    there is no reset.

    Args:
        M: memory states, >= 1.
        alpha: likelihood ratio of one event, in [0, 1] (:func:`likelihood_ratio`).

    Raises:
        ValueError: M below 1, or ``alpha`` outside [0, 1].

    Source: Ch. 7, Sec. 3.
    """
    M = integer("M", M, 1)
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha: {alpha!r} given; allowed: 0 <= alpha <= 1")
    return alpha ** (M - 1) / (1 + alpha ** (M - 1))


def hellman_cover_policy(M: int, epsilon: float) -> Policy:
    r"""The walk of Hellman and Cover on ``HellmanCover(M)``.

    Its memory steps towards 1 where the reward supports H_A (A+ or B-), towards M where it supports
    H_B (A- or B+); the first and the last state are left with probability :math:`\epsilon` only. It
    starts in one of the two states of the middle.

    Args:
        M: memory states, even, >= 2.
        epsilon: exit rate of the ends, in [0, 1].

    Raises:
        ValueError: M odd or below 2, or ``epsilon`` outside [0, 1].

    Source: Ch. 7, Fig. 1A and Sec. 3.
    """
    memory = HellmanCover(M)
    M = memory.M
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon: {epsilon!r} given; allowed: 0 <= epsilon <= 1")
    actions = torch.zeros(memory.n_observations, M, dtype=torch.float64)
    for i in range(M):
        for y in (0, 1):
            step = -1 if int(memory.arms[i]) == y else 1  # A+ and B- support H_A
            inner = min(max(i + step, 0), M - 1)
            rate = epsilon if i in (0, M - 1) else 1.0
            actions[2 * i + y, i] += 1 - rate
            actions[2 * i + y, inner] += rate
        actions[2 * M + i, i] = 1.0
    start = torch.zeros(M, dtype=torch.float64)
    start[M // 2 - 1 : M // 2 + 1] = 0.5
    return Policy(actions, start)


def chain_crossing(left: Sequence[float], right: Sequence[float]) -> float:
    r"""Probability to leave a chain at its right end, when entered at its left end.

    :math:`P_{1\to n} = \bigl(1 + \frac{l_1}{r_1} + \dots +
    \frac{l_1\cdots l_n}{r_1\cdots r_n}\bigr)^{-1}`: from site 1, the walker visits site n + 1
    before site 0. With both sequences reversed and exchanged it is :math:`P_{1\leftarrow n}`.

    Args:
        left: :math:`l_i`, probabilities to step to the left at sites 1 .. n.
        right: :math:`r_i`, to the right; what is missing to 1 is the probability to stay.

    Raises:
        ValueError: lengths differ, or rates are not probabilities, or a walker cannot go right.

    Source: Ch. 7, Lemma 4.1 (Eq. 8 and 29).
    """
    _check_rates(left, right)
    total, product = 1.0, 1.0
    for l, r in zip(left, right):
        product *= l / r
        total += product
    return 1 / total


def chain_end_probability(
    left: Sequence[float], right: Sequence[float], exit_right: float, exit_left: float
) -> float:
    r"""Share of the right end of a chain whose two ends are left very rarely.

    :math:`p(n+1) = \bigl(1 + \frac LR\prod_i\frac{l_i}{r_i}\bigr)^{-1}`, the limit
    :math:`\epsilon\to0` where end 0 is left with rate :math:`\epsilon R` and end n + 1 with
    :math:`\epsilon L`. (The ratio :math:`p(0)/p(n+1)` is the same at every :math:`\epsilon`.)

    Args:
        left: :math:`l_i` at sites 1 .. n; may be empty.
        right: :math:`r_i`.
        exit_right: R > 0, of the left end.
        exit_left: L > 0, of the right end.

    Raises:
        ValueError: as :func:`chain_crossing`, or exit rates that are not positive.

    Source: Ch. 7, Lemma 4.2 (Eq. 9 and 33).
    """
    _check_rates(left, right)
    for name, rate in (("exit_right", exit_right), ("exit_left", exit_left)):
        if not 0 < rate < math.inf:
            raise ValueError(f"{name}: {rate!r} given; allowed: positive numbers")
    if min(left, default=1.0) == 0:
        return 1.0
    # Products of hundreds of rates underflow; their logarithms do not.
    log_odds = math.log(exit_left) - math.log(exit_right)
    log_odds += sum(math.log(l) - math.log(r) for l, r in zip(left, right))
    return 1 / (1 + math.exp(log_odds)) if log_odds < 700 else math.exp(-log_odds)


def from_logarithm(log_odds: float) -> float:
    """Odds from their logarithm, infinite where float64 cannot hold them."""
    return math.exp(log_odds) if log_odds < 709.7 else math.inf


def _check_rates(left: Sequence[float], right: Sequence[float]) -> None:
    if len(left) != len(right):
        raise ValueError(
            f"left, right: {len(left)} and {len(right)} sites given; allowed: equal lengths"
        )
    for l, r in zip(left, right):
        if not (l >= 0 and r > 0 and l + r <= 1 + 1e-12):
            raise ValueError(
                f"left, right: rates {l!r} and {r!r} at one site given; allowed: l >= 0, r > 0 and "
                "l + r <= 1"
            )

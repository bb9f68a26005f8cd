"""Agents that remember all their plays: what a finite memory is compared with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from symscape._arguments import integer
from symscape.bandit._bandit import check_mu

__all__ = ["bayes_q", "ucb_worse_plays"]


def bayes_q(mu: float, plays: int) -> float:
    r"""q of the best agent that remembers all its plays, in a number of them, without reset.

    A reward tells as much of the arm that was played as of the other, so that the evidence for H_A
    is a random walk whatever is played, and to follow it is best. After t plays it points to the
    worse arm with the probability that fewer than half of t events speak for the better one, a tie
    counting half. The sum of these over all t is finite: :math:`q = O(1/m)` for an agent that knows
    mu, where one that does not has :math:`O(\ln m/m)`.

    Args:
        mu: difference of the arms, in [0, 1].
        plays: m >= 1.

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, Sec. 4, where it is compared with a memory of m events.
    """
    check_mu(mu)
    plays = integer("plays", plays, 1)
    # An even number of events and a tie are as good as the odd number before.
    half = np.arange((plays - 1) // 2 + 1)
    wrong = np.repeat(bdtr(half, 2 * half + 1, (1 + mu) / 2), 2)[: plays - 1]
    return float(0.5 + wrong.sum()) / plays


def ucb_worse_plays(
    mu: float, times: NDArray[np.integer], agents: int, seed: int
) -> NDArray[np.float64]:
    r"""Plays of the worse arm by agents that know nothing of the arms, UCB1 of Auer et al.

    Each plays the arm with the largest mean reward :math:`+\sqrt{2\ln t/n}`, n being its plays of
    that arm and rewards 0 or 1. It plays the worse arm :math:`O(\ln t)` times in t plays.

    Args:
        mu: difference of the arms, in [0, 1].
        times: numbers of plays t >= 2 after which the worse ones are counted, increasing.
        agents: number of independent agents, over which is averaged.
        seed: of the rewards.

    Returns:
        ``(len(times),)``.

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, Sec. 4 (Auer et al. 2002).
    """
    check_mu(mu)
    agents = integer("agents", agents, 1)
    counted = [integer("times", t, 2) for t in times]
    if counted != sorted(set(counted)) or not counted:
        raise ValueError(f"times: {counted} given; allowed: increasing integers, not empty")
    random = np.random.default_rng(integer("seed", seed, 0))
    paid = np.array([1 + mu, 1 - mu]) / 2
    plays, every = np.ones((2, agents)), np.arange(agents)
    won = (random.random((2, agents)) < paid[:, None]).astype(float)
    worse = {2: 1.0}
    for t in range(2, counted[-1]):
        arm = (won / plays + np.sqrt(2 * math.log(t) / plays)).argmax(0)
        plays[arm, every] += 1
        won[arm, every] += random.random(agents) < paid[arm]
        worse[t + 1] = float(plays[1].mean())
    return np.array([worse[t] for t in counted])

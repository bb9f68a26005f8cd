"""The column of confidence policy (CCP): its chain, its exact q, and the best exploration rate."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.bandit._bandit import Bandit, likelihood_ratio, two_hypotheses
from symscape.bandit._chain import from_logarithm
from symscape.bandit._memory import RAM
from symscape.bandit._policy import Policy

__all__ = [
    "ccp_best_epsilon",
    "ccp_epsilon_prefactor",
    "ccp_odds",
    "ccp_policy",
    "ccp_profile",
    "ccp_q",
]


def ccp_policy(M: int, epsilon: float) -> Policy:
    r"""The column of confidence policy of a RAM with M memory states.

    The agent keeps its arm and moves up on + and down on -. In the first state it changes its arm
    on -; in the last one it steps down on - with probability :math:`\epsilon` only. It starts in
    the first state with either arm.

    Args:
        M: memory states, >= 2.
        epsilon: exploration rate, in [0, 1].

    Returns:
        A policy of ``RAM(M)``. Start observations other than the first are never seen; they play
        both arms alike.

    Raises:
        ValueError: M below 2, or ``epsilon`` outside [0, 1].

    Source: Ch. 7, Def. 3.1 and Fig. 1C.
    """
    M = _states(M)
    _check_epsilon(epsilon)
    actions = torch.zeros(5 * M, 2 * M, dtype=torch.float64)
    for i in range(M):
        for arm in (0, 1):
            plus = 2 * (2 * i + arm)
            actions[plus, 2 * min(i + 1, M - 1) + arm] = 1.0
            if i == 0:
                actions[plus + 1, 1 - arm] = 1.0
            elif i < M - 1:
                actions[plus + 1, 2 * (i - 1) + arm] = 1.0
            else:
                actions[plus + 1, 2 * (i - 1) + arm] = epsilon
                actions[plus + 1, 2 * i + arm] = 1 - epsilon
        actions[4 * M + i, 2 * i : 2 * i + 2] = 0.5
    start = torch.zeros(M, dtype=torch.float64)
    start[0] = 1.0
    return Policy(actions, start)


def ccp_q(M: int, epsilon: float, mu: float, reset: float) -> float:
    r"""q of the column of confidence policy, exactly.

    The 2M choices MA, ..., 1A, 1B, ..., MB form a line; with :math:`w_{1,2} =
    \frac{1\mp\sqrt{1-(1-r)^2(1-\mu^2)}}{(1-r)(1+\mu)}` the probabilities along it are sums of
    :math:`w_1^i` and :math:`w_2^i`, and q is a ratio of two quadratics in :math:`\epsilon`.

    Here an agent plays at once after a reset. In :class:`Bandit` it spends the first step in a
    start observation, which counts one half: there q is :math:`(1-r)\,q_{here} + r/2`.

    Args:
        M: memory states, >= 2.
        epsilon: exploration rate, in (0, 1].
        mu: difference of the arms, in (0, 1].
        reset: r in [0, 1); 0 is the limit.

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, App. C (Eq. 15-21).
    """
    M = _states(M)
    _check_epsilon(epsilon)
    if epsilon == 0:
        raise ValueError("epsilon: 0 given; allowed: 0 < epsilon <= 1")
    numerator, denominator = _quadratics(M, mu, reset)
    return float(np.polyval(numerator, epsilon) / np.polyval(denominator, epsilon))


def ccp_best_epsilon(M: int, mu: float, reset: float) -> float:
    r"""The exploration rate :math:`\epsilon^*` that minimizes :func:`ccp_q`, at most 1.

    The derivative of a ratio of quadratics vanishes where a quadratic does.

    Args:
        M: memory states, >= 2.
        mu: difference of the arms, in (0, 1].
        reset: r in (0, 1).

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, App. C and Eq. 6, of which this is the exact form.
    """
    M = _states(M)
    if not 0 < reset < 1:
        raise ValueError(f"reset: {reset!r} given; allowed: 0 < reset < 1")
    n, d = _quadratics(M, mu, reset)
    slope = [n[0] * d[1] - n[1] * d[0], 2 * (n[0] * d[2] - n[2] * d[0]), n[1] * d[2] - n[2] * d[1]]
    roots = np.roots(slope)
    real = roots[np.abs(roots.imag) < 1e-9 * np.abs(roots)].real
    candidates = [1.0, *(float(root) for root in real if 0 < root < 1)]
    return min(candidates, key=lambda epsilon: ccp_q(M, epsilon, mu, reset))


def ccp_epsilon_prefactor(M: int, mu: float) -> float:
    r"""The limit of :math:`\epsilon^*/\sqrt r` for small r, which tends to
    :math:`\sqrt{2/(1-\mu^2)}` for large M.

    .. math::
        \sqrt2\,\frac{\sqrt{\alpha-\alpha^{3M-1}+\alpha^M(2\mu-3)+\alpha^{2M}(2\mu+3)}}
        {\sqrt{1-\alpha^M}\,(1-\alpha^M-\mu-\alpha^M\mu)}

    Args:
        M: memory states, >= 2.
        mu: difference of the arms, in (0, 1).

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, Eq. 6 and 22-23. The radical of the denominator covers :math:`1-\alpha^M` only.
    """
    M = _states(M)
    if not 0 < mu < 1:
        raise ValueError(f"mu: {mu!r} given; allowed: 0 < mu < 1")
    a = likelihood_ratio(mu)
    aM = a**M
    inside = a - a ** (3 * M - 1) + aM * (2 * mu - 3) + aM**2 * (2 * mu + 3)
    return math.sqrt(2 * inside / (1 - aM)) / (1 - aM - mu - aM * mu)


def ccp_odds(M: int, k_best: float, k_worst: float) -> float:
    r"""Odds :math:`q^{-1}-1` of the better arm for :math:`r\ll\epsilon\ll1`, any two arms.

    :math:`\frac{1-k_B}{1-k_A}\bigl(\frac{1/k_B-1}{1/k_A-1}\bigr)^{M-1}` for
    :math:`k_A > k_B`; for the two hypotheses :math:`\alpha^{-(2M-1)}`, that is
    :func:`hellman_cover_q` of 2M states.

    Args:
        M: memory states, >= 2.
        k_best: probability of a reward of the better arm, below 1.
        k_worst: that of the other arm, positive and not larger.

    Returns:
        The odds, infinite where they are beyond float64.

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, Eq. 41 and Table 1.
    """
    M = _states(M)
    if not 0 < k_worst <= k_best < 1:
        raise ValueError(
            f"k_best, k_worst: {k_best!r} and {k_worst!r} given; allowed: 0 < k_worst <= k_best < 1"
        )
    ends = math.log1p(-k_worst) - math.log1p(-k_best)
    step = ends + math.log(k_best) - math.log(k_worst)
    return from_logarithm(ends + (M - 1) * step)


def ccp_profile(M: int, epsilon: float, mu: float, reset: float) -> Tensor:
    """Probabilities of the line MA, ..., 1A, 1B, ..., MB under H_A, by a dense solve.

    Independent of the closed form :func:`ccp_q`, which is the sum of the last M.

    Args:
        M: memory states, >= 2.
        epsilon: exploration rate, in (0, 1].
        mu: difference of the arms, in [0, 1].
        reset: r in (0, 1].

    Returns:
        ``(2M,)``.

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, App. C, Eq. 14.
    """
    _check_epsilon(epsilon)
    bandit = Bandit(RAM(M), two_hypotheses(mu), reset)
    u = bandit.choices(ccp_policy(M, epsilon))[0].reshape(M, 2)
    line = torch.cat([u[:, 0].flip(0), u[:, 1]])
    return line / line.sum()


def _states(M: int) -> int:
    words = "an integer >= 2 (with one state the top is the switch)"
    return integer("M", M, 2, allowed=words)


def _check_epsilon(epsilon: float) -> None:
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon: {epsilon!r} given; allowed: 0 <= epsilon <= 1")


def _quadratics(M: int, mu: float, reset: float) -> tuple[list[float], list[float]]:
    """Numerator and denominator of q, coefficients from the square of epsilon down.

    Both are divided by w_2^(2M), so that nothing overflows.
    """
    alpha = likelihood_ratio(mu)
    if mu == 0:
        raise ValueError("mu: 0 given; allowed: 0 < mu <= 1 (q is 1/2 where the arms are equal)")
    if not 0 <= reset < 1:
        raise ValueError(f"reset: {reset!r} given; allowed: 0 <= reset < 1")
    keep = (1 - reset) * (1 + mu)
    root = math.sqrt(mu**2 + reset * (2 - reset) * (1 - mu**2))
    # w_2 - 1 without the cancellation at small r
    b = (reset * (2 - reset) * (1 - mu**2) / (root + mu) + reset * (1 + mu)) / keep
    w2 = 1 + b
    w1 = alpha / w2
    a = 1 - w1
    ratio = (w1 / w2) ** (2 * M - 1)
    # (1 + w1 (e - 1)) (w2 - 1 + e) and (1 + w2 (e - 1)) (w1 - 1 + e)
    near = np.array([w1, a + w1 * b, a * b])
    far = np.array([w2, -b - a * w2, a * b])
    mixed = np.array([2 * alpha, -a * b * (w1 + w2), a * b * (w1 + w2)])
    middle = (w1 / w2) ** (M - 1) / w2 * (alpha - 1)
    numerator = -a * (1 + w2) * ratio * far + (1 + w1) * b * near - middle * mixed
    denominator = 2 * (w2 - w1) * (near - ratio * far)
    return list(numerator), list(denominator)

"""Binary necklaces, their Gray order, and the necklace policy of a Memento memory."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.bandit._bandit import Bandit, likelihood_ratio
from symscape.bandit._chain import from_logarithm
from symscape.bandit._memory import ARMS, Memento
from symscape.bandit._policy import Policy

__all__ = [
    "NecklaceShares",
    "gray_necklaces",
    "n_necklaces",
    "necklace_odds",
    "necklace_of",
    "necklace_policy",
    "necklace_q",
    "necklace_shares",
]


def n_necklaces(m: int) -> int:
    r"""Number of binary necklaces, :math:`N(m)=\frac1m\sum_{d|m}\varphi(d)\,2^{m/d}`.

    Args:
        m: letters, >= 1.

    Raises:
        ValueError: m below 1.

    Source: Ch. 7, Def. 4.1 (Polya).
    """
    m = integer("m", m, 1)
    divisors = [d for d in range(1, m + 1) if m % d == 0]
    totient = {d: sum(math.gcd(d, k) == 1 for k in range(1, d + 1)) for d in divisors}
    return sum(totient[d] * 2 ** (m // d) for d in divisors) // m


def necklace_of(word: str) -> str:
    """The first rotation of a word in alphabetical order, which names its necklace.

    Raises:
        ValueError: the word is empty or has other letters than A and B.
    """
    if not word or set(word) - set(ARMS):
        raise ValueError(f"word: {word!r} given; allowed: words of the letters A and B")
    return min(word[i:] + word[:i] for i in range(len(word)))


def gray_necklaces(m: int) -> list[str]:
    """A longest chain of distinct necklaces from A..A to B..B, neighbors differing in one letter.

    For odd m the chain holds all N(m) necklaces (a conjecture of Degni and Drisko for prime m).
    For even m it is shorter: the number of B changes by one from neighbor to neighbor, so that
    necklaces with even and odd numbers alternate. That bound is reached, too.

    Args:
        m: letters, from 1 to 13.

    Returns:
        The chain, each necklace by its first rotation (:func:`necklace_of`).

    Raises:
        ValueError: m outside 1 .. 13.

    Source: Ch. 7, Def. 4.1 (ii) and App. D.3.
    """
    words = "an integer from 1 to 13, where the longest chains are known"
    m = integer("m", m, 1, 13, allowed=words)
    if m == 1:
        return ["A", "B"]
    neighbors = _neighbors(m)
    even = sum(word.count("B") % 2 == 0 for word in neighbors)
    odd = len(neighbors) - even
    longest = 2 * min(even, odd) if m % 2 else 2 * min(even - 1, odd) + 1
    seed = 0
    while True:
        chain = _search(neighbors, longest, random.Random(seed))
        if chain is not None:
            return chain
        seed += 1


def _neighbors(m: int) -> dict[str, list[str]]:
    flip = {"A": "B", "B": "A"}
    words = {necklace_of(format(n, f"0{m}b").translate({48: "A", 49: "B"})) for n in range(2**m)}
    return {
        word: sorted({necklace_of(word[:i] + flip[word[i]] + word[i + 1 :]) for i in range(m)})
        for word in sorted(words)
    }


def _search(
    neighbors: dict[str, list[str]], length: int, generator: random.Random
) -> list[str] | None:
    """A chain of so many necklaces, by a depth-first search that gives up early.

    It goes first to the necklace with the fewest ways on, ties broken at random; many short
    searches find in milliseconds what a single one may never find.
    """
    first, *_, last = neighbors
    [before] = neighbors[last]  # B..B can only be reached from AB..B
    path, used = [first], {first, before, last}
    tie = {word: generator.random() for word in neighbors}

    def onward() -> list[str]:
        free = [word for word in neighbors[path[-1]] if word not in used]
        return sorted(free, key=lambda w: (-sum(n not in used for n in neighbors[w]), tie[w]))

    stack = [onward()]
    for _ in range(4 * len(neighbors)):
        if len(path) == length - 2 and before in neighbors[path[-1]]:
            return [*path, before, last]
        if stack[-1]:
            path.append(stack[-1].pop())
            used.add(path[-1])
            stack.append(onward())
        elif len(path) > 1:
            stack.pop()
            used.discard(path.pop())
        else:
            return None
    return None


def necklace_policy(
    m: int, epsilon0: float, epsilon1: float, chain: Sequence[str] | None = None
) -> Policy:
    r"""The necklace policy of ``Memento(m)``.

    The agent repeats the oldest arm, and so stays in a necklace. Where the other arm leads to the
    neighbor in the chain and all rewards speak for the move (+ on A and - on B towards A..A, the
    opposite towards B..B) it plays that one with probability :math:`\epsilon_1`. In A..A and B..B
    it does so with probability :math:`\epsilon_0` where all rewards are -. All words of a necklace
    that allow the move make it, so that the policy is symmetric under the exchange of the arms if
    the chain is. The first arm is drawn, and repeated until the history is full: other necklaces
    than those of the chain are never seen.

    Args:
        m: remembered events, >= 2.
        epsilon0: exit rate of the two ends, in [0, 1].
        epsilon1: exit rate of the other necklaces, in [0, 1].
        chain: necklaces from A..A to B..B, neighbors differing by a letter; that of
            :func:`gray_necklaces` if None.

    Raises:
        ValueError: an argument is outside its range, or the chain is none.

    Source: Ch. 7, Def. 4.1 and Fig. 3.
    """
    m = integer("m", m, 2, allowed="an integer >= 2 (m = 1 has only the two ends)")
    for name, rate in (("epsilon0", epsilon0), ("epsilon1", epsilon1)):
        if not 0 <= rate <= 1:
            raise ValueError(f"{name}: {rate!r} given; allowed: 0 <= {name} <= 1")
    order = list(gray_necklaces(m) if chain is None else chain)
    _check_chain(m, order)
    memory = Memento(m)
    place = {word: i for i, word in enumerate(order)}
    actions = torch.full((memory.n_observations, 2), 0.5, dtype=torch.float64)
    for o in range(2 * memory.n_choices):
        arms, rewards = memory.history(o)
        oldest = ARMS.index(arms[0])
        here = place.get(necklace_of(arms))
        there = place.get(necklace_of(arms[1:] + ARMS[1 - oldest]))
        rate = 0.0
        if here is not None and there is not None and abs(there - here) == 1:
            praised = "A" if there < here else "B"
            if all((arm == praised) == (reward == "+") for arm, reward in zip(arms, rewards)):
                rate = epsilon0 if here in (0, len(order) - 1) else epsilon1
        actions[o, oldest], actions[o, 1 - oldest] = 1 - rate, rate
    return Policy(actions, torch.ones(1, dtype=torch.float64))


@dataclass(frozen=True)
class NecklaceShares:
    """How far policies of a Memento are necklace policies; shares of the steady state.

    A good agent mostly sits where its memory holds one arm alone, AAA or BBB, and stays there:
    there it plays the oldest arm whatever cycles it knows. Only mixed words, which hold both arms,
    tell a necklace policy from another one.

    Attributes:
        oldest: how often the oldest arm is played, ``(...)``; (i) of Def. 4.1.
        oldest_mixed: the same of mixed words.
        informed_exits: of the other plays in mixed words, those after maximally informative
            rewards, which all speak for one arm; (iii) of Def. 4.1.
        mixed: how often the word is mixed.
        chain: of each necklace of :func:`gray_necklaces`, ``(..., n)``.
    """

    oldest: Tensor
    oldest_mixed: Tensor
    informed_exits: Tensor
    mixed: Tensor
    chain: Tensor


def necklace_shares(bandit: Bandit, policy: Policy) -> NecklaceShares:
    """Compare policies with the definition of a necklace policy.

    Args:
        bandit: with a :class:`Memento`.
        policy: one policy, or a batch ``(...)`` where the reset is positive.

    Raises:
        TypeError: another memory.
        ValueError: as :meth:`Bandit.choices`.

    Source: Ch. 7, Def. 4.1 and Sec. 6.
    """
    memory = bandit.memory
    if not isinstance(memory, Memento):
        raise TypeError(f"bandit: its memory is {memory}; allowed: a Memento")
    words = [memory.history(o) for o in range(4**memory.m)]
    seen = bandit.observations(policy)[..., : len(words)]
    seen = seen / seen.sum(-1, keepdim=True)
    played = policy.actions[..., torch.arange(len(words)), memory.oldest_arm]
    mixed = torch.tensor([len(set(arms)) > 1 for arms, _ in words])
    # Whether an event speaks for A: + on A or - on B.
    agreed = [len({(a == "A") == (y == "+") for a, y in zip(*word)}) == 1 for word in words]
    kept, left = seen * played, seen * (1 - played)
    place = {word: i for i, word in enumerate(gray_necklaces(memory.m))}
    # Those that are on no chain are counted behind it, and cut off.
    where = torch.tensor([place.get(necklace_of(arms), len(place)) for arms, _ in words])
    chain = seen.new_zeros(*seen.shape[:-1], len(place) + 1)
    weight = seen[..., mixed].sum(-1)
    return NecklaceShares(
        kept.sum(-1),
        kept[..., mixed].sum(-1) / weight,
        left[..., mixed & torch.tensor(agreed)].sum(-1) / left[..., mixed].sum(-1),
        weight,
        chain.index_add(-1, where, seen)[..., :-1],
    )


def necklace_q(mu: float, m: int, length: int | None = None) -> float:
    r""":math:`q^*=(1+\alpha^{m(1-n)})^{-1}`, the limit :math:`r\ll\epsilon_0\ll\epsilon_1\ll1`.

    It is a lower bound for every :math:`(\epsilon_0, \epsilon_1)`.

    Args:
        mu: difference of the arms, in [0, 1].
        m: remembered events, >= 1.
        length: n, necklaces in the chain; that of the longest chain if None.

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, Theorem 4.3 (Eq. 10).
    """
    m = integer("m", m, 1)
    n = _length(m, length)
    small = likelihood_ratio(mu) ** (m * (n - 1))
    return small / (1 + small)


def necklace_odds(m: int, k_best: float, k_worst: float, length: int | None = None) -> float:
    r"""Odds :math:`q^{-1}-1` of the better arm for :math:`r\ll\epsilon_0\ll\epsilon_1\ll1`.

    :math:`\bigl(\frac{1-k_B}{1-k_A}\bigr)^m\bigl(\frac{1/k_B-1}{1/k_A-1}\bigr)^{m(n-2)/2}` for
    :math:`k_A>k_B`, on a chain with as many A as B.

    Args:
        m: remembered events, >= 1.
        k_best: probability of a reward of the better arm, below 1.
        k_worst: that of the other arm, positive and not larger.
        length: n, >= 2; that of the longest chain if None.

    Returns:
        The odds, infinite where they are beyond float64.

    Raises:
        ValueError: an argument is outside its range.

    Source: Ch. 7, Table 1 and Eq. 39.
    """
    m = integer("m", m, 1)
    if not 0 < k_worst <= k_best < 1:
        raise ValueError(
            f"k_best, k_worst: {k_best!r} and {k_worst!r} given; allowed: 0 < k_worst <= k_best < 1"
        )
    n = _length(m, length)
    ends = math.log1p(-k_worst) - math.log1p(-k_best)
    step = ends + math.log(k_best) - math.log(k_worst)
    return from_logarithm(m * (ends + (n - 2) / 2 * step))


def _length(m: int, length: int | None) -> int:
    """Necklaces in a chain: as given, or in the longest one."""
    if length is None:
        return len(gray_necklaces(m))
    return integer("length", length, 2, allowed="an integer >= 2, the two ends")


def _check_chain(m: int, order: list[str]) -> None:
    neighbors = _neighbors(m)
    linked = all(b in neighbors.get(a, ()) for a, b in pairwise(order))
    if len(set(order)) != len(order) or order[0] != "A" * m or order[-1] != "B" * m or not linked:
        raise ValueError(
            f"chain: {order} given; allowed: distinct necklaces (first rotations) from "
            f"{'A' * m} to {'B' * m}, neighbors differing by one letter"
        )

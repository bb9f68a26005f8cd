"""What an agent can remember: a state, a state that fixes the arm, the last m arms and rewards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor

from symscape._arguments import integer, refused
from symscape.bandit._policy import Logits, Policy, check_type

__all__ = ["RAM", "HellmanCover", "Memento", "Memory"]

ARMS = "AB"
REWARDS = "+-"


class Memory(ABC):
    r"""An architecture of memory for an agent with two arms, A (0) and B (1).

    An agent alternates between two kinds of states. In a *choice* c it has fixed its memory and
    the arm it is about to play. The reward (+ is 0, - is 1) turns the choice into the
    *observation* ``2 c + reward``, and its action leads to the next choice ``successor[o, a]``.
    After a reset it holds one of S start observations, numbered from ``2 C`` on, in which nothing
    has been played.

    Because choices are fewer than states (2M for 5M in a RAM), and the reward is drawn afresh, the
    chain of choices is all that has to be solved (:class:`Bandit`).

    Attributes:
        n_choices: C.
        n_starts: S.
        n_observations: O = 2C + S.
        n_actions: A.
        arms: ``(C,)``, the arm played in each choice.
        successor: ``(O, A)``, the next choice; None where it is the action itself.
    """

    n_choices: int
    n_starts: int
    n_actions: int
    arms: Tensor
    successor: Tensor | None

    @property
    def n_observations(self) -> int:
        """O = 2C + S."""
        return 2 * self.n_choices + self.n_starts

    @property
    @abstractmethod
    def effective_size(self) -> int:
        """M_eff: observations of an agent in full knowledge of its memory (Ch. 7, Table 1)."""

    @abstractmethod
    def choice_label(self, c: int) -> str:
        """How the thesis writes a choice, for example ``3B``."""

    @abstractmethod
    def observation_label(self, o: int) -> str:
        """How the thesis writes an observation, for example ``3B+`` or ``AABB++--``."""

    @abstractmethod
    def largest_that_fits(self, n_choices: int) -> str:
        """The largest memory with at most so many choices, in words, for error messages."""

    @abstractmethod
    def swap(self, policy: Policy) -> Policy:
        """The policy with the arms A and B exchanged."""

    def next_choice(self, o: int, a: int) -> int:
        """The choice that action a leads to after observation o."""
        return a if self.successor is None else int(self.successor[o, a])

    def check(self, policy: Policy) -> None:
        """Refuse what is no policy of this memory.

        Raises:
            TypeError: something else than a policy, for example logits.
            ValueError: another shape; names both.
        """
        check_type("policy", policy, Policy)
        given = tuple(policy.actions.shape[-2:]), policy.start.shape[-1]
        allowed = (self.n_observations, self.n_actions), self.n_starts
        if given != allowed:
            raise ValueError(
                f"policy: actions (..., {given[0][0]}, {given[0][1]}) and start (..., {given[1]}) "
                f"given; allowed with {self}: (..., {allowed[0][0]}, {allowed[0][1]}) and "
                f"(..., {allowed[1]})"
            )

    def random_logits(self, starts: int, seed: int) -> Logits:
        """Independent normal logits of unit variance, the *random* initialization.

        Args:
            starts: number of policies.
            seed: of the generator.

        Raises:
            ValueError: ``starts`` below 1.

        Source: Ch. 7, Fig. 4 (random).
        """
        starts = integer("starts", starts, 1)
        generator = torch.Generator().manual_seed(integer("seed", seed))
        actions = torch.randn(
            starts, self.n_observations, self.n_actions, generator=generator, dtype=torch.float64
        )
        start = torch.randn(starts, self.n_starts, generator=generator, dtype=torch.float64)
        return Logits(actions, start)


class RAM(Memory):
    """Random access memory: the agent sees its memory, last arm and last reward, and may go to any.

    Choice ``2 i + arm`` is memory i (from 0; the thesis counts from 1) and an arm. An action is the
    next choice. Start observation i is memory i with nothing played yet.

    Args:
        M: number of memory states, >= 1.

    Raises:
        ValueError: M below 1.

    Source: Ch. 7, Def. 2.5.
    """

    successor = None

    def __init__(self, M: int) -> None:
        self.M = M = integer("M", M, 1)
        self.n_choices = self.n_actions = 2 * M
        self.n_starts = M
        self.arms = torch.arange(2 * M) % 2

    def __repr__(self) -> str:
        return f"RAM({self.M})"

    @property
    def effective_size(self) -> int:
        """4 M."""
        return 4 * self.M

    def choice_label(self, c: int) -> str:
        """Memory from 1 and arm: ``3B``."""
        return f"{c // 2 + 1}{ARMS[c % 2]}"

    def observation_label(self, o: int) -> str:
        """Memory from 1, arm and reward: ``3B+``; the memory alone where nothing was played."""
        if o >= 2 * self.n_choices:
            return f"{o - 2 * self.n_choices + 1}"
        return self.choice_label(o // 2) + REWARDS[o % 2]

    def largest_that_fits(self, n_choices: int) -> str:
        """M of the largest RAM that fits."""
        return f"M = {n_choices // 2}"

    @cached_property
    def memory_of(self) -> Tensor:
        """``(O,)``, the memory state (from 0) in each observation."""
        return torch.cat([torch.arange(4 * self.M) // 4, torch.arange(self.M)])

    def swap(self, policy: Policy) -> Policy:
        """The policy with the arms A and B exchanged."""
        self.check(policy)
        choices = torch.arange(self.n_choices) ^ 1
        played = torch.arange(2 * self.n_choices) ^ 2
        blank = torch.arange(2 * self.n_choices, self.n_observations)
        actions = policy.actions[..., torch.cat([played, blank]), :][..., choices]
        return Policy(actions, policy.start)

    def relabel(self, policy: Policy, order: Tensor) -> Policy:
        """The policy with memory state ``order[i]`` renamed to i.

        Args:
            policy: a policy of this memory.
            order: ``(M,)``, a permutation of 0 .. M - 1.

        Raises:
            ValueError: ``order`` is not a permutation.
        """
        self.check(policy)
        if sorted(order.tolist()) != list(range(self.M)):
            raise ValueError(
                f"order: {order.tolist()} given; allowed: permutations of {self.M} states"
            )
        choices = (2 * order[:, None] + torch.arange(2)).flatten()
        played = (4 * order[:, None] + torch.arange(4)).flatten()
        rows = torch.cat([played, 2 * self.n_choices + order])
        return Policy(policy.actions[..., rows, :][..., choices], policy.start[..., order])

    def linear_logits(self, starts: int, seed: int) -> Logits:
        """Random logits in which the memory moves by at most one state, the *linear* start.

        Args:
            starts: number of policies.
            seed: of the generator.

        Source: Ch. 7, Fig. 4 A-B (linear).
        """
        return self._restricted(starts, seed, self._is_near)

    def column_logits(self, starts: int, seed: int) -> Logits:
        """As the linear ones, and the arm changes only in the first memory state.

        Start observations may choose any arm.

        Args:
            starts: number of policies.
            seed: of the generator.

        Source: Ch. 7, Fig. 4 A-B (columns).
        """
        last_arm = torch.cat([torch.arange(4 * self.M) // 2 % 2, torch.full((self.M,), -1)])
        changes = (last_arm[:, None] >= 0) & (self.arms[None, :] != last_arm[:, None])
        return self._restricted(
            starts, seed, self._is_near & ~(changes & (self.memory_of[:, None] > 0))
        )

    @property
    def _is_near(self) -> Tensor:
        """``(O, A)``: the memory moves by at most one state."""
        following = torch.arange(self.n_actions) // 2
        return (following[None, :] - self.memory_of[:, None]).abs() <= 1

    def _restricted(self, starts: int, seed: int, allowed: Tensor) -> Logits:
        logits = self.random_logits(starts, seed)
        actions = logits.actions.masked_fill(~allowed, -torch.inf).softmax(-1)
        return Policy(actions, logits.start.softmax(-1)).logits()


class HellmanCover(Memory):
    r"""The memory of Hellman and Cover: its state alone decides which arm is played.

    A choice is a memory state (from 0; labels count from 1): the first half of them play A, the
    second half B. The agent sees its memory and the reward, and an action is the next memory.
    Start observation i is memory i with nothing played yet. In a :class:`RAM`, by contrast, the arm
    is chosen too, and may depend on the last arm and reward (Ch. 7, Fig. 1 A and B).

    Args:
        M: number of memory states, even, >= 2.

    Raises:
        ValueError: M odd or below 2.

    Source: Ch. 7, Fig. 1A and Sec. 3.
    """

    successor = None

    def __init__(self, M: int) -> None:
        M = integer("M", M, 2, allowed="an even integer >= 2")
        if M % 2:
            raise refused("M", M, "an even integer >= 2")
        self.M = self.n_choices = self.n_actions = self.n_starts = M
        self.arms = (torch.arange(M) >= M // 2).long()

    def __repr__(self) -> str:
        return f"HellmanCover({self.M})"

    @property
    def effective_size(self) -> int:
        """2 M."""
        return 2 * self.M

    def choice_label(self, c: int) -> str:
        """Memory from 1 and the arm that it plays: ``3B``."""
        return f"{c + 1}{ARMS[int(self.arms[c])]}"

    def observation_label(self, o: int) -> str:
        """Memory from 1, arm and reward: ``3B+``; the memory alone where nothing was played."""
        if o >= 2 * self.M:
            return f"{o - 2 * self.M + 1}"
        return self.choice_label(o // 2) + REWARDS[o % 2]

    def largest_that_fits(self, n_choices: int) -> str:
        """M of the largest memory that fits."""
        return f"M = {n_choices // 2 * 2}"

    def swap(self, policy: Policy) -> Policy:
        """The policy with the arms A and B exchanged, which reverses the line of states."""
        self.check(policy)
        M = self.M
        played = torch.arange(2 * M).view(M, 2).flip(0).flatten()
        rows = torch.cat([played, torch.arange(3 * M - 1, 2 * M - 1, -1)])
        return Policy(policy.actions[..., rows, :].flip(-1), policy.start.flip(-1))


class Memento(Memory):
    r"""Memory of the last m arms and rewards, and of nothing else.

    A full history is a number in base 4 with digits ``2 arm + reward``, the newest event last.
    Full histories come first, then those of 1 .. m - 1 events, which the agent sees after a
    reset; it starts with the empty history. An action is the arm to play.

    Args:
        m: number of events, >= 1.

    Raises:
        ValueError: m below 1, or above 8 (:math:`4^8` histories; the exact solve needs far less).

    Source: Ch. 7, Def. 2.6.
    """

    def __init__(self, m: int) -> None:
        self.m = m = integer("m", m, 1, 8)
        self.n_actions, self.n_starts = 2, 1
        # After the full histories (length m) those of length 1, 2, ... m - 1.
        self._lengths = [m, *range(1, m)]
        self._offsets = {0: 0}
        total = 0
        for length in self._lengths:
            self._offsets[length] = total
            total += 4**length
        self.n_choices = total // 2
        self.arms = torch.arange(self.n_choices) % 2
        rows = []
        for length in self._lengths:
            history = torch.arange(4**length)
            rows.append(self._following(history, length))
        rows.append(self._following(torch.zeros(1, dtype=torch.long), 0))
        self.successor = torch.cat(rows)

    def _following(self, history: Tensor, length: int) -> Tensor:
        """``(len(history), 2)``: the choices that the two arms lead to."""
        longer = min(length + 1, self.m)
        kept = history % 4 ** (longer - 1)
        return self._offsets[longer] // 2 + 2 * kept[:, None] + torch.arange(2)

    def __repr__(self) -> str:
        return f"Memento({self.m})"

    @property
    def effective_size(self) -> int:
        """``4^m``."""
        return 4**self.m

    def history(self, o: int) -> tuple[str, str]:
        """Arms and rewards of an observation, oldest first: ``("AABB", "++--")``."""
        if o >= 2 * self.n_choices:
            return "", ""
        length = max(
            (n for n in self._lengths if self._offsets[n] <= o), key=lambda n: self._offsets[n]
        )
        digits = o - self._offsets[length]
        events = [digits // 4**k % 4 for k in reversed(range(length))]
        return "".join(ARMS[e // 2] for e in events), "".join(REWARDS[e % 2] for e in events)

    def observation(self, arms: str, rewards: str) -> int:
        """The number of a history given as in ``("AABB", "++--")``, oldest event first.

        Raises:
            ValueError: other letters, different lengths, or more than m events.
        """
        fits = len(arms) == len(rewards) <= self.m
        if not fits or set(arms) - set(ARMS) or set(rewards) - set(REWARDS):
            raise ValueError(
                f"arms, rewards: {arms!r} and {rewards!r} given; allowed: up to {self.m} letters "
                "A, B and as many signs +, -"
            )
        if not arms:
            return 2 * self.n_choices
        value = 0
        for arm, reward in zip(arms, rewards):
            value = 4 * value + 2 * ARMS.index(arm) + REWARDS.index(reward)
        return self._offsets[len(arms)] + value

    def choice_label(self, c: int) -> str:
        """The history with the arm about to be played: ``AABB++-?``."""
        arms, rewards = self.history(2 * c)
        return f"{arms}{rewards[:-1]}?"

    def observation_label(self, o: int) -> str:
        """The history: ``AABB++--``; ``(empty)`` after a reset."""
        return "".join(self.history(o)) or "(empty)"

    def largest_that_fits(self, n_choices: int) -> str:
        """m of the largest memory that fits."""
        m = 0
        while 2 * (4 ** (m + 1) - 1) // 3 <= n_choices:
            m += 1
        return f"m = {m}"

    @cached_property
    def oldest_arm(self) -> Tensor:
        """``(4^m,)``, the oldest arm of each full history."""
        return torch.arange(4**self.m) // (2 * 4 ** (self.m - 1))

    @cached_property
    def _swapped(self) -> Tensor:
        """``(O,)``, the observation with the letters A and B exchanged."""
        rows = []
        for length in self._lengths:
            flip = 2 * sum(4**k for k in range(length))
            rows.append(self._offsets[length] + (torch.arange(4**length) ^ flip))
        return torch.cat([*rows, torch.tensor([2 * self.n_choices])])

    def swap(self, policy: Policy) -> Policy:
        """The policy with the arms A and B exchanged."""
        self.check(policy)
        return Policy(policy.actions[..., self._swapped, :].flip(-1), policy.start)

    def cycle_logits(self, starts: int, seed: int) -> Logits:
        """The oldest arm is played, but rows where all events agree are random (*cycles*).

        Events agree where all support one hypothesis: all A+ or B-, or all A- or B+. Rows of
        histories that are not yet full are random too.

        Args:
            starts: number of policies.
            seed: of the generator.

        Source: Ch. 7, Fig. 4 C-D (cycles).
        """
        policy = Policy.from_logits(self.random_logits(starts, seed))
        full = torch.arange(4**self.m)
        events = torch.stack([full // 4**k % 4 for k in range(self.m)])
        supports_a = (events == 0) | (events == 3)
        mixed = ~(supports_a.all(0) | (~supports_a).all(0))
        actions = policy.actions.clone()
        actions[:, full[mixed]] = torch.nn.functional.one_hot(self.oldest_arm[mixed], 2).to(
            actions.dtype
        )
        return Policy(actions, policy.start).logits()

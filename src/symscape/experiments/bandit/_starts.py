"""How a batch of runs starts, by the thesis's names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from symscape.bandit import Logits, Memory, Policy

RAM_STARTS = ("random", "linear", "columns")
"""Initializations of a random access memory that are drawn; "ccp" is one policy."""

MEMENTO_STARTS = ("random", "cycles")
"""Initializations of a Memento memory that are drawn; "necklace" is one policy."""


def memory_of(kind: str, size: int) -> Memory:
    """``RAM(size)`` or ``Memento(size)``."""
    from symscape.bandit import RAM, Memento

    return RAM(size) if kind == "ram" else Memento(size)


def starting_logits(
    kind: str, size: int, start: str, starts: int, seed: int, mu: float, reset: float
) -> Logits:
    """The logits that runs begin with; one row for "ccp" and "necklace"."""
    from symscape.bandit import RAM, Memento, ccp_best_epsilon, ccp_policy, necklace_policy

    if start == "ccp":
        return _single(ccp_policy(size, ccp_best_epsilon(size, mu, reset)))
    if start == "necklace":
        # Exit rates are to be learned; they begin away from zero and in the right order.
        return _single(necklace_policy(size, 0.05, 0.2))
    if kind == "ram":
        ram = RAM(size)
        draw = {
            "random": ram.random_logits,
            "linear": ram.linear_logits,
            "columns": ram.column_logits,
        }
    else:
        memento = Memento(size)
        draw = {"random": memento.random_logits, "cycles": memento.cycle_logits}
    return draw[start](starts, seed)


def _single(policy: Policy) -> Logits:
    from symscape.bandit import Logits

    logits = policy.logits()
    return Logits(logits.actions[None], logits.start[None])


def column_q(size: int, mu: float, reset: float) -> float:
    """q of the best column of confidence for an agent that spends its first step in its start."""
    from symscape.bandit import ccp_best_epsilon, ccp_q

    return (1 - reset) * ccp_q(size, ccp_best_epsilon(size, mu, reset), mu, reset) + reset / 2

"""How a batch of runs starts, how it is trained, and which of its runs are judged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symscape.lab import Row, Table

if TYPE_CHECKING:
    from symscape.bandit import Bandit, Flow, Logits, Memory, Optimum, Policy

Array = NDArray[np.float64]

RAM_STARTS = ("random", "linear", "columns")
"""Initializations of a random access memory that are drawn; "ccp" is one policy."""

MEMENTO_STARTS = ("random", "cycles")
"""Initializations of a Memento memory that are drawn; "necklace" is one policy."""

REST = 1e-5
"""A run is at rest where no component of the gradient of log q is larger: then no logit that moves
by 1 changes q by more than this share. Runs that are not at rest are left out of every claim."""


def memory_of(kind: str, size: int) -> Memory:
    """``RAM(size)`` or ``Memento(size)``."""
    from symscape.bandit import RAM, Memento

    return RAM(size) if kind == "ram" else Memento(size)


def starting_logits(
    kind: str, size: int, start: str, starts: int, seed: int, mu: float, reset: float
) -> Logits:
    """The logits that runs begin with, by the thesis's names of initializations."""
    from symscape import bandit

    if start == "ccp":
        epsilon = bandit.ccp_best_epsilon(size, mu, reset)
        return _near(bandit.ccp_policy(size, epsilon), starts, seed)
    if start == "necklace":
        # Exit rates are to be learned; they begin away from zero and in the right order.
        return _near(bandit.necklace_policy(size, 0.05, 0.2), starts, seed)
    memory: Any = memory_of(kind, size)
    names = {"linear": "linear_logits", "columns": "column_logits", "cycles": "cycle_logits"}
    drawn: Logits = getattr(memory, names.get(start, "random_logits"))(starts, seed)
    return drawn


def _near(policy: Policy, starts: int, seed: int) -> Logits:
    """``log(p + 1e-4)``, where for each start 1e-4 is the mean of numbers drawn from 0 on."""
    import torch

    from symscape.bandit import Logits

    generator = torch.Generator().manual_seed(seed)

    def floored(p: Any) -> Any:
        floor = torch.rand(starts, *p.shape, generator=generator, dtype=torch.float64)
        return (p + 2e-4 * floor).log()

    return Logits(floored(policy.actions), floored(policy.start))


def train(bandit: Bandit, point: dict[str, Any], start: Logits) -> tuple[Flow, Optimum]:
    """The gradient flow of the thesis, and L-BFGS from where the flow is cut to its optimum."""
    from symscape.bandit import gradient_flow, minimize

    flow = gradient_flow(bandit, start, evaluations=point["evaluations"])
    return flow, minimize(bandit, flow.logits, evaluations=point["newton_evaluations"])


def at_rest(row: Row, name: str = "q") -> Array:
    """A number of each run that is at rest."""
    return np.asarray(row[name])[np.asarray(row["gradient"]) <= REST]


def left_out(table: Table) -> str:
    """A sentence that counts the runs that are not at rest, empty where all are."""
    counts: Counter[str] = Counter()
    for row in table:
        name = f"{row['start']}, {row['size']}" if "start" in row else f"M = {row['M']}"
        counts[name] += len(row["q"]) - len(at_rest(row))
    named = "; ".join(f"{count} of {name}" for name, count in counts.items() if count)
    return f"Left out, not at rest: {named}." if named else ""


def column_q(size: int, mu: float, reset: float) -> float:
    """q of the best column of confidence for an agent that spends its first step in its start."""
    from symscape.bandit import ccp_best_epsilon, ccp_q

    return (1 - reset) * ccp_q(size, ccp_best_epsilon(size, mu, reset), mu, reset) + reset / 2

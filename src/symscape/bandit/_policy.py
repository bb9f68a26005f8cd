"""Stochastic policies of agents with a finite memory, as probabilities and as logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Logits", "Policy"]


class Logits(NamedTuple):
    """Unconstrained parameters of a policy: the softmax of the last axis gives probabilities.

    Attributes:
        actions: ``(..., O, A)``, one row per observation.
        start: ``(..., S)``, over the observations that an agent may start with.
    """

    actions: Tensor
    start: Tensor


@dataclass(frozen=True)
class Policy:
    r"""Probabilities :math:`\pi(a|o)` of actions, and of the observation to start with.

    Attributes:
        actions: ``(..., O, A)``; ``actions[..., o, a]`` is the probability of action a after
            observation o. Leading axes are a batch of policies.
        start: ``(..., S)`` with the same leading axes; probabilities of the start observations.

    Raises:
        ValueError: a row is not a distribution, or the leading axes differ.

    Source: Ch. 7, Def. 2.2 and App. B (the trainable start).
    """

    actions: Tensor
    start: Tensor

    def __post_init__(self) -> None:
        if self.actions.ndim < 2 or self.actions.shape[:-2] != self.start.shape[:-1]:
            raise ValueError(
                f"actions, start: shapes {tuple(self.actions.shape)} and {tuple(self.start.shape)} "
                "given; allowed: (..., O, A) and (..., S) with the same leading axes"
            )
        for name in ("actions", "start"):
            check_distribution(name, getattr(self, name))

    @classmethod
    def from_logits(cls, logits: Logits) -> Policy:
        """The softmax of logits, row by row (Ch. 7, Sec. 2.2).

        Raises:
            TypeError: something else than logits, for example a policy.
        """
        check_type("logits", logits, Logits)
        return cls(logits.actions.softmax(-1), logits.start.softmax(-1))

    def logits(self, floor: float = 1e-4) -> Logits:
        """The logits ``log(p + floor)``.

        Args:
            floor: added to every probability, so that none is out of reach of the gradient; the
                thesis starts its runs with 1e-4. 0 keeps the policy as it is.

        Raises:
            ValueError: ``floor`` is negative.
        """
        if not floor >= 0:
            raise ValueError(f"floor: {floor!r} given; allowed: numbers >= 0")
        return Logits((self.actions + floor).log(), (self.start + floor).log())


def check_type(name: str, given: object, allowed: type) -> None:
    """Refuse another type: logits, policies and results of a training have fields in common.

    Raises:
        TypeError: names both.
    """
    if not isinstance(given, allowed):
        raise TypeError(
            f"{name}: {type(given).__name__} given; allowed: {allowed.__name__} "
            "(Policy.from_logits and Policy.logits make one of the other)"
        )


def check_distribution(name: str, p: Tensor) -> None:
    """Refuse what does not sum to one over the last axis, or has negative entries.

    Raises:
        ValueError: names the argument and the worst row.
    """
    if not p.is_floating_point():
        raise ValueError(f"{name}: {p.dtype} given; allowed: floating-point probabilities")
    values = p.detach()
    if not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
        raise ValueError(
            f"{name}: not a distribution, entries between {float(values.min()):.3g} and "
            f"{float(values.max()):.3g} given; allowed: probabilities from 0 to 1"
        )
    off = (values.sum(-1) - 1).abs()
    # Rows of a few hundred float64 numbers sum to one within 1e-13; float32 within 1e-5.
    allowed = 1e-9 if values.dtype == torch.float64 else 1e-4
    if off.numel() and float(off.max()) > allowed:
        row = int(off.flatten().argmax())
        raise ValueError(
            f"{name}: not a distribution, row {row} sums to "
            f"{float(values.sum(-1).flatten()[row]):.9g}; allowed: rows that sum to 1"
        )

"""Local optima of a batch of optimizations: their levels, and how often the best is reached."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LocalOptima", "local_optima"]


@dataclass(frozen=True)
class LocalOptima:
    """Distinct levels of q among the ends of many optimizations.

    Attributes:
        levels: distinct values of q, increasing, ``(K,)``: the median of each group.
        counts: how many starts ended on each level, ``(K,)``.
        q: all values, increasing, ``(B,)``.
    """

    levels: Tensor
    counts: Tensor
    q: Tensor

    def success_rate(self, reference: float, tolerance: float) -> tuple[float, float, float]:
        r"""Share of starts with :math:`q\le(1+\text{tolerance})\,q_{ref}`, and its 68 % interval.

        Args:
            reference: q of the optimum, or of a policy to compare with, > 0.
            tolerance: relative, >= 0.

        Returns:
            The share, and the lower and upper end of Wilson's interval.

        Raises:
            ValueError: ``reference`` not positive or ``tolerance`` negative.
        """
        if not reference > 0:
            raise ValueError(f"reference: {reference!r} given; allowed: positive numbers")
        if not tolerance >= 0:
            raise ValueError(f"tolerance: {tolerance!r} given; allowed: numbers >= 0")
        n = len(self.q)
        share = float((self.q <= (1 + tolerance) * reference).double().mean())
        center = (share + 0.5 / n) / (1 + 1 / n)
        half = (share * (1 - share) / n + 0.25 / n**2) ** 0.5 / (1 + 1 / n)
        return share, max(0.0, center - half), min(1.0, center + half)


def local_optima(q: Tensor, tolerance: float = 1e-3) -> LocalOptima:
    """Group the ends of optimizations into levels of q.

    Sorted values belong to one level as long as neighbors differ by less than the tolerance.

    Args:
        q: ends of the optimizations, ``(B,)``, positive.
        tolerance: relative, > 0.

    Raises:
        ValueError: q is empty or not positive, or ``tolerance`` is not.
    """
    if q.ndim != 1 or not len(q) or not bool((q > 0).all()):
        raise ValueError(f"q: {q} given; allowed: a vector of positive numbers, not empty")
    if not tolerance > 0:
        raise ValueError(f"tolerance: {tolerance!r} given; allowed: positive numbers")
    values = q.detach().sort().values
    jumps = values[1:] > values[:-1] * (1 + tolerance)
    level = torch.cat([torch.zeros(1, dtype=torch.long), jumps.long().cumsum(0)])
    counts = torch.bincount(level)
    groups = values.split(counts.tolist())
    return LocalOptima(torch.stack([group.median() for group in groups]), counts, values)

"""The hinge that compares the output of the right class with the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from symscape._arguments import refused
from symscape.dynamics._losses import CrossEntropy, unsatisfied

__all__ = ["MultiMargin"]


@dataclass(frozen=True)
class MultiMargin:
    r"""The linear hinge of pairs of outputs,
    :math:`\ell = \sum_{j\ne y}\max(0, \epsilon - f_y + f_j)`; the largest output decides, and a tie
    is no prediction.

    Each pair (pattern, wrong class) is one constraint. Unlike the hinge of each output by itself it
    is not small where all outputs are negative, where small convolutional nets get stuck.

    Args:
        margin: :math:`\epsilon > 0`.

    Source: Ch. 2, paper B, Section 8 (one reading of its linear hinge).
    """

    margin: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.margin < float("inf"):
            raise refused("margin", self.margin, "a positive number")

    def value(self, f: Tensor, y: Tensor) -> Tensor:
        """The loss of each pattern, (..., P)."""
        return self.delta(f, y).clamp_min(0.0).sum(-1)

    def derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """1 for unsatisfied wrong classes, minus their number for the right one, (..., P, c)."""
        pairs = (self.delta(f, y) > 0).to(f.dtype)
        return torch.where(_right(f, y), -pairs.sum(-1, keepdim=True), pairs)

    def second_derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """Zero, (..., P, c, c)."""
        return torch.zeros_like(f).unsqueeze(-1).expand(*f.shape, f.shape[-1])

    def delta(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`\epsilon - f_y + f_j`, (..., P, c); for the right class, which is no constraint,
        :math:`-\epsilon`."""
        right = _right(f, y)
        own = f.masked_fill(~right, 0.0).sum(-1, keepdim=True)
        return (self.margin - own + f).masked_fill(right, -self.margin)

    def unsatisfied(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of positive delta, and of NaN, (..., P, c)."""
        return unsatisfied(self.delta(f, y))

    def misclassified(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of the patterns whose class has not the largest output alone, (..., P)."""
        return CrossEntropy().misclassified(f, y)


def _right(f: Tensor, y: Tensor) -> Tensor:
    """Mask of the output of each pattern's class, (..., P, c)."""
    return y.unsqueeze(-1) == torch.arange(f.shape[-1], device=f.device)

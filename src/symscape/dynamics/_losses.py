r"""Losses of one output per pattern, :math:`\ell(f, y)`, with two derivatives.

Binary losses take outputs f of shape (..., P) and labels y = +1 or -1 of the same shape (or
broadcastable to it). Multiclass losses take f of shape (..., P, c) and integer classes y of shape
(..., P). The loss of a training set is the mean of ``value`` over its patterns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "CrossEntropy",
    "Hinge",
    "Loss",
    "MulticlassHinge",
    "SoftHinge",
    "Square",
    "misclassified",
    "unsatisfied",
]

# beyond this argument log(1 + e^u) = u to rounding in float64
_SOFTPLUS_THRESHOLD = 40.0


def unsatisfied(delta: Tensor) -> Tensor:
    r"""Mask of the constraints that are not satisfied, which are those with
    :math:`\Delta \le 0`: a NaN satisfies nothing."""
    return ~(delta <= 0)


def misclassified(f: Tensor, y: Tensor) -> Tensor:
    """Mask of the patterns that are not classified correctly, which are those with y f > 0.

    f = 0 is no prediction, nor is NaN: both count as wrong.
    """
    return ~(y * f > 0)


class Loss(Protocol):
    """What the training loops and the landscape tools ask of a loss."""

    def value(self, f: Tensor, y: Tensor) -> Tensor:
        """The loss of each pattern, (..., P)."""
        ...

    def derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """The derivative by the output, of the shape of f."""
        ...

    def second_derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """The second derivative by the output: of the shape of f, or (..., P, c, c)."""
        ...

    def delta(self, f: Tensor, y: Tensor) -> Tensor:
        """How far each constraint is from being satisfied, negative where it is."""
        ...

    def unsatisfied(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of the unsatisfied constraints, whose number is N_Delta."""
        ...

    def misclassified(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of the patterns whose predicted class is wrong, (..., P)."""
        ...


class _Binary:
    """Constraints and predictions of a binary loss with the given margin."""

    margin: float

    def delta(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`\Delta_\mu = \epsilon - y_\mu f_\mu`, with the margin :math:`\epsilon`."""
        return self.margin - y * f

    def unsatisfied(self, f: Tensor, y: Tensor) -> Tensor:
        r"""Mask of :math:`\Delta_\mu > 0`, and of NaN."""
        return unsatisfied(self.delta(f, y))

    def misclassified(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of y f <= 0, and of NaN."""
        return misclassified(f, y)


@dataclass(frozen=True)
class Hinge(_Binary):
    r"""The hinge to a power, :math:`\ell = \max(0, \Delta)^\gamma / \gamma` with
    :math:`\Delta = \epsilon - y f`.

    Power 2 (the default) is the quadratic hinge :math:`\frac12\max(0, \Delta)^2`, power 1 the
    plain hinge. With power 1 the derivative jumps at :math:`\Delta = 0`, where it is taken as 0.

    Args:
        power: :math:`\gamma \ge 1`.
        margin: :math:`\epsilon > 0`.

    Source: Ch. 1, paper A, Eq. 9 (margin 1/2) and paper B, Eq. 4 (margin 1).
    """

    power: float = 2.0
    margin: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.power < math.inf:
            raise ValueError(f"power: {self.power!r} given; allowed: a number >= 1")
        _check_margin(self.margin)

    def value(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`\max(0, \Delta)^\gamma / \gamma`."""
        positive = self.delta(f, y).clamp_min(0.0)
        if self.power == 1:
            return positive
        if self.power == 2:
            return 0.5 * positive * positive
        return positive**self.power / self.power

    def derivative(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`-y \max(0, \Delta)^{\gamma - 1}`."""
        delta = self.delta(f, y)
        if self.power == 1:
            return torch.where(delta > 0, -y, torch.zeros_like(delta))
        if self.power == 2:
            return -y * delta.clamp_min(0.0)
        return -y * delta.clamp_min(0.0) ** (self.power - 1.0)

    def second_derivative(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`(\gamma - 1) \max(0, \Delta)^{\gamma - 2}` where :math:`\Delta > 0`, else 0."""
        delta = self.delta(f, y)
        zero = torch.zeros_like(delta)
        if self.power == 1:
            return zero
        safe = torch.where(delta > 0, delta, torch.ones_like(delta))
        curvature = (self.power - 1.0) * safe ** (self.power - 2.0)
        return torch.where(delta > 0, curvature, zero)


@dataclass(frozen=True)
class SoftHinge(_Binary):
    r"""The smoothed hinge :math:`\ell = \beta^{-1}\ln(1 + e^{\beta\Delta})`,
    :math:`\Delta = \epsilon - y f`.

    Args:
        beta: inverse smoothing length, > 0.
        margin: :math:`\epsilon > 0`; a run stops when every :math:`\Delta_\mu` is below 0.

    Source: Ch. 3, paper I, Section 2.
    """

    beta: float = 20.0
    margin: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise ValueError(f"beta: {self.beta!r} given; allowed: a positive number")
        _check_margin(self.margin)

    def value(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`\beta^{-1}\ln(1 + e^{\beta\Delta})`."""
        return F.softplus(self.delta(f, y), self.beta, _SOFTPLUS_THRESHOLD)

    def derivative(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`-y\,\sigma(\beta\Delta)` with the logistic function :math:`\sigma`."""
        return -y * torch.sigmoid(self.beta * self.delta(f, y))

    def second_derivative(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`\beta\,\sigma(\beta\Delta)(1 - \sigma(\beta\Delta))`."""
        s = torch.sigmoid(self.beta * self.delta(f, y))
        return self.beta * s * (1.0 - s)


@dataclass(frozen=True)
class CrossEntropy:
    r"""The cross entropy of logits.

    Binary (floating-point labels +-1, f of their shape): :math:`\ln(1 + e^{-yf})`, i.e. logits
    :math:`\pm f/2`. Multiclass (integer classes, one dimension more in f):
    :math:`-\ln(e^{f_y}/\sum_i e^{f_i})`. A pattern counts as unsatisfied as long as it is
    misclassified.

    Source: Introduction, Eq. 7-8; Ch. 1, paper A, Section III.
    """

    def value(self, f: Tensor, y: Tensor) -> Tensor:
        """The loss of each pattern, (..., P)."""
        if y.is_floating_point():
            return F.softplus(-y * f, 1.0, _SOFTPLUS_THRESHOLD)
        chosen = f.gather(-1, y.unsqueeze(-1).expand(*f.shape[:-1], 1)).squeeze(-1)
        return torch.logsumexp(f, -1) - chosen

    def derivative(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`-y\,\sigma(-yf)`, or softmax minus one-hot."""
        if y.is_floating_point():
            return -y * torch.sigmoid(-y * f)
        return torch.softmax(f, -1) - _right(f, y).to(f.dtype)

    def second_derivative(self, f: Tensor, y: Tensor) -> Tensor:
        r"""Binary: :math:`\sigma(1-\sigma)`, (..., P).

        Multiclass: :math:`\mathrm{diag}(p) - pp^T`, (..., P, c, c).
        """
        if y.is_floating_point():
            s = torch.sigmoid(f)
            return s * (1.0 - s)
        p = torch.softmax(f, -1)
        return torch.diag_embed(p) - p.unsqueeze(-1) * p.unsqueeze(-2)

    def delta(self, f: Tensor, y: Tensor) -> Tensor:
        """-y f, or the largest wrong logit minus the right one, (..., P)."""
        if y.is_floating_point():
            return -y * f
        return -_lead(f, y)

    def unsatisfied(self, f: Tensor, y: Tensor) -> Tensor:
        """Same as :meth:`misclassified`."""
        return self.misclassified(f, y)

    def misclassified(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of delta >= 0, and of NaN: a tie is no prediction."""
        return ~(self.delta(f, y) < 0)


@dataclass(frozen=True)
class Square:
    r"""The square loss :math:`\ell = \frac12 (f - y)^2` of real targets y of the shape of f.

    Every pattern is an equality constraint, unsatisfied unless f = y exactly; stop runs by their
    loss. The sign is the predicted class.
    """

    def value(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`\frac12 (f - y)^2`."""
        return 0.5 * (f - y) ** 2

    def derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """f - y."""
        return f - y

    def second_derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """1."""
        return torch.ones_like(f)

    def delta(self, f: Tensor, y: Tensor) -> Tensor:
        """|f - y|."""
        return (f - y).abs()

    def unsatisfied(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of f != y."""
        return f != y

    def misclassified(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of y f <= 0, and of NaN."""
        return misclassified(f, y)


@dataclass(frozen=True)
class MulticlassHinge:
    r"""The hinge of c outputs, each by itself (one against all),
    :math:`\ell = \frac1{\gamma c}\sum_{i=1}^c \max(0, \epsilon - t_i f_i)^\gamma`, with the targets
    :math:`t_i = +1` for the right class and -1 for the others; the largest output decides, and a
    tie is no prediction.

    Each pair (pattern, output) is one constraint.

    Args:
        margin: :math:`\epsilon > 0`.
        power: :math:`\gamma \ge 1`, 2 for the quadratic hinge.

    Source: Ch. 1, paper A, Eq. 10, with the factor 1/2 of the binary loss; Ch. 2, paper B, App. A
    (power 1, without the factor 1/c).
    """

    margin: float = 1.0
    power: float = 2.0

    def __post_init__(self) -> None:
        _ = self._each

    @property
    def _each(self) -> Hinge:
        """The hinge of one output."""
        return Hinge(self.power, self.margin)

    def value(self, f: Tensor, y: Tensor) -> Tensor:
        """The loss of each pattern, (..., P)."""
        return self._each.value(f, _signs(f, y)).mean(-1)

    def derivative(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`-t_i \max(0, \Delta_i)^{\gamma - 1} / c`, (..., P, c)."""
        return self._each.derivative(f, _signs(f, y)) / f.shape[-1]

    def second_derivative(self, f: Tensor, y: Tensor) -> Tensor:
        """Diagonal matrices, (..., P, c, c): 1/c for the unsatisfied outputs if the power is 2."""
        return torch.diag_embed(self._each.second_derivative(f, _signs(f, y)) / f.shape[-1])

    def delta(self, f: Tensor, y: Tensor) -> Tensor:
        r""":math:`\epsilon - t_i f_i`, (..., P, c)."""
        return self.margin - _signs(f, y) * f

    def unsatisfied(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of positive delta, and of NaN, (..., P, c)."""
        return unsatisfied(self.delta(f, y))

    def misclassified(self, f: Tensor, y: Tensor) -> Tensor:
        """Mask of the patterns whose class has not the largest output alone, (..., P)."""
        return ~(_lead(f, y) > 0)


def _signs(f: Tensor, y: Tensor) -> Tensor:
    return 2.0 * _right(f, y).to(f.dtype) - 1.0


def _lead(f: Tensor, y: Tensor) -> Tensor:
    """By how much the output of the right class exceeds the largest other one, (..., P)."""
    chosen = f.gather(-1, y.unsqueeze(-1).expand(*f.shape[:-1], 1)).squeeze(-1)
    return chosen - f.masked_fill(_right(f, y), -math.inf).amax(-1)


def _right(f: Tensor, y: Tensor) -> Tensor:
    """Mask of the outputs that belong to the pattern's class, (..., P, c)."""
    return y.unsqueeze(-1) == torch.arange(f.shape[-1], device=f.device)


def _check_margin(margin: float) -> None:
    if not 0 < margin < math.inf:
        raise ValueError(f"margin: {margin!r} given; allowed: a positive number")

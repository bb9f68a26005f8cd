"""Step-size controllers: what step to try next, and whether to keep the one just tried.

A controller is a pure function of numbers; it knows nothing of networks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from symscape.dynamics._first_order import check_positive

__all__ = ["Decision", "ErrorPerStep", "FixedStep", "GradientChange"]


class Decision(NamedTuple):
    """The verdict on one trial step.

    Attributes:
        accept: whether the step is kept.
        dt: the step to try next.
        forced: kept although its error was too large.
    """

    accept: bool
    dt: float
    forced: bool = False


@dataclass(frozen=True)
class ErrorPerStep:
    r"""Keeps the embedded error of each step below a tolerance.

    The error e is measured in the space of the weights, :math:`\|e\| / \|w_0\|`
    (:math:`\|e\|` where :math:`w_0 = 0`), of the outputs,
    :math:`\max_\mu |F(w') - F(w' - e)|` over the training set (one more evaluation per step), or
    as the larger of the first and a hundredth of the second, and compared with ``tol``. Both count
    by default: in the lazy regime, :math:`\alpha\gg1`, weights hardly move while F does, and in the
    feature regime it is the other way round.

    It is an error *per step*, never divided by the step or by the gradient: a pattern that crosses
    the kink of a relu or a hinge makes the gradient jump, and a criterion relative to it cannot be
    met by any step, however small, while the error per step goes to 0 with the step.

    With the ratio r = error / tol and q the order of the embedded solution plus one, a step is
    kept if r <= 1, and the next one is longer by
    :math:`\mathrm{clip}(0.9\, r^{-1/q})`, between ``shrink`` and ``growth``. With
    ``proportional`` = :math:`\kappa > 0` the exponent is that of a PI controller,
    :math:`0.9\, r^{-(1-\kappa)/q}\, (r_{-1}/r)^{\kappa/q}`.

    Args:
        tol: tolerance > 0.
        space: ``"both"``, ``"weights"`` or ``"outputs"``.
        first_step: first step to try, or None: one that moves the weights by ``tol`` relative to
            their norm.
        growth: largest growth of a step, > 1.
        shrink: largest reduction, in (0, 1).
        proportional: :math:`\kappa` in [0, 1).
        min_step: steps this short are kept whatever their error, and counted as ``forced``.
        max_output_change: also reject steps that change any F of the training set by more, or
            None.
    """

    tol: float = 1e-4
    space: Literal["both", "weights", "outputs"] = "both"
    first_step: float | None = None
    growth: float = 5.0
    shrink: float = 0.2
    proportional: float = 0.0
    min_step: float = 0.0
    max_output_change: float | None = None

    def __post_init__(self) -> None:
        check_positive("tol", self.tol)
        if self.space not in ("both", "weights", "outputs"):
            allowed = "'both', 'weights' or 'outputs'"
            raise ValueError(f"space: {self.space!r} given; allowed: {allowed}")
        for name in ("first_step", "max_output_change"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if not 1 < self.growth < math.inf:
            raise ValueError(f"growth: {self.growth!r} given; allowed: a number > 1")
        if not 0 < self.shrink < 1:
            raise ValueError(f"shrink: {self.shrink!r} given; allowed: a number in (0, 1)")
        if not 0 <= self.proportional < 1:
            raise ValueError(f"proportional: {self.proportional!r} given; allowed: in [0, 1)")
        if not 0 <= self.min_step < math.inf:
            raise ValueError(f"min_step: {self.min_step!r} given; allowed: a number >= 0")

    def initial_step(self, weight_norm: float, slope_norm: float) -> float:
        """The first step to try, given the norms of the weights and of the slope."""
        if self.first_step is not None:
            return self.first_step
        if not 0 < slope_norm < math.inf or weight_norm == 0:
            return 1.0
        return max(self.tol * weight_norm / slope_norm, self.min_step)

    def decide(
        self, dt: float, error: float, previous: float, change: float, order: int
    ) -> Decision:
        """The verdict on a step.

        Args:
            dt: its length.
            error: its error divided by ``tol``; NaN and infinity count as too large.
            previous: the same of the last step kept, or 1.
            change: largest change of F by the step divided by ``max_output_change``; 0 without.
            order: order of the solution.
        """
        if not (math.isfinite(error) and math.isfinite(change)):
            factor = self.shrink
        else:
            safe = max(error, 1e-10)
            kappa = self.proportional
            factor = 0.9 * safe ** (-(1.0 - kappa) / order)
            factor *= (max(previous, 1e-10) / safe) ** (kappa / order)
            if change > 0:
                factor = min(factor, 0.9 / change)
            factor = min(max(factor, self.shrink), self.growth)
        accept = error <= 1 and change <= 1
        if accept:
            return Decision(True, max(dt * factor, self.min_step))
        if dt <= self.min_step and math.isfinite(error):
            return Decision(True, self.min_step, forced=True)
        return Decision(False, max(dt * min(factor, 0.9), self.min_step))


@dataclass(frozen=True)
class FixedStep:
    """Keeps every step; all have the length ``dt``.

    Args:
        dt: the step, > 0.
    """

    dt: float

    def __post_init__(self) -> None:
        check_positive("dt", self.dt)


@dataclass(frozen=True)
class GradientChange:
    r"""The thesis's own controller of Euler steps.

    A trial from w to w' is kept if :math:`\max_\mu|F(w', x_\mu) - F(w, x_\mu)|` < ``max_dout`` and
    :math:`\|g - g'\|^2 / (\|g\|\|g'\|)` < ``max_dgrad`` (0 if a norm vanishes); if both are below
    the share ``small`` of their bound, the next step is 1.1 times longer. A rejected step is
    divided by 10.

    Args:
        max_dgrad: bound on the relative change of the gradient, > 0.
        max_dout: bound on the change of any output, > 0.
        small: in (0, 1]; the thesis has a half, and its runs of frozen kernels a tenth.

    Source: Ch. 3, paper I, Section 2; the growth of steps from the code of the paper.
    """

    max_dgrad: float = 1e-4
    max_dout: float = 0.1
    small: float = 0.5

    def __post_init__(self) -> None:
        check_positive("max_dgrad", self.max_dgrad)
        check_positive("max_dout", self.max_dout)
        if not 0 < self.small <= 1:
            raise ValueError(f"small: {self.small!r} given; allowed: a number in (0, 1]")

    def decide(self, dt: float, dgrad: float, dout: float) -> Decision:
        """The verdict on a step of length ``dt``."""
        if not (dgrad < self.max_dgrad and dout < self.max_dout):
            return Decision(False, dt / 10.0)
        small = dgrad < self.small * self.max_dgrad and dout < self.small * self.max_dout
        return Decision(True, 1.1 * dt if small else dt)

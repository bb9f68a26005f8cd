"""Gradient flow by the stabilized method of Runge, Kutta and Chebyshev."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from symscape._arguments import integer_fields
from symscape.dynamics._controllers import ErrorPerStep, FixedStep
from symscape.dynamics._flow import FlowStepper, Trial
from symscape.dynamics._objective import Objective
from symscape.dynamics._stepper import Stepper, choose

__all__ = ["Chebyshev"]

_DAMPING = 2.0 / 13.0
# the largest curvature is measured with so many products at the start, and then this often
_FIRST_PRODUCTS = 12
_PRODUCTS = 2
_STEPS_BETWEEN = 10
_SAFETY = 1.25
# length of the difference that measures it, relative to |w| and to the distance of zero loss
_PROBE = 1e-6
_PROBE_REACH = 1e-3


@dataclass(frozen=True)
class Chebyshev:
    r"""Gradient flow by the second-order Runge-Kutta-Chebyshev method.

    Late in training the flow is stiff: its largest curvature :math:`\rho` stays of order one
    while the loss falls ever more slowly, and a Runge-Kutta pair spends its evaluations on
    keeping :math:`\rho\,\Delta t` below 2.5. With s stages this method is stable up to
    :math:`\rho\,\Delta t \approx 0.65 s^2`, so that its cost grows only with the square root of
    the stiffness. Each step takes as many stages as it needs; :math:`\rho` is the largest
    eigenvalue of the Hessian, followed by a power iteration on differences of gradients.

    Args:
        controller: :class:`ErrorPerStep` (default) or :class:`FixedStep`.
        max_stages: largest number of stages of one step; longer steps are cut.

    Source: Sommeijer, Shampine and Verwer, J. Comput. Appl. Math. 88, 315 (1998).
    """

    controller: ErrorPerStep | FixedStep = field(default_factory=ErrorPerStep)
    max_stages: int = 100

    def __post_init__(self) -> None:
        integer_fields(self, max_stages=2)

    def start(self, objective: Objective, w: Tensor, max_time: float) -> Stepper:
        """See :class:`Integrator`."""
        return _ChebyshevStepper(self, objective, w, max_time)

    def for_member(self, index: int) -> Chebyshev:
        """Every member is trained in the same way."""
        return self


class _Stage(NamedTuple):
    """Coefficients of one stage (of the paper: mu, nu, mu tilde, gamma tilde)."""

    last: float
    before: float
    slope: float
    first_slope: float


class _ChebyshevStepper(FlowStepper):
    def __init__(self, config: Chebyshev, objective: Objective, w: Tensor, max_time: float) -> None:
        super().__init__(2, config.controller, objective, w, max_time)
        self._max_stages = config.max_stages
        self._direction = self.gradient.clone()
        self._curvature = [0.0] * objective.members
        self._trials_left = 0

    def trial(self, dt: list[float]) -> Trial:
        if self._trials_left == 0:
            self._measure_curvature(_PRODUCTS if any(self._curvature) else _FIRST_PRODUCTS)
            self._trials_left = _STEPS_BETWEEN
        self._trials_left -= 1
        longest = 0.65 * (self._max_stages**2 - 1)
        dt = [
            min(length, longest / curvature) if curvature > 0 else length
            for length, curvature in zip(dt, self._curvature, strict=True)
        ]
        stages = [
            1 + math.ceil(math.sqrt(1.0 + 1.54 * length * curvature))
            for length, curvature in zip(dt, self._curvature, strict=True)
        ]
        w = self._stages(dt, [min(s, self._max_stages) for s in stages])
        measures = self.evaluate(w)
        gradient = self.objective.gradient().clone()
        error = 0.8 * (self.w - w) - 0.4 * self.column(dt) * (self.gradient + gradient)
        return Trial(w, gradient, measures, error, dt)

    def _stages(self, dt: list[float], stages: list[int]) -> Tensor:
        """The solution after the step; members with fewer stages wait for the others."""
        tables = [_coefficients(s) for s in stages]
        column, start, slope = self.column(dt), self.w, -self.gradient
        first = self.column([table[0].slope for table in tables])
        before, last = start, start + first * column * slope
        for stage in range(1, max(stages)):
            self.evaluations += 1
            self.objective.propagate(last)
            gradient = self.objective.gradient()
            row = [table[min(stage, len(table) - 1)] for table in tables]
            mu, nu = self.column([c.last for c in row]), self.column([c.before for c in row])
            new_slope = self.column([c.slope for c in row]) * column
            old_slope = self.column([c.first_slope for c in row]) * column
            new = (
                (1.0 - mu - nu) * start
                + mu * last
                + nu * before
                - new_slope * gradient
                + old_slope * slope
            )
            running = [stage < s for s in stages]
            before, last = choose(running, last, before), choose(running, new, last)
        return last

    def _measure_curvature(self, products: int) -> None:
        """Power iteration for the largest eigenvalue of the Hessian at w, from gradients."""
        sizes = zip(self.objective.norm(self.w), self._scale, strict=True)
        slopes = zip(self.measures.loss, self.grad_norm(), strict=True)
        tiny = torch.finfo(self.w.dtype).tiny
        reach = [
            # loss / |gradient| is how far away zero loss is; a probe beyond it would see the
            # flat region behind a hinge instead of the curvature here
            max(min(_PROBE * max(size), _PROBE_REACH * loss / slope), tiny) if slope > 0 else _PROBE
            for size, (loss, slope) in zip(sizes, slopes, strict=True)
        ]
        direction = self._direction
        length = self.objective.norm(direction)
        for _ in range(products):
            probe = [a / max(b, tiny) for a, b in zip(reach, length, strict=True)]
            self.evaluations += 1
            self.objective.propagate(self.w + self.column(probe) * direction)
            direction = self.objective.gradient() - self.gradient
            length = self.objective.norm(direction)
        self._direction = direction
        self._curvature = [_SAFETY * a / b for a, b in zip(length, reach, strict=True)]


@lru_cache(maxsize=256)
def _coefficients(s: int) -> tuple[_Stage, ...]:
    """The stages of the method with ``s`` >= 2 stages."""
    w0 = 1.0 + _DAMPING / s**2
    T, dT, d2T = [1.0, w0], [0.0, 1.0], [0.0, 0.0]
    for _ in range(2, s + 1):
        T.append(2 * w0 * T[-1] - T[-2])
        dT.append(2 * w0 * dT[-1] - dT[-2] + 2 * T[-2])
        d2T.append(2 * w0 * d2T[-1] - d2T[-2] + 4 * dT[-2])
    w1 = dT[s] / d2T[s]
    b = [d2T[j] / dT[j] ** 2 for j in range(2, s + 1)]
    b = [b[0], b[0], *b]
    stages = [_Stage(0.0, 0.0, b[1] * w1, 0.0)]
    for j in range(2, s + 1):
        slope = 2 * b[j] * w1 / b[j - 1]
        first_slope = -(1.0 - b[j - 1] * T[j - 1]) * slope
        stages.append(_Stage(2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], slope, first_slope))
    return tuple(stages)

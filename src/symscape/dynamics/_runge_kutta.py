"""Gradient flow by an embedded Runge-Kutta pair."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from symscape.dynamics._controllers import ErrorPerStep, FixedStep
from symscape.dynamics._flow import FlowStepper, Trial
from symscape.dynamics._objective import Objective
from symscape.dynamics._stepper import Stepper
from symscape.dynamics._tableau import BOGACKI_SHAMPINE, ButcherTableau

__all__ = ["RungeKutta"]


@dataclass(frozen=True)
class RungeKutta:
    r"""Gradient flow, :math:`\dot w = -\nabla\mathcal L(w)`, solver and controller apart.

    Args:
        tableau: the pair, by default Bogacki-Shampine 3(2).
        controller: :class:`ErrorPerStep` (default) or :class:`FixedStep`.

    Source: Introduction, Eq. 4.
    """

    tableau: ButcherTableau = BOGACKI_SHAMPINE
    controller: ErrorPerStep | FixedStep = field(default_factory=ErrorPerStep)

    def start(self, objective: Objective, w: Tensor, max_time: float) -> Stepper:
        """See :class:`Integrator`."""
        return _RungeKuttaStepper(self, objective, w, max_time)

    def for_member(self, index: int) -> RungeKutta:
        """Every member is trained in the same way."""
        return self


class _RungeKuttaStepper(FlowStepper):
    def __init__(
        self, config: RungeKutta, objective: Objective, w: Tensor, max_time: float
    ) -> None:
        self._tableau = config.tableau
        super().__init__(config.tableau.order, config.controller, objective, w, max_time)

    def trial(self, dt: list[float]) -> Trial:
        column = self.column(dt)
        gradients = [self.gradient]
        for row in self._tableau.a[:-1]:
            self.evaluations += 1
            self.objective.propagate(self.w - column * _combine(row, gradients))
            gradients.append(self.objective.gradient().clone())
        w = self.w - column * _combine(self._tableau.a[-1], gradients)
        measures = self.evaluate(w)
        gradients.append(self.objective.gradient().clone())
        # the slopes are minus the gradients
        error = -column * _combine(self._tableau.error, gradients)
        return Trial(w, gradients[-1], measures, error, dt)


def _combine(weights: tuple[float, ...], tensors: list[Tensor]) -> Tensor:
    total: Tensor | None = None
    for weight, tensor in zip(weights, tensors, strict=False):
        if weight == 0.0:
            continue
        total = weight * tensor if total is None else total.add_(tensor, alpha=weight)
    return torch.zeros_like(tensors[0]) if total is None else total

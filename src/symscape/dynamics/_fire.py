"""FIRE: molecular dynamics with a steered velocity, for finding minima."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from symscape.dynamics._first_order import check_positive
from symscape.dynamics._objective import Objective
from symscape.dynamics._stepper import Stepper

__all__ = ["Fire"]

_INITIAL_MIX = 0.1
_MIX_DECAY = 0.99
_GROWTH = 1.1
_SHRINK = 0.5
_DELAY = 5


@dataclass(frozen=True)
class Fire:
    r"""The fast inertial relaxation engine.

    With the force :math:`F = -\nabla\mathcal L`: while the power :math:`F\cdot v` is positive the
    velocity is turned towards the force, :math:`v \leftarrow (1-a)v + a|v|F/|F|`, and after 5 such
    steps the time step grows by 1.1 (up to ``max_step``) and a shrinks by 0.99; when the power is
    not positive the motion stops, v = 0, the time step is halved, and a returns to 0.1. Then a
    semi-implicit Euler step, :math:`v \leftarrow v + \Delta t F`, :math:`w \leftarrow w + \Delta
    t\,v`.

    Args:
        first_step: initial time step > 0.
        max_step: largest time step, or None: ten times the first.

    Source: Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).
    """

    first_step: float = 0.1
    max_step: float | None = None

    def __post_init__(self) -> None:
        check_positive("first_step", self.first_step)
        if self.max_step is not None and not self.max_step >= self.first_step:
            raise ValueError(f"max_step: {self.max_step!r} given; allowed: None or >= first_step")

    def start(self, objective: Objective, w: Tensor, max_time: float) -> Stepper:
        """See :class:`Integrator`."""
        return _FireStepper(self, objective, w, max_time)

    def for_member(self, index: int) -> Fire:
        """Every member is trained in the same way."""
        return self


class _FireStepper(Stepper):
    def __init__(self, config: Fire, objective: Objective, w: Tensor, max_time: float) -> None:
        super().__init__(objective, w, max_time)
        self._max_step = config.max_step or 10.0 * config.first_step
        self._velocity = torch.zeros_like(self.w)
        self._dt = [config.first_step] * objective.members
        self._mix = [_INITIAL_MIX] * objective.members
        self._uphill_free = [0] * objective.members

    def advance(self) -> None:
        _ = self.measures
        self.gradient = self.objective.gradient().clone()
        power = (-self.gradient * self._velocity).sum(-1).tolist()
        keep = [self._steer(member, power[member]) for member in range(len(power))]
        mix = self.column(self._mix)
        speed = torch.linalg.vector_norm(self._velocity, dim=-1, keepdim=True)
        size = torch.linalg.vector_norm(self.gradient, dim=-1, keepdim=True)
        direction = self.gradient / size.clamp_min(torch.finfo(size.dtype).tiny)
        steered = (1.0 - mix) * self._velocity - mix * speed * direction
        dt = self.column(self._dt)
        self._velocity = self.column(keep) * steered - dt * self.gradient
        self.w = self.w + dt * self._velocity
        self._measures = self.evaluate(self.w)
        for member, length in enumerate(self._dt):
            self.steps[member] += 1
            self.time[member] += length

    def _steer(self, member: int, power: float) -> float:
        """Update the step and the mixing of a member; the factor its velocity is kept with."""
        if power > 0:
            self._uphill_free[member] += 1
            if self._uphill_free[member] > _DELAY:
                self._dt[member] = min(_GROWTH * self._dt[member], self._max_step)
                self._mix[member] *= _MIX_DECAY
            return 1.0
        if self.steps[member] > 0:
            self._dt[member] *= _SHRINK
        self._mix[member] = _INITIAL_MIX
        self._uphill_free[member] = 0
        return 0.0

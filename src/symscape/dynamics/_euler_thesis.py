"""The thesis's own integrator: Euler steps with accept and reject rules, and its momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from symscape.dynamics._controllers import GradientChange
from symscape.dynamics._first_order import check_positive
from symscape.dynamics._objective import Objective
from symscape.dynamics._stepper import Stepper, choose, choose_measures

__all__ = ["EulerThesis"]


@dataclass(frozen=True)
class EulerThesis:
    r"""Gradient flow by Euler steps, as in the thesis, kept for reproduction.

    The controller is :class:`GradientChange`. It stalls where the gradient jumps (relu, hinge): a
    jump is not made smaller by a smaller step, so every trial is rejected until
    :math:`t + \Delta t = t`.

    With a memory time :math:`\tau` the flow is
    :math:`\dot v = -(v + \nabla\mathcal L)/\tau`, :math:`\dot w = v`, :math:`v(0) = 0`, stepped as
    :math:`v \leftarrow e^{-\Delta t/\tau}v - (1 - e^{-\Delta t/\tau})\nabla\mathcal L`,
    :math:`w \leftarrow w + \Delta t\,v`. With ``memory_fraction`` :math:`1/\mu` the memory grows as
    :math:`\tau = t/\mu`, and the decay factor is :math:`(t / (t + \Delta t))^\mu`.

    Args:
        max_dgrad: bound on the relative change of the gradient by one step.
        max_dout: bound on the change of any output by one step.
        first_step: first step to try.
        small: share of both bounds below which the next step is longer; a tenth in the thesis's
            runs of frozen kernels.
        tau: memory time > 0, or None for none.
        memory_fraction: :math:`\tau/t` > 0, or None; excludes ``tau``.

    Source: Ch. 3, paper I, Section 2 and App. G.
    """

    max_dgrad: float = 1e-4
    max_dout: float = 0.1
    first_step: float = 1.0
    tau: float | None = None
    memory_fraction: float | None = None
    small: float = 0.5

    def __post_init__(self) -> None:
        _ = self.controller
        check_positive("first_step", self.first_step)
        for name in ("tau", "memory_fraction"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.tau is not None and self.memory_fraction is not None:
            raise ValueError("memory_fraction: given together with tau; allowed: one of the two")

    @property
    def controller(self) -> GradientChange:
        """The accept and reject rules."""
        return GradientChange(self.max_dgrad, self.max_dout, self.small)

    def start(self, objective: Objective, w: Tensor, max_time: float) -> Stepper:
        """See :class:`Integrator`."""
        return _EulerStepper(self, objective, w, max_time)

    def for_member(self, index: int) -> EulerThesis:
        """Every member is trained in the same way."""
        return self

    def memory(self, time: float, dt: float) -> float:
        """How much of the velocity is left after a step of ``dt`` from ``time``."""
        if self.tau is not None:
            return math.exp(-dt / self.tau)
        if self.memory_fraction is not None and time > 0:
            return (time / (time + dt)) ** (1.0 / self.memory_fraction)
        return 0.0


class _EulerStepper(Stepper):
    def __init__(
        self, config: EulerThesis, objective: Objective, w: Tensor, max_time: float
    ) -> None:
        super().__init__(objective, w, max_time)
        self._config, self._controller = config, config.controller
        self._measures = self.evaluate(self.w)
        self.gradient = objective.gradient().clone()
        self._slope = objective.norm(self.gradient)
        self._velocity = torch.zeros_like(self.w)
        self._dt = [config.first_step] * objective.members

    def advance(self) -> None:
        if self.gradient is None:
            raise RuntimeError("a stepper starts with its gradient")
        dt = [min(d, self.max_time - t) for d, t in zip(self._dt, self.time, strict=True)]
        memory = [self._config.memory(t, d) for t, d in zip(self.time, dt, strict=True)]
        left = self.column(memory)
        velocity = left * self._velocity - (1.0 - left) * self.gradient
        w = self.w + self.column(dt) * velocity
        measures = self.evaluate(w)
        gradient = self.objective.gradient().clone()
        change = measures.predictor - self.measures.predictor
        dout = change.abs().flatten(1).amax(1).tolist()
        slope = self.objective.norm(gradient)
        jump = self.objective.norm(gradient - self.gradient)
        dgrad = [_relative_change(*norms) for norms in zip(jump, self._slope, slope, strict=True)]
        decisions = [self._controller.decide(*z) for z in zip(dt, dgrad, dout, strict=True)]
        accept = [decision.accept for decision in decisions]
        self.w = choose(accept, w, self.w)
        self._velocity = choose(accept, velocity, self._velocity)
        self.gradient = choose(accept, gradient, self.gradient)
        self._measures = choose_measures(accept, measures, self.measures)
        for member, decision in enumerate(decisions):
            cut = decision.accept and dt[member] < self._dt[member]
            self._dt[member] = self._dt[member] if cut else decision.dt
            if decision.accept:
                self._slope[member] = slope[member]
                self.steps[member] += 1
                self.time[member] = self.max_time if cut else self.time[member] + dt[member]

    def stalled(self, member: int) -> bool:
        return self.time[member] + self._dt[member] == self.time[member]


def _relative_change(jump: float, norm: float, new: float) -> float:
    """|g - g'|^2 / (|g| |g'|) from the three norms, 0 where one of the last two vanishes."""
    return jump * jump / (norm * new) if norm * new != 0 else 0.0

"""What all integrators of the gradient flow share: trial steps, error control, the event."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from symscape.dynamics._controllers import Decision, ErrorPerStep, FixedStep
from symscape.dynamics._objective import Measures, Objective
from symscape.dynamics._stepper import Excess, Located, Stepper, choose, choose_measures

__all__ = ["FlowStepper", "Trial", "first_satisfied", "hermite"]

# the zero-loss event is located to this fraction of its step
_EVENT_RESOLUTION = 1e-6
# what an error of the outputs counts beside one of the weights, relative to their norm
_OUTPUT_SHARE = 0.01


@dataclass(frozen=True)
class Trial:
    """The end of one trial step of every member.

    Attributes:
        w: parameters, (E, n_parameters).
        gradient: the gradient there, owned by the trial.
        measures: loss and counts there.
        error: estimate of the error of w, (E, n_parameters).
        dt: the lengths of the steps, at most those asked for.
    """

    w: Tensor
    gradient: Tensor
    measures: Measures
    error: Tensor
    dt: list[float]


class FlowStepper(Stepper):
    """Steps of the flow under a controller; subclasses say what a trial step is.

    Args:
        order: order of the solution that trials return.
        controller: the step-size controller.
    """

    gradient: Tensor

    def __init__(
        self,
        order: int,
        controller: ErrorPerStep | FixedStep,
        objective: Objective,
        w: Tensor,
        max_time: float,
    ) -> None:
        super().__init__(objective, w, max_time)
        self._order, self._controller = order, controller
        self._scale = objective.scale(w)
        self._measures = self.evaluate(self.w)
        self.gradient = objective.gradient().clone()
        if isinstance(controller, FixedStep):
            self._dt = [controller.dt] * objective.members
        else:
            norms = zip(self._scale, self.grad_norm(), strict=True)
            self._dt = [controller.initial_step(scale, slope) for scale, slope in norms]
        self._previous_error = [1.0] * objective.members
        # the last step kept: (w, gradient) where it started, and its length
        self._from_w, self._from_gradient = self.w, self.gradient
        self._length = [0.0] * objective.members

    def trial(self, dt: list[float]) -> Trial:
        """A step of every member, of length ``dt`` or as long as the method can."""
        raise NotImplementedError

    def advance(self) -> None:
        dt = [min(d, self.max_time - t) for d, t in zip(self._dt, self.time, strict=True)]
        trial = self.trial(dt)
        self._commit(trial.dt, self._decide(trial.dt, trial), trial)

    def stalled(self, member: int) -> bool:
        return self.time[member] + self._dt[member] == self.time[member]

    def locate(self, member: int, excess: Excess) -> Located | None:
        length = self._length[member]
        if length == 0.0:
            return None
        row = slice(member, member + 1)
        ends = (self._from_w[row], self.w[row])
        slopes = (-self._from_gradient[row], -self.gradient[row])
        objective = self.objective.select([member])

        def at(theta: float) -> tuple[Tensor, Measures]:
            w = ends[1] if theta == 1.0 else hermite(theta, length, ends, slopes)
            return w, objective.evaluate(w)

        theta = first_satisfied(lambda theta: excess(objective, at(theta)[1]))
        w, measures = at(theta)
        return w, self.time[member] - (1.0 - theta) * length, measures

    def _decide(self, dt: list[float], trial: Trial) -> list[Decision]:
        controller = self._controller
        if isinstance(controller, FixedStep):
            return [Decision(True, controller.dt)] * len(dt)
        measures = trial.measures
        errors = self._errors(controller.space, trial)
        changes = [0.0] * len(dt)
        if controller.max_output_change is not None:
            moves = _largest(measures.predictor - self.measures.predictor)
            changes = [move / controller.max_output_change for move in moves]
        decisions = []
        for member, length in enumerate(dt):
            ratio = errors[member] / controller.tol
            if not math.isfinite(measures.loss[member]):
                ratio = math.inf
            previous = self._previous_error[member]
            decision = controller.decide(length, ratio, previous, changes[member], self._order)
            if decision.accept:
                self._previous_error[member] = ratio
            decisions.append(decision)
        return decisions

    def _errors(self, space: str, trial: Trial) -> list[float]:
        """The size of each member's error, to be compared with the tolerance."""
        if space != "outputs":
            norms = self.objective.norm(trial.error)
            weights = [norm / scale for norm, scale in zip(norms, self._scale, strict=True)]
        if space != "weights":
            self.evaluations += 1
            without = self.objective.predictor(trial.w - trial.error)
            outputs = _largest(without - trial.measures.predictor)
        if space == "both":
            return [max(w, _OUTPUT_SHARE * f) for w, f in zip(weights, outputs, strict=True)]
        return weights if space == "weights" else outputs

    def _commit(self, dt: list[float], decisions: list[Decision], trial: Trial) -> None:
        accept = [decision.accept for decision in decisions]
        self._from_w = choose(accept, self.w, self._from_w)
        self._from_gradient = choose(accept, self.gradient, self._from_gradient)
        self.w = choose(accept, trial.w, self.w)
        self.gradient = choose(accept, trial.gradient, self.gradient)
        self._measures = choose_measures(accept, trial.measures, self.measures)
        for member, decision in enumerate(decisions):
            self._dt[member] = decision.dt
            if decision.accept:
                self.steps[member] += 1
                self.forced[member] += decision.forced
                self._length[member] = dt[member]
                # set, not summed, so that a run ends at its time exactly
                ends = dt[member] == self.max_time - self.time[member]
                self.time[member] = self.max_time if ends else self.time[member] + dt[member]


def _largest(values: Tensor) -> list[float]:
    return values.abs().flatten(1).amax(1).tolist()


def hermite(
    theta: float, length: float, ends: tuple[Tensor, Tensor], slopes: tuple[Tensor, Tensor]
) -> Tensor:
    """The cubic through both ends of a step with their slopes, at the fraction ``theta``."""
    (w, w_new), (s, s_new) = ends, slopes
    jump = w_new - w
    return w + theta * (
        jump
        + (theta - 1.0)
        * ((1.0 - 2.0 * theta) * jump + length * ((theta - 1.0) * s + theta * s_new))
    )


def first_satisfied(excess: Callable[[float], float]) -> float:
    """A fraction of the step, close to the crossing from above, where ``excess`` is <= 0.

    ``excess`` is positive at 0 and <= 0 at 1; the returned point is on the satisfied side.
    """
    low, high = 0.0, 1.0
    while high - low > _EVENT_RESOLUTION:
        middle = 0.5 * (low + high)
        if excess(middle) > 0:
            low = middle
        else:
            high = middle
    return high

"""What every integrator looks like to the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from symscape.dynamics._objective import Measures, Objective

__all__ = ["Excess", "Integrator", "Located", "Stepper"]

_Number = TypeVar("_Number", int, float)

Located = tuple[Tensor, float, Measures]
Excess = Callable[[Objective, Measures], float]


class Integrator(Protocol):
    """A frozen description of a method; :meth:`start` makes the thing that steps."""

    def start(self, objective: Objective, w: Tensor, max_time: float) -> Stepper:
        """A stepper at ``w``, (E, n_parameters), that never steps beyond ``max_time``."""
        ...

    def for_member(self, index: int) -> Integrator:
        """The method that trains member ``index`` of an ensemble alone."""
        ...


class Stepper:
    """The moving state of E members under one integrator.

    Numbers of one member (steps, time, step sizes) are plain Python floats in lists: decisions
    are taken on the host, and one member alone costs no bookkeeping on tensors.

    Attributes:
        w: parameters, (E, n_parameters).
        steps: accepted steps of each member.
        time: flow time of each member.
        forced: accepted steps whose error was too large.
        evaluations: evaluations of the loss so far (the same for all members that are left).
        gradient: the last gradient known, (E, n_parameters), or None.
    """

    def __init__(self, objective: Objective, w: Tensor, max_time: float) -> None:
        self.objective = objective
        self.w = w.clone()
        self.max_time = max_time
        self.steps = [0] * objective.members
        self.time = [0.0] * objective.members
        self.forced = [0] * objective.members
        self.evaluations = 0
        self.gradient: Tensor | None = None
        self._measures: Measures | None = None

    @property
    def measures(self) -> Measures:
        """Loss and counts at ``w``."""
        if self._measures is None:
            self._measures = self.evaluate(self.w)
        return self._measures

    def evaluate(self, w: Tensor) -> Measures:
        """One counted evaluation of the objective."""
        self.evaluations += 1
        return self.objective.evaluate(w)

    def advance(self) -> None:
        """Try one step of every member."""
        raise NotImplementedError

    def stalled(self, member: int) -> bool:
        """Whether the member's step no longer changes its time."""
        return False

    def locate(self, member: int, excess: Excess) -> Located | None:
        """Where inside the member's last step ``excess`` fell to zero.

        The parameters (1, n_parameters), the time and the measures (of one member) there;
        None for methods whose steps have no inside.
        """
        return None

    def network_weights(self) -> Tensor:
        """The parameters as the network understands them, (E, n_parameters)."""
        return self.w

    def grad_norm(self) -> list[float]:
        """Norm of the last known gradient of each member; NaN before the first."""
        if self.gradient is None:
            return [math.nan] * len(self.steps)
        return self.objective.norm(self.gradient)

    def keep(self, members: list[int]) -> None:
        """Go on with some of the members only."""
        self.objective = self.objective.select(members)
        for name, value in list(vars(self).items()):
            if name == "objective":
                continue
            if isinstance(value, Tensor):
                setattr(self, name, value[members])
            elif isinstance(value, Measures):
                setattr(self, name, value.select(members))
            elif isinstance(value, list):
                setattr(self, name, [value[member] for member in members])
        # the new objective knows nothing of the last evaluation, which gradients refer to
        self.objective.propagate(self.network_weights())

    def column(self, values: list[float]) -> float | Tensor:
        """Per-member numbers as a factor of (E, n_parameters) tensors."""
        if len(values) == 1:
            return values[0]
        return torch.tensor(values, dtype=self.w.dtype, device=self.w.device).unsqueeze(1)


def choose(accept: list[bool], new: Tensor, old: Tensor) -> Tensor:
    """Row by row: ``new`` where accepted, else ``old``."""
    if all(accept):
        return new
    if not any(accept):
        return old
    mask = torch.tensor(accept, device=new.device)
    return torch.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def choose_measures(accept: list[bool], new: Measures, old: Measures) -> Measures:
    """:func:`choose` for every measure."""
    if all(accept):
        return new
    if not any(accept):
        return old
    return Measures(
        choose(accept, new.predictor, old.predictor),
        _choose_numbers(accept, new.loss, old.loss),
        _choose_numbers(accept, new.n_delta, old.n_delta),
        _choose_numbers(accept, new.misclassified, old.misclassified),
    )


def _choose_numbers(accept: list[bool], new: list[_Number], old: list[_Number]) -> list[_Number]:
    return [a if yes else b for yes, a, b in zip(accept, new, old, strict=True)]

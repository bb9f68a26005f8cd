"""What a run leaves behind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, overload

import numpy as np
from torch import Tensor

from symscape._arguments import refused
from symscape.dynamics._stop import Status

__all__ = ["EnsembleResult", "Snapshot", "Strategy", "TrainResult"]

Strategy = Literal["loop", "processes", "batched"]


@dataclass(frozen=True)
class Snapshot:
    """The weights where the loss first fell to ``level``, or at a chosen step.

    Flows are located inside the step, so that ``loss`` and ``time`` are those of the crossing;
    other methods give the first step at or below the level. With alpha, ``level`` and ``loss`` are
    alpha^2 times the loss. ``level`` is NaN for weights that were kept at their step.
    """

    level: float
    step: int
    time: float
    loss: float
    n_delta: int
    w: Tensor


@dataclass(frozen=True)
class TrainResult:
    """The end of one run.

    Attributes:
        w: final parameters, (n_parameters,).
        status: ``converged`` (zero loss), ``stalled`` (the step fell below the resolution of the
            time, or a plateau), ``out_of_budget`` (a censored run: more steps might have fitted),
            or ``diverged`` (a number that is not finite, at step ``steps``).
        steps: accepted steps.
        evaluations: evaluations of the loss, with or without gradient.
        time: flow time (sum of the steps' learning rates for methods that have them).
        wall_seconds: computing time. A member of a batched ensemble is given its share of every
            step it took part in.
        loss: final training loss (with alpha: divided by alpha^2).
        n_delta: final number of unsatisfied constraints.
        misclassified: final number of misclassified training patterns.
        grad_norm: norm of the gradient at the last step at which it was known.
        forced: steps accepted although their error was too large, because the step size had
            reached its minimum.
        test_error: final fraction of misclassified test patterns; NaN without a test set.
        best_test_error: its minimum over the recorded steps.
        history: arrays of equal length: step, time, loss, n_delta, misclassified, grad_norm,
            test_error where there is a test set, and the observables of the :class:`Record`.
        snapshots: the weights kept at given losses and steps, in the order of time.
        loss_levels: the losses that were asked for.
    """

    w: Tensor
    status: Status
    steps: int
    evaluations: int
    time: float
    wall_seconds: float
    loss: float
    n_delta: int
    misclassified: int
    grad_norm: float
    forced: int = 0
    test_error: float = float("nan")
    best_test_error: float = float("nan")
    history: dict[str, np.ndarray] = field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()
    loss_levels: tuple[float, ...] = ()

    def time_at_loss(self, level: float = 0.5) -> float:
        r"""Flow time at which the loss first fell to ``level``; with alpha, alpha^2 times the loss.

        The thesis's :math:`t_{\mathcal L/2}` is that of one half, the initial loss being 1. NaN if
        the run ended before.

        Raises:
            ValueError: the level was not one of ``Record.loss_levels``.

        Source: Ch. 3, paper I, Section 5.
        """
        if level not in self.loss_levels:
            recorded = ", ".join(map(str, self.loss_levels)) or "none was recorded"
            raise refused("level", level, f"one of Record.loss_levels ({recorded})")
        times = [kept.time for kept in self.snapshots if kept.level == level]
        return times[0] if times else math.nan

    def raise_if_diverged(self) -> None:
        """Raise FloatingPointError, naming the step, if the run diverged."""
        if self.status == "diverged":
            raise FloatingPointError(
                f"training diverged: the loss is {self.loss} at step {self.steps} "
                f"(flow time {self.time:.6g})"
            )


@dataclass(frozen=True)
class EnsembleResult(Sequence[TrainResult]):
    """The runs of an ensemble, in order, and the way they were computed.

    Attributes:
        members: one result per member.
        strategy: ``loop``, ``processes`` or ``batched``: what was really done.
        workers: number of processes that computed.
        wall_seconds: time from start to end of the whole ensemble.
    """

    members: tuple[TrainResult, ...]
    strategy: Strategy
    workers: int
    wall_seconds: float

    def __len__(self) -> int:
        return len(self.members)

    @overload
    def __getitem__(self, index: int) -> TrainResult: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[TrainResult]: ...

    def __getitem__(self, index: int | slice) -> TrainResult | Sequence[TrainResult]:
        return self.members[index]

    def __iter__(self) -> Iterator[TrainResult]:
        return iter(self.members)

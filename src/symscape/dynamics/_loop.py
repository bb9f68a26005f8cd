"""The loop: steps, looks, records, and lets finished members go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from symscape.dynamics._objective import Measures, Objective
from symscape.dynamics._observables import Observer
from symscape.dynamics._result import Snapshot, TrainResult
from symscape.dynamics._stepper import Located, Stepper
from symscape.dynamics._stop import Record, Status, Stop

__all__ = ["run"]

_COLUMNS = ("step", "time", "loss", "n_delta", "misclassified", "grad_norm")


@dataclass
class _Member:
    """What the loop remembers about one member."""

    index: int
    lines: list[tuple[float, ...]] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    window_start: int = 0
    window_loss: float = math.inf


def run(
    stepper: Stepper, stop: Stop, record: Record, test: Objective | None = None
) -> list[TrainResult]:
    """Run every member of ``stepper`` to its end.

    Args:
        stepper: the members and their integrator.
        stop: when a member ends.
        record: what is written down.
        test: the objective on the test set, or None.

    Returns:
        One result per member, in order.
    """
    loop = _Loop(stepper, stop, record, test)
    while loop.members:
        loop.look()
        if loop.members:
            stepper.advance()
            loop.iteration += 1
    return [loop.results[index] for index in sorted(loop.results)]


class _Loop:
    def __init__(
        self, stepper: Stepper, stop: Stop, record: Record, test: Objective | None
    ) -> None:
        self.stepper, self.stop, self.record = stepper, stop, record
        self.iteration = 0
        self.observer = Observer(
            record.observables, stepper.objective, test, stepper.network_weights()
        )
        levels = sorted(record.loss_levels, reverse=True)
        count = stepper.objective.members
        steps = sorted(set(record.keep_steps))
        self.members = [
            _Member(index, levels=list(levels), steps=list(steps)) for index in range(count)
        ]
        self.results: dict[int, TrainResult] = {}
        self._schedule = record.steps()
        self._next_record = next(self._schedule)
        self._start = self._last = perf_counter()
        self._share = 0.0

    def look(self) -> None:
        """Record and end members, where it is time to."""
        stop, stepper = self.stop, self.stepper
        now = perf_counter()
        late = stop.wall_time is not None and now - self._start >= stop.wall_time
        due = self.iteration >= self._next_record
        check = self.iteration % stop.check_every == 0 or self.iteration >= stop.max_steps
        keep = self.iteration in self.record.keep_steps
        if not (due or check or late or keep):
            return
        losses = stepper.objective.per_pattern(stepper.measures)
        counts = stepper.measures.n_delta
        ended: dict[int, Status] = {}
        for position, member in enumerate(self.members):
            loss, n_delta = losses[position], counts[position]
            if member.levels and loss <= member.levels[0]:
                self._keep_weights(position, loss)
            while member.steps and stepper.steps[position] >= member.steps[0]:
                del member.steps[0]
                self._keep(position, math.nan, self._state(position), loss)
            status = self._status(position, loss, n_delta, late)
            if status is not None:
                ended[position] = status
        if due:
            self._write_lines([p for p in range(len(self.members)) if p not in ended])
            while self._next_record <= self.iteration:
                self._next_record = next(self._schedule)
        if ended:
            self._let_go(ended)

    def _status(self, position: int, loss: float, n_delta: int, late: bool) -> Status | None:
        stop, stepper, member = self.stop, self.stepper, self.members[position]
        steps = stepper.steps[position]
        if not math.isfinite(loss):
            return "diverged"
        if stop.zero_loss and n_delta == 0:
            return "converged"
        if stop.loss_below is not None and loss < stop.loss_below:
            return "converged"
        if steps >= stop.max_steps or stepper.time[position] >= stepper.max_time or late:
            return "out_of_budget"
        if stepper.stalled(position):
            return "stalled"
        plateau = stop.plateau
        if plateau is not None and steps - member.window_start >= plateau.steps:
            if loss > member.window_loss * (1.0 - plateau.fraction):
                return "stalled"
            member.window_start, member.window_loss = steps, loss
        return None

    def _keep_weights(self, position: int, loss: float) -> None:
        member, stepper = self.members[position], self.stepper
        levels = [level for level in member.levels if loss <= level]
        del member.levels[: len(levels)]
        for level in levels:

            def above(objective: Objective, measures: Measures, level: float = level) -> float:
                return objective.per_pattern(measures)[0] - level

            located = stepper.locate(position, above)
            if located is None:
                self._keep(position, level, self._state(position), loss)
            else:
                reached = stepper.objective.select([position]).per_pattern(located[2])[0]
                self._keep(position, level, located, reached)

    def _keep(self, position: int, level: float, state: Located, loss: float) -> None:
        w, time, measures = state
        steps, n_delta = self.stepper.steps[position], measures.n_delta[0]
        kept = Snapshot(level, steps, time, loss, n_delta, w[0])
        self.members[position].snapshots.append(kept)

    def _state(self, position: int) -> Located:
        """The present parameters, time and measures of one member."""
        stepper = self.stepper
        w = stepper.network_weights()[position : position + 1].clone()
        return w, stepper.time[position], stepper.measures.select([position])

    def _where_it_ended(self, position: int, status: Status) -> Located:
        """The state of a member that ended: where its last constraint was satisfied, if it was."""
        stepper, state = self.stepper, self._state(position)
        if status != "converged" or state[2].n_delta[0] > 0:
            return state

        def unsatisfied(objective: Objective, measures: Measures) -> float:
            return float(objective.loss.delta(measures.predictor, objective.y).max())

        located = stepper.locate(position, unsatisfied)
        # losses have constraints that hold only beyond delta = 0
        return state if located is None or located[2].n_delta[0] > 0 else located

    def _write_lines(self, positions: list[int]) -> None:
        """One line of history for each of these members, at their present state."""
        if not positions:
            return
        stepper, measures = self.stepper, self.stepper.measures
        columns: list[Sequence[float]] = [
            stepper.steps,
            stepper.time,
            measures.loss,
            measures.n_delta,
            measures.misclassified,
            stepper.grad_norm(),
            *self.observer.columns(stepper.network_weights(), measures),
        ]
        for position in positions:
            self.members[position].lines.append(tuple(column[position] for column in columns))

    def _let_go(self, ended: dict[int, Status]) -> None:
        """Store the results of the members that ended, and go on with the others."""
        now = perf_counter()
        self._share += (now - self._last) / len(self.members)
        for position, status in ended.items():
            self.results[self.members[position].index] = self._result(position, status)
        left = [position for position in range(len(self.members)) if position not in ended]
        self.members = [self.members[position] for position in left]
        if left:
            self.stepper.keep(left)
            self.observer.keep(left, self.stepper.objective)
        self._last = perf_counter()

    def _result(self, position: int, status: Status) -> TrainResult:
        stepper, member = self.stepper, self.members[position]
        w, time, measures = self._where_it_ended(position, status)
        loss, n_delta = measures.loss[0], measures.n_delta[0]
        misclassified, grad_norm = measures.misclassified[0], stepper.grad_norm()[position]
        numbers = (stepper.steps[position], time, loss, n_delta, misclassified, grad_norm)
        observed = [column[0] for column in self.observer.of(position).columns(w, measures)]
        member.lines.append((*numbers, *observed))
        table = [np.array(column) for column in zip(*member.lines, strict=True)]
        history = dict(zip((*_COLUMNS, *self.observer.names), table, strict=True))
        errors = history.get("test_error")
        return TrainResult(
            w=w[0],
            status=status,
            steps=stepper.steps[position],
            evaluations=stepper.evaluations,
            time=time,
            wall_seconds=self._share,
            loss=loss,
            n_delta=n_delta,
            misclassified=misclassified,
            grad_norm=grad_norm,
            forced=stepper.forced[position],
            test_error=math.nan if errors is None else float(errors[-1]),
            best_test_error=math.nan if errors is None else float(errors.min()),
            history=history,
            snapshots=tuple(member.snapshots),
            loss_levels=tuple(self.record.loss_levels),
        )

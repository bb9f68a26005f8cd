"""Running a sweep: expand the points, leave out what is stored, measure the rest."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from symscape.lab._code import running_code
from symscape.lab._errors import ExecutorError, InputError, StoreError
from symscape.lab._executors import Executor
from symscape.lab._experiment import Experiment, find
from symscape.lab._keys import key_of
from symscape.lab._leases import Scheduler
from symscape.lab._measure import Measured, Task, misfit
from symscape.lab._progress import Progress
from symscape.lab._store import Store
from symscape.lab._table import Point

POLL = 0.5
"""Seconds between two looks at points that another scheduler is measuring."""

_WINDOW = 64  # keys per claim, beside those that are needed
_DEEPEST = 8  # points in a worker's queue


@dataclass(frozen=True)
class Job:
    """An experiment in a profile, with replaced parameters."""

    experiment: Experiment
    profile: str = "quick"
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class RunSummary:
    """How a sweep of one experiment ended.

    Attributes:
        experiment: its name.
        profile: its profile.
        points: all points of the sweep.
        already: were in the store before.
        done: measured now.
        elsewhere: measured in the meantime by another scheduler on the same store.
        failed: points whose last attempt failed, here or elsewhere.
        seconds: wall-clock time of the whole sweep.
        complete: False where the sweep stopped early (``fail_fast``).
    """

    experiment: str
    profile: str
    points: int = 0
    already: int = 0
    done: int = 0
    elsewhere: int = 0
    failed: int = 0
    seconds: float = 0.0
    complete: bool = True


def run_experiment(
    experiment: Experiment | str,
    profile: str,
    store: Store,
    executor: Executor,
    *,
    overrides: Mapping[str, Any] | None = None,
    fail_fast: bool = False,
    progress: Progress | None = None,
) -> RunSummary:
    """Measure all points of an experiment that are not in the store yet.

    Points that failed in an earlier call are measured again. Arguments and errors are those of
    :func:`run_sweep`.
    """
    if isinstance(experiment, str):
        experiment = find(experiment)
    job = Job(experiment, profile, dict(overrides or {}))
    return run_sweep([job], store, executor, fail_fast=fail_fast, progress=progress)[0]


def run_sweep(
    jobs: Sequence[Job],
    store: Store,
    executor: Executor,
    *,
    fail_fast: bool = False,
    progress: Progress | None = None,
) -> list[RunSummary]:
    """Measure the points of several experiments as one sweep, the most expensive ones first.

    Every finished point is committed at once, so that the sweep can be killed at any time; the
    same call goes on from there. Several calls on one store, on one or many machines, share the
    points. A point whose ``measure`` raises is stored as failed, with the traceback.

    Args:
        jobs: what to run.
        store: where results go.
        executor: where points are measured; entered and left here.
        fail_fast: stop at the first failed point.
        progress: hears of every step.

    Returns:
        One summary per job.

    Raises:
        InputError: before anything is measured, if parameters or points are invalid.
        StoreError: if the store fails; finished points are kept.
        ExecutorError: if the workers are lost, or a point was measured by other code than that of
            this process (its source was edited, say); finished points are kept.
        KeyboardInterrupt: after stopping the workers and giving up the leases.
    """
    plans = [_Plan(job) for job in jobs]
    for plan in plans:
        plan.skip_finished(store)
    return _Sweep(plans, store, executor, progress or Progress(), fail_fast).run()


class _Plan:
    """The points of one job, and its summary."""

    def __init__(self, job: Job) -> None:
        self.job = job
        experiment = job.experiment
        self.points = expand(experiment, job.profile, job.overrides)
        self.all_points = list(self.points.values())
        self.summary = RunSummary(experiment.name, job.profile, points=len(self.points))
        self.attempts: dict[str, int] = {}

    def skip_finished(self, store: Store) -> None:
        status = store.status(self.job.experiment)
        todo = {k: p for k, p in self.points.items() if status.get(k, ("", 0))[0] != "done"}
        self.summary.already = len(self.points) - len(todo)
        self.attempts = {key: status[key][1] for key in todo if key in status}
        self.points = todo

    def tasks(self) -> list[tuple[float, Task]]:
        experiment = self.job.experiment
        code = running_code(type(experiment))
        return [
            (experiment.cost(point), Task(key, type(experiment), point, code))
            for key, point in self.points.items()
        ]


def expand(
    experiment: Experiment, profile: str, overrides: Mapping[str, Any] | None = None
) -> dict[str, Point]:
    """Return the points of an experiment by key, in their order.

    Raises:
        InputError: if the parameters are invalid, or the points cannot be made or are not
            distinct.
    """
    parameters = experiment.parameters(profile, overrides)
    points: dict[str, Point] = {}
    try:
        for point in experiment.points(parameters):
            key = key_of(experiment.name, experiment.version, point)
            if key in points:
                raise InputError(f"Experiment '{experiment.name}' yields a point twice: {point}.")
            points[key] = point
    except InputError:
        raise
    except (ValueError, OSError) as error:  # for example data that are not there
        raise InputError(f"Experiment '{experiment.name}' cannot be set up: {error}") from error
    return points


class _Sweep:
    """The loop: keep the executor busy, store what comes back."""

    def __init__(
        self,
        plans: Sequence[_Plan],
        store: Store,
        executor: Executor,
        progress: Progress,
        fail_fast: bool,
    ) -> None:
        self.plans, self.store, self.executor = plans, store, executor
        self.progress, self.fail_fast = progress, fail_fast
        self.summaries: dict[str, list[RunSummary]] = {}
        self.attempts: dict[str, int] = {}
        self.tasks: dict[str, tuple[float, Task]] = {}
        for plan in plans:
            self.attempts.update(plan.attempts)
            for cost, task in plan.tasks():
                self.tasks[task.key] = (cost, task)
                self.summaries.setdefault(task.key, []).append(plan.summary)
        by_cost = sorted(self.tasks, key=lambda key: -self.tasks[key][0])
        self.pending: deque[str] = deque(by_cost)
        self.elsewhere: list[str] = []
        self.flying: set[str] = set()
        self.mean: float | None = None
        self.polled = 0.0

    def run(self) -> list[RunSummary]:
        start = time.monotonic()
        provenance = self.store.record_provenance()
        runs = [
            self.store.begin_run(
                plan.job.experiment,
                plan.job.profile,
                plan.job.overrides,
                plan.all_points,
                str(self.executor),
                provenance,
            )
            for plan in self.plans
        ]
        status = "interrupted"
        try:
            if self.tasks:
                self._measure_all(provenance)
            status = "finished"
        finally:
            for plan, run in zip(self.plans, runs, strict=True):
                summary = plan.summary
                summary.seconds = time.monotonic() - start
                with suppress(StoreError):  # the sweep's own error is the one to be seen
                    self.store.end_run(
                        run,
                        status if summary.complete else "interrupted",
                        done=summary.done + summary.elsewhere,
                        failed=summary.failed,
                        already=summary.already,
                    )
        return [plan.summary for plan in self.plans]

    def _measure_all(self, provenance: str) -> None:
        with Scheduler(self.store, provenance) as scheduler:
            # Entered inside, so that a point's lease outlives its worker.
            self.progress.begin(len(self.tasks), sum(cost for cost, _ in self.tasks.values()))
            try:
                with self.executor:
                    self._loop(scheduler)
            finally:
                self.progress.end()

    def _loop(self, scheduler: Scheduler) -> None:
        while self.pending or self.flying or self.elsewhere:
            self._fill(scheduler)
            if not self.flying:
                if self.elsewhere:
                    self.progress.waiting(len(self.elsewhere))
                    time.sleep(POLL)
                continue
            outcomes = self.executor.wait(POLL)
            misfits = [misfit(task, measured) for task, measured in outcomes]
            for (task, measured), unfit in zip(outcomes, misfits, strict=True):
                if unfit:
                    continue
                scheduler.commit(task, measured)
                self._record(task, measured)
                if self.fail_fast and measured.status == "failed":
                    self._stop_early()
                    return
            if any(misfits):
                raise ExecutorError(next(filter(None, misfits)))

    def _fill(self, scheduler: Scheduler) -> None:
        """Lease and submit points until every worker has enough of them."""
        capacity = self.executor.slots * self._depth()
        room = capacity - len(self.flying)
        if room < max(1, capacity // 2) and len(self.flying) >= self.executor.slots:
            return
        if self.elsewhere and time.monotonic() - self.polled > POLL:
            self.polled = time.monotonic()
            scheduler.bury()
            self.pending.extend(self.elsewhere)
            self.elsewhere = []
        while room > 0 and self.pending:
            room -= self._claim(scheduler, room)

    def _claim(self, scheduler: Scheduler, room: int) -> int:
        count = min(len(self.pending), room + _WINDOW if self.elsewhere else room)
        window = [self.pending.popleft() for _ in range(count)]
        claimed = scheduler.claim(window, room, self.attempts)
        self.elsewhere += claimed.elsewhere
        for key, status in claimed.finished.items():
            self._record_elsewhere(key, status)
        settled = {*claimed.taken, *claimed.elsewhere, *claimed.finished}
        self.pending.extendleft(key for key in reversed(window) if key not in settled)
        for key in claimed.taken:
            self.flying.add(key)
            self.executor.submit(self.tasks[key][1])
        return len(claimed.taken)

    def _depth(self) -> int:
        """Points per worker: short ones are queued, so that no worker waits for the next one.

        Long ones are not, for another scheduler could take them.
        """
        if self.mean is None or self.mean > 1.0:
            return 1
        return min(_DEEPEST, 2 + int(0.02 / max(self.mean, 1e-9)))

    def _record(self, task: Task, measured: Measured) -> None:
        self.flying.discard(task.key)
        mean = measured.seconds if self.mean is None else self.mean
        self.mean = 0.9 * mean + 0.1 * measured.seconds
        for summary in self.summaries[task.key]:
            if measured.status == "done":
                summary.done += 1
            else:
                summary.failed += 1
        if measured.status == "failed":
            self.progress.failure(task.experiment.name, task.point, measured.error or "")
        self.progress.advance(measured.status, self.tasks[task.key][0])

    def _record_elsewhere(self, key: str, status: str) -> None:
        for summary in self.summaries[key]:
            if status == "done":
                summary.elsewhere += 1
            else:
                summary.failed += 1
        self.progress.advance(status, self.tasks[key][0])

    def _stop_early(self) -> None:
        for plan in self.plans:
            plan.summary.complete = not (self.flying | set(self.pending) | set(self.elsewhere))

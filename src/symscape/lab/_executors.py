"""Executors: where points are measured. This process, and processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait as wait_for

from symscape.lab._errors import InputError
from symscape.lab._measure import (
    ONE_THREAD,
    Measured,
    Task,
    failure,
    measure,
    measure_on_one_thread,
)

DEATHS = 3
"""A point whose worker died this often counts as failed."""


class Executor(ABC):
    """Measures points. A context manager: workers live from ``__enter__`` to ``__exit__``."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many points keep all workers busy now."""

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Accept a point; more than there are workers wait in a queue."""

    @abstractmethod
    def wait(self, seconds: float) -> list[tuple[Task, Measured]]:
        """Return outcomes, as soon as there is one, or nothing after ``seconds``."""

    @abstractmethod
    def __str__(self) -> str:
        """Describe it for the log of runs."""

    def __enter__(self) -> Executor:
        return self

    @abstractmethod
    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Stop the workers: at once if an exception is on its way."""


class InProcess(Executor):
    """Measures in the calling process, one point after the other: for debugging, and for a GPU."""

    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()

    @property
    def slots(self) -> int:
        return 1

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def wait(self, seconds: float) -> list[tuple[Task, Measured]]:
        if not self._tasks:
            time.sleep(seconds)
            return []
        task = self._tasks.popleft()
        return [(task, measure(task))]

    def __exit__(self, *_: object) -> None:
        self._tasks.clear()

    def __str__(self) -> str:
        return "in process"


class LocalProcesses(Executor):
    """Measures in processes of this machine, each with one thread.

    Every worker is a process pool of its own, so that a worker that is killed loses its own point
    only. That point is measured again, in a new process, and fails after three deaths.

    Args:
        workers: number of processes; as many as cores by default.

    Raises:
        InputError: if ``workers`` is less than 1.
    """

    def __init__(self, workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise InputError(f"workers={workers} must be at least 1.")
        self._count = workers or available_cores()
        self._pool: list[_Worker] = []
        self._ended: queue.SimpleQueue[_Ended] = queue.SimpleQueue()
        self._deaths: dict[str, int] = {}

    @property
    def slots(self) -> int:
        return self._count

    def __str__(self) -> str:
        return f"{self._count} local processes"

    def __enter__(self) -> LocalProcesses:
        self._pool = [_Worker(self._ended) for _ in range(self._count)]
        try:
            for worker in self._pool:
                worker.start()
        except BaseException as error:  # Ctrl-C: those that started must not stay
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        at_once = kind is not None or any(worker.tasks for worker in self._pool)
        with ThreadPoolExecutor(max(1, len(self._pool))) as together:
            list(together.map(lambda worker: worker.stop(at_once=at_once), self._pool))
        self._pool = []

    def submit(self, task: Task) -> None:
        min(self._pool, key=lambda worker: len(worker.tasks)).submit(task)

    def wait(self, seconds: float) -> list[tuple[Task, Measured]]:
        outcomes: list[tuple[Task, Measured]] = []
        try:
            outcomes += self._outcome(self._ended.get(timeout=seconds))
            while True:
                outcomes += self._outcome(self._ended.get_nowait())
        except queue.Empty:
            return outcomes

    def _outcome(self, ended: _Ended) -> list[tuple[Task, Measured]]:
        worker, task, future = ended.worker, ended.task, ended.future
        if worker not in self._pool:
            return []  # its tasks were moved when it died
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            return self._bury(worker)
        worker.tasks.remove(task)
        self._deaths.pop(task.key, None)
        if error is not None:
            return [(task, failure(f"The point could not reach a worker: {error!r}", task.code))]
        return [(task, future.result())]

    def _bury(self, worker: _Worker) -> list[tuple[Task, Measured]]:
        """Replace a dead worker. The first of its tasks was running; the others were waiting."""
        tasks = list(worker.tasks)
        successor = _Worker(self._ended)
        self._pool[self._pool.index(worker)] = successor
        successor.start()
        worker.stop(at_once=True)
        outcomes = []
        for position, task in enumerate(tasks):
            if position == 0:
                self._deaths[task.key] = self._deaths.get(task.key, 0) + 1
            if self._deaths.get(task.key, 0) >= DEATHS:
                outcomes.append((task, failure(died_message(DEATHS), task.code)))
            else:
                self.submit(task)
        return outcomes


def died_message(deaths: int) -> str:
    """Return the error of a point that kills its workers."""
    return (
        f"WorkerDied: the process that measured this point was killed {deaths} times (out of "
        f"memory, or a crash in native code)"
    )


@dataclass(frozen=True)
class _Ended:
    worker: _Worker
    task: Task
    future: Future[Measured]


@dataclass(eq=False)
class _Worker:
    """One process with a queue of tasks, the first of which it measures."""

    ended: queue.SimpleQueue[_Ended]
    tasks: deque[Task] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), initializer=_start_worker
        )
        self._pid: Future[int] | None = None

    def start(self) -> None:
        with _environment(ONE_THREAD), _interrupts_blocked():
            self._pid = self._pool.submit(os.getpid)  # starts the process

    def submit(self, task: Task) -> None:
        self.tasks.append(task)
        try:
            future = self._pool.submit(measure_on_one_thread, task)
        except BrokenProcessPool as error:  # it died while it had nothing to do
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda done: self.ended.put(_Ended(self, task, done)))

    def stop(self, *, at_once: bool) -> None:
        """End the process, and wait for its end: a pool that Python must close at its exit may
        find itself half closed, and print an error (CPython 3.11)."""
        ends = True
        if at_once and self._pid is not None:
            try:
                # A process that is still starting says its id in a moment, before it takes a task.
                os.kill(self._pid.result(timeout=30), signal.SIGKILL)
            except (BrokenProcessPool, ProcessLookupError):
                pass  # it has ended
            except TimeoutError:
                ends = False
        self._pool.shutdown(wait=ends, cancel_futures=True)


def _start_worker() -> None:
    """Prepare a worker: Ctrl-C is the scheduler's affair, and a worker ends with its scheduler."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Start processes that have SIGINT blocked from their first instruction, through all imports.

    The signal waits for this thread meanwhile, and is raised at the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes started inside, which have them from their start."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity
        return os.cpu_count() or 1

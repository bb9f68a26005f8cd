"""Measuring one point, wherever that happens; this is what runs in a worker."""

from __future__ import annotations

import functools
import os
import platform
import sys
import time
import traceback
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from symscape.lab._code import Code, difference, running_code
from symscape.lab._codec import encode
from symscape.lab._experiment import Experiment
from symscape.lab._table import Point

ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
    ),
    "1",
)
"""Environment of a worker. Two spinning threads on a busy core are hundreds of times slower."""


@dataclass(frozen=True)
class Task:
    """One point to be measured, and the code that the scheduler runs."""

    key: str
    experiment: type[Experiment]
    point: Point
    code: Code


@dataclass(frozen=True)
class Measured:
    """The outcome of one point in a form that travels and is stored as it is.

    ``status`` is ``done``, ``failed``, or ``refused`` by a worker that must not measure.
    """

    status: str
    scalars: str | None
    arrays: bytes | None
    error: str | None
    seconds: float
    host: str
    code: Code


def measure(task: Task) -> Measured:
    """Measure a point; an exception is an outcome, too, with its traceback."""
    if other := difference(task.code, running_code(task.experiment)):
        return refusal(other)
    start = time.perf_counter()
    try:
        result = task.experiment().measure(dict(task.point))
        clash = sorted(result.keys() & task.point.keys())
        if clash:
            raise ValueError(f"measure returned {clash}, which are names of the point already")
        scalars, arrays = encode(result)
    except (Exception, SystemExit):
        code = running_code(task.experiment)
        return failure(traceback.format_exc(), code, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    code = running_code(task.experiment)  # asked again: modules may have been imported
    return Measured("done", scalars, arrays, None, seconds, platform.node(), code)


def measure_on_one_thread(task: Task) -> Measured:
    """Measure a point in a worker, after making sure that it computes on one thread."""
    limit_threads()
    return measure(task)


@functools.cache
def limit_threads() -> None:
    """Let this process compute on one thread: libraries loaded from now on, and those there are."""
    os.environ.update(ONE_THREAD)
    threadpool_limits(1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def failure(error: str, code: Code, seconds: float = 0.0) -> Measured:
    """Return the outcome of a point that failed, with its traceback or reason."""
    # PostgreSQL's text cannot hold the character NUL.
    text = error.replace("\0", "")
    return Measured("failed", None, None, text, seconds, platform.node(), code)


def refusal(reason: str) -> Measured:
    """Return the outcome of a worker that must not measure."""
    return Measured("refused", None, None, reason, 0.0, platform.node(), {})


def misfit(task: Task, measured: Measured) -> str:
    """Say why an outcome must not be stored as the scheduler's; nothing if it may be."""
    reason = measured.error if measured.status == "refused" else None
    reason = reason or difference(task.code, measured.code)
    return reason and misfit_message(f"A worker on {measured.host}", reason)


def misfit_message(worker: str, reason: str) -> str:
    """Return the error of a sweep that met a worker which must not measure for it."""
    return (
        f"{worker} must not measure for this command: {reason}. What it measured was not stored; "
        f"other finished points are in the store. A worker needs one thread, and the source that "
        f"the command was started with: do not edit it during a run, start workers again after an "
        f"edit, and give the same command again."
    )

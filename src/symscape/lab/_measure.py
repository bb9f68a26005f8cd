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
    """One point to be measured."""

    key: str
    experiment: type[Experiment]
    point: Point


@dataclass(frozen=True)
class Measured:
    """The outcome of one point in a form that travels and is stored as it is."""

    status: str
    scalars: str | None
    arrays: bytes | None
    error: str | None
    seconds: float
    host: str


def measure(experiment: type[Experiment], point: Point) -> Measured:
    """Measure a point; an exception is an outcome, too, with its traceback."""
    start = time.perf_counter()
    try:
        result = experiment().measure(dict(point))
        clash = sorted(result.keys() & point.keys())
        if clash:
            raise ValueError(f"measure returned {clash}, which are names of the point already")
        scalars, arrays = encode(result)
    except (Exception, SystemExit):
        return failure(traceback.format_exc(), time.perf_counter() - start)
    seconds = time.perf_counter() - start
    return Measured("done", scalars, arrays, None, seconds, platform.node())


def measure_on_one_thread(experiment: type[Experiment], point: Point) -> Measured:
    """Measure a point in a worker, after making sure that it computes on one thread."""
    limit_threads()
    return measure(experiment, point)


@functools.cache
def limit_threads() -> None:
    """Let this process compute on one thread: libraries loaded from now on, and those there are."""
    os.environ.update(ONE_THREAD)
    threadpool_limits(1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def failure(error: str, seconds: float = 0.0) -> Measured:
    """Return the outcome of a point that failed, with its traceback or reason."""
    # PostgreSQL's text cannot hold the character NUL.
    return Measured("failed", None, None, error.replace("\0", ""), seconds, platform.node())

"""Slices of the rows on several threads."""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

__all__ = ["boundaries", "in_slices", "slices"]

_MAX_SLICES = 16
_SLICE_WORK = 200_000  # less than about 20 microseconds is not worth a call

_TASK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_pools: dict[int, ThreadPoolExecutor] = {}
_forks: list[int] = []
_this_thread = threading.local()


def _after_fork() -> None:
    """Threads do not survive a fork, and OpenMP does not notice: a child starts its own."""
    _pools.clear()
    _forks.append(os.getpid())


os.register_at_fork(after_in_child=_after_fork)


def in_slices(function: Callable[[int], None], count: int) -> None:
    """Call ``function(0), ..., function(count - 1)`` on `torch.get_num_threads()` threads.

    They are the threads on which torch runs its own operations, where these are OpenMP's. Those
    wait for work without sleeping, so that other threads would have to share the cores with them.
    Which thread takes which slice varies, so the slices must not depend on each other.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1 or getattr(_this_thread, "busy", False):
        for index in range(count):
            function(index)
        return
    indices = itertools.count()
    errors: list[BaseException] = []

    def work(_: object = None) -> None:
        _this_thread.busy = True  # slices of slices are done where they are
        try:
            while (index := next(indices)) < count and not errors:
                function(index)
        except BaseException as error:  # it must not pass through C; it is raised below
            errors.append(error)
        finally:
            _this_thread.busy = False

    parallel = None if _forks else _openmp()
    if parallel is not None:
        parallel(_TASK(work), None, threads, 0)
    else:
        helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
        work()
        for helper in helpers:
            helper.result()
    if errors:
        raise errors[0]


@functools.cache
def _openmp() -> Any:
    """Start of a parallel region in the OpenMP that torch has loaded; None if it has another."""
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    parallel.argtypes = [_TASK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


def slices(rows: int, work: int) -> list[int]:
    """Where slices of equal size begin and end, for rows of so many multiply-adds.

    The number of slices, and so the order of sums over rows, does not depend on the number of
    threads.
    """
    count = min(_MAX_SLICES, max(1, rows * work // _SLICE_WORK), rows)
    return boundaries(rows, count) if rows else [0]


def boundaries(rows: int, count: int) -> list[int]:
    """Where so many slices of equal size begin and end."""
    return [rows * index // count for index in range(count + 1)]


def _pool(workers: int) -> ThreadPoolExecutor:
    if workers not in _pools:
        _pools[workers] = ThreadPoolExecutor(workers, thread_name_prefix="symscape")
    return _pools[workers]

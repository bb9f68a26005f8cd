"""Slices of the rows on a pool of threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["boundaries", "in_slices", "slices"]

_MAX_SLICES = 16
_SLICE_WORK = 200_000  # less than about 20 microseconds is not worth a call

_pools: dict[int, ThreadPoolExecutor] = {}
# threads do not survive a fork: a child starts its own
os.register_at_fork(after_in_child=_pools.clear)


def in_slices(function: Callable[[int], None], count: int) -> None:
    """Call ``function(0), ..., function(count - 1)`` on `torch.get_num_threads()` threads.

    Which thread takes which slice varies, so the slices must not depend on each other.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1:
        for index in range(count):
            function(index)
        return
    indices = itertools.count()

    def work() -> None:
        while (index := next(indices)) < count:
            function(index)

    helpers = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            helper.result()


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

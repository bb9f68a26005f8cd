"""Training many members of one architecture."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Thread
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.dynamics._losses import Loss
from symscape.dynamics._result import EnsembleResult, Strategy, TrainResult
from symscape.dynamics._stepper import Integrator
from symscape.dynamics._stop import Record, Stop
from symscape.dynamics._train import Data, check_alpha, check_problem, run_members
from symscape.networks import FullyConnected

__all__ = ["train_ensemble"]

_STRATEGIES = ("auto", "loop", "processes", "batched")


def train_ensemble(
    net: FullyConnected,
    w0: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    loss: Loss,
    integrator: Integrator,
    stop: Stop | None = None,
    alpha: float | Tensor | None = None,
    test: Data | None = None,
    record: Record | None = None,
    strategy: Literal["auto"] | Strategy = "auto",
    workers: int | None = None,
) -> EnsembleResult:
    """Train E members; each has its own step size and its own end.

    Every member's result is that of :func:`train` for it alone, to rounding (with SGD: with the
    seed increased by the member's index). How they are computed:

    ``loop``
        one after the other in this process.
    ``processes``
        one after the other in each of ``workers`` spawned processes with one thread each. The
        processes are kept for the next call. A script that uses them must guard its entry with
        ``if __name__ == "__main__":``.
    ``batched``
        all at once in batched matrix products; members that have ended are taken out of the batch
        and cost nothing.
    ``auto``
        batched on a GPU; on the CPU, where a lean loop per member is faster than a batch,
        processes if there are several members and several cores (and this process may have
        children), else loop.

    Args:
        net: the architecture.
        w0: initial parameters, (E, n_parameters).
        x: training inputs, (P, d), or (E, P, d) with one set per member.
        y: labels, (P,) or (E, P).
        loss: the loss of one pattern.
        integrator: the method.
        stop: when a member ends; its ``wall_time`` counts for each member alone, and from the
            start of the whole batch when batched.
        alpha: scale of the centered predictor: None, a number, or (E,).
        test: test inputs and labels, like ``x`` and ``y``.
        record: what the histories hold.
        strategy: see above.
        workers: number of processes; None: as many as there are cores for this process.

    Returns:
        The members' results in order, with the strategy that was taken.

    Raises:
        ValueError: arguments that do not fit.
        RuntimeError: worker processes could not be started or died.
    """
    if strategy not in _STRATEGIES:
        raise ValueError(f"strategy: {strategy!r} given; allowed: {', '.join(_STRATEGIES)}")
    if workers is not None:
        workers = integer("workers", workers, 1, allowed="None or an integer >= 1")
    check_problem(net, w0, x, y, loss, test)
    scale = None if alpha is None else check_alpha(alpha, w0)
    count = min(len(w0), workers or _cores())
    taken = _choose(w0, count) if strategy == "auto" else strategy
    if taken == "processes" and w0.device.type != "cpu":
        raise ValueError("strategy: 'processes' given with tensors on a GPU; allowed: on the CPU")
    start = perf_counter()
    if taken == "batched":
        members = run_members(net, w0, x, y, loss, integrator, stop, scale, test, record)
    else:
        jobs = [
            (
                net,
                w0[index : index + 1],
                *_of_member(index, x, y),
                loss,
                integrator.for_member(index),
                stop,
                None if scale is None else scale[index : index + 1],
                None if test is None else _of_member(index, *test),
                record,
            )
            for index in range(len(w0))
        ]
        if taken == "loop":
            members = [run_members(*job)[0] for job in jobs]
        else:
            members = _in_processes(jobs, count)
    used = count if taken == "processes" else 1
    return EnsembleResult(tuple(members), taken, used, perf_counter() - start)


def _choose(w0: Tensor, workers: int) -> Strategy:
    if w0.device.type == "cuda":
        return "batched"
    # daemonic processes (workers of pools and clusters) may not have children
    if workers == 1 or multiprocessing.current_process().daemon:
        return "loop"
    return "processes"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _of_member(index: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return (x[index] if x.ndim == 3 else x, y[index] if y.ndim == 2 else y)


_pools: dict[int, ProcessPoolExecutor] = {}


def _in_processes(jobs: list[tuple[Any, ...]], workers: int) -> list[TrainResult]:
    if workers not in _pools:
        _pools[workers] = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_set_up_worker
        )
    try:
        # pickled here, so that tensors travel as bytes and not as shared memory
        futures = [_pools[workers].submit(_run, pickle.dumps(job)) for job in jobs]
        return [pickle.loads(future.result()) for future in futures]
    except BrokenProcessPool as error:
        _pools.pop(workers).shutdown(wait=False)
        raise RuntimeError(
            "the worker processes of strategy='processes' ended unexpectedly; a script must call "
            'train_ensemble under `if __name__ == "__main__":`, or use strategy="loop"'
        ) from error


def _set_up_worker() -> None:
    torch.set_num_threads(1)
    # a worker whose parent was killed would wait for it for ever
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(job: bytes) -> bytes:
    return pickle.dumps(run_members(*pickle.loads(job))[0])


def _close_pools() -> None:
    for pool in _pools.values():
        pool.shutdown(wait=False, cancel_futures=True)
    _pools.clear()


atexit.register(_close_pools)

"""Overhead of the laboratory: 2000 trivial points on 2 workers, each committed by itself.

Prints the milliseconds per point (median of three sweeps), beside those of a bare
``concurrent.futures.ProcessPoolExecutor`` that stores nothing. Starting the processes is in both.

    python benchmarks/bench_lab.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from symscape.lab import Experiment, LocalProcesses, Parameters, Store, run_experiment

POINTS = 2000
WORKERS = 2
REPEATS = 3
GOAL_MS = 3.0


class Trivial(Experiment):
    """Points that cost nothing."""

    name = "bench-trivial"
    chapter = "0"
    title = summary = "Trivial points"
    sources = ("none",)
    Parameters = Parameters
    profiles = {"quick": Parameters()}  # noqa: RUF012

    def points(self, p: Parameters) -> list[dict[str, Any]]:
        return [{"seed": seed} for seed in range(POINTS)]

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        return {"square": point["seed"] ** 2}


def laboratory(folder: Path) -> float:
    """Return the milliseconds per point of a sweep."""
    with Store(f"sqlite:///{folder / 'bench.sqlite'}") as store:
        start = time.perf_counter()
        summary = run_experiment(Trivial(), "quick", store, LocalProcesses(WORKERS))
        elapsed = time.perf_counter() - start
    if summary.done != POINTS:
        raise RuntimeError(f"{summary.done} of {POINTS} points were measured")
    return 1e3 * elapsed / POINTS


def bare_pool() -> float:
    """Return the milliseconds per point of a process pool without a store."""
    experiment = Trivial()
    points = experiment.points(experiment.profiles["quick"])
    start = time.perf_counter()
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as pool:
        for future in [pool.submit(experiment.measure, point) for point in points]:
            future.result()
    return 1e3 * (time.perf_counter() - start) / POINTS


def main() -> None:
    ours, theirs = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            ours.append(laboratory(Path(folder)))
        theirs.append(bare_pool())
    ms, bare = statistics.median(ours), statistics.median(theirs)
    print(f"laboratory, {POINTS} trivial points, {WORKERS} workers, each point committed")
    print(f"  {ms:.2f} ms per point (goal: {GOAL_MS:g} ms); bare process pool {bare:.2f} ms")
    print(f"  ratio {ms / bare:.1f}; goal {'met' if ms < GOAL_MS else 'MISSED'}")


if __name__ == "__main__":
    main()

"""What the tests of sweeps look at: calls of ``measure``, and the complete table of a store."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo_experiment import Demo

from symscape.lab import InProcess, Store, expand, run_experiment


def calls(log: Path) -> list[tuple[float, int]]:
    """Return (x, seed) of every call of the demo's ``measure``."""
    if not log.exists():
        return []
    return [(float(x), int(seed)) for x, seed, _ in map(str.split, log.read_text().splitlines())]


def callers(log: Path) -> set[int]:
    """Return the processes that called the demo's ``measure``."""
    return {int(line.split()[2]) for line in log.read_text().splitlines()}


def contents(url: str, profile: str = "quick", **overrides: Any) -> list[tuple[Any, ...]]:
    """Return the complete table of the demo in a store, as values that can be compared."""
    experiment = Demo()
    points = list(expand(experiment, profile, overrides).values())
    with Store(url, create=False) as store:
        table = store.table(experiment, points)
    return [
        (row.key, dict(row.point), row["y"].tolist(), row["mean"], row["status"]) for row in table
    ]


def undisturbed(folder: Path, profile: str = "quick", **overrides: Any) -> list[tuple[Any, ...]]:
    """Return the table of a sweep that nothing interfered with."""
    url = f"sqlite:///{folder / 'undisturbed.sqlite'}"
    with Store(url) as store:
        run_experiment(Demo(), profile, store, InProcess(), overrides=overrides)
    return contents(url, profile, **overrides)


def finished(url: str) -> set[str]:
    """Return the keys of the demo's finished points."""
    with Store(url, create=False) as store:
        return {key for key, (status, _) in store.status(Demo()).items() if status == "done"}


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for a condition, and fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The command ended with status 2 and one sentence on stderr."""
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("symscape: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr

"""Telling a person how a sweep is getting on: one bar on a terminal, failures only elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from symscape.lab._table import Point


class Progress:
    """Hears of every step of a sweep; this one says nothing."""

    def begin(self, points: int, cost: float) -> None:
        """The sweep starts: points to be measured and their cost in all."""

    def advance(self, status: str, cost: float) -> None:
        """A point of that cost ended as ``done`` or ``failed``."""

    def failure(self, experiment: str, point: Point, error: str) -> None:
        """A point failed; ``error`` is its traceback."""

    def waiting(self, points: int) -> None:
        """All that is left is being measured by another scheduler on the same store."""

    def end(self) -> None:
        """The sweep ended, or was interrupted."""


class FailureLines(Progress):
    """Writes a line for each failed point when it happens, and nothing else."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def failure(self, experiment: str, point: Point, error: str) -> None:
        print(failure_line(experiment, point, error), file=self._stream, flush=True)


class Bar(Progress):
    """One bar: points done and failed, rate, time left (by cost), and a line for each failure."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f} points"),
            TextColumn("[red]{task.fields[failures]}"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
        )

    def begin(self, points: int, cost: float) -> None:
        self._start, self._cost, self._spent, self._ended, self._failed = (
            time.monotonic(),
            cost,
            0.0,
            0,
            0,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=points, failures="", rate="", left="")

    def advance(self, status: str, cost: float) -> None:
        self._ended += 1
        self._failed += status == "failed"
        self._spent += cost
        elapsed = time.monotonic() - self._start
        rate = self._ended / max(elapsed, 1e-9)
        # Long points come first, so the time left goes by cost, not by count.
        left = elapsed * (self._cost - self._spent) / self._spent if self._spent > 0 else 0.0
        self._bar.update(
            self._task,
            advance=1,
            failures=f"{self._failed} failed" if self._failed else "",
            rate=f"{rate:.1f}/s" if rate >= 0.1 else f"{60 * rate:.1f}/min",
            left=f"{duration(max(left, 0.0))} left",
        )

    def failure(self, experiment: str, point: Point, error: str) -> None:
        from rich.text import Text

        self._bar.console.print(Text(failure_line(experiment, point, error), style="red"))

    def waiting(self, points: int) -> None:
        self._bar.update(self._task, left=f"waiting for {points} points of another run")

    def end(self) -> None:
        self._bar.stop()


def failure_line(experiment: str, point: Point, error: str) -> str:
    """Return one line that says which point failed and why."""
    lines = [line for line in error.splitlines() if line.strip()] or ["unknown error"]
    return f"{experiment} failed at {describe(point)}: {lines[-1].strip()}"


def describe(point: Mapping[str, Any], longest: int = 160) -> str:
    """Return ``name=value`` pairs on one line, shortened where they are many."""
    text = " ".join(f"{name}={value}" for name, value in point.items())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def duration(seconds: float) -> str:
    """Return seconds as ``42 s``, ``3 min`` or ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"

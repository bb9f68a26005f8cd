"""A small, complete experiment for the tests of the laboratory and of the report.

Its points are noisy samples of y = slope * x. The environment can make one of them fail, kill its
worker, or wait, so that a test interferes with a sweep without changing the points (and keys).
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from symscape import scaling
from symscape.lab import Claim, Estimate, Experiment, Parameters, Table, Tolerance, grid, register


class DemoParameters(Parameters):
    """Parameters of the demo."""

    points: int = Field(ge=1, le=100_000, description="number of abscissae")
    seeds: int = Field(default=1, ge=1, le=100, description="seeds per abscissa")
    slope: float = Field(default=2.0, gt=0, lt=100, description="slope of the line")
    sleep: float = Field(default=0.0, ge=0, le=60, description="seconds that a point takes")


def slope(table: Table, p: DemoParameters) -> Estimate:
    """Mean of y / x over all points."""
    return scaling.mean(table.column("mean") / table.column("x"))


@register
class Demo(Experiment):
    """A straight line with noise."""

    name = "demo-line"
    chapter = "99"
    title = "A noisy line"
    summary = "A straight line with noise, for the tests of the laboratory."
    sources = ("Demo, Fig. 1",)
    version = 1
    Parameters = DemoParameters
    profiles = {
        "smoke": DemoParameters(points=4, seeds=2),
        "quick": DemoParameters(points=20, seeds=2),
        "overnight": DemoParameters(points=50, seeds=4),
        "paper": DemoParameters(points=100, seeds=10),
    }
    claims = (
        Claim(
            id="ch99.fig1.slope",
            source="Demo, Fig. 1",
            statement="The line has slope 2.",
            thesis=2.0,
            tolerance=Tolerance(1.9, 2.1, "noise of 1 %"),
            answer=slope,
            profile="smoke",
        ),
        Claim(
            id="ch99.fig1.curvature",
            source="Demo, Fig. 1",
            statement="The line has curvature 1 (false, so that a failure is shown).",
            thesis="about 1",
            tolerance=Tolerance(0.9, 1.1, "made up"),
            answer=lambda table, p: Estimate(0.0, 0.01),
            profile="quick",
        ),
    )

    def points(self, p: DemoParameters) -> list[dict[str, Any]]:
        x = [float(i + 1) for i in range(p.points)]
        return list(grid(p.seeds, x=x, slope=p.slope, sleep=p.sleep))

    def cost(self, point: dict[str, Any]) -> float:
        return 1e-3 + point["sleep"]

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        _interfere(point)
        time.sleep(point["sleep"])
        generator = np.random.default_rng([point["seed"], int(1000 * point["x"])])
        noise = 0.01 * generator.standard_normal(5)
        y = point["slope"] * point["x"] * (1 + noise)
        return {"y": y, "mean": float(y.mean()), "status": "converged"}

    def figures(self, table: Table, p: DemoParameters) -> list[Any]:
        from symscape.lab import Axis, Figure

        figure = Figure("line", "A noisy line", "Mean of five samples.", Axis("x"), Axis("y"))
        for (seed,), rows in table.groups("seed"):
            figure.measured(f"seed {seed}", rows.column("x"), rows.column("mean"), group=seed)
        x = np.array([1.0, float(p.points)])
        figure.thesis("slope 2", x, 2 * x)
        return [figure]


def _interfere(point: dict[str, Any]) -> None:
    """Log the call, and do what the environment asks for this point."""
    log = os.environ.get("DEMO_LOG")
    if log:
        with Path(log).open("a") as file:
            file.write(f"{point['x']} {point['seed']} {os.getpid()}\n")
    here = f"{point['x']:g}/{point['seed']}"
    if os.environ.get("DEMO_FAIL") == here:
        raise FloatingPointError(f"demo failure at {here}")
    if os.environ.get("DEMO_KILL") == here:
        once = os.environ.get("DEMO_KILL_ONCE")
        if not once or not Path(once).exists():
            if once:
                Path(once).touch()
            os.kill(os.getpid(), signal.SIGKILL)

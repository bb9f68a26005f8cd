"""An experiment for the tests of the report: every kind of series, verdict, failure and unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from symscape.lab import (
    Axis,
    Claim,
    Estimate,
    Experiment,
    Figure,
    Parameters,
    Table,
    Tolerance,
    grid,
)


class JumpParameters(Parameters):
    """Parameters of the sample."""

    ratios: tuple[float, ...] = Field(description="ratios P/N of patterns to weights")
    seeds: int = Field(ge=1, le=100, description="seeds per ratio")
    depth: int = Field(default=3, ge=1, le=10, description="hidden layers L")


def jump_height(table: Table, p: JumpParameters) -> dict[str, Estimate]:
    """The smallest number above the gap, for both activations."""
    heights = table.column("n_delta")
    least = float(heights[heights > 0].min())
    return {"relu": Estimate(least, 0.012), "tanh": Estimate(0.75, 0.012)}


class Jump(Experiment):
    """A sample that looks like a chapter's experiment; its numbers are drawn, not measured."""

    name = "sample-jump"
    chapter = "98"
    title = "The number of unsatisfied patterns jumps at the transition"
    summary = (
        "Below N* a network cannot satisfy all patterns. The number of unsatisfied ones does not "
        "grow from zero there: N_Delta/N jumps to a finite value, as contacts do in a jammed "
        "packing of ellipses."
    )
    sources = ("Paper A, Fig. 6", "Paper B, Fig. 3B")
    Parameters = JumpParameters
    profiles = {
        "smoke": JumpParameters(ratios=(2.5, 3.2), seeds=2),
        "quick": JumpParameters(ratios=(2.4, 2.6, 2.7, 2.8, 2.9, 3.0, 3.2, 3.4), seeds=5),
        "overnight": JumpParameters(ratios=tuple(np.linspace(2.4, 3.4, 21).tolist()), seeds=10),
    }
    claims = (
        Claim(
            "ch98.fig6.jump-height",
            "Paper A, Fig. 6b",
            "N_Delta/N tends to about 0.75 as the loss goes to 0 from above.",
            0.75,
            Tolerance(0.65, 0.85, "spread of the points in the figure"),
            jump_height,
            profile="quick",
        ),
        Claim(
            "ch98.fig6.gap",
            "Paper A, Fig. 6a",
            "No converged run lies in 0.02 < N_Delta/N < 0.4.",
            "none of 128 runs",
            Tolerance(0.0, 0.0, "exact count"),
            lambda table, p: Estimate(sum(0.02 < n < 0.4 for n in table.column("n_delta"))),
            kind="exact",
            profile="quick",
        ),
        Claim(
            "ch98.fig6.slope",
            "Paper A, Fig. 5c",
            "N* grows linearly with P: the slope of log N* against log P is 1.",
            1.0,
            Tolerance(0.9, 1.1, "error of a fit over two decades"),
            lambda table, p: Estimate(0.71, 0.03, "Small P bends the curve."),
            profile="smoke",
        ),
        Claim(
            "ch98.fig8.theta",
            "Paper A, Fig. 8",
            "The gaps have the exponent theta = 0.3, below that of spheres (0.42311).",
            "theta ≈ 0.3",
            Tolerance(0.2, 0.4, "quoted with one digit"),
            lambda table, p: Estimate(0.46, 0.02),
            profile="overnight",
        ),
        Claim(
            "ch98.text.loss",
            "Paper A, text",
            "The loss of satisfied runs is at most 10^-12.",
            "≤ 10^-12",
            Tolerance.at_most(1e-12, "precision of the sums"),
            lambda table, p: Estimate(3.1e-13),
            kind="check",
        ),
        Claim(
            "ch98.fig12.dead",
            "Paper A, Fig. 12",
            "Near jamming a fraction of 0.15 to 0.3 of the pre-activations sits at the cusp.",
            0.21,
            Tolerance(0.15, 0.3, "range over data sets"),
            lambda table, p: "No run was close enough to the transition.",
        ),
    )

    def points(self, p: JumpParameters) -> list[dict[str, Any]]:
        data = "mnist-sample@0123456789abcdef"
        return list(grid(p.seeds, ratio=p.ratios, depth=p.depth, data=data))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        if point["ratio"] == 3.4 and point["seed"] == 1:
            raise FloatingPointError("loss is NaN at step 4711 <script>alert(1)</script>")
        rng = np.random.default_rng([point["seed"], round(1000 * point["ratio"])])
        jammed = point["ratio"] > 2.85
        height = 0.74 + 0.5 * (point["ratio"] - 2.85) + 0.02 * rng.standard_normal()
        loss = 10.0 ** rng.uniform(-4, -1) if jammed else 0.0
        return {"n_delta": height if jammed else 0.0, "loss": loss, "gaps": rng.power(0.7, 200)}

    def figures(self, table: Table, p: JumpParameters) -> list[Figure]:
        jump = Figure(
            "jump",
            "Unsatisfied patterns across the transition",
            "Each mark is the mean over seeds, with one standard deviation. N_Delta/N jumps "
            "between P/N = 2.8 and 2.9.",
            Axis("P/N"),
            Axis("N_Delta/N"),
            claims=("ch98.fig6.jump-height", "ch98.fig6.gap"),
        )
        rows = [(r, rows.column("n_delta")) for (r,), rows in table.groups("ratio")]
        x = [r for r, _ in rows]
        y = np.array([v.mean() for _, v in rows])
        jump.measured("relu, L = 3", x, y, [v.std() for _, v in rows], group=0)
        jump.measured("tanh, L = 3", x, y * 0.8, 0.01, mode="lines+markers", group=1)
        jump.thesis("thesis, L = 3", [2.4, 2.85, 2.85, 3.4], [0, 0, 0.75, 1.05])
        jump.thesis("thesis, in the text", 2.85, 0.75, mode="markers", text="0.75")
        jump.guide("bound", [2.4, 3.4], [0.25, 0.25])
        jump.band("accepted", [2.85, 3.4], [0.65, 0.65], [0.85, 0.85])

        collapse = Figure(
            "loss",
            "Unsatisfied patterns against the loss",
            "All runs fall on one curve with a finite limit.",
            Axis("loss", log=True, range=(1e-5, 1.0)),
            Axis("N_Delta/N", log=True),
            claims=("ch98.fig6.gap", "ch98.text.loss"),
        )
        collapse.measured("runs", table.column("loss"), table.column("n_delta"))
        collapse.guide("limit", [1e-5, 1], [0.75, 0.75])

        gaps = Figure(
            "gaps",
            "Distribution of the gaps",
            "The densities of eight ratios, from few to many patterns.",
            Axis("gap z"),
            Axis("density", "1/z"),
            ordered=True,
        )
        edges = np.linspace(0, 1, 21)
        for i, (ratio, group) in enumerate(table.groups("ratio")):
            density, _ = np.histogram(
                np.concatenate(group.column("gaps")) ** (1 + 0.1 * i), edges, density=True
            )
            gaps.histogram(f"P/N = {ratio[0]:g}", edges, density, group=i)
        return [jump, collapse, gaps]

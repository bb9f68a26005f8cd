"""The perceptron of largest margin: a norm that diverges at jamming, exactly (Sec. 6)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance

Excess = Annotated[float, Field(gt=0, le=100)]

NEAR = (0.3, 0.2, 0.5)
"""N/N* - 1 up to which the exponent of the divergence is fitted."""


class MarginParameters(lab.Parameters):
    P: int = Field(ge=20, le=20_000, description="Gaussian points with random labels")
    excess: Annotated[tuple[Excess, ...], AfterValidator(lab.increasing)] = Field(
        min_length=3, description="N/N* - 1, with N* = P/2"
    )
    seeds: int = Field(ge=1, description="draws of the points")


def _agreement(table: Table, p: MarginParameters) -> dict[str, Estimate]:
    from symscape.landscape import inverse_margin

    return {
        f"N/N* = {2 * N / P:.3g}": scaling.mean(
            rows.per_seed(lambda row: row["margin"] * inverse_margin(row["N"] / row["P"]))
        )
        for (N, P), rows in table.groups("N", "P")
        if 2 * N / P >= 1.25
    }


def _divergence(table: Table, p: MarginParameters) -> Estimate:
    """Minus the exponent of the mean margin: it is 1/norm, and its fluctuations are symmetric."""
    sizes = [(N, P) for (N, P), _ in table.groups("N", "P")]
    x = np.array([2 * N / P - 1 for N, P in sizes])
    complete = [rows for _, rows in table.groups("seed") if len(rows) == len(sizes)]
    if not complete:
        raise NoEstimate("No draw has all sizes.")
    margins = np.array([[row["margin"] for row in rows] for rows in complete])

    def exponent(reach: float) -> Estimate:
        chosen = x <= reach * (1 + 1e-9)
        if chosen.sum() < 3:
            raise NoEstimate(f"Fewer than three sizes up to N/N* - 1 = {reach}.")
        return scaling.cluster_bootstrap(
            lambda some: -np.polyfit(np.log(x[chosen]), np.log(some.mean(0)[chosen]), 1)[0], margins
        )

    return scaling.scan(exponent, NEAR)


CLAIMS = (
    Claim(
        "ch2.b.sec6.perceptron-norm",
        "Ch. 2b, Sec. 6; Gardner",
        "The norm of the shortest perceptron that fits is the closed form of its largest margin.",
        1.0,
        Tolerance(0.95, 1.05, "measured over closed form for N >= 1.25 N*, at finite P"),
        _agreement,
    ),
    Claim(
        "ch2.b.sec6.divergence",
        "Ch. 2b, Sec. 6, Fig. 7B",
        "Without regularization the norm diverges as 1/(N - N*) at jamming.",
        -1.0,
        Tolerance(
            -1.15, -0.85, "-1 +- 0.15: the thesis draws -2 +- 0.3 for the square of the norm"
        ),
        _divergence,
    ),
)


@lab.register
class DoubleDescentMargin(lab.Experiment):
    """Ch. 2b, Sec. 6: an exactly solvable control."""

    name = "double-descent-margin"
    chapter = "2"
    title = "The norm diverges at jamming: an exact case"
    summary = (
        "Random points with random labels, and the shortest weight vector that puts all of them "
        "beyond a margin of 1. Any training that reaches zero loss ends with at least that norm. "
        "It diverges as 1/(N - N*) at N* = P/2, as the thesis argues for deep networks."
    )
    sources = ("Ch. 2b, Sec. 6", "Ch. 2b, Fig. 7B")
    version = 1
    Parameters = MarginParameters
    profiles = {  # noqa: RUF012
        "smoke": MarginParameters(P=60, excess=(0.5, 0.7, 1.0, 2.0), seeds=2),
        "quick": MarginParameters(
            P=500, excess=(0.14, 0.18, 0.23, 0.3, 0.4, 0.5, 1.0, 2.0, 4.0), seeds=16
        ),
        "overnight": MarginParameters(
            P=1000, excess=(0.1, 0.13, 0.17, 0.22, 0.3, 0.4, 0.5, 1.0, 2.0, 4.0), seeds=30
        ),
        "paper": MarginParameters(
            P=10_000,
            excess=(0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 4.0),
            seeds=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: MarginParameters) -> Iterator[dict[str, Any]]:
        sizes = [round(p.P / 2 * (1 + excess)) for excess in p.excess]
        return lab.grid(p.seeds, P=p.P, N=sizes)

    def cost(self, point: dict[str, Any]) -> float:
        return 0.01 + 6e-10 * float(point["P"]) ** 3

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.landscape import max_margin

        random = np.random.default_rng(point["seed"])
        x, y = random.standard_normal((point["P"], point["N"])), random.choice([-1, 1], point["P"])
        return {"margin": max_margin(x, y).margin}

    def figures(self, table: Table, p: MarginParameters) -> list[Figure]:
        from symscape.landscape import inverse_margin

        measured: dict[float, Estimate] = {}
        figure = Figure(
            "norm",
            "Norm of the shortest solution",
            f"P = {p.P} points; inverse of the mean margin over draws. Grey: the closed form. "
            "Dashed: 1/(N - N*), the thesis's law.",
            Axis("N / N* - 1", log=True),
            Axis("norm", log=True),
            claims=("ch2.b.sec6.perceptron-norm", "ch2.b.sec6.divergence"),
        )
        for (N, P), rows in table.groups("N", "P"):
            margin = scaling.mean(rows.per_seed("margin"))
            if margin.value > 0:
                measured[2 * N / P - 1] = scaling.ratio(Estimate(1.0, 0.0), margin)
        if measured:
            figure.estimates("measured", measured)
        x = np.geomspace(0.5 * min(p.excess), max(p.excess), 60)
        figure.guide("closed form", x, [inverse_margin(0.5 * (1 + v)) for v in x])
        near = x[x <= 1]
        figure.thesis("slope -1", near, 2 * math.sqrt(2 / math.pi) / near)
        return [figure]

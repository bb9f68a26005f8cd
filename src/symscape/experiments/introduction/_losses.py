"""The cross entropy and the quadratic hinge: Eq. 8 of the introduction, Fig. 4 of paper A."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

MARGIN = 0.5
"""The margin epsilon of the hinge in paper A."""

NAMES = {"hinge": "quadratic hinge", "cross-entropy": "cross entropy"}


class LossParameters(lab.Parameters):
    reach: int = Field(ge=3, le=700, default=20, description="largest |y f| that is evaluated")
    per_unit: int = Field(
        ge=2,
        le=10_000,
        multiple_of=2,
        description="values of y f in a unit interval; even, so that the margin 1/2 is one of them",
    )


def _of(loss: str, number: Callable[[Row], float]) -> Callable[[Table, LossParameters], Estimate]:
    """The answer that one of the two losses gives, exactly."""

    def answer(table: Table, p: LossParameters) -> Estimate:
        rows = table.where(loss=loss).rows
        if not rows:
            raise NoEstimate(f"The {NAMES[loss]} was not evaluated.")
        return Estimate(float(number(rows[0])))

    return answer


def _at_zero(row: Row) -> float:
    return float(row["value"][np.abs(row["yf"]).argmin()])


def _range(row: Row) -> float:
    """Smallest y f from which on the loss is zero."""
    return float(row["yf"][row["value"] > 0].max()) + 1 / row["per_unit"]


CLAIMS = (
    Claim(
        "ch0.eq8.forms",
        "Introduction, Eq. 7-8",
        "The binary cross entropy log(1 + e^(-yf)) is that of two classes with logits +f/2, -f/2.",
        "the two are equal",
        Tolerance.at_most(1e-12, "largest deviation relative to 1 + loss; exact up to rounding"),
        _of("cross-entropy", lambda row: row["two_class_deviation"]),
        "exact",
        profile="smoke",
    ),
    Claim(
        "ch0.sec2.cross-entropy-positive",
        "Introduction, Sec. 0.2",
        "The cross entropy never reaches zero: it is an interaction of long range.",
        "> 0",
        Tolerance.at_least(1e-300, "smallest value on the whole range of y f"),
        _of("cross-entropy", lambda row: row["value"].min()),
        "exact",
        profile="smoke",
    ),
    Claim(
        "ch0.fig4.hinge-range",
        "Paper A, Fig. 4 and Eq. 9",
        "The hinge is an interaction of finite range: it vanishes from y f = epsilon = 1/2 on.",
        0.5,
        Tolerance(0.5 - 1e-9, 0.5 + 1e-9, "exact: the y f of the grid from which on it is zero"),
        _of("hinge", _range),
        "exact",
        profile="smoke",
    ),
    Claim(
        "ch0.fig4.hinge-at-zero",
        "Paper A, Fig. 4 and Eq. 9",
        "At f = 0 the hinge with epsilon = 1/2 is epsilon^2 / 2.",
        0.125,
        Tolerance(0.125, 0.125, "exact: 1/8"),
        _of("hinge", _at_zero),
        "exact",
        profile="smoke",
    ),
    Claim(
        "ch0.fig4.cross-entropy-at-zero",
        "Paper A, Fig. 4",
        "At f = 0 the cross entropy is log 2.",
        math.log(2),
        Tolerance(math.log(2) - 1e-12, math.log(2) + 1e-12, "exact up to rounding"),
        _of("cross-entropy", _at_zero),
        "exact",
        profile="smoke",
    ),
)


@lab.register
class Losses(lab.Experiment):
    """Introduction, Eq. 8; paper A, Fig. 4."""

    name = "introduction-losses"
    chapter = "0"
    title = "Two losses"
    summary = (
        "The cross entropy pushes on every pattern for ever. The quadratic hinge lets a pattern go "
        "once it is classified with a margin, so that the loss of a network can be exactly zero: "
        "this finite range is what makes a sharp jamming transition possible."
    )
    sources = ("Introduction, Eq. 7-8", "Paper A, Fig. 4")
    version = 1
    Parameters = LossParameters
    profiles = {  # noqa: RUF012
        "smoke": LossParameters(per_unit=4),
        "quick": LossParameters(per_unit=16),
        "overnight": LossParameters(per_unit=16),
        "paper": LossParameters(per_unit=16),
    }
    claims = CLAIMS

    def points(self, p: LossParameters) -> list[dict[str, Any]]:
        values = {"margin": MARGIN, "reach": p.reach, "per_unit": p.per_unit}
        return list(lab.grid(1, loss=list(NAMES), **values))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.dynamics import CrossEntropy, Hinge

        end, step = point["reach"] * point["per_unit"], 1.0 / point["per_unit"]
        yf = step * torch.arange(-end, end + 1, dtype=torch.float64)
        y = torch.where(torch.arange(len(yf)) % 2 == 0, 1.0, -1.0).to(torch.float64)
        f = y * yf
        if point["loss"] == "hinge":
            hinge = Hinge(power=2, margin=point["margin"])
            value, slope, deviation = hinge.value(f, y), hinge.derivative(f, y), 0.0
        else:
            loss = CrossEntropy()
            value, slope = loss.value(f, y), loss.derivative(f, y)
            two = loss.value(torch.stack([-f / 2, f / 2], dim=1), (y > 0).long())
            # The two-class form loses digits where the loss is small: hence relative to 1 + loss.
            deviation = float(((value - two).abs() / (value + 1.0)).max())
        return {
            "yf": yf.numpy(),
            "value": value.numpy(),
            "slope": (y * slope).numpy(),
            "two_class_deviation": deviation,
        }

    def figures(self, table: Table, p: LossParameters) -> list[Figure]:
        value = Figure(
            "losses",
            "The two losses",
            "Loss of a pattern against y f: positive where it is classified correctly. Paper A, "
            "Fig. 4, with epsilon = 1/2; the dashed lines are its formulas.",
            Axis("y f", range=(-2.0, 3.0)),
            Axis("loss of a pattern", range=(-0.05, 2.5)),
            claims=tuple(claim.id for claim in CLAIMS if "fig4" in claim.id),
        )
        slope = Figure(
            "slopes",
            "How hard a pattern is pushed",
            "Minus the derivative of the loss by y f. It is zero beyond the margin for the hinge, "
            "and never for the cross entropy.",
            Axis("y f"),
            Axis("push -d loss / d(y f)", log=True),
            claims=("ch0.sec2.cross-entropy-positive",),
        )
        for group, row in enumerate(table):
            name = NAMES[row["loss"]]
            near = (row["yf"] >= -2) & (row["yf"] <= 3)
            yf = row["yf"][near]
            value.measured(name, yf, row["value"][near], group=group)
            value.thesis(f"{name}, formula", yf, _formula(row["loss"], yf))
            pushed = row["slope"] < 0
            slope.measured(
                name, row["yf"][pushed], -row["slope"][pushed], mode="lines", group=group
            )
        return [value, slope]


def _formula(loss: str, yf: np.ndarray) -> np.ndarray:
    if loss == "hinge":
        return 0.5 * np.maximum(0.0, MARGIN - yf) ** 2
    return np.log1p(np.exp(-yf))

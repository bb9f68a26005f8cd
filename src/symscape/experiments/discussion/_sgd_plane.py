"""What SGD does to the plane of learning regimes: cross-over, stability, test error (Sec. 8.3)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.experiments.discussion._sgd import (
    FLOW,
    Array,
    SgdTraining,
    measure_members,
    member_seconds,
    method,
    temperature,
)
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Alpha = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(gt=0)]
Increasing = Annotated[tuple[Alpha, ...], AfterValidator(lab.increasing)]
Width = Annotated[int, Field(ge=4, le=4096)]

HOTTEST = 4.0
"""Largest learning rate over batch size (rate in stability limits): beyond it nothing fits."""

NOISE, STEP = {"batch": 4, "rate": 4.0}, 64.0
"""Noise of batches with steps so small that a full batch is gradient flow; and, of a full batch,
the rate of steps so large that it is not."""

TWINS = (
    ({"batch": 4, "rate": 4.0}, {"batch": 16, "rate": 16.0}),
    ({"batch": 16, "rate": 4.0}, {"batch": 64, "rate": 16.0}),
)
"""Methods of one learning rate over batch size."""

HORIZON, EDGE_STEPS = 40_000.0, 2000
"""Time after which a run counts as not fitted, in stability limits; steps where stability is
looked for."""


class SgdPlaneParameters(SgdTraining):
    widths: tuple[Width, ...] = Field(min_length=1, description="widths; the first in all methods")
    alphas: Increasing = Field(min_length=2, description="sqrt(h) alpha around the cross-over")
    batches: tuple[int, ...] = Field(min_length=1, description="batch sizes beside the full batch")
    rates: tuple[Rate, ...] = Field(min_length=1, description="learning rates, stability limits")
    slow_rates: tuple[Rate, ...] = Field(description="rates towards gradient flow, B = 16")
    slow_alpha: Alpha = Field(default=9.0, description="sqrt(h) alpha of these runs")
    edge_alphas: Increasing = Field(description="sqrt(h) alpha where stability is looked for")
    edge_factors: tuple[Rate, ...] = Field(
        default=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0), description="full-batch rates over sqrt(h) alpha"
    )
    image_methods: tuple[tuple[Alpha, int, Rate], ...] = Field(
        description="(sqrt(h) alpha, B, rate) on whole images, each beside gradient flow"
    )


CLAIMS: tuple[Claim, ...] = ()


@lab.register
class SgdPlane(lab.Experiment):
    """Ch. 8, Sec. 8.3."""

    name = "discussion-sgd-plane"
    chapter = "8"
    title = "What SGD does to the plane of learning regimes"
    summary = (
        "Fully connected networks on the parity of digits, trained by SGD of several batch sizes "
        "and learning rates and by gradient flow from the same starts. How far the kernel moves, "
        "where the cross-over from feature to lazy training is, which learning rates are stable, "
        "and what becomes of the test error."
    )
    sources = ("Ch. 8, Sec. 8.3",)
    version = 1
    Parameters = SgdPlaneParameters
    profiles = {  # noqa: RUF012
        "smoke": SgdPlaneParameters(
            P=64,
            n_test=200,
            members=2,
            widths=(16,),
            alphas=(6.0, 20.0),
            batches=(4, 16),
            rates=(4.0, 16.0),
            slow_rates=(),
            edge_alphas=(),
            image_methods=(),
            seeds=1,
        ),
        "quick": SgdPlaneParameters(
            P=128,
            members=2,
            widths=(32,),
            alphas=(6.0, 16.0),
            batches=(4, 16),
            rates=(4.0, 16.0),
            slow_rates=(4.0, 16.0),
            edge_alphas=(1.0, 10.0),
            edge_factors=(2.0, 8.0, 32.0),
            image_methods=((1.0, 4, 1.0), (1000.0, 4, 16.0)),
            seeds=2,
        ),
        "overnight": SgdPlaneParameters(
            widths=(32, 128),
            alphas=(6.0, 10.0, 16.0, 25.0),
            batches=(4, 16, 64),
            rates=(4.0, 16.0, 64.0),
            slow_rates=(1.0, 2.0, 4.0, 8.0),
            edge_alphas=(0.3, 1.0, 3.0, 10.0),
            image_methods=tuple(
                (alpha, batch, rate)
                for alpha, rates in ((1.0, (0.25, 1.0)), (1000.0, (4.0, 16.0)))
                for batch in (4, 16)
                for rate in rates
            ),
            seeds=5,
        ),
        "paper": SgdPlaneParameters(
            P=1024,
            n_test=10_000,
            members=10,
            widths=(32, 128, 512),
            alphas=(3.0, 6.0, 10.0, 16.0, 25.0, 40.0),
            batches=(4, 16, 64, 256),
            rates=(4.0, 16.0, 64.0),
            slow_rates=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
            edge_alphas=(0.1, 0.3, 1.0, 3.0, 10.0),
            image_methods=tuple(
                (alpha, batch, rate)
                for alpha, rates in ((1.0, (0.25, 1.0)), (1000.0, (4.0, 16.0)))
                for batch in (4, 16, 64)
                for rate in rates
            ),
            seeds=10,
        ),
    }
    claims = CLAIMS

    def points(self, p: SgdPlaneParameters) -> list[dict[str, Any]]:
        common = p.common()
        return [point for part in _parts(p) for point in lab.grid(p.seeds, **part, **common)]

    def cost(self, point: dict[str, Any]) -> float:
        return 0.05 + point["members"] * member_seconds(point)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        return measure_members(point)


def _parts(p: SgdPlaneParameters) -> Iterator[dict[str, Any]]:
    """The axes of each part of the sweep."""
    plane = {"role": "plane", "components": 10, "compare": False, "horizon": HORIZON}
    for h in p.widths:
        methods = _methods(p) if h == p.widths[0] else _few_methods(p)
        yield {**plane, "h": h, "alpha": p.alphas, "method": methods, "members": p.members}
    h = p.widths[0]
    slow = [{"batch": 16, "rate": rate} for rate in p.slow_rates]
    yield {
        **plane,
        "role": "slow",
        "h": h,
        "alpha": p.slow_alpha,
        "method": slow,
        "members": min(2, p.members),
        "compare": True,
    }
    edge = [
        {"alpha": alpha, "rate": factor * alpha, "horizon": EDGE_STEPS * factor * alpha}
        for alpha in p.edge_alphas
        for factor in p.edge_factors
    ]
    yield {
        "role": "edge",
        "components": 10,
        "compare": False,
        "h": h,
        "batch": p.P,
        "net": edge,
        "members": min(2, p.members),
    }
    images = [{"alpha": a, "batch": batch, "rate": rate} for a, batch, rate in p.image_methods]
    flows = [{"alpha": a, **FLOW} for a in dict.fromkeys(a for a, _, _ in p.image_methods)]
    yield {
        **plane,
        "role": "images",
        "components": 0,
        "horizon": HORIZON / 4,
        "h": h,
        "net": [*flows, *images],
        "members": p.members,
    }


def _methods(p: SgdPlaneParameters) -> list[dict[str, Any]]:
    """Gradient flow, and all batches and rates; a full batch at the smallest rate is the flow."""
    batches = [*p.batches, p.P]
    return [
        FLOW,
        *(
            {"batch": batch, "rate": rate}
            for batch in batches
            for rate in p.rates
            if rate / batch <= HOTTEST and not (batch == p.P and rate == min(p.rates))
        ),
    ]


def _few_methods(p: SgdPlaneParameters) -> list[dict[str, Any]]:
    """Those of the wider networks."""
    few = [FLOW, NOISE, TWINS[0][1], {"batch": p.P, "rate": STEP}]
    every = _methods(p)
    return [own for own in few if own in every]

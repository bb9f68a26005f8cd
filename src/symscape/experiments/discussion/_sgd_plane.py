"""What SGD does to the plane of learning regimes: cross-over, stability, test error (Sec. 8.3)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.experiments.discussion._sgd import (
    FLOW,
    Array,
    SgdTraining,
    mean_error,
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

Method = dict[str, Any]

HOTTEST = 4.0
"""Largest learning rate over batch size (rate in stability limits): beyond it nothing fits."""

NOISE: Method = {"batch": 4, "rate": 4.0}
STEP = 64.0
"""Noise of batches with steps so small that a full batch is gradient flow; and, of a full batch,
the rate of steps so large that it is not."""

TWINS: tuple[tuple[Method, Method], ...] = (
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


Answer = Callable[[Table, SgdPlaneParameters], dict[str, Estimate | str]]


def _panels(found: Iterable[tuple[str, Callable[[], Estimate]]]) -> dict[str, Estimate | str]:
    """Estimates by panel, and the sentence where one has none."""
    panels: dict[str, Estimate | str] = {}
    for name, estimate in found:
        try:
            panels[name] = estimate()
        except NoEstimate as none:
            panels[name] = str(none)
    return panels


@lab.once
def _cross_overs(table: Table, h: int, batch: int, rate: float) -> Array:
    """sqrt(h) alpha of each data set at which the kernel changes by its own norm.

    Of a data set the change is the geometric mean over its networks, where all of them fit.

    Raises:
        NoEstimate: no run of this kind, or a data set whose curve does not cross 1.
    """
    rows = table.where(role="plane", h=h, batch=batch, rate=rate)
    if not rows:
        raise NoEstimate("The method is not among those that were run.")
    return np.array(
        [
            scaling.crossing(own.column("alpha"), [[_change(row) for row in own]], 1.0).value
            for _, own in rows.groups("seed")
        ]
    )


def _change(row: Row) -> float:
    """Geometric mean of the kernel's change over the networks of a row; NaN unless all fit."""
    return float(np.exp(np.log(row["kernel_change"]).mean())) if row["fitted"].all() else math.nan


def _shift(table: Table, h: int, own: Method, other: Method = FLOW) -> Estimate:
    """Ratio of the cross-overs of two methods, on the same data sets and starts."""
    pair = [_cross_overs(table, h, of["batch"], of["rate"]) for of in (own, other)]
    if len(pair[0]) != len(pair[1]):
        raise NoEstimate("The two methods have not been run on the same data sets.")
    return scaling.geometric_mean(pair[0] / pair[1])


def _is_shifted(of: Callable[[SgdPlaneParameters], Method]) -> Answer:
    """Absolute logarithm of the shift of the cross-over by a method, by width."""

    def size(table: Table, h: int, own: Method) -> Estimate:
        shift = _shift(table, h, own)
        logarithm = Estimate(math.log(shift.value), (shift.error or 0.0) / shift.value or None)
        return abs(logarithm).noted(f"alpha* is {scaling.number(shift)} of that of the flow.")

    return lambda table, p: _panels(
        (f"h = {h}", functools.partial(size, table, h, of(p))) for h in p.widths
    )


def _direction(table: Table, p: SgdPlaneParameters) -> dict[str, Estimate | str]:
    """The shift by every method that fits throughout."""
    return _panels(
        (f"h = {h}, {method(own | {'P': p.P})}", functools.partial(_shift, table, h, own))
        for h in p.widths
        for own in (_methods(p) if h == p.widths[0] else _few_methods(p))
        if own["batch"] and own["rate"] / own["batch"] <= 1
    )


def _one_temperature(table: Table, p: SgdPlaneParameters) -> dict[str, Estimate | str]:
    """Cross-overs of methods of one temperature over each other."""
    hot = {"batch": p.P, "rate": STEP}
    twins = [*TWINS, ({"batch": 64, "rate": 16.0}, hot)]
    h = p.widths[0]
    return _panels(
        (
            f"{method(second | {'P': p.P})} over {method(first | {'P': p.P})}",
            functools.partial(_shift, table, h, second, first),
        )
        for first, second in twins
    )


def _width(table: Table, p: SgdPlaneParameters) -> dict[str, Estimate | str]:
    """sqrt(h) alpha* of the widest networks over that of the narrowest, by method."""
    if len(p.widths) < 2:
        raise NoEstimate("Only one width is measured.")
    h = p.widths[0], p.widths[-1]

    def ratio(own: Method) -> Estimate:
        wide, narrow = (_cross_overs(table, each, own["batch"], own["rate"]) for each in h[::-1])
        if len(wide) != len(narrow):
            raise NoEstimate("The two widths have not been run on the same data sets.")
        return scaling.geometric_mean(wide / narrow)

    return _panels(
        (method(own | {"P": p.P}), functools.partial(ratio, own)) for own in _few_methods(p)
    )


def _gain(table: Table, own: Method, **where: Any) -> Estimate:
    """Test error of a method over that of gradient flow, mean over the alphas of a data set."""
    errors, flow = (
        {(row["seed"], row["alpha"]): mean_error(row) for row in table.where(**of, **where)}
        for of in (own, FLOW)
    )
    seeds = sorted({seed for seed, _ in errors.keys() & flow.keys()})
    return scaling.geometric_mean(
        [
            np.mean([errors[at] for at in errors if at in flow and at[0] == seed])
            / np.mean([flow[at] for at in errors if at in flow and at[0] == seed])
            for seed in seeds
        ]
    )


def _performance(table: Table, p: SgdPlaneParameters) -> dict[str, Estimate | str]:
    return _panels(
        (f"h = {h}", functools.partial(_gain, table, NOISE, role="plane", h=h)) for h in p.widths
    )


def _feature_regime(table: Table, p: SgdPlaneParameters) -> dict[str, Estimate | str]:
    """Gradient flow errs less in the lazy regime, and SGD less than it in the feature regime."""
    images = table.where(role="images")
    alphas = sorted({alpha for alpha, _, _ in p.image_methods})
    if len(alphas) < 2:
        raise NoEstimate("Images are learned in one regime only.")

    def lazy_is_better() -> Estimate:
        lazy, feature = (
            images.where(alpha=alpha, **FLOW).per_seed(mean_error)
            for alpha in (alphas[-1], alphas[0])
        )
        if len(lazy) != len(feature):
            raise NoEstimate("The two regimes have not been run on the same data sets.")
        return scaling.geometric_mean(lazy / feature)

    hottest = max((m for m in p.image_methods if m[0] == alphas[0]), key=lambda m: m[2] / m[1])
    own = {"batch": hottest[1], "rate": hottest[2]}
    return _panels(
        (
            ("gradient flow: lazy over feature", lazy_is_better),
            (
                f"feature regime: {method(own | {'P': p.P})} over flow",
                lambda: _gain(images, own, alpha=alphas[0]),
            ),
        )
    )


def _flow_limit(table: Table, p: SgdPlaneParameters) -> Estimate:
    curves = [
        [float(row["distance"].mean()) for row in rows]
        for _, rows in table.where(role="slow").groups("seed")
        if len(rows) == len(p.slow_rates)
    ]
    if not curves:
        raise NoEstimate("No data set has been run at all learning rates.")
    return scaling.slope(sorted(p.slow_rates), curves)


@lab.once
def _largest_rates(table: Table) -> dict[int, dict[float, float]]:
    """By data set and alpha, the largest rate at which networks fit (geometric mean over them)."""
    largest: dict[int, dict[float, float]] = {}
    for (seed, alpha), rows in table.where(role="edge").groups("seed", "alpha"):
        fits = np.array([row["fitted"] for row in rows])
        rates = np.array(rows.column("rate"))[:, None]
        best = np.where(fits, rates, 0.0).max(0)
        mean = float(np.exp(np.log(best).mean())) if best.all() else math.nan
        largest.setdefault(seed, {})[alpha] = mean
    return largest


def _stable_rate(table: Table, p: SgdPlaneParameters) -> Estimate:
    found = [
        [of_seed[alpha] for alpha in p.edge_alphas]
        for of_seed in _largest_rates(table).values()
        if len(of_seed) == len(p.edge_alphas)
    ]
    if not found or len(p.edge_alphas) < 2:
        raise NoEstimate("No data set has been run at all alpha.")
    return scaling.slope(p.edge_alphas, found)


CLAIMS = (
    Claim(
        "ch8.sec3.flow-limit",
        "Sec. 8.3",
        "In the limit of zero learning rate the noise of the batches is averaged: SGD is gradient "
        "flow.",
        "> 0",
        Tolerance.at_least(
            0.25,
            "exponent of the learning rate in the distance from gradient flow, B = 16; 1/2 would "
            "be independent noise, 1 the size of steps or noise that an epoch averages, 0 noise "
            "that stays",
        ),
        _flow_limit,
    ),
    Claim(
        "ch8.sec3.cross-over-noise",
        "Sec. 8.3 (preliminary evidence)",
        "The noise of small batches shifts the cross-over from feature to lazy training.",
        "shifted",
        Tolerance.at_least(
            math.log(1.1),
            "|log| of alpha* over that of gradient flow, B = 4 at a rate at which the full batch "
            "is the flow; 10 % would not be seen in the phase diagram",
        ),
        _is_shifted(lambda p: NOISE),
    ),
    Claim(
        "ch8.sec3.cross-over-steps",
        "Sec. 8.3 (preliminary evidence)",
        "So does the finite step alone, without any noise.",
        "shifted",
        Tolerance.at_least(
            math.log(1.1), "the same of the full batch, at 64 times the stability limit"
        ),
        _is_shifted(lambda p: {"batch": p.P, "rate": STEP}),
    ),
    Claim(
        "ch8.sec3.cross-over-direction",
        "Sec. 8.3 (open)",
        "The shift is towards smaller alpha: with SGD the kernel moves less.",
        "open; here: < 1",
        Tolerance.at_most(
            1.0, "alpha* over that of gradient flow, of each method with lr/B up to 1 limit"
        ),
        _direction,
    ),
    Claim(
        "ch8.sec3.one-temperature",
        "Sec. 8.3; Chaudhari and Soatto",
        "Learning rate and batch size act on the cross-over by their ratio alone, as in the "
        "continuous (Fokker-Planck) model of SGD.",
        1.0,
        Tolerance(0.9, 1.1, "alpha* of two methods of one lr/B over each other"),
        _one_temperature,
    ),
    Claim(
        "ch8.sec3.cross-over-width",
        "Sec. 8.3; Ch. 3",
        "With SGD too the cross-over is at one sqrt(h) alpha, whatever the width.",
        1.0,
        Tolerance(
            0.75,
            1.33,
            "sqrt(h) alpha* of the widest networks over that of the narrowest, rates in stability "
            "limits; with a cross-over at one alpha it would be 2",
        ),
        _width,
    ),
    Claim(
        "ch8.sec3.stable-rate",
        "Sec. 8.3; Ch. 3, Eq. 23",
        "In the feature regime the largest learning rate with which networks fit grows with "
        "sqrt(h) alpha, the time t_1 in which features move.",
        1.0,
        Tolerance(0.8, 1.2, "exponent; full batch, sqrt(h) alpha up to the cross-over"),
        _stable_rate,
    ),
    Claim(
        "ch8.sec3.performance",
        "Sec. 8.3; He et al.",
        "SGD improves the performance over gradient flow.",
        "< 1",
        Tolerance.at_most(
            1.0, "test error over that of gradient flow, mean over the alpha around the cross-over"
        ),
        _performance,
    ),
    Claim(
        "ch8.sec3.feature-regime",
        "Sec. 8.3 (observed)",
        "SGD can improve the performance in the feature regime even where the lazy regime works "
        "better.",
        "< 1",
        Tolerance.at_most(
            1.0,
            "whole images of digits: test error of gradient flow, lazy over feature; and in the "
            "feature regime, of the method with the largest lr/B over gradient flow",
        ),
        _feature_regime,
    ),
)


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
            batches=(16,),
            rates=(16.0,),
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

    def figures(self, table: Table, p: SgdPlaneParameters) -> list[Figure]:
        return [
            *(_kernel_figure(table, p, h) for h in p.widths),
            _cross_over_figure(table, p),
            _error_figure(table, p),
            _images_figure(table, p),
            _slow_figure(table, p),
            _edge_figure(table, p),
        ]


def _kernel_figure(table: Table, p: SgdPlaneParameters, h: int) -> Figure:
    figure = Figure(
        f"kernel-{h}",
        f"How far the kernel moves, h = {h}",
        f"Change of the NTK over its norm at the start; P = {p.P}, networks that fit, geometric "
        "means over data sets. Rates are in limits of stability at the start. Dashed: 1, the "
        "cross-over.",
        Axis("sqrt(h) alpha", log=True),
        Axis("relative change of the kernel", log=True),
        claims=(
            "ch8.sec3.cross-over-noise",
            "ch8.sec3.cross-over-steps",
            "ch8.sec3.cross-over-width",
        ),
    )
    for group, own in enumerate(_few_methods(p)):
        rows = table.where(role="plane", h=h, **own)
        figure.curves(
            rows, "alpha", _change, name=method(own | {"P": p.P}), geometric=True, group=group
        )
    return figure.thesis("cross-over", [p.alphas[0], p.alphas[-1]], [1, 1])


def _against_temperature(
    figure: Figure, p: SgdPlaneParameters, estimate: Callable[[Method], Estimate]
) -> Figure:
    """A series per batch size of an estimate, against the temperature; gradient flow has 1."""
    methods = [own for own in _methods(p) if own["batch"]]
    for group, batch in enumerate(dict.fromkeys(own["batch"] for own in methods)):
        found = {}
        for own in methods:
            if own["batch"] == batch:
                with suppress(NoEstimate):
                    found[temperature(own)] = estimate(own)
        name = "full batch" if batch == p.P else f"B = {batch}"
        figure.estimates(name, found, "lines+markers", group)
    ends = [temperature(own) for own in methods]
    return figure.guide("gradient flow", [min(ends), max(ends)], [1, 1])


def _cross_over_figure(table: Table, p: SgdPlaneParameters) -> Figure:
    h = p.widths[0]
    figure = Figure(
        "cross-over",
        "Where SGD has the cross-over",
        f"alpha* over that of gradient flow on the same data and starts, h = {h}, P = {p.P}. If lr "
        "and B acted by their ratio alone, all batch sizes would lie on one curve.",
        Axis("learning rate over batch size (stability limits)", log=True),
        Axis("alpha* over that of gradient flow"),
        claims=("ch8.sec3.cross-over-direction", "ch8.sec3.one-temperature"),
    )
    return _against_temperature(figure, p, functools.partial(_shift, table, h))


def _error_figure(table: Table, p: SgdPlaneParameters) -> Figure:
    h = p.widths[0]
    figure = Figure(
        "error",
        "Test error of SGD around the cross-over",
        f"Test error of single networks over that of gradient flow, mean over sqrt(h) alpha = "
        f"{p.alphas[0]:g} .. {p.alphas[-1]:g}, h = {h}, P = {p.P}.",
        Axis("learning rate over batch size (stability limits)", log=True),
        Axis("test error over that of gradient flow"),
        claims=("ch8.sec3.performance",),
    )

    def gain(own: Method) -> Estimate:
        return _gain(table, own, role="plane", h=h)

    return _against_temperature(figure, p, gain)


def _images_figure(table: Table, p: SgdPlaneParameters) -> Figure:
    figure = Figure(
        "images",
        "Feature and lazy regime on whole images",
        f"Test error of single networks on images of digits, P = {p.P}, h = {p.widths[0]}; lines "
        "at their left ends: gradient flow. Means over data sets.",
        Axis("learning rate over batch size (stability limits)", log=True),
        Axis("test error"),
        claims=("ch8.sec3.feature-regime",),
    )
    images = table.where(role="images")
    ends = [rate / batch for _, batch, rate in p.image_methods]
    for (alpha,), rows in images.groups("alpha"):
        label = f"sqrt(h) alpha = {alpha:g}"
        sgd = rows.select(lambda row: row["batch"] > 0)
        figure.curves(
            sgd, temperature, mean_error, "batch", name=f"{label}, B = {{batch}}",
            group=len(figure.series),
        )  # fmt: skip
        flow = float(np.mean(rows.where(**FLOW).per_seed(mean_error)))
        figure.guide(f"{label}, flow", [min(ends), max(ends)], [flow, flow])
    return figure


def _slow_figure(table: Table, p: SgdPlaneParameters) -> Figure:
    figure = Figure(
        "slow",
        "SGD of small learning rates is gradient flow",
        f"Root mean square distance of the predictor from that of gradient flow, over the size of "
        f"the latter, on test points; B = 16, sqrt(h) alpha = {p.slow_alpha:g}. Dashed: in "
        "proportion to the learning rate.",
        Axis("learning rate (stability limits)", log=True),
        Axis("distance from gradient flow", log=True),
        claims=("ch8.sec3.flow-limit",),
    )
    rows = table.where(role="slow")
    figure.curves(rows, "rate", lambda row: float(row["distance"].mean()), name="B = 16")
    return _proportional(figure)


def _edge_figure(table: Table, p: SgdPlaneParameters) -> Figure:
    figure = Figure(
        "stable-rate",
        "The largest learning rate with which networks fit",
        f"Full batch, h = {p.widths[0]}, {EDGE_STEPS} steps; rates tried differ by factors of "
        "two. Geometric means over networks and data sets. Dashed: in proportion to sqrt(h) alpha.",
        Axis("sqrt(h) alpha", log=True),
        Axis("largest rate (stability limits)", log=True),
        claims=("ch8.sec3.stable-rate",),
    )
    found: dict[float, Estimate] = {}
    for alpha in p.edge_alphas:
        with suppress(NoEstimate):
            rates = [of[alpha] for of in _largest_rates(table).values() if alpha in of]
            found[alpha] = scaling.geometric_mean(rates)
    figure.estimates("full batch", found, "lines+markers")
    return _proportional(figure)


def _proportional(figure: Figure) -> Figure:
    """A line y ~ x through the first point."""
    points = [(x, y) for s in figure.series for x, y in zip(s.x, s.y)]
    if len(points) > 1:
        (first, y), last = min(points), max(points)[0]
        figure.thesis("proportional", [first, last], [y, y * last / first])
    return figure


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

"""The change of the kernel of relu nets, with its third regime (paper I, App. F)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.experiments.learning_regimes import _observed_flow
from symscape.experiments.learning_regimes._flow import network
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Scale = Annotated[float, Field(gt=0)]
Scales = Annotated[tuple[Scale, ...], Field(min_length=1), AfterValidator(lab.increasing)]
Width = Annotated[int, Field(ge=2, le=8192)]

FEATURE = (1e-2, 5.0)
"""sqrt(h) alpha of the three slopes; the outer two are the thesis's."""
BETWEEN = (1e3, 1e6)
"""Above the scale where the smooth part of the change, 1/(sqrt(h) alpha), has become the smaller
one, up to the largest scale of the thesis."""
LAZY = (1e7, 1e10)
MANY = 10
"""Crossings that the nets of a width have together, at least, where their changes of the kernel are
averaged."""


class ReluParameters(lab.Parameters):
    source: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    components: int = Field(ge=2, le=784, default=10, description="principal components of digits")
    n: int = Field(ge=10, description="training digits")
    L: int = Field(ge=1, le=10, default=5, description="hidden layers")
    widths: tuple[Width, ...] = Field(min_length=1, description="widths h")
    scales: Scales = Field(description="sqrt(h) alpha")
    seeds: int = Field(ge=1, description="initializations")
    kernel_points: int = Field(ge=2, default=500, description="test digits of the kernel")
    small: tuple[int, int] = Field(
        default=(64, 32), description="digits and width of the runs with the thesis's integrator"
    )
    small_scales: Scales = Field(default=(1.0, 10.0), description="sqrt(h) alpha of these runs")
    budget: int = Field(ge=1, default=3000, description="steps of the thesis's integrator")


def _change(row: Row) -> float:
    return row["kernel_change"] if row["status"] == "converged" else math.nan


def _runs(table: Table, **where: Any) -> Table:
    return table.where(role="sweep", **where)


def _curves(rows: Table, value: Callable[[Row], float]) -> tuple[np.ndarray, np.ndarray]:
    """One curve per seed over the scales, NaN where there is no number."""
    scales, seeds = (sorted({row[name] for row in rows}) for name in ("scale", "seed"))
    found = np.full((len(seeds), len(scales)), math.nan)
    for row in rows:
        found[seeds.index(row["seed"]), scales.index(row["scale"])] = value(row)
    return np.array(scales, float), found


def _slope(value: Callable[[Row], float], window: tuple[float, float]) -> Any:
    """Exponent of sqrt(h) alpha in a number of a run, for every width."""

    def answer(table: Table, p: ReluParameters) -> dict[str, Estimate]:
        return {
            f"h = {h}": scaling.slope(*_curves(rows, value), window)
            for (h,), rows in _runs(table).groups("h")
        }

    return answer


def _without_crossing(row: Row) -> float:
    return _change(row) if row["crossings"] == 0 else math.nan


def _crossings(row: Row) -> float:
    """Crossings of a run, NaN for none, of which there is no logarithm."""
    return float(row["crossings"]) if row["crossings"] > 0 else math.nan


def between(rows: Table) -> dict[float, list[Row]]:
    """The runs of one width by scale, where kinks are crossed and the rest has become small."""
    found = {}
    for (scale,), some in rows.groups("scale"):
        fits = [row for row in some if row["status"] == "converged"]
        crossed = sum(row["crossings"] for row in fits)
        if BETWEEN[0] <= scale <= BETWEEN[1] and crossed >= MANY:
            found[scale] = fits
    return found


def root_mean_square(rows: Sequence[Row]) -> float:
    """Of the change of the kernel: squares add up where changes are independent."""
    return math.sqrt(float(np.mean([row["kernel_change"] ** 2 for row in rows])))


def _third_regime(table: Table, p: ReluParameters) -> dict[str, Estimate | str]:
    """Exponent of the mean square change, seeds resampled together, for every width."""
    found: dict[str, Estimate | str] = {}
    for (h,), rows in _runs(table).groups("h"):
        by_scale = between(rows)
        if len(by_scale) < 3:
            found[f"h = {h}"] = "Kinks are crossed at fewer than three scales."
            continue
        seeds = sorted(set.intersection(*({r["seed"] for r in some} for some in by_scale.values())))
        scales = np.log(list(by_scale))

        def statistic(
            chosen: Sequence[int], of: dict[float, list[Row]] = by_scale, u: np.ndarray = scales
        ) -> float:
            rows = [[r for s in chosen for r in some if r["seed"] == s] for some in of.values()]
            return float(np.polyfit(u, np.log([root_mean_square(some) for some in rows]), 1)[0])

        note = f"{len(by_scale)} values from {min(by_scale):g} to {max(by_scale):g}."
        found[f"h = {h}"] = scaling.bootstrap(seeds, statistic, note=note)
    return found


def _finishes(table: Table, p: ReluParameters) -> Estimate:
    ours, thesis = (table.where(role="small", method=name) for name in ("ours", "thesis"))
    fitted = [sum(row["n_delta"] == 0 for row in rows) for rows in (ours, thesis)]
    if not ours:
        raise NoEstimate("No run is finished.")
    return Estimate(
        fitted[0] / len(ours),
        note=f"With the thesis's integrator {fitted[1]} of {len(thesis)} runs fit in {p.budget} "
        f"steps; ours took at most {max(row['steps'] for row in ours)}.",
    )


CLAIMS = (
    Claim(
        "ch3.i.fig12.feature-slope",
        "Paper I, Fig. 12",
        "In feature training the kernel of relu nets changes with the exponent of smooth ones.",
        -1.7,
        Tolerance(-1.85, -1.55, "exponent from 1e-2 to 5; 0.15 as in Table 2"),
        _slope(_change, FEATURE),
    ),
    Claim(
        "ch3.i.fig12.third-regime",
        "Paper I, Fig. 12 and App. F",
        "Between feature and lazy training the kernel of relu nets changes as alpha^(-1/2).",
        -0.5,
        Tolerance(
            -0.65,
            -0.35,
            "exponent of the root mean square change from 1e3 to 1e6, as far as kinks are crossed; "
            "0.15 as for the other slopes",
        ),
        _third_regime,
    ),
    Claim(
        "ch3.i.fig12.crossings",
        "Paper I, App. F",
        "The number of times that a pattern crosses a kink is proportional to 1/alpha.",
        -1.0,
        Tolerance(-1.1, -0.9, "exponent of sqrt(h) alpha from 1e2 to 1e4, where there are many"),
        _slope(_crossings, (1e2, 1e4)),
    ),
    Claim(
        "ch3.i.fig12.lazy-slope",
        "Paper I, Fig. 12",
        "At very large alpha no kink is crossed, and the kernel changes as 1/alpha.",
        -1.0,
        Tolerance(-1.05, -0.95, "exponent from 1e7 on, of the runs without a crossing"),
        _slope(_without_crossing, LAZY),
    ),
    Claim(
        "ch3.i.fig12.flow-finishes",
        "Paper I, Fig. 12, after the authors' program",
        "The flow of small relu nets is followed to zero loss, where the thesis's rule for the "
        "step rejects every step at a kink.",
        1.0,
        Tolerance.at_least(1.0, "share of the runs that fit: all of them"),
        _finishes,
        "check",
    ),
)


@lab.register
class Relu(lab.Experiment):
    """Paper I, Fig. 12."""

    name = "regimes-relu"
    chapter = "3"
    title = "A third regime of relu nets"
    summary = (
        "Relu nets learn the parity of digits from ten principal components, at values of sqrt(h) "
        "alpha over twelve decades. Beside feature and lazy training there is a regime in which "
        "the weights hardly move, and yet some patterns cross the kink of some neurons: each "
        "crossing changes the kernel by a finite amount. The thesis's integrator rejects every "
        "step at such a kink where nets are small; the flow with an error bound per step goes on."
    )
    sources = ("Ch. 3, paper I, Fig. 12 and App. F",)
    version = 1
    Parameters = ReluParameters
    profiles = {  # noqa: RUF012
        "smoke": ReluParameters(
            source="mnist-sample",
            n=20,
            L=2,
            widths=(16,),
            scales=(1.0, 3.2, 1e2, 1e3, 1e4, 1e8, 1e9),
            seeds=2,
            kernel_points=50,
            small=(20, 16),
            small_scales=(1.0,),
            budget=100,
        ),
        "quick": ReluParameters(
            n=100,
            widths=(32,),
            scales=(1e-2, 0.1, 1.0, 3.2, 1e2, 1e3, 1e4, 1e5, 1e8, 1e9, 1e10),
            seeds=3,
            budget=1500,
        ),
        "overnight": ReluParameters(
            n=200,
            widths=(50, 150),
            scales=(
                1e-2,
                3.2e-2,
                0.1,
                0.32,
                1.0,
                3.2,
                10.0,
                1e2,
                3.2e2,
                1e3,
                3.2e3,
                1e4,
                3.2e4,
                1e5,
                3.2e5,
                1e6,
                1e7,
                1e8,
                1e9,
                1e10,
            ),
            seeds=5,
        ),
        "paper": ReluParameters(
            n=5000,
            widths=(50, 200, 800),
            scales=tuple(10.0 ** (k / 2) for k in range(-4, 21)),
            seeds=3,
            kernel_points=5000,
        ),
    }
    claims = CLAIMS

    def points(self, p: ReluParameters) -> Iterator[dict[str, Any]]:
        from symscape.datasets import resolve

        digits = {
            "data": resolve(p.source).pinned,
            "components": p.components,
            "n_test": p.kernel_points,
        }
        yield from lab.grid(
            p.seeds, role="sweep", **digits, n=p.n, L=p.L, h=p.widths, scale=p.scales
        )
        n, h = p.small
        yield from lab.grid(
            p.seeds,
            role="small",
            **digits,
            n=n,
            L=3,
            h=h,
            scale=p.small_scales,
            method=[{"method": "ours"}, {"method": "thesis", "budget": p.budget}],
        )

    def cost(self, point: dict[str, Any]) -> float:
        L, h = point["L"], point["h"]
        weights = point["components"] * h + (L - 1) * h**2
        one = 1.2e-4 + point["n"] * (3.5e-10 * weights + 1e-8 * L * h)
        if "budget" in point:
            return point["budget"] * one
        return 0.1 + (300 + 300 * point["scale"] ** -0.35) * one

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.dynamics import EulerThesis

        data = _observed_flow.problem(
            point["data"], point["n"], point["n_test"], point["components"]
        )
        net = network(data.x.shape[1], point["h"], point["L"], "relu")
        alpha = point["scale"] / math.sqrt(net.h)
        w0 = net.initial_weights(point["seed"])
        ours = "budget" not in point
        method = _observed_flow.integrator() if ours else EulerThesis()
        steps = 20_000 if ours else point["budget"]
        with torch.no_grad():
            result = _observed_flow.follow(net, w0, data, alpha, method, steps)
            on = [torch.stack(net.preactivations(w, data.x_test)) > 0 for w in (w0, result.w)]
            return {
                **_observed_flow.ended(result),
                "kernel_change": _observed_flow.kernel_change(net, result.w, w0, data.x_test),
                "crossings": int((on[0] != on[1]).sum()),
            }

    def figures(self, table: Table, p: ReluParameters) -> list[Figure]:
        return [_change_figure(table, p), _crossings_figure(table, p), _steps_figure(table, p)]


_SCALE = Axis("√h α", log=True)


def _change_figure(table: Table, p: ReluParameters) -> Figure:
    figure = Figure(
        "kernel-change",
        "Change of the kernel of relu nets",
        "Relative change of the NTK on test digits, root mean square over initializations. Thesis "
        "(dashed): exponents -1.7, -1/2 and -1.",
        _SCALE,
        Axis("|Θ - Θ0| / |Θ0|", log=True),
        claims=(
            "ch3.i.fig12.feature-slope",
            "ch3.i.fig12.third-regime",
            "ch3.i.fig12.lazy-slope",
        ),
    )
    for group, ((h,), rows) in enumerate(_runs(table).groups("h")):
        points = {
            scale: root_mean_square([row for row in some if row["status"] == "converged"])
            for (scale,), some in rows.groups("scale")
            if any(row["status"] == "converged" for row in some)
        }
        x, y = np.array(list(points)), np.array(list(points.values()))
        figure.measured(f"h = {h}", x, y, mode="lines+markers", group=group)
        if group:
            continue
        for name, exponent, (low, high) in (
            ("exponent -1.7", -1.7, FEATURE),
            ("exponent -1/2", -0.5, BETWEEN),
            ("exponent -1", -1.0, LAZY),
        ):
            inside = (x >= low) & (x <= high)
            if inside.sum() > 1:
                ends = x[inside][[0, -1]]
                figure.thesis(name, ends, y[inside][0] * (ends / ends[0]) ** exponent)
    return figure


def _crossings_figure(table: Table, p: ReluParameters) -> Figure:
    figure = Figure(
        "crossings",
        "Kinks that are crossed",
        "Pairs of a neuron and a test digit whose preactivation has changed its sign in training, "
        "mean over initializations. Thesis (dashed): proportional to 1/α.",
        _SCALE,
        Axis("crossings", log=True),
        claims=("ch3.i.fig12.crossings",),
    )
    crossed = _runs(table).select(lambda row: row["status"] == "converged")
    figure.curves(crossed, "scale", lambda row: float(row["crossings"]), "h", name="h = {h}")
    if figure.series:
        x, y = figure.series[0].x, figure.series[0].y
        inside = (x >= 1e2) & (x <= 1e6) & (y > 0)
        if inside.sum() > 1:
            figure.thesis("1/α", x[inside], y[inside][0] * x[inside][0] / x[inside])
    return figure


def _steps_figure(table: Table, p: ReluParameters) -> Figure:
    figure = Figure(
        "small-nets",
        "Patterns that small relu nets leave unfitted",
        f"After {p.budget} steps of the thesis's integrator, and at the end of ours, for the same "
        "nets; mean over initializations.",
        _SCALE,
        Axis("unfitted patterns"),
        claims=("ch3.i.fig12.flow-finishes",),
    )
    for group, (method, name) in enumerate((("ours", "error per step"), ("thesis", "thesis's"))):
        rows = table.where(role="small").where(method=method)
        figure.curves(rows, "scale", "n_delta", name=name, group=group)
    return figure

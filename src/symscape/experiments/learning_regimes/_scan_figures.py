"""Figures of the scan, each with the thesis's exponents beside the measured curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symscape import scaling
from symscape.experiments.learning_regimes import _scan_claims as claims
from symscape.experiments.learning_regimes import _scan_runs as runs
from symscape.experiments.learning_regimes._observed_flow import LEVELS, SLAB
from symscape.lab import Axis, Estimate, Figure, NoEstimate, Row, Table

if TYPE_CHECKING:
    from symscape.experiments.learning_regimes._scan import ScanParameters

Value = Callable[[Row], float]

SCALE = Axis("√h α", log=True)
WIDTH = Axis("width h", log=True)
ERROR = Axis("test error")
_NET = ("L", "h")
_NET_NAME = "L = {L}, h = {h}"

MEASURED_IN_THESIS = {"a": {2: 1.25, 5: 1.7}, "b": {2: 0.35, 5: 0.23}}
"""Table 2."""


def figures(table: Table, p: ScanParameters) -> list[Figure]:
    """All figures; those of runs that are not there are empty."""
    slab, images = runs.networks(table, data=SLAB), runs.networks(table)
    images = images.select(lambda row: row["data"] != SLAB)
    return [
        _kernel_change(slab, "alpha"),
        _kernel_change(slab, "scale"),
        _crossover(table),
        _exponents(table),
        _loss(slab, "t", lambda row: row["scale"]),
        _loss(slab, "t-scaled", lambda row: 1.0),
        _half_time(slab),
        _displacement(slab),
        _output_growth(slab),
        _output_at_scale(table),
        _rescaled_error(table),
        *(
            _errors_by_scale(table, rows, kind)
            for kind, rows in (("slab", slab), ("images", images))
        ),
        *(
            _errors_by_width(table, rows, p, kind)
            for kind, rows in (("slab", slab), ("images", images))
        ),
        _variance(table, p),
        _scaled_variance(table),
        _fixed_alpha(table),
        _distance(table),
    ]


def _kernel_change(slab: Table, axis: str) -> Figure:
    scaled = axis == "scale"
    figure = Figure(
        f"kernel-change-{axis}",
        "Change of the kernel against " + ("√h α" if scaled else "α"),
        "Relative change of the NTK over training, on test points of the slab, geometric means "
        "over initializations. "
        + (
            "Thesis (dashed): the widths of one depth are one curve, with the exponents "
            "-2/(1+1/L) for feature and -1 for lazy training."
            if scaled
            else "The widths differ as long as they are not drawn against √h α."
        ),
        SCALE if scaled else Axis("α", log=True),
        Axis("|Θ - Θ0| / |Θ0|", log=True),
        claims=("ch3.i.fig5a.collapse", "ch3.i.fig5a.collapse-lazy", "ch3.i.fig5a.lazy-slope")
        if scaled
        else (),
    )
    x: Any = "scale" if scaled else (lambda row: row["scale"] / math.sqrt(row["h"]))
    figure.curves(slab, x, runs.KERNEL_CHANGE, _NET, name=_NET_NAME, geometric=True)
    if scaled:
        _slopes(figure, slab, claims.kernel_exponent)
    return figure


def _slopes(figure: Figure, slab: Table, feature: Callable[[int], float]) -> None:
    """The thesis's slopes through the curve of L = 2: a(2) or b(2) below, -1 above."""
    drawn = [s for s in figure.series if s.kind == "measured" and s.name.startswith("L = 2")]
    if not drawn:
        return
    x, y = drawn[0].x, drawn[0].y
    for name, exponent, (low, high) in (
        (f"exponent -{feature(2):.2f}", -feature(2), claims.FEATURE),
        ("exponent -1", -1.0, claims.VERY_LAZY),
    ):
        inside = (x >= low) & (x <= high)
        if inside.sum() > 1:
            ends = x[inside][[0, -1]]
            figure.thesis(name, ends, y[inside][-1] * (ends / ends[-1]) ** exponent)


def _crossover(table: Table) -> Figure:
    figure = Figure(
        "crossover",
        "Where feature training ends",
        "The α at which the kernel changes by its own norm, and the α at which the test error is "
        "half way between its values in the two regimes (with its exponent only). Thesis (dashed): "
        "1/√h.",
        WIDTH,
        Axis("α*", log=True),
        claims=("ch3.i.fig5a.crossover",),
    )
    try:
        widths, alphas = claims.crossovers(table)
    except NoEstimate:
        return figure
    found = {h: scaling.geometric_mean(column) for h, column in zip(widths, alphas.T)}
    figure.estimates("kernel change = 1", found, mode="lines+markers")
    for h, (scales, errors) in claims.mean_errors(table).items():
        try:
            figure.measured(
                f"half height of the error, h = {h}",
                [h],
                [claims.middle(scales, errors) / math.sqrt(h)],
                group=1,
            )
        except NoEstimate:
            continue
    figure.thesis("1/√h", widths, found[widths[0]].value * (widths / widths[0]) ** -0.5)
    return figure


def _exponents(table: Table) -> Figure:
    figure = Figure(
        "exponents",
        "Exponents of feature training by depth",
        "Decay with √h α of the change of the kernel, a, and of the weights, b. Lines: theory, "
        "a = 2L/(L+1) and b = 1/(L+1). Diamonds: measured in the thesis (Table 2).",
        Axis("hidden layers L"),
        Axis("exponent"),
        claims=(
            "ch3.i.table2.kernel",
            "ch3.i.table2.weights",
            "ch3.i.table2.deeper-is-steeper",
        ),
    )
    depths = np.linspace(1, 5, 33)
    for group, (name, value, theory) in enumerate(
        (
            ("a", runs.KERNEL_CHANGE, claims.kernel_exponent),
            ("b", runs.DISPLACEMENT, claims.weight_exponent),
        )
    ):
        found: dict[int, Estimate] = {}
        for _, L, _, rows in runs.by_net(table):
            try:
                found[L] = -scaling.slope(*runs.curves(rows, "scale", value), claims.FEATURE)
            except NoEstimate:
                continue
        figure.estimates(name, found, group=group)
        figure.guide(f"theory, {name}", depths, [theory(L) for L in depths])
        known = MEASURED_IN_THESIS[name]
        figure.thesis(f"thesis, {name}", list(known), list(known.values()), mode="markers")
    return figure


def _loss(slab: Table, axis: str, unit: Value) -> Figure:
    scaled = axis == "t-scaled"
    figure = Figure(
        f"loss-{axis}",
        "Learning curves against " + ("t / (√h α)" if scaled else "t"),
        "Geometric mean of the time at which the rescaled loss α² L passes its levels, widest net "
        "with L = 2 on the slab. "
        + (
            "Thesis: feature training is one sharp curve here."
            if scaled
            else "Thesis: lazy training is one curve here."
        ),
        Axis("t / (√h α)" if scaled else "t", log=True),
        Axis("α² L"),
        ordered=True,
        claims=("ch3.i.fig5b.feature-curves", "ch3.i.fig5b.sharp")
        if scaled
        else ("ch3.i.fig5b.lazy-curves",),
    )
    rows = slab.where(L=2, h=max((row["h"] for row in slab.where(L=2)), default=0))
    for place, ((scale,), some) in enumerate(rows.groups("scale")):
        times = np.array(
            [row["loss_times"] * unit(row) / row["scale"] for row in some if _fits(row)]
        )
        if len(times):
            mean = np.exp(np.log(times).mean(0))
            figure.measured(f"{scale:g}", mean, LEVELS, mode="lines", group=place)
    return figure


def _fits(row: Row) -> bool:
    return bool(row["status"] == "converged")


def _half_time(slab: Table) -> Figure:
    figure = Figure(
        "half-time",
        "Time in which the loss is halved",
        "In units of √h α, geometric means over initializations. Thesis (dashed), for L > 1: a "
        "plateau in feature training, exponent -1 in lazy training.",
        SCALE,
        Axis("t(L/2) / (√h α)", log=True),
        claims=("ch3.i.fig5c.plateau", "ch3.i.fig5c.lazy-slope"),
    )
    figure.curves(slab, "scale", runs.HALF_TIME, _NET, name=_NET_NAME, geometric=True)
    _slopes(figure, slab, lambda L: 0.0)
    return figure


def _displacement(slab: Table) -> Figure:
    figure = Figure(
        "displacement",
        "Change of the weights",
        "√h |w - w0| / |w0|, geometric means over initializations. Thesis (dashed): the widths of "
        "one depth are one curve, with the exponents -1/(1+L) and -1.",
        SCALE,
        Axis("√h |w - w0| / |w0|", log=True),
        claims=("ch3.i.fig9.collapse", "ch3.i.fig9.lazy-slope"),
    )
    figure.curves(slab, "scale", runs.DISPLACEMENT, _NET, name=_NET_NAME, geometric=True)
    _slopes(figure, slab, claims.weight_exponent)
    return figure


def _output_growth(slab: Table) -> Figure:
    figure = Figure(
        "output-growth",
        "Growth of the output",
        "|f(w_t) - f(w_0)| on test points against t / t_1, with t_1 where the loss is half, widest "
        "net with L = 2, first initialization. Thesis (dashed): linear before t_1.",
        Axis("t / t_1", log=True),
        Axis("|f - f0|", log=True),
        ordered=True,
        claims=("ch3.i.fig10a.linear",),
    )
    rows = slab.where(L=2, h=max((row["h"] for row in slab.where(L=2)), default=0), seed=0)
    half = runs.plain_time_at(0.5)
    for place, row in enumerate(row for row in rows if 1e-3 <= row["scale"] <= 10 and _fits(row)):
        t = row["loss_times"] / half(row)
        figure.measured(f"{row['scale']:g}", t, row["growth"], mode="lines+markers", group=place)
    if figure.series:
        first = figure.series[-1]
        ends = np.array([0.01, 1.0])
        start = claims.size_at(rows.rows[-1], 0.1 * half(rows.rows[-1]))
        level = start if math.isfinite(start) else first.y[0]
        figure.thesis("linear", ends, level * ends / 0.1)
    return figure


def _output_at_scale(table: Table) -> Figure:
    figure = Figure(
        "output-by-width",
        "Growth of the output until t = √h α",
        "|f(w_t) - f(w_0)| on test points at t = √h α, geometric means over "
        "initializations, for two values of √h α far below the cross-over. Thesis (dashed): √h.",
        WIDTH,
        Axis("|f - f0|", log=True),
        claims=("ch3.i.fig10b.sqrt-h",),
    )
    rows = runs.several_widths(table)
    shown = rows.select(lambda row: row["scale"] in (1e-3, 1e-2) and _fits(row))
    figure.curves(
        shown,
        "h",
        claims.at_t1,
        "scale",
        name="√h α = {scale:g}",
        geometric=True,
    )
    _guide_slope(figure, 0.5, "√h")
    return figure


def _guide_slope(figure: Figure, exponent: float, name: str) -> None:
    """The thesis's power law through the first point of the first series."""
    drawn = [s for s in figure.series if len(s.x) > 1]
    if drawn:
        x, y = drawn[0].x, drawn[0].y
        figure.thesis(name, x, y[0] * (x / x[0]) ** exponent)


def _rescaled_error(table: Table) -> Figure:
    figure = Figure(
        "rescaled-error",
        "Rescaled test error",
        "Mean test error on the slab for √h α > 0.1, rescaled to the range from 0 to 1 for each "
        "width. Thesis: the widths are one curve, so that the cross-over is at α* ~ 1/√h. (On the "
        "slab feature training is the better one, so that the curve rises.)",
        SCALE,
        Axis("rescaled test error"),
        claims=("ch3.i.fig3d.crossover",),
    )
    for place, (h, (scales, errors)) in enumerate(claims.mean_errors(table).items()):
        mean = errors.mean(0)
        span = mean.max() - mean.min()
        if span > 0:
            y = (mean - mean.min()) / span
            figure.measured(f"h = {h}", scales, y, mode="lines+markers", group=place)
    return figure


def _title(kind: str, rows: Table) -> str:
    return runs.name_of(rows.rows[0]["data"]) if rows else kind


def _ensemble_error(rows: Table) -> float:
    """Of all the nets of these rows that fit; NaN for fewer than two."""
    members = [row["margins"].astype(np.float64) for row in rows if _fits(row)]
    return float(np.mean(np.mean(members, 0) <= 0)) if len(members) > 1 else math.nan


def _with_ensembles(figure: Figure, rows: Table, x: str, by: str, name: str) -> None:
    """Mean test errors with markers, those of ensembles as lines, in one colour for each group."""
    figure.curves(rows, x, runs.TEST_ERROR, by, name=name)
    for place, ((value,), some) in enumerate(rows.groups(by)):
        points = [(at, _ensemble_error(part)) for (at,), part in some.groups(x)]
        xs, ys = np.array(points).T
        known = np.isfinite(ys)
        label = f"{name.format(**{by: value})}, ensemble"
        figure.measured(label, xs[known], ys[known], mode="lines", group=place)


def _errors_by_scale(table: Table, rows: Table, kind: str) -> Figure:
    figure = Figure(
        f"error-by-scale-{kind}",
        f"Test error against √h α, {_title(kind, rows)}",
        "With markers: mean over nets; without: error of the ensemble. "
        + (
            "On the slab features help."
            if kind == "slab"
            else "Thesis, with 10,000 training images of clothes: lazy training is the better one."
        ),
        SCALE,
        ERROR,
        claims=("ch3.i.fig4c.ensemble-helps",)
        if kind == "slab"
        else ("ch3.i.fig3b.lazy-better", "ch3.i.fig4c.lazy-ensemble-better"),
    )
    depth = {row["L"] for row in runs.several_widths(table)} if kind == "slab" else None
    shown = rows if depth is None else rows.select(lambda row: row["L"] in depth)
    _with_ensembles(figure, shown, "scale", "h", "h = {h}")
    return figure


def _errors_by_width(table: Table, rows: Table, p: ScanParameters, kind: str) -> Figure:
    figure = Figure(
        f"error-by-width-{kind}",
        f"Test error against the width, {_title(kind, rows)}",
        "With markers: mean over nets; without: error of the ensemble; dashed: nets with the "
        "frozen kernel of their initial weights, which the thesis finds to be the limit of large "
        "√h α. "
        "Thesis: the error of ensembles is nearly flat.",
        WIDTH,
        ERROR,
        claims=("ch3.i.fig4d.flat", "ch3.i.fig3b.frozen-error"),
    )
    wanted = set(p.ensemble_scales if kind == "slab" else p.image_scales)
    depth = {row["L"] for row in runs.several_widths(table)} if kind == "slab" else None
    shown = rows.select(lambda row: row["scale"] in wanted and (depth is None or row["L"] in depth))
    _with_ensembles(figure, shown, "h", "scale", "√h α = {scale:g}")
    data = {row["data"] for row in rows}
    kernels = table.where(role="frozen").select(lambda row: row["data"] in data)
    points = {h: scaling.mean(some.per_seed("test_error")) for (h,), some in kernels.groups("h")}
    if points:
        figure.thesis(
            "frozen kernel",
            list(points),
            [e.value for e in points.values()],
            [e.error or 0.0 for e in points.values()],
        )
    return figure


def _variances(table: Table, L: int | None, scale: float) -> dict[int, Estimate]:
    """Variance over initializations on the slab, by width."""
    found = {}
    for data, depth, h, at in sorted(runs.stacks(table), key=str):
        if (data, depth, at) == (SLAB, L, scale):
            members = runs.stacks(table)[data, depth, h, at]
            if len(members) > 1:
                value = runs.statistics(members, list(members)).variance
                # of a variance over M members, were the outputs one Gaussian number
                error = value * math.sqrt(2 / (len(members) - 1))
                found[h] = Estimate(value, error)
    return dict(sorted(found.items()))


def _depth(table: Table) -> int | None:
    return next((row["L"] for row in runs.several_widths(table)), None)


def _variance(table: Table, p: ScanParameters) -> Figure:
    figure = Figure(
        "variance",
        "Variance of the output over initializations",
        "Var F on test points of the slab. Error bars: of a variance over so many members. Thesis "
        "(dashed): 1/h in both regimes.",
        WIDTH,
        Axis("Var F", log=True),
        claims=("ch3.i.fig4a.variance",),
    )
    for group, scale in enumerate(p.ensemble_scales):
        found = _variances(table, _depth(table), scale)
        figure.estimates(f"√h α = {scale:g}", found, mode="lines+markers", group=group)
    _guide_slope(figure, -1.0, "1/h")
    return figure


def _scaled_variance(table: Table) -> Figure:
    figure = Figure(
        "scaled-variance",
        "Variance times width against √h α",
        "h Var F on test points of the slab. Thesis: the widths are one curve in feature training, "
        "and in lazy training once h is large enough; the variance blows up below 1e-4.",
        SCALE,
        Axis("h Var F", log=True),
        claims=("ch3.i.fig4a.variance", "ch3.i.fig4c.blow-up"),
    )
    scales = sorted({key[3] for key in runs.stacks(table) if key[0] == SLAB})
    by_width: dict[int, dict[float, Estimate]] = {}
    for scale in scales:
        for h, found in _variances(table, _depth(table), scale).items():
            by_width.setdefault(h, {})[scale] = found.scaled(h)
    for group, (h, points) in enumerate(sorted(by_width.items())):
        figure.estimates(f"h = {h}", points, mode="lines+markers", group=group)
    return figure


def _fixed_alpha(table: Table) -> Figure:
    figure = Figure(
        "fixed-alpha",
        "Error of the ensemble at fixed α",
        "Interpolated between the values of √h α that were trained, on the slab. Thesis: at fixed "
        "α nets become lazy as they grow, and where features help there is a best width.",
        WIDTH,
        Axis("ensemble test error"),
        ordered=True,
        claims=("ch3.i.fig4e.fixed-alpha",),
    )
    depth = _depth(table)
    widths: Sequence[int] = sorted({row["h"] for row in runs.several_widths(table)})
    for group, alpha in enumerate((0.1, 0.3, 1.0, 3.0)):
        found = {}
        for h in widths if depth is not None else ():
            try:
                of, error = claims.at_alpha(table, depth or 0, h, alpha)
                found[h] = error(runs.common_seeds(of))
            except NoEstimate:
                continue
        figure.measured(
            f"α = {alpha:g}", list(found), list(found.values()), mode="lines+markers", group=group
        )
    return figure


def _distance(table: Table) -> Figure:
    figure = Figure(
        "frozen-kernel-distance",
        "Distance from the frozen kernel",
        "Distance of the test outputs of a net on the slab from those with the frozen kernel of "
        "its initial weights, over the size of the latter. Thesis: nets become the frozen kernel "
        "as √h α grows; the rest is the error of the two integrators.",
        SCALE,
        Axis("relative distance", log=True),
        claims=("ch3.i.fig3b.frozen-outputs",),
    )

    rows = runs.several_widths(table).select(lambda row: row["scale"] >= 1 and _fits(row))
    figure.curves(
        rows,
        "scale",
        lambda row: claims.distance(table, row),
        "h",
        name="h = {h}",
        geometric=True,
    )
    return figure

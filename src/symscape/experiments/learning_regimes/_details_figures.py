"""Figures of what stands behind the scan (paper I, Figs. 1, 11, 13 to 16)."""

from __future__ import annotations

import math

import numpy as np

from symscape import scaling
from symscape.experiments.learning_regimes import _details_claims as claims
from symscape.lab import Axis, Estimate, Figure, NoEstimate, Table

_SCALE = Axis("√h α", log=True)
_WIDTH = Axis("width h", log=True)
_ERROR = Axis("test error")
_DIFFERENCE = Axis("relative difference", log=True)


def figures(table: Table, p: object) -> list[Figure]:
    """All figures; those of runs that are not there are empty."""
    return [
        _losses(table),
        _speeds(table),
        _differences(table),
        _costs(table),
        _centered(table),
        _bias(table),
        _bias_variance(table),
        _frozen_variance(table),
    ]


def _losses(table: Table) -> Figure:
    figure = Figure(
        "losses",
        "The hinge and its smooth forms",
        "Loss of one pattern, ln(1 + exp(β (1 - f y))) / β, and the hinge; the chapter has β = 20. "
        "Dashed: the thesis's largest distance, ln 2 / β, above the corner of the hinge.",
        Axis("f y"),
        Axis("loss"),
        ordered=True,
        claims=("ch3.i.fig1.distance",),
    )
    for row in table.where(role="losses"):
        f = np.linspace(-0.7, 1.5, len(row["hinge"]))
        figure.guide("hinge", f, row["hinge"])
        for beta in (1.0, 5.0, 20.0):
            figure.measured(f"β = {beta:g}", f, row[f"soft_{beta:g}"], mode="lines")
        corner = [math.log(2) / beta for beta in (1.0, 5.0, 20.0)]
        figure.thesis("ln 2 / β", [1.0] * 3, corner, mode="markers")
    return figure


def _speeds(table: Table) -> Figure:
    figure = Figure(
        "speeds",
        "Speed of the preactivations at the start",
        "Root mean square over neurons and training points, geometric means over initializations, "
        "L = 5, α = 1. Thesis (dashed): 1/√h in every layer.",
        _WIDTH,
        Axis("speed", log=True),
        ordered=True,
        claims=("ch3.i.fig11.speed",),
    )
    try:
        widths, found = claims.speeds(table)
    except NoEstimate:
        return figure
    for group, layer in enumerate(found):
        means = {h: scaling.geometric_mean(column) for h, column in zip(widths, layer.T)}
        figure.estimates(f"layer {group + 1}", means, mode="lines+markers", group=group)
    figure.thesis("1/√h", widths, found[0].mean(0)[0] * (widths / widths[0]) ** -0.5)
    return figure


def _differences(table: Table) -> Figure:
    figure = Figure(
        "integrators",
        "Accuracy of the integrators",
        "Relative difference of the test outputs, means over initializations: between the thesis's "
        "rule for the step and a bound 100 times smaller, between two memory times of its "
        "momentum, and from the exact flow. Thesis (dashed): the first two are below 1e-3.",
        _SCALE,
        _DIFFERENCE,
        claims=("ch3.i.fig13a.steps", "ch3.i.fig13b.memory", "ch3.i.fig13.ours"),
    )
    rows = table.where(role="integrators")
    for group, (name, label) in enumerate(
        (
            ("fine_difference", "thesis, two bounds"),
            ("memory_difference", "thesis, two memory times"),
            ("thesis_error", "thesis, from the exact flow"),
            ("ours_error", "ours, from the exact flow"),
        )
    ):
        figure.curves(rows, "scale", name, name=label, group=group, geometric=True)
    if rows:
        scales = [row["scale"] for row in rows]
        figure.thesis("thesis: below", [min(scales), max(scales)], [1e-3, 1e-3])
    return figure


def _costs(table: Table) -> Figure:
    figure = Figure(
        "integrator-costs",
        "Cost of the integrators",
        "Evaluations of the gradient to zero loss, geometric means over initializations. The "
        "thesis reports that a bound 100 times smaller doubles the computing time (dashed, above "
        "its usual bound).",
        _SCALE,
        Axis("evaluations", log=True),
        claims=("ch3.i.fig13a.steps",),
    )
    rows = table.where(role="integrators")
    for group, (name, label) in enumerate(
        (("thesis_fine", "thesis, small bound"), ("thesis", "thesis"), ("ours", "ours"))
    ):
        figure.curves(rows, "scale", f"{name}_evaluations", name=label, group=group, geometric=True)
    usual = [s for s in figure.series if s.name == "thesis"]
    if usual:
        figure.thesis("twice the usual cost", usual[0].x, 2 * usual[0].y)
    return figure


def _centered(table: Table) -> Figure:
    figure = Figure(
        "centered",
        "With and without the subtraction of f0",
        "Mean test error of F = α (f - f0) and of F = α f. Thesis: equal for small α; for large α "
        "the subtraction helps drastically. Dashed: the smallest difference that counts.",
        _SCALE,
        _ERROR,
        claims=("ch3.i.fig15.small-alpha", "ch3.i.fig15.large-alpha", "ch3.i.fig15.fits"),
    )
    rows = table.where(role="centered")
    widths = sorted({row["h"] for row in rows})
    for name, label in (("centered_error", "α (f - f0)"), ("plain_error", "α f")):
        for h in widths:
            figure.curves(
                rows.where(h=h), "scale", name, name=f"{label}, h = {h}", group=len(figure.series)
            )
    if figure.series:
        wide = figure.series[len(widths) - 1]
        figure.thesis("5 % above, at large α", wide.x[-1:], wide.y[-1:] + 0.05, mode="markers")
    return figure


def _bias(table: Table) -> Figure:
    figure = Figure(
        "biases",
        "Test error with and without biases",
        "Mean over initializations with its error; nets in pairs with the same initial weights, "
        "biases start at 0. Thesis (dashed, drawn from the nets without biases): biases are "
        "negligible.",
        _SCALE,
        _ERROR,
        claims=("ch3.i.fig16.error",),
    )
    rows = table.where(role="bias")
    for group, (name, label) in enumerate((("plain", "without"), ("biased", "with biases"))):
        figure.curves(rows, "scale", f"{name}_error", name=label, group=group)
    if figure.series:
        figure.thesis("with biases", figure.series[0].x, figure.series[0].y)
    return figure


def _bias_variance(table: Table) -> Figure:
    figure = Figure(
        "bias-variance",
        "Variance with and without biases",
        "h Var F over initializations, with the error of a variance over so many members. Thesis "
        "(dashed, drawn from the nets without biases): biases are negligible.",
        _SCALE,
        Axis("h Var F", log=True),
        claims=("ch3.i.fig16.variance",),
    )
    widths = [row["h"] for row in table.where(role="bias")]
    for group, (name, label) in enumerate((("plain", "without"), ("biased", "with biases"))):
        of = {s: F for s, F in claims.margins(table, name).items() if len(F) > 1}
        found = {scale: _variance(F).scaled(widths[0]) for scale, F in of.items()}
        figure.estimates(label, found, mode="lines+markers", group=group)
    if figure.series and len(figure.series[0].x):
        figure.thesis("with biases", figure.series[0].x, figure.series[0].y)
    return figure


def _variance(F: np.ndarray) -> Estimate:
    """With the error that it has where the outputs are one Gaussian number."""
    value = claims.variance(F)
    return Estimate(value, value * math.sqrt(2 / (len(F) - 1)))


def _frozen_variance(table: Table) -> Figure:
    figure = Figure(
        "variance-by-n",
        "Variance of lazy nets over √n",
        "Var F / √n of frozen initial kernels on test images, with the error of a variance over so "
        "many members. Thesis: the training sets are one curve, with the asymptote 1/h (dashed), "
        "which small ones reach first.",
        _WIDTH,
        Axis("Var F / √n", log=True),
        ordered=True,
        claims=("ch3.i.fig14.sqrt-n", "ch3.i.fig14.asymptote", "ch3.i.fig14.earlier"),
    )
    try:
        by_size = claims.frozen_variances(table)
    except NoEstimate:
        return figure
    for group, (n, by_width) in enumerate(by_size.items()):
        found = {h: _variance(F).scaled(n**-0.5) for h, F in by_width.items()}
        figure.estimates(f"n = {n}", found, mode="lines+markers", group=group)
    x, y = figure.series[0].x, figure.series[0].y
    figure.thesis("1/h", x, y[-1] * x[-1] / x)
    return figure

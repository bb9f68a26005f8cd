"""Figures of nets of many widths, each with what the thesis says of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from symscape.experiments.double_descent._curves import ENSEMBLES, Curve, Mean, curves
from symscape.experiments.double_descent._width_claims import (
    FAR,
    excess,
    gradient_fit,
    quadratic_fit,
    training_cost,
)
from symscape.lab import Axis, Estimate, Figure, NoEstimate, Table

Value = Callable[[Mean], Any]


def figures(table: Table) -> list[Figure]:
    """All figures of the experiment."""
    try:
        shown = [curve for curve in curves(table) if np.isfinite(curve.threshold)]
    except NoEstimate:
        shown = []
    return [draw(shown) for draw in (
        _errors, _loss, _deviation, _gradient, _error_of_distance, _distance, _excess, _norms,
        _norms_in_time, _envelope,
    )]  # fmt: skip


def _draw(
    figure: Figure,
    curve: Curve,
    name: str,
    x: Value,
    y: Value,
    group: int,
    least: float = 0.0,
) -> None:
    """A mean curve with the error over seeds at each size, from ``least`` times N* on."""
    everyone = curve.everyone
    found: dict[float, Estimate] = {}
    for place, N in enumerate(everyone.N):
        if everyone.ratio[place] < least:
            continue
        try:
            found[float(x(everyone)[place])] = curve.estimate(_at(y, N))
        except NoEstimate:
            continue
    mode: Literal["markers", "lines+markers"] = "markers" if least == FAR[0] else "lines+markers"
    if found:
        figure.estimates(f"{curve.name}{name}", dict(sorted(found.items())), mode, group)


def _at(value: Value, N: float) -> Callable[[Mean, float], float]:
    def statistic(mean: Mean, choice: float) -> float:
        place = np.flatnonzero(mean.N == N)
        if not len(place):
            raise NoEstimate("No net of this size is alive.")
        return float(value(mean)[place[0]])

    return statistic


def _ratio(mean: Mean) -> Any:
    return mean.ratio


def _law(figure: Figure, curve: Curve, name: str, x: Value, y: Value, exponent: float) -> None:
    """The thesis's power of x through the sizes that are far from N*, as far as there are some."""
    mean = curve.everyone
    far = mean.ratio >= FAR[0]
    if far.sum() < 2 or not (y(mean)[far] > 0).all():
        return
    ends = x(mean)[far][[0, -1]]
    height = np.exp(np.mean(np.log(y(mean)[far]) - exponent * np.log(x(mean)[far])))
    figure.thesis(f"{name}, {curve.name}", ends, height * ends**exponent)


def _at_threshold(figure: Figure) -> None:
    """A vertical line at N*."""
    y = np.concatenate([series.y for series in figure.series] or [np.array([])])
    y = y[figure.y.shows(y)]
    if len(y):
        figure.thesis("N = N*", [1.0, 1.0], [y.min(), y.max()])


_N = Axis("N", log=True)
_SCALED = Axis("N / N*", log=True)
_ERROR = Axis("test error")


def _errors(shown: list[Curve]) -> Figure:
    figure = Figure(
        "test-error",
        "Test error of one net, with early stopping, and of the ensemble",
        "Means over initializations; the ensemble is the mean output of all of them. The thesis "
        "finds a cusp of single nets at N*, none with early stopping, and an ensemble whose error "
        "is nearly constant beyond N*.",
        _SCALED,
        _ERROR,
        claims=(
            "ch2.b.fig2a.cusp-at-transition",
            "ch2.b.fig2a.early-stopping-without-cusp",
            "ch2.b.fig2a.ensemble-without-cusp",
            "ch2.b.fig2a.ensemble-flat",
            "ch2.b.fig2a.leading-coefficient",
            "ch2.b.sec7.ensemble-beats-width",
            "ch2.b.sec7.subleading",
        ),
    )
    for place, curve in enumerate(shown):
        _draw(figure, curve, ", one net", _ratio, lambda m: m.single, 3 * place)
        _draw(figure, curve, ", early stopping", _ratio, lambda m: m.best, 3 * place + 1)
        _draw(figure, curve, ", ensemble", _ratio, lambda m: m.ensemble, 3 * place + 2)
    _at_threshold(figure)
    return figure


def _loss(shown: list[Curve]) -> Figure:
    figure = Figure(
        "fitted",
        "Share of the nets that reach zero loss",
        "The thesis: the loss is positive below N* and zero beyond. N* is the median over "
        "initializations of the smallest N that fits.",
        _SCALED,
        Axis("share with zero loss"),
        claims=("ch2.b.fig2b.zero-loss-beyond",),
    )
    for place, curve in enumerate(shown):
        _draw(figure, curve, "", _ratio, lambda m: m.fitted, place)
    if shown:
        ends = [min(c.everyone.ratio[0] for c in shown), max(c.everyone.ratio[-1] for c in shown)]
        figure.thesis("zero loss beyond N*", [ends[0], 1.0, 1.0, ends[1]], [0.0, 0.0, 1.0, 1.0])
    return figure


def _deviation(shown: list[Curve]) -> Figure:
    figure = Figure(
        "fluctuations",
        "Fluctuations of the output over initializations",
        "Root mean square deviation from the mean output. Dashed: N^(-1/4), the thesis's law of "
        "large N; it has a peak at N*.",
        _N,
        Axis("standard deviation of f", log=True),
        claims=("ch2.b.fig5.peak", "ch2.b.fig5.exponent"),
    )
    for place, curve in enumerate(shown):
        _draw(figure, curve, ", test", _n, lambda m: m.deviation_test, 2 * place)
        _draw(figure, curve, ", train", _n, lambda m: m.deviation_train, 2 * place + 1)
        _law(figure, curve, "N^(-1/4)", _n, lambda m: m.deviation_test, -0.25)
    return figure


def _n(mean: Mean) -> Any:
    return mean.N


def _gradient(shown: list[Curve]) -> Figure:
    figure = Figure(
        "gradient",
        "Norm of the gradient with respect to the input",
        "Medians over initializations, test set. Dashed: C0 + C1 N^(-1/4) fitted from 3 N* on; the "
        "thesis finds C0 = 2.1 and C1 = 51 for P = 10,000.",
        _N,
        Axis("norm of the gradient", log=True),
        claims=("ch2.b.fig6a.offset", "ch2.b.fig6a.exponent"),
    )
    for place, curve in enumerate(shown):
        _draw(figure, curve, "", _n, lambda m: m.gradient, place)
        _fitted(figure, curve, gradient_fit, _n, "C0 + C1 N^(-1/4)")
    return figure


def _fitted(figure: Figure, curve: Curve, fit: Any, x: Value, name: str) -> None:
    """The form of the thesis, fitted, over the sizes far from N*."""
    mean = curve.everyone
    try:
        found = fit(mean, FAR[0])
    except NoEstimate:
        return
    ends = x(mean)[mean.beyond(FAR[0])]
    grid = np.geomspace(ends.min(), ends.max(), 40)
    figure.thesis(f"{name}, {curve.name}", grid, found.predict(grid))


def _error_of_distance(shown: list[Curve]) -> Figure:
    figure = Figure(
        "error-of-distance",
        "Test error and the distance of the boundaries",
        "Sizes from 3 N* on. delta is the mean distance between the boundaries of a net and of the "
        "mean output, over test patterns that the two classify differently. Dashed: eps_inf + D0 "
        "delta^2, fitted.",
        Axis("delta"),
        _ERROR,
        claims=("ch2.b.fig6b.quadratic",),
    )
    for place, curve in enumerate(shown):
        _draw(figure, curve, "", _delta, lambda m: m.single, place, FAR[0])
        _fitted(figure, curve, quadratic_fit, _delta, "quadratic")
    return figure


def _delta(mean: Mean) -> Any:
    return mean.delta


def _delta_hat(mean: Mean) -> Any:
    return mean.delta_hat


def _distance(shown: list[Curve]) -> Figure:
    figure = Figure(
        "distance",
        "Distance of the boundaries and its estimate",
        "Sizes from 3 N* on. The estimate is the norm of f less the mean output over that of the "
        "gradient, on the whole test set. Dashed: proportional, as in the thesis.",
        Axis("estimate of delta", log=True),
        Axis("delta", log=True),
        claims=("ch2.b.fig6c.proportional",),
    )
    for place, curve in enumerate(shown):
        _draw(figure, curve, "", _delta_hat, _delta, place, FAR[0])
        _law(figure, curve, "proportional", _delta_hat, _delta, 1.0)
    return figure


def _excess(shown: list[Curve]) -> Figure:
    figure = Figure(
        "excess-error",
        "What fluctuations add to the test error",
        "Error of one net less that of the ensemble. Dashed: N^(-1/2), the thesis's law, through "
        "the sizes from 3 N* on.",
        _N,
        Axis("excess test error", log=True),
        claims=("ch2.b.fig6d.exponent",),
    )
    for place, curve in enumerate(shown):
        _draw(figure, curve, "", _n, excess, place)
        _law(figure, curve, "N^(-1/2)", _n, excess, -0.5)
    return figure


def _norms(shown: list[Curve]) -> Figure:
    figure = Figure(
        "norm",
        "Squared norm of the output",
        "Means over initializations at the end of training. The thesis sees it diverge at N*.",
        _SCALED,
        Axis("mean of f^2", log=True),
        claims=("ch2.b.fig7a.norm-rises",),
    )
    for place, curve in enumerate(shown):
        _draw(figure, curve, ", test", _ratio, lambda m: m.norm_test[-1], 2 * place)
        _draw(figure, curve, ", train", _ratio, lambda m: m.norm_train[-1], 2 * place + 1)
    _at_threshold(figure)
    return figure


def _norms_in_time(shown: list[Curve]) -> Figure:
    figure = Figure(
        "norm-in-time",
        "The divergence of the norm is cut off by time",
        "The first data set. Dashed: (N/N* - 1)^(-2), the law that the thesis draws; times as "
        "finite as here cut it off, and the slope of small training sets is less. The law itself "
        "is measured on the perceptron, whose solution is exact.",
        Axis("N / N* - 1", log=True),
        Axis("mean of f^2, test set", log=True),
        ordered=True,
        claims=("ch2.b.fig7b.grows-near", "ch2.b.fig7b.saturates-far"),
    )
    for curve in shown[:1]:
        for place, time in enumerate(curve.times):
            _draw(figure, curve, f", t = {time}", _distance_from_threshold, _norm_at(place), place)
        mean = curve.everyone
        beyond = mean.ratio > 1
        if beyond.any():
            x, y = mean.ratio[beyond] - 1, mean.norm_test[-1][beyond]
            reach = np.array([x[0], max(x[0] * 1.01, min(1.0, x[-1]))])
            figure.thesis("slope -2", reach, y[0] * (reach / x[0]) ** -2.0)
    return figure


def _envelope(shown: list[Curve]) -> Figure:
    figure = Figure(
        "envelope",
        "Test error for a cost of training",
        "The first data set, sizes from 1.5 N* on. The cost of n nets is n N P t, t being the "
        "steps to zero loss. The thesis: for a given cost, an ensemble of nets slightly larger "
        "than N* is best.",
        Axis("cost n N P t", log=True),
        _ERROR,
        ordered=True,
        claims=("ch2.b.sec7.envelope",),
    )
    for curve in shown[:1]:
        sizes = [n for n in ENSEMBLES if n <= len(curve.N_star)]
        for place, n in enumerate([1, *sizes]):
            cost, error = _cost_of(curve.P, n), _error_of(n)
            _draw(figure, curve, f", n = {n}", cost, error, place, 1.5)
    return figure


def _distance_from_threshold(mean: Mean) -> Any:
    return mean.ratio - 1


def _norm_at(time: int) -> Value:
    return lambda mean: mean.norm_test[time]


def _cost_of(P: int, members: int) -> Value:
    return lambda mean: P * training_cost(mean, members)


def _error_of(members: int) -> Value:
    return lambda mean: mean.single if members == 1 else mean.of_members(members)

"""What the second paper of chapter 2 says of nets of many widths, as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from symscape import scaling
from symscape.experiments.double_descent._curves import ENSEMBLES, Mean, Statistic, curves
from symscape.lab import Claim, Estimate, NoEstimate, Table, Tolerance

NEAR = (1.5, 1.3, 2.0)
"""Sizes within this factor of N* count as being at the transition."""

FAR = (3.0, 2.0, 4.0)
"""Sizes from this multiple of N* on are where the laws in N are fitted (S1 of the sheet: 846)."""

ASYMPTOTIC = (10.0, 7.0)
"""The same for exponents that change close to N*."""

Answer = Callable[[Table, Any], dict[str, Estimate]]


def _of(*choices: float, **statistics: Statistic) -> Answer:
    """The answer of a claim: a panel for each curve and statistic."""

    def answer(table: Table, p: Any) -> dict[str, Estimate]:
        return {
            curve.name + (f", {name}" if len(statistics) > 1 else ""): curve.estimate(
                statistic, choices or (0.0,)
            )
            for curve in curves(table)
            for name, statistic in statistics.items()
        }

    return answer


def power(x: Callable[[Mean], Any], y: Callable[[Mean], Any]) -> Statistic:
    """Slope of log y against log x over the sizes from a multiple of N* on."""

    def statistic(mean: Mean, factor: float) -> float:
        chosen = mean.beyond(factor, 3)
        xs, ys = x(mean)[chosen], y(mean)[chosen]
        if not (xs > 0).all() or not (ys > 0).all():
            raise NoEstimate("A logarithm needs positive numbers.")
        return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])

    return statistic


def _N(mean: Mean) -> Any:
    return mean.N


def _sides(table: Table, p: Any) -> dict[str, Estimate]:
    """Shares of the nets that fit beyond 2 N*, and of those that do not below N*/2."""
    panels = {}
    for curve in curves(table):
        ratio = curve.N / curve.threshold
        for side, chosen, right in (("beyond", ratio >= 2, 1.0), ("below", ratio <= 0.5, 0.0)):
            fitted = curve.rows["fitted"][:, chosen]
            fitted = fitted[np.isfinite(fitted)]
            if len(fitted):
                panels[f"{curve.name}, {side}"] = scaling.share(
                    int((fitted == right).sum()), len(fitted), f"N* = {curve.threshold:.0f}."
                )
    return panels


def cusp(error: Callable[[Mean], Any]) -> Statistic:
    """N/N* where a curve is largest, by a parabola in log N around the maximum.

    Sizes below the dip that precedes the cusp err because they cannot express the rule.
    """

    def statistic(mean: Mean, reach: float) -> float:
        x, y = np.log(mean.ratio), error(mean)
        before = np.flatnonzero(mean.below(NEAR[0]))
        start = int(before[y[before].argmin()])
        x, y = x[start:], y[start:]
        top = x[y.argmax()]
        around = np.abs(x - top) <= math.log(reach)
        if around.sum() < 3:
            raise NoEstimate("Too few sizes around the maximum.")
        curvature, slope, _ = np.polyfit(x[around] - top, y[around], 2)
        shift = -slope / (2 * curvature) if curvature < 0 else 0.0
        return float(np.exp(np.clip(top + shift, x[around][0], x[around][-1])))

    return statistic


def _with_spacing(answer: Answer) -> Answer:
    """The rounding of N* to widths that exist is alike for all seeds, and is in the error."""

    def rounded(table: Table, p: Any) -> dict[str, Estimate]:
        panels = answer(table, p)
        for curve in curves(table):
            place = max(int(np.searchsorted(curve.N, curve.threshold)), 1)
            spacing = math.log(curve.N[place] / curve.N[place - 1])
            for name in panels:
                if name.startswith(curve.name):
                    panels[name] = widened(panels[name], panels[name].value * spacing / 12**0.5)
        return panels

    return rounded


def widened(found: Estimate, by: float) -> Estimate:
    """An estimate with a further error in quadrature."""
    error = None if found.error is None else math.hypot(found.error, by)
    return Estimate(found.value, error, found.note, found.n_seeds, found.panel).noted(
        f"The rounding of N* to widths that exist adds {by:.2g} to the error."
    )


def _late_over_near(value: Callable[[Mean], Any]) -> Statistic:
    """A quantity of the largest nets over that at N*, each a mean over sizes."""

    def statistic(mean: Mean, factor: float) -> float:
        values = value(mean)
        return float(values[mean.beyond(10.0)].mean() / values[mean.near(factor)].mean())

    return statistic


def _overfitting(mean: Mean) -> Any:
    return mean.single - mean.best


def _spread_of_ensemble(mean: Mean, factor: float) -> float:
    error = mean.ensemble[mean.beyond(factor, 2)]
    return float(error.max() - error.min())


def _rise(mean: Mean, error: Any, factor: float) -> float:
    """How much larger an error is at N* than beyond ten times N*, relatively."""
    return float(error[mean.near(factor)].mean() / error[mean.beyond(10.0)].mean() - 1)


def _rise_left(mean: Mean, factor: float) -> float:
    return _rise(mean, mean.ensemble, factor) / _rise(mean, mean.single, factor)


def _leading(mean: Mean, factor: float) -> float:
    """B0 of eps_N = eps_inf + B0 N^(-1/2) + B1 N^(-3/4)."""
    chosen = mean.beyond(factor, 4)
    fit = scaling.fit_fixed_powers(mean.N[chosen], mean.single[chosen], (-0.5, -0.75), resamples=0)
    return float(fit.coefficients[0])


def gradient_fit(mean: Mean, factor: float) -> scaling.FixedPowers:
    """C0 + C1 N^(-1/4) through the norms of the gradient."""
    chosen = mean.beyond(factor, 3)
    return scaling.fit_fixed_powers(mean.N[chosen], mean.gradient[chosen], (-0.25,), resamples=0)


def _offset_of_gradient(mean: Mean, factor: float) -> float:
    fit = gradient_fit(mean, factor)
    return float(fit.constant / fit.coefficients[0])


def quadratic_fit(mean: Mean, factor: float) -> scaling.FixedPowers:
    """eps_inf + D0 delta^2 through the test errors of single nets."""
    chosen = mean.beyond(factor, 3)
    return scaling.fit_fixed_powers(mean.delta[chosen], mean.single[chosen], (2.0,), resamples=0)


def _explained(mean: Mean, factor: float) -> float:
    fit = quadratic_fit(mean, factor)
    return float(math.copysign(fit.r_squared, fit.coefficients[0]))


def excess(mean: Mean) -> Any:
    """eps_N less the error of very many nets, from one and from the mean of all n.

    Averaging n nets leaves 1/n of the excess, so that the difference is (1 - 1/n) of it.
    """
    return mean.single - mean.ensemble


def _norm_rise(norm: Callable[[Mean], Any]) -> Statistic:
    """Largest squared norm at the end of training over that of the largest net."""
    return lambda mean, factor: float(norm(mean)[-1].max() / norm(mean)[-1][-1])


def _growth(mean: Mean, factor: float) -> float:
    """Growth of the squared norm in 15/16 of the time, geometric mean, N* to a multiple of it."""
    chosen = (mean.ratio >= 1) & (mean.ratio <= factor)
    if not chosen.any():
        raise NoEstimate(f"No size lies between N* and {factor} N*.")
    return float(np.exp(np.log(mean.norm_test[-1, chosen] / mean.norm_test[-3, chosen]).mean()))


def _saturated(table: Table, p: Any) -> dict[str, Estimate]:
    """Share of the nets beyond 3 N* whose squared norm changes little after 1/4 of the time."""
    panels = {}
    for curve in curves(table):
        late, end = (
            curve.rows["norm_test"][:, 3 * curve.threshold <= curve.N, k] for k in (-2, -1)
        )
        there = np.isfinite(end)
        still = np.abs(np.log(end[there] / late[there])) < math.log(1.1)
        if len(still):
            panels[curve.name] = scaling.share(int(still.sum()), len(still))
    return panels


def _best_of_moderate(mean: Mean, factor: float) -> float:
    """Error of the ensemble at some 2.5 N* less the lowest one of single nets of any size."""
    moderate = mean.beyond(factor / 1.5) & (mean.ratio <= factor * 1.5)
    if not moderate.any():
        raise NoEstimate(f"No size lies within a factor 1.5 of {factor} N*.")
    return float(mean.ensemble[moderate].mean() - mean.single.min())


def _subleading(mean: Mean, factor: float) -> float:
    """Ensemble error of the largest nets less that at a few times N*."""
    moderate = mean.beyond(1.5) & (mean.ratio <= factor)
    if not moderate.any():
        raise NoEstimate("No size lies a little beyond N*.")
    return float(mean.ensemble[mean.beyond(10.0)].mean() - mean.ensemble[moderate].mean())


def training_cost(mean: Mean, members: int) -> Any:
    """n N t, to which the computing time is proportional, P being the same for all."""
    return members * mean.N * mean.steps


def _envelope(mean: Mean, factor: float) -> float:
    """Best ensemble error at the cost of the largest net or less, over the error of that net."""
    budget = training_cost(mean, 1)[-1] * factor
    fitting = mean.beyond(NEAR[0])
    errors = [
        error
        for n in ENSEMBLES
        if n <= mean.nets
        for error in mean.of_members(n)[fitting & (training_cost(mean, n) <= budget)]
    ]
    if not errors:
        raise NoEstimate("No ensemble costs as little as one net of the largest size.")
    return float(min(errors) / mean.single[-1])


CLAIMS = (
    Claim(
        "ch2.b.fig2b.zero-loss-beyond",
        "Ch. 2b, Fig. 2B",
        "The training loss is positive below N* and zero beyond it.",
        "> 0 below, 0 beyond",
        Tolerance.at_least(
            0.9, "share of the nets that fit beyond 2 N*, and of those that do not below N*/2"
        ),
        _sides,
    ),
    Claim(
        "ch2.b.fig2a.cusp-at-transition",
        "Ch. 2b, Fig. 2A",
        "The test error at the end of training has a local maximum near N*.",
        "N/N* = 1",
        Tolerance(1 / NEAR[0], NEAR[0], "within a factor 1.5, from the dip of small nets on"),
        _with_spacing(_of(2.0, 1.6, 2.5, cusp=cusp(lambda mean: mean.single))),
    ),
    Claim(
        "ch2.b.fig2a.early-stopping-without-cusp",
        "Ch. 2b, Fig. 2A (green)",
        "Early stopping removes the cusp: what it gains is largest near N*, small at large N.",
        "largest near N*",
        Tolerance.at_most(
            0.5, "gain for N >= 10 N* over that at N*; half at most, as in a calibration"
        ),
        _of(*NEAR, gain=_late_over_near(_overfitting)),
    ),
    Claim(
        "ch2.b.fig2a.ensemble-without-cusp",
        "Ch. 2b, Fig. 2A (orange), Sec. 2",
        "Averaging the outputs of 20 nets removes the cusp.",
        "no cusp",
        Tolerance.at_most(
            0.5,
            "relative rise of the ensemble's error at N* over that of single nets: a minor part",
        ),
        _of(*NEAR, rise=_rise_left),
    ),
    Claim(
        "ch2.b.fig2a.ensemble-flat",
        "Ch. 2b, Fig. 2A (orange)",
        "The test error of the ensemble is nearly constant beyond N*.",
        "essentially constant",
        Tolerance.at_most(0.01, "largest less smallest error for N >= 2 N*: +-0.005"),
        _of(2.0, 1.7, 2.5, spread=_spread_of_ensemble),
    ),
    Claim(
        "ch2.b.fig2a.leading-coefficient",
        "Ch. 2b, Fig. 2A, Eq. 14, Sec. 5",
        "eps_N = eps_inf + B0 N^(-1/2) + B1 N^(-3/4) with B0 > 0.",
        "B0 = 6.4",
        Tolerance.at_least(0.0, "the sign; the number belongs to P = 10,000"),
        _of(*FAR, B0=_leading),
    ),
    Claim(
        "ch2.b.fig5.peak",
        "Ch. 2b, Fig. 5",
        "The variance of the output over initializations peaks at N*.",
        "N/N* = 1",
        Tolerance(1 / NEAR[0], NEAR[0], "within a factor 1.5, of the standard deviation"),
        _with_spacing(_of(2.0, 1.6, 2.5, test=cusp(lambda mean: np.log(mean.deviation_test)))),
    ),
    Claim(
        "ch2.b.fig5.exponent",
        "Ch. 2b, Fig. 5, Eq. 10",
        "The fluctuations of the output decay as N^(-1/4).",
        -0.25,
        Tolerance(-0.4, -0.2, "-0.3 +- 0.1 for N >= 10 N*: steeper than the limit, as calibrated"),
        _of(
            *ASYMPTOTIC,
            test=power(_N, lambda mean: mean.deviation_test),
            train=power(_N, lambda mean: mean.deviation_train),
        ),
    ),
    Claim(
        "ch2.b.fig6a.offset",
        "Ch. 2b, Fig. 6A, Eq. 11",
        "The gradient's norm is C0 + C1 N^(-1/4) with C1 much larger than C0.",
        "C0/C1 = 0.04",
        Tolerance(-0.2, 0.2, "C1 > 5 |C0|"),
        _of(*FAR, ratio=_offset_of_gradient),
    ),
    Claim(
        "ch2.b.fig6a.exponent",
        "Ch. 2b, Fig. 6A",
        "With a free exponent the gradient's norm decays as N^(-0.28).",
        -0.28,
        Tolerance(-0.38, -0.18, "-0.28 +- 0.1, no constant"),
        _of(*FAR, slope=power(_N, lambda mean: mean.gradient)),
    ),
    Claim(
        "ch2.b.fig6b.quadratic",
        "Ch. 2b, Fig. 6B, Eq. 5",
        "The test error is eps_inf + D0 delta^2, with delta the distance of the boundaries.",
        "R^2 = 1, D0 > 0",
        Tolerance.at_least(0.9, "R^2 of the line in delta^2, with the sign of D0"),
        _of(*FAR, explained=_explained),
    ),
    Claim(
        "ch2.b.fig6c.proportional",
        "Ch. 2b, Fig. 6C",
        "delta is proportional to its estimate from the norms on the whole test set.",
        "1 (1.1 with a free exponent)",
        Tolerance(0.87, 1.25, "exponent of delta against its estimate"),
        _of(*FAR, slope=power(lambda mean: mean.delta_hat, lambda mean: mean.delta)),
    ),
    Claim(
        "ch2.b.fig6d.exponent",
        "Ch. 2b, Fig. 6D, Eq. 12",
        "What fluctuations add to the error, eps_N less that of the ensemble, falls as N^(-1/2).",
        "-0.5 (-0.42 with a free exponent)",
        Tolerance(-0.59, -0.35, "-0.47 +- 0.12"),
        _of(*FAR, slope=power(_N, excess)),
    ),
    Claim(
        "ch2.b.fig7a.norm-rises",
        "Ch. 2b, Fig. 7A",
        "The norm of the output rises strongly as N comes down to N*.",
        "diverges",
        Tolerance.at_least(10.0, "largest squared norm over that of the largest net"),
        _of(
            test=_norm_rise(lambda mean: mean.norm_test),
            train=_norm_rise(lambda mean: mean.norm_train),
        ),
    ),
    Claim(
        "ch2.b.fig7b.grows-near",
        "Ch. 2b, Fig. 7B, Sec. 6",
        "Just above N* the norm goes on growing with time; the time cuts its divergence off.",
        "more and more singular as t grows",
        Tolerance.at_least(
            1.5, "squared norm at the end over that after 1/16 of the time, N* <= N <= 1.5 N*"
        ),
        _of(*NEAR, growth=_growth),
    ),
    Claim(
        "ch2.b.fig7b.saturates-far",
        "Ch. 2b, Fig. 7B, Sec. 6",
        "Far above N* the norm saturates early.",
        "saturates",
        Tolerance.at_least(
            0.9,
            "share of nets with N >= 3 N* whose squared norm changes by less than 10 % after "
            "1/4 of the time",
        ),
        _saturated,
    ),
    Claim(
        "ch2.b.sec7.ensemble-beats-width",
        "Ch. 2b, Sec. 7 and 9",
        "An ensemble of nets a little beyond N* errs less than single nets of any size.",
        "< 0",
        Tolerance.at_most(
            0.0, "ensemble error within a factor 1.5 of 2.5 N* less the lowest error of one net"
        ),
        _of(2.5, 2.0, 4.0, difference=_best_of_moderate),
    ),
    Claim(
        "ch2.b.sec7.subleading",
        "Ch. 2b, Sec. 7, Eq. 13",
        "Ensembles of nets slightly larger than N* err slightly less than those of large nets.",
        "> 0",
        Tolerance.at_least(0.0, "error for N >= 10 N* less that for 1.5 N* to 5 N*"),
        _of(5.0, 4.0, 6.0, difference=_subleading),
    ),
    Claim(
        "ch2.b.sec7.envelope",
        "Ch. 2b, Sec. 7 and 9",
        "At equal cost of training an ensemble of narrow nets errs less than one wide net.",
        "< 1",
        Tolerance.at_most(
            1.0, "error of the best ensemble for the cost of the largest net, over that of the net"
        ),
        _of(1.0, 0.5, envelope=_envelope),
    ),
)

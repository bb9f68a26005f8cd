"""Double descent of random features: simulations and their exact asymptotics (Sec. 8.1)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Ratio = Annotated[float, Field(gt=0, le=1000)]
Ridge = Annotated[float, Field(ge=0)]

TARGETS = {"linear": (1.0, 0.0, 0.1), "quadratic": (0.0, 1.0, 0.0)}
"""Variances of the linear part, of the nonlinear part and of the noise."""

QUADRATIC = (20, 100)
"""d and P of the quadratic target: it is learned from d^2/4 points, beyond the formula's limit."""


class DoubleDescentParameters(lab.Parameters):
    d: int = Field(ge=5, le=2000, description="dimension of the inputs, linear target")
    P_per_d: Ratio = Field(default=3.0, description="training points over dimension")
    h_per_P: tuple[Ratio, ...] = Field(min_length=5, description="width over training points")
    ridges: tuple[Ridge, ...] = Field(min_length=1, description="ridges; 0 is ridgeless")
    ensemble: int = Field(ge=2, default=10, description="networks of which the mean is taken")
    n_test: int = Field(ge=50, default=1000, description="test points")
    seeds: int = Field(ge=2, description="data sets, linear target")
    quadratic_seeds: int = Field(ge=2, description="data sets, quadratic target")


Array = NDArray[np.float64]
Statistic = Callable[[Array, Array, Array], float]
"""Of h/P and the errors of single networks and of their mean, (data sets, widths)."""
Answer = Callable[[Table, DoubleDescentParameters], dict[str, Estimate]]


def _by_target(statistic: Statistic) -> Answer:
    """The answer with a panel for each target, both learned without a ridge."""

    def answer(table: Table, p: DoubleDescentParameters) -> dict[str, Estimate]:
        panels = {}
        for (target,), rows in table.where(ridge=0.0).groups("target"):
            ratio = np.array(rows.rows[0]["widths"]) / rows.rows[0]["P"]
            errors = [np.array(rows.column(name)) for name in ("single", "together")]
            panels[f"{target} target"] = scaling.cluster_bootstrap(
                lambda *some, ratio=ratio: statistic(ratio, *some), *errors, resamples=400
            )
        return panels

    return answer


def _peak(table: Table, p: DoubleDescentParameters) -> dict[str, Estimate]:
    """Where the median error is largest, with half the spacing of the widths in the error."""

    def place(ratio: Array, single: Array, together: Array) -> float:
        return float(ratio[np.argmax(np.median(single, axis=0))])

    panels = _by_target(place)(table, p)
    ratios = np.unique(p.h_per_P)
    for name, found in panels.items():
        nearest = int(np.abs(ratios - found.value).argmin())
        spacing = float(np.diff(ratios)[max(nearest - 1, 0) : nearest + 1].max()) / 2
        panels[name] = dataclasses.replace(
            found, error=math.hypot(found.error or 0.0, spacing)
        ).noted(f"Half the spacing of the widths, {spacing:.2g}, is in the error.")
    return panels


def _second_descent(ratio: Array, single: Array, together: Array) -> float:
    median, before = np.median(single, axis=0), ratio < 1
    if not before.any():
        raise NoEstimate("No width below the number of points.")
    return float(median[np.argmax(ratio)] / median[before].min())


def infinite_ensemble(single: Array, together: Array, size: int) -> Array:
    r"""Mean error of very many networks, from that of single ones and of a mean of ``size``.

    Both hold the variance over networks, whole and divided by the size, and the rest alike.
    """
    return (size * together.mean(axis=0) - single.mean(axis=0)) / (size - 1)


def _flatness(table: Table, p: DoubleDescentParameters) -> dict[str, Estimate]:
    """Largest over smallest error of the infinite ensemble beyond the threshold."""

    def of(error: Callable[[Array, Array], Array]) -> dict[str, Estimate]:
        def flatness(ratio: Array, single: Array, together: Array) -> float:
            beyond = error(single[:, ratio > 1.09], together[:, ratio > 1.09])
            if len(beyond) < 2 or beyond.min() <= 0:
                raise NoEstimate("Fewer than two widths beyond the threshold have a number.")
            return float(beyond.max() / beyond.min())

        return _by_target(flatness)(table, p)

    alone = of(lambda single, together: single.mean(axis=0))
    panels = of(lambda single, together: infinite_ensemble(single, together, p.ensemble))
    for name, found in panels.items():
        panels[name] = found.noted(f"Of single networks: {scaling.number(alone[name])}.")
    return panels


def _formula(row: Row, widths: Array, name: str) -> Array:
    """Asymptotic errors of a row's setting at widths."""
    from symscape.kernels import Target, activation_moments, asymptotic_error

    moments, target = activation_moments(), Target(*TARGETS[row["target"]])
    size = row["ensemble"] if name == "together" else 1
    d = row["d"]
    return np.array(
        [asymptotic_error(h / d, row["P"] / d, row["ridge"], target, moments, size) for h in widths]
    )


def _agreement(name: str) -> Answer:
    """Median error over the formula's, for each ridge and width away from the peak."""

    def answer(table: Table, p: DoubleDescentParameters) -> dict[str, Estimate]:
        panels = {}
        for (ridge,), rows in table.where(target="linear").groups("ridge"):
            row = rows.rows[0]
            widths = np.array(row["widths"])
            away = np.abs(widths / row["P"] - 1) > 0.099
            ratios = np.array([r[name] for r in rows])[:, away] / _formula(row, widths[away], name)
            for h, of_width in zip(widths[away], ratios.T):
                label = f"h/P = {h / row['P']:.3g}, ridge {ridge:g}"
                panels[label] = scaling.cluster_bootstrap(np.median, of_width, resamples=400)
        return panels

    return answer


CLAIMS = (
    Claim(
        "ch8.fig1.peak",
        "Sec. 8.1, Fig. 8.1; Mei and Montanari",
        "The test error of random features has its peak where the width is the number of points.",
        1.0,
        Tolerance(0.9, 1.1, "h/P of the largest median error of single ridgeless networks"),
        _peak,
    ),
    Claim(
        "ch8.fig1.second-descent",
        "Sec. 8.1; Mei and Montanari",
        "Beyond the peak the error falls below the best one before it.",
        "< 1",
        Tolerance.at_most(1.0, "error of the widest networks over the smallest one at h < P"),
        _by_target(_second_descent),
    ),
    Claim(
        "ch8.fig1.ensemble",
        "Sec. 8.1; d'Ascoli et al.",
        "Averaging an ensemble flattens the error beyond the interpolation threshold.",
        "flat",
        Tolerance.at_most(
            1.2,
            "largest over smallest error of very many networks for h >= 1.1 P, which is 1 in "
            "theory; extrapolated from single networks and the mean of some",
        ),
        _flatness,
    ),
    Claim(
        "ch8.fig1.theory",
        "Sec. 8.1; Mei and Montanari",
        "The error at finite size is the asymptotic one.",
        1.0,
        Tolerance(
            0.9,
            1.1,
            "ratio of the median to the formula, linear target, 10 % and more away from the peak",
        ),
        _agreement("single"),
    ),
    Claim(
        "ch8.fig1.theory-ensemble",
        "Sec. 8.1; d'Ascoli et al., Jacot et al.",
        "So is the error of the ensemble.",
        1.0,
        Tolerance(0.9, 1.1, "as for single networks"),
        _agreement("together"),
    ),
)


@lab.register
class DoubleDescent(lab.Experiment):
    """Ch. 8, Sec. 8.1 and Fig. 8.1."""

    name = "discussion-double-descent"
    chapter = "8"
    title = "An exact model of double descent"
    summary = (
        "Networks with one hidden layer whose first weights are frozen learn a function on the "
        "sphere. Their test error peaks where the width is the number of points, as an exact "
        "formula says; the mean of several networks shows that the second descent is a decrease of "
        "the fluctuations that random features cause."
    )
    sources = ("Ch. 8, Fig. 8.1", "Ch. 8, Sec. 8.1")
    version = 1
    Parameters = DoubleDescentParameters
    profiles = {  # noqa: RUF012
        "smoke": DoubleDescentParameters(
            d=20,
            h_per_P=(0.25, 0.8, 1.0, 2.0, 4.0),
            ridges=(0.0,),
            ensemble=4,
            seeds=3,
            quadratic_seeds=6,
        ),
        "quick": DoubleDescentParameters(
            d=60,
            h_per_P=(0.1, 0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0, 8.0),
            ridges=(0.0, 1e-2),
            seeds=4,
            quadratic_seeds=12,
        ),
        "overnight": DoubleDescentParameters(
            d=150,
            h_per_P=(0.1, 0.25, 0.5, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 2.0, 4.0, 8.0),
            ridges=(0.0, 1e-2),
            seeds=12,
            quadratic_seeds=24,
        ),
        "paper": DoubleDescentParameters(
            d=300,
            h_per_P=(0.1, 0.25, 0.5, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 2.0, 4.0, 8.0, 16.0),
            ridges=(0.0, 1e-3, 1e-2, 1e-1),
            seeds=20,
            quadratic_seeds=100,
        ),
    }
    claims = CLAIMS

    def points(self, p: DoubleDescentParameters) -> list[dict[str, Any]]:
        settings = {
            "linear": (p.d, round(p.P_per_d * p.d), p.ridges, p.seeds),
            "quadratic": (*QUADRATIC, (0.0,), p.quadratic_seeds),
        }
        return [
            point
            for target, (d, P, ridges, seeds) in settings.items()
            for point in lab.grid(
                seeds,
                d=d,
                P=P,
                widths=[[max(1, round(r * P)) for r in p.h_per_P]],
                ridge=ridges,
                target=target,
                ensemble=p.ensemble,
                n_test=p.n_test,
            )
        ]

    def cost(self, point: dict[str, Any]) -> float:
        P = point["P"]
        work = sum(
            h * (point["n_test"] + P) * point["d"] + 4 * min(h, P) ** 2 * max(h, P)
            for h in point["widths"]
        )
        return 0.01 + 1e-10 * point["ensemble"] * work

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.kernels import Target, simulate_random_features

        single, together = simulate_random_features(
            point["d"],
            point["widths"],
            point["P"],
            point["ridge"],
            Target(*TARGETS[point["target"]]),
            point["seed"],
            ensemble=point["ensemble"],
            n_test=point["n_test"],
        )
        return {"single": single, "together": together}

    def figures(self, table: Table, p: DoubleDescentParameters) -> list[Figure]:
        return [
            _figure(table.where(target=target, ridge=ridge), target, ridge)
            for target, ridges in (("linear", p.ridges), ("quadratic", (0.0,)))
            for ridge in ridges
        ]


def _figure(table: Table, target: str, ridge: float) -> Figure:
    claims = tuple(
        claim.id for claim in CLAIMS if (target == "linear" if "theory" in claim.id else ridge == 0)
    )
    name = f"{target}, {'ridgeless' if ridge == 0 else f'ridge {ridge:g}'}"
    figure = Figure(
        f"{target}-{str(ridge).replace('.', '-')}",
        f"Random features, {name}",
        f"d = {QUADRATIC[0]}, P = {QUADRATIC[1]}. Geometric means over data sets. With "
        "d^2/4 points the target is learned in part; the formula's limit, in which it would act as "
        "noise, is not drawn."
        if target == "quadratic"
        else "Geometric means over data sets. Dashed: the asymptotic formula of Mei and "
        "Montanari, and its extension to ensembles.",
        Axis("width over training points, h/P", log=True),
        Axis("test error", log=True),
        claims=claims,
    )
    for group, (series, label) in enumerate(
        (("single", "single networks"), ("together", "their mean"))
    ):
        figure.curves(
            table, lambda row: np.array(row["widths"]) / row["P"], series, name=label,
            geometric=True, group=group,
        )  # fmt: skip
        if target == "quadratic" or not table:
            continue
        row = table.rows[0]
        ends = min(row["widths"]), max(row["widths"])
        grid = np.unique(np.append(np.geomspace(*ends, 200), row["P"]))
        curve = _formula(row, grid, series)
        # The ridgeless peak is infinite.
        shown = np.isfinite(curve) & (curve < 1e3)
        figure.thesis(f"formula, {label}", grid[shown] / row["P"], curve[shown])
    return figure

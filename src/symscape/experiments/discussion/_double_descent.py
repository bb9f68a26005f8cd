"""Double descent of random features: simulations and their exact asymptotics (Sec. 8.1)."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.lab import Axis, Claim, Figure, Finding, Table, Tolerance

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


CLAIMS = (
    Claim(
        "ch8.fig1.peak",
        "Sec. 8.1, Fig. 8.1; Mei and Montanari",
        "The test error of random features has its peak where the width is the number of points.",
        1.0,
        Tolerance(0.9, 1.1, "h/P of the largest median error of single ridgeless networks"),
    ),
    Claim(
        "ch8.fig1.second-descent",
        "Sec. 8.1; Mei and Montanari",
        "Beyond the peak the error falls below the best one before it.",
        "< 1",
        Tolerance(0.0, 1.0, "error of the widest networks over the smallest one at h < P"),
    ),
    Claim(
        "ch8.fig1.ensemble",
        "Sec. 8.1; d'Ascoli et al.",
        "Averaging an ensemble flattens the error beyond the interpolation threshold.",
        "flat",
        Tolerance(1.0, 1.2, "largest over smallest error of the ensemble for h >= 2 P"),
    ),
    Claim(
        "ch8.fig1.theory",
        "Sec. 8.1; Mei and Montanari",
        "The error at finite size is the asymptotic one.",
        1.0,
        Tolerance(
            0.9,
            1.1,
            "most different ratio of a median to the formula, linear target, "
            "10 % and more away from the peak",
        ),
    ),
    Claim(
        "ch8.fig1.theory-ensemble",
        "Sec. 8.1; d'Ascoli et al., Jacot et al.",
        "So is the error of the ensemble.",
        1.0,
        Tolerance(0.9, 1.1, "as for single networks"),
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
            {
                "d": d,
                "P": P,
                "widths": [max(1, round(r * P)) for r in p.h_per_P],
                "ridge": ridge,
                "target": target,
                "ensemble": p.ensemble,
                "n_test": p.n_test,
                "seed": seed,
            }
            for target, (d, P, ridges, seeds) in settings.items()
            for ridge in ridges
            for seed in range(seeds)
        ]

    def cost(self, point: dict[str, Any]) -> float:
        P = point["P"]
        work = sum(
            h * (point["n_test"] + P) * point["d"] + 4 * min(h, P) ** 2 * max(h, P)
            for h in point["widths"]
        )
        return 0.01 + 3e-10 * point["ensemble"] * work

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

    def analyse(self, table: Table, p: DoubleDescentParameters) -> list[Finding]:
        bare = table.where(ridge=0.0, target="quadratic")
        return [
            *_shape(bare),
            *(_agreement(table.where(target="linear"), name) for name in ("single", "together")),
        ]

    def figures(self, table: Table, p: DoubleDescentParameters) -> list[Figure]:
        return [
            _figure(table.where(target=target, ridge=ridge), target, ridge)
            for target, ridges in (("linear", p.ridges), ("quadratic", (0.0,)))
            for ridge in ridges
        ]


def _median(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """h/P and the median over data sets."""
    row = table.rows[0]
    return np.array(row["widths"]) / row["P"], np.median([r[name] for r in table], axis=0)


def _shape(table: Table) -> list[Finding]:
    names = ("peak", "second-descent", "ensemble")
    if not table:
        empty = "No finished run without a ridge."
        return [Finding(f"ch8.fig1.{name}", None, None, empty) for name in names]
    from symscape.scaling import cluster_bootstrap

    ratio, _ = _median(table, "single")
    single = np.array([row["single"] for row in table])
    together = np.array([row["together"] for row in table])
    before, wide = ratio < 1, ratio >= 2
    missing = {
        "second-descent": "" if before.any() else "No width below the number of points.",
        "ensemble": "" if wide.sum() > 1 else "Fewer than two widths of 2 P and more.",
    }

    def peak(errors: np.ndarray) -> float:
        return float(ratio[np.argmax(np.median(errors, axis=0))])

    def descent(errors: np.ndarray) -> float:
        median = np.median(errors, axis=0)
        return float(median[np.argmax(ratio)] / median[before].min())

    def flatness(errors: np.ndarray) -> float:
        median = np.median(errors, axis=0)[wide]
        return float(median.max() / median.min())

    findings = []
    for name, statistic, errors in zip(
        names, (peak, descent, flatness), (single, single, together), strict=True
    ):
        if missing.get(name):
            findings.append(Finding(f"ch8.fig1.{name}", None, None, missing[name], table.keys))
            continue
        found = cluster_bootstrap(statistic, errors, resamples=400)
        findings.append(Finding(f"ch8.fig1.{name}", found.value, found.error, "", table.keys))
    return findings


def _formula(row: Any, widths: np.ndarray, name: str) -> np.ndarray:
    """Asymptotic errors of a row's setting at widths."""
    from symscape.kernels import Target, activation_moments, asymptotic_error

    moments, target = activation_moments(), Target(*TARGETS[row["target"]])
    size = row["ensemble"] if name == "together" else 1
    d = row["d"]
    return np.array(
        [asymptotic_error(h / d, row["P"] / d, row["ridge"], target, moments, size) for h in widths]
    )


def _agreement(table: Table, name: str) -> Finding:
    claim = "ch8.fig1.theory" + ("" if name == "single" else "-ensemble")
    worst = []
    for (ridge,), rows in table.groups("ridge"):
        row = rows.rows[0]
        widths = np.array(row["widths"])
        away = np.abs(widths / row["P"] - 1) > 0.099
        widths = widths[away]
        ratios = np.array([r[name] for r in rows])[:, away] / _formula(row, widths, name)
        mean = np.median(ratios, axis=0)
        # Of the median of normal numbers; the mean's would be pi/2 smaller in its square.
        error = ratios.std(axis=0, ddof=1) * math.sqrt(math.pi / 2 / len(ratios))
        for h, value, sigma in zip(widths, mean, error):
            note = f"h/P = {h / row['P']:.3g}, ridge {ridge:g}, d = {row['d']}."
            worst.append((abs(math.log(value)), float(value), float(sigma), note))
    if not worst:
        return Finding(claim, None, None, "No finished run.")
    _, value, sigma, note = max(worst)
    return Finding(claim, value, sigma, note, table.keys)


def _figure(table: Table, target: str, ridge: float) -> Figure:
    name = f"{target}, {'ridgeless' if ridge == 0 else f'ridge {ridge:g}'}"
    figure = Figure(
        f"{target}-{str(ridge).replace('.', '-')}",
        f"Random features, {name}",
        f"d = {QUADRATIC[0]}, P = {QUADRATIC[1]}. Medians over data sets, with quartiles. With "
        "d^2/4 points the target is learned in part; the formula's limit, in which it would act as "
        "noise, is not drawn."
        if target == "quadratic"
        else "Medians over data sets, with quartiles. Dashed: the asymptotic formula of Mei and "
        "Montanari, and its extension to ensembles.",
        Axis("width over training points, h/P", log=True),
        Axis("test error", log=True),
    )
    if not table:
        return figure
    row = table.rows[0]
    grid = np.unique(np.append(np.geomspace(min(row["widths"]), max(row["widths"]), 200), row["P"]))
    for group, (series, label) in enumerate(
        (("single", "single networks"), ("together", f"mean of {row['ensemble']}"))
    ):
        ratio, median = _median(table, series)
        values = np.array([r[series] for r in table])
        low, high = np.quantile(values, [0.25, 0.75], axis=0)
        figure.measured(label, ratio, median, group=group)
        figure.band(f"quartiles, {label}", ratio, low, high, group=group)
        if target == "quadratic":
            continue
        curve = _formula(row, grid, series)
        # The ridgeless peak is infinite.
        shown = np.isfinite(curve) & (curve < 1e3)
        figure.thesis(f"formula, {label}", grid[shown] / row["P"], curve[shown])
    return figure

"""The transition line N*(P) of random data with the cross entropy (paper A, Fig. 5a, b)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from symscape import lab
from symscape.experiments.jamming._line import BETA
from symscape.experiments.jamming._lines import (
    LineFit,
    bound_finding,
    bound_guide,
    fit_line,
    transitions,
)
from symscape.experiments.jamming._near_jamming import THESIS_RATIO
from symscape.experiments.jamming._parameters import Depth, Dimension, Patterns, Ratio
from symscape.lab import Axis, Claim, Figure, Finding, Row, Table, Tolerance

Array = NDArray[np.float64]
Curve = tuple[int, int]
"""Depth L and input dimension d."""

TIMES = (0.03, 0.1, 0.3, 1.0)
"""Training times at which N* is read, in units of the whole training."""


class LineCrossEntropyParameters(lab.Parameters):
    main: tuple[Depth, Dimension] = Field(
        default=(2, 10), description="depth L and input dimension d of the line for all P"
    )
    sizes: tuple[Patterns, ...] = Field(
        min_length=1, description="numbers of random points P of the line"
    )
    others: tuple[tuple[Depth, Dimension], ...] = Field(
        description="further pairs (L, d), compared with the line"
    )
    other_sizes: tuple[Patterns, ...] = Field(description="numbers of random points P for these")
    ratios: tuple[Ratio, ...] = Field(
        min_length=1, description="values of N / P, rounded to whole widths"
    )
    seeds: int = Field(ge=1, description="independent data sets and initializations per net")
    steps: int = Field(ge=10, description="steps of SGD; the rate falls tenfold half way")
    learning_rate: float = Field(
        gt=0,
        le=1,
        default=0.2,
        description="rate of the first half; the thesis has 0.01 and many more steps",
    )


CLAIMS = (
    Claim(
        "ch1.fig5a.slope",
        "Paper A, Fig. 5a, b; paper B, Fig. 3A",
        "After long training with the cross entropy N* is proportional to P: slope 1.",
        1.0,
        Tolerance(0.8, 1.2, "1 +- 0.2: small nets, and training a tenth as long as the thesis's"),
    ),
    Claim(
        "ch1.fig5a.falls-with-time",
        "Paper A, Fig. 5a; paper B, Fig. B1",
        "N* falls as the training time grows.",
        "falls",
        Tolerance(
            0.0,
            0.95,
            "N* after the whole training over N* after a tenth of it; it cannot exceed 1, as a net "
            "counts as fitted from the first time on, so a fall by 5 % is asked for",
        ),
    ),
    Claim(
        "ch1.fig5a.short-times-diverge",
        "Paper A, Fig. 5a",
        "At short times the line is steeper, and it approaches slope 1 as time goes on.",
        "steeper",
        Tolerance(0.0, math.inf, "slope after a tenth of the training less that at the end"),
    ),
    Claim(
        "ch1.fig5b.little-dependence",
        "Paper A, Fig. 5b; paper B, Fig. 3A",
        "The transition shows little dependence on the depth and on the input dimension.",
        "little",
        Tolerance(
            0.8, 1.25, "N* relative to the main line, the farthest from 1; 25 % counts as little"
        ),
    ),
    Claim(
        "ch1.fig5b.bound",
        "Paper A, Fig. 5a, b and Eq. 13",
        "Every N* lies below the bound P / (1/2 - N_c/N) = 4 P.",
        "< 1",
        Tolerance(0.0, 1.0, "largest N* in units of the bound"),
    ),
)


@lab.register
class LineCrossEntropy(lab.Experiment):
    """Paper A, Fig. 5a, b; paper B, Figs. 3A (cross entropy), B1."""

    name = "jamming-line-cross-entropy"
    chapter = "1"
    title = "The transition line with the cross entropy"
    summary = (
        "Nets with batch normalization are trained by SGD with the cross entropy on P random "
        "points with random labels, until every point is classified for the first time. The "
        "smallest net that gets there, N*, depends on the time given: the line N*(P) is steep at "
        "short times, and becomes proportional to P at long ones, with little dependence on depth "
        "and dimension."
    )
    sources = ("Paper A, Fig. 5a, b", "Paper B, Figs. 3A, B1")
    version = 1
    Parameters = LineCrossEntropyParameters
    profiles = {  # noqa: RUF012
        "smoke": LineCrossEntropyParameters(
            sizes=(30, 60),
            others=((3, 10),),
            other_sizes=(60,),
            ratios=(0.5, 1.0, 2.5),
            seeds=2,
            steps=300,
        ),
        "quick": LineCrossEntropyParameters(
            sizes=(100, 200, 400),
            others=((3, 10), (2, 20)),
            other_sizes=(200,),
            ratios=(0.55, 0.65, 0.8, 1.0, 1.5, 3.0),
            seeds=4,
            steps=4000,
        ),
        "overnight": LineCrossEntropyParameters(
            sizes=(200, 400, 800, 1200),
            others=((3, 10), (5, 10), (2, 25)),
            other_sizes=(800,),
            ratios=(0.42, 0.5, 0.6, 0.7, 0.85, 1.0, 1.4, 2.0, 4.0),
            seeds=4,
            steps=8000,
        ),
        "paper": LineCrossEntropyParameters(
            main=(5, 25),
            sizes=(500, 1000, 2000, 4000, 8000, 16_000),
            others=((2, 25), (3, 25), (5, 50), (5, 10)),
            other_sizes=(500, 1000, 2000, 4000, 8000, 16_000),
            ratios=(0.25, 0.29, 0.33, 0.38, 0.44, 0.5, 0.6, 0.7, 0.85, 1.0, 1.4, 2.0, 4.0),
            seeds=4,
            steps=1_000_000,
            learning_rate=0.01,
        ),
    }
    claims = CLAIMS

    def points(self, p: LineCrossEntropyParameters) -> Iterator[dict[str, Any]]:
        curves = [(p.main, p.sizes), *((curve, p.other_sizes) for curve in p.others)]
        for (L, d), sizes in curves:
            for P in sizes:
                for h in _widths(p.ratios, P, d, L):
                    yield {
                        "L": L,
                        "d": d,
                        "P": P,
                        "h": h,
                        "members": p.seeds,
                        "seed": 0,
                        "steps": p.steps,
                        "learning_rate": p.learning_rate,
                    }

    def cost(self, point: dict[str, Any]) -> float:
        weights = point["d"] * point["h"] + (point["L"] - 1) * point["h"] ** 2
        step = point["members"] * (2e-4 + 1e-9 * point["P"] * weights)
        return float(point["steps"] * step * (1.0 if weights < 0.9 * point["P"] else 0.2))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.datasets import random_sphere
        from symscape.dynamics import SGD, CrossEntropy, Record, Stop, train_ensemble
        from symscape.networks import FullyConnected

        P, d, steps = point["P"], point["d"], point["steps"]
        seeds = range(point["seed"], point["seed"] + point["members"])
        data = [random_sphere(P, d, seed=seed) for seed in seeds]
        net = FullyConnected(d, point["h"], point["L"])
        results = train_ensemble(
            net,
            torch.stack([net.initial_weights(seed, "pytorch") for seed in seeds]),
            torch.stack([x for x, _ in data]),
            torch.stack([y for _, y in data]),
            loss=CrossEntropy(),
            integrator=SGD(
                lr=point["learning_rate"],
                batch=min(P // 2, 1024),
                seed=point["seed"],
                decay_every=max(1, steps // 2),
                batch_norm=True,
            ),
            stop=Stop(max_steps=steps, loss_below=None, check_every=max(1, steps // 500)),
            record=Record(per_decade=8, every=None),
            # This process is one of the sweep's workers already: no processes inside of it.
            strategy="loop",
        )
        for result in results:
            result.raise_if_diverged()
        return {
            "n_weights": net.n_weights,
            "first_fit": np.array(
                [r.steps if r.misclassified == 0 else math.inf for r in results], dtype=float
            ),
            "misclassified": np.array([r.misclassified for r in results]),
            "loss": np.array([r.loss for r in results]),
        }

    def analyse(self, table: Table, p: LineCrossEntropyParameters) -> list[Finding]:
        runs = table.where(L=p.main[0], d=p.main[1])
        main, early = searches(runs, 1.0), searches(runs, 0.1)
        by_curve = [searches(table.where(**curve), 1.0) for curve in _curves(table)]
        of_line = [
            fit_line(main).finding("ch1.fig5a.slope"),
            _falls(main, early),
            _steeper(fit_line(main), fit_line(early)),
        ]
        for finding in of_line:
            finding.runs = runs.keys
        return [
            *of_line,
            _dependence(table, p),
            bound_finding("ch1.fig5b.bound", [row for rows in by_curve for row in rows], BETA),
        ]

    def figures(self, table: Table, p: LineCrossEntropyParameters) -> list[Figure]:
        main = table.where(L=p.main[0], d=p.main[1])
        axes = (Axis("P", log=True), Axis("N*", log=True))
        in_time = Figure(
            "n-star-times",
            f"The line at several training times, L = {p.main[0]}, d = {p.main[1]}",
            "Smallest N whose nets classified every point within the given number of steps "
            f"(rate {p.learning_rate:g}, a tenth of it in the second half). A line that ends "
            "early has no transition beyond: no net was fast enough. The thesis's lines approach "
            "slope 1.",
            *axes,
            ordered=True,
        )
        for share in TIMES:
            _draw(in_time, searches(main, share), f"{round(share * p.steps)} steps")
        others = Figure(
            "n-star-depths",
            f"The line for several depths and dimensions, {p.steps} steps",
            "The thesis finds little dependence on L and d, slope 1, and every point below the "
            "bound; its nets of 8000 weights with the hinge loss sit at P/N* = 2.8 to 2.9.",
            *axes,
        )
        for curve in _curves(table):
            name = f"L = {curve['L']}, d = {curve['d']}"
            _draw(others, searches(table.where(**curve), 1.0), name)
        for figure in (in_time, others):
            if table:
                P = np.array([min(table.column("P")), max(table.column("P"))], dtype=float)
                figure.thesis("slope 1 at the thesis's hinge transition", P, P / THESIS_RATIO)
                bound_guide(figure, P, BETA)
        return [in_time, others]


def _widths(ratios: tuple[float, ...], P: int, d: int, L: int) -> list[int]:
    from symscape.networks import width_from_weights

    return sorted({max(2, round(width_from_weights(ratio * P, d, L))) for ratio in ratios})


def _curves(table: Table) -> list[dict[str, int]]:
    return [{"L": L, "d": d} for (L, d), _ in table.groups("L", "d")]


def searches(table: Table, share: float) -> Table:
    """N* of every P and seed after a share of the training: one row each.

    As in the thesis the width is lowered from the largest on until a net fails. N* is infinite
    where the largest net fails already, and 0 is the next smaller net where none failed.

    Args:
        table: runs of one depth and dimension.
        share: training time in units of the whole training.
    """
    rows = []
    for (P,), runs in table.groups("P"):
        descending = sorted(runs.rows, key=lambda row: -row["n_weights"])
        for member in range(min(len(row["first_fit"]) for row in descending)):
            N_star, N_below = math.inf, 0.0
            for row in descending:
                if row["first_fit"][member] > share * row["steps"]:
                    N_below = float(row["n_weights"])
                    break
                N_star = float(row["n_weights"])
            point = {"P": P, "L": descending[0]["L"], "d": descending[0]["d"], "seed": member}
            largest = float(descending[0]["n_weights"])
            result = {"N_star": N_star, "N_below": min(N_below, N_star), "N_largest": largest}
            rows.append(Row(point, result))
    return Table(rows)


def _levels(table: Table) -> dict[int, float]:
    """Mean log N* of every P at which all seeds have a transition."""
    return {
        P: float(np.mean(np.log(N)))
        for P, N, _ in transitions(table)
        if len(N) == len(table.where(P=P))
    }


def _falls(late: Table, early: Table) -> Finding:
    claim = "ch1.fig5a.falls-with-time"
    at_end, before = _levels(late), _levels(early)
    common = sorted(set(at_end) & set(before))
    if not common:
        return Finding(claim, None, None, "No P has a transition at both times.")
    ratios = [math.exp(at_end[P] - before[P]) for P in common]
    said = ", ".join(f"P = {P}: {ratio:.2f}" for P, ratio in zip(common, ratios))
    gone = sorted(set(at_end) - set(before))
    note = f"Geometric mean over P ({said})."
    if gone:
        note += f" After a tenth there is no transition yet at P = {', '.join(map(str, gone))}."
    return Finding(claim, float(np.exp(np.mean(np.log(ratios)))), None, note)


def _steeper(late: LineFit, early: LineFit) -> Finding:
    claim = "ch1.fig5a.short-times-diverge"
    if not (math.isfinite(late.slope) and math.isfinite(early.slope)):
        return Finding(claim, None, None, "A slope needs N* at two values of P, at both times.")
    error = math.hypot(late.error, early.error)
    note = f"Slope {early.slope:.2f} after a tenth of the steps, {late.slope:.2f} at the end."
    return Finding(claim, early.slope - late.slope, error, note)


def _dependence(table: Table, p: LineCrossEntropyParameters) -> Finding:
    """N* of the other depths and dimensions over the main line's, the farthest from 1."""
    claim = "ch1.fig5b.little-dependence"
    main = _per_seed(searches(table.where(L=p.main[0], d=p.main[1]), 1.0))
    ratios: dict[Curve, tuple[float, float]] = {}
    for L, d in p.others:
        other = _per_seed(searches(table.where(L=L, d=d), 1.0))
        common = sorted(set(main) & set(other))
        if common:
            logs = np.array([np.mean(np.log(other[P])) - np.mean(np.log(main[P])) for P in common])
            variances = [_squared_error(np.log(of[P])) for of in (main, other) for P in common]
            ratios[L, d] = math.exp(logs.mean()), math.sqrt(sum(variances)) / len(common)
    if not ratios:
        return Finding(claim, None, None, "No P has a transition for two pairs (L, d).")
    value, error = max(ratios.values(), key=lambda ratio: abs(math.log(ratio[0])))
    said = ", ".join(f"L = {L}, d = {d}: {ratio:.2f}" for (L, d), (ratio, _) in ratios.items())
    note = f"Relative to L = {p.main[0]}, d = {p.main[1]} at equal P: {said}."
    return Finding(claim, value, value * error, note, table.keys)


def _per_seed(table: Table) -> dict[int, Array]:
    return {P: N for P, N, _ in transitions(table)}


def _squared_error(values: Array) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _draw(figure: Figure, table: Table, name: str) -> None:
    """Geometric mean of N* over seeds, where all seeds have a transition."""
    levels = _levels(table)
    if not levels:
        return
    P = sorted(levels)
    N = np.exp([levels[size] for size in P])
    per_seed = _per_seed(table)
    error = [level * math.sqrt(_squared_error(np.log(per_seed[size]))) for size, level in zip(P, N)]
    figure.measured(name, P, N, y_error=error, mode="lines+markers")

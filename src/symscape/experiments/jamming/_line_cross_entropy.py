"""The transition line N*(P) of random data with the cross entropy (paper A, Fig. 5a, b)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.experiments.jamming import _lines
from symscape.experiments.jamming._lines import Line
from symscape.experiments.jamming._parameters import Depth, Dimension, Patterns, Ratio
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

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


@lab.once
def searches(table: Table, share: float) -> Table:
    """N* of every depth, dimension, P and seed after a share of the training: one row each.

    As in the thesis the width is lowered from the largest on until a net fails. N* is infinite
    where the largest net fails already, and the search is not closed where none failed.

    Args:
        table: runs.
        share: training time in units of the whole training.
    """
    rows = []
    for (L, d, P), runs in table.groups("L", "d", "P"):
        descending = sorted(runs, key=lambda row: -row["n_weights"])
        for member in range(min(len(row["first_fit"]) for row in descending)):
            N_star, N_below = math.inf, 0.0
            for row in descending:
                if row["first_fit"][member] > share * row["steps"]:
                    N_below = float(row["n_weights"])
                    break
                N_star = float(row["n_weights"])
            result = {
                "N_star": N_star,
                "N_below": N_below,
                "N_largest": float(descending[0]["n_weights"]),
                "closed": N_below > 0,
            }
            rows.append(Row({"L": L, "d": d, "P": P, "seed": member}, result))
    return Table(rows)


@lab.once
def _line(table: Table, main: tuple[int, int], share: float = 1.0) -> Line:
    """The line of a depth and dimension after a share of the training."""
    return Line.of(searches(table, share).where(L=main[0], d=main[1]))


def _falls(table: Table, p: LineCrossEntropyParameters) -> dict[str, Estimate]:
    """N* after the whole training over N* after a tenth of it, for each P that has both."""
    levels = _line(table, p.main).over(_line(table, p.main, 0.1)).levels()
    found = {P: level for P, level in levels.items() if isinstance(level, Estimate)}
    gone = [P for P in levels if P not in found]
    if not found:
        raise NoEstimate("No P has a transition at both times.")
    said = f"After a tenth there is no transition yet at {', '.join(gone)}." if gone else ""
    return {P: level.noted(said) for P, level in found.items()}


def _steeper(table: Table, p: LineCrossEntropyParameters) -> Estimate:
    late, early = _line(table, p.main), _line(table, p.main, 0.1)
    slopes = f"{early.slope().value:.2f} after a tenth of the steps, {late.slope().value:.2f}"
    return early.over(late).slope().noted(f"Slope {slopes} at the end.")


def _dependence(table: Table, p: LineCrossEntropyParameters) -> dict[str, Estimate]:
    """N* of each other depth and dimension over the main line's, for each P that both have."""
    main = _line(table, p.main)
    return {
        f"L = {curve[0]}, d = {curve[1]}, P = {P}": scaling.ratio(
            _line(table, curve).level(P), main.level(P)
        )
        for curve in p.others
        for P in p.other_sizes
        if P in main.P
    }


def _below_bound(table: Table, p: LineCrossEntropyParameters) -> dict[str, Estimate | str]:
    return {
        f"L = {L}, d = {d}": _lines.bound(rows)
        for (L, d), rows in searches(table, 1.0).groups("L", "d")
    }


CLAIMS = (
    Claim(
        "ch1.fig5a.slope",
        "Paper A, Fig. 5a, b; paper B, Fig. 3A",
        "After long training with the cross entropy N* is proportional to P: slope 1.",
        1.0,
        Tolerance(0.8, 1.2, "1 +- 0.2: small nets and a shorter training than the thesis's"),
        lambda table, p: _line(table, p.main).slope(),
    ),
    Claim(
        "ch1.fig5a.falls-with-time",
        "Paper A, Fig. 5a; paper B, Fig. B1",
        "N* falls as the training time grows.",
        "falls",
        Tolerance.at_most(
            0.95,
            "N* after the whole training over N* after a tenth of it; it cannot exceed 1, as a net "
            "counts as fitted from the first time on, so a fall by 5 % is asked for, at every P",
        ),
        _falls,
    ),
    Claim(
        "ch1.fig5a.short-times-diverge",
        "Paper A, Fig. 5a",
        "At short times the line is steeper, and it approaches slope 1 as time goes on.",
        "steeper",
        Tolerance.at_least(0.0, "slope after a tenth of the training less that at the end"),
        _steeper,
    ),
    Claim(
        "ch1.fig5b.little-dependence",
        "Paper A, Fig. 5b; paper B, Fig. 3A",
        "The transition shows little dependence on the depth and on the input dimension.",
        "little",
        Tolerance(0.8, 1.25, "N* relative to the main line; 25 % counts as little"),
        _dependence,
    ),
    Claim(
        "ch1.fig5b.bound",
        "Paper A, Fig. 5a, b and Eq. 13",
        "Every N* lies below the bound P / (1/2 - N_c/N) = 4 P.",
        "< 1",
        Tolerance.at_most(1.0, "largest N* of each depth and dimension in units of the bound"),
        _below_bound,
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
        nets = [
            {"L": L, "d": d, "P": P, "h": h}
            for (L, d), sizes in [(p.main, p.sizes), *((c, p.other_sizes) for c in p.others)]
            for P in sizes
            for h in _widths(p.ratios, P, d, L)
        ]
        training = {"steps": p.steps, "learning_rate": p.learning_rate}
        return lab.grid(1, net=nets, members=p.seeds, **training)

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

    def figures(self, table: Table, p: LineCrossEntropyParameters) -> list[Figure]:
        axes = (Axis("P", log=True), Axis("N*", log=True))
        in_time = Figure(
            "n-star-times",
            f"The line at several training times, L = {p.main[0]}, d = {p.main[1]}",
            "N between the smallest net that classified every point within the given number of "
            f"steps and the next smaller one (rate {p.learning_rate:g}, a tenth of it in the "
            "second half). A line that ends early has no transition beyond: no net was fast "
            "enough. The thesis's lines approach slope 1.",
            *axes,
            ordered=True,
            claims=(
                "ch1.fig5a.slope",
                "ch1.fig5a.falls-with-time",
                "ch1.fig5a.short-times-diverge",
            ),
        )
        others = Figure(
            "n-star-depths",
            f"The line for several depths and dimensions, {p.steps} steps",
            "The thesis finds little dependence on L and d, slope 1, and every point below the "
            "bound; its nets of 8000 weights with the hinge loss sit at P/N* = 2.8 to 2.9.",
            *axes,
            claims=("ch1.fig5b.little-dependence", "ch1.fig5b.bound"),
        )
        main = table.where(L=p.main[0], d=p.main[1])
        for group, share in enumerate(TIMES):
            _lines.draw(in_time, searches(main, share), f"{round(share * p.steps)} steps", group)
        _lines.draw(others, searches(table, 1.0), "L = {L}, d = {d}")
        for figure in (in_time, others):
            _lines.draw_guides(figure, table)
        return [in_time, others]


def _widths(ratios: tuple[float, ...], P: int, d: int, L: int) -> list[int]:
    from symscape.networks import width_from_weights

    return sorted({max(2, round(width_from_weights(ratio * P, d, L))) for ratio in ratios})

"""The transition line N*(P) of random data and of MNIST, hinge loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.experiments.jamming import _lines
from symscape.experiments.jamming._lines import Line as SearchedLine
from symscape.experiments.jamming._near_jamming import THESIS_RATIO
from symscape.experiments.jamming._parameters import Depth, HingeTraining, Patterns, pinned_digits
from symscape.lab import Axis, Claim, Estimate, Figure, Table, Tolerance

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.dynamics import TrainResult
    from symscape.networks import FullyConnected

ATTEMPTS = 6
"""Initializations that a width may try, as long as all end stuck."""

Outcome = Literal["sat", "unsat", "stuck", "censored"]


class LineParameters(HingeTraining):
    source: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    d: int = Field(ge=2, le=784, default=10, description="input dimension, principal components")
    random_depths: tuple[Depth, ...] = Field(description="hidden layers, random data")
    random_sizes: tuple[Patterns, ...] = Field(
        min_length=1, description="numbers of random points P"
    )
    mnist_depths: tuple[Depth, ...] = Field(description="hidden layers, digits")
    mnist_sizes: tuple[Patterns, ...] = Field(
        min_length=1, description="numbers of training digits P"
    )
    final_rate: float = Field(
        gt=0, le=1, default=1e-6, description="ADAM rate at the end of the decay"
    )


@lab.once
def _random(table: Table) -> Table:
    return table.where(data="random")


@lab.once
def _digits(table: Table) -> Table:
    return table.select(lambda row: row["data"] != "random")


@lab.once
def _by_depth(rows: Table) -> dict[str, SearchedLine]:
    return {f"L = {L}": SearchedLine.of(some) for (L,), some in rows.groups("L")}


def _slopes(rows: Table) -> dict[str, Estimate]:
    return {depth: line.slope() for depth, line in _by_depth(rows).items()}


def _depths(rows: Table, P: int) -> Estimate:
    """Ratio of N* between the two most different depths at one P."""
    levels = {depth: line.levels()[f"P = {P}"] for depth, line in _by_depth(rows).items()}
    known = {depth: level for depth, level in levels.items() if isinstance(level, Estimate)}
    missing = [depth for depth in levels if depth not in known]
    said = f"No closed search for {', '.join(missing)}." if missing else ""
    return scaling.spread(known, log=True).noted(said)


def _below_random(table: Table, p: LineParameters) -> dict[str, Estimate]:
    """N* of digits over that of random data, at each depth and P where both are known."""
    random, digits = _by_depth(_random(table)), _by_depth(_digits(table))
    return {
        f"{depth}, {P}": scaling.ratio(level, other)
        for depth, line in digits.items()
        if depth in random
        for P, level in line.levels().items()
        for other in [random[depth].levels().get(P)]
        if isinstance(level, Estimate) and isinstance(other, Estimate)
    }


def _difference_of_slopes(table: Table, p: LineParameters) -> dict[str, Estimate]:
    random, digits = _slopes(_random(table)), _slopes(_digits(table))
    return {
        depth: scaling.difference(slope, random[depth])
        for depth, slope in digits.items()
        if depth in random
    }


CLAIMS = (
    Claim(
        "ch1.fig5c.slope",
        "Paper A, Fig. 5c; paper B, Fig. 3A",
        "For random data N* grows in proportion to P: the slope of log N* against log P is 1.",
        1.0,
        Tolerance(0.9, 1.1, "1 +- 0.1, at every depth"),
        lambda table, p: _slopes(_random(table)),
    ),
    Claim(
        "ch1.fig5c.depth",
        "Paper A, Fig. 5c",
        "N* of random data depends little on the depth.",
        "little",
        Tolerance.at_most(1.25, "ratio of N* between depths, the most different pair, at every P"),
        lambda table, p: {f"P = {P}": _depths(_random(table), P) for P in p.random_sizes},
    ),
    Claim(
        "ch1.fig5c.bound",
        "Paper A, Eq. 13 and Fig. 5c",
        "Every N* lies below the bound P / (1/2 - N_c/N) = 4 P.",
        "< 1",
        Tolerance.at_most(1.0, "largest N* of each depth in units of the bound"),
        lambda table, p: {
            f"L = {L}": _lines.bound(rows) for (L,), rows in _random(table).groups("L")
        },
    ),
    Claim(
        "ch1.fig10.below-random",
        "Paper A, Fig. 10; paper B, Fig. 3C",
        "MNIST needs fewer parameters than random data of the same number.",
        "< 1",
        Tolerance.at_most(1.0, "ratio N*(MNIST) / N*(random) at every depth and P"),
        _below_random,
    ),
    Claim(
        "ch1.fig10.ratio-falls",
        "Paper A, Fig. 10",
        "The ratio of N* of MNIST to that of random data falls as P grows.",
        "negative",
        Tolerance.at_most(
            -0.05, "difference of the slopes of log N* at equal depth, below zero by 0.05"
        ),
        _difference_of_slopes,
    ),
    Claim(
        "ch1.fig10.slope",
        "Paper A, Fig. 10; paper B, Fig. 3C",
        "N* of MNIST grows less than linearly with P, roughly as its power 3/4.",
        0.75,
        Tolerance(0.5, 0.95, "below 1; the authors' slides give about 3/4; at every depth"),
        lambda table, p: _slopes(_digits(table)),
    ),
    Claim(
        "ch1.fig10.depth",
        "Paper A, Fig. 10",
        "N* of MNIST is essentially independent of the depth at large P.",
        "independent",
        Tolerance.at_most(1.4, "ratio of N* between depths at the largest P"),
        lambda table, p: _depths(_digits(table), max(p.mnist_sizes)),
    ),
)


@lab.register
class Line(lab.Experiment):
    """Paper A, Figs. 5c, 10; paper B, Figs. 3A, 3C."""

    name = "jamming-line"
    chapter = "1"
    title = "The transition line N*(P)"
    summary = (
        "For each number of patterns P the smallest net that reaches zero loss is searched by "
        "bisection on the width. Random data need a number of parameters proportional to P; "
        "handwritten digits need fewer, and ever fewer per digit."
    )
    sources = ("Paper A, Figs. 1, 5c, 10", "Paper B, Figs. 1, 3A, 3C")
    version = 3
    Parameters = LineParameters
    profiles = {  # noqa: RUF012
        "smoke": LineParameters(
            random_depths=(1, 2),
            random_sizes=(24, 48),
            mnist_depths=(1,),
            mnist_sizes=(24, 48),
            seeds=1,
            steps=300,
            iterations=100,
            learning_rate=5e-3,
        ),
        "quick": LineParameters(
            random_depths=(1, 2),
            random_sizes=(300, 600, 1200),
            mnist_depths=(1, 2),
            mnist_sizes=(300, 600, 1200),
            seeds=2,
            steps=1500,
            iterations=600,
            learning_rate=2e-3,
        ),
        "overnight": LineParameters(
            random_depths=(2, 3, 5),
            random_sizes=(500, 800, 1250, 2000),
            mnist_depths=(1, 3, 5),
            mnist_sizes=(500, 800, 1250, 2000),
            seeds=3,
            steps=1500,
            iterations=800,
            learning_rate=2e-3,
        ),
        "paper": LineParameters(
            random_depths=(2, 3, 5),
            random_sizes=(500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000),
            mnist_depths=(1, 3, 5),
            mnist_sizes=(100, 300, 1000, 3000, 10_000, 30_000, 50_000),
            seeds=5,
            steps=2_000_000,
            iterations=20_000,
            learning_rate=1e-4,
        ),
    }
    claims = CLAIMS

    def points(self, p: LineParameters) -> Iterator[dict[str, Any]]:
        digits = pinned_digits(p.source, max(p.mnist_sizes))
        for data, depths, sizes in (
            ("random", p.random_depths, p.random_sizes),
            (digits, p.mnist_depths, p.mnist_sizes),
        ):
            yield from lab.grid(
                p.seeds, data=data, L=depths, d=p.d, P=sizes, activation="relu", **p.training
            )

    def cost(self, point: dict[str, Any]) -> float:
        evaluations = 3 * (point["steps"] + 4 * point["iterations"])
        return float(evaluations * (2e-4 + 6e-7 * point["P"]))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.landscape import search_width
        from symscape.networks import FullyConnected, width_from_weights

        x, y = _training_set(point)
        tried: dict[int, dict[str, Any]] = {}

        def fits(h: int, seed: int) -> str:
            tried[h] = _train(FullyConnected(d=point["d"], h=h, L=point["L"]), point, x, y)
            outcome = tried[h]["outcome"]
            # The search knows of no stuck nets: it goes on as where time is short.
            return "censored" if outcome == "stuck" else outcome

        share = 1 / THESIS_RATIO if point["data"] == "random" else 1 / 4
        guess = max(2, round(width_from_weights(1.2 * share * point["P"], point["d"], point["L"])))
        search_width(fits, point["seed"], guess=guess, h_max=4 * guess, growth=1.2)

        def ended(outcome: str) -> list[int]:
            return [h for h, found in tried.items() if found["outcome"] == outcome]

        while (
            ended("sat")
            and min(tried) > 1
            and min(ended("unsat"), default=math.inf) > min(ended("sat"))
        ):
            # Censored nets bound N* from above only: go on down to one that is jammed.
            fits(min(min(tried) - 1, round(min(tried) / 1.2)), point["seed"])
        h_star = min(ended("sat"), default=0)
        h_below = max((h for h in ended("unsat") if h < h_star), default=0)
        return {
            "h_star": h_star,
            "N_star": tried[h_star]["N"] if h_star else math.inf,
            "N_below": tried[h_below]["N"] if h_below else 0,
            "N_largest": max(found["N"] for found in tried.values()),
            "closed": h_below > 0,
            **{
                f"trial_{name}": np.array([found[name] for found in tried.values()])
                for name in ("N", "n_delta", "n_silent", "loss", "attempts")
            },
            "trial_outcome": ",".join(found["outcome"] for found in tried.values()),
        }

    def figures(self, table: Table, p: LineParameters) -> list[Figure]:
        axes = (Axis("P", log=True), Axis("N*", log=True))
        alone = Figure(
            "n-star-random",
            "Random data",
            "N between the smallest net that fits P random points and the largest smaller one that "
            "jams. The thesis's nets of 8000 weights sit at P/N* = 2.8 to 2.9; the bound of "
            "stability is P/N* = 1/4.",
            *axes,
            claims=("ch1.fig5c.slope", "ch1.fig5c.depth", "ch1.fig5c.bound"),
        )
        both = Figure(
            "n-star-mnist",
            "MNIST and random data",
            "Digits need fewer parameters than random points, and their line is less steep. "
            "Error bars: over seeds.",
            *axes,
            claims=tuple(claim.id for claim in CLAIMS if ".fig10." in claim.id),
        )
        _lines.draw(alone, _random(table), "L = {L}")
        _lines.draw(both, _digits(table), "MNIST, L = {L}")
        _lines.draw(both, _random(table), "random, L = {L}", group=len(p.mnist_depths))
        _lines.draw_guides(alone, _random(table))
        _lines.draw_guides(both, table)
        return [alone, both]


def _training_set(point: dict[str, Any]) -> tuple[Any, Any]:
    from symscape.datasets import mnist_parity, random_sphere

    if point["data"] == "random":
        return random_sphere(point["P"], point["d"], seed=point["seed"])
    split = mnist_parity(point["P"], point["d"], seed=point["seed"], source=point["data"], n_test=0)
    return split.x_train, split.y_train


def _train(net: FullyConnected, point: dict[str, Any], x: Tensor, y: Tensor) -> dict[str, Any]:
    """How a net of this width ends, from up to ``ATTEMPTS`` initializations.

    - ``sat``: at zero loss;
    - ``stuck``: N/10 patterns or fewer are unsatisfied (jammed is what the thesis calls more), not
      counting silent ones (see :func:`._state.silent_patterns`). A narrow and deep net is easily
      silent on some inputs, far from the transition too, and can never fit these. Another
      initialization is drawn for such ends, and for these alone;
    - ``unsat``: jammed, that is, more are unsatisfied, and at rest: the last quarter of the
      steps, thousands of them, took less than a tenth of the loss;
    - ``censored``: more are unsatisfied, and the loss was still falling.
    """
    from symscape.experiments.jamming._state import silent_patterns, train_hinge
    from symscape.landscape import delta

    outcome: Outcome = "stuck"
    for attempt in range(ATTEMPTS):
        seed = point["seed"] + 1000 * attempt
        result = train_hinge(net, {**point, "seed": seed}, x, y)
        silent = silent_patterns(net, result.w, x)
        unsatisfied = int(((delta(net(result.w, x), y) > 0) & ~silent).sum())
        if result.status == "converged":
            outcome = "sat"
        elif unsatisfied > 0.1 * net.n_weights:
            outcome = "unsat" if _at_rest(result) else "censored"
        if outcome != "stuck":
            break
    return {
        "N": net.n_weights,
        "n_delta": result.n_delta,
        "n_silent": int(silent.sum()),
        "loss": result.loss,
        "attempts": attempt + 1,
        "outcome": outcome,
    }


def _at_rest(result: TrainResult) -> bool:
    step, loss = result.history["step"], result.history["loss"]
    return bool(loss.min() > 0.9 * loss[step <= 0.75 * step[-1]].min())

"""The transition line N*(P) of random data and of MNIST, hinge loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.jamming._lines import (
    LineFit,
    bound_finding,
    bound_guide,
    depth_ratio,
    draw_line,
    fit_line,
    transitions,
)
from symscape.experiments.jamming._near_jamming import THESIS_RATIO
from symscape.experiments.jamming._parameters import Depth, HingeTraining, Patterns, pinned_digits
from symscape.lab import Axis, Claim, Figure, Finding, Table, Tolerance

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.networks import FullyConnected

ATTEMPTS = 3
"""Initializations that a width may try."""

Outcome = Literal["sat", "unsat", "censored"]

BETA = 0.25
"""N_c / N of relu nets with random data (Paper A, App. C), for the bound."""


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


CLAIMS = (
    Claim(
        "ch1.fig5c.slope",
        "Paper A, Fig. 5c; paper B, Fig. 3A",
        "For random data N* grows in proportion to P: the slope of log N* against log P is 1.",
        1.0,
        Tolerance(0.9, 1.1, "1 +- 0.1"),
    ),
    Claim(
        "ch1.fig5c.depth",
        "Paper A, Fig. 5c",
        "N* of random data depends little on the depth.",
        "little",
        Tolerance(0.8, 1.25, "ratio of N* between depths, the most different pair"),
    ),
    Claim(
        "ch1.fig5c.bound",
        "Paper A, Eq. 13 and Fig. 5c",
        "Every N* lies below the bound P / (1/2 - N_c/N) = 4 P.",
        "< 1",
        Tolerance(0.0, 1.0, "largest N* in units of the bound"),
    ),
    Claim(
        "ch1.fig10.below-random",
        "Paper A, Fig. 10; paper B, Fig. 3C",
        "MNIST needs fewer parameters than random data of the same number.",
        "< 1",
        Tolerance(0.0, 1.0, "largest ratio N*(MNIST) / N*(random) over P and depths"),
    ),
    Claim(
        "ch1.fig10.ratio-falls",
        "Paper A, Fig. 10",
        "The ratio of N* of MNIST to that of random data falls as P grows.",
        "negative",
        Tolerance(-math.inf, -0.05, "difference of the slopes of log N*, below zero by 0.05"),
    ),
    Claim(
        "ch1.fig10.slope",
        "Paper A, Fig. 10; paper B, Fig. 3C",
        "N* of MNIST grows less than linearly with P, roughly as its power 3/4.",
        0.75,
        Tolerance(0.5, 0.95, "below 1; the authors' slides give about 3/4"),
    ),
    Claim(
        "ch1.fig10.depth",
        "Paper A, Fig. 10",
        "N* of MNIST is essentially independent of the depth at large P.",
        "independent",
        Tolerance(0.7, 1.4, "ratio of N* between depths at the largest P"),
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
    version = 2
    Parameters = LineParameters
    profiles = {  # noqa: RUF012
        "smoke": LineParameters(
            random_depths=(1, 2),
            random_sizes=(24, 48),
            mnist_depths=(1,),
            mnist_sizes=(24, 48),
            seeds=1,
            steps=1000,
            learning_rate=5e-3,
        ),
        "quick": LineParameters(
            random_depths=(1, 2),
            random_sizes=(300, 600, 1200),
            mnist_depths=(1, 3),
            mnist_sizes=(600, 1200, 2400),
            seeds=1,
            steps=15_000,
            learning_rate=2e-3,
        ),
        "overnight": LineParameters(
            random_depths=(2, 3, 5),
            random_sizes=(300, 600, 1200, 2400),
            mnist_depths=(1, 3, 5),
            mnist_sizes=(300, 600, 1200, 2400),
            seeds=2,
            steps=20_000,
            learning_rate=2e-3,
        ),
        "paper": LineParameters(
            random_depths=(2, 3, 5),
            random_sizes=(500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000),
            mnist_depths=(1, 3, 5),
            mnist_sizes=(100, 300, 1000, 3000, 10_000, 30_000, 50_000),
            seeds=5,
            steps=2_000_000,
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
            for L in depths:
                for P in sizes:
                    for seed in range(p.seeds):
                        yield {
                            "data": data,
                            "L": L,
                            "d": p.d,
                            "P": P,
                            "seed": seed,
                            "activation": "relu",
                            **p.training,
                        }

    def cost(self, point: dict[str, Any]) -> float:
        return float(5 * point["steps"] * (1e-4 + 2e-10 * point["P"] ** 2))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.landscape import search_width
        from symscape.networks import FullyConnected, width_from_weights

        x, y = _training_set(point)
        sizes: dict[int, dict[str, float]] = {}

        def outcome(h: int, seed: int) -> Outcome:
            net = FullyConnected(d=point["d"], h=h, L=point["L"])
            verdict, sizes[h] = _fits(net, {**point, "seed": seed}, x, y)
            return verdict

        share = 1 / THESIS_RATIO if point["data"] == "random" else 1 / 4
        guess = round(width_from_weights(1.2 * share * point["P"], point["d"], point["L"]))
        trials = search_width(
            outcome, point["seed"], guess=max(2, guess), h_max=4 * max(2, guess), growth=1.2
        )
        fitted = [trial.h for trial in trials if trial.outcome == "sat"]
        h_star = min(fitted, default=0)
        below = max((t for t in trials if t.h < h_star), key=lambda t: t.h, default=None)
        return {
            "h_star": h_star,
            "N_star": sizes[h_star]["N"] if fitted else math.nan,
            "N_below": sizes[below.h]["N"] if below else 0,
            "N_largest": max(size["N"] for size in sizes.values()),
            "bound_only": below is not None and below.outcome == "censored",
            "trial_h": np.array([trial.h for trial in trials]),
            "trial_N": np.array([sizes[trial.h]["N"] for trial in trials]),
            "trial_n_delta": np.array([sizes[trial.h]["n_delta"] for trial in trials]),
            "trial_loss": np.array([sizes[trial.h]["loss"] for trial in trials]),
            "trial_attempts": np.array([sizes[trial.h]["attempts"] for trial in trials]),
            "trial_outcome": ",".join(trial.outcome for trial in trials),
        }

    def analyse(self, table: Table, p: LineParameters) -> list[Finding]:
        random, digits = _split(table)
        line, line_digits = fit_line(random), fit_line(digits)
        largest = max((row["P"] for row in digits), default=0)
        return [
            _with_note(line.finding("ch1.fig5c.slope"), _open(random)),
            depth_ratio("ch1.fig5c.depth", random),
            bound_finding("ch1.fig5c.bound", random, BETA),
            _below_random(random, digits),
            _difference_of_slopes(line, line_digits),
            _with_note(line_digits.finding("ch1.fig10.slope"), _open(digits)),
            depth_ratio("ch1.fig10.depth", digits.where(P=largest) if digits else digits),
        ]

    def figures(self, table: Table, p: LineParameters) -> list[Figure]:
        random, digits = _split(table)
        axes = (Axis("P", log=True), Axis("N*", log=True))
        both = Figure(
            "n-star-mnist",
            "MNIST and random data",
            "Digits need fewer parameters than random points, and their line is less steep. "
            "Error bars: spread of the searches and spacing of the widths.",
            *axes,
        )
        alone = Figure(
            "n-star-random",
            "Random data",
            "Smallest number of weights that fits P random points. The thesis's nets of 8000 "
            "weights sit at P/N* = 2.8 to 2.9; the bound of stability is P/N* = 1/4.",
            *axes,
        )
        draw_line(alone, random, "L = {L}")
        draw_line(both, digits, "MNIST, L = {L}")
        draw_line(both, random, "random, L = {L}")
        for figure, rows in ((alone, random), (both, table)):
            if rows:
                P = np.array([min(rows.column("P")), max(rows.column("P"))], dtype=float)
                figure.thesis("thesis, random data at N = 8000", P, P / THESIS_RATIO)
                bound_guide(figure, P, BETA)
        return [alone, both]


def _open(rows: Table) -> str:
    """How many searches have an upper bound only: the next smaller net ran out of time."""
    count = sum(bool(row["bound_only"]) for row in rows)
    return f"In {count} of {len(rows)} searches the next smaller net was still descending."


def _with_note(finding: Finding, note: str) -> Finding:
    return dataclasses.replace(finding, note=f"{finding.note} {note}".strip())


def _split(table: Table) -> tuple[Table, Table]:
    """The rows of random data and those of digits."""
    return (
        Table(row for row in table if row["data"] == "random"),
        Table(row for row in table if row["data"] != "random"),
    )


def _training_set(point: dict[str, Any]) -> tuple[Any, Any]:
    from symscape.datasets import mnist_parity, random_sphere

    if point["data"] == "random":
        return random_sphere(point["P"], point["d"], seed=point["seed"])
    split = mnist_parity(point["P"], point["d"], seed=point["seed"], source=point["data"], n_test=0)
    return split.x_train, split.y_train


def _fits(
    net: FullyConnected, point: dict[str, Any], x: Tensor, y: Tensor
) -> tuple[Outcome, dict[str, float]]:
    """Whether a net of this width reaches zero loss, from up to ``ATTEMPTS`` initializations.

    Another initialization is drawn only where the loss that is left belongs to silent patterns
    (see :func:`._state.silent_patterns`): narrow nets often end so, far from the transition too.
    """
    from symscape.experiments.jamming._state import share_of_silent, train_hinge

    for attempt in range(ATTEMPTS):
        result = train_hinge(net, {**point, "seed": point["seed"] + 1000 * attempt}, x, y)
        if result.status == "converged" or share_of_silent(net, result.w, x, y) < 0.5:
            break
    found = {
        "N": net.n_weights,
        "n_delta": result.n_delta,
        "loss": result.loss,
        "attempts": attempt + 1,
    }
    if result.status == "converged":
        return "sat", found
    # The thesis's criterion, and at rest; otherwise time was short, or the layer silent.
    stuck = result.n_delta > 0.1 * net.n_weights and share_of_silent(net, result.w, x, y) < 0.5
    return ("unsat" if stuck and result.status == "stalled" else "censored"), found


def _below_random(random: Table, digits: Table) -> Finding:
    """The largest N*(MNIST) / N*(random) at equal P, all depths averaged in the logarithm."""
    claim = "ch1.fig10.below-random"
    of_random = {P: np.mean(np.log(N)) for P, N, _ in transitions(random)}
    ratios = [
        math.exp(float(np.mean(np.log(N)) - of_random[P]))
        for P, N, _ in transitions(digits)
        if P in of_random
    ]
    if not ratios:
        return Finding(claim, None, None, "No P has both random data and digits.")
    return Finding(claim, max(ratios), None, f"Compared at {len(ratios)} values of P.")


def _difference_of_slopes(random: LineFit, digits: LineFit) -> Finding:
    claim = "ch1.fig10.ratio-falls"
    if not (math.isfinite(random.slope) and math.isfinite(digits.slope)):
        return Finding(claim, None, None, "A slope needs two values of P for either data.")
    return Finding(
        claim,
        digits.slope - random.slope,
        math.hypot(random.error, digits.error),
        f"Slope {digits.slope:.3f} of digits less {random.slope:.3f} of random data.",
    )

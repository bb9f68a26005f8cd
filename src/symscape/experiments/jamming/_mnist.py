"""MNIST at the transition: the jump, the spectra, the gaps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from symscape import lab, scaling
from symscape.experiments.jamming import _near_jamming as near
from symscape.experiments.jamming import _panels as panels
from symscape.experiments.jamming._parameters import (
    Depth,
    HingeTraining,
    Patterns,
    Width,
    pinned_digits,
)
from symscape.lab import Claim, Estimate, Table, Tolerance

MANY = 10_000
"""Digits from which on the thesis states the accuracy at jamming."""


class MnistParameters(HingeTraining):
    source: str = Field(
        default="auto", description="data: auto (all of MNIST if found), mnist, mnist-sample"
    )
    L: Depth = Field(default=3, description="hidden layers")
    h: Width = Field(description="width")
    d: int = Field(ge=1, le=784, default=10, description="principal components kept")
    sizes: tuple[Patterns, ...] = Field(min_length=1, description="numbers of training digits P")
    many: tuple[tuple[Width, Patterns], ...] = Field(
        default=(), description="further runs, as pairs (h, P), near jamming with many digits"
    )


def _near(answer: near.Answer) -> Any:
    """The answer of the runs that scan the transition, without those with many digits."""
    return lambda table, p: answer(_scan(table, p))


def _scan(table: Table, p: MnistParameters) -> Table:
    return table.where(h=p.h)


def _accuracy(table: Table, p: MnistParameters) -> dict[str, Estimate]:
    found = {}
    for (h, P), rows in table.select(lambda row: row["P"] >= MANY).groups("h", "P"):
        ends = ", ".join(row["status"] for row in rows)
        found[f"h = {h}, P = {P}"] = scaling.mean(
            rows.per_seed(lambda row: 1.0 - row["test_error"]), f"The runs ended {ends}."
        )
    return found


CLAIMS = (
    Claim(
        "ch1.fig9a.no-intermediate-state",
        "Paper A, Fig. 9a",
        "No run at rest has 0.02 < N_Delta/N < 0.25: for digits, too, the number jumps.",
        "a jump",
        Tolerance.at_most(0.1, "none in the figure; 1 in 10 allowed"),
        _near(lambda table: near.between(table, 0.02, 0.25, fitted=True)),
    ),
    Claim(
        "ch1.fig9b.jump-height",
        "Paper A, Fig. 9a, b; paper B, Fig. 3D",
        "For MNIST N_Delta/N jumps to about 0.5 at the transition.",
        0.5,
        Tolerance(0.35, 0.65, "about 0.5, +- 0.15"),
        _near(near.height),
    ),
    Claim(
        "ch1.fig9b.below-random",
        "Paper A, Sec. VII",
        "The jump is smaller than that of random data, 0.7 to 0.75.",
        "< 0.7",
        Tolerance.at_most(0.7, "below the thesis's smallest value for random data"),
        _near(near.height),
    ),
    Claim(
        "ch1.fig9c.misclassified",
        "Paper A, Fig. 9c",
        "Misclassified digits per unsatisfied one go to zero with the loss, where they can be "
        "counted.",
        "to 0",
        Tolerance.at_least(0.5, "0 for a share that stays finite; 1/2 is linear in the overlaps"),
        _near(near.misclassified_exponent),
    ),
    Claim(
        "ch1.fig9d.gamma",
        "Paper A, Fig. 9d",
        "Gaps: gamma is about 0.25 for MNIST.",
        0.25,
        Tolerance(0.15, 0.35, "+- 0.1, as for random data"),
        _near(near.exponent("gamma")),
    ),
    Claim(
        "ch1.fig9e.scale",
        "Paper A, Fig. 9e",
        "The eigenvalues of H_p grow as the square root of the loss for digits too.",
        0.5,
        Tolerance(0.4, 0.6, "+- 0.1, exponent of the median magnitude"),
        _near(near.close(near.median_magnitude, near.slope)),
    ),
    Claim(
        "ch1.fig9f.symmetric-spectrum",
        "Paper A, Fig. 9f",
        "The spectrum of H_p is symmetric for digits too.",
        0.0,
        Tolerance.at_most(0.05, "5 % of the modes"),
        _near(near.mean(near.asymmetry)),
    ),
    Claim(
        "ch1.fig9g.zero-modes",
        "Paper A, Fig. 9g",
        "H_0 has a finite share of zero modes: the transition is hypostatic.",
        "finite",
        Tolerance(0.2, 0.9, "1 - N_Delta/N_tot with N_Delta/N = 0.5 +- 0.3"),
        _near(near.mean(lambda row: 1.0 - row["rank_h0"] / row["n_parameters"])),
    ),
    Claim(
        "ch1.fig9h.negative-modes",
        "Paper A, Fig. 9h",
        "A small share of the modes of H is negative, as for random data.",
        "as for random data",
        Tolerance(0.01, 0.20, "that of random data, about 10 %: between 1 and 20 %"),
        _near(near.mean(lambda row: near.negative_share(row, "h"))),
    ),
    Claim(
        "ch1.appC.mnist-cusps",
        "Paper A, App. C",
        "For MNIST N_c/N is about 0.19.",
        0.19,
        Tolerance(0.14, 0.30, "0.19 - 0.05, up to the highest value of random data + 0.05"),
        _near(near.cusps),
    ),
    Claim(
        "ch1.sec7.accuracy",
        "Paper A, Sec. VII; paper B, App. B.2",
        "At jamming more than 90 % of new digits are classified correctly, for P >= 10,000.",
        "> 0.90",
        Tolerance.at_least(0.90, "the thesis's bound"),
        _accuracy,
    ),
)


@lab.register
class Mnist(lab.Experiment):
    """Paper A, Fig. 9; paper B, Fig. 3D."""

    name = "jamming-mnist"
    chapter = "1"
    title = "The jamming transition of MNIST"
    summary = (
        "Nets learn the parity of handwritten digits from their ten leading principal components. "
        "As the number of digits P grows at fixed N, the loss turns positive and the number of "
        "unsatisfied digits per parameter jumps, to a lower value than for random data."
    )
    sources = ("Paper A, Fig. 9", "Paper B, Fig. 3D")
    version = 2
    Parameters = MnistParameters
    profiles = {  # noqa: RUF012
        "smoke": MnistParameters(
            L=2,
            h=4,
            sizes=(20, 600),
            seeds=1,
            steps=600,
            iterations=100,
            learning_rate=3e-3,
        ),
        "quick": MnistParameters(h=8, sizes=(700, 900, 1100, 1400), seeds=2, steps=6000),
        "overnight": MnistParameters(
            h=10,
            sizes=(2000, 2400, 2700, 3000, 3500),
            many=((18, 10_000),),
            seeds=5,
            steps=6000,
        ),
        "paper": MnistParameters(
            L=5,
            h=30,
            sizes=tuple(range(31_000, 68_500, 1500)),
            seeds=3,
            steps=3_000_000,
            iterations=20_000,
            learning_rate=1e-4,
        ),
    }
    claims = CLAIMS

    def points(self, p: MnistParameters) -> Iterator[dict[str, Any]]:
        net = [{"h": h, "P": P} for h, P in (*((p.h, P) for P in p.sizes), *p.many)]
        data = pinned_digits(p.source, max(one["P"] for one in net), n_test=1)
        return lab.grid(p.seeds, data=data, activation="relu", L=p.L, d=p.d, net=net, **p.training)

    def cost(self, point: dict[str, Any]) -> float:
        from symscape.experiments.jamming._state import run_seconds

        return run_seconds(point)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.datasets import mnist_parity
        from symscape.experiments.jamming._state import measure_run

        split = mnist_parity(point["P"], point["d"], seed=point["seed"], source=point["data"])
        fresh = min(point["P"], len(split.x_test))
        return measure_run(
            point,
            split.x_train,
            split.y_train,
            split.x_test[:fresh],
            test=(split.x_test, split.y_test),
        )

    def figures(self, table: Table, p: MnistParameters) -> list[lab.Figure]:
        runs, claims = _scan(table, p), panels.naming(CLAIMS)
        accuracy = lab.Figure(
            "accuracy",
            "New digits classified correctly",
            "At the end of the training, against the number of digits learned from; means over "
            "seeds. The line is the thesis's bound at jamming, for 10,000 digits and more.",
            lab.Axis("P", log=True),
            lab.Axis("accuracy"),
            claims=claims("sec7"),
        )
        accuracy.curves(table, "P", lambda row: 1 - row["test_error"], "h", name="h = {h}")
        if table:
            accuracy.thesis("thesis, at least", [MANY, 2 * MANY], [0.9, 0.9])
        return [
            *panels.jump(runs, "MNIST", claims("9[abc]"), 0.5),
            *panels.spectra(runs, "MNIST", claims("9[efgh]")),
            *panels.gaps(runs, "MNIST", claims("9d"), None, 0.25),
            *panels.cusps(runs, claims("appC")),
            accuracy,
        ]

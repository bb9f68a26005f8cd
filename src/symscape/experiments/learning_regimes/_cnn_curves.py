"""Learning curves of a convolutional network in both regimes (paper II, Fig. 8, right)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance

REGIMES = {"feature": 0.5, "lazy": 1 / 3}
"""The regimes, with the exponents that the thesis quotes."""


class CnnCurvesParameters(lab.Parameters):
    digits: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    channels: int = Field(ge=1, description="channels h of the CNN")
    feature: float = Field(gt=0, default=0.1, description="sqrt(h) alpha of feature training")
    lazy: float = Field(gt=0, default=1e3, description="sqrt(h) alpha of lazy training")
    sizes: Annotated[tuple[Annotated[int, Field(ge=10)], ...], AfterValidator(lab.increasing)] = (
        Field(min_length=2, description="numbers of training points P")
    )
    steps: int = Field(ge=10, description="limit on the steps of ADAM")
    n_test: int = Field(ge=10, description="test points")
    seeds: int = Field(ge=1, description="training sets and networks")


def _curves(table: Table) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Sizes, and test errors by regime, (seeds, sizes), NaN where a network did not fit."""
    sizes = np.array(sorted({row["P"] for row in table}))
    curves: dict[str, list[list[float]]] = {regime: [] for regime in REGIMES}
    for _, own in table.groups("seed"):
        for regime, rows in curves.items():
            found = {row["P"]: row["error"] for row in own.where(regime=regime)}
            rows.append([found.get(P) or math.nan for P in sizes.tolist()])
    return sizes, {regime: np.array(rows) for regime, rows in curves.items()}


def _exponents_differ(table: Table, p: CnnCurvesParameters) -> Estimate:
    """beta of feature less beta of lazy training, from the ratio of their errors."""
    sizes, curves = _curves(table)
    ratio = curves["lazy"] / curves["feature"]
    lost = int(np.isnan(ratio).sum())
    betas = []
    for regime, errors in curves.items():
        try:
            betas.append(f"{regime} {scaling.number(-scaling.slope(sizes, errors))}")
        except NoEstimate as none:
            betas.append(f"{regime}: {none}")
    note = f"Exponents: {', '.join(betas)}."
    if lost:
        note += f" {lost} of {ratio.size} pairs are left out: a network did not fit."
    return scaling.slope(sizes, ratio, note=note)


CLAIMS = (
    Claim(
        "ch3.ii.fig8.cnn-exponents",
        "Paper II, Fig. 8, right",
        "The learning curve of a CNN on MNIST falls faster in the feature regime.",
        "> 0",
        Tolerance.at_least(0.0, "beta of feature less beta of lazy training; 1/2 less 1/3 there"),
        _exponents_differ,
    ),
)


@lab.register
class CnnCurves(lab.Experiment):
    """Paper II, Fig. 8, right."""

    name = "regimes-cnn-curves"
    chapter = "3"
    title = "Learning curves of a convolutional network"
    summary = (
        "A small convolutional network learns the parity of digits from training sets of growing "
        "size, by ADAM, in the feature and in the lazy regime. The thesis quotes learning curves "
        "with exponents near 1/2 and 1/3."
    )
    sources = ("Paper II, Fig. 8, right",)
    version = 1
    Parameters = CnnCurvesParameters
    profiles = {  # noqa: RUF012
        "smoke": CnnCurvesParameters(
            digits="mnist-sample", channels=2, sizes=(20, 40), steps=20, n_test=100, seeds=2
        ),
        "quick": CnnCurvesParameters(
            channels=4, sizes=(50, 100, 200), steps=200, n_test=2000, seeds=2
        ),
        "overnight": CnnCurvesParameters(
            channels=8, sizes=(50, 100, 200, 400, 800), steps=1000, n_test=3000, seeds=3
        ),
        "paper": CnnCurvesParameters(
            channels=50,
            sizes=(50, 100, 200, 400, 800, 1600, 3200, 6400),
            steps=50_000,
            n_test=50_000,
            seeds=10,
        ),
    }
    claims = CLAIMS

    def points(self, p: CnnCurvesParameters) -> Iterator[dict[str, Any]]:
        from symscape.datasets import resolve

        source = resolve(p.digits)
        if p.sizes[-1] + p.n_test > source.n:
            raise ValueError(
                f"{p.sizes[-1] + p.n_test} images are asked for, and {source.name} has {source.n}"
            )
        regimes = [{"regime": name, "tilde_alpha": getattr(p, name)} for name in REGIMES]
        return lab.grid(
            p.seeds, source=source.pinned, regime=regimes, P=p.sizes, h=p.channels, steps=p.steps,
            n_test=p.n_test,
        )  # fmt: skip

    def cost(self, point: dict[str, Any]) -> float:
        return 1 + float(point["steps"] * (2e-3 + 6e-4 * point["h"]))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.datasets import binary_images
        from symscape.experiments.learning_regimes._adam import UNFITTED, convolutional, train

        P, seed = point["P"], point["seed"]
        split = binary_images(
            point["source"], P, seed, n_test=point["n_test"], as_images=True, dtype=torch.float32
        )
        model = convolutional(split, point["h"], 4, seed)
        alpha = point["tilde_alpha"] / math.sqrt(point["h"])
        run = train(model, split, alpha, point["steps"], seed)
        fits = run.n_delta < UNFITTED * P or run.n_delta == 0
        return {
            "error": run.test_error if fits else math.nan,
            "unsatisfied": run.n_delta / P,
            "taken": run.steps,
        }

    def figures(self, table: Table, p: CnnCurvesParameters) -> list[Figure]:
        figure = Figure(
            "learning-curves",
            "Learning curves of a CNN on MNIST",
            "Test error, geometric mean over seeds, of the networks that fit. Dashed: the thesis's "
            "exponents, 1/2 in the feature and 1/3 in the lazy regime, through the smallest P.",
            Axis("training points P", log=True),
            Axis("test error", log=True),
            claims=("ch3.ii.fig8.cnn-exponents",),
        )
        for place, (regime, beta) in enumerate(REGIMES.items()):
            rows = table.where(regime=regime) if table else table
            figure.curves(rows, "P", "error", name=regime, geometric=True, group=place)
            curve = figure.series[-1] if rows else None
            if curve is not None and len(curve.x):
                line = curve.y[0] * (curve.x / curve.x[0]) ** -beta
                figure.thesis(f"P^(-{beta:.2f}), {regime}", curve.x, line)
        return [figure]

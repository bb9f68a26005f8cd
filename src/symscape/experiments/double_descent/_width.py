"""Nets of many widths: test error, fluctuations, norms (Figs. 2, 5, 6 and 7, Sec. 7)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.double_descent._parity_nets import (
    Depth,
    Dimension,
    Patterns,
    Width,
    network,
    pinned,
    split,
    trained,
    training_cost,
)
from symscape.experiments.double_descent._width_claims import CLAIMS
from symscape.experiments.double_descent._width_figures import figures
from symscape.lab import Figure, Table

ON_TRAIN = 500
"""Training patterns on which the outputs are kept."""


class WidthParameters(lab.Parameters):
    curves: tuple[tuple[str, Depth, Patterns], ...] = Field(
        min_length=1,
        description="data, L and P of each curve; auto: all of MNIST if found, else the sample",
    )
    d: Dimension = Field(default=10, description="input dimension (principal components)")
    widths: tuple[Width, ...] = Field(
        min_length=3, description="widths h of L = 3; of other depths those with as many weights"
    )
    seeds: int = Field(ge=2, description="initializations")
    steps: int = Field(ge=64, description="ADAM steps, unless the training set is fitted before")
    rate: float = Field(
        gt=0, le=1, default=1e-3, description="largest ADAM rate; it is 0.1 h^(-1.5) if smaller"
    )
    n_test: int = Field(ge=50, description="test patterns")


@lab.register
class DoubleDescentWidth(lab.Experiment):
    """Ch. 2b, Figs. 2, 5, 6, 7 and Sec. 7."""

    name = "double-descent-width"
    chapter = "2"
    title = "Test error, fluctuations and norms against the number of parameters"
    summary = (
        "Nets of three hidden layers and many widths learn the parity of digits from ten principal "
        "components, each width from many initializations. At N* they just fit the training set: "
        "there the norm of the output, its fluctuations and the test error are largest. Beyond, "
        "the fluctuations decay as N^(-1/4) and what they add to the error as N^(-1/2); the mean "
        "output of many nets hardly depends on N."
    )
    sources = (
        "Ch. 2b, Fig. 2",
        "Ch. 2b, Fig. 5",
        "Ch. 2b, Fig. 6",
        "Ch. 2b, Fig. 7",
        "Ch. 2b, Sec. 7",
    )
    version = 1
    Parameters = WidthParameters
    profiles = {  # noqa: RUF012
        "smoke": WidthParameters(
            curves=(("mnist-sample", 3, 60),),
            widths=(1, 2, 3, 5, 8, 12, 20),
            seeds=3,
            steps=640,
            rate=3e-3,
            n_test=200,
        ),
        "quick": WidthParameters(
            curves=(("auto", 3, 500),),
            widths=(4, 6, 7, 8, 9, 10, 12, 14, 18, 24, 34, 48, 64),
            seeds=8,
            steps=8000,
            n_test=4000,
        ),
        "overnight": WidthParameters(
            curves=(("auto", 3, 2000), ("auto", 3, 500), ("fashion-mnist", 3, 500)),
            widths=(3, 4, 6, 8, 9, 10, 11, 12, 14, 17, 20, 25, 34, 48, 66, 90),
            seeds=20,
            steps=24_000,
            n_test=4000,
        ),
        "paper": WidthParameters(
            curves=(("mnist", 5, 10_000),),
            widths=(
                *(9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 40, 45, 50),
                *(57, 70, 90, 120, 180, 280, 450, 700, 1100, 1700),
            ),
            seeds=20,
            steps=2_000_000,
            rate=1e-4,
            n_test=50_000,
        ),
    }
    claims = CLAIMS

    def points(self, p: WidthParameters) -> Iterator[dict[str, Any]]:
        from symscape.datasets import available

        # A data set that is missing is left out; where all are, an error says so.
        found = available({source: source for source, *_ in p.curves})
        nets = [
            {"data": pinned(source, P + p.n_test), "L": L, "P": P, "h": _width(h, p.d, L)}
            for source, L, P in p.curves
            if source in found
            for h in p.widths
        ]
        # For Fig. 7B: the whole time over powers of 4.
        times = [[p.steps // divisor for divisor in (64, 16, 4, 1)]]
        return lab.grid(
            p.seeds, net=nets, d=p.d, steps=p.steps, times=times, rate=p.rate, n_test=p.n_test
        )

    def cost(self, point: dict[str, Any]) -> float:
        return 0.05 + training_cost(point, threshold=1.6 * point["P"] ** 0.75)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.dynamics import Record, input_gradient_norm

        net = network(point)
        record = Record(16, every=point["times"][0], observables=("output_norm",))
        x, y, x_test, y_test, _ = split(point)
        result = trained(point, x, y, point["seed"], test=(x_test, y_test), record=record)
        # The last line of the history at each time; a net that has fitted changes no more.
        at = np.searchsorted(result.history["step"], point["times"], side="right") - 1
        f, f_test = net(result.w, x), net(result.w, x_test)
        return {
            "n_weights": net.n_weights,
            "fitted": result.status == "converged",
            "steps_taken": result.steps,
            "loss": result.loss,
            "n_delta": result.n_delta,
            "silent": bool(f.max() - f.min() < 1e-6),
            "best_test_error": result.best_test_error,
            "margin_test": (y_test * f_test).numpy(),
            "margin_train": (y * f)[:ON_TRAIN].numpy(),
            "gradient_norm": input_gradient_norm(net, result.w, x_test).numpy(),
            "norm_test": result.history["test_output_norm"][at] ** 2,
            "norm_train": result.history["output_norm"][at] ** 2,
        }

    def figures(self, table: Table, p: WidthParameters) -> list[Figure]:
        return figures(table)


def _width(h: float, d: int, L: int) -> float:
    """The width at which L layers have the weights of three layers of width h, to a quarter."""
    from symscape.networks import width_from_weights

    if L == 3:
        return h
    return max(1.0, math.floor(4 * width_from_weights(d * h + 2 * h**2 + h, d, L) + 0.5) / 4)

"""The test error against the number of parameters: Fig. 3B of the introduction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance

DATA = "mnist-sample"
"""Odd against even digits, from the sample that ships with the package."""


class OverparametrizationParameters(lab.Parameters):
    P: int = Field(ge=20, le=5000, default=300, description="training images")
    components: tuple[Annotated[int, Field(ge=1, le=784)], ...] = Field(
        min_length=3, description="principal components that the linear classifier sees"
    )
    d: int = Field(ge=2, le=100, default=10, description="components that the networks see")
    widths: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(
        min_length=3, description="widths h of the networks' hidden layer"
    )
    steps: int = Field(ge=1, le=10**6, default=5000, description="largest number of ADAM steps")
    n_test: int = Field(ge=2, le=10_000, default=4000, description="test images")
    seeds: int = Field(ge=1, le=1000, description="draws of images and weights")


def compared(table: Table, above: int, below: int) -> Estimate:
    """Error with ``above`` parameters over that with ``below``, paired by seed."""
    errors = [table.where(N=N).per_seed("test_error") for N in (above, below)]
    if len(errors[0]) != len(errors[1]):
        raise NoEstimate("Some seeds are not finished.")
    found = scaling.geometric_mean(errors[0] / errors[1])
    return found.noted(f"N = {above} over N = {below}.")


def usual(table: Table, p: OverparametrizationParameters) -> Estimate:
    linear = table.where(model="linear")
    means = {N: rows.column("test_error").mean() for (N,), rows in linear.groups("N")}
    best = min(means, key=lambda N: means[N], default=0)
    return compared(linear, max(means, default=0), best)


def observed(table: Table, p: OverparametrizationParameters) -> Estimate:
    networks = table.where(model="network")
    fitting = [N for (N,), rows in networks.groups("N") if rows.column("fitted").mean() > 0.5]
    if len(fitting) < 2:
        raise NoEstimate("Fewer than two widths fit the training set.")
    return compared(networks, fitting[-1], fitting[0])


CLAIMS = (
    Claim(
        "ch0.fig3b.usual",
        "Introduction, Fig. 3B, blue",
        "Usually the test error rises again where the number of parameters nears the one with "
        "which all data can be fitted.",
        "> 1",
        Tolerance.at_least(
            1.2, "error of the linear classifier with N = P over its smallest; a clear rise"
        ),
        usual,
    ),
    Claim(
        "ch0.fig3b.observed",
        "Introduction, Fig. 3B, green, and Sec. 0.4.2",
        "Deep learning improves with more parameters even where the data are perfectly fitted.",
        "< 1",
        Tolerance.at_most(1.0, "error of the widest network over that of the first one that fits"),
        observed,
    ),
)


@lab.register
class Overparametrization(lab.Experiment):
    """Introduction, Fig. 3B."""

    name = "introduction-overparametrization"
    chapter = "0"
    title = "More parameters than data"
    summary = (
        "Odd and even digits, few of them, are learned by a linear classifier of more and more "
        "principal components and by networks of growing width. The linear one has its best test "
        "error long before it fits all images, and fails where it does; networks get better "
        "beyond that point."
    )
    sources = ("Introduction, Fig. 3B", "Introduction, Sec. 0.4.2")
    version = 1
    Parameters = OverparametrizationParameters
    profiles = {  # noqa: RUF012
        "smoke": OverparametrizationParameters(
            P=60, components=(5, 20, 60), widths=(2, 16, 64), n_test=500, seeds=2
        ),
        "quick": OverparametrizationParameters(
            components=(2, 5, 10, 20, 40, 80, 120, 160, 200, 250, 300),
            widths=(2, 4, 8, 16, 32, 64, 128),
            seeds=4,
        ),
        "overnight": OverparametrizationParameters(
            components=(2, 5, 10, 20, 40, 80, 120, 160, 200, 250, 300),
            widths=(2, 4, 6, 8, 12, 16, 32, 64, 128),
            seeds=10,
        ),
        "paper": OverparametrizationParameters(
            P=700,
            components=(2, 5, 10, 20, 40, 80, 160, 250, 350, 450, 550, 650, 700),
            widths=(2, 4, 8, 12, 16, 24, 32, 64, 128, 256, 512),
            steps=50_000,
            seeds=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: OverparametrizationParameters) -> Iterable[dict[str, Any]]:
        shared = {"P": p.P, "n_test": p.n_test, "data": DATA}
        yield from lab.grid(p.seeds, model="linear", **shared, d=p.components, h=0, steps=0)
        yield from lab.grid(p.seeds, model="network", **shared, d=p.d, h=p.widths, steps=p.steps)

    def cost(self, point: dict[str, Any]) -> float:
        return 0.1 + 1e-8 * point["steps"] * point["P"] * (point["h"] + 10)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.datasets import mnist_parity
        from symscape.dynamics import Adam, Hinge, Record, Stop, misclassified, train
        from symscape.networks import FullyConnected

        data = mnist_parity(
            point["P"], point["d"], point["seed"], point["data"], n_test=point["n_test"]
        )
        x, y, x_test, y_test, _ = data
        if point["model"] == "linear":
            w = torch.linalg.lstsq(x, y.unsqueeze(1), driver="gelsd").solution
            train_error, test_error = (
                float(misclassified((u @ w).squeeze(1), t).double().mean())
                for u, t in ((x, y), (x_test, y_test))
            )
            return {"N": point["d"], "test_error": test_error, "fitted": train_error == 0}
        net = FullyConnected(
            d=point["d"], h=point["h"], L=1, parametrization="ntp", normalized=True
        )
        state = np.random.SeedSequence([point["seed"], point["h"]]).generate_state(1)
        run = train(
            net,
            net.initial_weights(int(state[0])),
            x,
            y,
            loss=Hinge(),
            integrator=Adam(lr=0.02),
            stop=Stop(max_steps=point["steps"]),
            test=(x_test, y_test),
            record=Record(per_decade=0, every=None),
        )
        fitted = run.status == "converged"
        return {"N": net.n_weights, "test_error": run.test_error, "fitted": fitted}

    def figures(self, table: Table, p: OverparametrizationParameters) -> list[Figure]:
        figure = Figure(
            "test-error",
            "The test error against the number of parameters",
            f"{p.P} digits, odd or even. Blue: least squares on N principal components, whose "
            f"error rises until it fits at N = P. Then networks of N weights on {p.d} components; "
            "from the grey line on they fit all images. Fig. 3B sketches both curves.",
            Axis("number of parameters N", log=True),
            Axis("test error", log=True),
            claims=("ch0.fig3b.usual", "ch0.fig3b.observed"),
        )
        figure.curves(table, "N", "test_error", "model", name="{model}")
        fits = [row["N"] for row in table.where(model="network") if row["fitted"]]
        if fits:
            figure.guide("networks fit", [min(fits)] * 2, [0.1, 0.5])
        return [figure]

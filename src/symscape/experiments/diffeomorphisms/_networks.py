"""Trained classifiers: Fig. 3 to 6, 11 and 13 to 22, Table 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from symscape import lab
from symscape.experiments.diffeomorphisms import _network_figures as figures
from symscape.experiments.diffeomorphisms._measure import (
    PAPER,
    THESIS_NETS,
    TrainingParameters,
    available,
    beyond_default,
)
from symscape.experiments.diffeomorphisms._network_claims import CLAIMS
from symscape.lab import Figure, Table

SMALL_NETS = ("fc-l2", "fc-l4", "lenet", "alexnet", "vgg11-bn", "resnet10")
PAPER_SIZES = (512, 1024, 2048, 4096, 8192, 16_384, 32_768, 50_000)

DataName = Literal["mnist", "mnist-sample", "fashion-mnist", "cifar10"]


class NetworksParameters(TrainingParameters):
    datasets: tuple[DataName, ...] = Field(
        min_length=1, description="data sets; those that are not found are left out"
    )
    nets: tuple[str, ...] = Field(min_length=1, description="names that symscape.diffeo.zoo knows")
    sizes: tuple[Annotated[int, Field(ge=32, le=50_000)], ...] = Field(
        min_length=1, description="sizes P of the training subsets"
    )
    steps: int = Field(ge=1, description="gradient steps, the same for every P")
    color_steps: int = Field(ge=1, description="the same for CIFAR-10")
    fashion_sizes: tuple[Annotated[int, Field(ge=32, le=50_000)], ...] = Field(
        default=(512, 8192), min_length=1, description="sizes P for Fashion-MNIST"
    )
    fashion_steps: int = Field(default=800, ge=1, description="gradient steps for Fashion-MNIST")
    seeds: int = Field(ge=1, description="networks and subsets")


@lab.register
class Networks(lab.Experiment):
    """Ch. 4, Fig. 3 to 6, 11 and 13 to 22, Table 2."""

    name = "diffeo-networks"
    chapter = "4"
    title = "Relative stability of trained networks"
    summary = (
        "Classifiers from fully connected to residual ones are trained on subsets of P images. "
        "How much do their outputs change when an image is deformed, compared with noise of the "
        "same norm? At initialization the two are alike; what training makes of it depends on the "
        "architecture, and goes along with the test error."
    )
    sources = ("Ch. 4, Fig. 3-6, 11, 13-22", "Ch. 4, Table 2")
    version = 1
    Parameters = NetworksParameters
    profiles = {  # noqa: RUF012
        "smoke": NetworksParameters(
            datasets=("mnist-sample",),
            nets=("fc-l2", "lenet", "vgg11-bn"),
            width=1 / 32,
            sizes=(64, 128),
            steps=10,
            color_steps=10,
            batch_size=32,
            evaluations=1,
            probes=40,
            seeds=1,
        ),
        "quick": NetworksParameters(
            datasets=("mnist",),
            nets=("fc-l4", "lenet", "vgg11-bn"),
            width=1 / 16,
            sizes=(512, 2048),
            steps=200,
            color_steps=200,
            seeds=2,
        ),
        "overnight": NetworksParameters(
            datasets=("mnist", "fashion-mnist", "cifar10"),
            nets=SMALL_NETS,
            sizes=(512, 2048, 8192),
            steps=1500,
            color_steps=3000,
            seeds=2,
        ),
        "paper": NetworksParameters(
            datasets=("mnist", "fashion-mnist", "cifar10"),
            nets=THESIS_NETS,
            sizes=PAPER_SIZES,
            steps=100_000,
            color_steps=100_000,
            fashion_sizes=PAPER_SIZES,
            fashion_steps=100_000,
            seeds=5,
            **PAPER,
        ),
    }
    claims = CLAIMS

    def points(self, p: NetworksParameters) -> Iterator[dict[str, Any]]:
        for name, data in available(p.datasets).items():
            sizes = p.fashion_sizes if name == "fashion-mnist" else p.sizes
            steps = {"cifar10": p.color_steps, "fashion-mnist": p.fashion_steps}
            yield from lab.grid(
                p.seeds,
                data=data,
                net=p.nets,
                size=[{"P": P, "full": max(sizes) == P} for P in sizes],
                width=p.width,
                steps=steps.get(name, p.steps),
                batch_size=p.batch_size,
                learning_rate=p.learning_rate,
                evaluations=p.evaluations,
                probes=p.probes,
                **beyond_default(p.test_images),
            )

    def cost(self, point: dict[str, Any]) -> float:
        net = point["net"]
        slow = {"fc": 0.3, "lenet": 1.0, "alexnet": 1.2, "vgg": 2.5, "resnet": 4.0}
        factor = next((value for name, value in slow.items() if net.startswith(name)), 10.0)
        if not net.startswith(("fc", "lenet")):
            factor *= (8 * point["width"]) ** 2
        step = 2.5e-4 * point["batch_size"] * factor
        probes = point["probes"] * (0.02 if point["full"] else 0.002)
        return float(point["steps"] * step + probes)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.experiments.diffeomorphisms._measure import measure_network

        return measure_network(point)

    def figures(self, table: Table, p: NetworksParameters) -> list[Figure]:
        return figures.draw(table)

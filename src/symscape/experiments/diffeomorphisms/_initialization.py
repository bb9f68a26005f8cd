"""The thesis's networks before training, at their full width: Table 1, Fig. 3, 4 and 11."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.experiments.diffeomorphisms._measure import (
    NOISE_NORMS,
    SMALL_NOISE,
    THESIS_NETS,
    available,
    images_of,
)
from symscape.lab import Axis, Claim, Estimate, Figure, Row, Table, Tolerance

TABLE_1 = {
    "fc-l2": (2, 2e5, 1e5),
    "fc-l4": (4, 2e5, 1e5),
    "fc-l6": (6, 2e5, 1e5),
    "lenet": (5, 62e3, 1e3),
    "alexnet": (8, 23e6, 1e6),
    "vgg11": (11, 9e6, 1e6),
    "vgg19": (19, 20e6, 1e6),
    "resnet18": (18, 11e6, 1e6),
    "resnet50": (50, 24e6, 1e6),
    "efficientnet-b0": (18, 5e6, 1e6),
}
"""Depth, number of parameters, and the unit of its last digit, where Table 1 prints them for one
network; it has ranges for VGG and ResNet."""


class InitializationParameters(lab.Parameters):
    dataset: Literal["mnist", "mnist-sample", "fashion-mnist", "cifar10"] = Field(
        default="cifar10", description="data set"
    )
    nets: tuple[str, ...] = Field(
        default=THESIS_NETS, min_length=1, description="names that symscape.diffeo.zoo knows"
    )
    noise_nets: tuple[str, ...] = Field(
        default=("fc-l4", "lenet", "resnet18", "efficientnet-b0"),
        description="those whose response to noise is measured in double precision",
    )
    probes: int = Field(ge=20, default=60, description="test images of the stability probes")
    seeds: int = Field(ge=1, description="networks of each kind")


def _table_1(
    wanted: Callable[[str], bool], deviation: Callable[[Row, Any], float], note: str = ""
) -> Callable[[Table, Any], dict[str, Estimate]]:
    """The answer that is the deviation of each network from what Table 1 prints of it."""
    return lambda table, p: {
        row["net"]: Estimate(deviation(row, TABLE_1[row["net"]]), note=note)
        for row in table.select(lambda row: row["net"] in TABLE_1 and wanted(row["net"]))
    }


def _parameters(row: Row, printed: tuple[int, float, float]) -> float:
    """In units of the last digit that is printed."""
    return float(abs(row["n_parameters"] - printed[1]) / printed[2])


def _is_b0(net: str) -> bool:
    return net == "efficientnet-b0"


def _stability(table: Table, p: InitializationParameters) -> dict[str, Estimate]:
    return {net: scaling.geometric_mean(rows.per_seed("R")) for (net,), rows in table.groups("net")}


def _noise_exponents(table: Table, p: InitializationParameters) -> dict[str, Estimate]:
    noisy = table.select(lambda row: "G_noise" in row)
    few = len(SMALL_NOISE)
    return {
        net: scaling.slope(SMALL_NOISE, [row["G_noise"][:few] for row in rows])
        for (net,), rows in noisy.groups("net")
    }


CLAIMS = (
    Claim(
        "ch4.fig3.init-full-width",
        "Ch. 4, Fig. 3 center and Fig. 4",
        "At initialization the relative stability of every one of the thesis's networks is about "
        "1, at its full width.",
        1.0,
        Tolerance(0.4, 2.5, "log-average over seeds; order one"),
        _stability,
    ),
    Claim(
        "ch4.fig11.init",
        "Ch. 4, Fig. 11",
        "At initialization G_f grows like the square of the norm of small noise: its exponent.",
        2.0,
        Tolerance(1.95, 2.05, "+- 0.05, for norms up to 0.1"),
        _noise_exponents,
    ),
    Claim(
        "ch4.table1.parameters",
        "Ch. 4, Table 1",
        "The numbers of parameters are those of Table 1, rounded as there: the deviation in units "
        "of the last digit, all networks but EfficientNet.",
        "equal",
        Tolerance.at_most(0.5, "rounding"),
        _table_1(lambda net: not _is_b0(net), _parameters),
        kind="exact",
    ),
    Claim(
        "ch4.table1.depth",
        "Ch. 4, Table 1",
        "The depths, layers with weights that are no shortcuts, are those of Table 1, all networks "
        "but EfficientNet: the deviation.",
        "equal",
        Tolerance.at_most(0.0, "integers"),
        _table_1(
            lambda net: not _is_b0(net),
            lambda row, printed: abs(row["depth"] - printed[0]),
            "VGG nets are named after three fully connected layers, of which Table 1 has one.",
        ),
        kind="exact",
    ),
    Claim(
        "ch4.table1.efficientnet",
        "Ch. 4, Table 1",
        "EfficientNetB0 has 5 million parameters: the deviation in millions.",
        "equal",
        Tolerance.at_most(0.5, "rounding"),
        _table_1(_is_b0, _parameters, "The 5 million are those of the network for ImageNet."),
        kind="exact",
    ),
)


@lab.register
class Initialization(lab.Experiment):
    """Ch. 4, Table 1, and the initial networks of Fig. 3, 4 and 11."""

    name = "diffeo-initialization"
    chapter = "4"
    title = "Networks before training"
    summary = (
        "The fifteen networks of the thesis at their full width, freshly initialized: how large "
        "they are, whether deformations change their outputs as much as noise does, and how this "
        "grows with the noise."
    )
    sources = ("Ch. 4, Fig. 3 center, 4 and 11", "Ch. 4, Table 1")
    version = 1
    Parameters = InitializationParameters
    profiles = {  # noqa: RUF012
        "smoke": InitializationParameters(
            dataset="mnist-sample", nets=("fc-l4", "lenet", "efficientnet-b0"), probes=20, seeds=2
        ),
        "quick": InitializationParameters(
            dataset="mnist", nets=("fc-l4", "lenet", "vgg11-bn", "efficientnet-b0"), seeds=2
        ),
        "overnight": InitializationParameters(seeds=3),
        "paper": InitializationParameters(probes=500, seeds=5),
    }
    claims = CLAIMS

    def points(self, p: InitializationParameters) -> Iterator[dict[str, Any]]:
        nets = [{"net": net, "noise": net in p.noise_nets} for net in p.nets]
        for data in available((p.dataset,)).values():
            yield from lab.grid(p.seeds, data=data, net=nets, probes=p.probes)

    def cost(self, point: dict[str, Any]) -> float:
        slow = {"resnet50": 18.0, "resnet34": 10.0, "resnet18": 4.0}
        images = slow.get(point["net"], 2.0) * point["probes"] / 60
        return images * (8 if point["noise"] else 1)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.diffeo import MaximumEntropy, noise_response, relative_stability
        from symscape.diffeo.zoo import build, n_parameters

        x = images_of(point["data"]).test[0][: point["probes"]]
        channels, n = x.shape[1:3]
        model = build(point["net"], channels, n, seed=point["seed"]).eval()
        [found] = relative_stability(
            model,
            x,
            MaximumEntropy.from_displacement(1.0, 3, n),
            batch_size=len(x),
            statistics="batch",
            seed=point["seed"],
        )
        printed = build(point["net"])  # for the images of Table 1, whatever those here are
        weights = [
            name
            for name, parameter in printed.named_parameters()
            if parameter.ndim > 1 and "shortcut" not in name
        ]
        out: dict[str, Any] = {
            "R": found.R,
            "n_parameters": n_parameters(printed),
            "depth": len(weights),
        }
        if point["noise"]:
            few = x[: len(x) // 3]
            out["G_noise"] = noise_response(model, few, NOISE_NORMS, statistics="batch").numpy()
        return out

    def figures(self, table: Table, p: InitializationParameters) -> list[Figure]:
        names = ", ".join(f"{k} {net}" for k, net in enumerate(p.nets))
        before = Figure(
            "before-training",
            "Relative stability before training",
            "R_f at c = 3 and a displacement of one pixel, at initialization, log-average over "
            f"seeds (Fig. 3 center and 4). Networks: {names}.",
            Axis("network"),
            Axis("R_f", log=True),
            claims=("ch4.fig3.init-full-width",),
        )
        before.curves(
            table,
            lambda row: p.nets.index(row["net"]),
            "R",
            name="at initialization",
            geometric=True,
            mode="markers",
        )
        before.guide("as stable as to noise", [-0.5, len(p.nets) - 0.5], [1.0, 1.0])
        noise = Figure(
            "noise",
            "Response to noise before training",
            "G_f of networks at initialization against the norm of the noise (Fig. 11). Grey: the "
            "square.",
            Axis("|eta|", log=True),
            Axis("G_f", log=True),
            claims=("ch4.fig11.init",),
        )
        noisy = table.select(lambda row: "G_noise" in row)
        noise.curves(noisy, lambda row: NOISE_NORMS, "G_noise", "net", name="{net}", geometric=True)
        for row in noisy.rows[:1]:
            square = row["G_noise"][0] * (np.array(SMALL_NOISE) / SMALL_NOISE[0]) ** 2
            noise.guide("slope 2", SMALL_NOISE, square)
        return [before, noise]

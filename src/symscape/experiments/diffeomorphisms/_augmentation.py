"""Training with deformed images: Fig. 12."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.diffeomorphisms._estimates import NO_RUN
from symscape.experiments.diffeomorphisms._measure import (
    CUTOFFS,
    HELD_OUT,
    available,
    beyond_default,
)
from symscape.lab import Axis, Claim, Figure, Finding, Table, Tolerance

ARMS = ("none", "translation", "diffeo")
"""Augmentations: none, by up to four pixels, by fields of c = 1 and T = 0.01."""


class AugmentationParameters(lab.Parameters):
    dataset: Literal["mnist", "mnist-sample", "fashion-mnist", "cifar10"] = Field(
        default="mnist", description="data set"
    )
    net: str = Field(default="resnet10", description="a name that symscape.diffeo.zoo knows")
    width: float = Field(gt=0, le=1, default=1 / 8, description="width over the thesis's")
    P: int = Field(ge=32, le=50_000, description="training images")
    steps: int = Field(ge=1, description="gradient steps")
    batch_size: int = Field(ge=1, default=64, description="images per step")
    learning_rate: float = Field(gt=0, default=0.03, description="rate of SGD at the start")
    evaluations: int = Field(ge=1, default=3, description="looks at the validation error")
    probes: int = Field(ge=20, default=300, description="test images of the stability probes")
    test_images: int = Field(
        ge=100, le=9000, default=HELD_OUT, description="test images of the error"
    )
    seeds: int = Field(ge=1, description="trainings of each kind")


CLAIMS = (
    Claim(
        "ch4.fig12.diffeo",
        "Ch. 4, Fig. 12",
        "Training with deformed images makes a network a little more stable: R_f with over R_f "
        "without them, c = 3.",
        "below 1",
        Tolerance(0.1, 1.0, "smaller, but of the same order of magnitude"),
    ),
    Claim(
        "ch4.fig12.translation",
        "Ch. 4, Fig. 12",
        "Training with translations changes R_f by less than an order of magnitude.",
        "small effect",
        Tolerance(0.1, 10.0, "one order of magnitude, c = 3"),
    ),
    Claim(
        "ch4.fig12.below-init",
        "Ch. 4, Fig. 12",
        "With every augmentation R_f after training is well below that at initialization: the "
        "largest ratio of the three.",
        "well below 1",
        Tolerance(0.0, 0.6, "the bound of Fig. 3 for narrow networks and short training"),
    ),
)


@lab.register
class Augmentation(lab.Experiment):
    """Ch. 4, Fig. 12."""

    name = "diffeo-augmentation"
    chapter = "4"
    title = "Training with deformed images"
    summary = (
        "Is a network stable to deformations because it was shown deformed images? A residual "
        "network is trained with plain images, with translated ones, and with deformed ones; its "
        "relative stability is measured in the same way each time."
    )
    sources = ("Ch. 4, Fig. 12",)
    version = 1
    Parameters = AugmentationParameters
    profiles = {  # noqa: RUF012
        "smoke": AugmentationParameters(
            dataset="mnist-sample",
            net="resnet10",
            width=1 / 32,
            P=64,
            steps=5,
            batch_size=16,
            evaluations=1,
            probes=30,
            seeds=1,
        ),
        "quick": AugmentationParameters(net="vgg11-bn", width=1 / 16, P=1024, steps=150, seeds=2),
        "overnight": AugmentationParameters(P=4096, steps=200, seeds=5),
        "paper": AugmentationParameters(
            dataset="cifar10",
            net="resnet18",
            width=1.0,
            P=50_000,
            steps=100_000,
            batch_size=128,
            learning_rate=0.1,
            evaluations=250,
            probes=500,
            test_images=9000,
            seeds=5,
        ),
    }
    claims = CLAIMS

    def points(self, p: AugmentationParameters) -> list[dict[str, Any]]:
        fixed = p.model_dump(exclude={"dataset", "seeds", "test_images"})
        fixed |= beyond_default(p.test_images)
        return [
            {"data": data, **fixed, "arm": arm, "seed": seed}
            for data in available((p.dataset,)).values()
            for arm in ARMS
            for seed in range(p.seeds)
        ]

    def cost(self, point: dict[str, Any]) -> float:
        return 1e-3 * point["steps"] * point["batch_size"] * (8 * point["width"]) ** 2

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.diffeo import MaximumEntropy, error_rate, relative_stability
        from symscape.diffeo.zoo import build
        from symscape.experiments.diffeomorphisms._measure import images_of, train

        images = images_of(point["data"], point.get("test_images", HELD_OUT))
        channels, n = images.test[0].shape[1:3]
        model = build(point["net"], channels, n, width=point["width"], seed=point["seed"])

        def probed(statistics: Any) -> np.ndarray:
            return np.array(
                [
                    relative_stability(
                        model,
                        images.test[0],
                        MaximumEntropy.from_displacement(1.0, c, n, outside="allow"),
                        count=point["probes"],
                        batch_size=point["probes"],
                        statistics=statistics,
                        seed=point["seed"],
                    )[-1].R
                    for c in CUTOFFS
                ]
            )

        before = probed("batch")
        fitted = train(model, images, point)
        return {
            "init_R": before,
            "R": probed("running"),
            "test_error": error_rate(model, *images.test),
            "train_error": fitted.train_error,
            "loss": fitted.loss,
        }

    def analyse(self, table: Table, p: AugmentationParameters) -> list[Finding]:
        from symscape.scaling import cluster_bootstrap

        by_seed = [
            {row["arm"]: row for row in rows}
            for _, rows in table.groups("seed")
            if len(rows) == len(ARMS)
        ]
        if not by_seed:
            return [Finding(claim.id, None, note=NO_RUN) for claim in CLAIMS]

        def finding(claim: str, log_ratio: Any) -> Finding:
            found = cluster_bootstrap(
                lambda logs: float(np.exp(np.mean(logs))), [log_ratio(arms) for arms in by_seed]
            )
            return Finding(claim, found.value, found.error, runs=table.keys)

        def against_none(arm: str) -> Any:
            return lambda arms: np.log(arms[arm]["R"][0] / arms["none"]["R"][0])

        return [
            finding("ch4.fig12.diffeo", against_none("diffeo")),
            finding("ch4.fig12.translation", against_none("translation")),
            finding(
                "ch4.fig12.below-init",
                lambda arms: max(np.log(row["R"][0] / row["init_R"][0]) for row in arms.values()),
            ),
        ]

    def figures(self, table: Table, p: AugmentationParameters) -> list[Figure]:
        figure = Figure(
            "augmentation",
            "Relative stability after training with augmentation",
            "R_f at a displacement of one pixel for three cut-offs (Fig. 12), log-average over "
            "trainings. Line: at initialization.",
            Axis("cut-off c", log=True),
            Axis("R_f", log=True),
        )
        for arm in ARMS:
            logs = np.log([row["R"] for row in table if row["arm"] == arm])
            if not len(logs):
                continue
            mean = np.exp(logs.mean(0))
            error = mean * logs.std(0, ddof=1) / np.sqrt(len(logs)) if len(logs) > 1 else None
            figure.measured(arm, CUTOFFS, mean, y_error=error)
        if table:
            before = np.exp(np.mean(np.log([row["init_R"] for row in table]), axis=0))
            figure.guide("at initialization", CUTOFFS, before)
        return [figure]

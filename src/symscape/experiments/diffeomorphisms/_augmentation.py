"""Training with deformed images: Fig. 12."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.experiments.diffeomorphisms._measure import (
    CUTOFFS,
    HELD_OUT,
    PAPER,
    TrainingParameters,
    available,
    beyond_default,
)
from symscape.lab import Axis, Claim, Estimate, Figure, Table, Tolerance

ARMS = ("none", "translation", "diffeo")
"""Augmentations: none, by up to four pixels, by fields of c = 1 and T = 0.01."""


class AugmentationParameters(TrainingParameters):
    dataset: Literal["mnist", "mnist-sample", "fashion-mnist", "cifar10"] = Field(
        default="mnist", description="data set"
    )
    net: str = Field(default="resnet10", description="a name that symscape.diffeo.zoo knows")
    P: int = Field(ge=32, le=50_000, description="training images")
    steps: int = Field(ge=1, description="gradient steps")
    seeds: int = Field(ge=1, description="trainings of each kind")


def _over_none(arm: str) -> Callable[[Table, Any], dict[str, Estimate]]:
    """The answer that is R_f with an augmentation over that of the same seed without one."""

    def answer(table: Table, p: AugmentationParameters) -> dict[str, Estimate]:
        R = {
            name: {row["seed"]: row["R"] for row in table.where(arm=name)} for name in ("none", arm)
        }
        both = [R[arm][seed] / R["none"][seed] for seed in R[arm] if seed in R["none"]]
        return {
            f"c = {c}": scaling.geometric_mean([ratio[k] for ratio in both])
            for k, c in enumerate(CUTOFFS)
        }

    return answer


def _over_initial(table: Table, p: AugmentationParameters) -> dict[str, Estimate]:
    """R_f after training over that before, by augmentation and cut-off."""
    return {
        f"{arm}, c = {c}": scaling.geometric_mean([row["R"][k] / row["init_R"][k] for row in rows])
        for (arm,), rows in table.groups("arm")
        for k, c in enumerate(CUTOFFS)
    }


CLAIMS = (
    Claim(
        "ch4.fig12.diffeo",
        "Ch. 4, Fig. 12",
        "Training with deformed images makes a network a little more stable: R_f with over R_f "
        "without them, at every cut-off.",
        "below 1",
        Tolerance(0.1, 1.0, "smaller, but of the same order of magnitude"),
        _over_none("diffeo"),
    ),
    Claim(
        "ch4.fig12.translation",
        "Ch. 4, Fig. 12",
        "Training with translations changes R_f by less than an order of magnitude, at every "
        "cut-off.",
        "small effect",
        Tolerance(0.1, 10.0, "one order of magnitude"),
        _over_none("translation"),
    ),
    Claim(
        "ch4.fig12.below-init",
        "Ch. 4, Fig. 12",
        "With every augmentation, and without one, R_f after training is well below that at "
        "initialization: their ratio.",
        "well below 1",
        Tolerance.at_most(0.6, "the bound of Fig. 3 for narrow networks and short training"),
        _over_initial,
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
        "quick": AugmentationParameters(
            net="vgg11-bn", width=1 / 16, P=1024, steps=150, probes=300, seeds=2
        ),
        "overnight": AugmentationParameters(P=4096, steps=200, probes=300, seeds=5),
        "paper": AugmentationParameters(
            dataset="cifar10", net="resnet18", P=50_000, steps=100_000, seeds=5, **PAPER
        ),
    }
    claims = CLAIMS

    def points(self, p: AugmentationParameters) -> Iterator[dict[str, Any]]:
        fixed = p.model_dump(exclude={"dataset", "seeds", "test_images"})
        for data in available((p.dataset,)).values():
            yield from lab.grid(
                p.seeds, data=data, **fixed, **beyond_default(p.test_images), arm=ARMS
            )

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

    def figures(self, table: Table, p: AugmentationParameters) -> list[Figure]:
        figure = Figure(
            "augmentation",
            "Relative stability after training with augmentation",
            "R_f at a displacement of one pixel for three cut-offs (Fig. 12), log-average over "
            "trainings. Line: at initialization.",
            Axis("cut-off c", log=True),
            Axis("R_f", log=True),
            claims=tuple(claim.id for claim in CLAIMS),
        )
        figure.curves(
            table, lambda row: CUTOFFS, "R", "arm", name="{arm}", geometric=True, mode="markers"
        )
        if table:
            before = np.exp(np.mean(np.log([row["init_R"] for row in table]), axis=0))
            figure.guide("at initialization", CUTOFFS, before)
        return [figure]

"""One classifier: trained on a subset of images, and probed before and after."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from symscape import lab

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

AVERAGES = ("median", "median_componentwise", "mean")
"""Averages of the probes, in the order of the stored arrays."""

INTERPOLATIONS = ("bilinear", "gaussian")
"""Interpolations, in the order of the stored arrays."""

DELTAS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Nominal displacements of the curves, in pixels."""

CUTOFFS = (3, 5, 15)
"""Cut-offs of the curves."""

NOISE_NORMS = tuple(10.0**k for k in (-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2))
"""Norms of the noise of Fig. 11."""

SMALL_NOISE = tuple(norm for norm in NOISE_NORMS if norm <= 0.1)
"""The first ones, at which the response is quadratic."""

THESIS_NETS = (
    *("fc-l2", "fc-l4", "fc-l6", "lenet", "alexnet", "vgg11", "vgg16", "vgg19"),
    *("vgg11-bn", "vgg16-bn", "vgg19-bn", "resnet18", "resnet34", "resnet50", "efficientnet-b0"),
)
"""The networks of Fig. 5."""

TITLES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
"""The data sets of the chapter that can be had; the sample of MNIST counts as MNIST."""

HELD_OUT = 1000
"""Images of the validation set, and of the test set unless a profile has more."""


class TrainingParameters(lab.Parameters):
    """What all trainings of the chapter have."""

    width: float = Field(gt=0, le=1, default=1 / 8, description="width over the thesis's")
    batch_size: int = Field(ge=1, default=64, description="images per step")
    learning_rate: float = Field(gt=0, default=0.03, description="rate of SGD at the start")
    evaluations: int = Field(ge=1, default=3, description="looks at the validation error")
    probes: int = Field(ge=20, default=200, description="test images of the stability probes")
    test_images: int = Field(
        ge=100, le=9000, default=HELD_OUT, description="test images of the error"
    )


PAPER: dict[str, Any] = {
    "width": 1.0,
    "batch_size": 128,
    "learning_rate": 0.1,
    "evaluations": 250,
    "probes": 500,
    "test_images": 9000,
}
"""These parameters as the thesis has them."""


class Images(NamedTuple):
    """Normalized images and their classes: to train on, to validate with, to test."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def available(names: tuple[str, ...]) -> dict[str, str]:
    """The pinned names of the data sets that are on this machine, by name.

    Digits come from the packaged sample where MNIST itself is not found.

    Raises:
        DataNotFoundError: none of them is.
    """
    from symscape import datasets

    sources = datasets.available({name: "auto" if name == "mnist" else name for name in names})
    return {name: source.pinned for name, source in sources.items()}


def family(data: str) -> str:
    """Name of a pinned data set, the sample of MNIST under MNIST's."""
    name = data.partition("@")[0]
    return "mnist" if name == "mnist-sample" else name


def beyond_default(test_images: int) -> dict[str, int]:
    """The entry of a point for another number of test images than the usual one, which older runs
    do not name."""
    return {} if test_images == HELD_OUT else {"test_images": test_images}


@functools.lru_cache(maxsize=2)
def images_of(data: str, test_images: int = HELD_OUT) -> Images:
    """Load and normalize a data set, as App. E.1 does.

    Images that the training set leaves over test, and others of them validate: the thesis, which
    validates on its test set, tests with a few more.
    """
    import torch

    from symscape.datasets import load
    from symscape.diffeo import normalized_images

    loaded = load(data)
    # Fashion-MNIST's file does not tell the parts apart
    first = min(loaded.n_train, len(loaded.labels) - test_images - HELD_OUT)
    x = normalized_images(loaded.images, family(data))
    y = torch.from_numpy(loaded.labels.astype(np.int64))
    bounds = (0, first, first + test_images, first + test_images + HELD_OUT)
    train, test, validation = (
        (x[low:high], y[low:high]) for low, high in itertools.pairwise(bounds)
    )
    return Images(train, validation, test)


def measure_network(point: dict[str, Any]) -> dict[str, Any]:
    """Train the network of a point; its errors, and its stabilities before and after."""
    from symscape.diffeo import error_rate, noise_response
    from symscape.diffeo.zoo import build, n_parameters

    images = images_of(point["data"], point.get("test_images", HELD_OUT))
    channels, size = images.test[0].shape[1:3]
    model = build(point["net"], channels, size, width=point["width"], seed=point["seed"])
    before = _probe(model, images.test[0], point, "batch", INTERPOLATIONS[:1])
    fitted = train(model, images, point)
    after = _probe(model, images.test[0], point, "running", INTERPOLATIONS)
    if point["full"]:
        few = images.test[0][: point["probes"] // 3]
        after["G_noise"] = noise_response(model, few, NOISE_NORMS).numpy()
    return {
        "test_error": error_rate(model, *images.test),
        "train_error": fitted.train_error,
        "loss": fitted.loss,
        "kept_at": fitted.step,
        "n_parameters": n_parameters(model),
        **{f"init_{name}": value for name, value in before.items()},
        **after,
    }


def train(model: nn.Module, images: Images, point: dict[str, Any]) -> Any:
    """Train on a random subset of P images; subsets of one seed are nested."""
    import torch

    from symscape.diffeo import Recipe, train_classifier

    x, y = images.train
    generator = torch.Generator().manual_seed(point["seed"])
    rows = torch.randperm(len(x), generator=generator)[: point["P"]]
    fully_connected = point["net"].startswith("fc")
    recipe = Recipe(
        point["steps"],
        "adam" if fully_connected else "sgd",
        0.1 if fully_connected else point["learning_rate"],
        point["batch_size"],
        evaluations=point["evaluations"],
    )
    return train_classifier(
        model,
        x[rows],
        y[rows],
        recipe,
        validation=images.validation,
        seed=point["seed"],
        augment=augmentation(point["data"], point.get("arm")),
    )


def augmentation(data: str, arm: str | None = None) -> Any:
    """The data augmentation of a training: of color images by default, or an arm of Fig. 12."""
    import torch

    from symscape.diffeo import RandomDiffeomorphism, augmented

    deform = RandomDiffeomorphism(T=1e-2, c=1)

    def deformed(x: Tensor, generator: torch.Generator) -> Tensor:
        top = torch.iinfo(torch.int64).max
        return deform(x, seed=int(torch.randint(top, (), generator=generator)))

    def moved(x: Tensor, generator: torch.Generator) -> Tensor:
        # cropping leaves the channels last in memory, which convolutions of narrow networks do not
        # survive (oneDNN in torch 2.13)
        shifted = augmented(x, 4, arm is None, generator)
        return shifted.clone(memory_format=torch.contiguous_format)

    if arm == "none" or (arm is None and family(data) != "cifar10"):
        return None
    return deformed if arm == "diffeo" else moved


def _probe(
    model: nn.Module,
    x: Tensor,
    point: dict[str, Any],
    statistics: Any,
    interpolations: tuple[str, ...],
) -> dict[str, Any]:
    """Stabilities at c = 3 and a displacement of one pixel; curves and layers of full points."""
    from symscape.diffeo import MaximumEntropy, measure_distances

    n = x.shape[-1]
    usual = MaximumEntropy.from_displacement(1.0, 3, n)
    common: dict[str, Any] = {
        "statistics": statistics,
        "batch_size": point["probes"],
        "seed": point["seed"],
    }
    out: dict[str, Any] = {}
    layers = "all" if point["full"] else None
    found = measure_distances(model, x, usual, count=point["probes"], layers=layers, **common)
    each = [found[-1].stability(average) for average in AVERAGES]  # type: ignore[arg-type]
    for name in ("D", "G", "R"):
        out[name] = np.array([getattr(stability, name) for stability in each])
    out["R_error"] = each[0].R_error
    if len(interpolations) > 1:
        blurred = measure_distances(
            model, x, usual, count=point["probes"], interpolation="gaussian", **common
        )
        out["R_gaussian"] = blurred[-1].stability().R
    if point["full"]:
        out["R_layers"] = np.array([entry.stability().R for entry in found])
        few = {**common, "count": max(10, point["probes"] // 2)}
        grid = [
            measure_distances(
                model,
                x,
                MaximumEntropy.from_displacement(delta, c, n, outside="allow"),
                interpolation=interpolation,  # type: ignore[arg-type]
                **few,
            )[-1].stability()
            for interpolation in interpolations
            for c in CUTOFFS
            for delta in DELTAS
        ]
        shape = (len(interpolations), len(CUTOFFS), len(DELTAS))
        for name in ("D", "G", "R"):
            values = np.array([getattr(stability, name) for stability in grid])
            out[f"{name}_grid"] = values.reshape(shape)
    return out

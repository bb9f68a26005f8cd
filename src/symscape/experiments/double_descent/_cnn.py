"""Convolutional nets of many widths on images, alone and together (Fig. 8)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance

Array = NDArray[np.float64]
Filters = Annotated[int, Field(ge=1, le=4096)]


class ConvolutionParameters(lab.Parameters):
    sources: tuple[str, ...] = Field(
        min_length=1, default=("cifar10",), description="images: the first of these that is found"
    )
    P: int = Field(ge=20, description="training images")
    pooled: int = Field(
        ge=1, le=4, default=2, description="side of the squares over which pixels are averaged"
    )
    filters: Annotated[tuple[Filters, ...], AfterValidator(lab.increasing)] = Field(
        min_length=3, description="channels f of each of the three convolutions"
    )
    seeds: int = Field(ge=2, description="initializations, all of them in the ensemble")
    epochs: int = Field(ge=1, description="passes over the images, unless fitted before")
    batch: int = Field(ge=1, description="images in a step of SGD")
    rate: float = Field(gt=0, description="learning rate times f")
    n_test: int = Field(ge=20, description="test images")
    loss: Literal["pairs", "one-vs-all"] = Field(
        default="pairs",
        description="linear hinge of the right class less each other one, or of every output",
    )


@lab.once
def _errors(table: Table) -> dict[int, tuple[Array, Array, Any]]:
    """By f: test errors of single nets, their outputs on the test set, and the labels."""
    return {
        f: (
            np.array(rows.column("test_error"), float),
            np.array(rows.column("outputs"), float),
            rows.rows[0]["labels"],
        )
        for (f,), rows in table.groups("f")
    }


def _ensemble(table: Table, f: int, seeds: list[int]) -> float:
    """Test error of the mean output of some of the nets."""
    _, outputs, labels = _errors(table)[f]
    return float((outputs[seeds].mean(0).argmax(-1) != labels).mean())


def _estimate(table: Table, statistic: Callable[[list[int]], float]) -> Estimate:
    """A statistic of some of the initializations, with its error from resampling them."""
    found = _errors(table)
    count = min(len(single) for single, *_ in found.values())
    if count < 2:
        raise NoEstimate("An ensemble needs two initializations.")
    return scaling.bootstrap(range(count), statistic, resamples=200)


def _gain(table: Table, p: ConvolutionParameters) -> Estimate:
    """Lowest error of an ensemble less the lowest one of single nets, over all f."""
    found = _errors(table)

    def gain(seeds: list[int]) -> float:
        single = min(errors[seeds].mean() for errors, *_ in found.values())
        return min(_ensemble(table, f, seeds) for f in found) - float(single)

    best = min(found, key=lambda f: _ensemble(table, f, list(range(len(found[f][0])))))
    return _estimate(table, gain).noted(f"The best ensemble has f = {best}.")


def _moderate(table: Table, p: ConvolutionParameters) -> Estimate:
    """Error of the ensemble at half of the largest f less the lowest one of single nets."""
    found = _errors(table)
    moderate = min(found, key=lambda f: abs(np.log(2 * f / max(found))))

    def difference(seeds: list[int]) -> float:
        single = min(errors[seeds].mean() for errors, *_ in found.values())
        return _ensemble(table, moderate, seeds) - float(single)

    return _estimate(table, difference).noted(f"f = {moderate}.")


def _change(field: str) -> Callable[[Table, ConvolutionParameters], Estimate]:
    """A field at the largest f less that at the smallest, paired by seeds."""

    def answer(table: Table, p: ConvolutionParameters) -> Estimate:
        ends = (table.where(f=f).per_seed(field) for f in (p.filters[0], p.filters[-1]))
        narrow, wide = ends
        if len(narrow) != len(wide):
            raise NoEstimate("Not every initialization has finished at both ends.")
        return scaling.mean(wide - narrow)

    return answer


CLAIMS = (
    Claim(
        "ch2.b.fig8a.ensemble-beats-single",
        "Ch. 2b, Fig. 8A, Sec. 8",
        "Averaging the outputs of convolutional nets errs less than any single net.",
        "80.7 % right against 77.5 %",
        Tolerance.at_most(0.0, "lowest error of ensembles less that of single nets: the order"),
        _gain,
    ),
    Claim(
        "ch2.b.fig8a.moderate-width",
        "Ch. 2b, Fig. 8A, Sec. 8",
        "Ensembles of moderately wide nets already err less than single nets of any width.",
        "f = 64 against 1280",
        Tolerance.at_most(0.0, "error of the ensemble at half the largest f less that of any net"),
        _moderate,
    ),
    Claim(
        "ch2.b.fig8a.single-nets-improve",
        "Ch. 2b, Fig. 8A",
        "The test error of single nets falls with their width.",
        "falls",
        Tolerance.at_most(0.0, "error at the largest f less that at the smallest"),
        _change("test_error"),
    ),
    Claim(
        "ch2.b.fig8b.training-error-vanishes",
        "Ch. 2b, Fig. 8B",
        "The training error falls with the width, to zero beyond the transition.",
        "0 beyond f = 28",
        Tolerance.at_most(0.1, "share of misclassified training images at the largest f"),
        lambda table, p: scaling.mean(table.where(f=p.filters[-1]).per_seed("train_error")),
    ),
)


@lab.register
class DoubleDescentConvolutions(lab.Experiment):
    """Ch. 2b, Fig. 8."""

    name = "double-descent-convolutions"
    chapter = "2"
    title = "Convolutional nets on CIFAR-10"
    summary = (
        "Nets of three convolutions and a linear layer learn the ten classes of small images, by "
        "SGD with the linear hinge. Single nets improve with the number of filters; the mean "
        "output of several is better than any of them."
    )
    sources = ("Ch. 2b, Fig. 8", "Ch. 2b, Sec. 8")
    version = 1
    Parameters = ConvolutionParameters
    profiles = {  # noqa: RUF012
        "smoke": ConvolutionParameters(
            sources=("mnist-sample",), P=100, filters=(2, 4, 8), seeds=2, epochs=4, batch=20,
            rate=0.2, n_test=100,
        ),
        "quick": ConvolutionParameters(
            sources=("cifar10", "mnist-sample"), P=500, filters=(4, 8, 16, 24), seeds=3,
            epochs=20, batch=50, rate=0.2, n_test=1000,
        ),
        "overnight": ConvolutionParameters(
            P=2000, filters=(2, 4, 8, 16, 32, 48), seeds=5, epochs=50, batch=50, rate=0.2,
            n_test=1200,
        ),
        "paper": ConvolutionParameters(
            P=50_000, pooled=1,
            filters=(2, 4, 8, 16, 24, 28, 32, 40, 48, 64, 128, 256, 512, 1024, 1280, 2048),
            seeds=20, epochs=200, batch=250, rate=1.0, n_test=10_000, loss="one-vs-all",
        ),
    }  # fmt: skip
    claims = CLAIMS

    def points(self, p: ConvolutionParameters) -> Iterator[dict[str, Any]]:
        from symscape.datasets import available

        data = next(iter(available({source: source for source in p.sources}).values()))
        return lab.grid(
            p.seeds, f=p.filters, data=data.pinned, P=p.P, pooled=p.pooled, epochs=p.epochs,
            batch=p.batch, rate=p.rate, n_test=p.n_test, loss=p.loss,
        )  # fmt: skip

    def cost(self, point: dict[str, Any]) -> float:
        image = (8e-5 + 1.5e-5 * point["f"]) * (2 / point["pooled"]) ** 2
        return float(0.5 + point["epochs"] * point["P"] * image)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.datasets import image_classes
        from symscape.dynamics import Loss, MulticlassHinge, MultiMargin
        from symscape.networks import PooledCNN
        from symscape.training import fit

        f, P, batch = point["f"], point["P"], point["batch"]
        images = image_classes(
            point["data"], P, 0, n_test=point["n_test"], as_images=True, dtype=torch.float32
        )
        pool = functools.partial(torch.nn.functional.avg_pool2d, kernel_size=point["pooled"])
        x, x_test = pool(images.x_train), pool(images.x_test)
        net = PooledCNN(f, x.shape[1], 10, size=x.shape[-1], seed=point["seed"]).to(x.dtype)
        # One-vs-all is a mean over the ten outputs, pairs are summed.
        pairs = point["loss"] == "pairs"
        loss: Loss = MultiMargin() if pairs else MulticlassHinge(power=1)
        rate = point["rate"] / f * (1 if pairs else 10)
        run = fit(
            net, x, images.y_train, loss=loss, optimizer="sgd", lr=rate,
            batch=batch, steps=point["epochs"] * (P // batch), seed=point["seed"],
            test=(x_test, images.y_test),
        )  # fmt: skip
        run.raise_if_diverged()
        assert run.test_outputs is not None
        return {
            "n_weights": sum(w.numel() for w in net.parameters() if w.ndim > 1),
            "fitted": run.status == "converged",
            "steps_taken": run.steps,
            "train_loss": run.loss,
            "train_error": run.misclassified / P,
            "test_error": run.test_error,
            "best_test_error": run.best_test_error,
            "outputs": run.test_outputs.numpy(),
            "labels": images.y_test.numpy(),
        }

    def figures(self, table: Table, p: ConvolutionParameters) -> list[Figure]:
        images = table.rows[0]["data"].partition("@")[0] if table else "images"
        return [_test_figure(table, p, images), _train_figure(table, p, images)]


def _test_figure(table: Table, p: ConvolutionParameters, images: str) -> Figure:
    figure = Figure(
        "test-error",
        f"Test error of convolutional nets, {images}",
        f"P = {p.P}. Means over initializations, and the mean output of all {p.seeds}. Dashed: the "
        "thesis's best single nets and best ensemble, trained on all 50,000 images of CIFAR-10.",
        Axis("filters f", log=True),
        Axis("test error"),
        claims=(
            "ch2.b.fig8a.ensemble-beats-single",
            "ch2.b.fig8a.moderate-width",
            "ch2.b.fig8a.single-nets-improve",
        ),
    )
    figure.curves(table, "f", "test_error", name="one net")
    figure.curves(table, "f", "best_test_error", name="early stopping", mode="lines", group=1)
    found: dict[float, Estimate] = {}
    for f, (single, *_) in _errors(table).items():
        if len(single) > 1:
            some = functools.partial(_ensemble, table, f)
            found[f] = scaling.bootstrap(range(len(single)), some, resamples=100)
    if found:
        figure.estimates("ensemble", found, "lines+markers", 2)
    ends = [p.filters[0], p.filters[-1]]
    figure.thesis("best single net, f = 1280", ends, [0.225, 0.225])
    figure.thesis("best ensemble, f = 64", ends, [0.193, 0.193])
    return figure


def _train_figure(table: Table, p: ConvolutionParameters, images: str) -> Figure:
    figure = Figure(
        "training-error",
        f"Training error of convolutional nets, {images}",
        f"P = {p.P}, {p.epochs} epochs at most. The thesis's nets fit all training images from f = "
        "24 to 28 on.",
        Axis("filters f", log=True),
        Axis("training error"),
        claims=("ch2.b.fig8b.training-error-vanishes",),
    )
    figure.curves(table, "f", "train_error", name="measured")
    figure.thesis("transition of the thesis", [26.0, 26.0], [0.0, 0.9])
    return figure

"""Lazy or feature training of any network, given by the name of the function that makes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

if TYPE_CHECKING:
    from torch import Tensor, nn

    from symscape.datasets import ImageSplit
    from symscape.kernels import Regime

_HERE = "symscape.experiments.learning_regimes"
FULLY_CONNECTED, CONVOLUTIONAL = f"{_HERE}:small_fc", f"{_HERE}:small_cnn"
SIZES = {FULLY_CONNECTED: (2, 64), CONVOLUTIONAL: (4, 8)}
"""Hidden layers L and default width h of the networks that the experiment brings along."""

LAZY = (0.1, 0.05, 0.2)
"""Where the kernel changes by less than the first of its norm, training is lazy; the others tell
how much depends on that choice."""

FEATURE = (0.1, 0.05, 0.2)
"""Exponents of feature training are those at sqrt(h) alpha below the first, as in the thesis's
Table 2; the others tell how much depends on that choice."""

Alpha = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def small_fc(
    shape: tuple[int, ...], seed: int, width: int = SIZES[FULLY_CONNECTED][1]
) -> nn.Module:
    """Two hidden layers in the NTK parametrization, for two groups of classes."""
    import torch

    from symscape.networks import FullyConnected

    net = FullyConnected(
        math.prod(shape), width, 2, 1, "ntp", "softplus", bias=False, normalized=True
    )
    w = net.initial_weights(seed, dtype=torch.float32)
    return torch.nn.Sequential(torch.nn.Flatten(), net.module(w))


def small_cnn(shape: tuple[int, ...], seed: int, width: int = SIZES[CONVOLUTIONAL][1]) -> nn.Module:
    """The four convolutions of the chapter with few channels, for two groups of classes."""
    from symscape.networks import StridedCNN

    return StridedCNN(width, shape[0], seed=seed)


class OwnNetworkParameters(lab.Parameters):
    models: tuple[str, ...] = Field(
        min_length=1,
        default=(FULLY_CONNECTED, CONVOLUTIONAL),
        description="functions that return a torch module, as module:function",
    )
    data: str = Field(
        default="auto", description="images: auto (MNIST, or its sample), mnist, cifar10, ..."
    )
    alphas: Annotated[tuple[Alpha, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, description="scales of the predictor, increasing"
    )
    widths: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="values of the functions' argument `width`; none: its default"
    )
    P: int = Field(ge=30, description="training images")
    n_test: int = Field(ge=2, description="test images")
    steps: int = Field(ge=1, default=10_000, description="largest number of steps of the optimizer")
    batch: int = Field(ge=1, default=50, description="images of a step")
    optimizer: Literal["adam", "sgd"] = Field(default="adam", description="adam or sgd")
    learning_rate: float | None = Field(
        gt=0,
        default=None,
        description="none: the largest one whose first step moves the predictor by 0.3",
    )
    loss: Literal["hinge", "cross-entropy"] = Field(
        default="hinge", description="hinge (soft for one output) or cross-entropy"
    )
    kernel_points: int = Field(ge=1, default=100, description="test images of the kernel")
    seeds: int = Field(ge=1, description="networks and orders of the batches")


# -- what a point is ----------------------------------------------------------------------------


def _images(source: str, P: int, n_test: int, outputs: int, dtype: Any) -> ImageSplit:
    """Images with labels for a network: of one output, the parity of the class; of several, the
    class."""
    from symscape.datasets import binary_images, image_classes

    draw = binary_images if outputs == 1 else image_classes
    return draw(source, P, n_test=n_test, as_images=True, dtype=dtype)


def _build(point: dict[str, Any]) -> nn.Module:
    from symscape.training import named_model

    offered: dict[str, Any] = {"shape": tuple(point["shape"]), "classes": point["classes"]}
    if "width" in point:
        offered["width"] = point["width"]
    return named_model(point["model"], seed=point["seed"], **offered)


def _network(
    name: str, width: int | None, shape: tuple[int, ...], classes: int, source: str, P: int
) -> dict[str, Any]:
    """The fields of a point that tell the network, once it is seen to fit the data.

    Raises:
        ValueError: it does not.
    """
    from symscape.training import check_stationary, model_fingerprint, trial_outputs

    fields: dict[str, Any] = {"model": name, "shape": list(shape), "classes": classes}
    fields |= {} if width is None else {"width": width}
    if width is not None and "width" not in _arguments(name):
        raise ValueError(f"widths: given for {name}; allowed: for functions with an argument width")
    model = _build(fields | {"seed": 0})
    first = next((p for p in model.parameters() if p.requires_grad), None)
    if first is None:
        raise ValueError(
            f"model: {name} has no parameters that require gradients; allowed: one or more"
        )
    x = _images(source, P, 2, classes, first.dtype).x_train.to(first.device)
    f = trial_outputs(model, x[:3])
    outputs = 1 if f.ndim == 1 else f.shape[1]
    if outputs not in (1, classes):
        raise ValueError(
            f"model: {name} gives {outputs} outputs; allowed for {source.partition('@')[0]}: 1 "
            f"(even or odd class) or {classes} (one for each class)"
        )
    check_stationary(model, x[:3])
    return fields | {"outputs": outputs, "fingerprint": model_fingerprint(name, model)}


def _arguments(name: str) -> set[str]:
    import inspect

    from symscape.training import named_object

    found = named_object(name)
    return set(inspect.signature(found).parameters) if callable(found) else set()


def label(row: Row | dict[str, Any]) -> str:
    """A network in figures and tables."""
    module, _, function = row["model"].partition(":")
    short = {"small_fc": "fully connected", "small_cnn": "convolutional"}
    name = short[function] if module == _HERE else row["model"]
    return f"{name}, width {row['width']}" if "width" in row else name


# -- what came out ------------------------------------------------------------------------------


def networks(table: Table) -> Iterator[tuple[str, Table]]:
    """The networks of a table, each with its finished points."""
    names = dict.fromkeys(label(row) for row in table)
    for name in names:
        yield name, table.select(lambda row, name=name: label(row) == name)  # type: ignore[misc]


def curves(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Scales (A,), and the change of the kernel (seeds, A) of one network.

    A scale is left out where a training did not fit its data, as a seed without all scales is.
    """
    alphas = np.array(sorted({row["alpha"] for row in table}))
    rows = [
        {row["alpha"]: row["change"] if row["trained"] else math.nan for row in seed}
        for _, seed in table.groups("seed")
    ]
    complete = [[row[alpha] for alpha in alphas] for row in rows if len(row) == len(alphas)]
    if not complete:
        raise NoEstimate("No seed has finished at all scales.")
    change = np.array(complete, float)
    known = np.isfinite(change).all(0)
    return alphas[known], change[:, known]


def regime_of(table: Table, at: float) -> Regime:
    """On which side of the cross-over one network stands.

    Raises:
        NoEstimate: too few trainings have fitted their data.
    """
    from symscape.kernels import regime

    alphas, change = curves(table)
    try:
        return regime(alphas, change, at=at)
    except ValueError as error:
        raise NoEstimate(f"There is no verdict: {error}.") from error


def scales(table: Table) -> list[dict[str, Any]]:
    """What was measured of one network at each scale: means over the trainings that fitted."""
    found: list[dict[str, Any]] = []
    for (alpha,), rows in table.groups("alpha"):
        fitted = [row for row in rows if row["trained"]]
        line: dict[str, Any] = {"alpha": alpha, "trainings": len(rows), "fitted": len(fitted)}
        if fitted:
            line["change"] = scaling.geometric_mean([row["change"] for row in fitted])
            line["test_error"] = scaling.mean([row["test_error"] for row in fitted])
        found.append(line)
    return sorted(found, key=lambda line: line["alpha"])


def _slope(table: Table, inside: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Estimate:
    """Exponent of alpha in the change of the kernel, at scales chosen by them and the change."""
    alphas, change = curves(table)
    chosen = inside(alphas, np.exp(np.log(change).mean(0)))
    if chosen.sum() < 3:
        raise NoEstimate("Fewer than three scales are in this regime.")
    return scaling.slope(alphas[chosen], change[:, chosen])


def _lazy_slopes(table: Table, p: OwnNetworkParameters) -> dict[str, Estimate | str]:
    def panel(rows: Table) -> Estimate:
        def slope(most: float) -> Estimate:
            return _slope(rows, lambda alphas, change: change < most)

        return scaling.scan(slope, LAZY)

    return _panels(table, panel)


def _feature_slopes(table: Table, p: OwnNetworkParameters) -> dict[str, Estimate | str]:
    """Less the prediction, of networks whose depth is known."""

    def panel(rows: Table) -> Estimate:
        L, h = _size(rows)

        def slope(most: float) -> Estimate:
            return _slope(rows, lambda alphas, change: math.sqrt(h) * alphas < most)

        found = scaling.scan(slope, FEATURE)
        predicted = -2 * L / (L + 1)
        return found.shifted(-predicted).noted(
            f"The exponent is {found.value:.3g}, the prediction {predicted:.3g}."
        )

    return _panels(table.select(lambda row: row["model"] in SIZES), panel)


def _size(table: Table) -> tuple[int, int]:
    """Hidden layers and width of a network that the experiment brings along."""
    row = table.rows[0]
    L, h = SIZES[row["model"]]
    return L, int(row.point.get("width", h))


def _panels(table: Table, panel: Any) -> dict[str, Estimate | str]:
    found: dict[str, Estimate | str] = {}
    for name, rows in networks(table):
        try:
            found[name] = panel(rows)
        except NoEstimate as missing:
            found[name] = str(missing)
    return found


CLAIMS = (
    Claim(
        "ch3.own.lazy-slope",
        "Paper I, Fig. 5a",
        "In lazy training the kernel changes as 1/alpha, whatever the network is, trained with "
        "ADAM in minibatches here.",
        -1.0,
        Tolerance(-1.1, -0.9, "exponent -1 +- 0.1 where the kernel changes by less than a tenth"),
        _lazy_slopes,
    ),
    Claim(
        "ch3.own.feature-slope",
        "Paper I, Table 2 and Sec. 6",
        "In feature training the kernel changes as alpha^(-2L/(L+1)), because weights inflate "
        "until the data are fitted: the argument holds for convolutions and for ADAM, too.",
        0.0,
        Tolerance(
            -0.15,
            0.15,
            "exponent less its prediction; as wide as for the thesis's own exponents (Table 2)",
        ),
        _feature_slopes,
    ),
)


@lab.register
class OwnNetwork(lab.Experiment):
    """Ch. 3 for any network; ``symscape regime``."""

    name = "regimes-own-network"
    chapter = "3"
    title = "Lazy or feature: any network"
    summary = (
        "Any torch module is trained at several scales alpha of its centred predictor alpha (f - "
        "f0), until its training images are fitted. How far its tangent kernel moves on test "
        "images tells lazy training (less than its own norm) from feature training (more), and "
        "the test error which is better. `symscape regime` runs it on a network of one's own; by "
        "itself it looks at a small fully connected network and a small convolutional one."
    )
    sources = ("Ch. 3, paper I, Fig. 5a", "Ch. 3, paper I, Fig. 3c and 7b")
    version = 1
    Parameters = OwnNetworkParameters
    profiles = {  # noqa: RUF012
        "smoke": OwnNetworkParameters(
            alphas=(1.0, 100.0), P=30, n_test=40, steps=300, batch=30, kernel_points=20, seeds=2
        ),
        "quick": OwnNetworkParameters(
            alphas=(0.1, 1.0, 10.0, 30.0, 100.0, 1000.0), P=60, n_test=500, batch=30, seeds=2
        ),
        "overnight": OwnNetworkParameters(
            alphas=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 0.1, 1.0, 10.0, 30.0, 100.0, 1000.0),
            P=60,
            n_test=1000,
            batch=30,
            seeds=4,
        ),
        "paper": OwnNetworkParameters(
            alphas=tuple(10.0 ** (k / 2) for k in range(-8, 9)),
            P=10_000,
            n_test=50_000,
            widths=(50, 100),
            steps=1_000_000,
            kernel_points=1000,
            seeds=16,
        ),
    }
    claims = CLAIMS

    def points(self, p: OwnNetworkParameters) -> list[dict[str, Any]]:
        from symscape.datasets import image_classes, resolve

        if p.batch > p.P:
            raise ValueError(f"batch: {p.batch} given; allowed: at most P = {p.P}")
        if p.kernel_points > p.n_test:
            raise ValueError(f"kernel_points: {p.kernel_points} given; allowed: at most {p.n_test}")
        source = resolve(p.data).pinned
        sample = image_classes(source, p.P, n_test=p.n_test, as_images=True)
        shape, classes = tuple(sample.x_train.shape[1:]), int(sample.y_train.max()) + 1
        nets = [
            _network(name, width, shape, classes, source, p.P)
            for name in dict.fromkeys(p.models)
            for width in p.widths or (None,)
        ]
        training = {
            "source": source,
            "P": p.P,
            "n_test": p.n_test,
            "steps": p.steps,
            "batch": p.batch,
            "optimizer": p.optimizer,
            "learning_rate": p.learning_rate,
            "loss": p.loss,
            "kernel_points": p.kernel_points,
        }
        points = lab.grid(p.seeds, net=nets, alpha=p.alphas)
        return [point | training for point in points]

    def cost(self, point: dict[str, Any]) -> float:
        """Images that pass in trainings on digits; a guess for networks of others."""
        epochs = 50.0 if point["alpha"] > 1 else 70.0 * max(1.0, 0.3 / point["alpha"]) ** 0.23
        images = min(epochs * point["P"], float(point["steps"] * point["batch"]))
        small = point["model"] == FULLY_CONNECTED
        return 0.6 + images * (1.6e-4 if small else 4e-4 * point.get("width", 8) / 8)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.dynamics import CrossEntropy
        from symscape.kernels import kernel_motion

        model = _build(point)
        like = next(model.parameters())
        split = _images(point["source"], point["P"], point["n_test"], point["outputs"], like.dtype)

        def moved(values: Tensor) -> Tensor:
            return values.to(like.device)

        found = kernel_motion(
            model,
            moved(split.x_train),
            moved(split.y_train),
            (moved(split.x_test), moved(split.y_test)),
            alpha=point["alpha"],
            loss=CrossEntropy() if point["loss"] == "cross-entropy" else None,
            optimizer=point["optimizer"],
            lr=point["learning_rate"],
            batch=point["batch"],
            steps=point["steps"],
            kernel_points=point["kernel_points"],
            seed=point["seed"],
        )
        return {
            "change": found.change,
            "growth": found.growth,
            "trained": found.trained,
            "rate": found.lr,
            "status": found.fit.status,
            "steps_taken": found.fit.steps,
            "n_delta": found.fit.n_delta,
            "test_error": found.fit.test_error,
            "best_test_error": found.fit.best_test_error,
        }

    def figures(self, table: Table, p: OwnNetworkParameters) -> list[Figure]:
        lost = sum(not row["trained"] for row in table)
        left_out = f" {lost} trainings that did not fit their data are left out." if lost else ""
        change = Figure(
            "kernel-change",
            "How far the kernel moves",
            "Relative change of the tangent kernel on test images, from before to after training; "
            "geometric means over seeds. Below 1 (grey) training is lazy. Dashed: the exponents of "
            "lazy and of feature training." + left_out,
            Axis("scale alpha", log=True),
            Axis("|Θ - Θ0| / |Θ0|", log=True),
            claims=tuple(claim.id for claim in CLAIMS),
        )
        error = Figure(
            "test-error",
            "Test error",
            "Test error at the end of training, means over seeds." + left_out,
            Axis("scale alpha", log=True),
            Axis("test error"),
        )
        fitted = table.select(lambda row: row["trained"])
        for group, (name, rows) in enumerate(networks(fitted)):
            change.curves(rows, "alpha", "change", name=name, geometric=True, group=group)
            error.curves(rows, "alpha", "test_error", name=name, group=group)
        for series in list(change.series):
            x, y = series.x, series.y
            if len(y) and y[-1] < LAZY[0]:
                change.thesis(f"1/alpha, {series.name}", x, y[-1] * x[-1] / x)
        for name, rows in networks(fitted.select(lambda row: row["model"] in SIZES)):
            L, h = _size(rows)
            [series] = [s for s in change.series if s.name == name]
            inside = math.sqrt(h) * series.x < FEATURE[0]
            if inside.any():
                x, y = series.x[inside], series.y[inside]
                a = 2 * L / (L + 1)
                change.thesis(f"alpha^-{a:.2f}, {name}", x, y[0] * (x / x[0]) ** -a)
        if fitted:
            change.guide("cross-over", [min(p.alphas), max(p.alphas)], [1.0, 1.0])
        return [change, error]

"""What the kernel learns: its Gram matrix, its performance, its principal components.

Paper I, Fig. 8 and paper II, Fig. 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance

if TYPE_CHECKING:
    from torch import Tensor

FIRST = 10
"""Principal components of the kernel that are looked at."""

EDGES = np.linspace(-1.0, 3.0, 41)
"""Bins of the entries of a Gram matrix over their root mean square."""


class System(NamedTuple):
    """A task and a network that learns it.

    Attributes:
        title: how it is called.
        data: ``slab``, ``stripe``, or the name of a data set.
        tilde_alpha: scale of the predictor: feature training.
        fig8: the claim that stands for Fig. 8 of paper I, empty where that is not about it.
        fig10: whether Fig. 10 of paper II is about it.
    """

    title: str
    data: str
    tilde_alpha: float
    fig8: str
    fig10: bool


SYSTEMS = {
    "slab": System("slab, FC", "slab", 1e-2, "fig8.slab", False),
    "digits-fc": System("MNIST, 10 components, FC", "mnist", 1.0, "fig8c.digits", False),
    "digits-cnn": System("MNIST, CNN", "mnist", 0.1, "fig8d.digits", True),
    "colors-cnn": System("CIFAR-10, CNN", "cifar10", 0.1, "", False),
    "stripe": System("stripe, FC", "stripe", 1e-3, "", True),
}


class KernelsParameters(lab.Parameters):
    digits: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    colors: bool = Field(description="CIFAR-10 as well, where it is found")
    P: int = Field(ge=20, description="training points")
    slab_P: int = Field(ge=20, description="training points of the slab")
    digits_P: int = Field(ge=20, description="training points of the ten components of MNIST")
    n_test: int = Field(ge=20, description="test points")
    n_gram: int = Field(ge=20, description="test points of the Gram matrices")
    h: int = Field(ge=2, description="width of the fully connected networks")
    channels: int = Field(ge=1, description="channels h of the CNN")
    tol: float = Field(gt=0, le=0.1, default=1e-2, description="tolerance of a step of the flow")
    max_steps: int = Field(ge=10, default=3000, description="limit on the steps of the flow")
    adam_steps: int = Field(ge=10, description="limit on the steps of ADAM")
    frozen_steps: int = Field(ge=10, description="limit on the steps under a frozen kernel")
    seeds: int = Field(ge=1, description="training sets and networks")


Answer = Callable[[Table, KernelsParameters], Any]


def _panels(of_fig10: bool, statistic: Callable[[Table], Estimate]) -> Answer:
    """The answer of each system, or of those alone that Fig. 10 of paper II is about."""

    def answer(table: Table, p: KernelsParameters) -> dict[str, Estimate | str]:
        panels: dict[str, Estimate | str] = {}
        for (name,), rows in table.groups("system"):
            system = SYSTEMS[name]
            if of_fig10 and not system.fig10:
                continue
            try:
                panels[system.title] = statistic(rows)
            except NoEstimate as none:
                panels[system.title] = str(none)
        return panels

    return answer


def _final_is_network(rows: Table) -> Estimate:
    """(error of the final kernel - of the network) / (of the initial kernel - of the network)."""
    items = [
        (row["final_error"] - row["error"], row["initial_error"] - row["error"])
        for row in rows
        if np.isfinite([row["final_error"], row["initial_error"]]).all()
    ]
    lost = len(rows) - len(items)

    def ratio(some: list[tuple[float, float]]) -> float:
        final, initial = np.mean(some, axis=0)
        if initial <= 0:
            raise NoEstimate("The kernel of the start does not err more than the network.")
        return float(final / initial)

    found = scaling.bootstrap(items, ratio)
    errors = ", ".join(
        f"{what} {np.mean(rows.column(name)):.3g}"
        for name, what in (
            ("error", "network"),
            ("initial_error", "initial kernel"),
            ("final_error", "final kernel"),
        )
    )
    left = f"{lost} seeds are left out: a frozen kernel did not fit." if lost else ""
    return found.noted(f"Errors: {errors}.", left)


def _final(name: str) -> Claim:
    system = SYSTEMS[name]
    return Claim(
        f"ch3.i.{system.fig8}",
        "Paper I, Fig. 8c, d",
        f"{system.title}: the frozen kernel of the end performs as the network, and that of the "
        "start worse.",
        0.0,
        Tolerance(
            -0.2, 0.2, "error of the final kernel on a scale from the network's to the initial one"
        ),
        lambda table, p: _final_is_network(table.where(system=name)),
    )


def _gain(field: str) -> Callable[[Table], Estimate]:
    """What a sum over the leading components gains in training."""

    def difference(rows: Table) -> Estimate:
        return scaling.mean(
            [float(np.sum(row[f"{field}_end"]) - np.sum(row[f"{field}_start"])) for row in rows]
        )

    return difference


def _squares(rows: Table) -> Estimate:
    return scaling.mean(
        [
            float(np.sum(row["projections_end"] ** 2) - np.sum(row["projections_start"] ** 2))
            for row in rows
        ]
    )


CLAIMS = (
    Claim(
        "ch3.i.fig8.classes-emerge",
        "Paper I, Fig. 8a, b",
        "In training the Gram matrix of the kernel takes on the blocks of the classes.",
        "> 0",
        Tolerance.at_least(0.0, "alignment with the labels at the end less that at the start"),
        _panels(False, lambda rows: scaling.mean(rows.per_seed(_aligned))),
    ),
    Claim(
        "ch3.i.fig8.kernel-inflates",
        "Paper I, Fig. 8a, b",
        "The kernel inflates in training.",
        "> 0",
        Tolerance.at_least(0.0, "decimal logarithm of its norm at the end over that at the start"),
        _panels(False, lambda rows: scaling.mean(np.log10(rows.per_seed("inflation")))),
    ),
    *(_final(name) for name, system in SYSTEMS.items() if system.fig8),
    Claim(
        "ch3.ii.fig10.projections-grow",
        "Paper II, Fig. 10C, D",
        "The labels' projections on the leading eigenvectors of the kernel grow in training.",
        "> 0",
        Tolerance.at_least(0.0, "sum of the squares of the first ten, end less start"),
        _panels(True, _squares),
    ),
    Claim(
        "ch3.ii.fig10.information-grows",
        "Paper II, Fig. 10A, B",
        "The leading eigenvectors of the kernel become more informative on the labels.",
        "> 0",
        Tolerance.at_least(0.0, "sum of the mutual information of the first ten, end less start"),
        _panels(True, _gain("information")),
    ),
)


def _aligned(row: Any) -> float:
    return float(row["alignment_end"] - row["alignment_start"])


@lab.register
class Kernels(lab.Experiment):
    """Paper I, Fig. 8 and paper II, Fig. 10."""

    name = "regimes-kernels"
    chapter = "3"
    title = "What the kernel learns"
    summary = (
        "Networks learn in the feature regime, and their neural tangent kernels are taken at both "
        "ends of training. The kernel of the end, frozen, learns the same data as well as the "
        "network did, and better than that of the start; its entries and its principal "
        "components show the classes."
    )
    sources = ("Paper I, Fig. 8", "Paper II, Fig. 10")
    version = 1
    Parameters = KernelsParameters
    profiles = {  # noqa: RUF012
        "smoke": KernelsParameters(
            digits="mnist-sample",
            colors=False,
            P=40,
            slab_P=32,
            digits_P=40,
            n_test=100,
            n_gram=40,
            h=10,
            channels=2,
            max_steps=300,
            adam_steps=40,
            frozen_steps=50,
            seeds=2,
        ),
        "quick": KernelsParameters(
            colors=False,
            P=200,
            slab_P=64,
            digits_P=300,
            n_test=1000,
            n_gram=200,
            h=30,
            channels=4,
            adam_steps=300,
            frozen_steps=400,
            seeds=3,
        ),
        "overnight": KernelsParameters(
            colors=True,
            P=500,
            slab_P=128,
            digits_P=800,
            n_test=3000,
            n_gram=400,
            h=60,
            channels=8,
            adam_steps=1000,
            frozen_steps=400,
            seeds=5,
        ),
        "paper": KernelsParameters(
            colors=True,
            P=5000,
            slab_P=1000,
            digits_P=5000,
            n_test=20_000,
            n_gram=2000,
            h=1000,
            channels=50,
            tol=1e-4,
            max_steps=100_000,
            adam_steps=50_000,
            frozen_steps=100_000,
            seeds=10,
        ),
    }
    claims = CLAIMS

    def points(self, p: KernelsParameters) -> Iterator[dict[str, Any]]:
        from symscape.datasets import available

        images = {"mnist": p.digits} | ({"cifar10": "cifar10"} if p.colors else {})
        found = available(images)
        for name, system in SYSTEMS.items():
            made = system.data in ("slab", "stripe")
            if not made and system.data not in found:
                continue
            P = {"slab": p.slab_P, "digits-fc": p.digits_P}.get(name, p.P)
            source = "" if made else found[system.data].pinned
            if not made and P + p.n_test > found[system.data].n:
                raise ValueError(
                    f"{P + p.n_test} images are asked for, and {source} has {found[system.data].n}"
                )
            convolutional = name.endswith("-cnn")
            limits: dict[str, Any] = {"h": p.channels, "steps": p.adam_steps}
            if not convolutional:
                limits = {"h": p.h, "steps": p.max_steps}
            yield from lab.grid(
                p.seeds, system=name, source=source, P=P, n_test=p.n_test, n_gram=p.n_gram,
                tol=p.tol, frozen_steps=p.frozen_steps, **limits,
            )  # fmt: skip

    def cost(self, point: dict[str, Any]) -> float:
        P, n = point["P"], point["n_test"]
        if point["system"].endswith("-cnn"):
            training = point["steps"] * (2e-3 + 8e-4 * point["h"])
            return training + 1e-5 * P * (P + n)
        return 1.0 + 4e-5 * P * point["h"] ** 1.2 + 1e-6 * P * (P + n)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        split = _split(point)
        trained = _convolutional if point["system"].endswith("-cnn") else _fully_connected
        error, kernels = trained(split, point)
        result: dict[str, Any] = {"error": error}
        n = point["n_gram"]
        grams = {}
        for when, frozen, kernel in zip(("start", "end"), ("initial", "final"), kernels):
            result[f"{frozen}_error"] = _frozen_error(kernel, split, point)
            grams[when] = kernel(split.x_test[:n], None)
            result |= _described(grams[when], split.y_test[:n], when)
        from symscape.kernels import kernel_change, kernel_norm

        result["inflation"] = kernel_norm(grams["end"]) / kernel_norm(grams["start"])
        result["change"] = kernel_change(grams["end"], grams["start"])
        return result

    def figures(self, table: Table, p: KernelsParameters) -> list[Figure]:
        return [
            *_gram_figures(table),
            _error_figure(table),
            _component_figure(table, "projections", "Projections of the labels", "omega"),
            _component_figure(
                table, "information", "Mutual information with the labels", "information", "bit"
            ),
        ]


Kernel = Callable[["Tensor", "Tensor | None"], "Tensor"]
"""A frozen kernel: from two sets of points to their Gram matrix."""


def _split(point: dict[str, Any]) -> Any:
    """Training and test set of a system: x, y, fresh x, fresh y."""
    import torch

    from symscape.datasets import Split, binary_images, slab
    from symscape.diffeo import stripe_labels

    P, seed, n = point["P"], point["seed"], point["n_test"]
    system = point["system"]
    if system == "slab":
        return slab(P, seed=seed, n_test=n)
    if system == "stripe":
        generator = torch.Generator().manual_seed(seed)
        x, fresh = (
            torch.randn(count, 5, generator=generator, dtype=torch.float64) for count in (P, n)
        )
        return Split(x, stripe_labels(x), fresh, stripe_labels(fresh))
    made: dict[str, Any] = {"components": 10}
    if system.endswith("-cnn"):
        made = {"as_images": True, "dtype": torch.float32}
    return binary_images(point["source"], P, seed, n_test=n, **made)


def _fully_connected(split: Any, point: dict[str, Any]) -> tuple[float, list[Kernel]]:
    """Test error of a network under gradient flow, and its kernels at both ends."""
    import torch

    from symscape.dynamics import misclassified
    from symscape.experiments.learning_regimes._flow import flow, predictor
    from symscape.kernels import empirical_ntk
    from symscape.networks import FullyConnected

    system = SYSTEMS[point["system"]]
    x, y, x_test, y_test = split[:4]
    stripe = point["system"] == "stripe"
    L, activation = {
        "slab": (2, "softplus"), "digits-fc": (5, "relu"), "stripe": (1, "relu"),
    }[point["system"]]  # fmt: skip
    net = FullyConnected(
        x.shape[1], point["h"], L,
        parametrization="ntp", activation=activation, bias=stripe, normalized=True,
    )  # fmt: skip
    w0 = net.initial_weights(point["seed"])
    if stripe:  # its biases start as its weights do
        generator = torch.Generator().manual_seed(point["seed"])
        w0 = torch.randn(net.n_parameters, generator=generator, dtype=torch.float64)
    run = flow(net, w0, x, y, system.tilde_alpha, tol=point["tol"], max_steps=point["steps"])
    F = predictor(net, run.w, w0, x_test, system.tilde_alpha)
    error = float(misclassified(F, y_test).double().mean())

    def kernel(w: Tensor) -> Kernel:
        return lambda one, other: empirical_ntk(net, one, other, w=w)

    return error, [kernel(w0), kernel(run.w)]


def _convolutional(split: Any, point: dict[str, Any]) -> tuple[float, list[Kernel]]:
    """Test error of a CNN after ADAM, and its kernels at both ends."""
    import copy

    from symscape.experiments.learning_regimes._adam import convolutional, train
    from symscape.kernels import empirical_ntk

    model = convolutional(split, point["h"], 4, point["seed"])
    start = copy.deepcopy(model)
    alpha = SYSTEMS[point["system"]].tilde_alpha / math.sqrt(point["h"])
    run = train(model, split, alpha, point["steps"], point["seed"])

    def kernel(of: Any) -> Kernel:
        return lambda one, other: empirical_ntk(of, one, other).double()

    return run.test_error, [kernel(start), kernel(model)]


def _frozen_error(kernel: Kernel, split: Any, point: dict[str, Any]) -> float:
    """Test error of the flow under a frozen kernel, NaN where too many points stay unsatisfied.

    A kernel that learned features has a few large eigenvalues, and the last points of the training
    set wait for its smallest ones.
    """
    from symscape.dynamics import Chebyshev, ErrorPerStep, SoftHinge, Stop, train_frozen
    from symscape.experiments.learning_regimes._adam import UNFITTED

    x, y, x_test, y_test = split[:4]
    K = kernel(x, None)
    run = train_frozen(
        K,
        y.to(K.dtype),
        loss=SoftHinge(),
        integrator=Chebyshev(ErrorPerStep(point["tol"]), max_stages=30),
        stop=Stop(max_steps=point["frozen_steps"], loss_below=None),
        test=(kernel(x_test, x), y_test.to(K.dtype)),
    )
    return run.test_error if run.n_delta < UNFITTED * len(x) else math.nan


def _described(K: Tensor, y: Tensor, when: str) -> dict[str, Any]:
    """Alignment, principal components, and entries by whether two labels are the same."""
    from symscape.kernels import alignment, kernel_pca

    y = y.to(K.dtype)
    found = kernel_pca(K, y, k=FIRST)
    entries = K / K.square().mean().sqrt()
    same = (y[:, None] * y > 0).numpy()
    off = ~np.eye(len(y), dtype=bool)
    values = np.clip(entries.numpy(), EDGES[0], EDGES[-1])
    counts = {
        name: np.histogram(values[mask & off], EDGES, density=True)[0]
        for name, mask in (("same", same), ("other", ~same))
    }
    return {
        f"alignment_{when}": alignment(K, y),
        f"projections_{when}": found.projections,
        f"information_{when}": found.mutual_information,
        **{f"{name}_{when}": density for name, density in counts.items()},
    }


def _gram_figures(table: Table) -> Iterator[Figure]:
    """Entries of the Gram matrix, of equal and of different labels, at both ends."""
    name = "colors-cnn" if table and table.where(system="colors-cnn") else "digits-cnn"
    rows = table.where(system=name) if table else table
    for when in ("start", "end"):
        figure = Figure(
            f"gram-{when}",
            f"Entries of the Gram matrix at the {when} of training, {SYSTEMS[name].title}",
            "Distribution of the kernel between two test points over its root mean square, mean "
            "over seeds, for points of one group of classes and of both. The thesis shows the "
            "matrix of a wide residual network, in which blocks emerge.",
            Axis("kernel over its root mean square"),
            Axis("density"),
            claims=("ch3.i.fig8.classes-emerge", "ch3.i.fig8.kernel-inflates"),
        )
        for field, label in (("same", "same label"), ("other", "different labels")):
            if rows:
                density = np.mean([row[f"{field}_{when}"] for row in rows], axis=0)
                figure.histogram(label, EDGES, density)
        yield figure


def _error_figure(table: Table) -> Figure:
    figure = Figure(
        "errors",
        "The network and its frozen kernels",
        "Test error of frozen kernels against that of the network which they come from, seed by "
        "seed. The thesis: the kernel of the end lies on the diagonal, that of the start above.",
        Axis("test error of the network"),
        Axis("test error of the frozen kernel"),
        claims=tuple(f"ch3.i.{system.fig8}" for system in SYSTEMS.values() if system.fig8),
    )
    group = 0
    for name, system in SYSTEMS.items():
        rows = table.where(system=name) if table else table
        if not rows or not system.fig8:
            continue
        for frozen in ("initial", "final"):
            figure.measured(
                f"{system.title}, {frozen} kernel",
                rows.column("error"),
                rows.column(f"{frozen}_error"),
                group=group,
            )
            group += 1
    if figure.series:
        ends = np.concatenate([series.x for series in figure.series])
        diagonal = [float(ends.min()), float(ends.max())]
        figure.guide("as the network", diagonal, diagonal)
    return figure


def _component_figure(
    table: Table, field: str, title: str, label: str, unit: str | None = None
) -> Figure:
    claim = "projections-grow" if field == "projections" else "information-grows"
    figure = Figure(
        field,
        f"{title}: leading eigenvectors of the kernel",
        "Of the Gram matrix of test points at the start and at the end of training, means over "
        "seeds. The thesis: both grow in training.",
        Axis("rank of the eigenvector"),
        Axis(label, unit),
        claims=(f"ch3.ii.fig10.{claim}",),
    )
    for place, name in enumerate(name for name, system in SYSTEMS.items() if system.fig10):
        rows = table.where(system=name) if table else table
        for end, when in enumerate(("start", "end")):
            figure.curves(
                rows, lambda row: np.arange(1, FIRST + 1), f"{field}_{when}",
                name=f"{SYSTEMS[name].title}, {when}", group=2 * place + end,
            )  # fmt: skip
    return figure

"""Which regime is better for which data, network and algorithm (paper I, Table 1, Figs. 6, 7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

if TYPE_CHECKING:
    from torch import Tensor

Scales = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1e8)], ...], AfterValidator(lab.increasing)
]
Width = Annotated[int, Field(ge=1, le=10_000)]


class Setup(NamedTuple):
    """A row of Table 1, or a variant of one that a figure shows.

    Attributes:
        title: how the row is called in figures.
        data: name of the data set.
        L: hidden layers.
        algorithm: ``flow``, ``alternative`` (the flow with inertia and a smoother hinge), ``adam``
            or ``frozen`` (the kernel of the start).
        better: the regime that the thesis finds better, empty where it says that it is not clear.
        components: principal components, None for the images themselves.
        convolutional: the network of four convolutions.
        source: where the thesis says so.
    """

    title: str
    data: str
    L: int
    algorithm: Literal["flow", "alternative", "adam", "frozen"]
    better: Literal["feature", "lazy", ""]
    components: int | None = None
    convolutional: bool = False
    source: str = "Paper I, Table 1"


SETUPS = {
    "fc-mnist": Setup("FC, MNIST", "mnist", 3, "flow", "lazy"),
    "fc-fashion": Setup("FC, Fashion-MNIST, L = 3", "fashion-mnist", 3, "flow", "lazy"),
    "fc-fashion-deep": Setup("FC, Fashion-MNIST, L = 9", "fashion-mnist", 9, "flow", "lazy"),
    "fc-emnist": Setup("FC, EMNIST letters", "emnist-letters", 3, "flow", "lazy"),
    "fc-cifar10": Setup("FC, CIFAR-10", "cifar10", 3, "flow", "lazy"),
    "fc-cifar10-adam": Setup("FC, CIFAR-10, ADAM", "cifar10", 3, "adam", "lazy"),
    "fc-mnist-10": Setup("FC, MNIST, 10 components", "mnist", 5, "flow", "feature", 10),
    "cnn-cifar10": Setup("CNN, CIFAR-10, ADAM", "cifar10", 4, "adam", "feature", None, True),
    "cnn-fashion": Setup("CNN, Fashion-MNIST, ADAM", "fashion-mnist", 4, "adam", "", None, True),
    "fc-emnist-alternative": Setup(
        "FC, EMNIST letters, alternative setup", "emnist-letters", 3, "alternative", "lazy",
        source="Paper I, Fig. 7c",
    ),
    "fc-mnist-frozen": Setup("FC, MNIST, frozen kernel", "mnist", 3, "frozen", ""),
}  # fmt: skip


class DataSetsParameters(lab.Parameters):
    digits: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    others: bool = Field(
        description="Fashion-MNIST, EMNIST letters and CIFAR-10 too, those that are found"
    )
    P: int = Field(ge=20, description="training points")
    cnn_P: int = Field(ge=20, description="training points of the CNN")
    n_test: int = Field(ge=10, description="test points")
    grey: bool = Field(
        default=True, description="CIFAR-10 without colors for fully connected networks, d = 1024"
    )
    h: Width = Field(description="width of the fully connected networks")
    other_h: Width = Field(description="a second width, for MNIST, three times smaller or larger")
    scales: Scales = Field(min_length=2, description="scales sqrt(h) alpha")
    tol: float = Field(gt=0, le=0.1, default=3e-3, description="tolerance of a step of the flow")
    max_steps: int = Field(ge=10, default=10_000, description="limit on the steps of the flow")
    channels: Width = Field(description="channels h of the CNN")
    cnn_scales: Scales = Field(min_length=3, description="scales sqrt(h) alpha of the CNN")
    adam_steps: int = Field(ge=10, description="limit on the steps of ADAM")
    members: int = Field(ge=2, description="fully connected networks of an ensemble")
    cnn_members: int = Field(ge=2, description="convolutional networks of an ensemble")
    seeds: int = Field(ge=1, description="training sets, each with its own ensembles")


def _limit(row: Row) -> float:
    """Error of the mean of very many networks, from those of M of them and of single ones.

    The excess error is that of the variance, of which the mean of M networks keeps 1/M (chapter 2);
    the thesis's ensembles of 20 are closer to the limit than ours.
    """
    M = round(row["fitted"] * row["members"])
    return float((M * row["ensemble"] - row["single"]) / (M - 1)) if M > 1 else math.nan


def _single(row: Row) -> float:
    return float(row["single"])


def _errors(
    table: Table, setup: str, scale: float | None, value: Callable[[Row], float] = _limit
) -> dict[int, float]:
    """A number of the fully connected networks of the first width, or of the CNN, by seed.

    Raises:
        NoEstimate: the data are not here, or fewer than two networks of an ensemble fitted.
    """
    rows = table.where(setup=setup, tilde_alpha=scale, first=True)
    if not rows:
        raise NoEstimate(
            f"No run: {SETUPS[setup].data} is not on this machine (see `symscape data list`), or "
            "the profile leaves it out."
        )
    found = {row["seed"]: value(row) for row in rows}
    lost = [seed for seed, number in found.items() if not math.isfinite(number)]
    if lost:
        shares = ", ".join(f"{row['fitted']:.2g}" for row in rows)
        raise NoEstimate(
            f"{SETUPS[setup].title}, sqrt(h) alpha = {scale}: fewer than two networks fitted "
            f"for {len(lost)} of {len(rows)} training sets (shares {shares})."
        )
    return found


def _paired(one: dict[int, float], other: dict[int, float]) -> np.ndarray:
    return np.array([one[seed] - other[seed] for seed in one if seed in other])


def _scales(p: DataSetsParameters, setup: str) -> tuple[float, ...]:
    return p.cnn_scales if SETUPS[setup].convolutional else p.scales


def _feature_less_lazy(setup: str) -> Callable[[Table, DataSetsParameters], Estimate]:
    """Ensemble's error at the smallest scale less that at the largest."""

    def answer(table: Table, p: DataSetsParameters) -> Estimate:
        ends = [_scales(p, setup)[end] for end in (0, -1)]
        feature, lazy = (_errors(table, setup, scale) for scale in ends)
        few = [_errors(table, setup, scale, lambda row: float(row["ensemble"])) for scale in ends]
        raw = scaling.number(scaling.mean(_paired(*few)))
        return scaling.mean(_paired(feature, lazy)).noted(
            f"Errors {np.mean([*feature.values()]):.3g} and {np.mean([*lazy.values()]):.3g} of "
            f"infinitely many networks; for the ensembles as they are the difference is {raw}."
        )

    return answer


def _row(setup: str) -> Claim:
    row = SETUPS[setup]
    edge, sign = (Tolerance.at_least, ">") if row.better == "lazy" else (Tolerance.at_most, "<")
    return Claim(
        f"ch3.i.table1.{setup}",
        row.source,
        f"{row.title}: {row.better} training is better.",
        f"{sign} 0",
        edge(
            0.0,
            "test error in the feature regime less that in the lazy one, of ensembles, "
            "extrapolated to infinitely many networks",
        ),
        _feature_less_lazy(setup),
    )


def _between(table: Table, p: DataSetsParameters) -> dict[str, Estimate]:
    """The best scale between both ends less either of them."""
    ends = {"less the feature end": p.cnn_scales[0], "less the lazy end": p.cnn_scales[-1]}
    inner = [_errors(table, "cnn-fashion", scale) for scale in p.cnn_scales[1:-1]]
    best = min(inner, key=lambda errors: np.mean([*errors.values()]))
    return {
        name: scaling.mean(_paired(best, _errors(table, "cnn-fashion", scale)))
        for name, scale in ends.items()
    }


def _depth(value: Callable[[Row], float], table: Table, p: DataSetsParameters) -> np.ndarray:
    """Error of nine layers less that of three, mean over the scales, by seed."""
    pairs = [
        _paired(*(_errors(table, s, scale, value) for s in ("fc-fashion-deep", "fc-fashion")))
        for scale in p.scales
    ]
    if len({len(pair) for pair in pairs}) > 1:
        raise NoEstimate("Not all scales and seeds are finished.")
    return np.mean(pairs, axis=0)


def _variance_ratio(table: Table, p: DataSetsParameters) -> dict[str, Estimate | str]:
    """h Var F of the wider networks over that of the narrower ones, in the feature regime."""
    panels: dict[str, Estimate | str] = {}
    for scale in (scale for scale in p.scales if scale <= 1):
        rows = table.where(setup="fc-mnist", tilde_alpha=scale)
        first, second = (
            {row["seed"]: row["h"] * float(row["variance"]) for row in rows.where(h=h)}
            for h in (min(p.h, p.other_h), max(p.h, p.other_h))
        )
        both = [seed for seed in first if seed in second]
        panels[f"sqrt(h) alpha = {scale:g}"] = scaling.geometric_mean(
            [second[seed] / first[seed] for seed in both]
        )
    return panels


def _frozen(table: Table, p: DataSetsParameters) -> Estimate:
    """Single networks at the largest scale less those of the frozen kernel of the start."""
    lazy = _errors(table, "fc-mnist", p.scales[-1], _single)
    return scaling.mean(_paired(lazy, _errors(table, "fc-mnist-frozen", None, _single)))


def _setups_agree(table: Table, p: DataSetsParameters) -> dict[str, Estimate]:
    return {
        f"sqrt(h) alpha = {scale:g}": scaling.mean(
            _paired(*(_errors(table, s, scale) for s in ("fc-emnist-alternative", "fc-emnist")))
        )
        for scale in p.scales
    }


CLAIMS = (
    *(_row(name) for name, setup in SETUPS.items() if setup.better),
    Claim(
        "ch3.i.table1.cnn-fashion",
        "Paper I, Table 1 and Fig. 7b",
        "CNN, Fashion-MNIST: the best performance is in a range between feature and lazy training.",
        "< 0",
        Tolerance.at_most(0.0, "ensemble's error at the best scale between less either end"),
        _between,
    ),
    Claim(
        "ch3.i.fig7d.depth-of-single-networks",
        "Paper I, Fig. 7d",
        "Single networks with nine hidden layers perform worse than those with three.",
        "> 0",
        Tolerance.at_least(0.0, "error with L = 9 less that with L = 3, mean over scales"),
        lambda table, p: scaling.mean(_depth(_single, table, p)),
    ),
    Claim(
        "ch3.i.fig7d.depth-of-ensembles",
        "Paper I, Fig. 7d",
        "Depth has a very limited effect on the error of the ensemble.",
        "nearly 0",
        Tolerance.at_most(
            0.0, "loss of the ensemble by depth less half of the loss of single networks"
        ),
        lambda table, p: scaling.mean(
            np.abs(_depth(_limit, table, p)) - 0.5 * _depth(_single, table, p)
        ),
    ),
    Claim(
        "ch3.i.fig6d.variance-collapses",
        "Paper I, Fig. 6d",
        "In the feature regime h Var F does not depend on the width.",
        1.0,
        Tolerance(
            1 / 1.5, 1.5, "of two widths that differ by 3: their variance alone would give 3"
        ),
        _variance_ratio,
    ),
    Claim(
        "ch3.i.fig6b.lazy-limit-is-frozen-kernel",
        "Paper I, Fig. 6b",
        "The test error at large alpha is that of the frozen kernel of the start.",
        0.0,
        Tolerance(-0.005, 0.005, "half of a per cent of the test points, of single networks"),
        _frozen,
    ),
    Claim(
        "ch3.i.fig7c.setups-agree",
        "Paper I, Fig. 7c",
        "On letters, a smoother hinge and inertia give the same errors.",
        0.0,
        Tolerance(-0.01, 0.01, "one per cent of the test points, of ensembles, at every scale"),
        _setups_agree,
    ),
)


@lab.register
class DataSets(lab.Experiment):
    """Paper I, Table 1 and Figs. 6 and 7."""

    name = "regimes-data-sets"
    chapter = "3"
    title = "Which regime performs better"
    summary = (
        "Networks learn two groups of classes of several data sets at scales sqrt(h) alpha from "
        "feature to lazy training; at each scale a few networks make an ensemble. The thesis: "
        "fully connected networks perform better in the lazy regime, convolutional ones in the "
        "feature regime."
    )
    sources = (
        "Paper I, Table 1",
        "Paper I, Fig. 6",
        "Paper I, Fig. 7",
        "Paper II, Fig. 8, left and centre",
    )
    version = 1
    Parameters = DataSetsParameters
    profiles = {  # noqa: RUF012
        "smoke": DataSetsParameters(
            digits="mnist-sample",
            others=False,
            P=40,
            cnn_P=40,
            n_test=100,
            h=8,
            other_h=16,
            scales=(0.1, 1e3),
            tol=1e-2,
            channels=2,
            cnn_scales=(0.1, 10.0, 1e3),
            adam_steps=20,
            members=2,
            cnn_members=2,
            seeds=2,
        ),
        "quick": DataSetsParameters(
            others=True,
            P=200,
            cnn_P=100,
            n_test=1000,
            h=20,
            other_h=40,
            scales=(1e-2, 1e4),
            tol=1e-2,
            channels=4,
            cnn_scales=(0.1, 10.0, 1e3),
            adam_steps=150,
            members=2,
            cnn_members=2,
            seeds=2,
        ),
        "overnight": DataSetsParameters(
            others=True,
            P=400,
            cnn_P=250,
            n_test=3000,
            h=30,
            other_h=10,
            scales=(1e-2, 1.0, 1e4),
            tol=1e-2,
            channels=8,
            cnn_scales=(0.1, 10.0, 1e3),
            adam_steps=1500,
            members=4,
            cnn_members=3,
            seeds=3,
        ),
        "paper": DataSetsParameters(
            others=True,
            P=10_000,
            cnn_P=10_000,
            n_test=50_000,
            grey=False,
            h=100,
            other_h=300,
            scales=(1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7),
            tol=1e-4,
            max_steps=100_000,
            channels=50,
            cnn_scales=(1e-3, 1e-2, 0.1, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7),
            adam_steps=100_000,
            members=20,
            cnn_members=16,
            seeds=3,
        ),
    }
    claims = CLAIMS

    def points(self, p: DataSetsParameters) -> Iterator[dict[str, Any]]:
        from symscape.datasets import available

        names = {setup.data for setup in SETUPS.values()} if p.others else {"mnist"}
        found = available({name: p.digits if name == "mnist" else name for name in sorted(names)})
        for name, setup in SETUPS.items():
            if setup.data in found:
                source = found[setup.data]
                needed = max(p.P, p.cnn_P) + p.n_test
                if needed > source.n:
                    raise ValueError(
                        f"{needed} images are asked for, and {source.name} has {source.n}"
                    )
                yield from lab.grid(
                    p.seeds, setup=name, data=source.pinned, width=_widths(p, name),
                    tilde_alpha=(None,) if setup.algorithm == "frozen" else _scales(p, name),
                    n_test=p.n_test, **_limits(p, setup),
                )  # fmt: skip

    def cost(self, point: dict[str, Any]) -> float:
        setup, P = SETUPS[point["setup"]], point["P"]
        if setup.convolutional:
            pixels = 32 if setup.data == "cifar10" else 28
            taken = 0.65 * point["steps"]  # most fit before
            return float(point["members"] * taken * (1e-3 + 9e-7 * point["h"] * pixels**2))
        d = setup.components or {None: 784, True: 1024, False: 3072}[point.get("grey")]
        weights = d * point["h"] + (setup.L - 1) * point["h"] ** 2
        if setup.algorithm == "adam":
            return point["members"] * point["steps"] * (1e-3 + 1e-8 * weights)
        evaluations = {"frozen": 20, "alternative": 5000}.get(setup.algorithm, 200)
        evaluations *= 4 if setup.components else 1
        return point["members"] * evaluations * P * (1e-9 * weights + 4e-8 * setup.L * point["h"])

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.datasets import binary_images
        from symscape.dynamics import ensemble_statistics

        setup = SETUPS[point["setup"]]
        split = binary_images(
            point["data"], point["P"], point["seed"], n_test=point["n_test"],
            components=setup.components, as_images=setup.convolutional,
            grey=point.get("grey", False),
            dtype=torch.float32 if setup.algorithm == "adam" else torch.float64,
        )  # fmt: skip
        train = {"flow": _flow, "alternative": _flow, "adam": _adam, "frozen": _frozen_kernel}
        seeds = [1000 * point["seed"] + member for member in range(point["members"])]
        runs = [train[setup.algorithm](setup, split, point, seed) for seed in seeds]
        outputs = [F for F in runs if F is not None]
        result = {"fitted": len(outputs) / len(runs)}
        if len(outputs) < 2:
            return result | dict.fromkeys(("single", "ensemble", "variance"), math.nan)
        found = ensemble_statistics(torch.stack(outputs), split.y_test.to(outputs[0].dtype))
        return result | {
            "single": float(found.errors.mean()),
            "ensemble": float(found.ensemble_error),
            "variance": float(found.variance),
        }

    def figures(self, table: Table, p: DataSetsParameters) -> list[Figure]:
        return [
            _error_figure(
                table, "digits", "MNIST: pixels, and ten components (Figs. 6a, 7a)",
                ("fc-mnist", "fc-mnist-frozen", "fc-mnist-10"),
                ("ch3.i.table1.fc-mnist", "ch3.i.table1.fc-mnist-10",
                 "ch3.i.fig6b.lazy-limit-is-frozen-kernel"),
            ),
            _variance_figure(table),
            _error_figure(
                table, "colors", "CIFAR-10: gradient flow and ADAM (Fig. 6e)",
                ("fc-cifar10", "fc-cifar10-adam"),
                ("ch3.i.table1.fc-cifar10", "ch3.i.table1.fc-cifar10-adam"),
            ),
            _error_figure(
                table, "convolutional", "Convolutional networks (Fig. 7b)",
                ("cnn-cifar10", "cnn-fashion"),
                ("ch3.i.table1.cnn-cifar10", "ch3.i.table1.cnn-fashion"),
            ),
            _error_figure(
                table, "letters", "EMNIST letters in two setups (Fig. 7c)",
                ("fc-emnist", "fc-emnist-alternative"),
                ("ch3.i.table1.fc-emnist", "ch3.i.table1.fc-emnist-alternative",
                 "ch3.i.fig7c.setups-agree"),
            ),
            _error_figure(
                table, "depth", "Fashion-MNIST with three and nine hidden layers (Fig. 7d)",
                ("fc-fashion", "fc-fashion-deep"),
                ("ch3.i.table1.fc-fashion", "ch3.i.table1.fc-fashion-deep",
                 "ch3.i.fig7d.depth-of-single-networks", "ch3.i.fig7d.depth-of-ensembles"),
            ),
        ]  # fmt: skip


def _widths(p: DataSetsParameters, name: str) -> list[dict[str, Any]]:
    """The widths of a setup; the first one answers the claims of Table 1."""
    if SETUPS[name].convolutional:
        return [{"h": p.channels, "first": True}]
    both = [{"h": p.h, "first": True}, {"h": p.other_h, "first": False}]
    return both if SETUPS[name].data == "mnist" and not SETUPS[name].components else both[:1]


def _limits(p: DataSetsParameters, setup: Setup) -> dict[str, Any]:
    """What a point of a setup needs beside its place in the grid."""
    own: dict[str, Any] = {"P": p.P, "members": p.members}
    if setup.convolutional:
        own = {"P": p.cnn_P, "members": p.cnn_members}
    if setup.data == "cifar10" and not setup.convolutional:
        own["grey"] = p.grey
    if setup.algorithm == "adam":
        return own | {"steps": p.adam_steps}
    return own | {"steps": p.max_steps, "tol": p.tol}


def _flow(setup: Setup, split: Any, point: dict[str, Any], seed: int) -> Tensor | None:
    """F on the test set after gradient flow; None where it does not fit."""
    from symscape.dynamics import EulerThesis, SoftHinge
    from symscape.experiments.learning_regimes._flow import flow, network, predictor

    net = network(split.x_train.shape[1], point["h"], setup.L)
    w0, scale = net.initial_weights(seed), point["tilde_alpha"]
    other: dict[str, Any] = {}
    if setup.algorithm == "alternative":
        other = {"loss": SoftHinge(beta=10.0), "integrator": EulerThesis(memory_fraction=1e-3)}
    run = flow(
        net, w0, split.x_train, split.y_train, scale,
        tol=point["tol"], max_steps=point["steps"], **other,
    )  # fmt: skip
    fits = run.status == "converged"
    return predictor(net, run.w, w0, split.x_test, scale) if fits else None


def _frozen_kernel(setup: Setup, split: Any, point: dict[str, Any], seed: int) -> Tensor | None:
    """F on the test set with the kernel of the start; None where it does not fit."""
    from symscape.dynamics import Chebyshev, ErrorPerStep, SoftHinge, Stop, train_frozen
    from symscape.experiments.learning_regimes._flow import network
    from symscape.kernels import empirical_ntk

    net = network(split.x_train.shape[1], point["h"], setup.L)
    w0 = net.initial_weights(seed)
    run = train_frozen(
        empirical_ntk(net, split.x_train, w=w0), split.y_train, loss=SoftHinge(),
        integrator=Chebyshev(ErrorPerStep(point["tol"])), stop=Stop(max_steps=point["steps"]),
    )  # fmt: skip
    if run.status != "converged":
        return None
    return empirical_ntk(net, split.x_test, split.x_train, w=w0) @ run.w


def _adam(setup: Setup, split: Any, point: dict[str, Any], seed: int) -> Tensor | None:
    """F on the test set after ADAM; None with too many unsatisfied points."""
    from symscape.experiments.learning_regimes._adam import (
        UNFITTED,
        convolutional,
        fully_connected,
        train,
    )

    make = convolutional if setup.convolutional else fully_connected
    model = make(split, point["h"], setup.L, seed)
    alpha = point["tilde_alpha"] / math.sqrt(point["h"])
    run = train(model, split, alpha, point["steps"], seed, change=2.0)
    return run.test_outputs if run.n_delta < UNFITTED * point["P"] else None


def _shown(row: Row) -> float:
    """The scale at which a row is drawn: the frozen kernel is the limit of large scales."""
    return float(row["tilde_alpha"] or 1e6)


def _error_figure(
    table: Table, id: str, title: str, setups: tuple[str, ...], claims: tuple[str, ...]
) -> Figure:
    figure = Figure(
        id,
        title,
        "Test error of single networks (with markers) and of the mean of an ensemble (without), "
        "means over training sets. The thesis says which end is better: "
        + "; ".join(f"{SETUPS[s].title}: {SETUPS[s].better or 'neither'}" for s in setups)
        + ".",
        Axis("sqrt(h) alpha", log=True),
        Axis("test error"),
        claims=claims,
    )
    for place, name in enumerate(setups):
        for (h,), rows in table.where(setup=name).groups("h") if table else ():
            label = f"{SETUPS[name].title}, h = {h}"
            for field, mode in (("single", "lines+markers"), ("ensemble", "lines")):
                figure.curves(rows, _shown, field, name=f"{label}, {field}", mode=mode, group=place)  # type: ignore[arg-type]
    return figure


def _variance_figure(table: Table) -> Figure:
    figure = Figure(
        "variance",
        "Width times variance of the output (Figs. 6d, 6f)",
        "Variance over the networks of an ensemble, mean over test points, times the width. The "
        "thesis: in the feature regime it does not depend on the width.",
        Axis("sqrt(h) alpha", log=True),
        Axis("h Var F", log=True),
        claims=("ch3.i.fig6d.variance-collapses",),
    )
    shown = ("fc-mnist", "fc-cifar10", "fc-cifar10-adam")
    place = 0
    for name in shown:
        for (h,), rows in table.where(setup=name).groups("h") if table else ():
            figure.curves(
                rows, "tilde_alpha", lambda row: row["h"] * row["variance"],
                name=f"{SETUPS[name].title}, h = {h}", geometric=True, group=place,
            )  # fmt: skip
            place += 1
    return figure

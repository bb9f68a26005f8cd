"""Fluctuations of the neural tangent kernel and of what it learns (Sec. 5, Apps. C and D)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Array = NDArray[np.float64]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=4, le=65_536)], ...], AfterValidator(lab.increasing)
]

INPUTS = 10
"""Dimension of the inputs, which lie on the sphere of radius sqrt(10)."""

INITIAL, TRAINED, LEARNED = {"L": 5, "P": 12}, {"L": 2, "P": 30}, {"L": 3, "P": 60}
"""Depth and number of points: of the kernel at the start, of training, of what kernels learn."""

N_TEST = 100

FROM = 128
"""Width from which App. D's exponents are fitted: the sheet's calibration."""

PARAMETRIZATIONS = {"ntp": "NTK parametrization", "standard": "standard, orthogonal"}


class KernelParameters(lab.Parameters):
    initial_widths: Widths = Field(
        min_length=2, description="widths h, kernel at the start; the law needs L/h << 1"
    )
    initial_seeds: int = Field(ge=2, description="nets of each of them")
    trained_widths: Widths = Field(min_length=2, description="widths h, trained nets")
    trained_seeds: int = Field(ge=1, description="nets of each of them")
    learned_widths: Widths = Field(min_length=2, description="widths h, what the kernels learn")
    learned_seeds: int = Field(ge=2, description="nets of each of them")
    loss: float = Field(gt=0, lt=0.1, default=1e-4, description="training loss at the end")
    steps: int = Field(ge=1, default=20_000, description="largest number of steps")


def relative_fluctuation(kernels: Array) -> float:
    """Root mean square deviation of kernels (nets, P, P) over the norm of their mean."""
    mean = kernels.mean(0)
    variance = np.square(kernels - mean).sum((1, 2)).sum() / (len(kernels) - 1)
    return float(np.sqrt(variance / np.square(mean).sum()))


def deviation(functions: Array) -> float:
    """Standard deviation over nets of functions (nets, points), root mean square over points."""
    return float(np.sqrt(functions.var(axis=0, ddof=1).mean()))


def _by_width(table: Table, field: str) -> tuple[Array, Array]:
    """Widths, and a field of the nets: (widths, nets, ...)."""
    groups = [(h, rows.column(field)) for (h,), rows in table.groups("h")]
    if not groups:
        raise NoEstimate("No run gives this number.")
    count = min(len(values) for _, values in groups)
    widths = np.array([h for h, _ in groups], float)
    return widths, np.array([np.asarray(values[:count], float) for _, values in groups])


def _exponent(
    table: Table, field: str, statistic: Callable[[Array], float], least: int = 0
) -> Estimate:
    """Exponent of the width in a statistic over nets; error from resampled nets, and windows."""
    widths, values = _by_width(table.select(lambda row: row["h"] >= least), field)
    if len(widths) < 3:
        raise NoEstimate("Fewer than three widths.")

    def over(window: tuple[int, int]) -> Estimate:
        chosen = slice(*window)

        def slope(nets: list[int]) -> float:
            spread = [statistic(v[nets]) for v in values[chosen]]
            if len(set(nets)) < 2 or min(spread) <= 0:
                raise NoEstimate("One net has no spread.")
            return float(np.polyfit(np.log(widths[chosen]), np.log(spread), 1)[0])

        return scaling.bootstrap(range(values.shape[1]), slope)

    windows: Sequence[tuple[int, int]] = [(0, len(widths))]
    if len(widths) < 4:
        return over(windows[0])
    return scaling.scan(over, [*windows, (1, len(widths)), (0, len(widths) - 1)])


def _fluctuations(table: Table, p: KernelParameters) -> dict[str, Estimate]:
    initial = table.where(role="initial")
    return {
        label: _exponent(initial.where(parametrization=name), "kernel", relative_fluctuation)
        for name, label in PARAMETRIZATIONS.items()
    }


def _of_training(field: str) -> Callable[[Table, KernelParameters], Estimate]:
    def answer(table: Table, p: KernelParameters) -> Estimate:
        trained = table.where(role="trained")
        lost = sum(not row["reached"] for row in trained)
        widths, values = _by_width(trained.where(reached=True), field)
        return scaling.slope(widths, values.T, note=f"{lost} runs did not reach the loss.")

    return answer


def _of_learned(field: str) -> Callable[[Table, KernelParameters], Estimate]:
    return lambda table, p: _exponent(table.where(role="learned"), field, deviation, FROM)


CLAIMS = (
    Claim(
        "ch2.b.eq8.initial",
        "Ch. 2b, Eq. 8, App. C",
        "At initialization the NTK fluctuates as 1/sqrt(h), relative to its size.",
        -0.5,
        Tolerance(-0.58, -0.42, "-0.5 +- 0.08, in both parametrizations, without biases"),
        _fluctuations,
    ),
    Claim(
        "ch2.b.eq8.training",
        "Ch. 2b, Eq. 8",
        "During training the NTK moves as 1/h, relative to its size.",
        -1.0,
        Tolerance(-1.25, -0.75, "-1 +- 0.25"),
        _of_training("change"),
    ),
    Claim(
        "ch2.b.eq17.trained-net",
        "Ch. 2b, App. D, Eq. 17",
        "A trained net is what its NTK at initialization learns, up to O(1/h).",
        -1.0,
        Tolerance(-1.25, -0.75, "-1 +- 0.25: it comes from the motion of the kernel"),
        _of_training("off_kernel"),
    ),
    Claim(
        "ch2.b.eq17.third-term",
        "Ch. 2b, App. D, Eq. 17",
        "Regression with the NTK at initialization fluctuates as 1/sqrt(h) = N^(-1/4).",
        -0.5,
        Tolerance(-0.58, -0.42, "-0.5 +- 0.08 for h >= 128"),
        _of_learned("regression"),
    ),
    Claim(
        "ch2.b.eq17.residual",
        "Ch. 2b, App. D, Eq. 16",
        "What is left of the random function at initialization does not decay with the width.",
        0.0,
        Tolerance(-0.15, 0.15, "exponent for h >= 128; -0.5 would be that of the kernel"),
        _of_learned("residual"),
    ),
)


@lab.register
class DoubleDescentKernel(lab.Experiment):
    """Ch. 2b, Eqs. 8 and 17, Apps. C and D."""

    name = "double-descent-kernel"
    chapter = "2"
    title = "Where the fluctuations come from: the neural tangent kernel"
    summary = (
        "The neural tangent kernel of a net of width h differs from its infinite-width limit by "
        "1/sqrt(h) at initialization, and moves by 1/h during training. What a net learns "
        "therefore fluctuates as 1/sqrt(h), that is N^(-1/4); the memory of the function that it "
        "was at initialization stays."
    )
    sources = ("Ch. 2b, Sec. 5, Eq. 8", "Ch. 2b, App. C", "Ch. 2b, App. D, Eqs. 16 and 17")
    version = 1
    Parameters = KernelParameters
    profiles = {  # noqa: RUF012
        "smoke": KernelParameters(
            initial_widths=(8, 16, 32), initial_seeds=6, trained_widths=(16, 32), trained_seeds=2,
            learned_widths=(128, 160, 192), learned_seeds=6, loss=1e-2, steps=1000,
        ),
        "quick": KernelParameters(
            initial_widths=(32, 64, 128, 256, 512), initial_seeds=30,
            trained_widths=(32, 64, 128, 256), trained_seeds=4,
            learned_widths=(32, 64, 128, 256, 512), learned_seeds=20,
        ),
        "overnight": KernelParameters(
            initial_widths=(64, 128, 256, 512, 1024), initial_seeds=100,
            trained_widths=(32, 64, 128, 256, 512), trained_seeds=8,
            learned_widths=(32, 64, 128, 256, 512, 1024), learned_seeds=100,
        ),
        "paper": KernelParameters(
            initial_widths=(64, 128, 256, 512, 1024, 2048, 4096), initial_seeds=400,
            trained_widths=(32, 64, 128, 256, 512, 1024, 2048), trained_seeds=20,
            learned_widths=(32, 64, 128, 256, 512, 1024, 2048, 4096), learned_seeds=400,
        ),
    }  # fmt: skip
    claims = CLAIMS

    def points(self, p: KernelParameters) -> Iterator[dict[str, Any]]:
        yield from lab.grid(
            p.trained_seeds, role="trained", h=p.trained_widths, loss=p.loss, steps=p.steps,
            **TRAINED,
        )  # fmt: skip
        yield from lab.grid(p.learned_seeds, role="learned", h=p.learned_widths, **LEARNED)
        yield from lab.grid(
            p.initial_seeds, role="initial", parametrization=list(PARAMETRIZATIONS),
            h=p.initial_widths, **INITIAL,
        )  # fmt: skip

    def cost(self, point: dict[str, Any]) -> float:
        fixed, by_width = {
            "trained": (0.05, 8e-6), "learned": (0.008, 3e-7), "initial": (0.003, 3.5e-7)
        }[point["role"]]  # fmt: skip
        return float(fixed + by_width * point["h"] ** 2)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        return {"initial": _initial, "trained": _trained, "learned": _learned}[point["role"]](point)

    def figures(self, table: Table, p: KernelParameters) -> list[Figure]:
        return [
            _initial_figure(table.where(role="initial")),
            _trained_figure(table.where(role="trained")),
            _learned_figure(table.where(role="learned")),
        ]


def _initial(point: dict[str, Any]) -> dict[str, Any]:
    from symscape.datasets import uniform_sphere
    from symscape.kernels import empirical_ntk
    from symscape.networks import FullyConnected

    ntp = point["parametrization"] == "ntp"
    # Standard biases add to the kernel what does not grow with h: of five layers as much as the
    # weights do at h = 32, which hides the exponent.
    net = FullyConnected(
        INPUTS, point["h"], point["L"], parametrization=point["parametrization"], normalized=ntp,
        bias=False,
    )  # fmt: skip
    w = net.initial_weights(point["seed"], "normal" if ntp else "orthogonal_rows")
    x = uniform_sphere(point["P"], INPUTS, seed=0)
    return {"kernel": empirical_ntk(net, x, w=w).numpy()}


def _trained(point: dict[str, Any]) -> dict[str, Any]:
    """Gradient descent on the square loss, beside descent with the kernel of the start."""
    from symscape.datasets import teacher
    from symscape.dynamics import GradientDescent, Record, Square, Stop, train, train_frozen
    from symscape.kernels import empirical_ntk, kernel_change
    from symscape.networks import FullyConnected

    net = FullyConnected(
        INPUTS, point["h"], point["L"], parametrization="ntp", normalized=True, bias=False
    )
    w0 = net.initial_weights(point["seed"], "normal")
    x, y, x_test, _ = teacher(point["P"], INPUTS, 0, 0.0, n_test=N_TEST)
    same: dict[str, Any] = {
        "loss": Square(),
        "integrator": GradientDescent(lr=1.0),
        "record": Record(per_decade=0, every=None),
    }
    run = train(
        net, w0, x, y, alpha=1.0, stop=Stop(point["steps"], loss_below=point["loss"]), **same
    )
    run.raise_if_diverged()
    initial = empirical_ntk(net, x, w=w0)
    linear = train_frozen(initial, y, stop=Stop(run.steps, loss_below=None), **same)
    learned = empirical_ntk(net, x_test, x, w=w0) @ linear.w
    f = net(run.w, x_test) - net(w0, x_test)
    return {
        "reached": run.loss < point["loss"],
        "steps_taken": run.steps,
        "change": kernel_change(empirical_ntk(net, x, w=run.w), initial),
        "off_kernel": float((f - learned).norm() / learned.norm()),
    }


def _learned(point: dict[str, Any]) -> dict[str, Any]:
    """The terms of Eq. 17 on test points: the residual of the initial function, the regression."""
    from symscape.datasets import teacher
    from symscape.kernels import empirical_ntk, flow_outputs
    from symscape.networks import FullyConnected

    net = FullyConnected(INPUTS, point["h"], point["L"], parametrization="ntp", normalized=True)
    w = net.initial_weights(point["seed"], "normal")
    x, y, x_test, _ = teacher(point["P"], INPUTS, 0, 0.0, n_test=N_TEST)
    kernel, rows = empirical_ntk(net, x, w=w), empirical_ntk(net, x_test, x, w=w)
    parts = flow_outputs(kernel, rows, y, f0=net(w, x), f0_test=net(w, x_test))
    return {"regression": parts.regression, "residual": parts.residual}


def _spread(figure: Figure, table: Table, label: str, field: str, of: Any, group: int) -> None:
    """A statistic over nets against the width, with its error from resampled nets."""
    try:
        widths, values = _by_width(table, field)
    except NoEstimate:
        return
    if values.shape[1] < 2:
        return
    found = {
        float(h): scaling.cluster_bootstrap(of, v, resamples=200) for h, v in zip(widths, values)
    }
    figure.estimates(label, found, "lines+markers", group)


def _law(figure: Figure, exponent: float, name: str) -> None:
    """The thesis's power of h through the last point of the last series."""
    if figure.series:
        x, y = figure.series[-1].x, figure.series[-1].y
        figure.thesis(name, x[[0, -1]], y[-1] * (x[[0, -1]] / x[-1]) ** exponent)


def _initial_figure(table: Table) -> Figure:
    figure = Figure(
        "initial",
        "Fluctuations of the kernel at initialization",
        f"L = {INITIAL['L']}, {INITIAL['P']} points, no biases. Norm of the deviation from the "
        "mean over nets, over the norm of the mean. Dashed: 1/sqrt(h).",
        Axis("width h", log=True),
        Axis("relative fluctuation", log=True),
        claims=("ch2.b.eq8.initial",),
    )
    for group, (name, label) in enumerate(PARAMETRIZATIONS.items()):
        _spread(
            figure, table.where(parametrization=name), label, "kernel", relative_fluctuation, group
        )
    _law(figure, -0.5, "1/sqrt(h)")
    return figure


def _trained_figure(table: Table) -> Figure:
    figure = Figure(
        "training",
        "Motion of the kernel during training",
        f"L = {TRAINED['L']}, P = {TRAINED['P']}, square loss. Change of the kernel over its norm, "
        "and distance of the trained net from what its first kernel learns in the same number of "
        "steps. Dashed: 1/h.",
        Axis("width h", log=True),
        Axis("relative change", log=True),
        claims=("ch2.b.eq8.training", "ch2.b.eq17.trained-net"),
    )
    reached = table.select(lambda row: bool(row["reached"]))
    figure.curves(reached, "h", "off_kernel", name="net less its first kernel", geometric=True)
    figure.curves(reached, "h", "change", name="kernel", geometric=True, group=1)
    _law(figure, -1.0, "1/h")
    return figure


def _learned_figure(table: Table) -> Figure:
    figure = Figure(
        "learned",
        "Fluctuations of what the kernel learns",
        f"L = {LEARNED['L']}, P = {LEARNED['P']}, on {N_TEST} test points; the terms of Eq. 17. "
        "The residual of the function at initialization stays; regression fluctuates less in wide "
        "nets. Dashed: 1/sqrt(h) = N^(-1/4).",
        Axis("width h", log=True),
        Axis("standard deviation over nets", log=True),
        claims=("ch2.b.eq17.third-term", "ch2.b.eq17.residual"),
    )
    _spread(figure, table, "residual", "residual", deviation, 0)

    def whole(row: Row) -> Array:
        return np.asarray(row["regression"]) + np.asarray(row["residual"])

    both = Table([lab.Row(row.point, {"both": whole(row)}, row.key) for row in table])
    _spread(figure, both, "both terms", "both", deviation, 1)
    _spread(figure, table, "regression", "regression", deviation, 2)
    _law(figure, -0.5, "1/sqrt(h)")
    return figure

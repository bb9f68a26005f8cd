"""Test error against the number of parameters, with its cusp at jamming (paper B, Sec. 4)."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from symscape import lab, scaling
from symscape.experiments.jamming._parameters import Depth, Patterns, Width, pinned_digits
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEAR = (1.5, 1.3, 2.0)
"""N within this factor of N* counts as being at the transition; the others are compared with it."""

FAR = 6.0
"""Nets smaller than N* by more than this err because they cannot express the rule at all."""

REACH = (2.0, 1.6, 2.5)
"""Sizes within this factor of that of largest error tell where the maximum of the curve is."""


class GeneralizationParameters(lab.Parameters):
    source: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    d: int = Field(ge=2, le=784, default=10, description="input dimension (principal components)")
    digits: tuple[tuple[Depth, Patterns], ...] = Field(
        description="pairs (L, P) of the curves on digits"
    )
    teacher: tuple[tuple[Depth, Patterns], ...] = Field(
        description="pairs (L, P) of the curves on a teacher's labels"
    )
    flip: float = Field(ge=0, le=0.5, default=0.1, description="flipped labels of the teacher's")
    widths: tuple[Width, ...] = Field(
        min_length=1, description="widths h of L = 2; deeper nets have fewer"
    )
    seeds: int = Field(ge=1, description="independent data sets and initializations")
    steps: int = Field(ge=1, description="ADAM steps, unless all patterns are satisfied before")
    learning_rate: float = Field(gt=0, le=1, default=1e-3, description="ADAM rate, constant")
    n_test: int = Field(ge=2, description="largest number of test patterns")
    much_data: int = Field(ge=2, description="digits of the runs with much data")
    large_width: Width = Field(description="width of the runs with much data")
    much_data_steps: int = Field(ge=1, description="ADAM steps of the runs with much data")


Statistic = Callable[["_Mean", Any], float]
"""A number of a mean curve, for a choice of the analysis (``NEAR``, ``REACH``)."""

Answer = Callable[[Table, GeneralizationParameters], Mapping[str, Estimate]]


@dataclass(frozen=True, eq=False)
class _Mean:
    """A curve averaged over seeds, with N in units of N*."""

    ratio: Array
    final: Array
    best: Array
    steps: Array

    def parts(self, near: float) -> tuple[Mask, Mask, Mask]:
        """The sizes below the transition, at it (within a factor ``near``), and beyond it."""
        below, beyond = self.ratio < 1 / near, self.ratio > near
        parts = below & (self.ratio >= 1 / FAR), ~below & ~beyond, beyond
        if not all(part.any() for part in parts):
            raise NoEstimate(f"The sizes do not reach far enough around N* ({self.ratio}).")
        return parts


@dataclass(frozen=True, eq=False)
class _Curve:
    """Test errors of one data set, depth and P: rows are seeds, columns are sizes.

    NaN stands for runs whose net is silent: some layer is off on all patterns, which happens to
    the narrowest nets at the first steps, and the output is one constant for ever.
    """

    name: str
    is_teacher: bool
    N: Array
    N_star: Array
    """By seed, the middle of the smallest size that fitted and the next one below; infinite
    where none did."""
    final: Array
    best: Array
    steps: Array

    def mean(self, seeds: Sequence[int]) -> _Mean:
        """Mean over some of the seeds (with repetition), at the sizes where one is alive."""
        some = list(seeds)
        N_star = float(np.median(self.N_star[some]))
        if not math.isfinite(N_star):
            raise NoEstimate(f"{self.name}: no net fits for half of the seeds.")
        alive = np.isfinite(self.final[some]).any(0)
        columns = (self.final, self.best, self.steps)
        return _Mean(self.N[alive] / N_star, *(np.nanmean(c[some][:, alive], 0) for c in columns))

    def estimate(self, statistic: Statistic, choices: Sequence[Any] = NEAR) -> Estimate:
        """A statistic of the mean curve: bootstrap over seeds, and drift over choices."""
        # The resamples of a few seeds are few: each mean is computed once.
        drawn = functools.cache(self.mean)

        def of(choice: Any) -> Estimate:
            return scaling.bootstrap(
                range(len(self.N_star)),
                lambda seeds: statistic(drawn(tuple(sorted(seeds))), choice),
            )

        silent = int(np.isnan(self.final).sum())
        said = f"{silent} runs of constant output are left out." if silent else ""
        return scaling.scan(of, choices, f"N* = {np.median(self.N_star):.0f}. {said}".strip())


@lab.once
def _curves(table: Table) -> list[_Curve]:
    """The curves, incomplete seeds left out."""
    return [
        _curve(_name(rows.rows[0]), data == "teacher", rows)
        for (data, _, _), rows in table.where(role="curve").groups("data", "L", "P")
    ]


def _name(row: Row) -> str:
    return f"L = {row['L']}, P = {row['P']}"


def _curve(name: str, is_teacher: bool, table: Table) -> _Curve:
    sizes = sorted({row["n_weights"] for row in table})
    seeds = [
        sorted(rows, key=lambda row: row["n_weights"])
        for _, rows in table.groups("seed")
        if len(rows) == len(sizes)
    ]
    if not seeds:
        raise NoEstimate(f"{name}: no seed has all sizes.")

    def columns(field: str) -> Array:
        return np.array(
            [[math.nan if row["silent"] else row[field] for row in rows] for rows in seeds], float
        )

    N = np.array(sizes, float)
    middle = np.sqrt(N * np.r_[N[0], N[:-1]])
    fits = np.array([[row["status"] == "converged" for row in rows] for rows in seeds])
    return _Curve(
        name=name,
        is_teacher=is_teacher,
        N=N,
        N_star=np.where(fits, middle, math.inf).min(1),
        final=columns("test_error"),
        best=columns("best_test_error"),
        steps=columns("steps_taken"),
    )


def _on_digits(**statistics: Statistic) -> Answer:
    """The answer of a claim on the curves of digits: a panel per curve and statistic."""
    return lambda table, p: {
        f"{curve.name}, {name.replace('_', ' ')}": curve.estimate(statistic)
        for curve in _curves(table)
        if not curve.is_teacher
        for name, statistic in statistics.items()
    }


def _over(field: str, side: int) -> Statistic:
    """Error at N* over that below (side 0) or beyond it (side 2)."""

    def statistic(mean: _Mean, near: float) -> float:
        parts, values = mean.parts(near), getattr(mean, field)
        return float(values[parts[1]].mean() / values[parts[side]].mean())

    return statistic


def _both_depths(table: Table, p: GeneralizationParameters) -> Mapping[str, Estimate]:
    if len({L for L, _ in p.digits}) < 2:
        raise NoEstimate("Fewer than two depths are measured.")
    return _on_digits(below=_over("final", 0), beyond=_over("final", 2))(table, p)


def _no_cusp_of_best(table: Table, p: GeneralizationParameters) -> dict[str, Estimate]:
    """The lower of the two sides' ratios: a curve that falls throughout has it below 1."""
    return {
        curve.name: min(
            (curve.estimate(_over("best", side)) for side in (0, 2)), key=lambda e: e.value
        )
        for curve in _curves(table)
        if not curve.is_teacher
    }


def _at_end(value: Callable[[_Mean], Array], place: int = -1) -> Statistic:
    """A quantity of the largest net (or of another place) over its mean at N*."""
    return lambda mean, near: float(value(mean)[place] / value(mean)[mean.parts(near)[1]].mean())


def _cusp(of_teacher: bool) -> Answer:
    return lambda table, p: {
        curve.name: _cusp_of(curve) for curve in _curves(table) if curve.is_teacher == of_teacher
    }


def _cusp_of(curve: _Curve) -> Estimate:
    """Where the error is largest, with the spacing of the sizes around N* in the error."""
    found = curve.estimate(_maximum, REACH)
    everyone = curve.mean(range(len(curve.N_star)))
    spacing = np.diff(np.log(everyone.ratio))[np.searchsorted(everyone.ratio, 1.0) - 1]
    rounding = found.value * spacing / math.sqrt(12)
    error = None if found.error is None else math.hypot(found.error, rounding)
    return dataclasses.replace(found, error=error).noted(
        f"The rounding of N* to sizes that exist adds {rounding:.2g} to the error. Small nets "
        f"included, the largest error is at N/N* = {everyone.ratio[everyone.final.argmax()]:.2g}."
    )


def _maximum(mean: _Mean, reach: float) -> float:
    """N/N* of the largest final error, from the dip on that precedes the cusp.

    A parabola in log N through the sizes around it smooths the noise. Nets smaller than the dip
    err more and more, because they cannot express the rule.
    """
    below = mean.final[mean.ratio < 1 / NEAR[0]]
    start = int(below.argmin()) if below.size else 0
    x, error = np.log(mean.ratio[start:]), mean.final[start:]
    top = x[error.argmax()]
    around = np.abs(x - top) <= math.log(reach)
    if around.sum() < 3:
        raise NoEstimate("Too few sizes around the largest error.")
    curvature, slope, _ = np.polyfit(x[around] - top, error[around], 2)
    shift = -slope / (2 * curvature) if curvature < 0 else 0.0
    return float(np.exp(np.clip(top + shift, x[around][0], x[around][-1])))


def _gap(mean: _Mean) -> Array:
    """Overfitting: the error at the end less the smallest one on the way."""
    return mean.final - mean.best


def _accuracy(table: Table, p: GeneralizationParameters) -> Estimate:
    rows = table.where(role="much data")
    found = scaling.mean(rows.per_seed(lambda row: 1 - row["test_error"]))
    best = scaling.mean(rows.per_seed(lambda row: 1 - row["best_test_error"]))
    return found.noted(
        f"P = {p.much_data}, h = {p.large_width}, {p.much_data_steps} steps; at the best moment "
        f"of the training {best.value:.3f}."
    )


CLAIMS = (
    Claim(
        "ch1.b.fig4c.cusp-at-transition",
        "Paper B, Fig. 4B, C",
        "For every P the test error at the end of training has its cusp at N = N*(P).",
        "N/N* = 1",
        Tolerance(
            1 / NEAR[0],
            NEAR[0],
            "largest error from the dip of small nets on, within a factor 1.5: the cusp of small "
            "nets is broad, and the widths discrete",
        ),
        _cusp(of_teacher=False),
    ),
    Claim(
        "ch1.b.fig4b.decrease-beyond",
        "Paper B, Fig. 4B",
        "Beyond jamming the test error falls: that of the largest net is below the cusp.",
        "< 1",
        Tolerance.at_most(1.0, "error of the largest net over the mean at N*, for every curve"),
        _on_digits(largest_net=_at_end(lambda mean: mean.final)),
    ),
    Claim(
        "ch1.b.fig4b.early-stopping-without-cusp",
        "Paper B, Fig. 4B (dashed)",
        "The smallest error reached during training has no cusp at N*.",
        "no cusp",
        Tolerance.at_most(
            1.0, "mean at N* over the mean below or beyond it, the lower of the two: not above both"
        ),
        _no_cusp_of_best,
    ),
    Claim(
        "ch1.b.fig4b.overfitting-at-transition",
        "Paper B, Fig. 4B, C",
        "Overfitting (final minus smallest error) is strong only at the transition.",
        "only in the vicinity of the transition",
        Tolerance.at_most(
            0.5, "that of the smallest and of the largest net over that at N*: at most half"
        ),
        _on_digits(smallest_net=_at_end(_gap, 0), largest_net=_at_end(_gap)),
    ),
    Claim(
        "ch1.b.fig4a.early-end",
        "Paper B, Fig. 4A",
        "Overparametrized nets reach zero loss, and halt, sooner than nets at the transition.",
        "sooner",
        Tolerance.at_most(0.5, "steps of the largest net over steps at N*: at most half"),
        _on_digits(largest_net=_at_end(lambda mean: mean.steps)),
    ),
    Claim(
        "ch1.b.figB2.both-depths",
        "Paper B, Fig. B2",
        "The cusp is there for L = 2 and for L = 5.",
        "both",
        Tolerance.at_least(
            1.0, "final error at N* over that below and over that beyond, each above 1"
        ),
        _both_depths,
    ),
    Claim(
        "ch1.b.sec4.accuracy",
        "Paper B, App. B.2",
        "With much data and many parameters more than 90 % of new digits are classified right.",
        "> 0.90",
        Tolerance.at_least(0.90, "the thesis's bound; 10,000 digits stand for all 60,000"),
        _accuracy,
    ),
    Claim(
        "ch1.b.fig4c.cusp-for-teacher",
        "Paper B, Fig. 4C, with another data set",
        "A teacher's labels, a tenth of them flipped, give the cusp at N = N* as well.",
        "N/N* = 1",
        Tolerance(1 / NEAR[0], NEAR[0], "as for digits"),
        _cusp(of_teacher=True),
    ),
)


@lab.register
class Generalization(lab.Experiment):
    """Paper B, Figs. 4 and B2."""

    name = "jamming-generalization"
    chapter = "1"
    title = "Generalization at and beyond jamming"
    summary = (
        "Nets of many widths learn the parity of digits from ten principal components, with the "
        "quadratic hinge loss. The test error at the end of training has a cusp where the nets "
        "just manage to fit the training set, and falls beyond; the smallest error on the way has "
        "none. A second data set, points labeled by a random net with a tenth of the labels "
        "flipped, shows the same."
    )
    sources = ("Paper B, Fig. 4", "Paper B, Fig. B2 and App. B.2")
    version = 1
    Parameters = GeneralizationParameters
    profiles = {  # noqa: RUF012
        "smoke": GeneralizationParameters(
            source="mnist-sample",
            digits=((2, 100), (5, 100)),
            teacher=((2, 100),),
            widths=(2, 5, 12),
            seeds=1,
            steps=400,
            learning_rate=5e-3,
            n_test=200,
            much_data=1000,
            large_width=10,
            much_data_steps=50,
        ),
        "quick": GeneralizationParameters(
            digits=((2, 500), (5, 1000)),
            teacher=((2, 400),),
            widths=(3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 24, 40),
            seeds=4,
            steps=10_000,
            n_test=2000,
            much_data=5000,
            large_width=40,
            much_data_steps=400,
        ),
        "overnight": GeneralizationParameters(
            digits=((2, 1000), (5, 1000), (5, 2000)),
            teacher=((2, 600),),
            widths=(3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 17, 20, 25, 32, 50, 80),
            seeds=4,
            steps=40_000,
            n_test=8000,
            much_data=10_000,
            large_width=60,
            much_data_steps=2000,
        ),
        "paper": GeneralizationParameters(
            digits=((5, 10_000), (5, 20_000), (5, 50_000), (2, 50_000)),
            teacher=((2, 10_000),),
            widths=(1, 2, 4, 7, 11, 15, 20, 25, 30, 36, 43, 52, 62, 90, 160, 400, 1000, 3000),
            seeds=5,
            steps=500_000,
            learning_rate=1e-4,
            n_test=18_000,
            much_data=60_000,
            large_width=3000,
            much_data_steps=500_000,
        ),
    }
    claims = CLAIMS

    def points(self, p: GeneralizationParameters) -> Iterator[dict[str, Any]]:
        digits = pinned_digits(p.source, max([p.much_data, *(P for _, P in p.digits)]), n_test=2)
        runs = [
            {"role": "curve", "data": data, "L": L, "P": P, "h": h, "steps": p.steps}
            for data, curves in ((digits, p.digits), ("teacher", p.teacher))
            for L, P in curves
            for h in _widths_of_depth(p.widths, L)
        ]
        much = {"data": digits, "L": 2, "P": p.much_data, "h": p.large_width}
        runs.append({"role": "much data", **much, "steps": p.much_data_steps})
        same = {name: getattr(p, name) for name in ("d", "flip", "learning_rate", "n_test")}
        return lab.grid(p.seeds, run=runs, **same)

    def cost(self, point: dict[str, Any]) -> float:
        weights = point["d"] * point["h"] + (point["L"] - 1) * point["h"] ** 2
        step = 4e-5 + 1.5e-10 * point["P"] * (weights + 50 * point["L"])
        overparametrized = point["role"] == "curve" and weights > point["P"] / 2
        return float(point["steps"] * step * (0.2 if overparametrized else 1.0))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.datasets import mnist_parity, teacher
        from symscape.dynamics import Adam, Hinge, Record, Stop, train
        from symscape.networks import FullyConnected

        P, d, seed, n_test = point["P"], point["d"], point["seed"], point["n_test"]
        if point["data"] == "teacher":
            # One teacher for all seeds, as the digits are: only the draw of the points differs.
            x, y, x_test, y_test = teacher(
                P, d, seed, flip=point["flip"], n_test=n_test, teacher_seed=0
            )
        else:
            x, y, x_test, y_test, _ = mnist_parity(P, d, seed, point["data"])
        net = FullyConnected(d, point["h"], point["L"])
        result = train(
            net,
            net.initial_weights(seed, "orthogonal"),
            x,
            y,
            loss=Hinge(),
            integrator=Adam(lr=point["learning_rate"]),
            stop=Stop(max_steps=point["steps"]),
            test=(x_test[:n_test], y_test[:n_test]),
            record=Record(per_decade=16, every=None),
        )
        result.raise_if_diverged()
        f = net(result.w, x)
        return {
            "n_weights": net.n_weights,
            "status": result.status,
            "steps_taken": result.steps,
            "loss": result.loss,
            "n_delta": result.n_delta,
            "silent": bool(f.max() - f.min() < 1e-12),
            "test_error": result.test_error,
            "best_test_error": result.best_test_error,
            "history_step": result.history["step"],
            "history_test_error": result.history["test_error"],
        }

    def figures(self, table: Table, p: GeneralizationParameters) -> list[Figure]:
        taught = table.where(role="curve", data="teacher")
        digits = table.select(lambda row: row["role"] == "curve" and row["data"] != "teacher")
        return [
            _errors_figure(digits, "test-error-scaled", "Test error against N/N*, digits", _SCALED),
            _history_figure(digits, p),
            _errors_figure(
                taught,
                "test-error-teacher",
                "Test error against N/N*, a teacher's labels",
                ("ch1.b.fig4c.cusp-for-teacher",),
            ),
            _sizes_figure(digits, p),
        ]


def _widths_of_depth(widths: Sequence[int], L: int) -> list[int]:
    """Widths at which L hidden layers have about the weights of two layers of these widths."""
    scale = 1.0 if L == 2 else max(L - 1, 1) ** -0.3
    return sorted({max(1, round(scale * h)) for h in widths})


_ERROR = Axis("test error")

_SCALED = (
    "ch1.b.fig4c.cusp-at-transition",
    "ch1.b.fig4b.decrease-beyond",
    "ch1.b.fig4b.early-stopping-without-cusp",
    "ch1.b.fig4b.overfitting-at-transition",
    "ch1.b.figB2.both-depths",
)


def _alive(field: str) -> Callable[[Row], float]:
    """A field of a run, NaN where its output is constant."""
    return lambda row: math.nan if row["silent"] else row[field]


def _draw(figure: Figure, table: Table, x: Any) -> None:
    by, name = ("L", "P"), "L = {L}, P = {P}"
    figure.curves(table, x, _alive("test_error"), by, name=f"{name}, at the end")
    figure.curves(
        table, x, _alive("best_test_error"), by, name=f"{name}, best in time", mode="lines"
    )


def _errors_figure(table: Table, name: str, title: str, claims: tuple[str, ...]) -> Figure:
    figure = Figure(
        name,
        title,
        "Mean over seeds, as a function of N/N*, with N* the smallest N that fits the training "
        "set. With markers: at the end of training; without: the smallest error on the way. The "
        "thesis finds the cusp of the final error at 1 for every P.",
        Axis("N / N*", log=True),
        _ERROR,
        claims=claims,
    )
    scale = {curve.name: float(np.median(curve.N_star)) for curve in _curves(table)}
    shown = table.select(lambda row: math.isfinite(scale[_name(row)]))
    _draw(figure, shown, lambda row: row["n_weights"] / scale[_name(row)])
    if shown:
        errors = np.concatenate([series.y for series in figure.series])
        figure.thesis("cusp of the thesis", [1.0, 1.0], [errors.min(), errors.max()])
    return figure


def _sizes_figure(table: Table, p: GeneralizationParameters) -> Figure:
    figure = Figure(
        "test-error",
        "Test error against size, digits",
        "With markers: at the end of training; without: the smallest error on the way. The thesis "
        "reaches an error below 0.1 with all data and large N.",
        Axis("N", log=True),
        _ERROR,
        claims=("ch1.b.sec4.accuracy",),
    )
    _draw(figure, table, "n_weights")
    if table:
        N = table.column("n_weights")
        figure.thesis("all data, large N: below", [N.min(), N.max()], [0.1, 0.1])
    return figure


def _history_figure(table: Table, p: GeneralizationParameters) -> Figure:
    figure = Figure(
        "test-error-history",
        "Test error during training",
        "Four sizes, the largest training set of digits, one seed. At the transition the error "
        "rises again after its minimum; larger nets halt sooner, at zero loss.",
        Axis("step", log=True),
        _ERROR,
        ordered=True,
        claims=("ch1.b.fig4a.early-end",),
    )
    L, P = max(p.digits, key=lambda curve: curve[::-1])
    rows = table.where(L=L, P=P, seed=0)
    for curve in _curves(table.where(L=L, P=P)):
        N_star = min(float(np.median(curve.N_star)), curve.N[-1])
        targets = N_star * np.array([0.2, 1.0, 2.5, 1e9])
        shown = {int(N) for N in curve.N[np.abs(np.log(curve.N / targets[:, None])).argmin(1)]}
        figure.curves(
            Table(row for row in rows if row["n_weights"] in shown),
            lambda row: np.maximum(row["history_step"], 1),
            "history_test_error",
            "n_weights",
            name="N = {n_weights}",
            mode="lines",
        )
    return figure

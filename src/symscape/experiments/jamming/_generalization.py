"""Test error against the number of parameters, with its cusp at jamming (paper B, Sec. 4)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from symscape import lab
from symscape.experiments.jamming._parameters import Depth, Patterns, Width, pinned_digits
from symscape.lab import Axis, Claim, Figure, Finding, Row, Table, Tolerance

Array = NDArray[np.float64]

NEAR = 1.5
"""N within this factor of N* counts as being at the transition."""

FAR = 6.0
"""Nets smaller than N* by more than this err because they cannot express the rule at all."""


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


CLAIMS = (
    Claim(
        "ch1.b.fig4c.cusp-at-transition",
        "Paper B, Fig. 4B, C",
        "For every P the test error at the end of training has its cusp at N = N*(P).",
        "N/N* = 1",
        Tolerance(
            1 / NEAR,
            NEAR,
            "largest error from the dip of small nets on, within a factor 1.5: the cusp of small "
            "nets is broad, and the widths discrete",
        ),
    ),
    Claim(
        "ch1.b.fig4b.decrease-beyond",
        "Paper B, Fig. 4B",
        "Beyond jamming the test error falls: that of the largest net is below the cusp.",
        "< 1",
        Tolerance(0.0, 1.0, "ratio of the two errors, the largest over all curves on digits"),
    ),
    Claim(
        "ch1.b.fig4b.early-stopping-without-cusp",
        "Paper B, Fig. 4B (dashed)",
        "The smallest error reached during training has no cusp at N*.",
        "no cusp",
        Tolerance(
            -math.inf, 0.5, "its excess at N*, over that of the final error, is less than half"
        ),
    ),
    Claim(
        "ch1.b.fig4b.overfitting-at-transition",
        "Paper B, Fig. 4B, C",
        "Overfitting (final minus smallest error) is strong only at the transition.",
        "only in the vicinity of the transition",
        Tolerance(2.0, math.inf, "gap at N* at least twice that of the largest net"),
    ),
    Claim(
        "ch1.b.fig4a.early-end",
        "Paper B, Fig. 4A",
        "Overparametrized nets reach zero loss, and halt, sooner than nets at the transition.",
        "sooner",
        Tolerance(0.0, 0.5, "steps of the largest net over steps at N*: at most half"),
    ),
    Claim(
        "ch1.b.figB2.both-depths",
        "Paper B, Fig. B2",
        "The cusp is there for L = 2 and for L = 5.",
        "both",
        Tolerance(
            1.0, math.inf, "final error at N* over the mean below and beyond, the smaller depth's"
        ),
    ),
    Claim(
        "ch1.b.sec4.accuracy",
        "Paper B, App. B.2",
        "With much data and many parameters more than 90 % of new digits are classified right.",
        "> 0.90",
        Tolerance(0.90, 1.0, "the thesis's bound; 10,000 digits stand for all 60,000"),
    ),
    Claim(
        "ch1.b.fig4c.cusp-for-teacher",
        "Paper B, Fig. 4C, with another data set",
        "A teacher's labels, a tenth of them flipped, give the cusp at N = N* as well.",
        "N/N* = 1",
        Tolerance(1 / NEAR, NEAR, "as for digits"),
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
        curves = [(digits, L, P) for L, P in p.digits] + [("teacher", L, P) for L, P in p.teacher]
        runs = [
            ("curve", data, L, P, h, p.steps)
            for data, L, P in curves
            for h in _widths_of_depth(p.widths, L)
        ]
        runs.append(("much data", digits, 2, p.much_data, p.large_width, p.much_data_steps))
        for role, data, L, P, h, steps in runs:
            for seed in range(p.seeds):
                yield {
                    "role": role,
                    "data": data,
                    "L": L,
                    "P": P,
                    "h": h,
                    "d": p.d,
                    "flip": p.flip,
                    "seed": seed,
                    "steps": steps,
                    "learning_rate": p.learning_rate,
                    "n_test": p.n_test,
                }

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

    def analyse(self, table: Table, p: GeneralizationParameters) -> list[Finding]:
        curves = _curves(table)
        digits = [curve for curve in curves if not curve.is_teacher]
        return [
            _cusp("ch1.b.fig4c.cusp-at-transition", digits),
            _over_curves("ch1.b.fig4b.decrease-beyond", digits, _end_over_peak, max),
            _over_curves("ch1.b.fig4b.early-stopping-without-cusp", digits, _cusp_of_best, np.mean),
            _over_curves("ch1.b.fig4b.overfitting-at-transition", digits, _gap_ratio, np.mean),
            _over_curves("ch1.b.fig4a.early-end", digits, _steps_ratio, max),
            _both_depths(digits),
            _accuracy(table.where(role="much data")),
            _cusp("ch1.b.fig4c.cusp-for-teacher", [c for c in curves if c.is_teacher]),
        ]

    def figures(self, table: Table, p: GeneralizationParameters) -> list[Figure]:
        curves = _curves(table)
        digits = [curve for curve in curves if not curve.is_teacher]
        taught = [curve for curve in curves if curve.is_teacher]
        return [
            _history_figure(table, digits),
            _curves_figure(digits, "test-error", "Test error against size, digits"),
            _scaled_figure(digits, "test-error-scaled", "Test error against N/N*, digits"),
            _scaled_figure(
                taught, "test-error-teacher", "Test error against N/N*, a teacher's labels"
            ),
        ]


def _widths_of_depth(widths: Sequence[int], L: int) -> list[int]:
    """Widths at which L hidden layers have about the weights of two layers of these widths."""
    scale = 1.0 if L == 2 else max(L - 1, 1) ** -0.3
    return sorted({max(1, round(scale * h)) for h in widths})


@dataclass(frozen=True)
class _Curve:
    """Test errors of one data set and depth: rows are seeds, columns are sizes.

    NaN stands for runs whose net is silent: some layer is off on all patterns, which happens to
    the narrowest nets at the first steps, and the output is one constant for ever.
    """

    data: str
    L: int
    P: int
    N: Array
    final: Array
    best: Array
    steps: Array
    N_star: float
    N_star_error: float
    keys: tuple[str, ...]

    @property
    def is_teacher(self) -> bool:
        return self.data == "teacher"

    @property
    def name(self) -> str:
        return f"L = {self.L}, P = {self.P}"

    def pick(self, seeds: NDArray[np.int64]) -> _Mean:
        """Means over some of the seeds (with repetition), at the sizes where one is alive."""
        alive = np.isfinite(self.final[seeds]).any(0)
        final, best, steps = (
            np.nanmean(values[seeds][:, alive], 0) for values in (self.final, self.best, self.steps)
        )
        return _Mean(self.N[alive] / self.N_star, final, best, steps)


@dataclass(frozen=True)
class _Mean:
    """A curve averaged over seeds, with N in units of N*."""

    ratio: Array
    final: Array
    best: Array
    steps: Array

    @property
    def near(self) -> NDArray[np.bool_]:
        """The sizes at the transition."""
        return (self.ratio >= 1 / NEAR) & (self.ratio <= NEAR)

    @property
    def spans(self) -> bool:
        """Whether there are sizes at the transition, and the largest lies beyond."""
        return bool(self.near.any() and self.ratio[-1] > NEAR)

    def excess(self, values: Array) -> float:
        """Mean at the transition over the mean of what is below and beyond it."""
        below = (self.ratio < 1 / NEAR) & (self.ratio >= 1 / FAR)
        beyond = self.ratio > NEAR
        if not (below.any() and beyond.any() and self.near.any()):
            return math.nan
        return float(values[self.near].mean() - (values[below].mean() + values[beyond].mean()) / 2)


def _curves(table: Table) -> list[_Curve]:
    """The curves with a transition inside the sizes measured, incomplete seeds left out."""
    found = [
        _curve(data, L, P, some)
        for (data, L, P), some in table.where(role="curve").groups("data", "L", "P")
    ]
    return [curve for curve in found if curve is not None]


def _curve(data: str, L: int, P: int, table: Table) -> _Curve | None:
    from symscape.landscape import Trial, fit_transition

    size = {row["h"]: float(row["n_weights"]) for row in table}
    by_seed = {
        seed: sorted(some.rows, key=lambda row: row["h"])
        for (seed,), some in table.groups("seed")
        if len(some) == len(size)
    }
    if not by_seed:
        return None
    rows = [row for some in by_seed.values() for row in some]
    transition = fit_transition(
        [Trial(row["h"], row["seed"], _outcome(row)) for row in rows], lambda h: size[h]
    )
    if transition.N_star is None:
        return None

    def columns(name: str) -> Array:
        return np.array(
            [
                [math.nan if row["silent"] else float(row[name]) for row in some]
                for some in by_seed.values()
            ]
        )

    return _Curve(
        data=data,
        L=L,
        P=P,
        N=np.array(sorted(size.values())),
        final=columns("test_error"),
        best=columns("best_test_error"),
        steps=columns("steps_taken"),
        N_star=transition.N_star,
        N_star_error=transition.error or 0.0,
        keys=tuple(row.key for row in rows),
    )


def _outcome(row: Row) -> Any:
    """Fitted, jammed (N_Delta > N/10, as in the thesis) or neither at the end of the steps."""
    if row["status"] == "converged":
        return "sat"
    return "unsat" if row["n_delta"] > 0.1 * row["n_weights"] else "censored"


def _peak_position(curve: _Mean) -> float:
    """N/N* of the largest final error, from the dip on that precedes the cusp.

    Nets smaller than that err more and more, because they cannot express the rule.
    """
    below = curve.final[curve.ratio < 1 / NEAR]
    start = int(below.argmin()) if below.size else 0
    return float(curve.ratio[start + int(curve.final[start:].argmax())])


def _largest_position(curve: _Mean) -> float:
    """N/N* of the largest final error of all."""
    return float(curve.ratio[curve.final.argmax()])


def _end_over_peak(curve: _Mean) -> float:
    return float(curve.final[-1] / curve.final[curve.near].max()) if curve.spans else math.nan


def _cusp_of_best(curve: _Mean) -> float:
    excess = curve.excess(curve.final)
    return curve.excess(curve.best) / excess if excess > 0 else math.nan


def _gap_ratio(curve: _Mean) -> float:
    if not curve.spans:
        return math.nan
    gap = curve.final - curve.best
    return float(gap[curve.near].max() / gap[-1]) if gap[-1] > 0 else math.inf


def _steps_ratio(curve: _Mean) -> float:
    return float(curve.steps[-1] / curve.steps[curve.near].max()) if curve.spans else math.nan


def _prominence(curve: _Mean) -> float:
    """Error at the transition over the mean of the errors below and beyond it."""
    height = float(curve.final[curve.near].mean())
    return height / (height - curve.excess(curve.final))


def _outermost(ratios: Sequence[float]) -> float:
    """The one that is farthest from 1, in the logarithm."""
    return max(ratios, key=lambda ratio: abs(math.log(ratio)))


def _over_curves(
    claim: str,
    curves: Sequence[_Curve],
    statistic: Callable[[_Mean], float],
    combine: Callable[[Sequence[float]], Any],
    resamples: int = 200,
) -> Finding:
    """A statistic of each curve, combined, with its bootstrap error over seeds."""
    if not curves:
        return Finding(claim, None, None, "No curve has its transition inside the sizes measured.")
    everyone = [statistic(curve.pick(np.arange(len(curve.final)))) for curve in curves]
    if not all(math.isfinite(value) for value in everyone):
        return Finding(claim, None, None, "The sizes do not reach far enough around N*.")
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(resamples):
        sample = [
            statistic(curve.pick(random.integers(len(curve.final), size=len(curve.final))))
            for curve in curves
        ]
        if all(math.isfinite(value) for value in sample):
            drawn.append(float(combine(sample)))
    one_seed = min(len(curve.final) for curve in curves) < 2
    error = None if one_seed or len(drawn) < 2 else float(np.std(drawn, ddof=1))
    said = "; ".join(
        f"{curve.name}: {value:.2f} (N* = {curve.N_star:.0f} ± {curve.N_star_error:.0f})"
        for curve, value in zip(curves, everyone)
    )
    silent = sum(int(np.isnan(curve.final).sum()) for curve in curves)
    left_out = f" {silent} runs of constant output are left out." if silent else ""
    keys = [key for curve in curves for key in curve.keys]
    return Finding(claim, float(combine(everyone)), error, f"{said}.{left_out}", keys)


def _cusp(claim: str, curves: Sequence[_Curve]) -> Finding:
    """Where the cusp is; the note says where the error is largest of all, small nets included."""
    finding = _over_curves(claim, curves, _peak_position, _outermost)
    everywhere = ", ".join(
        f"{_largest_position(curve.pick(np.arange(len(curve.final)))):.2g}" for curve in curves
    )
    note = f"{finding.note} Small nets included, the largest error is at N/N* = {everywhere}."
    return dataclasses.replace(finding, note=note) if curves else finding


def _both_depths(curves: Sequence[_Curve]) -> Finding:
    claim = "ch1.b.figB2.both-depths"
    if len({curve.L for curve in curves}) < 2:
        return Finding(claim, None, None, "Fewer than two depths have their transition in range.")
    return _over_curves(claim, curves, _prominence, min)


def _accuracy(table: Table) -> Finding:
    claim = "ch1.b.sec4.accuracy"
    if not table:
        return Finding(claim, None, None, "No finished run with much data.")
    accuracy = 1.0 - table.column("test_error")
    error = float(accuracy.std(ddof=1) / math.sqrt(len(accuracy))) if len(accuracy) > 1 else None
    row = table.rows[0]
    best = 1.0 - table.column("best_test_error").mean()
    note = (
        f"P = {row['P']}, N = {row['n_weights']}, {row['steps']} steps; "
        f"at the best moment of the training {best:.3f}."
    )
    return Finding(claim, float(accuracy.mean()), error, note, table.keys)


_ERROR = Axis("test error")


def _history_figure(table: Table, curves: Sequence[_Curve]) -> Figure:
    figure = Figure(
        "test-error-history",
        "Test error during training",
        "Four sizes, the largest training set of digits, one seed. At the transition the error "
        "rises again after its minimum; larger nets halt sooner, at zero loss.",
        Axis("step", log=True),
        _ERROR,
        ordered=True,
    )
    if not curves:
        return figure
    curve = max(curves, key=lambda c: (c.P, c.L))
    ratio = curve.N / curve.N_star
    wanted = {int(np.abs(np.log(ratio / target)).argmin()) for target in (0.2, 1.0, 2.5, 1e9)}
    rows = table.where(role="curve", data=curve.data, L=curve.L, P=curve.P).rows
    for group, index in enumerate(sorted(wanted)):
        row = next(row for row in rows if row["n_weights"] == curve.N[index])
        figure.measured(
            f"N = {curve.N[index]:.0f} ({ratio[index]:.2g} N*)",
            np.maximum(row["history_step"], 1),
            row["history_test_error"],
            mode="lines",
            group=group,
        )
    return figure


def _standard_error(values: Array) -> Array:
    """Over seeds; 0 where there is one."""
    alive = np.isfinite(values).sum(0)
    centered = values - np.nanmean(values, 0)
    return np.asarray(np.sqrt(np.nansum(centered**2, 0) / np.maximum(alive - 1, 1) / alive))


def _draw(figure: Figure, curves: Sequence[_Curve], scaled: bool) -> None:
    for group, curve in enumerate(curves):
        alive = np.isfinite(curve.final).any(0)
        x = curve.N[alive] / (curve.N_star if scaled else 1.0)
        for suffix, values, mode in (
            ("at the end", curve.final, "lines+markers"),
            ("best in time", curve.best, "lines"),
        ):
            figure.measured(
                f"{curve.name}, {suffix}",
                x,
                np.nanmean(values[:, alive], 0),
                _standard_error(values[:, alive]),
                mode=mode,  # type: ignore[arg-type]
                group=group,
            )


def _curves_figure(curves: Sequence[_Curve], name: str, title: str) -> Figure:
    figure = Figure(
        name,
        title,
        "Mean over seeds. With markers: at the end of training; without: the smallest error on "
        "the way. The thesis reaches an error below 0.1 with all data and large N.",
        Axis("N", log=True),
        _ERROR,
    )
    _draw(figure, curves, scaled=False)
    if curves:
        span = [min(c.N[0] for c in curves), max(c.N[-1] for c in curves)]
        figure.thesis("all data, large N: below", span, [0.1, 0.1])
    return figure


def _scaled_figure(curves: Sequence[_Curve], name: str, title: str) -> Figure:
    figure = Figure(
        name,
        title,
        "As a function of N/N*, with N* the smallest N that fits the training set. The thesis "
        "finds the cusp of the final error (with markers) at 1 for every P.",
        Axis("N / N*", log=True),
        _ERROR,
    )
    _draw(figure, curves, scaled=True)
    if curves:
        low = min(float(np.nanmin(curve.best)) for curve in curves)
        top = max(float(np.nanmax(curve.final)) for curve in curves)
        figure.thesis("cusp of the thesis", [1.0, 1.0], [low, top])
    return figure

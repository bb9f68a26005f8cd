"""What SGD does to the peak of the test error at jamming (Sec. 8.3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.experiments.discussion._sgd import (
    FLOW,
    Array,
    L,
    SgdTraining,
    mean_error,
    measure_members,
    member_seconds,
    method,
    temperature,
)
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Mask = NDArray[np.bool_]
Method = dict[str, Any]

Width = Annotated[int, Field(ge=2, le=4096)]
Batch = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]

ALPHA = 10.0
"""The rescaled alpha, sqrt(h) alpha: near the cross-over."""

COMPONENTS, NEAR = 10, 1.6
"""Dimension of the inputs; N within this factor of N* counts as being at jamming."""


class SgdJammingParameters(SgdTraining):
    P: int = Field(ge=32, default=128, description="training points")
    members: int = Field(ge=2, default=6, description="networks of one data set and width")
    widths: Annotated[tuple[Width, ...], AfterValidator(lab.increasing)] = Field(
        min_length=3, description="widths, below and beyond jamming"
    )
    methods: tuple[tuple[Batch, Rate], ...] = Field(
        min_length=1, description="(B, rate) of SGD, B = 0 for the full batch; rate in limits"
    )
    horizon: float = Field(gt=0, default=20_000.0, description="time of training, in limits")


def n_weights(h: int) -> int:
    """Parameters of a network without biases on ten components."""
    return COMPONENTS * h + (L - 1) * h * h + h


@dataclass(frozen=True, eq=False)
class _Curves:
    """Networks of one method: rows are data sets, columns are widths.

    Attributes:
        N: parameters at each width.
        error: mean test error of single networks.
        together: test error of their mean.
        size: geometric mean over networks of the size of their outputs on the test set.
        N_star: of each data set, the geometric mean over networks of the smallest N that fits (the
            middle of its logarithm and that of the next one below); NaN where one never does.
    """

    N: Array
    error: Array
    together: Array
    size: Array
    N_star: Array


@lab.once
def _curves(table: Table, batch: int, rate: float) -> _Curves:
    """The complete data sets of a method.

    Raises:
        NoEstimate: there is none.
    """
    rows = table.where(batch=batch, rate=rate)
    widths = sorted({row["h"] for row in table})
    seeds = [
        sorted(own, key=lambda row: row["h"])
        for _, own in rows.groups("seed")
        if len(own) == len(widths)
    ]
    if not seeds:
        raise NoEstimate("No data set has been run at all widths.")
    N = np.array([n_weights(h) for h in widths], float)
    middle = np.sqrt(N * np.r_[N[0], N[:-1]])
    fits = np.array([[row["fitted"] for row in own] for own in seeds])  # (seeds, widths, members)
    smallest = np.where(fits.any(1), middle[fits.argmax(1)], math.nan)

    def columns(value: Callable[[Row], float]) -> Array:
        return np.array([[value(row) for row in own] for own in seeds])

    return _Curves(
        N,
        columns(mean_error),
        columns(lambda row: row["ensemble_error"]),
        columns(_size),
        np.exp(np.log(smallest).mean(1)),
    )


def _size(row: Row) -> float:
    return float(np.exp(np.log(row["size"]).mean()))


Statistic = Callable[[_Curves, float], Array]
"""A number of each data set, and N* of gradient flow."""


def _compare(statistic: Statistic) -> Callable[[Table, SgdJammingParameters], dict[str, Estimate]]:
    """A statistic of each method of SGD over that of gradient flow, on the same data sets."""
    return lambda table, p: {
        method({**own, "P": p.P}): _ratio(table, statistic, own, FLOW) for own in _methods(p)
    }


def _ratio(table: Table, statistic: Statistic, own: Method, other: Method) -> Estimate:
    flow = _curves(table, **FLOW)
    pair = [_curves(table, of["batch"], of["rate"]) for of in (own, other)]
    N_star = float(np.median(flow.N_star))
    values = [statistic(curves, N_star) for curves in pair]
    if len(values[0]) != len(values[1]):
        raise NoEstimate("The methods have not been run on the same data sets.")
    return scaling.geometric_mean(values[0] / values[1]).noted(
        f"N* of gradient flow is {N_star:.3g}."
    )


def _near(curves: _Curves, N_star: float) -> Mask:
    near = np.abs(np.log(curves.N / N_star)) <= math.log(NEAR)
    if not near.any():
        raise NoEstimate(f"No width is near N* = {N_star:.3g}.")
    return near


def _peak(curves: _Curves, N_star: float) -> Array:
    """Mean test error at jamming."""
    return np.asarray(curves.error[:, _near(curves, N_star)].mean(1))


def _divergence(curves: _Curves, N_star: float) -> Array:
    """Largest size of the outputs over that of the widest networks."""
    return np.asarray(curves.size.max(1) / curves.size[:, -1])


def _position(curves: _Curves, N_star: float) -> Array:
    return curves.N_star


def _hot(p: SgdJammingParameters) -> list[Method]:
    """The methods of the largest temperature."""
    methods = _methods(p)
    largest = max(temperature(own) for own in methods)
    return [own for own in methods if temperature(own) == largest]


def _of_hot(statistic: Statistic) -> Callable[[Table, SgdJammingParameters], dict[str, Estimate]]:
    return lambda table, p: {
        method({**own, "P": p.P}): _ratio(table, statistic, own, FLOW) for own in _hot(p)
    }


def _twins(table: Table, p: SgdJammingParameters) -> dict[str, Estimate]:
    """Methods of the largest temperature over each other."""
    hot = _hot(p)
    if len(hot) < 2:
        raise NoEstimate("Only one method has the largest lr/B.")
    statistics = {"error at jamming": _peak, "size of outputs": _largest_size, "N*": _position}
    return {name: _ratio(table, of, hot[0], hot[1]) for name, of in statistics.items()}


def _largest_size(curves: _Curves, N_star: float) -> Array:
    return np.asarray(curves.size.max(1))


CLAIMS = (
    Claim(
        "ch8.sec3.jamming-error",
        "Sec. 8.3 (expected)",
        "Near jamming the noise of SGD improves the performance.",
        "< 1",
        Tolerance.at_most(
            1.0,
            "test error over that of gradient flow, mean over the N within a factor 1.6 of its N*; "
            "of the methods with the largest lr/B",
        ),
        _of_hot(_peak),
    ),
    Claim(
        "ch8.sec3.jamming-divergence",
        "Sec. 8.3 (expected)",
        "Near jamming the noise of SGD smooths the divergence of f.",
        "< 1",
        Tolerance.at_most(
            1.0,
            "largest output over that of the widest networks, over the same of gradient flow; of "
            "the methods with the largest lr/B",
        ),
        _of_hot(_divergence),
    ),
    Claim(
        "ch8.sec3.jamming-position",
        "Sec. 8.3; Ch. 1, paper A, App. B (data not shown)",
        "The place of the transition depends mildly on the dynamics, as on batch size and learning "
        "rate.",
        1.0,
        Tolerance(0.67, 1.5, "N* over that of gradient flow in the same time, of each method"),
        _compare(_position),
    ),
    Claim(
        "ch8.sec3.jamming-one-temperature",
        "Sec. 8.3; Chaudhari and Soatto",
        "Near jamming learning rate and batch size act by their ratio alone.",
        1.0,
        Tolerance(
            0.85,
            1.18,
            "test error, size of the outputs and N* of two methods of one lr/B over each other",
        ),
        _twins,
    ),
)


@lab.register
class SgdJamming(lab.Experiment):
    """Ch. 8, Sec. 8.3."""

    name = "discussion-sgd-jamming"
    chapter = "8"
    title = "What SGD does to double descent"
    summary = (
        "Narrow networks on the parity of digits, from too few parameters to fit to many more, "
        "trained by SGD and by gradient flow for the same time from the same starts. Where they "
        "begin to fit, how large their outputs become there, and how high the test error peaks."
    )
    sources = ("Ch. 8, Sec. 8.3",)
    version = 1
    Parameters = SgdJammingParameters
    profiles = {  # noqa: RUF012
        "smoke": SgdJammingParameters(
            P=64,
            n_test=200,
            members=2,
            widths=(3, 6, 16),
            methods=((16, 16.0),),
            horizon=1000.0,
            seeds=1,
        ),
        "quick": SgdJammingParameters(
            P=64,
            members=4,
            widths=(2, 3, 4, 6, 10, 20),
            methods=((16, 16.0), (4, 4.0)),
            horizon=5000.0,
            seeds=2,
        ),
        "overnight": SgdJammingParameters(
            widths=(3, 4, 5, 6, 8, 10, 14, 20, 32),
            methods=((16, 4.0), (0, 32.0), (16, 16.0), (4, 4.0)),
            seeds=5,
        ),
        "paper": SgdJammingParameters(
            P=1000,
            n_test=10_000,
            members=20,
            widths=(4, 6, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 56, 80, 160),
            methods=((64, 4.0), (16, 4.0), (0, 32.0), (64, 64.0), (16, 16.0), (4, 4.0)),
            horizon=200_000.0,
            seeds=10,
        ),
    }
    claims = CLAIMS

    def points(self, p: SgdJammingParameters) -> list[dict[str, Any]]:
        return list(
            lab.grid(
                p.seeds,
                h=p.widths,
                method=[FLOW, *_methods(p)],
                alpha=ALPHA,
                components=COMPONENTS,
                compare=False,
                horizon=p.horizon,
                members=p.members,
                **p.common(),
            )
        )

    def cost(self, point: dict[str, Any]) -> float:
        return 0.05 + point["members"] * member_seconds(point)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        return measure_members(point)

    def figures(self, table: Table, p: SgdJammingParameters) -> list[Figure]:
        error = Figure(
            "error",
            "Test error across jamming",
            f"P = {p.P}, sqrt(h) alpha = {ALPHA:g}; single networks, means over data sets. All "
            "methods train for the same time.",
            Axis("parameters N", log=True),
            Axis("test error"),
            claims=("ch8.sec3.jamming-error", "ch8.sec3.jamming-one-temperature"),
        )
        together = Figure(
            "ensemble-error",
            "Test error of ensembles across jamming",
            f"Of the mean of {p.members} networks, which start in different places.",
            error.x,
            error.y,
        )
        size = Figure(
            "size",
            "Size of the outputs across jamming",
            "Root mean square of the predictor on the test set over that of the widest networks of "
            "the same method; geometric means over networks and data sets.",
            error.x,
            Axis("size over that of the widest", log=True),
            claims=("ch8.sec3.jamming-divergence",),
        )
        peak = Figure(
            "peak",
            "Height of the peak at jamming",
            f"Test error over that of gradient flow, mean over the N within a factor {NEAR} of its "
            "N*.",
            Axis("learning rate over batch size (stability limits)", log=True),
            Axis("test error at jamming over that of gradient flow"),
            claims=("ch8.sec3.jamming-error",),
        )
        place = Figure(
            "place",
            "Where networks begin to fit",
            "Smallest N that fits, over that of gradient flow trained for the same time.",
            peak.x,
            Axis("N* over that of gradient flow", log=True),
            claims=("ch8.sec3.jamming-position", "ch8.sec3.jamming-one-temperature"),
        )
        for group, own in enumerate([FLOW, *_methods(p)]):
            name = method({**own, "P": p.P})
            rows = table.where(batch=own["batch"], rate=own["rate"])
            error.curves(rows, _parameters, mean_error, name=name, group=group)
            together.curves(
                rows, _parameters, lambda row: row["ensemble_error"], name=name, group=group
            )
            with suppress(NoEstimate):
                curves = _curves(table, own["batch"], own["rate"])
                relative = curves.size / curves.size[:, -1:]
                averaged = {N: scaling.geometric_mean(v) for N, v in zip(curves.N, relative.T)}
                size.estimates(name, averaged, "lines+markers", group)
                if own["batch"]:
                    T = temperature(own)
                    place.estimates(name, {T: _ratio(table, _position, own, FLOW)}, group=group)
                    peak.estimates(name, {T: _ratio(table, _peak, own, FLOW)}, group=group)
        ends = [temperature(own) for own in _methods(p)]
        place.thesis("mild dependence", [min(ends), max(ends)], [1.0, 1.0])
        peak.guide("gradient flow", [min(ends), max(ends)], [1.0, 1.0])
        return [error, together, size, peak, place]


def _parameters(row: Row) -> float:
    return float(n_weights(row["h"]))


def _methods(p: SgdJammingParameters) -> list[Method]:
    return [{"batch": batch or p.P, "rate": rate} for batch, rate in p.methods]

"""The exponents of Yang and Hu's classification, on trained networks (Sec. 8.2, Fig. 8.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.experiments.discussion._parametrizations import (
    Parametrization,
    Width,
    parametrization,
    train,
)
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Array = NDArray[np.float64]

HIDDEN = 3
"""Hidden layers."""

BLOW_UP = 50.0
"""Exponent of the width that stands for numbers that are not finite."""


def slice_of(A: float, c: float) -> Parametrization:
    """Hidden layers as in NTP, prefactor :math:`n^{-A}` of the last one, rate :math:`n^{-c}`.

    A = 1/2, c = 0 is NTP, A = 1, c = -1 is Maximal Update.
    """
    of = parametrization("ntk", HIDDEN)
    return of._replace(a=(*of.a[:-1], A), c=c)


def boundary(A: float) -> float:
    r"""The c below which a network of the slice is unstable, :math:`\max(1-2A,-A)`."""
    return max(1 - 2 * A, -A)


NAMED: Mapping[str, Parametrization] = {
    "NTP": parametrization("ntk", HIDDEN),
    "between": slice_of(0.75, -0.5),
    "Maximal Update": parametrization("mean-field", HIDDEN),
    "trivial": slice_of(1.0, -0.5),
    "last layer alone": Parametrization((0.0, 0.5, 0.5, 0.5), (0.0, 0.0, 0.0, 0.5), 0.0),
    "last layer at rest": Parametrization((0.0, 0.5, 0.5, 1.25), (0.0, 0.0, 0.0, -0.25), -1.0),
    "first layer first": Parametrization((0.0, 0.75, 0.75, 1.0), (0.0, -0.25, -0.25, 0.0), -1.0),
}


def exponents(of: Parametrization) -> dict[str, float]:
    r"""Powers of the width, after Yang and Hu, of a stable parametrization.

    With :math:`m=\min(a_{L+1}+b_{L+1},2a_{L+1}+c)`, the size of the signal that comes back, the
    weights of hidden layer l change its preactivations by :math:`n^{-r_l}`,
    :math:`r_l=m+c-1+2a_l+\mathbb 1(l=1)`; those of the last layer change the output by
    :math:`n^{-(2a_{L+1}+c-1)}`, and all hidden ones together by
    :math:`n^{-(a_{L+1}+b_{L+1}+r-1)}`, :math:`r=\min_lr_l`. Features are learned where r = 0.
    """
    last, weight = 2 * of.a[-1] + of.c, of.a[-1] + of.b[-1]
    r = [min(weight, last) + of.c - 1 + 2 * a + (l == 0) for l, a in enumerate(of.a[:-1])]
    return {
        "output at the start": 0.5 - weight,
        **{f"layer {l + 1}": -of_layer for l, of_layer in enumerate(r)},
        "last layer": 1 - last,
        "change of the output": -min(last - 1, weight + min(r) - 1),
    }


class LimitsParameters(lab.Parameters):
    widths: Annotated[tuple[Width, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, description="widths of the hidden layers"
    )
    steps: int = Field(ge=2, le=10_000, description="steps of SGD")
    prefactors: tuple[float, ...] = Field(
        min_length=1, default=(0.5, 0.75, 1.0, 1.25), description="A of the slice"
    )
    offsets: Annotated[tuple[float, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, default=(-0.3, -0.15, 0.0, 0.15, 0.3), description="c minus the boundary's"
    )
    slice_widths: Annotated[tuple[Width, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, description="widths where stability is looked for"
    )
    slice_steps: int = Field(ge=2, default=4, description="steps of SGD there")
    seeds: int = Field(ge=1, description="draws of weights, data and batches")


def measured(row: Row) -> dict[str, float]:
    """The numbers of a row of which :func:`exponents` says how they scale."""
    return {
        "output at the start": row["start"],
        **{f"layer {layer + 1}": float(row["own"][layer]) for layer in range(HIDDEN)},
        "last layer": float(row["own"][-1]),
        "change of the output": row["moved"],
    }


def _misses(kinds: tuple[str, ...]) -> Callable[[Table, LimitsParameters], dict[str, Estimate]]:
    """Measured exponents less those of the classification, by parametrization and quantity."""

    def answer(table: Table, p: LimitsParameters) -> dict[str, Estimate]:
        panels = {}
        for name, of in NAMED.items():
            seeds = _complete(table.where(role="named", name=name), p.widths)
            for kind, expected in exponents(of).items():
                if kind.startswith(kinds):
                    curves = [[measured(row)[kind] for row in rows] for rows in seeds]
                    found = scaling.slope(p.widths, curves)
                    panels[f"{name}, {kind}"] = found.shifted(-expected)
        return panels

    return answer


def _complete(table: Table, widths: tuple[int, ...]) -> list[list[Row]]:
    """The rows of each seed that has all widths, in their order.

    Raises:
        NoEstimate: no seed has.
    """
    seeds = [
        sorted(rows, key=lambda row: row["width"])
        for _, rows in table.groups("seed")
        if len(rows) == len(widths)
    ]
    if not seeds:
        raise NoEstimate("No seed has finished at all widths.")
    return seeds


def _growth(rows: list[Row]) -> float:
    """The larger exponent of the width, of the outputs' change or of the last features'.

    Above 0 wide networks are unstable.
    """
    values = np.array([[row["moved"], row["change"][-1]] for row in rows])
    if not np.isfinite(values).all():
        return BLOW_UP
    x = np.log([row["width"] for row in rows])
    return float(np.polyfit(x, np.log(values), 1)[0].max())


@lab.once
def _growths(table: Table, A: float, p: LimitsParameters) -> tuple[Array, Array]:
    """The c of a cut, and the growth of each seed at each of them, (seeds, c)."""
    cut = table.where(role="slice", A=A)
    c = np.array(sorted({row["c"] for row in cut}))
    growth = [
        [_growth(rows) for rows in _complete(cut.where(c=each), p.slice_widths)] for each in c
    ]
    if not growth or len({len(of_c) for of_c in growth}) > 1:
        raise NoEstimate("The seeds of a cut have not finished everywhere.")
    return c, np.array(growth).T


def _boundary(table: Table, p: LimitsParameters) -> dict[str, Estimate]:
    """Where the growth of a cut crosses 0, less the c of the classification."""
    panels = {}
    for A in p.prefactors:
        c, growth = _growths(table, A, p)
        panels[f"A = {A:g}"] = scaling.crossing(c, growth, 0.0, log=False).shifted(-boundary(A))
    return panels


CLAIMS = (
    Claim(
        "ch8.fig2.layers",
        "Sec. 8.2, Fig. 8.2; Yang and Hu",
        "What each layer learns scales with the width as the classification says, whether it "
        "learns in the limit or stands still.",
        0.0,
        Tolerance(
            -0.15,
            0.15,
            "measured less predicted exponent of what a layer's own weights add, of every layer "
            "and parametrization; finite widths correct by relative 1/sqrt(h)",
        ),
        _misses(("layer", "last")),
    ),
    Claim(
        "ch8.fig2.outputs",
        "Sec. 8.2, Fig. 8.2; Yang and Hu",
        "So do the output at the start and its change: non-trivial parametrizations change it by "
        "order 1, trivial ones do not.",
        0.0,
        Tolerance(-0.15, 0.15, "the same of the output at the start and of its change"),
        _misses(("output", "change")),
    ),
    Claim(
        "ch8.fig2.stability",
        "Sec. 8.2, Fig. 8.2; Yang and Hu",
        "Wide networks are stable above a learning rate exponent c that follows from the prefactor "
        "n^-A of the last layer: 1 - 2A up to Maximal Update (A = 1), -A beyond.",
        0.0,
        Tolerance(
            -0.1,
            0.1,
            "measured less predicted c at which the changes of output and features stop to grow "
            "with the width",
        ),
        _boundary,
    ),
)


@lab.register
class ParametrizationLimits(lab.Experiment):
    """Ch. 8, Sec. 8.2."""

    name = "discussion-parametrization-limits"
    chapter = "8"
    title = "The classification of initializations, measured"
    summary = (
        "Trained networks in parametrizations from every part of Yang and Hu's phase space: how "
        "their outputs at the start, the change of their outputs and what each layer contributes "
        "scale with the width, against the exponents of the classification; and the learning rate "
        "at which wide networks become unstable."
    )
    sources = ("Ch. 8, Sec. 8.2", "Ch. 8, Fig. 8.2")
    version = 1
    Parameters = LimitsParameters
    profiles = {  # noqa: RUF012
        "smoke": LimitsParameters(
            widths=(16, 64), steps=5, prefactors=(0.5, 1.0), slice_widths=(16, 64), seeds=2
        ),
        "quick": LimitsParameters(widths=(64, 128, 256), steps=20, slice_widths=(64, 256), seeds=3),
        "overnight": LimitsParameters(
            widths=(64, 128, 256, 512, 1024), steps=50, slice_widths=(64, 256, 1024), seeds=16
        ),
        "paper": LimitsParameters(
            widths=(64, 128, 256, 512, 1024, 2048, 4096),
            steps=100,
            slice_widths=(64, 256, 1024, 4096),
            seeds=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: LimitsParameters) -> list[dict[str, Any]]:
        named = lab.grid(p.seeds, role="named", name=list(NAMED), width=p.widths, steps=p.steps)
        cuts = [
            {"A": A, "c": round(boundary(A) + offset, 9)}
            for A in p.prefactors
            for offset in p.offsets
        ]
        cut = lab.grid(p.seeds, role="slice", cut=cuts, width=p.slice_widths, steps=p.slice_steps)
        return [*named, *cut]

    def cost(self, point: dict[str, Any]) -> float:
        size = point["width"] ** 2
        return 0.01 + 1e-7 * size + point["steps"] * (1e-3 + 2e-8 * size)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        cut = point["role"] == "slice"
        of = slice_of(point["A"], point["c"]) if cut else NAMED[point["name"]]
        trained = train(of, {**point, "hidden": HIDDEN})
        start, moved = trained.start, trained.output - trained.start
        return {
            "start": float(start.square().mean().sqrt()),
            "moved": float(moved.square().mean().sqrt()),
            "change": trained.change,
            "own": trained.own,
        }

    def figures(self, table: Table, p: LimitsParameters) -> list[Figure]:
        return [_exponent_figure(table, p), _stability_figure(table, p)]


def _exponent_figure(table: Table, p: LimitsParameters) -> Figure:
    figure = Figure(
        "exponents",
        "Exponents of the width: measured and predicted",
        f"L = {HIDDEN}, {p.steps} steps of SGD, h = {p.widths[0]} .. {p.widths[-1]}; one point for "
        "each quantity of a parametrization. Dashed: Yang and Hu's classification.",
        Axis("predicted exponent"),
        Axis("measured exponent"),
        claims=("ch8.fig2.layers", "ch8.fig2.outputs"),
    )
    ends: list[float] = []
    for group, (name, of) in enumerate(NAMED.items()):
        with suppress(NoEstimate):
            seeds = _complete(table.where(role="named", name=name), p.widths)
            predicted = exponents(of)
            slopes = [
                scaling.slope(p.widths, [[measured(row)[kind] for row in rows] for rows in seeds])
                for kind in predicted
            ]
            figure.measured(
                name,
                list(predicted.values()),
                [found.value for found in slopes],
                [found.error or 0.0 for found in slopes],
                group=group,
            )
            ends += predicted.values()
    if ends:
        figure.thesis("classification", [min(ends), max(ends)], [min(ends), max(ends)])
    return figure


def _stability_figure(table: Table, p: LimitsParameters) -> Figure:
    figure = Figure(
        "stability",
        "Where wide networks become unstable",
        f"Exponent of the width in the change of the output or of the features, the larger one, "
        f"after {p.slice_steps} steps. Above 0 wide networks are unstable. Dashed: the boundary of "
        "the classification.",
        Axis("c less that of the boundary"),
        Axis("exponent of the width", range=(-0.6, 1.5)),
        claims=("ch8.fig2.stability",),
        ordered=True,
    )
    for group, A in enumerate(p.prefactors):
        with suppress(NoEstimate):
            c, growth = _growths(table, A, p)
            found = {x: scaling.mean(y) for x, y in zip(c - boundary(A), growth.T)}
            figure.estimates(f"A = {A:g}", found, "lines+markers", group)
    return figure.thesis("boundary", [0.0, 0.0], [-0.6, 1.5])

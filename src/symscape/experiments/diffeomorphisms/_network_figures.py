"""The figures about trained networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from symscape import scaling
from symscape.experiments.diffeomorphisms._measure import (
    CUTOFFS,
    DELTAS,
    INTERPOLATIONS,
    NOISE_NORMS,
    SMALL_NOISE,
    TITLES,
    family,
)
from symscape.experiments.diffeomorphisms._network_claims import (
    FEWEST,
    correlation,
    error_of,
    is_modern,
    networks,
    pixels,
    trained,
)
from symscape.lab import Axis, Figure, Row, Table

_P = Axis("number of training images P", log=True)
_DELTA = Axis("delta", "pixels", log=True)
_ERROR = Axis("test error", log=True)


def draw(table: Table) -> list[Figure]:
    """All figures; those of data sets without runs are left out, but for the first."""
    figures: list[Figure] = []
    present = {family(row["data"]) for row in table}
    for data in [name for name in TITLES if name in present] or ["mnist"]:
        rows = table.select(lambda row, data=data: family(row["data"]) == data)  # type: ignore[misc]
        full = rows.select(lambda row: row["full"])
        figures += [
            _bars(full, data),
            *(_scatter(full, data, name, index) for index in (0, 2) for name in ("R", "D", "G")),
            *(_size_curves(rows, data, name) for name in ("R", "D", "G")),
            _interpolation_curves(rows, data),
            _displacement_curves(full, data),
            _trajectories(rows, data),
            _depth(full, data),
            _noise(full, data),
            *(_robustness(rows, data, name) for name in ("R", "D", "G")),
        ]
    return figures


def _entry(name: str, *at: Any) -> Callable[[Row], Any]:
    return lambda row: row[name][at]


def _shown(data: str, everywhere: str = "", color: str = "", grey: str = "") -> tuple[str, ...]:
    """The claims that a figure shows: on all data, on CIFAR-10, and on the other data."""
    names = f"{everywhere} {color if data == 'cifar10' else grey}".split()
    return tuple(f"ch4.{name}" for name in names)


def _bars(table: Table, data: str) -> Figure:
    names = list(dict.fromkeys(row["net"] for row in table))  # from simple to deep
    listed = ", ".join(f"{k} {net}" for k, net in enumerate(names))
    figure = Figure(
        f"before-and-after-{data}",
        f"Before and after training, {TITLES[data]}",
        "Relative stability at c = 3 and a displacement of one pixel, at initialization and after "
        f"training with the largest P (Fig. 3 center, Fig. 4). Networks: {listed}.",
        Axis("network"),
        Axis("R_f", log=True),
        claims=_shown(
            data,
            "fig3.init fig3.trained fig3.range fig4.fully-connected fig4.lenet",
            "fig4.lenet-cifar10",
            "fig4.lenet-elsewhere",
        ),
    )
    for group, (name, stability) in enumerate(
        {"at initialization": "init_R", "trained": "R"}.items()
    ):
        figure.curves(
            table,
            lambda row: names.index(row["net"]),
            _entry(stability, 0),
            name=name,
            geometric=True,
            mode="markers",
            group=group,
        )
    return figure.guide("as stable as to noise", [-0.5, len(names) - 0.5], [1.0, 1.0])


def _displacement_curves(table: Table, data: str) -> Figure:
    figure = Figure(
        f"displacement-{data}",
        f"Against the displacement, {TITLES[data]}",
        "R_f of the deepest network against the nominal displacement, at initialization and after "
        "training, for three cut-offs and both interpolations (Fig. 3 left). Displacements far "
        "below a pixel show the interpolation, not the network.",
        _DELTA,
        Axis("R_f", log=True),
        claims=_shown(data, color="fig3.interpolation"),
    )
    deepest = table.select(lambda row: row["net"] == table.rows[-1]["net"])
    for a, c in enumerate(CUTOFFS):
        series = [(f"trained, c = {c}, {way}", "R_grid", i) for i, way in enumerate(INTERPOLATIONS)]
        for name, grid, i in (*series, (f"at initialization, c = {c}", "init_R_grid", 0)):
            figure.curves(
                deepest,
                lambda row: DELTAS,
                _entry(grid, i, a),
                name=name,
                geometric=True,
                mode="markers" if grid == "R_grid" else "lines",
                group=2 * a + i,
            )
    return figure


def _size_curves(table: Table, data: str, name: str) -> Figure:
    statement = {
        "R": "it falls for modern networks, about like 1/P over a part of the range (Fig. 3 right, "
        "4, 6, 13 and 22)",
        "D": "it goes up or down, depending on data and network (Fig. 6 and 22)",
        "G": "it grows (Fig. 6 and 22)",
    }[name]
    claims = {
        "R": _shown(data, "fig6.relative", "fig3.more-data fig3.slope", "fig13.slope"),
        "G": _shown(data, "fig6.noise"),
    }
    return Figure(
        f"{name.lower()}-against-p-{data}",
        f"{name}_f against P, {TITLES[data]}",
        f"{name}_f at c = 3 and a displacement of one pixel, log-average over seeds. Thesis: "
        f"{statement}.",
        _P,
        Axis(f"{name}_f", log=True),
        claims=claims.get(name, ()),
    ).curves(table, "P", _entry(name, 0), "net", name="{net}", geometric=True)


def _interpolation_curves(table: Table, data: str) -> Figure:
    figure = Figure(
        f"interpolations-against-p-{data}",
        f"Both interpolations against P, {TITLES[data]}",
        "R_f of the networks with batch normalization, at c = 3 and a displacement of one pixel, "
        "with bilinear (lines) and Gaussian interpolation (markers); log-average over seeds (Fig. "
        "13). Thesis: they coincide.",
        _P,
        Axis("R_f", log=True),
        claims=_shown(data, grey="fig13.interpolation"),
    )
    rows, R = table.select(lambda row: is_modern(row["net"])), _entry("R", 0)
    figure.curves(rows, "P", R, "net", name="{net}, bilinear", geometric=True, mode="lines")
    return figure.curves(
        rows, "P", "R_gaussian", "net", name="{net}, Gaussian", geometric=True, mode="markers"
    )


def _trajectories(table: Table, data: str) -> Figure:
    figure = Figure(
        f"trajectories-{data}",
        f"Test error and relative stability as P grows, {TITLES[data]}",
        "Each line is a network, from small P (large error) to large P (Fig. 18).",
        Axis("R_f", log=True),
        _ERROR,
        claims=_shown(data, color="fig18.separation"),
    )
    for (net,), rows in table.groups("net"):
        R, error = (
            [
                scaling.geometric_mean([value(row) for row in some]).value
                for _, some in rows.groups("P")
            ]
            for value in (_entry("R", 0), error_of)
        )
        figure.measured(net, R, error, mode="lines+markers")
    return figure


def _scatter(table: Table, data: str, name: str, index: int) -> Figure:
    average, where = "medians", {"R": "Fig. 5 and 19", "D": "Fig. 15", "G": "Fig. 16"}[name]
    what = {"R": "relative", "D": "deformations", "G": "noise"}[name]
    better = "fig5.better-than-deformations"
    color = {
        "R": f"fig5.correlation fig5.exponent fig5.prefactor {better}",
        "D": f"fig15.deformations {better}",
        "G": "fig16.noise",
    }[name]
    claims = _shown(data, color=color, grey=f"table2.{data.partition('-')[0]}-{what}")
    if index:
        average, where, claims = "means", "Fig. 17", _shown(data, color="fig17.means")
    runs, note = trained(table)
    figure = Figure(
        f"error-against-{name.lower()}-{average}-{data}",
        f"Test error against {name}_f, {TITLES[data]}, {average}",
        f"One point per network, trained with the largest P ({where}; Fig. 20 and Table 2 for "
        f"other data than CIFAR-10). {note}".strip(),
        Axis(f"{name}_f", log=True),
        _ERROR,
        claims=claims,
    )
    x = []
    for (net,), rows in runs.groups("net"):
        at, height = (
            scaling.geometric_mean(rows.per_seed(value))
            for value in (_entry(name, index), error_of)
        )
        x.append(at.value)
        figure.measured(net, at.value, height.value, height.error, at.error)
    if (name, index, data) == ("R", 0, "cifar10") and x:
        line = np.array([min(x), max(x)])
        figure.thesis("0.24 R_f^(1/2)", line, 0.24 * np.sqrt(line))
    return figure


def _robustness(table: Table, data: str, name: str) -> Figure:
    n = pixels(data)
    figure = Figure(
        f"robustness-{data}" if name == "R" else f"robustness-{name.lower()}-{data}",
        f"The correlation with {name}_f for other deformations, {TITLES[data]}",
        f"Correlation of test error and {name}_f over networks against the nominal displacement "
        "(Fig. 21). Acceptable are displacements of half a pixel up to n / (pi c), for c = "
        f"{CUTOFFS[0]} up to {n / (math.pi * CUTOFFS[0]):.1f} pixels.",
        _DELTA,
        Axis("correlation", range=(-1.05, 1.05)),
        claims=_shown(data, color="fig21.robust" if name == "R" else ""),
    )
    some = list(networks(table, data).values()) if table else []
    for i, interpolation in enumerate(INTERPOLATIONS) if len(some) >= FEWEST else ():
        for a, c in enumerate(CUTOFFS):
            rho = [correlation(some, f"{name}_grid", (i, a, b)) for b in range(len(DELTAS))]
            figure.measured(f"c = {c}, {interpolation}", DELTAS, rho, mode="lines+markers")
    return figure


def _depth(table: Table, data: str) -> Figure:
    figure = Figure(
        f"depth-{data}",
        f"Relative stability at every depth, {TITLES[data]}",
        "R of the activations against the relative depth of their layer (Fig. 14); log-average "
        "over seeds. Lines without markers: at initialization.",
        Axis("relative depth", range=(-0.03, 1.03)),
        Axis("R", log=True),
        claims=_shown(data, "fig14.init fig14.depth"),
    )
    for when, layers in (("trained", "R_layers"), ("at initialization", "init_R_layers")):
        figure.curves(
            table,
            lambda row: np.linspace(0, 1, len(row["R_layers"])),
            layers,
            "net",
            name=f"{{net}}, {when}",
            geometric=True,
            mode="lines+markers" if when == "trained" else "lines",
        )
    return figure


def _noise(table: Table, data: str) -> Figure:
    figure = Figure(
        f"noise-{data}",
        f"Response to noise, {TITLES[data]}",
        "G_f of trained networks against the norm of the noise (Fig. 11; those at initialization "
        "are in an experiment of their own). Grey: the square.",
        Axis("|eta|", log=True),
        Axis("G_f", log=True),
        claims=_shown(data, "fig11.quadratic", "fig11.departure"),
    )
    figure.curves(table, lambda row: NOISE_NORMS, "G_noise", "net", name="{net}", geometric=True)
    for row in table.rows[-1:]:
        square = row["G_noise"][0] * (np.array(SMALL_NOISE) / SMALL_NOISE[0]) ** 2
        figure.guide("slope 2", SMALL_NOISE, square)
    return figure

"""The figures about trained networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from symscape.experiments.diffeomorphisms._measure import (
    CUTOFFS,
    DELTAS,
    INTERPOLATIONS,
    NOISE_NORMS,
    family,
)
from symscape.experiments.diffeomorphisms._network_claims import curves, is_modern, pixels
from symscape.lab import Axis, Figure, Table
from symscape.lab._figures import Mode

_TITLES = {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "svhn": "SVHN",
    "tiny-imagenet": "Tiny ImageNet",
}
_P = "number of training images P"


def draw(table: Table) -> list[Figure]:
    """All figures; those of data sets without runs are left out, but for the first."""
    figures: list[Figure] = []
    for data in dict.fromkeys([*(family(row["data"]) for row in table), "mnist"]):
        rows = Table(row for row in table if family(row["data"]) == data)
        full = Table(row for row in rows if row["full"])
        figures += [
            _bars(full, data),
            _displacement_curves(full, data),
            *(_size_curves(rows, data, name) for name in ("R", "D", "G")),
            _interpolation_curves(rows, data),
            _trajectories(rows, data),
            *(_scatter(full, data, name, index) for index in (0, 2) for name in ("R", "D", "G")),
            *(_robustness(full, data, name) for name in ("R", "D", "G")),
            _depth(full, data),
            _noise(full, data),
        ]
    return figures


def _log_mean(values: Iterable[Any]) -> tuple[float, float]:
    """Log-average and its standard error."""
    logs = np.log(np.asarray(list(values), dtype=float))
    mean = float(np.exp(logs.mean()))
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else 0.0
    return mean, mean * error


def _column(groups: list[tuple[str, Table]], value: Callable[[Any], Any]) -> tuple[Any, Any]:
    pairs = [_log_mean(value(row) for row in rows) for _, rows in groups]
    return [mean for mean, _ in pairs], [error for _, error in pairs]


def _entry(name: str, at: Any) -> Callable[[Any], Any]:
    return lambda row: row[name][at]


def _by_net(table: Table) -> list[tuple[str, Table]]:
    """Networks in the order of the sweep, from simple to deep."""
    order = dict.fromkeys(row["net"] for row in table)
    return [(net, table.where(net=net)) for net in order]


def _bars(table: Table, data: str) -> Figure:
    groups = _by_net(table)
    names = ", ".join(f"{k} {net}" for k, (net, _) in enumerate(groups))
    figure = Figure(
        f"before-and-after-{data}",
        f"Before and after training, {_TITLES[data]}",
        "Relative stability at c = 3 and a displacement of one pixel, at initialization and after "
        f"training with the largest P (Fig. 3 center, Fig. 4). Networks: {names}.",
        Axis("network"),
        Axis("R_f", log=True),
    )
    place = np.arange(len(groups))
    for name, field in (("at initialization", "init_R"), ("trained", "R")):
        mean, error = _column(groups, _entry(field, 0))
        figure.measured(name, place, mean, y_error=error)
    figure.guide("as stable as to noise", [-0.5, len(groups) - 0.5], [1.0, 1.0])
    return figure


def _displacement_curves(table: Table, data: str) -> Figure:
    groups = _by_net(table)
    figure = Figure(
        f"displacement-{data}",
        f"Against the displacement, {_TITLES[data]}",
        "R_f of the deepest network against the nominal displacement, at initialization and after "
        "training, for three cut-offs and both interpolations (Fig. 3 left). Displacements far "
        "below a pixel show the interpolation, not the network.",
        Axis("delta", "pixels", log=True),
        Axis("R_f", log=True),
    )
    if not groups:
        return figure
    _, rows = groups[-1]
    for a, c in enumerate(CUTOFFS):
        for i, interpolation in enumerate(INTERPOLATIONS):
            values = [_log_mean(row["R_grid"][i, a, b] for row in rows) for b in range(len(DELTAS))]
            mean, error = zip(*values, strict=True)
            figure.measured(
                f"trained, c = {c}, {interpolation}", DELTAS, mean, y_error=error, group=2 * a + i
            )
        initial = [
            _log_mean(row["init_R_grid"][0, a, b] for row in rows)[0] for b in range(len(DELTAS))
        ]
        figure.measured(f"at initialization, c = {c}", DELTAS, initial, mode="lines", group=2 * a)
    return figure


def _size_curves(table: Table, data: str, name: str) -> Figure:
    statement = {
        "R": "Thesis: it falls for modern networks, about like 1/P over a part of the range "
        "(Fig. 3 right, 4, 6, 13 and 22).",
        "D": "Thesis: it goes up or down, depending on data and network (Fig. 6 and 22).",
        "G": "Thesis: it grows (Fig. 6 and 22).",
    }[name]
    figure = Figure(
        f"{name.lower()}-against-p-{data}",
        f"{name}_f against P, {_TITLES[data]}",
        f"{name}_f at c = 3 and a displacement of one pixel, log-average over seeds. {statement}",
        Axis(_P, log=True),
        Axis(f"{name}_f", log=True),
    )
    for (_, net), sizes, values in curves(table, name):
        mean, error = zip(*(_log_mean(v[np.isfinite(v)]) for v in values.T), strict=True)
        figure.measured(net, sizes, mean, y_error=error, mode="lines+markers")
    return figure


def _interpolation_curves(table: Table, data: str) -> Figure:
    figure = Figure(
        f"interpolations-against-p-{data}",
        f"Both interpolations against P, {_TITLES[data]}",
        "R_f of the networks with batch normalization, at c = 3 and a displacement of one pixel, "
        "with bilinear (lines) and Gaussian interpolation (markers); log-average over seeds (Fig. "
        "13). Thesis: they coincide.",
        Axis(_P, log=True),
        Axis("R_f", log=True),
    )
    modern = Table(row for row in table if is_modern(row["net"]))
    for group, ((_, net), sizes, values) in enumerate(curves(modern, "R")):
        line = [_log_mean(v[np.isfinite(v)])[0] for v in values.T]
        figure.measured(f"{net}, bilinear", sizes, line, mode="lines", group=group)
    for group, ((_, net), sizes, values) in enumerate(curves(modern, "R_gaussian")):
        mean, error = zip(*(_log_mean(v[np.isfinite(v)]) for v in values.T), strict=True)
        figure.measured(f"{net}, Gaussian", sizes, mean, y_error=error, group=group)
    return figure


def _trajectories(table: Table, data: str) -> Figure:
    figure = Figure(
        f"trajectories-{data}",
        f"Test error and relative stability as P grows, {_TITLES[data]}",
        "Each line is a network, from small P (large error) to large P (Fig. 18).",
        Axis("R_f", log=True),
        Axis("test error", log=True),
    )
    for net, rows in _by_net(table):
        groups = [(str(P), some) for (P,), some in rows.groups("P")]
        R, _ = _column(groups, lambda row: row["R"][0])
        error, _ = _column(groups, _test_error)
        figure.measured(net, R, error, mode="lines+markers")
    return figure


def _test_error(row: Any) -> float:
    return max(float(row["test_error"]), 5e-4)


def _scatter(table: Table, data: str, name: str, index: int) -> Figure:
    from symscape.diffeo import log_correlation

    average = "medians" if index == 0 else "means"
    groups = _by_net(table)
    x, x_error = _column(groups, lambda row: row[name][index])
    y, y_error = _column(groups, _test_error)
    rho = ""
    if len(groups) >= 3:
        found = log_correlation(y, x)
        rho = f" Correlation of the logarithms: {found.rho:.2f} +- {found.error:.2f}."
    where = (
        {"R": "Fig. 5 and 19", "D": "Fig. 15", "G": "Fig. 16"}[name] if index == 0 else "Fig. 17"
    )
    figure = Figure(
        f"error-against-{name.lower()}-{average}-{data}",
        f"Test error against {name}_f, {_TITLES[data]}, {average}",
        f"One point per network, trained with the largest P ({where}; Fig. 20 and Table 2 for "
        f"other data than CIFAR-10).{rho}",
        Axis(f"{name}_f", log=True),
        Axis("test error", log=True),
    )
    for k, (net, _) in enumerate(groups):
        figure.measured(net, x[k], y[k], y_error=y_error[k], x_error=x_error[k])
    if name == "R" and index == 0 and data == "cifar10" and x:
        line = np.array([min(x), max(x)])
        figure.thesis("0.24 R_f^(1/2)", line, 0.24 * np.sqrt(line))
    return figure


def _robustness(table: Table, data: str, name: str) -> Figure:
    from symscape.diffeo import log_correlation

    groups = _by_net(table)
    n = pixels(table.rows[0]["data"]) if table else 28
    figure = Figure(
        f"robustness-{data}" if name == "R" else f"robustness-{name.lower()}-{data}",
        f"The correlation with {name}_f for other deformations, {_TITLES[data]}",
        f"Correlation of test error and {name}_f over networks against the nominal displacement "
        "(Fig. 21). Acceptable are displacements of half a pixel up to n / (pi c), for c = "
        f"{CUTOFFS[0]} up to {n / (math.pi * CUTOFFS[0]):.1f} pixels.",
        Axis("delta", "pixels", log=True),
        Axis("correlation", range=(-1.05, 1.05)),
    )
    if len(groups) < 3:
        return figure
    y, _ = _column(groups, _test_error)
    for i, interpolation in enumerate(INTERPOLATIONS):
        for a, c in enumerate(CUTOFFS):
            rho = []
            for b in range(len(DELTAS)):
                x, _ = _column(groups, _entry(f"{name}_grid", (i, a, b)))
                rho.append(log_correlation(y, x).rho)
            figure.measured(f"c = {c}, {interpolation}", DELTAS, rho, mode="lines+markers")
    return figure


def _depth(table: Table, data: str) -> Figure:
    figure = Figure(
        f"depth-{data}",
        f"Relative stability at every depth, {_TITLES[data]}",
        "R of the activations against the relative depth of their layer (Fig. 14); log-average "
        "over seeds. Thin lines: at initialization.",
        Axis("relative depth", range=(-0.03, 1.03)),
        Axis("R", log=True),
    )
    for group, (net, rows) in enumerate(_by_net(table)):
        depth = np.linspace(0, 1, len(rows.rows[0]["R_layers"]))
        for name, field in (("trained", "R_layers"), ("at initialization", "init_R_layers")):
            with np.errstate(invalid="ignore"):
                R = np.exp(np.mean([np.log(row[field]) for row in rows], axis=0))
            mode: Mode = "lines+markers" if name == "trained" else "lines"
            figure.measured(f"{net}, {name}", depth, R, mode=mode, group=group)
    return figure


def _noise(table: Table, data: str) -> Figure:
    figure = Figure(
        f"noise-{data}",
        f"Response to noise, {_TITLES[data]}",
        "G_f of trained networks against the norm of the noise (Fig. 11, which has networks at "
        "initialization, too). Grey: the square.",
        Axis("|eta|", log=True),
        Axis("G_f", log=True),
    )
    last = None
    for net, rows in _by_net(table):
        last = np.exp(np.mean([np.log(row["G_noise"]) for row in rows], axis=0))
        figure.measured(net, NOISE_NORMS, last, mode="lines+markers")
    if last is not None:
        small = np.array(NOISE_NORMS[:6])
        figure.guide("slope 2", small, last[0] * (small / small[0]) ** 2)
    return figure

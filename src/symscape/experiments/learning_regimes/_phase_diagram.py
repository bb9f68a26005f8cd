"""The phase diagram of learning: width against the scale of the predictor (paper II)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance

Width = Annotated[int, Field(ge=1, le=10_000)]
Widths = Annotated[tuple[Width, ...], AfterValidator(lab.increasing)]
Scale = Annotated[float, Field(gt=0, le=1e8)]
Scales = Annotated[tuple[Scale, ...], AfterValidator(lab.increasing)]

NAMES = {"mnist": "MNIST, 10 components", "cifar10": "CIFAR-10, 30 components"}

AT, BEYOND, BELOW = 1.25, 2.5, 2.5
"""Widths within a factor AT of jamming are at it; beyond it are those larger by BEYOND, and below
it those that are neither at it nor smaller by more than BELOW."""


class PhaseDiagramParameters(lab.Parameters):
    digits: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    colors: bool = Field(description="CIFAR-10 as well, where it is found")
    P: int = Field(ge=2, description="training points")
    L: int = Field(ge=1, le=20, default=2, description="hidden layers")
    widths: Widths = Field(min_length=3, description="widths h of the cuts, digits")
    color_widths: Widths = Field(min_length=3, description="widths h of the cuts, CIFAR-10")
    cuts: Scales = Field(min_length=2, description="scales sqrt(h) alpha of the cuts")
    map_widths: Widths = Field(description="widths of the scales between the cuts")
    map_scales: Scales = Field(description="scales between the cuts")
    jamming_widths: tuple[Width, Width] = Field(description="where jamming is looked for")
    crossover_widths: Widths = Field(min_length=2, description="widths of the cross-over line")
    ratio: float = Field(
        gt=0, le=100, default=1.0, description="relative change of the kernel at the cross-over"
    )
    budgets: Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(lab.increasing)] = (
        Field(min_length=1, description="steps of the flow that a network may take to fit")
    )
    tol: float = Field(gt=0, le=0.1, default=1e-2, description="tolerance of a step of the flow")
    members: int = Field(ge=2, description="networks of an ensemble")
    seeds: int = Field(ge=1, description="training sets, each with its own ensembles")
    n_test: int = Field(ge=10, default=2000, description="test points")
    n_kernel: int = Field(ge=2, default=300, description="test points of the kernel's change")

    @property
    def scales(self) -> list[float]:
        """All scales of the map."""
        return sorted({*self.cuts, *self.map_scales})


Answer = Callable[[Table, PhaseDiagramParameters], Any]


@lab.once
def _jamming(table: Table) -> dict[tuple[str, float, int], np.ndarray]:
    """Smallest widths that fit, one for each budget, by data, scale and seed."""
    rows = table.where(role="jamming")
    return {(row["family"], row["tilde_alpha"], row["seed"]): row["h_star"] for row in rows}


def _families(table: Table) -> list[str]:
    return [family for (family,), _ in table.groups("family")]


def _sides(rows: Table, h_star: float, field: str) -> tuple[float, float, float]:
    """A field of the map, averaged over widths below jamming, at it, and beyond it."""
    ratio = rows.column("h") / h_star
    values = np.array([row[field] for row in rows], float)
    at = (ratio >= 1 / AT) & (ratio <= AT)
    below, beyond = (ratio >= 1 / BELOW) & (ratio < 1 / AT), ratio >= BEYOND
    if not (at.any() and below.any() and beyond.any()):
        raise NoEstimate(
            f"No width below, at or beyond the smallest one that fits, {h_star:.3g}, was trained."
        )
    return tuple(float(values[part].mean()) for part in (below, at, beyond))  # type: ignore[return-value]


def _cuts(table: Table, p: PhaseDiagramParameters) -> Iterator[tuple[str, Table, dict[int, float]]]:
    """Panel, rows of the map and the smallest width that fits by seed, for each cut."""
    for family in _families(table):
        for scale in p.cuts:
            rows = table.where(role="map", family=family, tilde_alpha=scale)
            found = {
                seed: float(_jamming(table)[family, scale, seed][-1])
                for (seed,), _ in rows.groups("seed")
                if (family, scale, seed) in _jamming(table)
            }
            yield f"{NAMES[family]}, sqrt(h) alpha = {scale:g}", rows, found


def _on_cuts(statistic: Callable[[Table, dict[int, float]], Estimate]) -> Answer:
    """The answer of each cut; a cut without one says why."""

    def answer(table: Table, p: PhaseDiagramParameters) -> dict[str, Estimate | str]:
        panels: dict[str, Estimate | str] = {}
        for name, rows, h_star in _cuts(table, p):
            try:
                if not h_star or not all(map(math.isfinite, h_star.values())):
                    raise NoEstimate("No network fitted, for some seed, up to the largest width.")
                panels[name] = statistic(rows, h_star)
            except NoEstimate as none:
                panels[name] = str(none)
        return panels

    return answer


def _peak(side: int) -> Callable[[Table, dict[int, float]], Estimate]:
    def ratio(rows: Table, h_star: dict[int, float]) -> Estimate:
        sides = [_sides(rows.where(seed=s), h, "single") for s, h in h_star.items()]
        return scaling.geometric_mean([each[1] / each[side] for each in sides])

    return ratio


def _peaks(table: Table, p: PhaseDiagramParameters) -> dict[str, Estimate | str]:
    """Error of single networks at jamming over that below it, and over that beyond it."""
    return {
        f"{name}, {what}": found
        for side, what in ((0, "over below"), (2, "over beyond"))
        for name, found in _on_cuts(_peak(side))(table, p).items()
    }


def _second_descent(rows: Table, h_star: dict[int, float]) -> Estimate:
    """What the ensemble's error falls by beyond jamming over what that of its members does."""
    falls = []
    for seed, h in h_star.items():
        both = [_sides(rows.where(seed=seed), h, field) for field in ("ensemble", "single")]
        falls.append(tuple(at - beyond for _, at, beyond in both))

    def ratio(some: list[tuple[float, ...]]) -> float:
        ensemble, single = np.mean(some, axis=0)
        if single <= 0:
            raise NoEstimate("The error of single networks does not fall beyond jamming.")
        return float(ensemble / single)

    return scaling.bootstrap(falls, ratio)


def _crossover(table: Table, family: str) -> tuple[np.ndarray, np.ndarray]:
    """Widths, and the scale of the cross-over by seed and width, NaN where nothing fitted."""
    rows = table.where(role="crossover", family=family)
    if not rows:
        raise NoEstimate("The cross-over was not measured.")
    widths = np.array(sorted({row["h"] for row in rows}))
    lines = []
    for _, own in rows.groups("seed"):
        found = {row["h"]: row["scale"] for row in own}
        lines.append([found.get(h, math.nan) for h in widths.tolist()])
    return widths, np.array(lines)


def _per_family(statistic: Callable[[Table, Any, str], Estimate]) -> Answer:
    def answer(table: Table, p: PhaseDiagramParameters) -> dict[str, Estimate | str]:
        panels: dict[str, Estimate | str] = {}
        for family in _families(table):
            try:
                panels[NAMES[family]] = statistic(table, p, family)
            except NoEstimate as none:
                panels[NAMES[family]] = str(none)
        return panels

    return answer


def _flat(table: Table, p: PhaseDiagramParameters, family: str) -> Estimate:
    """Exponent of the width in the scale of the cross-over, far beyond jamming."""
    widths, lines = _crossover(table, family)
    start = BEYOND * _largest_jamming(table, family)
    return scaling.slope(widths, lines, (start, math.inf))


def _bend(table: Table, p: PhaseDiagramParameters, family: str) -> Estimate:
    """Scale of the cross-over at the narrowest networks of which all fit, over the widest."""
    widths, lines = _crossover(table, family)
    fitted = np.isfinite(lines).all(axis=0)
    if fitted.sum() < 2:
        raise NoEstimate("Fewer than two widths have a cross-over in every seed.")
    first = int(np.flatnonzero(fitted)[0])
    note = f"At h = {widths[first]} over h = {widths[-1]}."
    return scaling.geometric_mean(lines[:, first] / lines[:, -1], note)


def _largest_jamming(table: Table, family: str) -> float:
    found = [h[-1] for (name, _, _), h in _jamming(table).items() if name == family]
    if not found or not all(map(math.isfinite, found)):
        raise NoEstimate("No network fitted, for some seed or scale, up to the largest width.")
    return float(max(found))


@lab.once
def _far_errors(table: Table, family: str) -> dict[float, np.ndarray]:
    """Error of ensembles far beyond jamming, by scale, one number per seed."""
    start = BEYOND * _largest_jamming(table, family)
    rows = table.select(
        lambda row: row["role"] == "map" and row["family"] == family and row["h"] >= start
    )
    widest = max((row["h"] for row in rows), default=0)
    if not widest:
        raise NoEstimate("No width far beyond jamming was trained.")
    # The same widths for every scale: the cuts have more of them.
    common = [set(own.column("h").tolist()) for _, own in rows.groups("tilde_alpha")]
    widths = set.intersection(*common)
    if not widths:
        raise NoEstimate("The scales have no width far beyond jamming in common.")
    shared = rows.select(lambda row: row["h"] in widths)
    return {scale: own.per_seed("ensemble") for (scale,), own in shared.groups("tilde_alpha")}


def _easier(table: Table, p: PhaseDiagramParameters, family: str) -> Estimate:
    """Correlation over scales of the smallest width that fits and the ensemble's error."""
    errors = _far_errors(table, family)
    jamming = _jamming(table)
    seeds = sorted({seed for name, _, seed in jamming if name == family})
    both = [
        [(math.log(jamming[family, scale, seed][-1]), errors[scale][place]) for scale in errors
         if (family, scale, seed) in jamming]
        for place, seed in enumerate(seeds)
    ]  # fmt: skip

    def correlation(some: list[list[tuple[float, float]]]) -> float:
        width, error = np.mean(np.array(some), axis=0).T
        return float(np.corrcoef(width, error)[0, 1]) if np.ptp(width) and np.ptp(error) else 0.0

    return scaling.bootstrap(both, correlation)


def _best(table: Table, p: PhaseDiagramParameters) -> dict[str, Estimate]:
    """Error of digits where the scale is nearest to 1 less that at its two ends."""
    errors = _far_errors(table, "mnist")
    middle = min(errors, key=lambda scale: abs(math.log(scale)))
    ends = {"less the feature end": min(errors), "less the lazy end": max(errors)}
    if middle in ends.values():
        raise NoEstimate("There is no scale between the two ends.")
    return {name: scaling.mean(errors[middle] - errors[end]) for name, end in ends.items()}


CLAIMS = (
    Claim(
        "ch3.ii.fig5.peak",
        "Paper II, Fig. 5",
        "At jamming the test error of single networks has a peak, for every scale.",
        "peak at jamming",
        Tolerance.at_least(
            1.0, "error at the smallest width that fits over that below, and over that beyond"
        ),
        _peaks,
    ),
    Claim(
        "ch3.ii.fig5.ensemble-no-second-descent",
        "Paper II, Fig. 5",
        "Averaging over an ensemble removes the second descent.",
        0.0,
        Tolerance.at_most(
            0.5,
            "fall of the ensemble's error beyond jamming over that of single networks: less than "
            "half, for an ensemble of few keeps a part of the variance",
        ),
        _on_cuts(_second_descent),
    ),
    Claim(
        "ch3.ii.fig4.crossover-flat",
        "Paper II, Fig. 4 and Sec. 4",
        "In wide networks the cross-over from feature to lazy training lies at a sqrt(h) alpha "
        "that does not depend on the width.",
        0.0,
        Tolerance(-0.2, 0.2, "exponent of the width; 1/2 if alpha itself did not depend on it"),
        _per_family(_flat),
    ),
    Claim(
        "ch3.ii.fig4.crossover-bends",
        "Paper II, Fig. 4",
        "Close to jamming the cross-over bends to larger sqrt(h) alpha.",
        "> 1",
        Tolerance.at_least(1.0, "scale at the narrowest networks that fit over that at the widest"),
        _per_family(_bend),
    ),
    Claim(
        "ch3.ii.fig4.easier-rule-fewer-parameters",
        "Paper II, Sec. 2",
        "Jamming occurs with fewer parameters where the test error of the ensemble is small.",
        "> 0",
        Tolerance.at_least(0.0, "correlation over the scales of the smallest width that fits"),
        _per_family(_easier),
    ),
    Claim(
        "ch3.ii.fig4.best-between",
        "Paper II, Fig. 4, left",
        "Ten components of MNIST are learned best between feature and lazy training, near "
        "sqrt(h) alpha = 1.",
        "< 0",
        Tolerance.at_most(0.0, "ensemble's error near 1 less that at either end of the scales"),
        _best,
    ),
)


@lab.register
class PhaseDiagram(lab.Experiment):
    """Paper II, Figs. 4 and 5."""

    name = "regimes-phase-diagram"
    chapter = "3"
    title = "The phase diagram of learning"
    summary = (
        "Networks of many widths h and scales sqrt(h) alpha of the predictor learn images from "
        "a few principal components. Narrow ones do not fit: jamming ends that phase. Beyond it a "
        "cross-over separates networks whose kernel changes by as much as it was, which learn "
        "features, from those where it stays (lazy training). Single networks err most at "
        "jamming; the mean of an ensemble does not."
    )
    sources = ("Paper II, Fig. 4", "Paper II, Fig. 5", "Introduction, Fig. 6")
    version = 1
    Parameters = PhaseDiagramParameters
    profiles = {  # noqa: RUF012
        "smoke": PhaseDiagramParameters(
            digits="mnist-sample",
            colors=False,
            P=30,
            widths=(1, 3, 10),
            color_widths=(1, 3, 10),
            cuts=(0.1, 100.0),
            map_widths=(10,),
            map_scales=(1.0,),
            jamming_widths=(1, 6),
            crossover_widths=(8, 16),
            budgets=(20, 40),
            members=2,
            seeds=2,
            n_test=200,
            n_kernel=50,
        ),
        "quick": PhaseDiagramParameters(
            colors=False,
            P=150,
            widths=(3, 4, 5, 6, 8, 14),
            color_widths=(2, 3, 4, 6, 14),
            cuts=(1e-2, 1e3),
            map_widths=(14,),
            map_scales=(1.0,),
            jamming_widths=(3, 12),
            crossover_widths=(8, 16, 32),
            budgets=(100, 250),
            members=3,
            seeds=2,
        ),
        "overnight": PhaseDiagramParameters(
            colors=True,
            P=300,
            widths=(5, 7, 9, 11, 15, 24, 48),
            color_widths=(2, 3, 4, 5, 6, 9, 14, 24, 48),
            cuts=(1e-2, 1.0, 1e3),
            map_widths=(7, 15, 24, 48),
            map_scales=(30.0,),
            jamming_widths=(2, 16),
            crossover_widths=(8, 10, 14, 24, 36, 50, 72),
            budgets=(75, 150, 300),
            members=4,
            seeds=3,
        ),
        "paper": PhaseDiagramParameters(
            colors=True,
            P=5000,
            widths=(8, 12, 16, 20, 24, 28, 32, 38, 46, 60, 80, 120, 200, 400, 1000),
            color_widths=(8, 12, 16, 20, 24, 28, 32, 38, 46, 60, 80, 120, 200, 400, 1000),
            cuts=(1e-2, 1.0, 1e3),
            map_widths=(12, 20, 28, 38, 60, 120, 400, 1000),
            map_scales=(1e-3, 0.1, 10.0, 1e2, 1e4),
            jamming_widths=(6, 80),
            crossover_widths=(28, 32, 38, 46, 60, 100, 200, 400, 1000),
            budgets=(300, 1000, 3000, 10_000),
            tol=1e-4,
            members=15,
            seeds=3,
            n_test=50_000,
            n_kernel=1000,
        ),
    }
    claims = CLAIMS

    def points(self, p: PhaseDiagramParameters) -> Iterator[dict[str, Any]]:
        data = [
            {"family": family, "data": pinned, "d": d}
            for family, pinned, d in _data(p.digits, p.colors, p.P + p.n_test)
        ]
        rest = {"P": p.P, "L": p.L, "tol": p.tol, "n_test": p.n_test}
        yield from lab.grid(
            p.seeds, role="jamming", data=data, tilde_alpha=p.scales, **rest,
            widths=[list(p.jamming_widths)], budgets=[list(p.budgets)],
        )  # fmt: skip
        yield from lab.grid(
            p.seeds, role="crossover", data=data, h=p.crossover_widths, **rest,
            ratio=p.ratio, steps=p.budgets[-1], n_kernel=p.n_kernel,
        )  # fmt: skip
        for source in data:
            widths = p.widths if source["family"] == "mnist" else p.color_widths
            places = {(h, a) for h in widths for a in p.cuts}
            places |= {(h, a) for h in p.map_widths for a in p.map_scales}
            yield from lab.grid(
                p.seeds, role="map", data=source, **rest, steps=p.budgets[-1], members=p.members,
                place=[{"h": h, "tilde_alpha": a} for h, a in sorted(places)],
            )  # fmt: skip

    def cost(self, point: dict[str, Any]) -> float:
        def training(h: float, narrow: float) -> float:
            """A narrow network, which does not fit, takes the time ``narrow``."""
            weights = point["d"] * h + (point["L"] - 1) * h * h
            effort = point["P"] * point.get("steps", 300) / 9e4 * (1e-2 / point["tol"]) ** 0.3
            return effort * (narrow / (1 + point["d"] * (h / 38) ** 2) + 0.2 + weights / 1e4)

        if point["role"] == "jamming":
            low, high = point["widths"]
            return math.log2(high - low + 2) * training((low + high) / 2, 3.0)
        if point["role"] == "crossover":
            return 4 * training(point["h"], 0.8)
        return point["members"] * training(point["h"], 2.5)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        return {"jamming": _find_jamming, "crossover": _find_crossover, "map": _ensemble}[
            point["role"]
        ](point)

    def figures(self, table: Table, p: PhaseDiagramParameters) -> list[Figure]:
        families = _families(table) or ["mnist"]
        return [
            figure(table, p, family) for family in families for figure in (_map_figure, _cut_figure)
        ]


def _data(digits: str, colors: bool, needed: int) -> Iterator[tuple[str, str, int]]:
    """Family, pinned name and number of components of the data that are there."""
    from symscape.datasets import available, resolve

    found = {"mnist": resolve(digits)}
    if colors:
        found |= available({"mnist": digits, "cifar10": "cifar10"})
    for family, source in found.items():
        if needed > source.n:
            raise ValueError(f"{needed} images are asked for, and {source.name} has {source.n}")
        yield family, source.pinned, {"mnist": 10, "cifar10": 30}[family]


def _split(point: dict[str, Any]) -> Any:
    from symscape.datasets import binary_images

    P, seed, n_test = point["P"], point["seed"], point["n_test"]
    return binary_images(point["data"], P, seed, n_test=n_test, components=point["d"])


def _find_jamming(point: dict[str, Any]) -> dict[str, Any]:
    """For each budget, the smallest width whose network fits in so many steps.

    It is found by bisection, between a width below the range, which counts as one that does not
    fit, and one above it; NaN where the latter is what is left.
    """
    from symscape.experiments.learning_regimes._flow import flow, network

    split, budgets = _split(point), point["budgets"]

    @functools.cache
    def steps(h: int) -> float:
        """Steps until it fits; infinite where it does not."""
        net = network(point["d"], h, point["L"])
        run = flow(
            net, net.initial_weights(point["seed"]), split.x_train, split.y_train,
            point["tilde_alpha"], tol=point["tol"], max_steps=budgets[-1],
        )  # fmt: skip
        return run.steps if run.status == "converged" else math.inf

    h_star = []
    for budget in budgets:
        low, high = point["widths"][0] - 1, point["widths"][1] + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if steps(middle) <= budget else (middle, high)
        h_star.append(float(high) if high <= point["widths"][1] else math.nan)
    return {"h_star": np.array(h_star), "trainings": steps.cache_info().currsize}


def _find_crossover(point: dict[str, Any]) -> dict[str, Any]:
    """The scale at which training changes the kernel by the given ratio, to a tenth of a decade.

    NaN where a network on the way did not fit, so that its training has no end.
    """
    from scipy.optimize import brentq

    from symscape.experiments.learning_regimes._flow import flow, network
    from symscape.kernels import empirical_ntk, kernel_change

    split = _split(point)
    x = split.x_test[: point["n_kernel"]]
    net = network(point["d"], point["h"], point["L"])
    w0 = net.initial_weights(point["seed"])
    before = empirical_ntk(net, x, w=w0)

    @functools.cache
    def excess(log_scale: float) -> float:
        run = flow(
            net, w0, split.x_train, split.y_train, 10.0**log_scale,
            tol=point["tol"], max_steps=point["steps"],
        )  # fmt: skip
        if run.status != "converged":
            raise _NotFittedError
        change = kernel_change(empirical_ntk(net, x, w=run.w), before)
        return math.log10(change / point["ratio"])

    low, high = 0.5, 1.5  # where it lies for most widths
    try:
        while excess(low) < 0 and low > -6:
            low, high = low - 1, low
        while excess(high) > 0 and high < 8:
            low, high = high, high + 1
        scale = 10.0 ** brentq(excess, low, high, xtol=0.05)
    except _NotFittedError:
        scale = math.nan
    return {"scale": scale, "trainings": excess.cache_info().currsize}


class _NotFittedError(Exception):
    """A network did not reach zero loss."""


def _ensemble(point: dict[str, Any]) -> dict[str, Any]:
    """Errors of single networks and of their mean, and how many of them fitted."""
    import torch

    from symscape.dynamics import ensemble_statistics
    from symscape.experiments.learning_regimes._flow import flow, network, predictor

    split, scale = _split(point), point["tilde_alpha"]
    net = network(point["d"], point["h"], point["L"])
    outputs, fitted = [], 0
    for member in range(point["members"]):
        w0 = net.initial_weights(1000 * point["seed"] + member)
        run = flow(
            net, w0, split.x_train, split.y_train, scale,
            tol=point["tol"], max_steps=point["steps"],
        )  # fmt: skip
        fitted += run.status == "converged"
        outputs.append(predictor(net, run.w, w0, split.x_test, scale))
    found = ensemble_statistics(torch.stack(outputs), split.y_test)
    return {
        "single": float(found.errors.mean()),
        "ensemble": float(found.ensemble_error),
        "variance": float(found.variance),
        "fitted": fitted / point["members"],
    }


def _map_figure(table: Table, p: PhaseDiagramParameters, family: str) -> Figure:
    figure = Figure(
        f"diagram-{family}",
        f"Phase diagram, {NAMES[family]}",
        "Colour: test error of the mean of an ensemble, where most of its networks fit. Lines: "
        "the smallest width that fits within a number of steps (jamming; mean over seeds), and "
        "the cross-over where the kernel changes by as much as it was. Below jamming no colour is "
        "drawn. The thesis: the cross-over is flat for wide networks, and bends up at jamming.",
        Axis("width h", log=True),
        Axis("sqrt(h) alpha", log=True),
        claims=(
            "ch3.ii.fig4.crossover-flat",
            "ch3.ii.fig4.crossover-bends",
            "ch3.ii.fig4.easier-rule-fewer-parameters",
            "ch3.ii.fig4.best-between",
        ),
    )
    rows = table.where(role="map", family=family) if table else table
    places = [
        (h, scale, own.column("ensemble").mean())
        for (h, scale), own in rows.groups("h", "tilde_alpha")
        if own.column("fitted").mean() > 0.5
    ]
    if places:
        figure.map("ensemble test error", *np.array(places).T)
    jamming = table.where(role="jamming", family=family) if table else table
    for place, budget in enumerate(p.budgets):
        line = {}
        for (scale,), own in jamming.groups("tilde_alpha"):
            found = np.array([row["h_star"][place] for row in own])
            if np.isfinite(found).all():
                line[scale] = scaling.geometric_mean(found)
        if line:
            figure.measured(
                f"jamming, {budget} steps",
                [estimate.value for estimate in line.values()],
                list(line),
                x_error=[estimate.error or 0.0 for estimate in line.values()],
                mode="lines+markers",
            )
    crossover = table.where(role="crossover", family=family) if table else table
    figure.curves(
        crossover, "h", "scale", name=f"kernel changes by {p.ratio:g}", geometric=True,
        group=len(p.budgets),
    )  # fmt: skip
    return figure


def _cut_figure(table: Table, p: PhaseDiagramParameters, family: str) -> Figure:
    figure = Figure(
        f"cuts-{family}",
        f"Test error against width, {NAMES[family]}",
        "Errors of single networks (with markers) and of the mean of an ensemble (without), means "
        "over training sets; vertical lines: the smallest width that fits. The thesis: single "
        "networks have a peak there, and the ensemble has none.",
        Axis("width h", log=True),
        Axis("test error"),
        ordered=True,
        claims=("ch3.ii.fig5.peak", "ch3.ii.fig5.ensemble-no-second-descent"),
    )
    rows = table.where(role="map", family=family) if table else table
    for place, scale in enumerate(p.cuts):
        own = rows.where(tilde_alpha=scale)
        label = f"sqrt(h) alpha = {scale:g}"
        for field, name, mode in (
            ("single", "single", "lines+markers"),
            ("ensemble", "ensemble", "lines"),
        ):
            figure.curves(own, "h", field, name=f"{label}, {name}", mode=mode, group=place)  # type: ignore[arg-type]
        found = [h[-1] for (f, s, _), h in _jamming(table).items() if (f, s) == (family, scale)]
        if own and found and np.isfinite(found).all():
            h_star = scaling.geometric_mean(found).value
            errors = np.concatenate([own.column(field) for field in ("single", "ensemble")])
            figure.guide(f"jamming, {label}", [h_star, h_star], [errors.min(), errors.max()])
    return figure

"""The claims about trained networks, and their answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symscape import lab, scaling
from symscape.experiments.diffeomorphisms._measure import (
    AVERAGES,
    CUTOFFS,
    DELTAS,
    HELD_OUT,
    NOISE_NORMS,
    SMALL_NOISE,
    TITLES,
    family,
)
from symscape.lab import Claim, Estimate, NoEstimate, Row, Table, Tolerance

Array = NDArray[np.float64]
Panels = dict[str, Estimate | str]
Answer = Callable[[Table, Any], Estimate | Panels]
Number = Callable[[Row], float]

CHANCE = 0.9 * math.log(10)
"""A network counts as trained where its loss over the last tenth of the steps is below this: nine
tenths of the cross entropy of guessing one of ten classes."""

FEWEST = 5
"""Networks below which a correlation over them says nothing."""

MANY = 1000
"""Sizes P from which on the thesis sees R_f fall; below it is flat."""

_SMALL = "bound for narrow networks and short training; the thesis's full size is profile paper"


def is_modern(net: str) -> bool:
    """Whether a network has batch normalization, as all deep ones of Fig. 3 have."""
    return net.endswith("-bn") or net.startswith(("resnet", "efficientnet"))


def is_residual(net: str) -> bool:
    """Whether a network is a ResNet, of which Fig. 3 and 13 state the slope."""
    return net.startswith("resnet")


def is_convolutional(net: str) -> bool:
    """Whether a network has convolutions."""
    return not net.startswith("fc")


def acceptable(delta: float, c: int, n: int) -> bool:
    """Whether a displacement can be seen and the fields do not fold over, by Fig. 21."""
    return delta >= 0.5 and math.pi * c * delta < n


def pixels(data: str) -> int:
    """Side of the images of a data set."""
    return 32 if family(data) == "cifar10" else 28


def on(table: Table, *names: str) -> Table:
    """The runs on data sets.

    Raises:
        NoEstimate: there is none.
    """
    found = table.select(lambda row: family(row["data"]) in names)
    if not found:
        raise NoEstimate(f"No run on {' or '.join(TITLES[name] for name in names)} here.")
    return found


def trained(table: Table) -> tuple[Table, str]:
    """The runs that learned something, and a sentence that names the others."""
    good = table.select(lambda row: bool(row["loss"] < CHANCE))
    bad = table.select(lambda row: not row["loss"] < CHANCE)
    names = ", ".join(f"{label} ({len(rows)} runs)" for label, rows in panels(bad, "data", "net"))
    return good, f"Left out, for they did not learn: {names}." if names else ""


def error_of(row: Row) -> float:
    """The test error; half of an image where none is wrong."""
    return max(float(row["test_error"]), 0.5 / row.point.get("test_images", HELD_OUT))


def panels(table: Table, *names: str) -> Iterator[tuple[str, Table]]:
    """Groups of runs with their names, for example ``"MNIST, resnet10, 512"``."""
    for values, rows in table.groups(*names):
        yield ", ".join(TITLES.get(family(str(v)), str(v)) for v in values), rows


def curves(rows: Table, name: str) -> tuple[Array, Array]:
    """Sizes P and the medians of every seed, (seeds, sizes), NaN where missing."""
    sizes = sorted({row["P"] for row in rows})
    seeds = [{row["P"]: row[name][0] for row in some} for _, some in rows.groups("seed")]
    values = [[found.get(P, math.nan) for P in sizes] for found in seeds]
    return np.array(sizes, dtype=float), np.array(values)


# --- answers that are panels -----------------------------------------------------------------


def _panels(
    one: Callable[[Table], Estimate | Panels],
    nets: Callable[[str], bool] = bool,
    data: Sequence[str] = tuple(TITLES),
    names: Sequence[str] = ("data", "net"),
    *,
    largest: bool = False,
    before: bool = False,
) -> Answer:
    """The answer that estimates a number for each group of trained networks.

    Args:
        one: the number of a group, or several by name.
        nets: which networks.
        data: which data sets.
        names: fields that make the groups.
        largest: the runs with the largest P only, of which more was measured.
        before: a number at initialization, whether the network learned later or not.
    """

    def answer(table: Table, p: Any) -> Panels:
        chosen = on(table, *data).select(lambda row: nets(row["net"]) and row["full"] >= largest)
        runs, note = (chosen, "") if before else trained(chosen)
        found: Panels = {}
        for label, rows in panels(runs, *names):
            try:
                number = one(rows)
            except NoEstimate as reason:
                found[label] = str(reason)
                continue
            several = number if isinstance(number, dict) else {"": number}
            found |= {", ".join(filter(None, (label, k))): v for k, v in several.items()}
        return {k: v if isinstance(v, str) else v.noted(note) for k, v in found.items()}

    return answer


def _factor(value: Number) -> Callable[[Table], Estimate]:
    """Log-average over seeds of a positive number."""
    return lambda rows: scaling.exponential(
        scaling.mean(rows.per_seed(lambda row: math.log(value(row))))
    )


def _median(row: Row) -> float:
    return float(row["R"][0])


def _gain(row: Row) -> float:
    return float(row["R"][0] / row["init_R"][0])


def _growth(name: str, window: tuple[float, float] | None = None) -> Callable[[Table], Estimate]:
    """The exponent of a stability against P."""
    return lambda rows: scaling.slope(*curves(rows, name), window=window)


def _ends(rows: Table) -> Array:
    """R of every seed at the smallest and at the largest P, (2, seeds)."""
    sizes, values = curves(rows, "R")
    if len(sizes) < 2:
        raise NoEstimate("There is a single size of the training set.")
    return values[:, [0, -1]].T


def _last_over_first(rows: Table) -> Estimate:
    first, last = _ends(rows)
    ratio = last / first
    return scaling.geometric_mean(ratio[np.isfinite(ratio)])


def _interpolations(rows: Table) -> Panels:
    """Gaussian over bilinear by displacement of a pixel or more, c = 3."""

    def ratio(b: int) -> Number:
        return lambda row: float(row["R_grid"][1, 0, b] / row["R_grid"][0, 0, b])

    n = pixels(rows.rows[0]["data"])
    allowed = [d for d in DELTAS if d >= 1 and acceptable(d, CUTOFFS[0], n)]
    return {f"delta = {d:g}": _factor(ratio(DELTAS.index(d)))(rows) for d in allowed}


def _lenet_over_residual(rows: Table) -> Estimate:
    """R of LeNet over the log-average of the residual networks of the same seed."""

    def ratio(some: Table) -> float:
        logs = [(row["net"], math.log(_median(row))) for row in some]
        lenet = [value for net, value in logs if net == "lenet"]
        residual = [value for net, value in logs if is_residual(net)]
        return math.exp(np.mean(lenet) - np.mean(residual)) if lenet and residual else math.nan

    ratios = np.array([ratio(some) for _, some in rows.groups("seed")])
    return scaling.geometric_mean(ratios[np.isfinite(ratios)])


def _quadratic(rows: Table) -> Estimate:
    return scaling.slope(SMALL_NOISE, [row["G_noise"][: len(SMALL_NOISE)] for row in rows])


def _departure(row: Row) -> float:
    """The norm at which the response is half of the square that it begins with."""
    norms = np.log(NOISE_NORMS)
    lost = 2 * norms - np.log(row["G_noise"])
    lost -= lost[: len(SMALL_NOISE)].mean() + math.log(2)
    if not (lost > 0).any():
        raise NoEstimate(f"The response is quadratic up to a norm of {NOISE_NORMS[-1]:g}.")
    about = slice(int(np.argmax(lost > 0)) - 1, int(np.argmax(lost > 0)) + 1)
    return math.exp(np.interp(0.0, lost[about], norms[about]))


def _farthest_layer(row: Row) -> float:
    """Factor between 1 and R in the layer where it is largest; constant layers are left out."""
    return float(np.exp(np.nanmax(np.abs(np.log(row["init_R_layers"])))))


def _fall_with_depth(rows: Table) -> Estimate:
    from scipy.stats import spearmanr

    def rank(row: Row) -> float:
        return float(spearmanr(np.arange(len(row["R_layers"])), row["R_layers"])[0])

    return scaling.mean(rows.per_seed(rank))


def _separation(table: Table, p: Any) -> Estimate:
    """Spread over networks of the log-average of R, at the largest P over the smallest."""
    runs, note = trained(on(table, "cifar10").select(lambda row: is_convolutional(row["net"])))
    each = [np.log(_ends(rows)).T for _, rows in runs.groups("net")]
    seeds = max(map(len, each), default=0)
    whole = [logs for logs in each if len(logs) == seeds and np.isfinite(logs).all()]
    if len(whole) < 3:
        raise NoEstimate("Fewer than three convolutional networks.")

    def ratio(sample: list[Array]) -> float:
        first, last = np.mean(sample, axis=0).std(axis=0)
        return float(last / first)

    return scaling.bootstrap(list(np.stack(whole, axis=1)), ratio, note=note)


# --- answers over networks -------------------------------------------------------------------

Network = dict[str, Any]
"""Logarithms of the test error and of the stabilities by name, averaged over seeds."""


@lab.once
def networks(table: Table, data: str) -> dict[str, Network]:
    """The trained networks of one data set by name, at the largest P."""
    full = trained(on(table, data))[0].select(lambda row: row["full"])
    names = ("R", "D", "G", "R_grid", "D_grid", "G_grid")
    return {
        net: {"error": np.mean(np.log([error_of(row) for row in rows]))}
        | {name: np.mean(np.log([row[name] for row in rows]), axis=0) for name in names}
        for (net,), rows in full.groups("net")
    }


def correlation(some: Sequence[Network], name: str, at: Any = 0) -> float:
    """Correlation over networks of the logarithms of the test error and of a stability."""
    x, y = np.array([(net["error"], net[name][at]) for net in some]).T
    return float(np.corrcoef(x, y)[0, 1]) if np.ptp(x) > 0 and np.ptp(y) > 0 else math.nan


def _over_networks(statistic: Callable[[list[Network]], float], data: str = "cifar10") -> Answer:
    """The answer that is a statistic over networks; the error comes from resampling them."""

    def answer(table: Table, p: Any) -> Estimate:
        found = networks(table, data)
        if len(found) < FEWEST:
            raise NoEstimate(
                f"{len(found)} trained networks on {TITLES[data]}; {FEWEST} are needed."
            )
        note = f"{len(found)} networks. {trained(on(table, data))[1]}".strip()
        return scaling.bootstrap(list(found.values()), statistic, note=note)

    return answer


def _rho(name: str, data: str = "cifar10", sign: int = 1) -> Answer:
    return _over_networks(lambda some: sign * correlation(some, name), data)


def _better_than(*rivals: str, average: str = "median") -> Answer:
    """How much better R tells the error than its rivals: a strong correlation of the other sign
    tells it just as well."""
    at = AVERAGES.index(average)

    def advantage(some: list[Network]) -> float:
        R, *others = (abs(correlation(some, name, at)) for name in ("R", *rivals))
        return R - max(others)

    return _over_networks(advantage)


def _exponent(some: list[Network]) -> float:
    x, y = np.array([(net["R"][0], net["error"]) for net in some]).T
    return float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 0 else math.nan


def _prefactor(some: list[Network]) -> float:
    return float(np.exp(np.mean([net["error"] - 0.5 * net["R"][0] for net in some])))


def _smallest_correlation(some: list[Network]) -> float:
    return min(
        correlation(some, "R_grid", (i, a, b))
        for i in range(2)
        for a, c in enumerate(CUTOFFS)
        for b, delta in enumerate(DELTAS)
        if acceptable(delta, c, pixels("cifar10"))
    )


# --- the claims ------------------------------------------------------------------------------


def _table_2(name: str, data: str, rhos: dict[str, float]) -> list[Claim]:
    """The claims of one data set of Table 2."""
    claims = []
    words = {"R": "relative", "D": "deformations", "G": "noise"}
    for stability, rho in rhos.items():
        low, high = round(rho - 0.3, 2), round(rho + 0.3, 2)
        tolerance = Tolerance(low, high, "+- 0.3: few networks")
        if -0.5 < rho < 0:
            tolerance = Tolerance(rho - 0.5, 0.0, "a negative sign; +- 0.5, because it is weak")
        elif high >= 1:
            tolerance = Tolerance.at_least(low, "- 0.3: few networks")
        claims.append(
            Claim(
                f"ch4.table2.{name}-{words[stability]}",
                "Ch. 4, Table 2 and Fig. 20",
                f"Correlation of the test error with {stability}_f, {TITLES[data]}.",
                rho,
                tolerance,
                _rho(stability, data),
            )
        )
    return claims


CLAIMS = (
    Claim(
        "ch4.fig3.init",
        "Ch. 4, Fig. 3 center and Fig. 4",
        "At initialization the relative stability is about 1: networks are no more stable to "
        "deformations than to noise.",
        1.0,
        Tolerance(0.4, 2.5, "log-average over seeds; order one"),
        _panels(_factor(lambda row: row["init_R"][0]), before=True),
    ),
    Claim(
        "ch4.fig3.trained",
        "Ch. 4, Fig. 3 center",
        "Training makes modern networks relatively stable: R_f after training over that at "
        "initialization.",
        "< 0.3",
        Tolerance.at_most(0.6, _SMALL),
        _panels(_factor(_gain), is_modern, largest=True),
    ),
    Claim(
        "ch4.fig3.range",
        "Ch. 4, Fig. 3 center",
        "R_f of trained modern networks lies between 0.01 and 0.1.",
        "0.01 to 0.1",
        Tolerance(0.01, 0.1, "the thesis's interval, for its largest P"),
        _panels(_factor(_median), is_modern, largest=True),
        profile="paper",
    ),
    Claim(
        "ch4.fig3.more-data",
        "Ch. 4, Fig. 3 right",
        "R_f of modern networks falls as the training set grows: at the largest P over that at the "
        "smallest, CIFAR-10.",
        "decreases",
        Tolerance.at_most(0.6, _SMALL),
        _panels(_last_over_first, is_modern, ["cifar10"], ["net"]),
    ),
    Claim(
        "ch4.fig3.slope",
        "Ch. 4, Fig. 3 right",
        "R_f of residual networks falls like 1/P for P > 1000, CIFAR-10.",
        -1.0,
        Tolerance(-1.3, -0.7, "+- 0.3: over a part of the range"),
        _panels(_growth("R", (MANY, math.inf)), is_residual, ["cifar10"], ["net"]),
        profile="paper",
    ),
    Claim(
        "ch4.fig3.interpolation",
        "Ch. 4, Fig. 3 left and App. C",
        "For displacements of a pixel or more the interpolation does not matter: R_f with Gaussian "
        "over R_f with bilinear interpolation, modern networks on CIFAR-10.",
        1.0,
        Tolerance(0.7, 1.3, "the curves coincide, within 30 %"),
        _panels(_interpolations, is_modern, ["cifar10"], ["net"], largest=True),
    ),
    Claim(
        "ch4.fig4.fully-connected",
        "Ch. 4, Fig. 4",
        "Fully connected networks do not become stable: R_f after training over that at "
        "initialization.",
        "> 1",
        Tolerance.at_least(1.0, "larger after training"),
        _panels(_factor(_gain), lambda net: not is_convolutional(net), largest=True),
    ),
    Claim(
        "ch4.fig4.lenet",
        "Ch. 4, Fig. 4",
        "LeNet is less stable than a modern network: its R_f over that of the residual network.",
        "> 1",
        Tolerance.at_least(1.0, "an ordering"),
        _panels(_lenet_over_residual, names=["data"], largest=True),
    ),
    Claim(
        "ch4.fig4.lenet-cifar10",
        "Ch. 4, Fig. 4",
        "R_f of the trained LeNet on CIFAR-10.",
        0.6,
        Tolerance(0.3, 1.2, "a factor of two; it depends on P, which is smaller below paper"),
        _panels(_factor(_median), lambda net: net == "lenet", ["cifar10"], largest=True),
        profile="paper",
    ),
    Claim(
        "ch4.fig4.lenet-elsewhere",
        "Ch. 4, Fig. 4",
        "On other data sets than CIFAR-10 the trained LeNet has R_f above 1.",
        "> 1",
        Tolerance.at_least(1.0, "the thesis's bound"),
        _panels(
            _factor(_median), lambda net: net == "lenet", ["mnist", "fashion-mnist"], largest=True
        ),
    ),
    Claim(
        "ch4.fig5.correlation",
        "Ch. 4, Fig. 5",
        "Over networks the test error on CIFAR-10 is correlated with R_f (logarithms).",
        0.97,
        Tolerance.at_least(0.7, "small networks; the thesis's 0.97 is for 15 large ones"),
        _rho("R"),
    ),
    Claim(
        "ch4.fig5.exponent",
        "Ch. 4, Fig. 5",
        "The test error on CIFAR-10 goes like R_f^(1/2).",
        0.5,
        Tolerance(0.35, 0.65, "+- 0.15"),
        _over_networks(_exponent),
        profile="paper",
    ),
    Claim(
        "ch4.fig5.prefactor",
        "Ch. 4, Fig. 5",
        "The test error on CIFAR-10 is 0.24 R_f^(1/2).",
        0.24,
        Tolerance(0.12, 0.48, "a factor of two; 0.2 in the abstract"),
        _over_networks(_prefactor),
        profile="paper",
    ),
    Claim(
        "ch4.fig5.better-than-deformations",
        "Ch. 4, Fig. 5 and 15",
        "R_f tells the test error on CIFAR-10 better than D_f does: the difference of the "
        "absolute values of the two correlations.",
        0.35,
        Tolerance.at_least(0.0, "an ordering"),
        _better_than("D"),
    ),
    Claim(
        "ch4.fig6.noise",
        "Ch. 4, Fig. 6 and 22",
        "G_f of modern networks grows with P, in all panels: its exponent.",
        "> 0",
        Tolerance.at_least(0.0, "a sign"),
        _panels(_growth("G"), is_modern),
    ),
    Claim(
        "ch4.fig6.relative",
        "Ch. 4, Fig. 6 and 22",
        "R_f of modern networks decreases with P, in all panels: its exponent.",
        "< 0",
        Tolerance.at_most(0.0, "a sign; -1 over a part of the range in the thesis"),
        _panels(_growth("R"), is_modern),
    ),
    Claim(
        "ch4.fig11.quadratic",
        "Ch. 4, Fig. 11",
        "G_f of trained networks grows like the square of the norm of small noise: its exponent.",
        2.0,
        Tolerance(1.95, 2.05, "+- 0.05, for norms up to 0.1"),
        _panels(_quadratic, largest=True),
    ),
    Claim(
        "ch4.fig11.departure",
        "Ch. 4, Fig. 11",
        "The square ends around a norm of 1: where the response of trained modern networks on "
        "CIFAR-10 is half of it.",
        1.0,
        Tolerance(0.3, 3.0, "around 1: half a decade up and down"),
        _panels(_factor(_departure), is_modern, ["cifar10"], ["net"], largest=True),
    ),
    Claim(
        "ch4.fig13.interpolation",
        "Ch. 4, Fig. 13",
        "R_f of modern networks against P on MNIST and Fashion-MNIST does not depend on the "
        "interpolation: Gaussian over bilinear.",
        1.0,
        Tolerance(0.7, 1.3, "the curves coincide, within 30 %"),
        _panels(
            _factor(lambda row: row["R_gaussian"] / row["R"][0]),
            is_modern,
            ["mnist", "fashion-mnist"],
            ["data", "net", "P"],
        ),
    ),
    Claim(
        "ch4.fig13.slope",
        "Ch. 4, Fig. 13",
        "R_f of residual networks falls like 1/P on MNIST and Fashion-MNIST, too.",
        -1.0,
        Tolerance(-1.3, -0.7, "+- 0.3, as in Fig. 3"),
        _panels(_growth("R"), is_residual, ["mnist", "fashion-mnist"]),
        profile="paper",
    ),
    Claim(
        "ch4.fig14.init",
        "Ch. 4, Fig. 14",
        "At initialization R is about 1 at every depth: the factor between 1 and the layer "
        "farthest from it, up or down.",
        1.0,
        Tolerance.at_most(2.5, "order one"),
        _panels(_factor(_farthest_layer), largest=True, before=True),
    ),
    Claim(
        "ch4.fig14.depth",
        "Ch. 4, Fig. 14",
        "In trained modern networks R falls with depth: rank correlation of R and depth.",
        "decreases",
        Tolerance.at_most(-0.7, "Spearman's, mean over seeds"),
        _panels(_fall_with_depth, is_modern, largest=True),
    ),
    Claim(
        "ch4.fig15.deformations",
        "Ch. 4, Fig. 15",
        "Correlation of the test error on CIFAR-10 with D_f.",
        0.62,
        Tolerance(0.32, 0.92, "+- 0.3: few networks"),
        _rho("D"),
        profile="paper",
    ),
    Claim(
        "ch4.fig16.noise",
        "Ch. 4, Fig. 16",
        "Correlation of the test error on CIFAR-10 with 1/G_f: better networks are less stable to "
        "noise.",
        0.85,
        Tolerance.at_least(0.55, "- 0.3: few networks"),
        _rho("G", sign=-1),
    ),
    Claim(
        "ch4.fig17.means",
        "Ch. 4, Fig. 17",
        "With means instead of medians R_f still tells the test error on CIFAR-10 best: the "
        "absolute value of its correlation minus the larger one of those of D_f and G_f.",
        "> 0",
        Tolerance.at_least(0.0, "an ordering"),
        _better_than("D", "G", average="mean"),
        profile="paper",
    ),
    Claim(
        "ch4.fig18.separation",
        "Ch. 4, Fig. 18",
        "Convolutional networks separate as P grows: spread of ln R_f over them at the largest P "
        "over that at the smallest, on CIFAR-10.",
        "> 1",
        Tolerance.at_least(1.0, "an ordering"),
        _separation,
    ),
    *_table_2("mnist", "mnist", {"R": 0.75, "D": 0.71, "G": -0.43}),
    *_table_2("fashion", "fashion-mnist", {"R": 0.94, "D": 0.72, "G": -0.68}),
    Claim(
        "ch4.fig21.robust",
        "Ch. 4, Fig. 21",
        "The correlation on CIFAR-10 does not hinge on delta, c and the interpolation: the "
        "smallest over the acceptable ones.",
        "> 0.7",
        Tolerance.at_least(0.5, "the bound of small networks, minus 0.2 for the smallest of many"),
        _over_networks(_smallest_correlation),
        profile="paper",
    ),
)

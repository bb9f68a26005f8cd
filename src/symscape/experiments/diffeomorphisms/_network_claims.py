"""The claims about trained networks, and how they are answered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symscape.experiments.diffeomorphisms._estimates import NO_RUN, distance_from, worst_finding
from symscape.experiments.diffeomorphisms._measure import (
    AVERAGES,
    CUTOFFS,
    DELTAS,
    NOISE_NORMS,
    family,
)
from symscape.lab import Claim, Finding, Row, Table, Tolerance

Array = NDArray[np.float64]

PANEL = ("data", "net")
"""What a panel of Fig. 6 is: the groups of which the worst answers a claim on all of them."""

_SMALL = "bound for narrow networks and short training; the thesis's full size is profile paper"

TABLE_2 = {
    "mnist": "mnist",
    "fashion": "fashion-mnist",
    "svhn": "svhn",
    "tiny": "tiny-imagenet",
}
"""Data sets of Table 2, by their name in the claims; CIFAR-10 has figures of its own."""

NOT_KNOWN = {
    "svhn": "SVHN is not among the data sets of symscape.datasets.",
    "tiny-imagenet": "Tiny ImageNet is not among the data sets of symscape.datasets.",
}
"""Data sets that cannot be measured yet."""


def _table_2(
    name: str, title: str, relative: float, deformations: float, noise: float, profile: str
) -> list[Claim]:
    """The claims of one data set of Table 2."""
    claims = []
    for what, stability, rho in (
        ("relative", "R_f", relative),
        ("deformations", "D_f", deformations),
        ("noise", "G_f", noise),
    ):
        tolerance = Tolerance(
            round(rho - 0.3, 2), min(1.0, round(rho + 0.3, 2)), "+- 0.3: few networks"
        )
        if -0.5 < rho < 0:
            reason = "a negative sign; +- 0.5, because it is weak"
            tolerance = Tolerance(round(rho - 0.5, 2), 0.0, reason)
        statement = f"Correlation of the test error with {stability}, {title}."
        source = "Ch. 4, Table 2 and Fig. 20"
        claims.append(
            Claim(f"ch4.table2.{name}-{what}", source, statement, rho, tolerance, profile)
        )
    return claims


CLAIMS = (
    Claim(
        "ch4.fig3.init",
        "Ch. 4, Fig. 3 center and Fig. 4",
        "At initialization the relative stability is about 1: networks are no more stable to "
        "deformations than to noise. The network and data set farthest from it.",
        1.0,
        Tolerance(0.4, 2.5, "log-average over seeds and P; order one"),
    ),
    Claim(
        "ch4.fig3.trained",
        "Ch. 4, Fig. 3 center",
        "Training makes modern networks relatively stable: R_f after training over that at "
        "initialization, the largest of all networks and data sets.",
        "< 0.3",
        Tolerance(0.0, 0.6, _SMALL),
    ),
    Claim(
        "ch4.fig3.more-data",
        "Ch. 4, Fig. 3 right",
        "R_f of modern networks falls as the training set grows: at the largest P over that at the "
        "smallest, CIFAR-10; the largest of all networks.",
        "decreases",
        Tolerance(0.0, 0.6, _SMALL),
    ),
    Claim(
        "ch4.fig3.interpolation",
        "Ch. 4, Fig. 3 left and App. C",
        "For displacements of a pixel or more the interpolation does not matter: R_f with Gaussian "
        "over R_f with bilinear interpolation, CIFAR-10; the modern network farthest from 1.",
        1.0,
        Tolerance(0.7, 1.3, "the curves coincide, within 30 %"),
    ),
    Claim(
        "ch4.fig4.fully-connected",
        "Ch. 4, Fig. 4",
        "Fully connected networks do not become stable: R_f after training over that at "
        "initialization, the smallest of all networks and data sets.",
        "> 1",
        Tolerance(0.9, math.inf, "larger after training, minus 10 % for the noise of the seeds"),
    ),
    Claim(
        "ch4.fig4.lenet",
        "Ch. 4, Fig. 4",
        "LeNet is less stable than a modern network: its R_f over that of the residual network, "
        "the smallest of all data sets.",
        "> 1",
        Tolerance(1.0, math.inf, "an ordering"),
    ),
    Claim(
        "ch4.fig5.correlation",
        "Ch. 4, Fig. 5",
        "Over networks the test error on CIFAR-10 is correlated with R_f (logarithms).",
        0.97,
        Tolerance(0.7, 1.0, "small networks; the thesis's 0.97 is for 15 large ones"),
    ),
    Claim(
        "ch4.fig5.exponent",
        "Ch. 4, Fig. 5",
        "The test error on CIFAR-10 goes like R_f^(1/2).",
        0.5,
        Tolerance(0.35, 0.65, "+- 0.15"),
        profile="paper",
    ),
    Claim(
        "ch4.fig5.prefactor",
        "Ch. 4, Fig. 5",
        "The test error on CIFAR-10 is 0.24 R_f^(1/2).",
        0.24,
        Tolerance(0.12, 0.48, "a factor of two; 0.2 in the abstract"),
        profile="paper",
    ),
    Claim(
        "ch4.fig5.better-than-deformations",
        "Ch. 4, Fig. 5 and 15",
        "R_f tells the test error on CIFAR-10 better than D_f does: the difference of the "
        "absolute values of the two correlations.",
        0.35,
        Tolerance(0.0, 2.0, "an ordering"),
    ),
    Claim(
        "ch4.fig6.noise",
        "Ch. 4, Fig. 6 and 22",
        "G_f of modern networks grows with P, in all panels: its smallest exponent.",
        "> 0",
        Tolerance(0.0, math.inf, "a sign"),
    ),
    Claim(
        "ch4.fig6.relative",
        "Ch. 4, Fig. 6 and 22",
        "R_f of modern networks decreases with P, in all panels: its largest exponent.",
        "< 0",
        Tolerance(-math.inf, 0.0, "a sign; -1 over a part of the range in the thesis"),
    ),
    Claim(
        "ch4.fig11.quadratic",
        "Ch. 4, Fig. 11",
        "G_f grows like the square of the norm of small noise: the exponent farthest from it.",
        2.0,
        Tolerance(1.95, 2.05, "+- 0.05, for norms up to 0.1"),
    ),
    Claim(
        "ch4.fig13.interpolation",
        "Ch. 4, Fig. 13",
        "R_f of modern networks against P on MNIST does not depend on the interpolation: Gaussian "
        "over bilinear, the network and P farthest from 1.",
        1.0,
        Tolerance(0.7, 1.3, "the curves coincide, within 30 %"),
    ),
    Claim(
        "ch4.fig14.init",
        "Ch. 4, Fig. 14",
        "At initialization R is about 1 at every depth: the factor between 1 and the layer "
        "farthest from it, up or down, the largest of all networks and data sets.",
        1.0,
        Tolerance(0.4, 2.5, "order one"),
    ),
    Claim(
        "ch4.fig14.depth",
        "Ch. 4, Fig. 14",
        "In trained modern networks R falls with depth: rank correlation of R and depth, the "
        "largest of all networks and data sets.",
        "decreases",
        Tolerance(-1.0, -0.7, "Spearman's, mean over seeds"),
    ),
    Claim(
        "ch4.fig15.deformations",
        "Ch. 4, Fig. 15",
        "Correlation of the test error on CIFAR-10 with D_f.",
        0.62,
        Tolerance(0.32, 0.92, "+- 0.3: few networks"),
        profile="paper",
    ),
    Claim(
        "ch4.fig16.noise",
        "Ch. 4, Fig. 16",
        "Correlation of the test error on CIFAR-10 with 1/G_f: better networks are less stable to "
        "noise.",
        0.85,
        Tolerance(0.55, 1.0, "- 0.3: few networks"),
    ),
    Claim(
        "ch4.fig17.means",
        "Ch. 4, Fig. 17",
        "With means instead of medians R_f still tells the test error on CIFAR-10 best: the "
        "absolute value of its correlation minus the larger one of those of D_f and G_f.",
        "> 0",
        Tolerance(0.0, 2.0, "an ordering"),
        profile="paper",
    ),
    Claim(
        "ch4.fig18.separation",
        "Ch. 4, Fig. 18",
        "Convolutional networks separate as P grows: spread of ln R_f over them at the largest P "
        "over that at the smallest, on CIFAR-10.",
        "> 1",
        Tolerance(1.0, math.inf, "an ordering"),
    ),
    *_table_2("mnist", "MNIST", 0.75, 0.71, -0.43, "overnight"),
    *_table_2("fashion", "Fashion-MNIST", 0.94, 0.72, -0.68, "overnight"),
    *_table_2("svhn", "SVHN", 0.81, 0.87, -0.28, "paper"),
    *_table_2("tiny", "Tiny ImageNet", 0.74, 0.69, -0.66, "paper"),
    Claim(
        "ch4.fig21.robust",
        "Ch. 4, Fig. 21",
        "The correlation on CIFAR-10 does not hinge on delta, c and the interpolation: the "
        "smallest over the acceptable ones.",
        "> 0.7",
        Tolerance(0.5, 1.0, "the bound of small networks, 0.7, minus 0.2 for the smallest of many"),
        profile="paper",
    ),
)


def is_modern(net: str) -> bool:
    """Whether a network has batch normalization, as all deep ones of Fig. 3 have."""
    return net.endswith("-bn") or net.startswith(("resnet", "efficientnet"))


def is_convolutional(net: str) -> bool:
    """Whether a network has convolutions."""
    return not net.startswith("fc")


def findings(table: Table, datasets: Sequence[str]) -> list[Finding]:
    """The findings of all claims, in their order."""
    full = Table(row for row in table if row["full"])
    modern, trained_modern = _nets(table, is_modern), _nets(full, is_modern)
    color = _of(full, "cifar10")
    missing = [name for name in datasets if not _of(table, name.removesuffix("-sample"))]
    missing_note = f"Not on this machine: {', '.join(missing)}." if missing else ""

    def ratio(row: Any) -> float:
        return float(row["R"][0] / row["init_R"][0])

    fully_connected = _nets(full, lambda net: not is_convolutional(net))
    correlations: list[tuple[str, Table, Callable[[Array, Any], float]]] = [
        ("ch4.fig5.correlation", color, _rho("R")),
        ("ch4.fig5.exponent", color, _law("exponent")),
        ("ch4.fig5.prefactor", color, _law("prefactor")),
        ("ch4.fig5.better-than-deformations", color, _better_than(["D"])),
        ("ch4.fig15.deformations", color, _rho("D")),
        ("ch4.fig16.noise", color, lambda e, t: -_rho("G")(e, t)),
        ("ch4.fig17.means", color, _better_than(["D", "G"], AVERAGES.index("mean"))),
        *(
            (f"ch4.table2.{name}-{what}", _of(full, data), _rho(stability))
            for name, data in TABLE_2.items()
            for what, stability in (("relative", "R"), ("deformations", "D"), ("noise", "G"))
        ),
        ("ch4.fig21.robust", color, _smallest_correlation),
    ]
    far = distance_from(0.0)  # in the logarithm
    found = [
        _worst_factor("ch4.fig3.init", table, lambda row: row["init_R"][0], far),
        _worst_factor("ch4.fig3.trained", trained_modern, ratio, _largest),
        _last_over_first("ch4.fig3.more-data", _of(modern, "cifar10")),
        _worst_factor(
            "ch4.fig3.interpolation", _of(trained_modern, "cifar10"), _interpolation_ratio, far
        ),
        _worst_factor("ch4.fig4.fully-connected", fully_connected, ratio, _smallest),
        _lenet_over_residual(full),
        _growth("ch4.fig6.noise", modern, "G", _smallest),
        _growth("ch4.fig6.relative", modern, "R", _largest),
        worst_finding("ch4.fig11.quadratic", full, PANEL, _noise_exponent, distance_from(2.0)),
        _worst_factor(
            "ch4.fig13.interpolation",
            _of(modern, "mnist"),
            lambda row: row["R_gaussian"] / row["R"][0],
            far,
            names=(*PANEL, "P"),
        ),
        _worst_factor("ch4.fig14.init", full, _farthest_layer, _largest),
        worst_finding("ch4.fig14.depth", trained_modern, PANEL, _rank_correlation, _largest),
        _separation(_nets(_of(table, "cifar10"), is_convolutional)),
        *(_over_networks(*entry) for entry in correlations),
    ]
    for finding in found:
        if finding.measured is None and missing_note:
            finding.note = missing_note
    for name, data in TABLE_2.items():
        for finding in found:
            if finding.measured is None and finding.claim.startswith(f"ch4.table2.{name}-"):
                finding.note = NOT_KNOWN.get(data, finding.note)
    by_claim = {finding.claim: finding for finding in found}
    return [by_claim[claim.id] for claim in CLAIMS]


def networks(table: Table, value: Callable[[Any], float]) -> dict[str, Array]:
    """A number of every network, one entry per seed."""
    return {
        net: np.array([float(value(row)) for row in rows]) for (net,), rows in table.groups("net")
    }


def curves(table: Table, name: str) -> Iterator[tuple[tuple[str, str], Array, Array]]:
    """``(data, net)``, sizes and the medians of every seed, (seeds, sizes), NaN where missing."""
    for (data, net), rows in table.groups("data", "net"):
        sizes = sorted({row["P"] for row in rows})
        values = [[_one(seed_rows, P, name) for P in sizes] for _, seed_rows in rows.groups("seed")]
        yield (family(data), net), np.array(sizes, dtype=float), np.array(values)


def acceptable(delta: float, c: int, n: int) -> bool:
    """Whether a displacement can be seen and the fields do not fold over, by Fig. 21."""
    return delta >= 0.5 and math.pi * c * delta < n


def pixels(data: str) -> int:
    """Side of the images of a data set."""
    return 28 if family(data) in ("mnist", "fashion-mnist") else 32


def _one(rows: Table, P: int, name: str) -> float:
    found = [float(np.ravel(row[name])[0]) for row in rows if row["P"] == P]
    return found[0] if found else math.nan


def _of(table: Table, name: str) -> Table:
    return Table(row for row in table if family(row["data"]) == name)


def _nets(table: Table, kind: Callable[[str], bool]) -> Table:
    return Table(row for row in table if kind(row["net"]))


def _largest(mean: float) -> float:
    return mean


def _smallest(mean: float) -> float:
    return -mean


def _worst_factor(
    claim: str,
    table: Table,
    value: Callable[[Any], float],
    badness: Callable[[float], float],
    names: Sequence[str] = PANEL,
) -> Finding:
    """The worst log-average over seeds of a ratio; ``badness`` is that of the logarithm."""
    return _factor(worst_finding(claim, table, names, lambda row: math.log(value(row)), badness))


def _factor(finding: Finding) -> Finding:
    """The finding of which a logarithm was found."""
    if finding.measured is not None:
        finding.measured = math.exp(finding.measured)
        if finding.uncertainty is not None:
            finding.uncertainty *= finding.measured
    return finding


def _interpolation_ratio(row: Any) -> float:
    """Log-average over the acceptable displacements of a pixel or more, c = 3."""
    chosen = [
        k
        for k, delta in enumerate(DELTAS)
        if delta >= 1 and acceptable(delta, CUTOFFS[0], pixels(row["data"]))
    ]
    grid = np.log(row["R_grid"])
    return float(np.exp((grid[1, 0, chosen] - grid[0, 0, chosen]).mean()))


def _noise_exponent(row: Any) -> float:
    small = np.array(NOISE_NORMS) <= 0.1
    return float(
        np.polyfit(np.log(np.array(NOISE_NORMS)[small]), np.log(row["G_noise"][small]), 1)[0]
    )


def _farthest_layer(row: Any) -> float:
    """Factor between 1 and R in the layer where it is largest; constant layers are left out."""
    return float(np.exp(np.nanmax(np.abs(np.log(row["init_R_layers"])))))


def _rank_correlation(row: Any) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(np.arange(len(row["R_layers"])), row["R_layers"])[0])


def _last_over_first(claim: str, table: Table) -> Finding:
    """R at the largest P over that at the smallest, of the network where it is largest."""
    rows = []
    for (data, net), sizes, values in curves(table, "R"):
        if len(sizes) > 1:
            point = {"data": data, "net": net}
            rows += [Row(point, {"ratio": last / first}) for first, last in values[:, [0, -1]]]
    return _with_runs(_worst_factor(claim, Table(rows), lambda row: row["ratio"], _largest), table)


def _lenet_over_residual(table: Table) -> Finding:
    rows = []
    for (data, _), some in table.groups("data", "seed"):
        by_net = {row["net"]: math.log(row["R"][0]) for row in some}
        residual = [value for net, value in by_net.items() if net.startswith("resnet")]
        if "lenet" in by_net and residual:
            ratio = math.exp(by_net["lenet"] - float(np.mean(residual)))
            rows.append(Row({"data": data}, {"ratio": ratio}))
    return _with_runs(
        _worst_factor(
            "ch4.fig4.lenet", Table(rows), lambda row: row["ratio"], _smallest, names=("data",)
        ),
        table,
    )


def _with_runs(finding: Finding, table: Table) -> Finding:
    """The finding with the keys of the runs behind it."""
    if finding.measured is not None:
        finding.runs = table.keys
    return finding


def _growth(claim: str, table: Table, name: str, badness: Callable[[float], float]) -> Finding:
    """The worst exponent against P over data sets and networks, with its error over seeds."""
    from symscape.scaling import fit_power_law

    fits = [
        (*key, fit_power_law(sizes, values))
        for key, sizes, values in curves(table, name)
        if len(sizes) > 1
    ]
    if not fits:
        return Finding(claim, None, note=NO_RUN)
    worst = max((fit for *_, fit in fits), key=lambda fit: badness(fit.exponent))
    note = "; ".join(f"{net} on {data}: {fit.exponent:.2f}" for data, net, fit in fits) + "."
    return Finding(claim, worst.exponent, worst.statistical, note, table.keys)


def _separation(table: Table) -> Finding:
    """Spread over networks of the log-average of R, at the largest P over the smallest."""
    from symscape.scaling import cluster_bootstrap

    claim = "ch4.fig18.separation"
    each = [np.log(values[:, [0, -1]]) for _, sizes, values in curves(table, "R") if len(sizes) > 1]
    if len(each) < 3:
        return Finding(claim, None, note=NO_RUN)
    logs = np.stack(each, axis=1)  # (seeds, networks, 2)

    def ratio(sample: Array) -> float:
        first, last = sample.mean(0).std(0)
        return float(last / first)

    found = cluster_bootstrap(ratio, logs)
    return Finding(claim, found.value, found.error, runs=table.keys)


def _over_networks(claim: str, table: Table, statistic: Callable[[Array, Any], float]) -> Finding:
    """A statistic over networks; the error comes from resampling networks."""
    from symscape.scaling import cluster_bootstrap

    rows = list(table.groups("net"))
    if len(rows) < 3:
        return Finding(claim, None, note="Fewer than three networks in this profile.")
    errors = np.array([_log_average([row["test_error"] for row in group]) for _, group in rows])
    whole = statistic(errors, [group for _, group in rows])

    def resampled(chosen: Array) -> float:
        members = chosen.astype(int)
        value = statistic(errors[members], [rows[k][1] for k in members])
        return value if math.isfinite(value) else whole

    found = cluster_bootstrap(resampled, np.arange(len(rows)), resamples=200)
    note = f"{len(rows)} networks."
    return Finding(claim, whole, found.error, note, table.keys)


def _log_average(values: Sequence[float]) -> float:
    """The log-average; an error of zero counts as half of an image."""
    return float(np.mean(np.log(np.maximum(values, 5e-4))))


def _values(groups: Any, name: str, index: Any = 0) -> Array:
    """Log-averages over seeds of one stability, one per network."""
    return np.array(
        [np.mean(np.log([float(row[name][index]) for row in group])) for group in groups]
    )


def _correlated(x: Array, y: Array) -> float:
    spread = x.std() * y.std()
    return float(((x - x.mean()) * (y - y.mean())).mean() / spread) if spread > 0 else math.nan


def _rho(name: str, index: Any = 0) -> Callable[[Array, Any], float]:
    return lambda errors, groups: _correlated(errors, _values(groups, name, index))


def _law(what: str) -> Callable[[Array, Any], float]:
    def fitted(errors: Array, groups: Any) -> float:
        R = _values(groups, "R")
        if what == "prefactor":
            return float(np.exp((errors - 0.5 * R).mean()))
        return float(np.polyfit(R, errors, 1)[0]) if np.ptp(R) > 0 else math.nan

    return fitted


def _better_than(rivals: Sequence[str], index: int = 0) -> Callable[[Array, Any], float]:
    """How much better R tells the error than its rivals: a strong correlation of the other sign
    tells it just as well."""

    def advantage(errors: Array, groups: Any) -> float:
        R, *others = (abs(_rho(name, index)(errors, groups)) for name in ("R", *rivals))
        return R - max(others)

    return advantage


def _smallest_correlation(errors: Array, groups: Any) -> float:
    n = pixels(groups[0].rows[0]["data"])
    return min(
        _rho("R_grid", (i, a, b))(errors, groups)
        for i in range(2)
        for a, c in enumerate(CUTOFFS)
        for b, delta in enumerate(DELTAS)
        if acceptable(delta, c, n)
    )

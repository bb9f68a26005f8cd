"""Claims of paper I on losses, speeds, integrators, f_0, biases, and the variance of lazy nets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symscape import lab, scaling
from symscape.experiments.learning_regimes._observed_flow import Array
from symscape.lab import Claim, Estimate, NoEstimate, Row, Table, Tolerance

if TYPE_CHECKING:
    from symscape.experiments.learning_regimes._details import DetailParameters

Panels = dict[str, Estimate]
Value = Callable[[Row], float]


def _hinge_distance(table: Table, p: DetailParameters) -> Estimate:
    """Largest distance from the hinge over ln 2 / beta, the one farthest from 1."""
    for row in table.where(role="losses"):
        ratios = {
            beta: float(row[f"distance_{beta:g}"]) * beta / math.log(2) for beta in (1.0, 5.0, 20.0)
        }
        worst = max(ratios.values(), key=lambda ratio: abs(ratio - 1))
        where = {float(row[f"where_{beta:g}"]) for beta in ratios}
        return Estimate(worst, note=f"At f y = {', '.join(f'{at:g}' for at in sorted(where))}.")
    raise NoEstimate("The losses are not computed.")


def speeds(table: Table) -> tuple[Array, Array]:
    """Widths and (layers, seeds, widths) speeds, of seeds that have all widths."""
    rows = table.where(role="speed")
    widths = sorted({row["h"] for row in rows})
    seeds = [some for _, some in rows.groups("seed") if len(some) == len(widths)]
    if not seeds:
        raise NoEstimate("No seed has all widths.")
    found = [[row["speeds"] for _, at in some.groups("h") for row in at] for some in seeds]
    return np.array(widths, float), np.array(found).transpose(2, 0, 1)


def _speed_slopes(table: Table, p: DetailParameters) -> Panels:
    widths, found = speeds(table)
    return {f"layer {l + 1}": scaling.slope(widths, layer) for l, layer in enumerate(found)}


def _by_scale(role: str, value: Value) -> Callable[[Table, DetailParameters], Panels]:
    """The mean of a number over seeds, at every scale."""
    return lambda table, p: {
        f"{scale:g}": scaling.mean(rows.per_seed(value))
        for (scale,), rows in table.where(role=role).groups("scale")
    }


def _more_steps(row: Row) -> float:
    return float(row["thesis_fine_evaluations"] / row["thesis_evaluations"])


def _fine(table: Table, p: DetailParameters) -> Panels:
    found = _by_scale("integrators", lambda row: float(row["fine_difference"]))(table, p)
    more = scaling.mean(table.where(role="integrators").per_seed(_more_steps)).value
    note = f"Bounds 1e-4 and {p.fine:g}; the smaller one takes {more:.2g} times as many steps."
    return {name: estimate.noted(note) for name, estimate in found.items()}


def _ends(table: Table) -> tuple[float, float]:
    scales = sorted({row["scale"] for row in table})
    if len(scales) < 2:
        raise NoEstimate("Fewer than two scales are measured.")
    return scales[0], scales[-1]


def _same_predictions(table: Table, p: DetailParameters) -> Panels:
    """Share of the test points that the two nets classify differently at the smallest scale."""
    found = {}
    rows = table.where(role="centered")
    scale = _ends(rows)[0]
    for (h,), some in rows.where(scale=scale).groups("h"):
        differ = [(row["plain_margins"] > 0) != (row["centered_margins"] > 0) for row in some]
        found[f"h = {h}, {scale:g}"] = scaling.share(int(np.sum(differ)), int(np.size(differ)))
    return found


def _worse_without(table: Table, p: DetailParameters) -> Panels:
    """Test error of F = alpha f less that of alpha (f - f_0) at the largest scale."""
    rows = table.where(role="centered")
    scale = _ends(rows)[1]
    return {
        f"h = {h}, {scale:g}": scaling.mean(
            some.per_seed(lambda row: row["plain_error"] - row["centered_error"])
        )
        for (h,), some in rows.where(scale=scale).groups("h")
    }


def _plain_fits(table: Table, p: DetailParameters) -> Estimate:
    rows = table.where(role="centered")
    rows = rows.where(scale=_ends(rows)[1])
    fitted, by_thesis = (
        sum(row[name] == 0 for row in rows) for name in ("plain_n_delta", "plain_n_delta_thesis")
    )
    return Estimate(
        fitted / len(rows),
        note=f"{fitted} of {len(rows)} runs; with the thesis's integrator {by_thesis} of them "
        f"in {p.budget} steps.",
    )


@lab.once
def margins(table: Table, name: str) -> dict[float, Array]:
    """Margins (seeds, n_test) of the nets with or without biases, by scale."""
    return {
        scale: np.array([row[f"{name}_margins"] for row in rows], float)
        for (scale,), rows in table.where(role="bias").groups("scale")
    }


def variance(F: Array) -> float:
    """Over the members (M, n), of which some may stand several times."""
    import torch

    from symscape.dynamics import ensemble_statistics

    return ensemble_statistics(torch.from_numpy(F), torch.ones(F.shape[1]).double()).variance


def _bias_error(table: Table, p: DetailParameters) -> Panels:
    """Mean change of the test error by biases, over the spread of initializations."""
    found = {}
    for (scale,), rows in table.where(role="bias").groups("scale"):
        change = rows.per_seed(lambda row: row["biased_error"] - row["plain_error"])
        if len(change) < 2:
            raise NoEstimate("Fewer than two seeds have no spread.")
        spread = float(rows.per_seed("plain_error").std(ddof=1))
        found[f"{scale:g}"] = scaling.mean(change).scaled(1 / spread) if spread else "No spread."
    return found  # type: ignore[return-value]


def _bias_variance(table: Table, p: DetailParameters) -> Panels:
    """Variance with biases over that without, seeds resampled together."""
    found = {}
    for scale, plain in margins(table, "plain").items():
        biased = margins(table, "biased")[scale]

        def statistic(seeds: Sequence[int], a: Array = biased, b: Array = plain) -> float:
            if len(set(seeds)) < 2:
                return math.nan
            return variance(a[list(seeds)]) / variance(b[list(seeds)])

        found[f"{scale:g}"] = scaling.bootstrap(range(len(plain)), statistic, resamples=100)
    return found


@lab.once
def frozen_variances(table: Table) -> dict[int, dict[int, Array]]:
    """Margins (seeds, n_test) of the frozen kernels, by n and h; only seeds that fit."""
    found: dict[int, dict[int, Array]] = {}
    rows = table.where(role="frozen").select(lambda row: row["status"] == "converged")
    for (n, h), some in rows.groups("n", "h"):
        if len(some) > 1:
            found.setdefault(n, {})[h] = np.array([row["margins"] for row in some], float)
    if not found:
        raise NoEstimate("Fewer than two frozen kernels are finished.")
    return found


def _resampled(of: Sequence[Array], statistic: Callable[[Array], float]) -> Estimate:
    """A number made of the logarithms of several variances, seeds resampled together."""
    seeds = min(len(F) for F in of)

    def drawn(chosen: Sequence[int]) -> float:
        if len(set(chosen)) < 2:
            return math.nan
        return statistic(np.log([variance(F[list(chosen)]) for F in of]))

    return scaling.bootstrap(range(seeds), drawn, resamples=100)


def _exponent(x: Sequence[float]) -> Callable[[Array], float]:
    u = np.log(np.asarray(x, float))
    return lambda v: float(np.polyfit(u, v, 1)[0])


def _root_n(table: Table, p: DetailParameters) -> Panels:
    """Exponent of n in the variance, at every width."""
    found = frozen_variances(table)
    if len(found) < 2:
        raise NoEstimate("Fewer than two sizes of the training set are measured.")
    widths = set.intersection(*(set(by_width) for by_width in found.values()))
    return {
        f"h = {h}": _resampled([by_width[h] for by_width in found.values()], _exponent(list(found)))
        for h in sorted(widths)
    }


def _upper(by_width: dict[int, Array]) -> list[int]:
    """The wider half of the widths, of which the asymptotic exponent is taken."""
    widths = sorted(by_width)
    return widths[len(widths) // 2 :]


def _asymptote(table: Table, p: DetailParameters) -> Estimate:
    """Exponent of h in the variance for the smallest training set."""
    found = frozen_variances(table)
    by_width = found[min(found)]
    widths = _upper(by_width)
    if len(widths) < 2:
        raise NoEstimate("Fewer than two wide nets are measured.")
    note = f"n = {min(found)}, h = {', '.join(map(str, widths))}."
    return _resampled([by_width[h] for h in widths], _exponent(widths)).noted(note)


def _earlier(table: Table, p: DetailParameters) -> Estimate:
    """Exponent of h of the largest training set less that of the smallest, narrower half."""
    found = frozen_variances(table)
    ends = [found[n] for n in (min(found), max(found))]
    widths = [h for h in sorted(ends[0]) if h in ends[1] and h not in _upper(ends[0])]
    if len(found) < 2 or len(widths) < 2:
        raise NoEstimate("Fewer than two sizes or widths are measured.")
    of = [by_width[h] for by_width in ends for h in widths]
    slope, k = _exponent(widths), len(widths)
    return _resampled(of, lambda v: slope(v[k:]) - slope(v[:k]))


def _claim(id: str, source: str, statement: str, thesis: Any, tolerance: Tolerance, answer: Any,
           **kind: Any) -> Claim:  # fmt: skip
    return Claim(f"ch3.i.{id}", f"Paper I, {source}", statement, thesis, tolerance, answer, **kind)


CLAIMS = (
    _claim(
        "fig1.distance",
        "Fig. 1",
        "The soft hinge differs from the hinge by at most ln 2 / beta, at f y = 1.",
        1.0,
        Tolerance(1 - 1e-12, 1 + 1e-12, "largest distance over ln 2 / beta; rounding"),
        _hinge_distance,
        kind="exact",
        profile="smoke",
    ),
    _claim(
        "fig11.speed",
        "Fig. 11, Eq. 22",
        "At the start the preactivations of every layer move with a speed of order 1/sqrt(h).",
        -0.5,
        Tolerance(-0.6, -0.4, "exponent of h in the speed, -1/2 +- 0.1, every layer"),
        _speed_slopes,
    ),
    _claim(
        "fig13a.steps",
        "Fig. 13a, App. G",
        "A bound on the change of the gradient that is 100 times smaller changes the outputs by "
        "less than 1e-3.",
        "< 1e-3",
        Tolerance.at_most(1e-3, "relative difference of the test outputs, at every scale"),
        _fine,
    ),
    _claim(
        "fig13b.memory",
        "Fig. 13b",
        "Nor do outputs depend on the small momentum of the dynamics.",
        "< 1e-3",
        Tolerance.at_most(1e-3, "relative difference of the test outputs, at every scale"),
        _by_scale("integrators", lambda row: float(row["memory_difference"])),
    ),
    _claim(
        "fig13.ours",
        "Fig. 13",
        "The integrator of these pages gives the outputs of the exact flow.",
        0.0,
        Tolerance.at_most(0.01, "relative difference of the test outputs, at every scale: 1 %"),
        _by_scale("integrators", lambda row: float(row["ours_error"])),
        kind="check",
    ),
    _claim(
        "fig15.small-alpha",
        "Fig. 15",
        "At small alpha the subtraction of f_0 changes neither the net nor its test error.",
        0.0,
        Tolerance.at_most(
            0.02, "share of the test points classified differently at the smallest scale: 2 %"
        ),
        _same_predictions,
    ),
    _claim(
        "fig15.large-alpha",
        "Fig. 15, App. I",
        "At large alpha the subtraction of f_0 improves the test error drastically.",
        "> 0",
        Tolerance.at_least(0.05, "difference of the mean errors at the largest scale: 5 % or more"),
        _worse_without,
    ),
    _claim(
        "fig15.fits",
        "Fig. 15, after the authors' program",
        "Nets without the subtraction can be trained to zero loss even at the largest alpha.",
        1.0,
        Tolerance.at_least(1.0, "share of the runs that fit: all of them"),
        _plain_fits,
        kind="check",
    ),
    _claim(
        "fig16.error",
        "Fig. 16a, App. J",
        "Biases do not change the test error.",
        0.0,
        Tolerance(-1.0, 1.0, "mean change over the standard deviation of initializations"),
        _bias_error,
    ),
    _claim(
        "fig16.variance",
        "Fig. 16b, App. J",
        "Biases do not change the variance of the output.",
        1.0,
        Tolerance(0.5, 2.0, "variance with biases over that without: within a factor 2"),
        _bias_variance,
    ),
    _claim(
        "fig14.sqrt-n",
        "Fig. 14, App. H",
        "The variance of lazy nets grows with the training set as sqrt(n).",
        0.5,
        Tolerance(0.3, 0.7, "exponent of n at every width, 1/2 +- 0.2"),
        _root_n,
    ),
    _claim(
        "fig14.asymptote",
        "Fig. 14, App. H",
        "For a small training set the variance of lazy nets reaches its asymptote 1/h.",
        -1.0,
        Tolerance(-1.2, -0.8, "exponent of h, smallest n, wider half of the nets; -1 +- 0.2"),
        _asymptote,
    ),
    _claim(
        "fig14.earlier",
        "Fig. 14, App. H",
        "The asymptote is reached earlier for smaller training sets.",
        "> 0",
        Tolerance.at_least(
            0.0, "exponent of h of the largest n less that of the smallest, narrower half of nets"
        ),
        _earlier,
    ),
)

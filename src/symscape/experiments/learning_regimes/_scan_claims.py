"""Claims of paper I on kernel, weights, times, outputs, errors and fluctuations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from symscape import lab, scaling
from symscape.experiments.learning_regimes import _scan_runs as runs
from symscape.experiments.learning_regimes._observed_flow import LEVELS, SLAB, Array
from symscape.lab import Claim, Estimate, NoEstimate, Row, Table, Tolerance

if TYPE_CHECKING:
    from symscape.experiments.learning_regimes._scan import ScanParameters

Panels = dict[str, Estimate]
Answer = Callable[[Table, "ScanParameters"], Panels | Estimate]
Value = Callable[[Row], float]

FEATURE = (1e-4, 0.1)
"""sqrt(h) alpha of the exponents of feature training (Table 2, small setting of the sheet)."""
DEEP = (1e-4, 1e-2)
"""sqrt(h) alpha that count as far below the cross-over."""
LAZY = (1e3, 1e6)
"""sqrt(h) alpha of lazy training, of times; kernel and weights from 1e4 on."""
VERY_LAZY = (1e4, 1e6)
COLLAPSED = (1e-3, 10.0)
r"""sqrt(h) alpha at which the change of the kernel should not depend on h.

To first order in 1/alpha the kernel changes by :math:`1/(h\alpha)`, as the sum of h terms of both
signs, and to second order by :math:`1/(\sqrt h\alpha)^2`. The first wins where
:math:`\sqrt h\alpha>\sqrt h`: there a factor :math:`h^{-1/2}` remains.
"""
REMAINDER = (1e2, 1e6)
"""sqrt(h) alpha where it does."""
ABOVE = 0.1
"""The rescaled error is that of sqrt(h) alpha above it, as in the thesis's figures."""
SEEN_LEVELS = (0.9, 0.5, 0.2)
"""Rescaled losses at which learning curves are compared."""


def kernel_exponent(L: int) -> float:
    """a(L) = 2 L / (L + 1)."""
    return 2 * L / (L + 1)


def weight_exponent(L: int) -> float:
    """b(L) = 1 / (L + 1)."""
    return 1 / (L + 1)


def in_scale(value: Value, window: tuple[float, float]) -> Answer:
    """Exponent of sqrt(h) alpha in a quantity, of every net on the slab."""
    return lambda table, p: {
        name: scaling.slope(*runs.curves(rows, "scale", value), window)
        for name, _, _, rows in runs.by_net(table)
    }


def decay_less_theory(value: Value, theory: Callable[[int], float]) -> Answer:
    """By how much the exponent of decay in feature training differs from that of the theory."""
    return lambda table, p: {
        name: (-scaling.slope(*runs.curves(rows, "scale", value), FEATURE)).shifted(-theory(L))
        for name, L, _, rows in runs.by_net(table)
    }


def in_width(value: Value, low: float, high: float) -> Answer:
    """Exponent of the width in a quantity, at every sqrt(h) alpha of a window."""

    def answer(table: Table, p: ScanParameters) -> Panels:
        return {
            f"{scale:g}": scaling.slope(*runs.curves(rows, "h", value))
            for scale, rows in runs.by_scale(runs.several_widths(table), low, high)
        }

    return answer


def deep_nets(answer: Answer) -> Answer:
    """The panels of two layers and more, as in the thesis's figures; L = 1 is in the notes."""

    def of_deep(table: Table, p: ScanParameters) -> Panels:
        found = answer(table, p)
        assert isinstance(found, dict)
        shallow = {name: e for name, e in found.items() if name.startswith("L = 1,")}
        said = f"Not in the thesis's figure: {scaling.listed(shallow)}." if shallow else ""
        return {name: e.noted(said) for name, e in found.items() if name not in shallow}

    return of_deep


def in_scale_at_levels(time: Callable[[float], Value], window: tuple[float, float]) -> Answer:
    """Exponent of sqrt(h) alpha in the times at which the loss passes its levels."""

    def answer(table: Table, p: ScanParameters) -> Panels:
        return {
            f"{name}, loss {level:g}": found
            for level in SEEN_LEVELS
            for name, found in in_scale(time(level), window)(table, p).items()  # type: ignore[union-attr]
        }

    return answer


def _lazy_curves(table: Table, p: ScanParameters) -> Panels:
    """Exponents of alpha in the times of the loss, and exponents of the width."""
    found = in_scale_at_levels(runs.plain_time_at, VERY_LAZY)(table, p)
    assert isinstance(found, dict)
    for level in SEEN_LEVELS:
        widths = in_width(runs.plain_time_at(level), *VERY_LAZY)(table, p)
        assert isinstance(widths, dict)
        found |= {f"width, at {scale}, loss {level:g}": e for scale, e in widths.items()}
    return found


def _a_grows(table: Table, p: ScanParameters) -> Panels:
    """Difference of the exponents a of each depth and the next smaller one, at their widest net."""
    found: dict[int, Estimate] = {}
    for _, L, _, rows in runs.by_net(table):
        found[L] = -scaling.slope(*runs.curves(rows, "scale", runs.KERNEL_CHANGE), FEATURE)
    depths = sorted(found)
    if len(depths) < 2:
        raise NoEstimate("Fewer than two depths are measured.")
    return {
        f"L = {deep} less L = {shallow}": scaling.difference(found[deep], found[shallow])
        for shallow, deep in itertools.pairwise(depths)
    }


def crossovers(table: Table) -> tuple[Array, Array]:
    """Per seed, the alpha at which the kernel changes by its own norm: h (n,), (seeds, n)."""

    def alpha(rows: Table) -> float:
        scales, curve = runs.curves(rows, "scale", runs.KERNEL_CHANGE)
        known = np.isfinite(curve[0])
        found = scaling.crossing(scales[known], curve[:, known], 1.0)
        return found.value / math.sqrt(rows.rows[0]["h"])

    rows = runs.several_widths(table)
    if not rows:
        raise NoEstimate("No run gives this number.")
    widths = sorted({row["h"] for row in rows})
    seeds = [seed for (seed,), some in rows.groups("seed") if _reaches(some, widths)]
    if not seeds:
        raise NoEstimate("No seed has all widths on both sides of the cross-over.")
    found = [[alpha(rows.where(seed=seed, h=h)) for h in widths] for seed in seeds]
    return np.array(widths, float), np.array(found)


def _reaches(rows: Table, widths: Sequence[int]) -> bool:
    """Whether a seed's kernel changes by more and by less than its norm at each width."""
    changes = [[runs.KERNEL_CHANGE(row) for row in rows if row["h"] == h] for h in widths]
    return all(some and np.nanmin(some) < 1 < np.nanmax(some) for some in changes)


def _crossover_slope(table: Table, p: ScanParameters) -> Estimate:
    return scaling.slope(*crossovers(table))


def mean_errors(table: Table) -> dict[int, tuple[Array, Array]]:
    """Test errors at the depth of most widths, by h: scales above 0.1 and (seeds, n) errors.

    Only scales and seeds at which all runs are there.
    """
    rows = runs.several_widths(table).select(lambda row: row["scale"] > ABOVE)
    found = {}
    for (h,), some in rows.groups("h"):
        scales, errors = runs.curves(some, "scale", runs.TEST_ERROR)
        complete = np.isfinite(errors).sum(1) == np.isfinite(errors).sum(1).max()
        found[h] = scales, errors[complete]
    return found


def middle(scales: Array, errors: Array) -> float:
    """sqrt(h) alpha at which the rescaled mean error is 1/2.

    Raises:
        NoEstimate: the error does not change with the scale.
    """
    mean = errors.mean(0)
    return scaling.crossing(scales, mean, 0.5 * (mean.min() + mean.max())).value


def _middle_slope(table: Table, p: ScanParameters) -> Estimate:
    """Exponent of the width in the alpha of the middle, seeds resampled together."""
    errors = mean_errors(table)
    if len(errors) < 2:
        raise NoEstimate("Fewer than two widths are measured.")
    seeds = min(len(some) for _, some in errors.values())
    u = np.log(list(errors))

    def statistic(chosen: Sequence[int]) -> float:
        alphas = [
            middle(scales, some[list(chosen)]) / math.sqrt(h)
            for h, (scales, some) in errors.items()
        ]
        return float(np.polyfit(u, np.log(alphas), 1)[0])

    return scaling.bootstrap(range(seeds), statistic, note=f"Widths {list(errors)}.")


def _variance(table: Table, p: ScanParameters) -> Panels:
    """Exponent of the width in the variance of the outputs, at each scale of the ensembles."""
    rows = runs.several_widths(table)
    widths = sorted({row["h"] for row in rows})
    found = {}
    for scale in p.ensemble_scales if rows else ():
        of = [runs.stack(table, SLAB, rows.rows[0]["L"], h, scale) for h in widths]

        def statistic(seeds: Sequence[int], of: list[runs.Stack] = of) -> float:
            variances = [runs.statistics(some, seeds).variance for some in of]
            return float(np.polyfit(np.log(widths), np.log(variances), 1)[0])

        found[f"{scale:g}"] = _over_seeds(of, statistic)
    return found


def _over_seeds(of: Sequence[runs.Stack], statistic: Callable[[Sequence[int]], float]) -> Estimate:
    """A number of several ensembles, whose common seeds are resampled together."""

    def alive(seeds: Sequence[int]) -> float:
        # One seed drawn every time is no ensemble.
        return statistic(seeds) if len(set(seeds)) > 1 else math.nan

    return scaling.bootstrap(runs.common_seeds(of), alive, resamples=100)


def _data_sets(table: Table) -> Iterator[tuple[str, int, list[int], list[float]]]:
    """Data, L, widths and scales of the ensembles with L of most widths."""
    widest = {row["L"] for row in runs.several_widths(table)}
    for (data,), rows in runs.networks(table).groups("data"):
        some = rows.select(lambda row, data=data: data != SLAB or row["L"] in widest)  # type: ignore[misc]
        if some:
            L = some.rows[0]["L"]
            yield data, L, sorted({r["h"] for r in some}), sorted({r["scale"] for r in some})


def _ends(p: ScanParameters, data: str) -> tuple[float, float]:
    """The scales that stand for feature and for lazy training where errors are compared."""
    scales = p.ensemble_scales if data == SLAB else p.image_scales
    return scales[0], scales[-1]


def _paired(parts: Sequence[Table], value: Value) -> Array:
    """A number of the runs of those seeds that all parts have, (parts, seeds)."""
    found = [{row["seed"]: value(row) for row in rows} for rows in parts]
    seeds = sorted(set.intersection(*(set(part) for part in found)))
    return np.array([[part[seed] for seed in seeds] for part in found], float)


def _ensemble_helps(table: Table, p: ScanParameters) -> Panels:
    """Error of the ensemble over that of its members, of the narrowest nets in both regimes."""
    found = {}
    for data, L, widths, _ in _data_sets(table):
        for scale in _ends(p, data):
            of = runs.stack(table, data, L, widths[0], scale)

            def statistic(seeds: Sequence[int], of: runs.Stack = of) -> float:
                found = runs.statistics(of, seeds)
                return found.ensemble_error / found.error

            name = f"{runs.name_of(data)}, h = {widths[0]}, {scale:g}"
            found[name] = _over_seeds([of], statistic)
    return found


def _ensemble_flat(table: Table, p: ScanParameters) -> Panels:
    """Change of the ensemble's error from the narrowest to the widest net, over its members'."""
    found = {}
    for data, L, widths, _ in _data_sets(table):
        pairs = [
            (runs.stack(table, data, L, widths[0], s), runs.stack(table, data, L, widths[-1], s))
            for s in _ends(p, data)
        ]

        def statistic(
            seeds: Sequence[int], pairs: list[tuple[runs.Stack, runs.Stack]] = pairs
        ) -> float:
            of = [[runs.statistics(some, seeds) for some in pair] for pair in pairs]
            together = sum(a.ensemble_error - b.ensemble_error for a, b in of)
            alone = sum(a.error - b.error for a, b in of)
            return together / alone if alone else math.nan

        name = f"{runs.name_of(data)}, h = {widths[0]} and {widths[-1]}"
        found[name] = _over_seeds([some for pair in pairs for some in pair], statistic)
    return found


def _images(table: Table) -> tuple[str, int, int]:
    """Data, L and the largest width on images.

    Raises:
        NoEstimate: none is measured.
    """
    for data, L, widths, _ in _data_sets(table):
        if data != SLAB:
            return data, L, widths[-1]
    raise NoEstimate("No net on images is finished.")


def _lazy_single_better(table: Table, p: ScanParameters) -> Panels:
    """Test error of lazy less that of feature training, single nets, by seed."""
    data, L, h = _images(table)
    rows = runs.networks(table, data=data, L=L, h=h)
    parts = [rows.where(scale=scale) for scale in _ends(p, data)]
    feature, lazy = _paired(parts, runs.TEST_ERROR)
    return {runs.name_of(data): scaling.mean(lazy - feature, f"h = {h}.")}


def _lazy_ensemble_better(table: Table, p: ScanParameters) -> Panels:
    data, L, h = _images(table)
    of = [runs.stack(table, data, L, h, scale) for scale in _ends(p, data)]

    def statistic(seeds: Sequence[int]) -> float:
        feature, lazy = (runs.statistics(some, seeds).ensemble_error for some in of)
        return lazy - feature

    return {runs.name_of(data): _over_seeds(of, statistic).noted(f"h = {h}.")}


@lab.once
def frozen(table: Table) -> dict[tuple[str, int, int, int], Row]:
    """The runs of frozen kernels by data, L, h and seed."""
    return {_initial(row): row for row in table.where(role="frozen")}


def _initial(row: Row) -> tuple[str, int, int, int]:
    """What two runs from the same initial weights have in common."""
    return row["data"], row["L"], row["h"], row["seed"]


def distance(table: Table, row: Row) -> float:
    """Between the test outputs of a net and of its frozen kernel, relative to the latter.

    NaN where the run of the frozen kernel is not there.
    """
    twin = frozen(table).get(_initial(row))
    if twin is None:
        return math.nan
    net, kernel = (r["margins"].astype(np.float64) for r in (row, twin))
    return float(np.linalg.norm(net - kernel) / np.linalg.norm(kernel))


def _to_frozen(value: Callable[[Table, Row], float]) -> Answer:
    """A comparison of the laziest nets of each data set and width with their frozen kernels."""

    def answer(table: Table, p: ScanParameters) -> Panels:
        found = {}
        for data, L, widths, scales in _data_sets(table):
            for h in widths:
                rows = runs.networks(table, data=data, L=L, h=h, scale=scales[-1])
                values = [runs.finished(lambda row: value(table, row))(row) for row in rows]
                name = f"{runs.name_of(data)}, h = {h}, {scales[-1]:g}"
                found[name] = scaling.mean([v for v in values if math.isfinite(v)])
        return found

    return answer


def _more_errors(table: Table, row: Row) -> float:
    twin = frozen(table).get(_initial(row))
    return math.nan if twin is None else row["test_error"] - twin["test_error"]


def _fixed_alpha(table: Table, p: ScanParameters) -> Estimate:
    """Ensemble error of the widest less that of the narrowest net on the slab, at alpha = 1."""
    rows = runs.several_widths(table)
    widths = sorted({row["h"] for row in rows})
    if len(widths) < 2:
        raise NoEstimate("Fewer than two widths are measured.")
    ends = [at_alpha(table, rows.rows[0]["L"], h, 1.0) for h in (widths[0], widths[-1])]

    def statistic(seeds: Sequence[int]) -> float:
        narrow, wide = (error(seeds) for _, error in ends)
        return wide - narrow

    of = [some for stacks, _ in ends for some in stacks]
    return _over_seeds(of, statistic).noted(f"h = {widths[0]} and {widths[-1]}.")


def at_alpha(
    table: Table, L: int, h: int, alpha: float
) -> tuple[list[runs.Stack], Callable[[Sequence[int]], float]]:
    """Ensembles beside a given alpha, and the ensemble error there, linear in log alpha."""
    scale = math.sqrt(h) * alpha
    every = sorted(
        key[3] for key in runs.stacks(table) if key[:3] == (SLAB, L, h) and key[3] > ABOVE
    )
    beside = [s for s in every if s <= scale][-1:] + [s for s in every if s > scale][:1]
    if len(beside) < 2:
        raise NoEstimate(f"No ensembles of h = {h} on both sides of alpha = {alpha:g}.")
    of = [runs.stack(table, SLAB, L, h, s) for s in beside]

    def error(seeds: Sequence[int]) -> float:
        errors = [runs.statistics(some, seeds).ensemble_error for some in of]
        return float(np.interp(math.log(scale), np.log(beside), errors))

    return of, error


def _blow_up(table: Table, p: ScanParameters) -> Estimate:
    """Variance at the smallest scale over that at 1e-2 (or the next one), of the narrowest net."""
    widths = [h for L, h in p.nets if L == 2]
    if not widths:
        raise NoEstimate("No net with L = 2 is measured.")
    scales = (p.smallest_scale, p.ensemble_scales[0])
    of = [runs.stack(table, SLAB, 2, min(widths), scale) for scale in scales]

    def statistic(seeds: Sequence[int]) -> float:
        small, usual = (runs.statistics(some, seeds).variance for some in of)
        return small / usual

    rows = runs.networks(table, data=SLAB, L=2, h=min(widths))
    errors = [rows.where(scale=s).column("test_error").mean() for s in scales]
    return _over_seeds(of, statistic).noted(
        f"h = {min(widths)}, sqrt(h) alpha = {scales[0]:g} and {scales[1]:g}: mean test errors "
        f"{errors[0]:.3f} and {errors[1]:.3f}."
    )


def _sharp(table: Table, p: ScanParameters) -> Panels:
    """t(loss 0.1)/t(loss 0.9) in feature over that in lazy training."""
    late, early = LEVELS.index(0.1), LEVELS.index(0.9)

    def span(row: Row) -> float:
        return float(row["loss_times"][late] / row["loss_times"][early])

    found = {}
    for name, _, _, rows in runs.by_net(table):
        parts = [rows.where(scale=scale) for scale in (1e-3, 1e4)]
        feature, lazy = _paired(parts, runs.finished(span))
        found[name] = scaling.geometric_mean(feature / lazy)
    return found


def size_at(row: Row, time: float) -> float:
    """|f(w_t) - f(w_0)| on test points at a time, linear in logarithms between ``LEVELS``.

    NaN outside of them.
    """
    known = np.isfinite(row["loss_times"])
    t, size = np.log(row["loss_times"][known]), np.log(row["growth"][known])
    inside = len(t) > 1 and t[0] <= math.log(time) <= t[-1]
    return float(np.exp(np.interp(math.log(time), t, size))) if inside else math.nan


EARLY = (0.02, 0.05, 0.1, 0.2)
"""Times in units of t_1, at which the output still grows linearly."""


def _linear_growth(table: Table, p: ScanParameters) -> Panels:
    """Exponent of time in the growth of the output before t_1 = t_(L/2), by scale."""
    rows = runs.several_widths(table)
    rows = rows.where(h=max((row["h"] for row in rows), default=0))
    found = {}
    for scale, some in runs.by_scale(rows, 1e-3, 10.0):
        sizes = [
            [size_at(row, t * runs.plain_time_at(0.5)(row)) for t in EARLY]
            for row in some
            if row["status"] == "converged"
        ]
        found[f"{scale:g}"] = scaling.slope(EARLY, sizes)
    return found


def at_t1(row: Row) -> float:
    """|f(w_t) - f(w_0)| on test points at t = sqrt(h) alpha; |f(w_0)| is of order one."""
    return size_at(row, row["scale"])


def _grows_by_root_h(table: Table, p: ScanParameters) -> Panels:
    """Exponent of h in the growth of the output at t = sqrt(h) alpha."""

    return in_width(runs.finished(at_t1), 1e-3, 1e-2)(table, p)  # type: ignore[return-value]


_HALF = "-1/2 +- 0.1"

CLAIMS = (
    Claim(
        "ch3.i.fig5a.crossover",
        "Paper I, Fig. 5a; Sec. 3 and 6",
        "The kernel changes by its own norm at an alpha* that falls with the width as 1/sqrt(h).",
        -0.5,
        Tolerance(-0.6, -0.4, f"exponent of h in alpha*, {_HALF}"),
        _crossover_slope,
    ),
    Claim(
        "ch3.i.fig3d.crossover",
        "Paper I, Fig. 3d",
        "Rescaled test errors collapse in sqrt(h) alpha: the alpha at half height falls as "
        "1/sqrt(h).",
        -0.5,
        Tolerance(-0.6, -0.4, f"exponent of h in the alpha at half height, {_HALF}"),
        _middle_slope,
    ),
    Claim(
        "ch3.i.fig5a.collapse",
        "Paper I, Fig. 5a, right",
        "The change of the kernel is a function of sqrt(h) alpha, whatever the width.",
        0.0,
        Tolerance(
            -0.2,
            0.2,
            "exponent of h at each sqrt(h) alpha from 1e-3 to 10; a function of alpha alone would "
            "have 2/3",
        ),
        in_width(runs.KERNEL_CHANGE, *COLLAPSED),
    ),
    Claim(
        "ch3.i.fig5a.collapse-lazy",
        "Paper I, Fig. 5a, right",
        "Far on the lazy side, too, the change of the kernel depends on sqrt(h) alpha only.",
        0.0,
        Tolerance(
            -math.log10(3),
            math.log10(3),
            "exponent of h at each sqrt(h) alpha from 1e2 on: within a factor 3 per decade of h",
        ),
        in_width(runs.KERNEL_CHANGE, *REMAINDER),
    ),
    Claim(
        "ch3.i.fig5a.lazy-slope",
        "Paper I, Fig. 5a; Eq. 29 and Sec. 5",
        "In lazy training the change of the kernel falls as 1/(sqrt(h) alpha).",
        -1.0,
        Tolerance(-1.05, -0.95, "exponent from 1e4 on, where it is -1 up to the steps of the flow"),
        in_scale(runs.KERNEL_CHANGE, VERY_LAZY),
    ),
    Claim(
        "ch3.i.table2.kernel",
        "Paper I, Table 2, Eq. 18 and 24",
        "In feature training the kernel changes as (sqrt(h) alpha)^-a with a = 2 / (1 + 1/L).",
        "a = 2 / (1 + 1/L)",
        Tolerance(-0.15, 0.15, "measured a less that of the theory, for every depth"),
        decay_less_theory(runs.KERNEL_CHANGE, kernel_exponent),
    ),
    Claim(
        "ch3.i.table2.weights",
        "Paper I, Table 2, Eq. 30",
        "In feature training the weights move as (sqrt(h) alpha)^-b with b = 1 / (1 + L).",
        "b = 1 / (1 + L)",
        Tolerance(-0.08, 0.08, "measured b less that of the theory, for every depth"),
        decay_less_theory(runs.DISPLACEMENT, weight_exponent),
    ),
    Claim(
        "ch3.i.table2.deeper-is-steeper",
        "Paper I, Table 2",
        "The exponent a grows with the depth.",
        "1.25 for L = 2, 1.7 for L = 5",
        Tolerance.at_least(0.0, "a of each depth less a of the one before"),
        _a_grows,
    ),
    Claim(
        "ch3.i.fig5b.lazy-curves",
        "Paper I, Fig. 5b, left",
        "In lazy training the rescaled loss as a function of t depends neither on alpha nor on h.",
        0.0,
        Tolerance(
            -0.1,
            0.1,
            "exponents of alpha and of h in the times at which the loss passes 0.9, 0.5, 0.2",
        ),
        _lazy_curves,
    ),
    Claim(
        "ch3.i.fig5b.feature-curves",
        "Paper I, Fig. 5b, right",
        "In feature training the rescaled loss is a function of t / (sqrt(h) alpha).",
        0.0,
        Tolerance(
            -0.1, 0.1, "exponent of sqrt(h) alpha, from 1e-4 to 1e-2, in t(loss) / (sqrt(h) alpha)"
        ),
        deep_nets(in_scale_at_levels(runs.time_at, DEEP)),
    ),
    Claim(
        "ch3.i.fig5b.sharp",
        "Paper I, Fig. 5b",
        "Learning curves are very sharp in feature training.",
        "sharp",
        Tolerance.at_most(
            0.5, "time to lose 90 % over time to lose 10 %, at 1e-3 over that at 1e4: at most half"
        ),
        _sharp,
    ),
    Claim(
        "ch3.i.fig5c.plateau",
        "Paper I, Fig. 5c, Eq. 19",
        "In feature training the loss is halved in a time proportional to sqrt(h) alpha.",
        0.0,
        Tolerance(-0.1, 0.1, "exponent of sqrt(h) alpha in t / (sqrt(h) alpha), from 1e-4 to 1e-2"),
        deep_nets(in_scale(runs.HALF_TIME, DEEP)),
    ),
    Claim(
        "ch3.i.fig5c.lazy-slope",
        "Paper I, Fig. 5c",
        "In lazy training the time in which the loss is halved does not depend on alpha.",
        -1.0,
        Tolerance(-1.05, -0.95, "exponent of sqrt(h) alpha in t / (sqrt(h) alpha), from 1e3 on"),
        in_scale(runs.HALF_TIME, LAZY),
    ),
    Claim(
        "ch3.i.fig9.collapse",
        "Paper I, Fig. 9, right",
        "sqrt(h) |w - w_0| / |w_0| is a function of sqrt(h) alpha, whatever the width.",
        0.0,
        Tolerance(
            -0.1, 0.1, "exponent of h at each sqrt(h) alpha: 10 %, as for the other exponents of h"
        ),
        in_width(runs.DISPLACEMENT, 1e-3, 1e6),
    ),
    Claim(
        "ch3.i.fig9.lazy-slope",
        "Paper I, Fig. 9, Eq. 29",
        "In lazy training the weights move by 1/(sqrt(h) alpha).",
        -1.0,
        Tolerance(-1.05, -0.95, "exponent from 1e4 on, where it is -1 up to the steps of the flow"),
        in_scale(runs.DISPLACEMENT, VERY_LAZY),
    ),
    Claim(
        "ch3.i.fig10a.linear",
        "Paper I, Fig. 10a, Eq. 32",
        "Before t_1 the output grows linearly in time, at every alpha.",
        1.0,
        Tolerance(0.85, 1.15, "exponent of t from t_1/50 to t_1/5; the loss is half at t_1"),
        _linear_growth,
    ),
    Claim(
        "ch3.i.fig10b.sqrt-h",
        "Paper I, Fig. 10b, Eq. 32",
        "At t = t_1 = sqrt(h) alpha the output has grown by a factor of order sqrt(h).",
        0.5,
        Tolerance(0.4, 0.6, "exponent of h, with t_1 = sqrt(h) alpha at 1e-3 to 1e-2"),
        _grows_by_root_h,
    ),
    Claim(
        "ch3.i.fig4a.variance",
        "Paper I, Fig. 4a, Eq. 17",
        "In both regimes the variance of the output over initializations falls as 1/h.",
        -1.0,
        Tolerance(-1.2, -0.8, "exponent of h at each of the four scales, -1 +- 0.2"),
        _variance,
    ),
    Claim(
        "ch3.i.fig4c.ensemble-helps",
        "Paper I, Fig. 4c, d",
        "In both regimes the ensemble errs less than its members.",
        "< 1",
        Tolerance.at_most(1.0, "error of the ensemble over the mean error, narrowest nets"),
        _ensemble_helps,
    ),
    Claim(
        "ch3.i.fig4d.flat",
        "Paper I, Fig. 4d, remark (i)",
        "The error of the ensemble is nearly independent of h: larger nets are better because "
        "they fluctuate less.",
        0.0,
        Tolerance(
            -0.5,
            0.5,
            "what the ensemble gains from the narrowest to the widest net, over what its members "
            "gain, both regimes together",
        ),
        _ensemble_flat,
    ),
    Claim(
        "ch3.i.fig4e.fixed-alpha",
        "Paper I, Sec. 4, remark (ii)",
        "At fixed alpha wider nets become lazy, and where features help the ensemble gets worse.",
        "> 0",
        Tolerance.at_least(
            0.0,
            "ensemble error of the widest less that of the narrowest net at alpha = 1, on the "
            "slab, where feature training is better",
        ),
        _fixed_alpha,
    ),
    Claim(
        "ch3.i.fig4c.blow-up",
        "Paper I, Sec. 4, remark (iii)",
        "For sqrt(h) alpha < 1e-4 the variance blows up.",
        "blows up",
        Tolerance.at_least(2.0, "variance at 1e-5 over that at 1e-2: at least doubled"),
        _blow_up,
    ),
    Claim(
        "ch3.i.fig3b.frozen-outputs",
        "Paper I, Fig. 3b",
        "The limit of lazy training is the net whose NTK is frozen at the start.",
        "the same",
        Tolerance.at_most(
            0.02,
            "distance of the test outputs from those of the frozen kernel over their size: 2 %, of "
            "which the steps of the two flows make up to one",
        ),
        _to_frozen(distance),
    ),
    Claim(
        "ch3.i.fig3b.frozen-error",
        "Paper I, Fig. 3b, black line",
        "Lazy nets have the test error of their frozen kernel.",
        0.0,
        Tolerance(-0.005, 0.005, "difference of the errors, seed by seed: half a percent"),
        _to_frozen(_more_errors),
    ),
    Claim(
        "ch3.i.fig3b.lazy-better",
        "Paper I, Fig. 3b, c",
        "For wide nets the test error on clothes falls as sqrt(h) alpha is increased.",
        "< 0",
        Tolerance.at_most(
            0.0,
            "error at 1e4 less that at 1e-2, widest nets; the thesis has 10,000 training images "
            "and h = 1000",
        ),
        _lazy_single_better,
        profile="paper",
    ),
    Claim(
        "ch3.i.fig4c.lazy-ensemble-better",
        "Paper I, Fig. 4c, d",
        "On clothes the lazy ensemble is the best.",
        "< 0",
        Tolerance.at_most(
            0.0, "error of the ensemble at 1e4 less that at 1e-2; the thesis has 10,000 images"
        ),
        _lazy_ensemble_better,
        profile="paper",
    ),
)

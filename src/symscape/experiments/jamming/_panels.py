"""Figures of runs at the jamming transition, drawn alike for random data and for images."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from symscape.experiments.jamming import _near_jamming as near
from symscape.experiments.jamming._state import PREACTIVATION_EDGES
from symscape.lab import Axis, Claim, Figure, Row, Table

Array = NDArray[np.float64]
Ids = tuple[str, ...]

SNAPSHOTS = (100, 1000, 6000)
"""Steps after which runs are compared with their ends."""

_RATIO = Axis("P/N")
_LOSS = Axis("loss", log=True)
_UNSATISFIED = Axis("N_Delta/N")


def naming(claims: Iterable[Claim]) -> Callable[[str], Ids]:
    """Choose the ids of claims that hold a regular expression."""
    ids = tuple(claim.id for claim in claims)
    return lambda pattern: tuple(name for name in ids if re.search(pattern, name))


def _depths(table: Table) -> Iterator[tuple[str, int, Table]]:
    for group, ((L,), rows) in enumerate(table.groups("L")):
        yield f"L = {L}", group, rows


def _ratio(row: Row) -> float:
    return float(near.patterns(row) / row["n_weights"])


def _scatter(figure: Figure, table: Table, x: near.Value, y: near.Value) -> None:
    """A marker for each run, a series for each depth."""
    for name, group, rows in _depths(table):
        figure.measured(name, [x(row) for row in rows], [y(row) for row in rows], group=group)


def jump(
    table: Table, what: str, claims: Ids, height: float, edge: tuple[float, float] | None = None
) -> list[Figure]:
    """Fig. 6a-c (9a-c): N_Delta/N against P/N, the same and the misclassified against the loss.

    Args:
        table: the runs.
        what: data and activation, for the titles.
        claims: that are shown.
        height: the thesis's limit of N_Delta/N for a vanishing loss.
        edge: the thesis's last fitted and first jammed P/N.
    """
    table = near.whole(table)
    against_ratio = Figure(
        "unsatisfied-vs-ratio",
        f"Unsatisfied patterns per parameter, {what}",
        "Each marker is one run at its end. The thesis's runs end at zero or, beyond the "
        "transition, above a finite value.",
        _RATIO,
        _UNSATISFIED,
        claims=tuple(name for name in claims if re.search("[69]a|appB", name)),
    )
    _scatter(against_ratio, table, _ratio, near.unsatisfied)
    if edge is not None and table:
        ratios = [_ratio(row) for row in table]
        against_ratio.thesis(
            "thesis",
            [min(*ratios, edge[0]), edge[0], edge[1], max(*ratios, edge[1])],
            [0.0, 0.0, height, height],
        )
    wrong = Figure(
        "misclassified-vs-loss",
        f"Misclassified patterns against the loss, {what}",
        "Misclassified patterns per unsatisfied one: they appear smoothly, after the unsatisfied "
        "ones. The line is what a loss allows at most.",
        _LOSS,
        Axis("misclassified / N_Delta"),
        claims=tuple(name for name in claims if re.search("[69]c", name)),
    )
    moving = table.select(lambda row: not near.is_fitted(row))
    _scatter(wrong, moving, lambda row: row["loss"], lambda r: r["misclassified"] / r["n_delta"])
    if moving:
        some = sorted(moving, key=lambda row: row["loss"])
        most = [min(1.0, 2 * near.patterns(r) * r["loss"] / r["n_delta"]) for r in some]
        wrong.guide("2 P loss / N_Delta", [row["loss"] for row in some], most)
    shown = tuple(name for name in claims if re.search("[69]b|least", name))
    return [
        against_ratio,
        against_loss(table, what, shown, height),
        wrong,
        _in_time(table, what),
    ]


def against_loss(
    table: Table, what: str, claims: Ids, height: float | None = None, prefix: str = ""
) -> Figure:
    """Fig. 6b, d (9b): N_Delta/N against the loss, with the lines that are extrapolated."""
    figure = Figure(
        f"{prefix}unsatisfied-vs-loss",
        f"Unsatisfied patterns per parameter against the loss, {what}",
        "Runs that ended at a positive loss; those that did not come to rest have series of their "
        "own. As the loss goes to zero the number of unsatisfied patterns stays finite; the "
        "scatter between ratios P/N is gone.",
        Axis("loss"),
        _UNSATISFIED,
        claims=claims,
    )
    runs = near.whole(table).select(lambda row: not near.is_fitted(row))
    _scatter(figure, near.jammed(runs), lambda row: row["loss"], near.unsatisfied)
    for name, group, rows in _depths(runs.select(lambda row: not near.is_jammed(row))):
        losses = [row["loss"] for row in rows]
        figure.measured(
            f"{name}, moving", losses, [near.unsatisfied(row) for row in rows], group=group + 3
        )
    if height is not None:
        figure.thesis("thesis, loss to 0", [0.0, near.CLOSE[0]], [height, height])
    return figure


def _in_time(table: Table, what: str) -> Figure:
    """Fig. 6a at several times: the shallowest nets, means over the runs of a ratio."""
    figure = Figure(
        "unsatisfied-in-time",
        f"Unsatisfied patterns per parameter during training, {what}",
        "The thesis's figure has such snapshots: runs at smaller P/N reach zero first, and the "
        "transition moves up as time goes on, ever more slowly. Shallowest nets, means over seeds.",
        _RATIO,
        _UNSATISFIED,
        ordered=True,
    )
    shallow = table.where(L=min(row["L"] for row in table)) if table else table
    for group, steps in enumerate((*SNAPSHOTS, math.inf)):

        def height(row: Row, at: float = steps) -> float:
            index = np.searchsorted(row["history_step"], at, side="right") - 1
            ended = index == len(row["history_step"]) - 1
            return near.unsatisfied(row) if ended else _height(row, int(index))

        name = "at the end" if math.isinf(steps) else f"after {steps} steps"
        if shallow:
            figure.curves(
                shallow, lambda row: row["P"] / row["n_weights"], height, name=name, group=group
            )
    return figure


def _height(row: Row, index: int) -> float:
    return float(row["history_n_delta"][index] / row["n_weights"])


def spectra(table: Table, what: str, claims: Ids, *, prefix: str = "") -> list[Figure]:
    """Fig. 7 (9e-h): the spectra of H_p, raw and collapsed, of H_0 and of H."""
    close = near.near(table)

    def figure(name: str, title: str, caption: str, shown: str) -> Figure:
        return Figure(
            f"{prefix}spectrum-{name}",
            f"{title}, {what}",
            caption,
            Axis("eigenvalue / sqrt(loss)" if name == "hp" else "eigenvalue"),
            Axis("density of modes", log=True),
            claims=tuple(claim for claim in claims if re.search(shown, claim)),
        )

    hp = figure(
        "hp",
        "Spectrum of H_p in units of sqrt(loss)",
        "Averaged over runs close to the transition. The thesis finds one curve, symmetric "
        "for relu; for tanh a fraction 0.43 of the modes is negative.",
        "7[be]|9[ef]",
    )
    _spectra(hp, close, lambda row: row["eigenvalues_hp"] / math.sqrt(row["loss"]))
    h0 = figure(
        "h0",
        "Spectrum of H_0",
        "N - N_Delta zero modes, a gap, and a continuous part: the picture of hypostatic jamming. "
        "The zero modes are the peak of the first bin.",
        "7[cf]|9g",
    )
    _spectra(h0, close, lambda row: row["eigenvalues_h0"])
    full = figure(
        "h",
        "Spectrum of H = H_0 + H_p",
        "As H_0, with the peak of zero modes smeared. For relu about a tenth of the modes is "
        "negative (cusps stabilize them), for tanh almost none.",
        "7[dg]|9h",
    )
    _spectra(full, close, lambda row: row["eigenvalues_h"])
    return [_scales(table, what, claims, prefix), hp, h0, full]


def _scales(table: Table, what: str, claims: Ids, prefix: str) -> Figure:
    figure = Figure(
        f"{prefix}scale-hp",
        f"Scale of H_p against the loss, {what}",
        "Median magnitude of the eigenvalues of H_p, a marker for each run whose forces are "
        "balanced. The thesis has it grow as the square root of the loss, the line.",
        _LOSS,
        Axis("median |eigenvalue| of H_p", log=True),
        claims=tuple(claim for claim in claims if re.search("7a|9e", claim)),
    )
    runs = near.near(table, math.inf)
    _scatter(figure, runs, lambda row: row["loss"], near.median_magnitude)
    if runs:
        losses = np.sort(runs.column("loss"))
        level = np.median([near.median_magnitude(r) / math.sqrt(r["loss"]) for r in runs])
        figure.thesis("thesis, slope 1/2", losses, level * np.sqrt(losses))
    return figure


def _spectra(figure: Figure, table: Table, values: Callable[[Row], Array]) -> None:
    if not table:
        return
    low, high = np.quantile(np.concatenate([values(row) for row in table]), [0.002, 0.998])
    pad = 0.02 * (high - low)
    edges = np.linspace(low - pad, high + pad, 81)
    for name, group, rows in _depths(table):
        counts = [np.histogram(values(row), edges)[0] / len(values(row)) for row in rows]
        figure.histogram(name, edges, np.mean(counts, axis=0) / np.diff(edges), group=group)


def gaps(
    table: Table, what: str, claims: Ids, theta: float | None, gamma: float, *, prefix: str = ""
) -> list[Figure]:
    """Fig. 8 (9d): densities of overlaps (where theta is known) and gaps, with power laws."""
    from symscape.landscape import p_minus, p_plus

    figures = []
    if theta is not None:
        overlaps = Figure(
            f"{prefix}overlaps",
            f"Overlaps of unsatisfied patterns, {what}",
            "Density of z = Delta/sqrt(loss) > 0 in runs close to the transition; the "
            f"thesis finds z^theta with theta about {theta:g}, spheres have 0.42.",
            Axis("z = Delta / sqrt(loss)", log=True),
            Axis("P_+(z)", log=True),
            claims=tuple(claim for claim in claims if not re.search("gamma", claim)),
        )
        _power_law(overlaps, table, p_plus, theta)
        figures.append(overlaps)
    satisfied = Figure(
        f"{prefix}gaps",
        f"Gaps of satisfied patterns, {what}",
        "Density of |Delta|, Delta < 0, in runs close to the transition; the thesis finds "
        f"|Delta|^-gamma with gamma about {gamma:g}, spheres have 0.41.",
        Axis("|Delta|", log=True),
        Axis("P_-(Delta)", log=True),
        claims=tuple(claim for claim in claims if re.search("gamma", claim)),
    )
    _power_law(satisfied, table, p_minus, -gamma)
    return [*figures, satisfied]


def _power_law(figure: Figure, table: Table, part: Callable[..., Array], power: float) -> None:
    from symscape.landscape import log_histogram

    height = None
    for name, group, rows in _depths(table):
        samples = near.overlaps_of(rows, part)
        if not samples:
            continue
        drawn = log_histogram(samples, 1e-3, 10.0)
        kept = drawn.counts > 0
        x, y = drawn.centers[kept], drawn.density[kept]
        figure.measured(name, x, y, drawn.error[kept], group=group)
        height = float(np.interp(0.1, x, y))
    if height is not None:
        # The thesis gives slopes, not amplitudes: its line passes through our density at 0.1.
        x = np.geomspace(1e-2, 1.0, 20)
        figure.thesis(f"thesis, slope {power:g}", x, height * (x / 0.1) ** power)


def cusps(table: Table, claims: Ids) -> list[Figure]:
    """Fig. 12: density of pre-activations on training and fresh data, a figure for each depth."""
    close = near.near(table)
    figures = [
        _cusp_figure(rows.rows[0]["L"], rows, claims if group == 0 else ())
        for _, group, rows in _depths(close)
    ]
    return figures or [_cusp_figure(None, close, claims)]


def _cusp_figure(L: int | None, table: Table, claims: Ids) -> Figure:
    depth = "" if L is None else f", L = {L}"
    figure = Figure(
        "preactivations" if L is None else f"preactivations-{L}",
        f"Pre-activations on training and on fresh data{depth}",
        "Density of log10 |pre-activation| in each layer, runs close to the transition. "
        "Training data have a separate peak of values that the dynamics drove to zero: the cusps, "
        "with the share of the layer's pre-activations in brackets. Fresh data, here of all "
        "layers, do not.",
        Axis("log10 |pre-activation|"),
        Axis("density", log=True),
        claims=claims,
    )
    if not table:
        return figure
    masses = np.mean([row["cusp_masses"] for row in table], axis=0)
    for layer, mass in enumerate(masses):
        counts = np.sum([row["preactivations"][layer] for row in table], axis=0)
        _draw_counts(figure, f"layer {layer + 1}, training ({mass:.2g})", counts, layer)
    fresh = np.sum([row["preactivations_fresh"] for row in table], axis=(0, 1))
    _draw_counts(figure, "fresh", fresh, len(masses))
    return figure


def _draw_counts(figure: Figure, name: str, counts: Array, group: int) -> None:
    density = counts / (counts.sum() * np.diff(PREACTIVATION_EDGES))
    figure.histogram(name, PREACTIVATION_EDGES, density, group=group)

"""Figures of runs close to jamming, drawn alike for random data and for images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from symscape.experiments.introduction._estimates import means_and_errors
from symscape.experiments.jamming import _near_jamming as near
from symscape.experiments.jamming._state import PREACTIVATION_EDGES
from symscape.lab import Axis, Figure, Row, Table

Array = NDArray[np.float64]

SNAPSHOTS = (0.01, 0.1, 0.6, 1.0)
"""Shares of the steps at which runs are compared; the rate is constant up to the third."""

_RATIO = Axis("P/N")
_LOSS = Axis("loss", log=True)
_UNSATISFIED = Axis("N_Delta/N")


def _by_depth(rows: Sequence[Row]) -> Iterator[tuple[str, int, list[Row]]]:
    depths = sorted({row["L"] for row in rows})
    for group, L in enumerate(depths):
        yield f"L = {L}", group, [row for row in rows if row["L"] == L]


def jump_figures(
    table: Table,
    what: str,
    *,
    prefix: str = "",
    height: float | None = None,
    edge: tuple[float, float] | None = None,
) -> list[Figure]:
    """Fig. 6a-c (9a-c): N_Delta/N against P/N, the same and the misclassified against the loss.

    Args:
        table: the runs.
        what: data and activation, for the titles.
        prefix: of the figures' ids.
        height: the thesis's limit of N_Delta/N for a vanishing loss.
        edge: the thesis's last fitted and first jammed P/N.
    """
    rows = table.rows
    against_ratio = Figure(
        f"{prefix}unsatisfied-vs-ratio",
        f"Unsatisfied patterns per parameter, {what}",
        "Each marker is one run at its end. The thesis's runs end at zero or, beyond the "
        "transition, above a finite value.",
        _RATIO,
        _UNSATISFIED,
    )
    against_loss = Figure(
        f"{prefix}unsatisfied-vs-loss",
        f"Unsatisfied patterns per parameter against the loss, {what}",
        "Runs that ended at a positive loss, at rest or not. As the loss goes to zero the number "
        "of unsatisfied patterns stays finite; the scatter of the previous figure is gone.",
        _LOSS,
        _UNSATISFIED,
    )
    wrong = Figure(
        f"{prefix}misclassified-vs-loss",
        f"Misclassified patterns against the loss, {what}",
        "Misclassified patterns per parameter: they appear smoothly, after the unsatisfied ones.",
        _LOSS,
        Axis("misclassified / N"),
    )
    for name, group, some in _by_depth(rows):
        against_ratio.measured(
            name,
            [row["P"] / row["n_weights"] for row in some],
            [0.0 if near.is_fitted(row) else near.constraints_per_parameter(row) for row in some],
            group=group,
        )
        stuck = near.unfitted(some)
        if stuck:
            loss = [row["loss"] for row in stuck]
            against_loss.measured(
                name, loss, [near.constraints_per_parameter(row) for row in stuck], group=group
            )
            wrong.measured(
                name, loss, [row["misclassified"] / row["n_weights"] for row in stuck], group=group
            )
    if edge is not None and height is not None and rows:
        ratios = [row["P"] / row["n_weights"] for row in rows]
        against_ratio.thesis(
            "thesis",
            [min(*ratios, edge[0]), edge[0], edge[1], max(*ratios, edge[1])],
            [0.0, 0.0, height, height],
        )
    if height is not None and against_loss.series:
        low = min(row["loss"] for row in near.unfitted(table))
        against_loss.thesis("thesis, loss to 0", [low, 10 * low], [height, height])
    return [against_ratio, against_loss, wrong, _in_time(rows, what, prefix)]


def _in_time(rows: Sequence[Row], what: str, prefix: str) -> Figure:
    """Fig. 6a at several times: the shallowest nets, means over the runs of a ratio."""
    figure = Figure(
        f"{prefix}unsatisfied-in-time",
        f"Unsatisfied patterns per parameter during training, {what}",
        "The thesis's figure has such snapshots: runs at smaller P/N reach zero first, and the "
        "transition moves up as time goes on, ever more slowly. Means over seeds; the rate is "
        "lowered in the last two fifths of the steps.",
        _RATIO,
        _UNSATISFIED,
        ordered=True,
    )
    if not rows:
        return figure
    shallow = Table(row for row in rows if row["L"] == min(r["L"] for r in rows))
    for share in SNAPSHOTS:
        ratios, samples = [], []
        for (P,), some in shallow.groups("P"):
            ratios.append(P / some.rows[0]["n_weights"])
            samples.append([_unsatisfied_at(row, share) for row in some])
        heights, errors = means_and_errors(samples)
        name = f"after {share * shallow.rows[0]['steps']:.0f} steps"
        figure.measured(name, ratios, heights, y_error=errors, mode="lines+markers")
    return figure


def _unsatisfied_at(row: Row, share: float) -> float:
    """``N_Delta / N`` after a share of the steps; a run that has ended stays as it ended."""
    steps = np.asarray(row["history_step"])
    index = np.searchsorted(steps, share * row["steps"], side="right") - 1
    if near.is_fitted(row) and steps[index] == steps[-1]:
        return 0.0
    return float(np.asarray(row["history_n_delta"])[index] / row["n_weights"])


def _density(values: Array, edges: Array) -> Array:
    """Density of modes per unit of the variable, normalized to all modes."""
    counts = np.histogram(values, edges)[0]
    return counts / (len(values) * np.diff(edges))


def spectrum_figures(rows: Sequence[Row], what: str, *, prefix: str = "") -> list[Figure]:
    """Fig. 7a-d (9e-h): the spectra of H_p, raw and collapsed, of H_0 and of H."""
    raw = Figure(
        f"{prefix}spectrum-hp-raw",
        f"Positive part of the spectrum of H_p, {what}",
        "One curve per run near the transition, ordered by the loss: its scale grows with it.",
        Axis("eigenvalue of H_p", log=True),
        Axis("density of modes", log=True),
        ordered=True,
    )
    for order, row in enumerate(sorted(rows, key=lambda row: row["loss"])[:10]):
        values = np.asarray(row["eigenvalues_hp"])
        positive = values[values > near.ROUNDING * np.abs(values).max()]
        edges = np.geomspace(np.quantile(positive, 0.02), positive.max() * 1.001, 24)
        density = np.histogram(positive, edges)[0] / (len(values) * np.diff(edges))
        centers = np.sqrt(edges[1:] * edges[:-1])
        kept = density > 0
        raw.measured(
            f"loss {row['loss']:.2g} (L = {row['L']}, seed {row['seed']}, P {row['P']})",
            centers[kept],
            density[kept],
            mode="lines",
            group=order,
        )
    collapsed = Figure(
        f"{prefix}spectrum-hp",
        f"Spectrum of H_p in units of sqrt(loss), {what}",
        "Averaged over runs near the transition. The thesis finds one curve, symmetric for relu; "
        "for tanh a fraction 0.43 of the modes is negative.",
        Axis("eigenvalue of H_p / sqrt(loss)"),
        Axis("density of modes", log=True),
    )
    _spectra(collapsed, rows, lambda row: row["eigenvalues_hp"] / math.sqrt(row["loss"]))
    h0 = Figure(
        f"{prefix}spectrum-h0",
        f"Spectrum of H_0, {what}",
        "N - N_Delta zero modes, a gap, and a continuous part: the picture of hypostatic jamming. "
        "The zero modes are the peak of the first bin.",
        Axis("eigenvalue of H_0"),
        Axis("density of modes", log=True),
    )
    _spectra(h0, rows, lambda row: row["eigenvalues_h0"])
    full = Figure(
        f"{prefix}spectrum-h",
        f"Spectrum of H = H_0 + H_p, {what}",
        "As H_0, with the peak of zero modes smeared. For relu about a tenth of the modes is "
        "negative (cusps stabilize them), for tanh none.",
        Axis("eigenvalue of H"),
        Axis("density of modes", log=True),
    )
    _spectra(full, rows, lambda row: row["eigenvalues_h"])
    return [raw, collapsed, h0, full]


def _spectra(figure: Figure, rows: Sequence[Row], values: Callable[[Row], Array]) -> None:
    pooled = [np.asarray(values(row)) for row in rows]
    if not pooled:
        return
    together = np.concatenate(pooled)
    low, high = np.quantile(together, [0.002, 0.998])
    pad = 0.02 * (high - low)
    edges = np.linspace(low - pad, high + pad, 81)
    for name, group, some in _by_depth(rows):
        density = np.mean([_density(np.asarray(values(row)), edges) for row in some], axis=0)
        figure.histogram(name, edges, density, group=group)


def gap_figures(
    rows: Sequence[Row], what: str, *, theta: float, gamma: float, prefix: str = ""
) -> list[Figure]:
    """Fig. 8 (9d): densities of overlaps and gaps, with the thesis's power laws."""
    overlaps = Figure(
        f"{prefix}overlaps",
        f"Overlaps of unsatisfied patterns, {what}",
        f"Density of z = Delta/sqrt(loss) > 0 near jamming; the thesis finds z^theta with theta "
        f"about {theta:g}, spheres have 0.42. Runs whose loss sits on a few patterns are left out.",
        Axis("z = Delta / sqrt(loss)", log=True),
        Axis("P_+(z)", log=True),
    )
    gaps = Figure(
        f"{prefix}gaps",
        f"Gaps of satisfied patterns, {what}",
        f"Density of |Delta|, Delta < 0, near jamming; the thesis finds |Delta|^-gamma with gamma "
        f"about {gamma:g}, spheres have 0.41.",
        Axis("|Delta|", log=True),
        Axis("P_-(Delta)", log=True),
    )
    from symscape.landscape import p_minus, p_plus

    _power_law(overlaps, near.even(rows), p_plus, theta, 1e-3, 10.0)
    _power_law(gaps, rows, p_minus, -gamma, 1e-3, 10.0)
    return [overlaps, gaps]


def _power_law(
    figure: Figure,
    rows: Sequence[Row],
    part: Callable[[Array], Array],
    power: float,
    low: float,
    high: float,
) -> None:
    from symscape.landscape import log_histogram

    drawn = None
    for name, group, some in _by_depth(rows):
        samples = [v for v in map(part, near.overlaps_of(some)) if v.size]
        if not samples:
            continue
        drawn = log_histogram(samples, low, high)
        kept = drawn.counts > 0
        figure.measured(
            name, drawn.centers[kept], drawn.density[kept], drawn.error[kept], group=group
        )
    if drawn is None:
        return
    # The thesis gives slopes, not amplitudes: its line passes through our density at 0.1.
    x = np.geomspace(1e-2, 1.0, 20)
    kept = drawn.counts > 0
    height = float(np.interp(0.1, drawn.centers[kept], drawn.density[kept]))
    figure.thesis(f"thesis, slope {power:g}", x, height * (x / 0.1) ** power)


def cusp_figures(rows: Sequence[Row]) -> list[Figure]:
    """Fig. 12: density of pre-activations on training and fresh data, a figure for each depth."""
    figures = [_cusp_figure(some[0]["L"], some) for _, _, some in _by_depth(rows)]
    return figures or [_cusp_figure(None, [])]


def _cusp_figure(L: int | None, rows: Sequence[Row]) -> Figure:
    depth = "" if L is None else f", L = {L}"
    figure = Figure(
        "preactivations" if L is None else f"preactivations-{L}",
        f"Pre-activations on training and on fresh data{depth}",
        "Density of log10 |pre-activation| in each layer, runs near jamming. Training data have "
        "a separate peak of values that the dynamics drove to zero: the cusps, with the share of "
        "the layer's pre-activations in brackets. Fresh data, here of all layers, do not.",
        Axis("log10 |pre-activation|"),
        Axis("density", log=True),
    )
    if not rows:
        return figure
    for layer, mass in enumerate(np.mean([row["cusp_masses"] for row in rows], axis=0)):
        counts = np.sum([row["preactivations"][layer] for row in rows], axis=0)
        _draw_counts(figure, f"layer {layer + 1}, training ({mass:.2g})", counts, layer)
    fresh = np.sum([row["preactivations_fresh"] for row in rows], axis=(0, 1))
    _draw_counts(figure, "fresh", fresh, len(rows[0]["cusp_masses"]))
    return figure


def _draw_counts(figure: Figure, name: str, counts: Array, group: int) -> None:
    density = counts / (counts.sum() * np.diff(PREACTIVATION_EDGES))
    figure.histogram(name, PREACTIVATION_EDGES, density, group=group)

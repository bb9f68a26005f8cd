"""Soft spheres: the jamming transition that networks are compared with (paper A, Fig. 2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from symscape import lab
from symscape.experiments.jamming import _near_jamming as near
from symscape.lab import Axis, Claim, Figure, Finding, Row, Table, Tolerance

Array = NDArray[np.float64]

QUANTILE = 0.1
"""Share of the modes whose frequency tells how far the spectrum has moved away from zero."""


class SpheresParameters(lab.Parameters):
    dimensions: tuple[Annotated[int, Field(ge=2, le=8)], ...] = Field(
        min_length=1, description="dimensions of space"
    )
    n: int = Field(ge=20, le=4000, description="particles")
    target: float = Field(
        gt=0, lt=1e-6, default=1e-14, description="energy per particle that counts as jamming"
    )
    compressions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        description="relative excess (phi - phi_J) / phi_J of the compressed states, increasing"
    )
    seeds: int = Field(ge=1, description="independent packings")


CLAIMS = (
    Claim(
        "ch1.fig2f.isostatic",
        "Paper A, Fig. 2f and Sec. II.A",
        "Spheres jam with as many contacts as degrees of freedom: N_Delta/N jumps to 1.",
        1.0,
        Tolerance(0.98, 1.02, "1 up to the one contact more that pressure needs, 1/N"),
        profile="quick",
    ),
    Claim(
        "ch1.fig2.hp-negative",
        "Paper A, Sec. II.A, after Eq. 3",
        "For spheres H_p is negative semi-definite: no eigenvalue is positive.",
        "none",
        Tolerance(-1e-10, 1e-10, "largest eigenvalue over the largest magnitude, to rounding"),
        profile="quick",
    ),
    Claim(
        "ch1.fig2g.no-zero-modes",
        "Paper A, Fig. 2g",
        "At jamming the spectrum of spheres has no peak at zero, but for the translations.",
        0.0,
        Tolerance(0.0, 0.0, "exact: zero modes of the packing without rattlers, less d"),
        profile="quick",
    ),
    Claim(
        "ch1.fig2g.no-gap",
        "Paper A, Fig. 2g",
        "At jamming there is no gap: D(sqrt(lambda)) is a plateau down to zero.",
        "plateau",
        Tolerance(
            0.7, 1.4, "mean density below the 5 % quantile over that up to 30 %; 1 for a plateau"
        ),
        profile="quick",
    ),
    Claim(
        "ch1.fig2g.scale",
        "Paper A, Fig. 2g",
        "In the jammed phase a scale lambda ~ U^(1/2) appears in the spectrum.",
        0.5,
        Tolerance(0.4, 0.6, "exponent of the sketch, +- 0.1: one and a half decades of lambda"),
    ),
    Claim(
        "ch1.fig2e.energy",
        "Paper A, Fig. 2e",
        "The energy becomes finite continuously at jamming: U ~ (phi - phi_J)^2.",
        2.0,
        Tolerance(1.8, 2.2, "harmonic overlaps; the sketch gives no number"),
    ),
)


@lab.register
class Spheres(lab.Experiment):
    """Paper A, Fig. 2, and Fig. 4 of the introduction, for spheres."""

    name = "jamming-spheres"
    chapter = "1"
    title = "Jamming of spheres"
    summary = (
        "Paper A sketches the jamming of repulsive spheres, the system that suggested what to look "
        "for in networks. Here it is measured: packings are decompressed to the point where their "
        "energy vanishes, and compressed again. Spheres are isostatic, with one contact per degree "
        "of freedom, no zero modes and no gap; networks, like ellipses, have fewer."
    )
    sources = ("Paper A, Fig. 2", "Introduction, Fig. 4")
    version = 1
    Parameters = SpheresParameters
    profiles = {  # noqa: RUF012
        "smoke": SpheresParameters(dimensions=(2,), n=30, compressions=(1e-2, 5e-2), seeds=1),
        "quick": SpheresParameters(
            dimensions=(2, 3), n=100, compressions=(1e-3, 3e-3, 1e-2, 3e-2, 0.1), seeds=3
        ),
        "overnight": SpheresParameters(
            dimensions=(2, 3), n=150, compressions=(1e-3, 3e-3, 1e-2, 3e-2, 0.1), seeds=5
        ),
        "paper": SpheresParameters(
            dimensions=(2, 3),
            n=1000,
            compressions=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1),
            seeds=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: SpheresParameters) -> Iterator[dict[str, Any]]:
        for d in p.dimensions:
            for seed in range(p.seeds):
                yield {
                    "d": d,
                    "n": p.n,
                    "target": p.target,
                    "compressions": list(p.compressions),
                    "seed": seed,
                }

    def cost(self, point: dict[str, Any]) -> float:
        return float(1e-5 * point["d"] * point["n"] ** 2 * (4 + len(point["compressions"])))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.landscape import jam_spheres, minimize_packing

        jammed = jam_spheres(point["n"], point["d"], seed=point["seed"], target=point["target"])
        phi = jammed.packing.packing_fraction
        states = [jammed.packing]
        for excess in point["compressions"]:
            states.append(minimize_packing(states[-1].rescaled(phi * (1 + excess))))
        measured = [_state(packing) for packing in states]
        result = {name: np.array([state[name] for state in measured]) for name in _SCALARS}
        # The spectra differ in length, because rattlers differ: one array each.
        for index, state in enumerate(measured):
            result[f"eigenvalues_{index}"] = state["eigenvalues"]
        return {**result, "packing_fraction": phi, "n_rattlers": jammed.n_rattlers}

    def analyse(self, table: Table, p: SpheresParameters) -> list[Finding]:
        rows = table.rows
        missing = "No finished packing."
        return [
            near.finding(
                "ch1.fig2f.isostatic",
                rows,
                near.mean_of(lambda row: row["contacts"][0] / row["freedom"][0]),
                missing=missing,
                note=f"At an energy per particle of {p.target:g} diameters squared, d = "
                f"{', '.join(map(str, p.dimensions))}; one contact more is a state of self-stress.",
            ),
            near.finding(
                "ch1.fig2.hp-negative",
                rows,
                lambda some: max(float(row["hp_largest"].max()) for row in some),
                missing=missing,
                note="The largest over all states.",
            ),
            Finding(
                "ch1.fig2g.no-zero-modes",
                max((float(abs(row["zero_modes"][0] - row["d"])) for row in rows), default=None),
                None,
                "The largest over all packings, rattlers left out." if rows else missing,
                table.keys,
            ),
            near.finding("ch1.fig2g.no-gap", rows, _plateau, missing=missing),
            near.finding(
                "ch1.fig2g.scale",
                rows,
                lambda some: _slope(some, _scale),
                missing=missing,
                note=f"The scale is (shift of the {QUANTILE:.0%} quantile of sqrt(lambda) since "
                "jamming)^2; mean over the dimensions of the slope of log scale by log U.",
            ),
            near.finding(
                "ch1.fig2e.energy",
                rows,
                _energy_exponent,
                missing=missing,
                note="Slope of log U by log (phi - phi_J).",
            ),
        ]

    def figures(self, table: Table, p: SpheresParameters) -> list[Figure]:
        excess = np.array(p.compressions)
        return [
            _contacts_figure(table, excess),
            _energy_figure(table, excess),
            _spectrum_figure(table, excess),
            _scale_figure(table),
        ]


_SCALARS = ("energy", "contacts", "freedom", "zero_modes", "negative_modes", "hp_largest")


def _state(packing: Any) -> dict[str, Any]:
    """Counts and spectrum of a minimized packing, without its rattlers."""
    import torch

    from symscape.landscape import sphere_hessian

    load_bearing = ~packing.rattlers()
    parts = sphere_hessian(packing, keep=load_bearing)
    eigenvalues = torch.linalg.eigvalsh(parts.H0 + parts.Hp).numpy()
    of_hp = torch.linalg.eigvalsh(parts.Hp).numpy()
    # At jamming the first modes above the translations have lambda of about 1 / N^2.
    zero = 1e-9
    return {
        "energy": packing.energy() / packing.n / packing.mean_diameter**2,
        "contacts": int(load_bearing[packing.contacts().pairs].all(1).sum()),
        "freedom": packing.d * (int(load_bearing.sum()) - 1),
        "zero_modes": int((np.abs(eigenvalues) < zero).sum()),
        "negative_modes": int((eigenvalues < -zero).sum()),
        "hp_largest": float(of_hp[-1] / np.abs(of_hp).max()),
        "eigenvalues": eigenvalues,
    }


def frequencies(row: Row, index: int) -> Array:
    """``sqrt(lambda)`` of the modes other than the d translations, ascending."""
    values = np.sort(np.asarray(row[f"eigenvalues_{index}"]))
    translations = np.argsort(np.abs(values))[: row["d"]]
    return np.sqrt(np.clip(np.delete(values, translations), 0.0, None))


def _pooled(rows: Sequence[Row], index: int) -> Array:
    return np.concatenate([frequencies(row, index) for row in rows])


def _plateau(rows: Sequence[Row]) -> float:
    """Density of modes below the 5 % quantile over that between it and the 30 % quantile."""
    ratios = []
    for some in _by_dimension(rows).values():
        low, high = np.quantile(_pooled(some, 0), [0.05, 0.3])
        ratios.append((0.05 / low) / (0.25 / (high - low)))
    return float(np.mean(ratios))


def _by_dimension(rows: Sequence[Row]) -> dict[int, list[Row]]:
    return {d: [row for row in rows if row["d"] == d] for d in sorted({row["d"] for row in rows})}


def _energies(rows: Sequence[Row]) -> Array:
    """Geometric mean of the energies of the compressed states."""
    return np.asarray(np.exp(np.mean([np.log(row["energy"][1:]) for row in rows], axis=0)))


def _scale(rows: Sequence[Row]) -> Array:
    """The eigenvalue below which the plateau is depleted, for each compressed state.

    A plateau that begins at ``omega*`` instead of 0 moves every low quantile of the frequencies up
    by ``omega*``, whatever the height of the plateau.
    """
    at = [np.quantile(_pooled(rows, index), QUANTILE) for index in range(len(rows[0]["energy"]))]
    return np.square(np.maximum(np.array(at[1:]) - at[0], 0.0))


def _slope(rows: Sequence[Row], quantity: Any) -> float:
    """Slope of the logarithm of a quantity by that of the energy, mean over dimensions."""
    slopes = []
    for some in _by_dimension(rows).values():
        values, energies = quantity(some), _energies(some)
        if len(values) < 2 or not (values > 0).all():
            return math.nan
        slopes.append(np.polyfit(np.log(energies), np.log(values), 1)[0])
    return float(np.mean(slopes))


def _energy_exponent(rows: Sequence[Row]) -> float:
    slopes = []
    for row in rows:
        excess = np.log(row["compressions"])
        if len(excess) < 2:
            return math.nan
        slopes.append(np.polyfit(excess, np.log(row["energy"][1:]), 1)[0])
    return float(np.mean(slopes))


def _spread(values: Array) -> Array:
    """Standard error over the packings, axis 0; 0 where there is one."""
    if len(values) < 2:
        return np.zeros(values.shape[1])
    return np.asarray(values.std(0, ddof=1) / math.sqrt(len(values)))


def _contacts_figure(table: Table, excess: Array) -> Figure:
    figure = Figure(
        "contacts",
        "Contacts per degree of freedom",
        "Below phi_J minimization removes every contact; at phi_J their number jumps to that of "
        "the degrees of freedom, and grows from there. Networks jump to about 0.75.",
        Axis("(phi - phi_J) / phi_J"),
        Axis("N_Delta / N"),
    )
    for group, (d, rows) in enumerate(_by_dimension(table.rows).items()):
        ratio = np.array([row["contacts"] / row["freedom"] for row in rows])
        figure.measured(f"d = {d}", np.r_[0.0, excess], ratio.mean(0), _spread(ratio), group=group)
    figure.thesis("thesis: 0, then a jump to 1", [-0.03, 0.0, 0.0], [0.0, 0.0, 1.0])
    return figure


def _energy_figure(table: Table, excess: Array) -> Figure:
    figure = Figure(
        "energy",
        "Energy above jamming",
        "Energy per particle in units of the mean diameter squared. It vanishes at phi_J; the "
        "line has slope 2.",
        Axis("(phi - phi_J) / phi_J", log=True),
        Axis("U / n", log=True),
    )
    for group, (d, rows) in enumerate(_by_dimension(table.rows).items()):
        figure.measured(f"d = {d}", excess, _energies(rows), group=group)
        if group == 0:
            figure.guide("slope 2", excess, _energies(rows)[-1] * (excess / excess[-1]) ** 2)
    return figure


def _spectrum_figure(table: Table, excess: Array) -> Figure:
    figure = Figure(
        "spectrum",
        "Density of modes",
        "At jamming a plateau down to zero frequency, no gap and no peak at zero; compressed "
        "packings lose their low modes below a scale that grows with the energy. Highest "
        "dimension measured.",
        Axis("sqrt(lambda)"),
        Axis("D(sqrt(lambda))"),
        ordered=True,
    )
    if not table:
        return figure
    rows = list(_by_dimension(table.rows).values())[-1]
    edges = np.linspace(0.0, float(_pooled(rows, len(excess)).max()) * 1.001, 41)
    for index, name in enumerate(["at phi_J", *(f"{value:g} above" for value in excess)]):
        values = _pooled(rows, index)
        density = np.histogram(values, edges)[0] / (len(values) * np.diff(edges))
        figure.histogram(name, edges, density, group=index)
    return figure


def _scale_figure(table: Table) -> Figure:
    figure = Figure(
        "scale",
        "The scale of the spectrum in the jammed phase",
        "Eigenvalue below which the plateau of modes is depleted, against the energy per particle. "
        "The thesis's sketch has lambda ~ U^(1/2).",
        Axis("U / n", log=True),
        Axis("lambda*", log=True),
    )
    for group, (d, rows) in enumerate(_by_dimension(table.rows).items()):
        energies, scale = _energies(rows), _scale(rows)
        figure.measured(f"d = {d}", energies, scale, group=group)
        if group == 0 and (scale > 0).all():
            middle = len(scale) // 2
            line = scale[middle] * np.sqrt(energies / energies[middle])
            figure.thesis("thesis, slope 1/2", energies, line)
    return figure

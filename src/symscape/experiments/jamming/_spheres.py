"""Soft spheres: the jamming transition that networks are compared with (paper A, Fig. 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Array = NDArray[np.float64]

QUANTILES = (0.1, 0.05, 0.15)
"""Shares of the modes whose frequency tells how far the spectrum has moved away from zero."""


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


def _of_each_dimension(
    answer: Callable[[Table, SpheresParameters], Estimate],
) -> Callable[[Table, SpheresParameters], dict[str, Estimate]]:
    """The answer of a claim, a panel for each dimension of space."""
    return lambda table, p: {f"d = {d}": answer(rows, p) for (d,), rows in table.groups("d")}


@_of_each_dimension
def _isostatic(rows: Table, p: SpheresParameters) -> Estimate:
    ratio = rows.per_seed(lambda row: row["contacts"][0] / row["freedom"][0])
    return scaling.mean(ratio).noted(
        f"At an energy per particle of {p.target:g} diameters squared; one contact more than "
        "degrees of freedom is a state of self-stress."
    )


def _zero_modes(table: Table, p: SpheresParameters) -> Estimate:
    """Zero modes at jamming beyond the translations."""
    each = [float(abs(row["zero_modes"][0] - row["d"])) for row in table]
    return Estimate(max(each), note="The largest over all packings, rattlers left out.")


@_of_each_dimension
def _no_gap(rows: Table, p: SpheresParameters) -> Estimate:
    """Density of modes below a low quantile over that between it and six times it."""

    def density(quantile: float) -> Estimate:
        def ratio(some: Sequence[Row]) -> float:
            low, high = np.quantile(_pooled(some, 0), [quantile, 6 * quantile])
            return float((quantile / low) / (5 * quantile / (high - low)))

        return scaling.bootstrap(rows.rows, ratio)

    return scaling.scan(density, QUANTILES)


@_of_each_dimension
def _scale_exponent(rows: Table, p: SpheresParameters) -> Estimate:
    def exponent(quantile: float) -> Estimate:
        def slope(some: Sequence[Row]) -> float:
            scale = _scale(some, quantile)
            if len(scale) < 2 or not (scale > 0).all():
                raise NoEstimate("The low modes of some states have not moved.")
            return scaling.slope(_energies(some), scale, resamples=2).value

        return scaling.bootstrap(rows.rows, slope)

    return scaling.scan(exponent, QUANTILES).noted(
        "The scale is the square of the shift of a low quantile of sqrt(lambda) since jamming."
    )


@_of_each_dimension
def _energy_exponent(rows: Table, p: SpheresParameters) -> Estimate:
    return scaling.slope(p.compressions, [row["energy"][1:] for row in rows])


CLAIMS = (
    Claim(
        "ch1.fig2f.isostatic",
        "Paper A, Fig. 2f and Sec. II.A",
        "Spheres jam with as many contacts as degrees of freedom: N_Delta/N jumps to 1.",
        1.0,
        Tolerance(0.98, 1.02, "1 up to the one contact more that pressure needs, 1/N"),
        _isostatic,
        profile="quick",
    ),
    Claim(
        "ch1.fig2.hp-negative",
        "Paper A, Sec. II.A, after Eq. 3",
        "For spheres H_p is negative semi-definite: no eigenvalue is positive.",
        "none",
        Tolerance.at_most(1e-10, "largest eigenvalue over the largest magnitude, to rounding"),
        lambda table, p: Estimate(
            max(float(row["hp_largest"].max()) for row in table), note="The largest of all states."
        ),
        "exact",
        profile="quick",
    ),
    Claim(
        "ch1.fig2g.no-zero-modes",
        "Paper A, Fig. 2g",
        "At jamming the spectrum of spheres has no peak at zero, but for the translations.",
        0.0,
        Tolerance.at_most(0.0, "exact: zero modes of the packing without rattlers, less d"),
        _zero_modes,
        "exact",
        profile="quick",
    ),
    Claim(
        "ch1.fig2g.no-gap",
        "Paper A, Fig. 2g",
        "At jamming there is no gap: D(sqrt(lambda)) is a plateau down to zero.",
        "plateau",
        Tolerance(
            0.7, 1.4, "mean density below a quantile over that up to six times it; 1 for a plateau"
        ),
        _no_gap,
        profile="quick",
    ),
    Claim(
        "ch1.fig2g.scale",
        "Paper A, Fig. 2g",
        "In the jammed phase a scale lambda ~ U^(1/2) appears in the spectrum.",
        0.5,
        Tolerance(0.4, 0.6, "exponent of the sketch, +- 0.1: one and a half decades of lambda"),
        _scale_exponent,
    ),
    Claim(
        "ch1.fig2e.energy",
        "Paper A, Fig. 2e",
        "The energy becomes finite continuously at jamming: U ~ (phi - phi_J)^2.",
        2.0,
        Tolerance(1.8, 2.2, "harmonic overlaps; the sketch gives no number"),
        _energy_exponent,
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
        shared = {"n": p.n, "target": p.target, "compressions": [list(p.compressions)]}
        return lab.grid(p.seeds, d=p.dimensions, **shared)

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


def _energies(rows: Sequence[Row]) -> Array:
    """Geometric mean of the energies of the compressed states."""
    return np.asarray(np.exp(np.mean([np.log(row["energy"][1:]) for row in rows], axis=0)))


def _scale(rows: Sequence[Row], quantile: float) -> Array:
    """The eigenvalue below which the plateau is depleted, for each compressed state.

    A plateau that begins at ``omega*`` instead of 0 moves every low quantile of the frequencies up
    by ``omega*``, whatever the height of the plateau.
    """
    at = [np.quantile(_pooled(rows, index), quantile) for index in range(len(rows[0]["energy"]))]
    return np.square(np.maximum(np.array(at[1:]) - at[0], 0.0))


def _contacts_figure(table: Table, excess: Array) -> Figure:
    figure = Figure(
        "contacts",
        "Contacts per degree of freedom",
        "Below phi_J minimization removes every contact; at phi_J their number jumps to that of "
        "the degrees of freedom, and grows from there. Networks jump to about 0.75.",
        Axis("(phi - phi_J) / phi_J"),
        Axis("N_Delta / N"),
        claims=("ch1.fig2f.isostatic",),
    )
    x = np.r_[0.0, excess]
    figure.curves(table, lambda row: x, lambda row: row["contacts"] / row["freedom"], by="d")
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
        claims=("ch1.fig2e.energy",),
    )
    figure.curves(table, lambda row: excess, lambda row: row["energy"][1:], by="d", geometric=True)
    if figure.series:
        figure.guide("slope 2", excess, figure.series[0].y[-1] * (excess / excess[-1]) ** 2)
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
        claims=("ch1.fig2g.no-gap", "ch1.fig2g.no-zero-modes"),
    )
    if not table:
        return figure
    rows = table.where(d=max(table.column("d"))).rows
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
        claims=("ch1.fig2g.scale",),
    )
    for group, ((d,), rows) in enumerate(table.groups("d")):
        energies, scale = _energies(rows.rows), _scale(rows.rows, QUANTILES[0])
        figure.measured(f"d = {d}", energies, scale, group=group)
        if group == 0 and (scale > 0).all():
            middle = len(scale) // 2
            line = scale[middle] * np.sqrt(energies / energies[middle])
            figure.thesis("thesis, slope 1/2", energies, line)
    return figure

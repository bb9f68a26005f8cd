"""Soft ellipses: the class of jamming to which networks belong (paper A, Fig. 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance


class EllipsesParameters(lab.Parameters):
    n: int = Field(ge=10, le=4000, description="ellipses")
    aspect: float = Field(gt=1, le=3, default=1.1, description="long over short axis")
    target: float = Field(
        gt=0, lt=1e-4, default=1e-8, description="energy per ellipse that counts as jamming"
    )
    compressions: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        description="relative excess (phi - phi_J) / phi_J of the compressed states, increasing"
    )
    seeds: int = Field(ge=1, description="independent packings")


def _mean(value: Callable[[Row], float]) -> Any:
    """The answer that is the mean of a number of each packing."""
    return lambda table, p: scaling.mean(table.per_seed(value))


def soft(row: Row) -> int:
    """Degrees of freedom less contacts at jamming: modes that no contact stiffens."""
    return int(row["freedom"][0] - row["contacts"][0])


def modes(row: Row, index: int) -> np.ndarray:
    """Eigenvalues of H other than the two translations, ascending."""
    values = np.sort(np.asarray(row[f"eigenvalues_{index}"]))
    return np.delete(values, np.argsort(np.abs(values))[:2])


def _gap(row: Row) -> float:
    """Frequency a little above the soft modes over that a little below their end.

    Two modes above and below (3 %, if that is more), for a contact that is just open or just
    closed moves the end of the soft modes by one.
    """
    k, values = soft(row), modes(row, 0)
    away = max(2, round(0.03 * len(values)))
    low, high = max(0, k - 1 - away), min(len(values) - 1, k + away)
    return math.sqrt(values[high] / max(values[low], 1e-12))


def _scale(row: Row, index: int) -> float:
    """Median eigenvalue of the soft modes."""
    return float(np.median(modes(row, index)[: max(1, soft(row))]))


def _scale_exponent(table: Table, p: EllipsesParameters) -> Estimate:
    """Slope of log scale by log U, and its drift as the last or first state is left out."""
    states = len(p.compressions) + 1

    def of(window: tuple[float, float]) -> Estimate:
        kept = range(int(window[0]), int(window[1]) + 1)
        if len(kept) < 2:
            raise NoEstimate("A slope needs two states.")

        def slope(rows: list[Row]) -> float:
            x = [[math.log(row["energy"][i]) for i in kept] for row in rows]
            y = [[math.log(max(_scale(row, i), 1e-300)) for i in kept] for row in rows]
            return float(np.polyfit(np.ravel(x), np.ravel(y), 1)[0])

        return scaling.bootstrap(table.rows, slope)

    windows = [(0, states - 1), (0, states - 2), (1, states - 1)]
    return scaling.scan(of, windows, "Windows: states, 0 is at jamming.")


CLAIMS = (
    Claim(
        "ch1.fig2f.hypostatic",
        "Paper A, Fig. 2f and Sec. II.A",
        "Ellipses jam with fewer contacts than degrees of freedom: N_Delta/N jumps to less than 1.",
        "smaller than 1",
        Tolerance(0.67, 0.97, "between 2/3, of disks whose angles do not matter, and 1"),
        _mean(lambda row: row["contacts"][0] / row["freedom"][0]),
    ),
    Claim(
        "ch1.fig2.ellipse-hp",
        "Paper A, Sec. II.A, after Eq. 3",
        "For ellipses H_p is not negative definite: some of its eigenvalues are positive.",
        "not negative definite",
        Tolerance.at_least(0.05, "share of positive eigenvalues at jamming"),
        _mean(lambda row: row["hp_positive"]),
    ),
    Claim(
        "ch1.fig2h.gap",
        "Paper A, Fig. 2h",
        "At jamming N - N_Delta modes of H are at zero, and a gap parts them from the others.",
        "a delta function, a gap, a bulk",
        Tolerance.at_least(3.0, "frequency above the gap over that below; of a plateau 1.5 to 2"),
        lambda table, p: scaling.geometric_mean(table.per_seed(_gap)),
    ),
    Claim(
        "ch1.fig2h.scale",
        "Paper A, Fig. 2h",
        "In the jammed phase these modes rise to lambda ~ U^(1/2).",
        0.5,
        Tolerance(0.4, 0.6, "exponent of the sketch, +- 0.1, as for spheres"),
        _scale_exponent,
    ),
)


@lab.register
class Ellipses(lab.Experiment):
    """Paper A, Fig. 2, and Fig. 4 of the introduction, for ellipses."""

    name = "jamming-ellipses"
    chapter = "1"
    title = "Jamming of ellipses"
    summary = (
        "Ellipses can be turned, and a contact can resist turning by its curvature alone. They jam "
        "with fewer contacts than degrees of freedom; what contacts do not stiffen, their forces "
        "do, weakly. This is the class of jamming in which the thesis finds networks."
    )
    sources = ("Paper A, Fig. 2", "Introduction, Fig. 4")
    version = 1
    Parameters = EllipsesParameters
    profiles = {  # noqa: RUF012
        "smoke": EllipsesParameters(n=14, target=1e-6, compressions=(1e-2,), seeds=1),
        "quick": EllipsesParameters(n=20, compressions=(1e-3, 1e-2), seeds=2),
        "overnight": EllipsesParameters(n=30, compressions=(1e-3, 3e-3, 1e-2, 3e-2), seeds=5),
        "paper": EllipsesParameters(n=400, compressions=(1e-3, 3e-3, 1e-2, 3e-2, 0.1), seeds=20),
    }
    claims = CLAIMS

    def points(self, p: EllipsesParameters) -> Iterator[dict[str, Any]]:
        return lab.grid(
            p.seeds,
            n=p.n,
            aspect=p.aspect,
            target=p.target,
            compressions=[list(p.compressions)],
        )

    def cost(self, point: dict[str, Any]) -> float:
        return float(1.5 * point["n"] * (1 + 0.1 * len(point["compressions"])))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.landscape import jam_ellipses, minimize_ellipses

        packing = jam_ellipses(
            point["n"], point["aspect"], seed=point["seed"], target=point["target"]
        )
        phi, states = packing.packing_fraction, [packing]
        for excess in point["compressions"]:
            states.append(minimize_ellipses(states[-1].rescaled(phi * (1 + excess))))
        measured = [_state(state) for state in states]
        result: dict[str, Any] = {
            name: np.array([state[name] for state in measured])
            for name in ("energy", "contacts", "freedom")
        }
        for index, state in enumerate(measured):
            result[f"eigenvalues_{index}"] = state["eigenvalues"]
        positive = measured[0]["hp_positive"]
        return {**result, "packing_fraction": phi, "hp_positive": positive}

    def figures(self, table: Table, p: EllipsesParameters) -> list[Figure]:
        excess = np.r_[0.0, p.compressions]
        contacts = Figure(
            "contacts",
            "Contacts per degree of freedom",
            "At phi_J the number of contacts jumps to a finite value below that of the degrees of "
            "freedom, as that of unsatisfied patterns does for networks.",
            Axis("(phi - phi_J) / phi_J"),
            Axis("N_Delta / N"),
            claims=("ch1.fig2f.hypostatic",),
        )
        contacts.curves(table, lambda row: excess, lambda row: row["contacts"] / row["freedom"])
        contacts.guide("spheres", [0.0, float(excess[-1])], [1.0, 1.0])
        spectrum = Figure(
            "spectrum",
            "Frequencies in order",
            "sqrt(lambda) of H at jamming and above, the packing of the first seed. The lowest are "
            "those that contacts do not stiffen; a gap parts them from the others, and closes with "
            "the energy.",
            Axis("mode / N"),
            Axis("sqrt(lambda)", log=True),
            ordered=True,
            claims=("ch1.fig2h.gap", "ch1.fig2.ellipse-hp"),
        )
        for row in table.rows[:1]:
            for index, above in enumerate(excess):
                values = np.sqrt(np.clip(modes(row, index), 1e-12, None))
                order = np.arange(1, len(values) + 1) / len(values)
                name = f"{above:g} above" if index else "at phi_J"
                spectrum.measured(name, order, values, mode="lines", group=index)
        scale = Figure(
            "scale",
            "The scale of the soft modes",
            "Median eigenvalue of the modes that contacts do not stiffen, against the energy per "
            "ellipse; the thesis's sketch has lambda ~ U^(1/2).",
            Axis("U / n", log=True),
            Axis("lambda", log=True),
            claims=("ch1.fig2h.scale",),
        )
        for row in table:
            levels = [_scale(row, index) for index in range(len(excess))]
            scale.measured(f"seed {row['seed']}", row["energy"], levels, mode="lines+markers")
        if table:
            first = table.rows[0]
            energies = np.asarray(first["energy"])
            line = _scale(first, len(excess) - 1) * np.sqrt(energies / energies[-1])
            scale.thesis("thesis, slope 1/2", energies, line)
        return [contacts, spectrum, scale]


def _state(packing: Any) -> dict[str, Any]:
    """Counts and spectrum of a minimized packing, without its rattlers."""
    import torch

    load_bearing = ~packing.rattlers()
    pairs, _ = packing.overlaps()
    kept = torch.from_numpy(np.r_[np.repeat(load_bearing, 2), load_bearing])
    parts = packing.hessian()
    H, Hp = (matrix[kept][:, kept] for matrix in (parts.H, parts.Hp))
    of_hp = torch.linalg.eigvalsh(Hp).numpy()
    return {
        "energy": packing.energy() / packing.n,
        "contacts": int(load_bearing[pairs].all(1).sum()),
        "freedom": 3 * int(load_bearing.sum()) - 2,
        "eigenvalues": torch.linalg.eigvalsh(H).numpy(),
        "hp_positive": float((of_hp > 1e-9 * np.abs(of_hp).max()).mean()),
    }

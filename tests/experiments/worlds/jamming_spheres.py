"""Worlds of soft spheres."""

from __future__ import annotations

import numpy as np

from symscape.lab import Point, Result
from worlds import World


def _packing(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Plateaus of frequencies from U^(1/4) on, U ~ excess^2, and isostatic contacts.

    In the false world packings are hypostatic with a gap at jamming, as those of ellipses, the
    scale of the spectrum is U^(1/2), and the energy grows as the excess.
    """
    noise = np.exp(0.01 * generator.standard_normal(1 + len(point["compressions"])))
    power, gap, contacts, growth = (0.25, 0.0, 1.0, 2) if thesis else (0.5, 0.5, 0.8, 1)
    d, modes = point["d"], point["n"] * point["d"] - point["d"]
    energy = np.r_[1e-14, 0.1 * np.array(point["compressions"]) ** growth] * noise
    freedom = np.full(len(energy), modes)
    result: Result = {
        "energy": energy,
        "freedom": freedom,
        "contacts": np.round(contacts * noise[0] ** 0.3 * freedom),
        "zero_modes": np.full(len(energy), d),
        "hp_largest": np.full(len(energy), 1e-16),
    }
    modes_at_zero = np.sort(generator.uniform(1e-4, 2.0, modes))
    for index, start in enumerate(np.r_[0.0, energy[1:] ** power]):
        plateau = gap + start + modes_at_zero
        result[f"eigenvalues_{index}"] = np.sort(np.r_[np.zeros(d), plateau**2])
    return result


WORLDS = [
    World(
        "jamming-spheres",
        true=lambda point, generator: _packing(point, generator, thesis=True),
        false=lambda point, generator: _packing(point, generator, thesis=False),
        overrides={"n": 1000, "seeds": 8},
    )
]

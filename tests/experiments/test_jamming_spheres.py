"""Jamming of spheres: the analysis on spectra with a known scale, and one small packing."""

from __future__ import annotations

import numpy as np
import pytest

from symscape.experiments.jamming._spheres import Spheres, SpheresParameters, frequencies
from symscape.lab import Estimate, Row, Table, verdicts

EXCESS = (1e-3, 1e-2, 1e-1)
P = SpheresParameters(dimensions=(2, 3), n=500, compressions=EXCESS, seeds=2)


def packing(d: int, seed: int, power: float = 0.25, contacts: float = 1.0) -> Row:
    """Plateaus of frequencies from U^power to 2 + U^power, U = 0.1 (excess)^2."""
    energy = np.r_[1e-14, 0.1 * np.square(EXCESS)]
    modes = 500 * d - d
    result: dict = {
        "energy": energy,
        "contacts": np.round(contacts * modes * np.array([1, 1.05, 1.1, 1.2])),
        "freedom": np.full(4, modes),
        "zero_modes": np.full(4, d),
        "hp_largest": np.full(4, 1e-16),
    }
    for index, start in enumerate(np.r_[0.0, energy[1:] ** power]):
        plateau = start + np.linspace(1e-4, 2.0, modes)
        result[f"eigenvalues_{index}"] = np.sort(np.r_[np.zeros(d), plateau**2])
    point = {"d": d, "n": 500, "target": 1e-14, "compressions": list(EXCESS), "seed": seed}
    return Row(point, result)


def answers(rows: list[Row]) -> dict[str, Estimate | None]:
    found = verdicts(Spheres(), Table(rows), P, "overnight")
    return {verdict.claim.id.removeprefix("ch1."): verdict.estimate for verdict in found}


def test_known_spectra_give_known_answers() -> None:
    found = answers([packing(d, seed) for d in (2, 3) for seed in (0, 1)])
    assert found["fig2f.isostatic"].value == pytest.approx(1.0)
    assert found["fig2g.scale"].value == pytest.approx(0.5, abs=1e-6)
    assert found["fig2e.energy"].value == pytest.approx(2.0)
    assert found["fig2g.no-gap"].value == pytest.approx(1.0, abs=0.01)
    assert found["fig2g.no-zero-modes"].value == 0.0
    assert found["fig2.hp-negative"].value == pytest.approx(1e-16)


def test_another_scaling_hypostatic_contacts_and_a_gap_are_seen() -> None:
    assert answers([packing(2, 0, power=0.5)])["fig2g.scale"].value == pytest.approx(1.0)
    assert answers([packing(2, 0, contacts=0.75)])["fig2f.isostatic"].value == pytest.approx(
        0.75, abs=1e-3
    )
    row = packing(3, 0)
    gapped = np.r_[np.zeros(3), (0.5 + frequencies(row, 0)) ** 2]
    found = answers([Row(row.point, {**row.result, "eigenvalues_0": gapped})])
    assert found["fig2g.no-gap"].value < 0.3


def test_translations_alone_are_taken_out() -> None:
    row = packing(3, 0)
    assert len(frequencies(row, 0)) == 3 * 500 - 3
    assert frequencies(row, 0).min() == pytest.approx(1e-4)


def test_a_small_packing_is_isostatic_with_negative_hp() -> None:
    experiment = Spheres()
    point = {"d": 2, "n": 40, "target": 1e-12, "compressions": [1e-2], "seed": 3}
    result = experiment.measure(point)
    # One contact more than degrees of freedom: a single state of self-stress.
    assert result["contacts"][0] == result["freedom"][0] + 1
    assert result["contacts"][1] > result["contacts"][0]
    assert result["zero_modes"].tolist() == [2, 2]
    assert result["negative_modes"].tolist() == [0, 0]
    assert abs(result["hp_largest"]).max() < 1e-12

"""Properties of the double-descent experiment beyond the common contract."""

import numpy as np
import pytest

from symscape.experiments.discussion._double_descent import (
    DoubleDescent,
    _formula,
    infinite_ensemble,
)
from symscape.experiments.discussion._parametrizations import Parametrizations, parametrization
from symscape.lab import InputError, Row, Table, verdicts


def answers(experiment, table, p):
    """What was found for each claim, by its id."""
    return {v.claim.id: v for v in verdicts(experiment, table, p, "overnight")}


def test_findings_of_the_formula_itself():
    experiment = DoubleDescent()
    p = experiment.parameters("quick", {"ridges": [0.0, 0.01]})
    rows = []
    for i, q in enumerate(experiment.points(p)):
        if q["target"] == "linear":
            widths = np.array(q["widths"])
            result = {name: _formula(Row(q, {}), widths, name) for name in ("single", "together")}
            rows.append(Row(q, result, key=str(i)))
    found = answers(experiment, Table(rows), p)
    assert found["ch8.fig1.theory"].estimate.value == pytest.approx(1)
    assert found["ch8.fig1.theory-ensemble"].estimate.value == pytest.approx(1)
    assert found["ch8.fig1.ensemble"].estimate.value == pytest.approx(1, abs=1e-3)
    assert found["ch8.fig1.second-descent"].panel == "linear target"


def test_an_infinite_ensemble_has_no_variance_over_networks():
    bias, variance = np.array([0.3, 0.5]), np.array([2.0, 0.1])
    single, together = (np.stack([bias + variance / n] * 3) for n in (1, 7))
    np.testing.assert_allclose(infinite_ensemble(single, together, 7), bias)


def test_shape_of_small_runs():
    experiment = DoubleDescent()
    p = experiment.parameters("smoke", {"quadratic_seeds": 10, "h_per_P": [0.25, 0.8, 1, 2, 4, 10]})
    points = [q for q in experiment.points(p) if q["target"] == "quadratic"]
    table = Table(Row(q, experiment.measure(q), key=str(i)) for i, q in enumerate(points))
    found = answers(experiment, table, p)
    assert found["ch8.fig1.peak"].estimate.value == 1.0
    assert found["ch8.fig1.second-descent"].estimate.value < 1
    assert found["ch8.fig1.ensemble"].estimate.value < 1.3


def test_widths_on_one_side_of_the_peak_leave_the_other_claims():
    experiment = DoubleDescent()
    for h_per_P, empty in (
        ([1.0, 1.2, 1.5, 2, 3], "second-descent"),
        ([0.2, 0.5, 0.8, 1.0, 2.0], "ensemble"),
    ):
        p = experiment.parameters("smoke", {"h_per_P": h_per_P})
        rows = [
            Row(q, {name: np.arange(1.0, 6.0) for name in ("single", "together")}, key=str(i))
            for i, q in enumerate(experiment.points(p))
        ]
        found = answers(experiment, Table(rows), p)
        assert found[f"ch8.fig1.{empty}"].estimate is None
        assert "width" in found[f"ch8.fig1.{empty}"].note
        assert found["ch8.fig1.peak"].estimate.value == h_per_P[-1]


def test_the_widest_networks_may_be_given_first():
    experiment = DoubleDescent()
    p = experiment.parameters("smoke", {"h_per_P": [4.0, 2.0, 1.0, 0.5, 0.25]})
    errors = {name: np.array([2.0, 3.0, 9.0, 4.0, 8.0]) for name in ("single", "together")}
    rows = [Row(q, errors, key=str(i)) for i, q in enumerate(experiment.points(p))]
    found = answers(experiment, Table(rows), p)
    assert found["ch8.fig1.second-descent"].estimate.value == pytest.approx(0.5)


def test_parametrizations_are_those_of_the_thesis_up_to_their_symmetry():
    shifted = parametrization("maximal-update", 3).shifted(0.5)
    assert shifted == parametrization("mean-field", 3)
    assert parametrization("mean-field", 3).a == (0, 0.5, 0.5, 1)  # Table 1, MFP
    assert parametrization("ntk", 3).a == (0, 0.5, 0.5, 0.5)  # and NTP
    assert parametrization("mean-field", 1).a == (0, 1)
    with pytest.raises(ValueError, match="allowed: mean-field"):
        parametrization("xavier", 3)


def test_shifted_networks_are_one_under_sgd_and_only_with_the_learning_rate():
    experiment = Parametrizations()
    p = experiment.parameters("smoke", {"widths": [10, 20], "thetas": [0.37], "seeds": 1})
    table = Table(Row(q, experiment.measure(q), key=q["name"]) for q in experiment.points(p))
    found = answers(experiment, table, p)
    assert found["ch8.sec2.symmetry"].estimate.value < 1e-12
    assert found["ch8.sec2.mean-field-is-maximal-update"].estimate.value < 1e-12
    assert min(row["without_c"].min() for row in table if row["thetas"]) > 1e-3


def test_exponents_of_made_up_changes_are_found():
    experiment = Parametrizations()
    p = experiment.parameters("quick")
    slopes = {"maximal-update": (0.02, -0.05, 0.01), "ntk": (-0.5, -0.5, -0.7)}
    rows = []
    noise = np.random.default_rng(0)
    for i, q in enumerate(experiment.points(p)):
        change = 0.3 * q["width"] ** np.array(slopes[q["name"]])
        change *= np.exp(0.005 * noise.standard_normal())  # of all layers alike
        twins = {"difference": np.array([1e-15, 1e-14]), "without_c": np.array([0.5, 0.3])}
        rows.append(Row(q, {"change": change, "mean_field": 1e-13, **twins}, key=str(i)))
    found = answers(experiment, Table(rows), p)
    for claim, value, panel in (
        ("ch8.sec2.all-layers-learn", -0.05, "layer 2"),
        ("ch8.sec2.ntk-layers-stand-still", -0.7, "layer 3"),
    ):
        assert found[claim].estimate.value == pytest.approx(value, abs=0.02)
        assert found[claim].panel == panel
    assert found["ch8.sec2.symmetry"].estimate.value == pytest.approx(1e-14)
    assert "0.3" in found["ch8.sec2.symmetry"].note
    with pytest.raises(InputError, match="sizes must increase"):
        experiment.parameters("smoke", {"widths": [64, 16]})

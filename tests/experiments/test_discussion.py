"""Properties of the double-descent experiment beyond the common contract."""

import numpy as np
import pytest

from symscape.experiments.discussion._double_descent import DoubleDescent, _formula
from symscape.lab import Row, Table


def test_findings_of_the_formula_itself():
    experiment = DoubleDescent()
    p = experiment.parameters("quick", {"ridges": [0.0, 0.01]})
    rows = []
    for i, q in enumerate(experiment.points(p)):
        if q["target"] == "linear":
            widths = np.array(q["widths"])
            result = {name: _formula(Row(q, {}), widths, name) for name in ("single", "together")}
            rows.append(Row(q, result, key=str(i)))
    found = {f.claim: f for f in experiment.analyse(Table(rows), p)}
    assert found["ch8.fig1.theory"].measured == pytest.approx(1)
    assert found["ch8.fig1.theory-ensemble"].measured == pytest.approx(1)
    assert found["ch8.fig1.peak"].measured is None


def test_shape_of_small_runs():
    experiment = DoubleDescent()
    p = experiment.parameters("smoke", {"quadratic_seeds": 10, "h_per_P": [0.25, 0.8, 1, 2, 4, 10]})
    points = [q for q in experiment.points(p) if q["target"] == "quadratic"]
    table = Table(Row(q, experiment.measure(q), key=str(i)) for i, q in enumerate(points))
    found = {f.claim: f for f in experiment.analyse(table, p)}
    assert found["ch8.fig1.peak"].measured == 1.0
    assert found["ch8.fig1.second-descent"].measured < 1
    assert found["ch8.fig1.ensemble"].measured < 1.3


def test_widths_on_one_side_of_the_peak_leave_the_other_claims():
    experiment = DoubleDescent()
    for h_per_P, empty in (
        ([1.0, 1.2, 1.5, 2, 3], "second-descent"),
        ([0.2, 0.5, 1.0, 1.2, 2.0], "ensemble"),
    ):
        p = experiment.parameters("smoke", {"h_per_P": h_per_P})
        rows = [
            Row(q, {name: np.arange(1.0, 6.0) for name in ("single", "together")}, key=str(i))
            for i, q in enumerate(experiment.points(p))
        ]
        found = {f.claim: f for f in experiment.analyse(Table(rows), p)}
        assert found[f"ch8.fig1.{empty}"].measured is None
        assert "width" in found[f"ch8.fig1.{empty}"].note
        assert found["ch8.fig1.peak"].measured == h_per_P[-1]


def test_the_widest_networks_may_be_given_first():
    experiment = DoubleDescent()
    p = experiment.parameters("smoke", {"h_per_P": [4.0, 2.0, 1.0, 0.5, 0.25]})
    errors = {name: np.array([2.0, 3.0, 9.0, 4.0, 8.0]) for name in ("single", "together")}
    rows = [Row(q, errors, key=str(i)) for i, q in enumerate(experiment.points(p))]
    found = {f.claim: f for f in experiment.analyse(Table(rows), p)}
    assert found["ch8.fig1.second-descent"].measured == pytest.approx(0.5)

"""Properties of the experiments of the kernel chapter beyond the common contract."""

import numpy as np
import pytest

from symscape import datasets
from symscape.experiments.kernel_regression import _dimension as dimension
from symscape.experiments.kernel_regression import _images as images
from symscape.experiments.kernel_regression import _learning_curves as curves
from symscape.experiments.kernel_regression import _teacher_student as teacher_student
from symscape.experiments.kernel_regression import _theory as theory
from symscape.lab import Row, Table


def made(experiment, p, results):
    """A table of the experiment's points with results made up by a function of the point."""
    points = experiment.points(p)
    return Table(Row(q, results(q), key=str(i)) for i, q in enumerate(points))


def test_images_are_what_the_thesis_says():
    sample = datasets.resolve("mnist-sample").pinned
    x, Z = images.images(sample, 300, seed=1)
    assert set(np.unique(Z)) == {-1.0, 1.0}
    assert (x.min(), x.max()) == (0.0, 255.0)
    scaled = images.images(sample, 300, seed=1, scale="norm")
    np.testing.assert_allclose(np.square(scaled.x).sum(axis=1), 784)
    np.testing.assert_array_equal(scaled.Z, Z)
    first, _ = images.images(sample, 10, seed=1)
    np.testing.assert_array_equal(first, x[:10])


def test_missing_colors_are_said_and_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("SYMSCAPE_DATA", str(tmp_path))
    monkeypatch.setattr(datasets._sources, "user_data_folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    experiment = curves.LearningCurves()
    p = experiment.parameters("smoke")
    table = made(
        experiment,
        p,
        lambda q: {
            "error": 2.0 * np.array(q["sizes"]) ** -0.4,
            "margin_error": np.array(q["sizes"]) ** -0.45,
        },
    )
    assert {row["family"] for row in table} == {"mnist"}
    found = {finding.claim: finding for finding in experiment.analyse(table, p)}
    assert found["ch6.fig1.mnist-regression"].measured == pytest.approx(0.4)
    assert found["ch6.fig1.mnist-classification"].measured == pytest.approx(0.45)
    assert found["ch6.fig1.cifar10-regression"].measured is None
    assert "CIFAR-10 is not on this machine" in found["ch6.fig1.cifar10-regression"].note


def test_exponents_of_made_up_curves_are_found():
    experiment = teacher_student.TeacherStudent()
    p = experiment.parameters("quick")

    def results(q):
        beta = teacher_student._beta(q["teacher"], "laplace", q["d"])
        n = np.array(q["sizes"], dtype=float)
        return {"error": n**-beta, "jitter": 0 * n, "condition": n}

    found = {f.claim: f for f in experiment.analyse(made(experiment, p, results), p)}
    for claim in ("ch6.fig2.laplace-teacher", "ch6.fig2.gaussian-teacher", "ch6.fig8.rough"):
        assert found[claim].measured == pytest.approx(0, abs=1e-8)
        assert found[claim].uncertainty == pytest.approx(0, abs=1e-8)


def test_errors_made_of_rounding_are_not_used():
    row = Row(
        {"sizes": [10, 20, 40, 80]},
        {"error": np.array([1e-3, 1e-6, 1e-15, 1e-4]), "jitter": np.array([0, 0, 0, 1e-10])},
    )
    np.testing.assert_array_equal(teacher_student._above_rounding(row), [True, True, False, False])
    assert teacher_student._linearity(row) is None


def test_small_theory_agrees_with_theorem_1():
    experiment = theory.Theory()
    p = experiment.parameters(
        "smoke", {"sides": [256, 512], "sizes": [100_000, 1_000_000], "fields": 8}
    )
    points = [q for q in experiment.points(p) if q.get("d") == 1 or q["way"] in ("field", "rkhs")]
    table = Table(Row(q, experiment.measure(q), key=str(i)) for i, q in enumerate(points))
    found = {f.claim: f for f in experiment.analyse(table, p)}
    assert found["ch6.thm1.line"].measured < 0.02
    assert found["ch6.appI.exponent"].measured < 0.02
    assert found["ch6.appH.rkhs"].measured == 1.0
    simulation = found["ch6.thm1.simulation"]
    assert abs(simulation.measured - 1) < 4 * simulation.uncertainty


def test_effective_dimension_of_made_up_distances():
    from symscape.kernels import sphere_distance

    experiment = dimension.EffectiveDimensions()
    p = experiment.parameters("smoke")
    table = made(
        experiment,
        p,
        lambda q: {"distance": 50 * sphere_distance(q["sizes"], q["d"] or 15.0)},
    )
    found = {f.claim: f for f in experiment.analyse(table, p)}
    assert found["ch6.fig4.mnist"].measured == pytest.approx(15, rel=1e-3)

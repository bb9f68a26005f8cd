"""Properties of the experiments of the kernel chapter beyond the common contract."""

import numpy as np
import pytest

from symscape import datasets
from symscape.experiments.kernel_regression import _dimension as dimension
from symscape.experiments.kernel_regression import _images as images
from symscape.experiments.kernel_regression import _learning_curves as curves
from symscape.experiments.kernel_regression import _spectra as spectra
from symscape.experiments.kernel_regression import _teacher_student as teacher_student
from symscape.experiments.kernel_regression import _theory as theory
from symscape.lab import InputError, Row, Table


def made(experiment, p, results):
    """A table of the experiment's points with results made up by a function of the point."""
    points = experiment.points(p)
    return Table(Row(q, results(q), key=str(i)) for i, q in enumerate(points))


def test_images_are_what_the_thesis_says():
    sample = datasets.resolve("mnist-sample").pinned
    x, Z = images.images(sample, 300, seed=1, scale="pixels")
    assert set(np.unique(Z)) == {-1.0, 1.0}
    assert (x.min(), x.max()) == (0.0, 255.0)
    scaled = images.images(sample, 300, seed=1, scale="norm")
    np.testing.assert_allclose(np.square(scaled.x).sum(axis=1), 784)
    np.testing.assert_array_equal(scaled.Z, Z)
    first, _ = images.images(sample, 10, seed=1, scale="pixels")
    np.testing.assert_array_equal(first, x[:10])
    _, halves = images.images(sample, 300, seed=1, scale="pixels", classes="halves")
    labels = datasets.load(sample).labels
    chosen = np.random.default_rng(1).permutation(len(labels))[:300]
    np.testing.assert_array_equal(halves > 0, labels[chosen] > 4)


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
    assert found["ch6.fig1.task-gap"].measured == pytest.approx(0.05)
    assert "MNIST +0.050" in found["ch6.fig1.task-gap"].note
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


def test_learning_curves_without_two_errors_above_zero_have_no_exponent():
    experiment = curves.LearningCurves()
    for overrides, error in (
        ({"sizes": [100, 1200]}, [0.1, 0.05]),  # one size in the last decade
        ({"sizes": [100, 200, 400]}, [0.0, 0.0, 0.0]),
    ):
        p = experiment.parameters("smoke", {"colors": False, **overrides})
        result = {"error": np.array(error), "margin_error": np.array(error)}
        table = made(experiment, p, lambda q, result=result: result)
        found = {finding.claim: finding for finding in experiment.analyse(table, p)}
        for claim in ("mnist-regression", "mnist-classification", "kernel-gap", "task-gap"):
            assert found[f"ch6.fig1.{claim}"].measured is None
        assert "Fewer than two sizes" in found["ch6.fig1.mnist-regression"].note
        experiment.figures(table, p)


def test_scale_and_classes_of_images_are_parameters():
    sample = datasets.resolve("mnist-sample").pinned
    experiment = curves.LearningCurves()
    p = experiment.parameters("smoke", {"scale": "norm", "sigmas_scale": "pixels"})
    scales = {(q["C"] > 0, q["scale"]) for q in experiment.points(p)}
    assert scales == {(True, "norm"), (False, "pixels")}
    halves = experiment.parameters("smoke", {"classes": "halves"})
    groups = {(q["family"], q.get("classes")) for q in experiment.points(halves)}
    assert groups <= {("mnist", None), ("cifar10", "halves")}
    point = {
        "family": "mnist",
        "data": sample,
        "kernel": "laplace",
        "sigma": 1000.0,
        "C": 0.0,
        "scale": "norm",
        "seed": 0,
        "sizes": [20, 40],
        "n_test": 50,
    }
    errors = [
        experiment.measure({**point, **more})["error"]
        for more in ({}, {"classes": "parity"}, {"classes": "halves"}, {"scale": "pixels"})
    ]
    np.testing.assert_array_equal(errors[0], errors[1])
    assert not np.allclose(errors[0], errors[2])
    assert not np.allclose(errors[0], errors[3])


def test_eigenvalues_are_judged_on_one_scale_and_the_other_is_said():
    experiment = spectra.Spectra()
    p = experiment.parameters(
        "smoke", {"sizes": [2000, 4000], "leading_size": 8000, "colors": False}
    )
    ranks = np.unique(np.round(np.geomspace(1, 4000, 100)).astype(int))

    def results(q):
        steep = {"norm": 1.0, "pixels": 1.2, "unit": 1.0}[q["scale"]]
        size = 1 + (q["scale"] == "pixels") * 1000 / q["n"]
        return {
            "first": size * np.arange(1, 101.0) ** -steep,
            "ranks": ranks,
            "eigenvalues": ranks ** -(16 / 15) if q["scale"] == "norm" else ranks**-steep,
            "tail": ranks**-0.4 if q["scale"] == "pixels" else ranks**-0.3,
            "sizes": np.array([250, 500, 1000, 2000, 4000]),
            "error": np.array([250.0, 500, 1000, 2000, 4000]) ** -0.4,
        }

    table = made(experiment, p, results)
    found = {finding.claim: finding for finding in experiment.analyse(table, p)}
    assert found["ch6.fig9.convergence"].measured == pytest.approx(1)
    assert "With pixels from 0 to 255: 1.111" in found["ch6.fig9.convergence"].note
    assert found["ch6.fig9.density"].measured == pytest.approx(1, abs=0.02)
    assert found["ch6.fig3.mnist-tail"].measured == pytest.approx(0.4)
    assert "With images of norm sqrt(d): 0.300" in found["ch6.fig3.mnist-tail"].note
    pixels = p.model_copy(update={"eigenvalue_scale": "pixels"})
    again = {finding.claim: finding for finding in experiment.analyse(table, pixels)}
    assert again["ch6.fig9.convergence"].measured == pytest.approx(1.25 / 1.125)
    assert any("norm" in series for series in _names(experiment.figures(table, p), "density"))


def _names(figures, which):
    return [series.name for figure in figures if figure.id == which for series in figure.series]


@pytest.mark.parametrize(
    ("experiment", "overrides", "says"),
    [
        (curves.LearningCurves, {"sizes": [100, 50]}, "sizes must increase"),
        (teacher_student.TeacherStudent, {"sizes": [16, 8, 128]}, "sizes must increase"),
        (spectra.Spectra, {"leading_size": 100}, "greater than 100"),
        (spectra.Spectra, {"leading_size": 400}, "larger than all sizes"),
        (spectra.Spectra, {"scale": "unit"}, "'pixels' or 'norm'"),
    ],
)
def test_parameters_that_the_analysis_cannot_use_are_refused(experiment, overrides, says):
    with pytest.raises(InputError, match=says):
        experiment().parameters("smoke", overrides)

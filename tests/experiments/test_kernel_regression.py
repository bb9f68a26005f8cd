"""Properties of the experiments of the kernel chapter beyond the common contract and the worlds."""

import numpy as np
import pytest

from symscape import datasets, kernels, lab
from symscape.experiments.kernel_regression import _images as images
from symscape.experiments.kernel_regression import _learning_curves as curves
from symscape.experiments.kernel_regression import _spectra as spectra
from symscape.experiments.kernel_regression import _teacher_student as teacher_student
from symscape.experiments.kernel_regression import _teacher_student_claims as claims
from symscape.experiments.kernel_regression import _theory as theory
from symscape.lab import InputError, Row, Table
from symscape.scaling import Estimate, NoEstimate


def judged(experiment, table, p, profile="smoke"):
    return {v.claim.id: v for v in lab.verdicts(experiment, table, p, profile)}


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


def test_one_scale_is_judged_and_the_other_is_said():
    rows = [Row({"scale": scale, "y": y}, {}) for scale, y in (("norm", 1.0), ("pixels", 2.5))]

    def answer(some):
        if len(some) > 1:
            raise NoEstimate("Too many.")
        return Estimate(float(some.column("y")[0]))

    found = images.on_one_scale(answer, Table(rows), "norm")
    assert found.value == 1.0
    assert found.note == "Images of norm sqrt(d). With pixels from 0 to 255: 2.5."
    assert images.on_one_scale(answer, Table(rows), "pixels").value == 2.5
    assert "With" not in images.on_one_scale(answer, Table(rows[:1]), "norm").note
    assert images.on_one_scale(answer, Table(rows * 2), "norm") == "Too many."
    assert "symscape data list" in images.on_one_scale(answer, Table([]), "norm")


def test_missing_colors_are_said_and_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("SYMSCAPE_DATA", str(tmp_path))
    monkeypatch.setattr(datasets._sources, "user_data_folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    experiment = curves.LearningCurves()
    p = experiment.parameters("smoke")

    def results(q):
        error = np.array([2.0 * np.array(q["sizes"]) ** -0.4] * len(q["kernels"]))
        return {"error": error, "margin_error": error[:2] ** 1.125}

    table = made(experiment, p, results)
    assert {row["family"] for row in table} == {"mnist"}
    found = judged(experiment, table, p)
    assert found["ch6.fig1.mnist-regression"].estimate.value == pytest.approx(0.4)
    assert found["ch6.fig1.mnist-classification"].estimate.value == pytest.approx(0.45)
    for claim in ("cifar10-regression", "task-gap", "above-curse"):
        assert found[f"ch6.fig1.{claim}"].status == "inconclusive"
        assert "are the images on this machine?" in found[f"ch6.fig1.{claim}"].reason


def test_learning_curves_without_two_errors_above_zero_have_no_exponent():
    experiment = curves.LearningCurves()
    for overrides, error in (
        ({"sizes": [100, 1200]}, [0.1, 0.05]),  # one size in the last decade
        ({"sizes": [100, 200, 400]}, [0.0, 0.0, 0.0]),
    ):
        p = experiment.parameters("smoke", {"colors": False, **overrides})
        table = made(
            experiment,
            p,
            lambda q, error=error: {
                "error": np.array([error] * len(q["kernels"])),
                "margin_error": np.array([error] * 2),
            },
        )
        found = judged(experiment, table, p)
        for claim in ("mnist-regression", "mnist-classification", "kernel-gap", "task-gap"):
            assert found[f"ch6.fig1.{claim}"].estimate is None
        assert "fewer than 2 values" in found["ch6.fig1.mnist-regression"].reason
        experiment.figures(table, p)


def test_length_scales_are_measured_on_the_judged_scale_of_mnist_only():
    experiment = curves.LearningCurves()
    p = experiment.parameters("smoke", {"scale": "pixels", "sigmas": [10.0, 30.0]})
    many = {(q["family"], q["scale"]) for q in experiment.points(p) if len(q["kernels"]) > 2}
    assert many == {("mnist", "pixels")}
    halves = experiment.parameters("smoke", {"classes": "halves"})
    groups = {(q["family"], q.get("classes")) for q in experiment.points(halves)}
    assert groups <= {("mnist", None), ("cifar10", "halves")}


def test_kernels_that_share_distances_give_what_each_gives_alone():
    sample = datasets.resolve("mnist-sample").pinned
    point = {
        "family": "mnist",
        "data": sample,
        "kernels": [["laplace", 1000.0], ["gaussian", 50.0], ["laplace", 10.0]],
        "C": 1e4,
        "scale": "norm",
        "seed": 0,
        "sizes": [20, 40],
        "n_test": 50,
    }
    experiment = curves.LearningCurves()
    found = experiment.measure(point)
    assert (found["error"].shape, found["margin_error"].shape) == ((3, 2), (2, 2))
    x, Z = images.images(sample, 90, 0, "norm")
    for place, (name, sigma) in enumerate(point["kernels"]):
        kernel = kernels.named(name, sigma)
        alone = kernels.nested_predictions(kernel, x[:40], Z[:40], x[40:], [20, 40])
        expected = alone.mean_square_error(Z[40:])
        np.testing.assert_allclose(found["error"][place], expected, rtol=1e-6)
    machine = kernels.margin_machine(kernels.laplace(1000.0), x[:20], Z[:20])
    assert found["margin_error"][0, 0] == np.mean(np.sign(machine(x[40:])) != Z[40:])
    halves = experiment.measure({**point, "classes": "halves"})
    assert not np.allclose(halves["error"], found["error"])


def test_errors_made_of_rounding_are_not_used():
    row = Row(
        {"sizes": [10, 20, 40, 80]},
        {"error": np.array([1e-3, 1e-6, 1e-15, 1e-4]), "jitter": np.array([0, 0, 0, 1e-10])},
    )
    np.testing.assert_array_equal(claims.above_rounding(row), [1e-3, 1e-6, np.nan, np.nan])


def test_the_degenerate_order_is_drawn_and_not_judged():
    experiment = teacher_student.TeacherStudent()
    p = experiment.parameters("overnight", {"circle_seeds": 2, "seeds": 2})

    def results(q):
        n = np.array(q["sizes"], dtype=float)
        return {"error": n ** (-9.0 if q["teacher"] == "matern-2" else -1.0), "jitter": 0 * n}

    table = made(experiment, p, results).where(figure="fig8")
    panels = {
        panel
        for claim in experiment.claims
        if claim.id.startswith("ch6.fig8")
        for panel in claim.answer(table, p)
    }
    assert panels == {f"nu = {nu:g}" for nu in (0.25, 0.5, 1, 1.5, 3, 4)}
    figure = next(f for f in experiment.figures(table, p) if f.id == "matern")
    assert "nu = 2" in {series.name for series in figure.series}


def test_an_exponent_is_extrapolated_and_the_way_there_is_its_error():
    n = 2.0 ** np.arange(3, 9)
    found = theory._limit(n, n**-1.5 * (1 + 0.3 / n), 1.5)
    assert found.value == pytest.approx(1, abs=1e-5)
    last = np.log((1 + 0.3 / n[-2]) / (1 + 0.3 / n[-1])) / np.log(2) / 1.5
    assert found.error == pytest.approx(last, rel=0.05)
    # Steps that grow promise nothing: the last one is the error.
    grows = theory._limit(n, np.exp(-(np.log(n) ** 3)), 1.0)
    exponents = np.diff(np.log(n) ** 3) / np.log(2)
    assert grows.value == pytest.approx(exponents[-1])
    assert grows.error == pytest.approx(exponents[-1] - exponents[-2])
    with pytest.raises(NoEstimate, match="Four sizes"):
        theory._limit(n[:3], n[:3] ** -1.0, 1.0)


def test_small_theory_agrees_with_theorem_1():
    experiment = theory.Theory()
    p = experiment.parameters(
        "smoke",
        {"sides": [64, 128, 256, 512], "sizes": [100, 1000, 10_000, 100_000], "fields": 8},
    )
    points = [q for q in experiment.points(p) if q.get("d") == 1 or q["way"] in ("field", "rkhs")]
    table = Table(Row(q, experiment.measure(q), key=str(i)) for i, q in enumerate(points))
    found = judged(experiment, table, p, "overnight")
    for claim in ("thm1.line", "thm1.gaussian", "appI.exponent", "appH.rkhs"):
        assert found[f"ch6.{claim}"].status == "reproduced"
    simulation = found["ch6.thm1.simulation"].estimate
    assert abs(simulation.value - 1) < 4 * simulation.error


@pytest.mark.parametrize(
    ("experiment", "overrides", "says"),
    [
        (curves.LearningCurves, {"sizes": [100, 50]}, "sizes must increase"),
        (teacher_student.TeacherStudent, {"sizes": [16, 8, 128]}, "sizes must increase"),
        (spectra.Spectra, {"leading_size": 100}, "greater than 100"),
        (spectra.Spectra, {"leading_size": 400}, "larger than all sizes"),
        (spectra.Spectra, {"scale": "unit"}, "'norm' or 'pixels'"),
    ],
)
def test_parameters_that_the_analysis_cannot_use_are_refused(experiment, overrides, says):
    with pytest.raises(InputError, match=says):
        experiment().parameters("smoke", overrides)

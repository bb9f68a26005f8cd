import math

import numpy as np
import pytest
import torch

from symscape.kernels import (
    Lattice,
    factorize,
    gaussian,
    gram_spectrum,
    laplace,
    learning_curves,
    margin_machine,
    matern,
    nested_predictions,
    on_torus,
    random_points,
    sample_field,
    solve_iterative,
    square_distances,
    teacher_errors,
)

x = random_points("sphere", 120, 2, 0)
x_test = random_points("sphere", 50, 2, 1)
Z = np.random.default_rng(2).standard_normal((120, 3))
SIZES = (5, 30, 120)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_nested_predictions_are_those_of_each_size_alone(ridge):
    k = laplace(0.7)
    found = nested_predictions(k, x, Z, x_test, SIZES, ridge)
    for n, values in zip(SIZES, found.values):
        K = k(x[:n]) + ridge * np.eye(n)
        np.testing.assert_allclose(values, k(x_test, x[:n]) @ np.linalg.solve(K, Z[:n]), atol=1e-10)
    error = np.square(found.values[1] - Z[:50]).mean(axis=0)
    np.testing.assert_allclose(found.mean_square_error(Z[:50])[1], error)
    assert found.factor.jitter == 0
    squares = square_distances(x), square_distances(x, x_test)
    shared = nested_predictions(k, x, Z, x_test, SIZES[:2], ridge, squares)
    np.testing.assert_allclose(shared.values, found.values[:2], atol=1e-12)


def test_ridgeless_regression_interpolates_and_takes_tensors():
    found = nested_predictions(laplace(1.0), torch.tensor(x), torch.tensor(Z), x, (120,))
    np.testing.assert_allclose(found.values[0], Z, atol=1e-9)


def test_condition_number_is_that_of_the_one_norm():
    K = laplace(0.7)(x)
    exact = np.linalg.cond(K, 1)
    assert factorize(laplace(0.7), x).condition == pytest.approx(exact, rel=0.5)


def test_jitter_is_the_smallest_that_is_enough_and_is_reported():
    close = np.linspace(0, 1, 60)[:, None]
    factor = factorize(gaussian(3.0), close)
    assert 0 < factor.jitter <= 1e-8
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(gaussian(3.0)(close))
    L = np.tril(factor.lower)
    shifted = gaussian(3.0)(close) + factor.jitter * np.eye(60)
    np.testing.assert_allclose(L @ L.T, shifted, atol=1e-13)


def test_teacher_errors_are_the_average_over_sampled_fields():
    teacher, student = matern(1.5, 1.0), laplace(0.8)
    exact = teacher_errors(teacher, student, x, x_test, SIZES).values
    fields = sample_field(teacher, np.concatenate([x, x_test]), 2000, 3)
    found = nested_predictions(student, x, fields[:120], x_test, SIZES)
    errors = found.mean_square_error(fields[120:])
    sigma = errors.std(axis=1) / math.sqrt(2000)
    assert np.all(np.abs(errors.mean(axis=1) - exact) < 5 * sigma)


def test_teacher_error_is_the_posterior_variance_and_no_other_student_is_better():
    teacher = matern(1.0, 0.9)
    K, k = teacher(x), teacher(x, x_test)
    variance = 1 - np.sum(k * np.linalg.solve(K, k), axis=0)
    best = teacher_errors(teacher, teacher, x, x_test, SIZES).values
    assert best[-1] == pytest.approx(variance.mean(), abs=1e-12)
    for student in (laplace(0.9), matern(2.0, 0.9), matern(1.0, 0.3)):
        assert np.all(teacher_errors(teacher, student, x, x_test, SIZES).values > best)
    at_training = teacher_errors(teacher, laplace(0.9), x, x, (120,)).values
    assert at_training[0] == pytest.approx(0, abs=1e-10)


def test_covariance_of_sampled_fields():
    k = laplace(0.5)
    fields = sample_field(k, x[:6], 40_000, 4)
    np.testing.assert_allclose(np.cov(fields, bias=True), k(x[:6]), atol=0.03)


@pytest.mark.parametrize("ridge", [0.0, 1e-2])
def test_iterative_solution_agrees_with_the_direct_one(ridge):
    points = random_points("cube", 800, 2, 5)
    z = np.sin(5 * points[:, 0])
    k = laplace(0.3)
    found = solve_iterative(k, points, z, ridge, rank=100, block=300)
    assert found.converged
    np.testing.assert_allclose(
        found.coefficients, factorize(k, points, ridge).solve(z), rtol=1e-4, atol=1e-5
    )
    assert found.iterations < solve_iterative(k, points, z, ridge, rank=1).iterations
    assert not solve_iterative(k, points, z, ridge, rank=1, max_iterations=2).converged


def test_margin_machine_fulfills_the_optimality_conditions():
    z = np.sign(x[:, 0] + 0.3 * x[:, 1] + 1e-9)
    machine = margin_machine(laplace(1.0), x, z, tolerance=1e-6)
    assert abs(z @ machine.a) < 1e-8 * machine.a.sum()
    assert machine.a.min() >= 0
    assert machine.a.max() <= machine.C
    free = (machine.a > 1e-8) & (machine.a < machine.C)
    np.testing.assert_allclose((z * machine(x))[free], 1.0, atol=1e-4)
    assert np.all(z * machine(x) > 1 - 1e-4)
    # a violation of 1e-6 at each of the points costs C = 1e4 times as much
    assert abs(machine.duality_gap) < 5e-3
    soft = margin_machine(laplace(1.0), x, z, C=0.05)
    assert np.any(z * soft(x) < 1 - 1e-3)
    assert abs(soft.duality_gap) < 1e-3
    np.testing.assert_allclose(soft.output(laplace(1.0)(x, x_test)), soft(x_test), atol=1e-12)


def test_domains():
    u = np.array([[0.05, 0.5], [0.95, 0.5]])
    torus = on_torus(u)
    assert np.linalg.norm(torus[0] - torus[1]) == pytest.approx(math.sin(0.1 * math.pi) / math.pi)
    np.testing.assert_allclose(np.linalg.norm(random_points("sphere", 9, 4, 0), axis=1), 1)
    assert random_points("torus", 9, 4, 0).shape == (9, 8)
    cube = random_points("cube", 2000, 3, 0)
    np.testing.assert_allclose(cube.mean(axis=0), 0.5, atol=0.03)
    with pytest.raises(ValueError, match="domain must be"):
        random_points("ball", 3, 2, 0)


def test_coinciding_points_are_named():
    twice = x.copy()
    twice[[7, 90]] = twice[3]
    with pytest.raises(ValueError, match="points 3, 7, 90 coincide"):
        factorize(laplace(1.0), twice)
    with pytest.raises(ValueError, match="points 3, 7, 90 coincide"):
        solve_iterative(laplace(1.0), twice, Z[:, 0])
    assert factorize(laplace(1.0), twice, ridge=0.1).jitter == 0
    assert solve_iterative(laplace(1.0), twice, Z[:, 0], ridge=0.1).converged


@pytest.mark.parametrize("wrong", [Z[:50, :1], Z[:50, 0], Z[:49], 0.0])
def test_values_of_another_shape_are_not_compared(wrong):
    found = nested_predictions(laplace(0.7), x, Z, x_test, SIZES)
    with pytest.raises(ValueError, match=r"Z_test must be \(50, 3\)"):
        found.mean_square_error(wrong)


def test_values_that_are_not_finite_are_refused():
    k, lattice = laplace(1.0), Lattice(8, 1)
    for bad in (np.nan, np.inf):
        z = Z[:, 0].copy()
        z[3] = bad
        for call in (
            lambda z=z: nested_predictions(k, x, z, x_test, (120,)),
            lambda z=z: gram_spectrum(k, x, z),
            lambda z=z: solve_iterative(k, x, z),
            lambda z=z: lattice.solve(k, z[:8]),
        ):
            with pytest.raises(ValueError, match="must be finite"):
                call()
        for call in (
            lambda ridge=bad: factorize(k, x, ridge),
            lambda ridge=bad: solve_iterative(k, x, Z[:, 0], ridge),
            lambda ridge=bad: lattice.solve(k, Z[:8, 0], ridge),
        ):
            with pytest.raises(ValueError, match="ridge must not be"):
                call()


def test_converged_is_what_the_residual_says():
    points = random_points("cube", 400, 2, 5)
    k = laplace(0.3)
    for tolerance in (1e-8, 1e-12, 1e-14, 1e-17):
        found = solve_iterative(k, points, np.ones(400), rank=30, tolerance=tolerance)
        exact = np.linalg.norm(k(points) @ found.coefficients - 1) / 20
        assert found.residual == pytest.approx(exact, rel=1e-3, abs=1e-14)
        assert found.converged == (found.residual <= tolerance)
        assert found.iterations < 500
    assert not found.converged  # rounding stops the progress, which is seen


def test_jitter_of_sampled_fields_is_said():
    close = np.linspace(0, 1, 400)[:, None]
    with pytest.warns(UserWarning, match="jitter"):
        field = sample_field(gaussian(0.3), close, 2, 0)
    factor = factorize(gaussian(0.3), close)
    assert factor.jitter > 0
    np.testing.assert_array_equal(field, factor.sample(2, 0))
    with pytest.raises(ValueError, match="count"):
        factor.sample(0, 0)


@pytest.mark.parametrize("targets", [Z[:, 0], Z])
def test_a_sweep_gives_what_each_kernel_and_seed_gives_alone(targets):
    family = [laplace(0.7), laplace(3.0), gaussian(0.5), matern(1.2, 0.7)]
    sizes = (10, 40, 80)
    found = learning_curves(family, x, targets, sizes, n_test=30, seeds=(0, 7), ridge=1e-3)
    assert found.errors.shape == (4, 2, 3, *targets.shape[1:])
    for i, k in enumerate(family):
        for j, seed in enumerate((0, 7)):
            order = np.random.default_rng(seed).permutation(120)
            train, test = order[:80], order[80:110]
            alone = nested_predictions(k, x[train], targets[train], x[test], sizes, 1e-3)
            error = alone.mean_square_error(targets[test])
            np.testing.assert_allclose(found.errors[i, j], error, rtol=1e-12)
            assert found.condition[i, j] == pytest.approx(alone.factor.condition)


def test_a_sweep_reports_jitter_and_names_what_is_wrong():
    close = np.linspace(0, 1, 80)[:, None]
    family = [laplace(1.0), gaussian(3.0)]
    sweep = {"n_test": 20, "seeds": range(3)}
    found = learning_curves(family, close, close[:, 0], (30, 60), **sweep)
    assert np.all(found.jitter[0] == 0)
    assert np.all(found.jitter[1] > 0)
    with pytest.raises(ValueError, match="sizes must increase, from 1 to 60"):
        learning_curves(family, close, close[:, 0], (30, 61), **sweep)
    with pytest.raises(ValueError, match="kernels: 0 given; allowed: 1 and more"):
        learning_curves([], close, close[:, 0], (30,), **sweep)
    with pytest.raises(ValueError, match="coincide"):
        learning_curves(family, 0 * close, close[:, 0], (30,), **sweep)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="sizes must increase"):
        nested_predictions(laplace(1.0), x, Z, x_test, (30, 5))
    with pytest.raises(ValueError, match="Z must be"):
        nested_predictions(laplace(1.0), x, Z[:5], x_test, (5,))
    squares = square_distances(x_test), square_distances(x, x_test)
    with pytest.raises(ValueError, match=r"squares: shapes \(50, 50\) and \(120, 50\) given"):
        nested_predictions(laplace(1.0), x, Z, x_test, (120,), squares=squares)
    with pytest.raises(ValueError, match=r"k must be \(120, m\)"):
        margin_machine(laplace(1.0), x, np.sign(Z[:, 0])).output(x_test)
    with pytest.raises(ValueError, match="ridge"):
        factorize(laplace(1.0), x, -1.0)
    with pytest.raises(ValueError, match="labels -1 and 1"):
        margin_machine(laplace(1.0), x, np.ones(120))


@pytest.mark.parametrize("kind", [np.int64, torch.tensor])
def test_integers_of_numpy_and_torch_are_integers(kind):
    expected = random_points("sphere", 40, 2, 3)
    np.testing.assert_array_equal(random_points("sphere", kind(40), kind(2), kind(3)), expected)
    found = nested_predictions(laplace(1.0), x, Z, x_test, [kind(5), kind(30)])
    assert found.sizes == (5, 30)
    lattice = Lattice(kind(8), kind(1))
    assert (type(lattice.side), lattice.refined(kind(2)).n) == (int, 16)
    assert sample_field(laplace(1.0), x, kind(2), kind(0)).shape == (120, 2)


def test_numbers_that_are_no_integers_are_refused():
    with pytest.raises(ValueError, match=r"sizes: 5.5 given; allowed: an integer"):
        nested_predictions(laplace(1.0), x, Z, x_test, (5.5, 30))
    with pytest.raises(ValueError, match=r"n: 40.0 given; allowed: an integer >= 1"):
        random_points("sphere", 40.0, 2, 3)
    with pytest.raises(ValueError, match="seed: None given; allowed: an integer >= 0"):
        random_points("sphere", 40, 2, None)
    with pytest.raises(ValueError, match="side: True given; allowed: an integer >= 2"):
        Lattice(True, 1)

import math
import time

import numpy as np
import pytest

from symscape.kernels import Lattice, gaussian, laplace, lattice_error, matern


def periodic(kernel, x, images=40):
    """The kernel made periodic with period 1, by its images."""
    m = np.arange(-images, images + 1)
    return kernel.radial(np.abs(np.asarray(x)[..., None] + m)).sum(axis=-1)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [
        (laplace(0.3), laplace(0.3)),
        (matern(1.5, 0.3), laplace(0.2)),
        (laplace(0.4), matern(1.5, 0.1)),
    ],
)
def test_sum_over_frequencies_is_the_dense_computation_averaged_over_the_cell(teacher, student):
    side = 12
    grid = np.arange(side) / side
    node, weight = np.polynomial.legendre.leggauss(16)
    x_test = (node + 1) / 2 / side  # all cells are alike
    K_S = periodic(student, grid[:, None] - grid)
    K_T = periodic(teacher, grid[:, None] - grid)
    k_S, k_T = (periodic(k, grid[:, None] - x_test) for k in (student, teacher))
    a = np.linalg.solve(K_S, k_S)
    errors = periodic(teacher, np.zeros(1))[0] + np.sum(a * (K_T @ a - 2 * k_T), axis=0)
    assert lattice_error(teacher, student, side, 1) == pytest.approx(
        float(errors @ weight) / 2, rel=2e-4
    )


def test_alias_sum_of_laplace_is_the_closed_one():
    sigma, side = 0.3, 16
    delta, a = 1 / side, 1 / sigma
    w = 2 * math.pi * (np.arange(side) - side // 2)
    closed = (
        2 / sigma * delta / (2 * a) * np.sinh(a * delta) / (np.cosh(a * delta) - np.cos(w * delta))
    )
    # by Poisson's formula it is the transform of the periodic kernel on the lattice
    K = periodic(laplace(sigma), np.arange(side) / side)
    np.testing.assert_allclose(np.fft.fftshift(np.fft.fft(K).real) * delta, closed, rtol=1e-12)
    # for equal kernels the error is K(0) - sum (K^2)^* / K^*, here with a closed K^*
    m = 2 * math.pi * side * np.arange(-3000, 3001)
    squares = np.square(laplace(sigma).spectrum(w[:, None] + m, 1)).sum(axis=1)
    assert lattice_error(laplace(sigma), laplace(sigma), side, 1) == pytest.approx(
        float((closed - squares / closed).sum()), rel=1e-6
    )


@pytest.mark.parametrize(
    ("d", "teacher", "student", "beta"),
    [
        (1, laplace(0.3), laplace(0.3), 1.0),
        (1, gaussian(0.15), laplace(0.3), 4.0),
        (1, laplace(0.3), gaussian(0.1), 1.0),
        (1, matern(1.0, 0.3), laplace(0.3), 2.0),
        (2, laplace(0.3), laplace(0.3), 0.5),
    ],
)
def test_exponents_of_theorem_1(d, teacher, student, beta):
    sides = (128, 256) if d == 1 else (16, 32)
    low, high = (lattice_error(teacher, student, side, d) for side in sides)
    assert math.log(low / high) / math.log(2) / d == pytest.approx(beta, abs=0.02)


def test_a_gaussian_student_is_exact_where_its_spectrum_is_below_all_numbers():
    # Frequencies at the edge of the zone and their aliases share the signal however small both are.
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 30
    side, sigma, length = 128, 0.3, 0.3
    student = lambda w: mp.exp(-((sigma * w) ** 2) / 2)  # noqa: E731
    teacher = lambda w: 2 * length / (1 + (length * w) ** 2)  # noqa: E731
    delta, a, exact = mp.mpf(1) / side, 1 / mp.mpf(length), mp.mpf(0)
    assert gaussian(sigma).spectrum(math.pi * side, 1) == 0
    for i in range(-side // 2, side // 2):
        w = 2 * mp.pi * i
        T_all = delta * mp.sinh(a * delta) / (mp.cosh(a * delta) - mp.cos(w * delta))
        near = [w + 2 * mp.pi * side * m for m in range(-3, 4)]
        S = [student(v) for v in near]
        cross = sum(teacher(v) * s for v, s in zip(near, S)) / sum(S)
        exact += T_all - 2 * cross + T_all * sum(s * s for s in S) / sum(S) ** 2
    found = lattice_error(laplace(length), gaussian(sigma), side, 1)
    assert found == pytest.approx(float(exact), rel=1e-9)


def test_a_lattice_refuses_a_student_that_float64_cannot_hold():
    with pytest.raises(ValueError, match="is singular in float64"):
        Lattice(64, 1).teacher_error(laplace(0.3), gaussian(0.3))


def test_small_errors_are_accurate():
    # exponentially small, far below epsilon: log of the error is proportional to n^2
    errors = [lattice_error(gaussian(0.3), gaussian(0.3), side, 1) for side in (8, 16, 24)]
    assert errors[-1] < 1e-40
    ratio = math.log(errors[2]) / math.log(errors[1])
    assert ratio == pytest.approx(2.25, abs=0.05)


def test_bayes_optimality_on_the_lattice():
    best = lattice_error(matern(1.0, 0.3), matern(1.0, 0.3), 16, 1)
    for student in (laplace(0.3), matern(2.0, 0.3), matern(1.0, 0.1)):
        assert lattice_error(matern(1.0, 0.3), student, 16, 1) > best


def test_fft_agrees_with_the_dense_solve():
    lattice, k = Lattice(64, 2), laplace(0.5)
    Z = lattice.sample(k, seed=0)
    a = lattice.solve(k, Z)
    dense = np.linalg.solve(k(lattice.points()), Z.ravel())
    assert np.abs(a.ravel() - dense).max() < 1e-9 * np.abs(dense).max()
    np.testing.assert_allclose(lattice.predict(k, a), Z, atol=1e-9)


@pytest.mark.parametrize(("side", "d"), [(7, 1), (6, 2), (5, 3), (4, 3)])
def test_prediction_between_the_points_and_the_exact_error(side, d):
    lattice, teacher, student = Lattice(side, d, 2.0), laplace(0.7), matern(1.5, 0.5)
    fine = lattice.refined(2)
    Z = lattice.sample(teacher, seed=1, count=2)
    prediction = lattice.predict(student, lattice.solve(student, Z), 2)
    x, x_fine = lattice.points(), fine.points()
    a = np.linalg.solve(student(x), Z.reshape(2, -1).T)
    np.testing.assert_allclose(prediction.reshape(2, -1).T, student(x_fine, x) @ a, atol=1e-9)
    K_S, k_S, k_T = student(x), student(x, x_fine), teacher(x, x_fine)
    weights = np.linalg.solve(K_S, k_S)
    errors = 1 + np.sum(weights * (teacher(x) @ weights - 2 * k_T), axis=0)
    assert lattice.teacher_error(teacher, student, 2) == pytest.approx(errors.mean(), rel=1e-9)


def test_sampled_fields_have_the_covariance():
    lattice, k = Lattice(6, 2), laplace(0.4)
    fields = lattice.sample(k, seed=2, count=20_000).reshape(20_000, -1)
    np.testing.assert_allclose(fields.T @ fields / 20_000, k(lattice.points()), atol=0.05)
    np.testing.assert_array_equal(lattice.sample(k, 2), lattice.sample(k, 2))


def test_a_million_points():
    lattice, k = Lattice(1024, 2), laplace(0.5)
    start = time.process_time()
    a = lattice.solve(k, lattice.sample(k, seed=0))
    assert time.process_time() - start < 5  # 0.3 s where nothing else runs
    assert a.shape == (1024, 1024)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="d: 4 given; allowed: an integer from 1 to 3"):
        lattice_error(laplace(1), laplace(1), 4, 4)
    with pytest.raises(ValueError, match="give a ridge"):
        Lattice(64, 1).solve(gaussian(1.0), np.ones(64))
    with pytest.raises(ValueError, match="shape"):
        Lattice(8, 2).solve(laplace(1.0), np.ones(8))
    with pytest.raises(ValueError, match="side"):
        Lattice(1, 2)
    with pytest.raises(ValueError, match="refine"):
        Lattice(4, 1).teacher_error(laplace(1), laplace(1), 1)

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symscape.kernels import (
    Modes,
    density_exponent,
    effective_dimension,
    eigenvalue_exponent,
    exponent_of,
    gaussian,
    gram_spectrum,
    in_rkhs,
    laplace,
    leading_eigenvalues,
    learning_exponent,
    matern,
    nearest_distances,
    power_law_modes,
    random_points,
    sample_field,
    self_consistent_curve,
    smoothness_index,
    spectral_exponent,
    sphere_distance,
    sphere_modes,
    tail_exponent,
    teacher_errors,
)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_cases_of_theorem_1(d):
    assert exponent_of(laplace(1), laplace(1), d) == pytest.approx(1 / d)
    assert exponent_of(gaussian(1), laplace(1), d) == pytest.approx(2 * (1 + 1 / d))
    assert exponent_of(laplace(1), gaussian(1), d) == pytest.approx(1 / d)
    assert exponent_of(gaussian(1), gaussian(1), d) == math.inf
    assert smoothness_index(exponent_of(matern(3.0, 1), gaussian(1), d), d) == pytest.approx(3.0)
    assert not in_rkhs(d + 1.0, d + 1.0, d)  # never in the space of its own kernel


@given(st.integers(1, 10), st.floats(0.1, 30), st.floats(0.1, 30))
def test_spectral_exponent_is_theorem_1(d, excess_T, excess_S):
    alpha_T, alpha_S = d + excess_T, d + excess_S
    theta, q = density_exponent(alpha_S, d), alpha_T / alpha_S - 1
    assert spectral_exponent(q, theta) == pytest.approx(learning_exponent(alpha_T, alpha_S, d))


def test_density_exponents_of_figure_9():
    assert density_exponent(16, 15) == 1.9375
    assert density_exponent(36, 35) == pytest.approx(1.97222, abs=1e-5)


@pytest.mark.parametrize(("alpha_T", "alpha_S", "d"), [(2, 2, 1), (6, 2, 1), (3, 3, 2), (4, 4, 3)])
def test_self_consistent_curve_has_the_exponent_of_theorem_1(alpha_T, alpha_S, d):
    modes = power_law_modes(alpha_T, alpha_S, d, decades=16)
    low, high = self_consistent_curve(modes, [1e5, 1e6])
    beta = learning_exponent(alpha_T, alpha_S, d)
    assert math.log10(low / high) == pytest.approx(beta, abs=0.01)


def test_gathered_modes_stand_for_single_ones():
    rank = np.arange(1, 200_001.0)
    single = Modes(rank**-2.0, rank**-3.0)
    gathered = power_law_modes(3, 2, 1, decades=math.log10(200_000))
    n = [10, 100, 1000]
    np.testing.assert_allclose(
        self_consistent_curve(gathered, n), self_consistent_curve(single, n), rtol=1e-3
    )


def test_self_consistent_curve_is_exact_for_gaussian_features():
    rng = np.random.default_rng(0)
    rank = np.arange(1, 401.0)
    lam, power = rank**-1.5, rank**-2.5
    predicted = self_consistent_curve(Modes(lam, power), [20, 60])
    errors = []
    for _ in range(60):
        psi, psi_test = rng.standard_normal((60, 400)), rng.standard_normal((200, 400))
        weights = np.sqrt(power) * rng.choice([-1, 1], 400)
        line = []
        for n in (20, 60):
            a = np.linalg.solve(psi[:n] * lam @ psi[:n].T, psi[:n] @ weights)
            line.append(np.square(psi_test * lam @ psi[:n].T @ a - psi_test @ weights).mean())
        errors.append(line)
    sigma = np.std(errors, axis=0) / math.sqrt(60)
    assert np.all(np.abs(np.mean(errors, axis=0) - predicted) < 0.02 * predicted + 4 * sigma)


def test_gram_spectrum_has_its_sums_and_agrees_with_lanczos():
    x = random_points("sphere", 200, 2, 0)
    Z = np.where(x[:, 0] > 0, 1.0, -1.0)
    found = gram_spectrum(laplace(1.0), x, Z)
    assert found.tail[0] == pytest.approx(200)
    assert np.all(np.diff(found.tail) <= 1e-12)
    assert found.eigenvalues.sum() == pytest.approx(1.0)
    assert np.all(np.diff(found.eigenvalues) <= 0)
    np.testing.assert_allclose(leading_eigenvalues(laplace(1.0), x, 10), found.eigenvalues[:10])


def test_exponents_from_data_on_the_sphere():
    spectra = []
    for seed in range(3):
        x = random_points("sphere", 1200, 2, seed)
        Z = sample_field(matern(1.5, 2.0), x, 1, 100 + seed)[:, 0]
        spectra.append(gram_spectrum(laplace(2.0), x, Z))
    tail, eigenvalues = tail_exponent(spectra, (30, 150)), eigenvalue_exponent(spectra, (30, 150))
    assert tail.exponent == pytest.approx(-1.5, abs=0.25)
    assert eigenvalues.exponent == pytest.approx(-1.5, abs=0.08)
    assert 0 < tail.statistical < 0.3


@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_nearest_distances_on_spheres(d):
    sizes = (250, 1000)
    found = np.mean(
        [nearest_distances(random_points("sphere", 1000, d, s), sizes, 250, s) for s in range(8)],
        axis=0,
    )
    # a mean of 2000 distances, the worst of which, d = 1, have a spread as large as their mean
    np.testing.assert_allclose(found, sphere_distance(sizes, d), rtol=0.1 if d == 1 else 0.05)


def test_sphere_distance_tends_to_its_asymptote():
    for d in (1, 2, 5):
        c = math.gamma((d + 1) / 2) / (math.sqrt(math.pi) * d * math.gamma(d / 2))
        asymptote = math.gamma(1 + 1 / d) * (1e8 * c) ** (-1 / d)
        assert sphere_distance(1e8, d) == pytest.approx(asymptote, rel=5e-3)
    # two points: the mean chord of the circle is 4 / pi
    assert sphere_distance(2, 1) == pytest.approx(4 / math.pi, rel=1e-4)


@pytest.mark.parametrize("d", [2, 5, 15])
def test_effective_dimension_of_a_sphere_in_a_larger_space(d):
    n = (250, 500, 1000, 2000)
    rng = np.random.default_rng(0)
    curves = []
    for seed in range(4):
        x = 7.0 * random_points("sphere", 2000, d, seed)
        rotation = np.linalg.qr(rng.standard_normal((40, 40)))[0][: d + 1]
        curves.append(nearest_distances(x @ rotation, n, 250, seed))
    found = effective_dimension(n, curves)
    assert found.d.value == pytest.approx(d, rel=0.15)
    assert abs(found.d.value - d) < 4 * found.d.error
    exact = effective_dimension(n, 3 * sphere_distance(n, d))
    assert (exact.d.value, exact.misfit) == (pytest.approx(d, rel=1e-3), pytest.approx(0, abs=1e-4))


def test_outside_of_a_formula_is_named():
    with pytest.raises(ValueError, match="alpha_T must be above d"):
        learning_exponent(2.0, 3.0, 2)
    with pytest.raises(ValueError, match="allowed: an integer >= 1"):
        learning_exponent(2.0, 3.0, 0)
    with pytest.raises(ValueError, match="theta must be in"):
        spectral_exponent(1.0, 2.5)
    with pytest.raises(ValueError, match="q must be above"):
        spectral_exponent(-0.9, 1.5)
    with pytest.raises(ValueError, match="beta must not"):
        smoothness_index(-1, 2)
    with pytest.raises(ValueError, match="alpha_S must be finite"):
        in_rkhs(math.inf, math.inf, 1)
    with pytest.raises(ValueError, match="number of modes"):
        self_consistent_curve(Modes(np.ones(3), np.ones(3)), 5)
    with pytest.raises(ValueError, match="spectra must be"):
        tail_exponent([])
    with pytest.raises(ValueError, match="allowed: an integer >= 2"):
        nearest_distances(np.ones((3, 1)), (1, 2), 1, 0)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("kernel", [laplace(1.5), matern(1.3, 0.7), gaussian(0.8)])
def test_modes_of_the_sphere_add_up_to_the_kernel(kernel, d):
    modes = sphere_modes(kernel, kernel, d)
    assert modes.multiplicity[1] == pytest.approx(d + 1)  # the coordinates
    weight = modes.multiplicity * modes.eigenvalues
    assert weight.sum() == pytest.approx(1, abs=1e-6)
    theta = np.array([0.4, 1.5, math.pi])
    degrees = min(1000, len(weight))
    P = np.ones((degrees, len(theta)))  # Gegenbauer polynomials, 1 at theta = 0
    P[1] = np.cos(theta)
    for k in range(1, degrees - 1):
        P[k + 1] = ((2 * k + d - 1) * P[1] * P[k] - k * P[k - 1]) / (k + d - 1)
    found = weight[:degrees] @ P
    np.testing.assert_allclose(found, kernel.radial(2 * np.sin(theta / 2)), atol=2e-3)


def test_eigenvalues_of_the_sphere_are_those_of_a_gram_matrix():
    student = laplace(1.0)
    modes = sphere_modes(matern(1.5, 1.0), student, 2)
    x = random_points("sphere", 1500, 2, 0)
    spectrum = gram_spectrum(student, x, x[:, 0]).eigenvalues
    expected = np.repeat(modes.eigenvalues[:5], [1, 3, 5, 7, 9])
    np.testing.assert_allclose(spectrum[:25], expected, rtol=0.15)


def test_random_points_have_the_learning_curve_of_the_modes_of_the_sphere():
    d, sizes = 8, (64, 128, 256)
    x, x_test = (random_points("sphere", n, d, seed) for seed, n in enumerate((256, 300)))
    found = teacher_errors(laplace(8.0), laplace(8.0), x, x_test, sizes).values
    modes = sphere_modes(laplace(8.0), laplace(8.0), d)
    np.testing.assert_allclose(found, self_consistent_curve(modes, sizes), rtol=0.03)
    # Far from 1/8 at such n, and close to it at the n that nobody can solve for.
    far = self_consistent_curve(modes, [1e12, 2e12])
    assert np.log2(found[1] / found[2]) > 1.4 / d
    assert np.log2(far[0] / far[1]) == pytest.approx(1 / d, rel=0.01)


def test_a_sphere_has_at_least_one_dimension():
    with pytest.raises(ValueError, match="d: 0 given; allowed: an integer >= 1"):
        sphere_modes(laplace(1.0), laplace(1.0), 0)

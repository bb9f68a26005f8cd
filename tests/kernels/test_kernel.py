import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gamma as Gamma
from scipy.special import kv

from symscape.kernels import gaussian, laplace, matern, named, square_distances

R = np.array([0.0, 1e-12, 1e-4, 0.03, 0.7, 2.0, 9.0])


@pytest.mark.parametrize(
    ("nu", "formula"),
    [
        (0.5, lambda z: np.exp(-z)),
        (1.5, lambda z: (1 + z) * np.exp(-z)),
        (2.5, lambda z: (1 + z + z**2 / 3) * np.exp(-z)),
    ],
)
def test_closed_forms_of_half_integer_orders(nu, formula):
    z = math.sqrt(2 * nu) * R / 1.7
    np.testing.assert_allclose(matern(nu, 1.7).radial(R), formula(z), rtol=1e-13)
    # and the general expression near it, which is continuous in nu
    np.testing.assert_allclose(matern(nu + 1e-9, 1.7).radial(R), formula(z), rtol=1e-7)


@pytest.mark.parametrize(
    "kernel", [laplace(2.0), gaussian(2.0), matern(0.25, 2.0), matern(3.0, 2.0)]
)
def test_a_name_gives_its_kernel(kernel):
    assert named(kernel.name, 2.0) == kernel


@pytest.mark.parametrize("name", ["Laplace", "matern", "matern-", "matern-x", "matern--1"])
def test_another_name_is_refused(name):
    with pytest.raises(ValueError, match=f"name: '{name}' given; allowed"):
        named(name, 1.0)


def test_laplace_and_gaussian_are_the_ends_of_the_family():
    np.testing.assert_allclose(laplace(0.6).radial(R), np.exp(-R / 0.6), rtol=1e-14)
    np.testing.assert_allclose(gaussian(0.6).radial(R), np.exp(-0.5 * (R / 0.6) ** 2), rtol=1e-14)
    far = [
        np.abs(matern(nu, 1.0).radial(R) - gaussian(1.0).radial(R)).max() for nu in (25, 50, 100)
    ]
    assert 0.45 < far[1] / far[0] < 0.55
    assert 0.45 < far[2] / far[1] < 0.55
    assert far[2] < 2e-3
    assert (laplace(1).name, gaussian(1).name, matern(1.5, 1).name) == (
        "laplace",
        "gaussian",
        "matern-1.5",
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 30), st.floats(0.1, 10), st.floats(1e-3, 20))
def test_any_order_agrees_with_the_bessel_function(nu, sigma, r):
    z = math.sqrt(2 * nu) * r / sigma
    assume(z < 600)  # beyond, kv underflows before the power of z is there
    value = 2 ** (1 - nu) / Gamma(nu) * z**nu * kv(nu, z)
    assert matern(nu, sigma).radial(r) == pytest.approx(value, rel=1e-9, abs=1e-300)
    assert matern(nu, sigma).radial(0.0) == 1.0


def test_values_that_are_smaller_than_the_bessel_function_can_be():
    # with 40 digits, mpmath: 2^(1 - nu) / Gamma(nu) z^nu K_nu(z)
    assert matern(12.0, 0.1015625).radial(15.0) == pytest.approx(7.6277690640468e-293, rel=1e-9)


@pytest.mark.parametrize("k", [laplace(0.8), matern(1.3, 0.8), matern(3.0, 0.8), gaussian(0.8)])
def test_input_derivatives_are_those_of_finite_differences(k):
    rng = np.random.default_rng(0)
    x, y, h = rng.random((3, 2)), rng.random((4, 2)) + 1.1, 1e-5
    for i in range(2):
        e = h * np.eye(2)[i]
        numeric = (k(x + e, y) - k(x - e, y)) / (2 * h)
        np.testing.assert_allclose(k.gradient(x, y)[..., i], numeric, atol=1e-9)
        mixed = (k.gradient(x, y + e) - k.gradient(x, y - e)) / (2 * h)
        np.testing.assert_allclose(k.mixed_derivative(x, y)[..., i], mixed, atol=1e-8)


def test_gradient_field_has_the_variance_of_lemma_2():
    # -K''(0): nu/(nu-1)/sigma^2 for Matern, 1/sigma^2 for the Gaussian
    x = np.zeros((1, 2))
    for nu in (1.5, 2.5, 7.0):
        found = matern(nu, 0.7).mixed_derivative(x, x)[0, 0]
        np.testing.assert_allclose(found, nu / (nu - 1) / 0.49 * np.eye(2), rtol=1e-10)
    np.testing.assert_allclose(gaussian(0.7).mixed_derivative(x, x)[0, 0], np.eye(2) / 0.49)
    np.testing.assert_allclose(matern(1.5, 1.0).gradient(x, x), 0)


@pytest.mark.parametrize("k", [laplace(0.8), matern(1.3, 0.8), gaussian(0.8)])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_spectrum_integrates_to_the_value_at_zero(k, d):
    # K(0) = (2 pi)^-d times the integral of the spectrum, over shells of area S_d w^(d-1)
    shell = 2 * math.pi ** (d / 2) / Gamma(d / 2)
    total, _ = quad(lambda t: t ** (d - 1) * k.spectrum(t, d) * shell, 0, math.inf, limit=400)
    assert total / (2 * math.pi) ** d == pytest.approx(1.0, rel=1e-5)


def test_spectrum_is_the_fourier_transform_and_decays_with_alpha():
    k = matern(1.3, 0.8)
    value, _ = quad(lambda r: 2 * float(k.radial(r)), 0, 60, weight="cos", wvar=2.5)
    assert k.spectrum(2.5, 1) == pytest.approx(value, rel=1e-6)
    for d in (1, 3):
        slope = math.log(k.spectrum(2e5, d) / k.spectrum(1e5, d)) / math.log(2)
        assert slope == pytest.approx(-k.alpha(d), abs=1e-6)
    assert laplace(1).alpha(3) == 4
    assert gaussian(1).alpha(3) == math.inf


def test_gram_matrices_are_symmetric_with_unit_diagonal_far_from_the_origin():
    x = 1e6 + np.random.default_rng(1).random((40, 3))
    K = laplace(1.0)(x)
    np.testing.assert_array_equal(np.diag(K), 1.0)
    exact = np.sqrt(np.square(x[:, None] - x[None]).sum(-1))
    np.testing.assert_allclose(K, np.exp(-exact), atol=1e-9)
    assert square_distances(x, x).min() >= 0


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="nu must be positive"):
        matern(0.0, 1.0)
    with pytest.raises(ValueError, match="at most 100"):
        matern(2000.0, 1.0)
    with pytest.raises(ValueError, match="sigma must be"):
        laplace(-1.0)
    with pytest.raises(ValueError, match="coincide"):
        laplace(1.0).gradient(np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="nu > 1"):
        matern(1.0, 1.0).mixed_derivative(np.zeros((1, 2)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="coordinates"):
        laplace(1.0)(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="finite"):
        laplace(1.0)(np.array([[np.nan]]))
    with pytest.raises(ValueError, match="d: 0 given; allowed: an integer >= 1"):
        laplace(1.0).alpha(0)

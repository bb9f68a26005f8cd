import math

import numpy as np
import pytest

from symscape.kernels import (
    Moments,
    Target,
    activation_moments,
    asymptotic_error,
    relu,
    simulate_random_features,
)

RELU = activation_moments(relu)


def test_moments_of_relu():
    assert RELU.mean == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-12)
    assert RELU.linear == pytest.approx(0.5, rel=1e-12)
    assert RELU.rest**2 == pytest.approx(0.25 - 1 / (2 * math.pi), rel=1e-12)
    with pytest.raises(ValueError, match="nonlinear"):
        activation_moments(lambda z: 2 * z)


@pytest.mark.parametrize(("h_per_d", "ridge"), [(1.0, 0.0), (2.0, 1e-2), (6.0, 0.0), (6.0, 0.1)])
def test_formula_agrees_with_simulations_of_growing_size(h_per_d, ridge):
    target = Target(1.0, 0.3, 0.1)
    deviations = []
    for d, seeds in ((20, 16), (120, 6)):
        runs = [
            simulate_random_features(d, [round(h_per_d * d)], 3 * d, ridge, target, s, ensemble=4)
            for s in range(seeds)
        ]
        exact = [asymptotic_error(h_per_d, 3.0, ridge, target, RELU, e) for e in (1, 4)]
        values = np.log(np.array(runs)[:, :, 0] / exact)
        deviations.append((values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(seeds)))
    large, error = deviations[1]
    assert np.all(np.abs(large) < 0.03 + 4 * error)
    assert np.abs(large).max() < np.abs(deviations[0][0]).max() + 3 * error.max()


def test_peak_at_the_interpolation_threshold_only_for_single_networks():
    target = Target(1.0, 0.0, 0.1)
    h = np.array([0.5, 2.0, 2.97, 3.03, 4.5, 30.0])
    single = [asymptotic_error(v, 3.0, 0.0, target, RELU) for v in h]
    assert np.argmax(single) in (2, 3)
    assert max(single) > 10 * single[1]
    assert single[-1] < single[1]
    mean = [asymptotic_error(v, 3.0, 0.0, target, RELU, math.inf) for v in h[3:]]
    np.testing.assert_allclose(mean, mean[-1], rtol=1e-6)  # flat beyond the threshold
    assert mean[-1] == pytest.approx(asymptotic_error(1e5, 3.0, 0.0, target, RELU), rel=1e-3)


@pytest.mark.parametrize("psi", [1 / 3, 1.0, 3.0, 30.0])
def test_the_ridgeless_peak_is_infinite_and_positive_from_both_sides(psi):
    target = Target(1.0, 0.0, 0.1)
    assert asymptotic_error(psi, psi, 0.0, target, RELU) == math.inf
    assert asymptotic_error(psi, psi, 0.0, target, RELU, 10) == math.inf
    assert asymptotic_error(psi, psi, 0.0, Target(0.0, 0.0, 0.0), RELU) == 0
    assert math.isfinite(asymptotic_error(psi, psi, 0.0, target, RELU, math.inf))
    for side in (-1, 1):
        near = [
            asymptotic_error(psi * (1 + side * e), psi, 0.0, target, RELU) * e
            for e in (1e-6, 1e-9, 1e-12)
        ]
        np.testing.assert_allclose(near, near[0], rtol=1e-2)  # a pole of first order


@pytest.mark.parametrize("activation", [np.abs, np.square], ids=["abs", "square"])
def test_even_activations_learn_nothing_linear(activation):
    moments = activation_moments(activation)
    almost = Moments(moments.mean, 1e-4, moments.rest)
    for ensemble in (1, 10, math.inf):
        error = asymptotic_error(2.0, 3.0, 0.1, Target(), moments, ensemble)
        limit = asymptotic_error(2.0, 3.0, 0.1, Target(), almost, ensemble)
        assert error == pytest.approx(limit, rel=1e-6)
    assert error == pytest.approx(1.0)  # very many networks: what is not learned, no fluctuations


def test_tiny_ridges_are_continuous_with_none():
    target = Target(1.0, 0.0, 0.1)
    for psi1, psi2 in ((5.0, 0.01), (0.05, 0.02), (0.01, 0.02), (7.0, 3.0)):
        for ensemble in (1, math.inf):
            bare = asymptotic_error(psi1, psi2, 0.0, target, RELU, ensemble)
            for ridge in (1e-13, 1e-12, 1e-10):
                value = asymptotic_error(psi1, psi2, ridge, target, RELU, ensemble)
                assert value == pytest.approx(bare, rel=1e-4)


def test_a_ridge_removes_the_peak_and_a_vanishing_one_changes_nothing():
    target = Target(1.0, 0.0, 0.1)
    assert asymptotic_error(3.0, 3.0, 0.1, target, RELU) < 1
    for h in (1.0, 5.0):
        bare = asymptotic_error(h, 3.0, 0.0, target, RELU)
        assert asymptotic_error(h, 3.0, 1e-9, target, RELU) == pytest.approx(bare, rel=1e-4)
        assert asymptotic_error(h, 3.0, 1e6, target, RELU) == pytest.approx(1.0, rel=1e-3)


def test_error_of_an_ensemble_is_linear_in_its_inverse_size():
    args = (4.0, 3.0, 0.05, Target(1.0, 0.2, 0.1), RELU)
    one, two, many = (asymptotic_error(*args, k) for k in (1, 2, math.inf))
    assert two - many == pytest.approx((one - many) / 2)
    assert one > many > 0


def test_variances_of_the_simulated_target():
    # with an enormous ridge nothing is learned, and the error is the variance of the target
    errors = [
        simulate_random_features(40, [10], 10, 1e12, Target(0.7, 0.5, 0.0), s)[0][0]
        for s in range(60)
    ]
    assert np.mean(errors) == pytest.approx(1.2, rel=0.05)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="positive"):
        asymptotic_error(0.0, 1.0, 0.0, Target(), RELU)
    with pytest.raises(ValueError, match="positive and finite"):
        asymptotic_error(1.0, math.inf, 0.0, Target(), RELU)
    for ridge in (-1.0, math.nan):
        with pytest.raises(ValueError, match="ridge"):
            asymptotic_error(1.0, 1.0, ridge, Target(), RELU)
    for noise in (-1, math.nan):
        with pytest.raises(ValueError, match=r"noise: .+ given; allowed: a finite number >= 0"):
            Target(noise=noise)
    with pytest.raises(ValueError, match="widths: 0 given; allowed: an integer >= 1"):
        simulate_random_features(5, [0], 5, 0.0, Target(), 0)

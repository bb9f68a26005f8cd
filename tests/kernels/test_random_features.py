import math

import numpy as np
import pytest

from symscape.kernels import (
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
    with pytest.raises(ValueError, match="ridge"):
        asymptotic_error(1.0, 1.0, -1.0, Target(), RELU)
    with pytest.raises(ValueError, match="variances"):
        Target(noise=-1)
    with pytest.raises(ValueError, match="1 or more"):
        simulate_random_features(5, [0], 5, 0.0, Target(), 0)

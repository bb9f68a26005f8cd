import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.scaling import (
    cluster_bootstrap,
    constant_test,
    fit_power_law,
    local_exponents,
    student,
)

x = np.geomspace(100, 6400, 7)


def correlated(rng, S, sizes=x, scale=0.1, rho=0.9):
    """Noise of S log curves: neighbors are correlated by rho, as points of one training set are."""
    n = len(sizes)
    covariance = rho ** np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return scale * rng.standard_normal((S, n)) @ np.linalg.cholesky(covariance).T


@settings(max_examples=40)
@given(st.floats(-5, 5), st.floats(1e-3, 1e3), st.integers(1, 6), st.permutations(range(len(x))))
def test_a_power_law_is_found_exactly_in_any_order(b, A, S, order):
    y = A * np.geomspace(1, 2, S)[:, None] * x[list(order)] ** b
    fit = fit_power_law(x[list(order)], y)
    assert fit.exponent == pytest.approx(b, abs=1e-10)
    assert fit.amplitude == pytest.approx(A * math.sqrt(2 if S > 1 else 1), rel=1e-9)
    assert fit.systematic == pytest.approx(0, abs=1e-10)
    assert fit.window == (pytest.approx(100), pytest.approx(6400))
    if S > 1:
        assert fit.statistical == pytest.approx(0, abs=1e-10)
    else:
        assert fit.statistical is None
    np.testing.assert_allclose(fit.predict([1e5]).y, fit.amplitude * 1e5**fit.exponent, rtol=1e-12)


def test_missing_values_do_not_bias_curves_of_different_heights():
    y = np.array([1.0, 50.0, 7.0])[:, None] * x**-0.4
    y[1, :3], y[2, 4:] = np.nan, np.nan
    fit = fit_power_law(x, y)
    assert fit.exponent == pytest.approx(-0.4, abs=1e-12)
    assert fit.n_seeds == 3


def test_only_the_window_is_fitted():
    y = np.where(x < 700, x**-1.0, 700**-0.5 * x**-0.5)
    assert fit_power_law(x, y, window=(800, 1e9)).exponent == pytest.approx(-0.5)
    assert fit_power_law(x, y, window=(0, 600)).n_points == 3


@pytest.mark.parametrize("S", [3, 5, 20])
def test_coverage_of_the_interval_with_correlated_noise(S):
    rng = np.random.default_rng(S)
    trials = 400
    inside = {0.68: 0, 0.95: 0}
    for _ in range(trials):
        fit = fit_power_law(x, np.exp(-0.4 * np.log(x) + correlated(rng, S)), resamples=200)
        for level in inside:
            low, high = fit.interval(level)
            inside[level] += low <= -0.4 <= high
    for level, count in inside.items():
        # three binomial errors of 400 trials, and the rounding of 200 resamples
        assert abs(count / trials - level) < 3 * math.sqrt(level * (1 - level) / trials) + 0.02


def test_the_error_is_exact_where_the_scatter_of_points_underestimates_it():
    rng = np.random.default_rng(0)
    u = np.log(x) - np.log(x).mean()
    weights = u / (u @ u)
    noise = 0.9 ** np.abs(np.subtract.outer(np.arange(len(x)), np.arange(len(x))))
    exact = 0.1 * math.sqrt(weights @ noise @ weights)
    y = np.exp(-0.4 * np.log(x) + correlated(rng, 2000))
    assert fit_power_law(x, y).statistical * math.sqrt(2000) == pytest.approx(exact, rel=0.08)
    covariances = [np.polyfit(np.log(x), np.log(curve), 1, cov=True)[1] for curve in y[:200]]
    assert exact > 1.5 * np.median([math.sqrt(c[0, 0]) for c in covariances])


def test_the_error_of_an_extrapolation_covers_and_grows():
    rng = np.random.default_rng(1)
    target, inside = 1e6, 0
    for _ in range(300):
        fit = fit_power_law(x, np.exp(-0.4 * np.log(x) + correlated(rng, 10)), resamples=200)
        value, error = fit.predict([target])
        inside += abs(math.log(value[0] / target**-0.4)) < 2 * error[0]
    assert inside / 300 > 0.9
    errors = fit.predict([1000.0, 1e5, 1e7]).log_error
    assert np.all(np.diff(errors) > 0)


def test_drift_is_the_systematic_error_of_a_bent_curve():
    bent = x**-0.5 + 0.02
    fit = fit_power_law(x, np.stack([bent, 1.1 * bent, 0.9 * bent]))
    assert fit.statistical == pytest.approx(0, abs=1e-12)
    assert fit.systematic > 0.05
    assert fit.error == pytest.approx(fit.systematic)
    assert fit_power_law(x[:3], bent[:3]).systematic is None


def test_local_exponents():
    y = np.stack([x**-1.0, 3 * x**-1.2])
    found = local_exponents(x, y)
    np.testing.assert_allclose(found.exponent, -1.1)
    np.testing.assert_allclose(found.error, 0.1)  # of two seeds, 0.2 apart
    np.testing.assert_allclose(found.x, np.sqrt(x[1:] * x[:-1]))
    y[0, 0] = np.nan
    assert local_exponents(x, y).exponent[0] == pytest.approx(-1.2)
    assert math.isnan(local_exponents(x, y).error[0])


def test_bootstrap_error_of_a_mean_is_the_standard_error():
    sample = np.random.default_rng(2).standard_normal((12, 3))
    found = cluster_bootstrap(lambda a: float(a.mean()), sample, resamples=20_000)
    exact = sample.mean(axis=1).std(ddof=1) / math.sqrt(12) * student(12)
    assert found.error == pytest.approx(exact, rel=0.03)
    assert found.value == pytest.approx(sample.mean())
    assert cluster_bootstrap(lambda a: float(a.mean()), sample[:1]).error is None


def test_a_constant_is_found_where_there_is_one():
    rng = np.random.default_rng(3)
    for c in (0.02, 0.1):
        y = (2 * x**-0.6 + c) * np.exp(correlated(rng, 12, scale=0.03))
        found = constant_test(x, y)
        assert found.prefers_constant(1e-3)
        assert abs(found.constant - c) < 3 * found.error
        assert found.exponent == pytest.approx(-0.6, abs=0.1)


@pytest.mark.parametrize("c", [-0.005, 0.0, 0.01])
def test_the_constant_of_exact_curves_is_exact(c):
    y = 2 * x**-0.6 + c
    found = constant_test(x, np.stack([y, y, y]))
    assert found.constant == pytest.approx(c, abs=1e-6)
    assert (found.exponent, found.amplitude) == (
        pytest.approx(-0.6, abs=1e-4),
        pytest.approx(2, rel=1e-3),
    )


@pytest.mark.parametrize("b", [0.0, -0.5, 1.0, -3.0])
@pytest.mark.parametrize("heights", [(1, 1, 1), (1, 2, 3)])
def test_rounding_of_exact_power_laws_is_no_constant(b, heights):
    y = 2 * x**b
    found = constant_test(x, np.stack([h * y for h in heights]))
    assert found.p_value > 0.5
    assert not found.prefers_constant()
    bent = np.stack([h * (y + 0.01 * y.min() * (b != 0)) for h in heights])
    assert constant_test(x, bent).prefers_constant() == (b != 0)


def test_p_values_are_uniform_without_a_constant():
    rng = np.random.default_rng(4)
    p = [
        constant_test(x, np.exp(-0.4 * np.log(x) + correlated(rng, 5)), resamples=2).p_value
        for _ in range(300)
    ]
    for level in (0.05, 0.2, 0.5):
        assert abs(np.mean(np.array(p) < level) - level) < 3 * math.sqrt(level / 300)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"y must be \(seeds, n\)"):
        fit_power_law(x, np.ones(3))
    with pytest.raises(ValueError, match="y must be positive"):
        fit_power_law(x, -np.ones(7))
    with pytest.raises(ValueError, match="x must be positive"):
        fit_power_law(-x, np.ones(7))
    with pytest.raises(ValueError, match="window"):
        fit_power_law(x, np.ones(7), window=(1e6, 1e7))
    with pytest.raises(ValueError, match="window must be"):
        fit_power_law(x, np.ones(7), window=(5, 1))
    with pytest.raises(ValueError, match="3 seeds"):
        constant_test(x, np.ones((2, 7)))
    with pytest.raises(ValueError, match="single seed"):
        fit_power_law(x, np.ones(7)).interval()
    with pytest.raises(ValueError, match="samples"):
        cluster_bootstrap(np.mean, np.ones(3), np.ones(4))

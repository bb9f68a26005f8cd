import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.landscape import fit_exponent, log_histogram, p_minus, p_plus


def power_law_runs(exponent, runs, size, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.random(size) ** (1 / (exponent + 1)) for _ in range(runs)]


@settings(max_examples=20)
@given(st.floats(-0.6, 1.0), st.integers(0, 1000))
def test_exponent_of_a_power_law_is_found(exponent, seed):
    runs = power_law_runs(exponent, 12, 1500, seed)
    fit = fit_exponent(runs, (0.03, 0.7), resamples=100)
    assert abs(fit.exponent - exponent) < 6 * fit.error
    assert fit.n_runs == 12
    inside = sum(int(((r >= 0.03) & (r <= 0.7)).sum()) for r in runs)
    assert fit.n_values == inside


def test_error_is_calibrated():
    fits = [fit_exponent(power_law_runs(0.3, 10, 400, s), (0.01, 1.0)) for s in range(60)]
    pulls = np.array([(fit.exponent - 0.3) / fit.error for fit in fits])
    assert 0.7 < pulls.std() < 1.5
    assert abs(pulls.mean()) < 0.6


def test_copies_of_a_run_bring_no_precision():
    # ten runs whose values are copied ten times each: clusters, not independent values
    runs = power_law_runs(0.3, 10, 300, seed=5)
    once = fit_exponent(runs, (0.01, 1.0))
    tenfold = fit_exponent([np.tile(run, 10) for run in runs], (0.01, 1.0))
    assert tenfold.exponent == pytest.approx(once.exponent, rel=1e-9)
    assert tenfold.error == pytest.approx(once.error, rel=1e-6)


def test_one_run_states_the_error_of_independent_values():
    pooled = np.concatenate(power_law_runs(0.3, 10, 400))
    fit = fit_exponent([pooled], (0.01, 1.0))
    assert fit.error_kind == "single run"
    spread = np.std(
        [fit_exponent(power_law_runs(0.3, 1, 4000, s), (0.01, 1.0)).exponent for s in range(40)]
    )
    assert fit.error == pytest.approx(spread, rel=0.4)


def test_overlaps_and_gaps_split_a_run():
    overlaps = np.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    loss = 0.5 * (1 + 9) / 5
    np.testing.assert_allclose(p_plus(overlaps), np.array([1, 3]) / np.sqrt(loss))
    np.testing.assert_allclose(p_minus(overlaps), [0.5, 2])
    assert p_plus(-np.ones(4)).size == 0


def test_rescaled_overlaps_do_not_depend_on_the_unit():
    overlaps = np.random.default_rng(0).normal(size=50)
    np.testing.assert_allclose(p_plus(7.3 * overlaps), p_plus(overlaps))


def test_log_histogram_is_a_density():
    runs = power_law_runs(0.5, 6, 20000)
    histogram = log_histogram(runs, 1e-3, 1.0)
    inside = np.mean(np.concatenate(runs) >= 1e-3)
    assert np.sum(histogram.density * np.diff(histogram.edges)) == pytest.approx(inside)
    exact = np.diff(histogram.edges**1.5) / np.diff(histogram.edges)
    known = histogram.counts > 100
    pulls = (histogram.density - exact)[known] / histogram.error[known]
    assert np.abs(pulls).max() < 6


@pytest.mark.parametrize("window", [(0.0, 1.0), (1.0, 0.1), (0.1, np.inf)])
def test_wrong_windows_are_refused(window):
    with pytest.raises(ValueError, match="window"):
        fit_exponent(power_law_runs(0.3, 2, 100), window)


def test_empty_windows_and_wrong_values_are_refused():
    with pytest.raises(ValueError, match="holds 0 values"):
        fit_exponent(power_law_runs(0.3, 2, 100), (2.0, 3.0))
    with pytest.raises(ValueError, match="positive"):
        fit_exponent([[-1.0, 2.0]], (0.1, 1.0))
    with pytest.raises(ValueError, match="finite"):
        p_plus([np.nan, 1.0])
    with pytest.raises(ValueError, match="at least one value"):
        log_histogram([[], []], 0.1, 1.0)


def test_resamples_that_crowd_at_one_end_are_left_out():
    # a quarter of the resamples of these two runs hold the second's single value alone
    spread = power_law_runs(0.3, 1, 500)[0]
    fit = fit_exponent([spread, [0.01002]], (0.01, 1.0))
    assert fit.n_runs == 2
    assert 0 < fit.error < 0.1


def test_runs_that_crowd_at_one_end_are_refused():
    with pytest.raises(ValueError, match="all values crowd at one end"):
        fit_exponent([np.full(20, 0.01002)] * 2, (0.01, 1.0))
    crowded = [np.full(20, 0.01002), np.full(20, 0.998)]
    with pytest.raises(ValueError, match="of 2 resamples crowd at one end"):
        [fit_exponent(crowded, (0.01, 1.0), resamples=2, seed=seed) for seed in range(20)]

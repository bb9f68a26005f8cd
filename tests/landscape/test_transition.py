import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.landscape import Trial, find_transition, fit_transition, search_width
from symscape.networks import FullyConnected


def weights(h: int) -> float:
    return 10 * h + h * h + h


def sharp(h_star):
    return lambda h, seed: "sat" if h >= h_star else "unsat"


@settings(max_examples=100)
@given(st.integers(1, 80), st.integers(1, 80), st.floats(1.02, 2))
def test_search_finds_a_sharp_transition(h_star, guess, growth):
    trials = search_width(sharp(h_star), 0, guess=guess, h_max=80, growth=growth)
    assert min(t.h for t in trials if t.outcome == "sat") == h_star
    widths = [t.h for t in trials]
    assert len(set(widths)) == len(widths)  # no width is trained twice
    smallest_fit = math.inf
    for trial in trials:
        assert trial.h < smallest_fit  # never above a width known to fit
        if trial.outcome == "sat":
            smallest_fit = trial.h


def test_search_is_cheap():
    worst = max(len(search_width(sharp(h), 0, guess=20, h_max=200)) for h in range(10, 41))
    assert worst <= 7
    assert len(search_width(sharp(20), 0, guess=20, h_max=200, growth=1.05)) == 2


def test_later_seeds_start_from_the_first():
    calls = []

    def fits(h, seed):
        calls.append(seed)
        return sharp(33)(h, seed)

    find_transition(fits, weights, guess=8, h_max=300, seeds=range(4))
    assert all(calls.count(seed) <= 3 for seed in (1, 2, 3))


def test_resolution_stops_early_within_its_bracket():
    for h_star in range(20, 60):
        trials = search_width(sharp(h_star), 0, guess=40, h_max=100, resolution=0.15)
        fit = min(t.h for t in trials if t.outcome == "sat")
        assert h_star <= fit <= h_star * 1.2


def test_sharp_transition_is_found_exactly_with_the_error_of_the_grid():
    found = find_transition(sharp(12), weights, guess=20, h_max=100)
    assert found.N_star == weights(12)
    assert found.error == pytest.approx((weights(12) - weights(11)) / math.sqrt(12))
    assert weights(11) < found.N_half < weights(12)
    assert not found.bound_only
    assert found.h_star == {0: 12, 1: 12, 2: 12}


def test_soft_transition_is_found_within_its_errors():
    rng = np.random.default_rng(0)
    pulls, halves = [], []
    for _ in range(30):

        def fits(h, seed):
            log_odds = 12 * math.log(weights(h) / weights(20))
            return "sat" if rng.random() < 1 / (1 + math.exp(-log_odds)) else "unsat"

        found = find_transition(fits, weights, guess=25, h_max=100, seeds=range(6), resamples=100)
        pulls.append((found.N_star - weights(20)) / found.error)
        halves.append(math.log(found.N_half / weights(20)))
    assert abs(np.mean(pulls)) < 1.0
    assert np.std(pulls) < 2.5
    assert abs(np.mean(halves)) < 0.08


def test_logistic_fit_recovers_midpoint_and_slope():
    rng = np.random.default_rng(1)
    trials = []
    for seed in range(60):
        for h in range(10, 41, 3):
            p = 1 / (1 + math.exp(-5 * math.log(weights(h) / weights(22))))
            trials.append(Trial(h, seed, "sat" if rng.random() < p else "unsat"))
    found = fit_transition(trials, weights)
    low, high = found.N_half_interval
    assert low < found.N_half < high
    assert found.N_half == pytest.approx(weights(22), rel=0.06)
    assert found.slope == pytest.approx(5, rel=0.25)
    assert 0.005 < math.log(high / low) < 0.15


def test_runs_out_of_budget_are_kept_apart():
    def fits(h, seed):
        return "sat" if h >= 20 else "censored"

    found = find_transition(fits, weights, guess=30, h_max=100)
    assert found.N_star == weights(20)
    assert found.bound_only
    assert found.N_half is None  # nothing is known to be unsatisfiable
    assert all(trial.h < 20 for trial in found.censored)


def test_no_fit_gives_no_number():
    found = find_transition(lambda h, seed: "unsat", weights, guess=10, h_max=20)
    assert found.N_star is None
    assert found.error is None
    assert set(found.h_star.values()) == {None}


def test_fit_at_the_smallest_width_is_only_a_bound():
    found = find_transition(lambda h, seed: "sat", weights, guess=10, h_max=20)
    assert found.N_star == weights(1)
    assert found.bound_only


def test_one_neuron_may_fit():
    """No network is narrower: its weights are not asked for, after all the training."""
    found = find_transition(
        lambda h, seed: "sat",
        lambda h: FullyConnected(d=10, h=h, L=1).n_weights,
        guess=np.int64(3),
        h_max=np.int64(20),
    )
    assert found.N_star == 11
    assert found.error == pytest.approx(11 / math.sqrt(12))
    assert set(found.h_star.values()) == {1}


def test_wrong_options_are_refused_before_training():
    def fits(h, seed):
        raise AssertionError("a network was trained")

    with pytest.raises(ValueError, match="resamples: 1 given; allowed: an integer >= 2"):
        find_transition(fits, weights, guess=3, h_max=5, resamples=1)
    with pytest.raises(ValueError, match=r"guess: 2\.5 given; allowed: an integer"):
        find_transition(fits, weights, guess=2.5, h_max=5)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="fits must return"):
        search_width(lambda h, s: "yes", 0, guess=3, h_max=5)
    with pytest.raises(ValueError, match="h_min and h_max"):
        search_width(sharp(3), 0, guess=3, h_max=5, h_min=7)
    with pytest.raises(ValueError, match="seeds"):
        find_transition(sharp(3), weights, guess=3, h_max=5, seeds=[1, 1])
    with pytest.raises(ValueError, match="trials"):
        fit_transition([], weights)

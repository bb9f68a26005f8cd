import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from symscape.landscape import cusps, ks_outside_peak


def fresh_layer(rng, P=2000, h=20):
    return rng.normal(0.3, 1, (P, h))


def even_layer(rng, P=2000, h=20):
    """Like fresh_layer, one value in each quantile: no gap of the density is there by chance."""
    quantiles = (np.arange(P * h) + rng.random(P * h)) / (P * h)
    return rng.permutation(norm.ppf(quantiles, 0.3, 1)).reshape(P, h)


def pinned_layer(rng, count, width=1e-6):
    layer = even_layer(rng)
    chosen = rng.choice(layer.size, count, replace=False)
    # nothing else close to the kink: the gap that a converged run has
    layer[np.abs(layer) < 1e-4] += 1e-3
    layer.flat[chosen] = width * rng.uniform(-1, 1, count)
    return layer


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0, 3, 40, 300]), st.floats(1e-9, 1e-5))
def test_pinned_pairs_are_counted_exactly(seed, count, width):
    rng = np.random.default_rng(seed)
    found = cusps([pinned_layer(rng, max(count, 20), width), fresh_layer(rng)])
    assert found.n_cusps == max(count, 20)
    assert found.layers[1].count == 0
    assert found.layers[1].cut is None
    assert found.masses[0] == max(count, 20) / 40000
    low, high = found.layers[0].gap
    assert low < found.layers[0].cut < high
    assert found.layers[0].stray == 0


def test_no_peak_in_many_fresh_layers():
    rng = np.random.default_rng(0)
    assert cusps([fresh_layer(rng) for _ in range(60)]).n_cusps == 0


def test_exact_zeros_are_a_peak():
    rng = np.random.default_rng(1)
    layer = fresh_layer(rng)
    layer[:50, 0] = 0.0
    assert cusps([layer]).n_cusps == 50


def test_a_nearly_empty_gap_is_enough():
    rng = np.random.default_rng(2)
    layer = pinned_layer(rng, 300, 1e-5)
    layer.flat[np.argsort(np.abs(layer).ravel())[300:305]] = np.geomspace(1.2e-4, 9e-4, 5)
    found = cusps([layer])
    assert 300 <= found.n_cusps <= 302


def test_a_given_cut_counts_what_lies_below():
    rng = np.random.default_rng(3)
    layer = fresh_layer(rng)
    found = cusps([layer], cut=1e-2)
    assert found.n_cusps == int((np.abs(layer) < 1e-2).sum())
    assert found.layers[0].log10_p > -4  # and it is no peak


def test_distance_outside_the_peak():
    rng = np.random.default_rng(4)
    train, fresh = pinned_layer(rng, 2000), fresh_layer(rng)
    assert ks_outside_peak(train, fresh, 1e-3) < 0.02
    assert ks_outside_peak(train, fresh, 0) > ks_outside_peak(train, fresh, 1e-3)
    assert ks_outside_peak(train, fresh + 0.5, 1e-3) > 0.1
    assert ks_outside_peak(train, train, 0.0) == 0


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="at least one layer"):
        cusps([])
    with pytest.raises(ValueError, match="finite"):
        cusps([np.array([1.0, np.nan])])
    with pytest.raises(ValueError, match="cut"):
        cusps([np.ones(3)], cut=0.0)
    with pytest.raises(ValueError, match="no values"):
        ks_outside_peak(np.ones(3), np.ones(3), 2.0)

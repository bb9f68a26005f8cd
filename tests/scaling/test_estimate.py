"""Statistics over seeds: coverage of their errors, closed forms, and what has no number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symscape import scaling
from symscape.scaling import Estimate, NoEstimate

random = np.random.default_rng(0)


def coverage(estimate, truth, draw, trials=2000) -> float:
    """Share of draws whose interval value ± error holds the truth."""
    inside = 0
    for _ in range(trials):
        found = estimate(draw())
        inside += abs(found.value - truth) <= found.error
    return inside / trials


def test_students_factor_makes_the_error_an_interval_of_68_percent() -> None:
    assert [round(scaling.student(n), 2) for n in (2, 3, 4)] == [1.84, 1.32, 1.20]
    assert scaling.student(10_000) == pytest.approx(1, abs=1e-3)
    for n in (2, 3, 8):
        found = coverage(scaling.mean, 1.0, lambda n=n: random.normal(1.0, 0.3, n))
        assert found == pytest.approx(0.6827, abs=0.035)


def test_mean_and_geometric_mean() -> None:
    found = scaling.mean([1.0, 2.0, 3.0, 6.0])
    assert found.value == 3.0
    assert found.error == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2 * scaling.student(4))
    assert scaling.mean([2.0]) == Estimate(2.0, None, "", 1)
    logs = scaling.mean(np.log([1.0, 2.0, 8.0]))
    found = scaling.geometric_mean([1.0, 2.0, 8.0])
    assert found.value == pytest.approx(16 ** (1 / 3))
    assert found.error == pytest.approx(found.value * logs.error)


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [1.0, math.inf]])
def test_missing_values_have_no_mean(bad) -> None:
    for statistic in (scaling.mean, scaling.geometric_mean):
        with pytest.raises(NoEstimate):
            statistic(bad)
    with pytest.raises(NoEstimate, match="positive"):
        scaling.geometric_mean([1.0, 0.0])


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_share_has_an_error_even_at_its_ends(k, rest) -> None:
    n = k + rest
    if n == 0:
        with pytest.raises(NoEstimate):
            scaling.share(k, n)
        return
    found = scaling.share(k, n)
    assert found.value == k / n
    assert found.error >= 0.5 / (n + 1)
    if k == 0:
        assert found.error == pytest.approx(1 / (n + 1))
    # the edges of the interval are the shares from which k / n is one standard error away
    for p in (found.value + found.error, found.value - found.error):
        if 0 < p < 1:
            assert abs(p - k / n) >= math.sqrt(p * (1 - p) / n) - 1e-9


def test_differences_ratios_and_what_follows_from_one_number() -> None:
    a, b = Estimate(3.0, 0.3, "a", 4), Estimate(4.0, 0.4, "b", 2)
    assert scaling.difference(a, b) == Estimate(-1.0, 0.5, "a", 2)
    found = scaling.ratio(a, b)
    assert (found.value, found.error) == (0.75, pytest.approx(0.75 * math.hypot(0.1, 0.1)))
    assert scaling.ratio(a, Estimate(4.0)).error is None
    with pytest.raises(NoEstimate):
        scaling.ratio(a, Estimate(0.0, 0.1))
    assert -a == a.scaled(-1) == Estimate(-3.0, 0.3, "a", 4)
    assert abs(-a) == a
    assert a.shifted(1).value == 4.0
    assert a.noted("More.", "").note == "a More."
    assert scaling.exponential(Estimate(0.0, 0.1)) == Estimate(1.0, 0.1)


def test_spread_names_the_two_panels() -> None:
    panels = {"L = 2": Estimate(1.0, 0.1), "L = 3": Estimate(2.0, 0.1), "L = 5": Estimate(1.5, 9)}
    found = scaling.spread(panels)
    assert (found.value, found.error) == (1.0, pytest.approx(0.1 * math.sqrt(2)))
    assert found.note.startswith("L = 3 less L = 2 (")
    assert scaling.spread(panels, log=True).value == 2.0
    with pytest.raises(NoEstimate):
        scaling.spread({"L = 2": Estimate(1.0, 0.1)})


def test_a_scan_puts_the_drift_into_the_error() -> None:
    def estimate(window):
        if window[1] > 9:
            raise NoEstimate("Empty.")
        return Estimate(window[1], 0.3)

    found = scaling.scan(estimate, [(0.1, 1.0), (0.1, 1.4), (0.1, 10.0)], "Note.")
    assert (found.value, found.error) == (1.0, pytest.approx(0.5))
    assert "[0.1, 1.4]: 1.4" in found.note
    assert "No number in [0.1, 10]" in found.note
    with pytest.raises(NoEstimate, match="drift"):
        scaling.scan(estimate, [(0.1, 1.0)])
    with pytest.raises(NoEstimate, match="Empty"):
        scaling.scan(estimate, [(0.1, 10.0), (0.1, 1.0)])


def test_the_bootstrap_resamples_whole_clusters() -> None:
    # ten equal rows per seed are worth one
    values = random.normal(size=12)
    rows = [(seed, value) for seed, value in enumerate(values) for _ in range(10)]

    def mean(some):
        return float(np.mean([value for _, value in some]))

    found = scaling.bootstrap(rows, mean, by=lambda row: row[0], resamples=4000)
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(scaling.mean(values).error, rel=0.05)
    assert scaling.bootstrap(rows, mean, resamples=400).error < found.error / 2
    assert scaling.bootstrap(rows[:10], mean, by=lambda row: row[0]).error is None


def test_the_bootstrap_names_what_has_no_number() -> None:
    with pytest.raises(NoEstimate):
        scaling.bootstrap([], len)
    with pytest.raises(NoEstimate, match="nan"):
        scaling.bootstrap([1.0, 2.0], lambda some: math.nan)
    # the statistic exists for all items, and for few resamples
    with pytest.raises(NoEstimate, match="resamples"):
        scaling.bootstrap(range(9), lambda some: 1.0 if len(set(some)) == 9 else math.nan)
    some = scaling.bootstrap([1.0, 2.0, 4.0], lambda v: max(v) if len(set(v)) > 1 else math.nan)
    assert "resamples gave no number" in some.note


def test_the_worst_panel_is_the_nearest_to_an_edge_in_its_errors() -> None:
    panels = {"wide": Estimate(0.5, 0.4), "near": Estimate(0.9, 0.01), "far": Estimate(0.5, 0.01)}
    assert scaling.worst(panels, 0.0, 1.0).panel == "wide"
    assert scaling.worst(panels, 0.0, math.inf).panel == "wide"
    assert scaling.worst({**panels, "out": Estimate(2.0, 0.1)}, 0.0, 1.0).panel == "out"
    assert scaling.worst({"a": Estimate(0.2), "b": Estimate(0.9)}, 0.0, 1.0).panel == "b"
    assert scaling.worst({**panels, "none": "No run."}, 0.0, 1.0) == "none: No run."
    with pytest.raises(NoEstimate):
        scaling.worst({}, 0.0, 1.0)


def test_slopes_in_both_axes_and_their_windows() -> None:
    x = np.arange(1.0, 9.0)
    lines = np.array([[1.0], [2.0], [5.0]]) + 3.0 * x
    found = scaling.slope(x, lines, log=False)
    assert (found.value, found.error) == (pytest.approx(3.0), pytest.approx(0.0, abs=1e-12))
    assert scaling.slope(x, lines[0], log=False).error is None
    bent = x**2 * np.array([[1.0], [1.1]])
    assert scaling.slope(x, bent).value == pytest.approx(2.0)
    assert scaling.slope(x, bent, (3, 5), log=False).value == pytest.approx(8 * 1.05)
    assert "drift over windows" in scaling.slope(x, bent, log=False).note
    with pytest.raises(NoEstimate, match="window"):
        scaling.slope(x, bent, (20, 30))
    noisy = 3 * x + random.normal(size=(6, 8))
    assert scaling.slope(x, noisy, log=False).error > 0.01
    decay = scaling.fit_power_law(x, 1 / bent).estimate(decay=True)
    assert decay.value == pytest.approx(2.0)

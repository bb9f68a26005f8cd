import math

import numpy as np
import pytest

from symscape.scaling import NoEstimate, crossing

x = np.geomspace(1e-3, 1e3, 13)


def test_a_power_law_crosses_exactly():
    found = crossing(x, 4.0 * x**-0.5, 1.0)
    assert found.value == pytest.approx(16.0, rel=1e-12)
    assert found.error is None
    # in any order, rising or falling, at a point of the curve itself
    assert crossing(x[::-1], x[::-1] ** 1.3, x[5] ** 1.3).value == pytest.approx(x[5], rel=1e-9)


def test_linear_curves_may_be_negative():
    u = np.linspace(-1, 1, 6)
    assert crossing(u, 2 * u - 0.5, 0.0, log=False).value == pytest.approx(0.25, rel=1e-12)


def test_mean_is_geometric_and_missing_values_are_left_out():
    curves = np.array([[0.5], [2.0]]) * x**-1.0
    assert crossing(x, curves, 1.0).value == pytest.approx(1.0, rel=1e-12)
    curves[:, 3] = np.nan
    assert crossing(x, curves, 1.0).value == pytest.approx(1.0, rel=1e-12)
    with pytest.raises(NoEstimate, match="No run"):
        crossing(x, np.full_like(curves, np.nan), 1.0)


def test_errors_over_seeds_are_those_of_repetition():
    rng = np.random.default_rng(0)

    def measured():
        heights = np.exp(0.3 * rng.standard_normal((8, 1)))
        return crossing(x, heights * x**-1.0, 1.0, resamples=200)

    found = [measured() for _ in range(60)]
    # log x of the crossing is the mean of 8 heights
    spread = np.std([math.log(estimate.value) for estimate in found], ddof=1)
    assert spread == pytest.approx(0.3 / math.sqrt(8), rel=0.3)
    relative = np.median([estimate.error / estimate.value for estimate in found])
    assert relative == pytest.approx(spread, rel=0.35)
    assert found[0].n_seeds == 8


def test_several_crossings_and_none():
    wave = 1.5 + np.sin(np.arange(13))
    found = crossing(x, wave, 1.5)
    assert "crosses 3 times; the first is taken" in found.note
    assert found.value < 0.05
    with pytest.raises(NoEstimate, match=r"does not cross 9; values are 0\.5\d* to 2\.4\d*"):
        crossing(x, wave, 9.0)
    with pytest.raises(NoEstimate, match="does not cross"):
        crossing(x, 1 + (np.log(x)) ** 2, 1.0)


@pytest.mark.parametrize("level", [0.0, -1.0, math.nan, math.inf])
def test_wrong_levels_are_named(level):
    with pytest.raises(ValueError, match="level: "):
        crossing(x, x, level)
    with pytest.raises(ValueError, match="y must be positive"):
        crossing(x, x - 1, 1.0)

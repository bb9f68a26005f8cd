import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.scaling import Curve, fit_collapse

SIZES = (16, 64, 256, 1024)


def curves(p, q, noise=0.0, S=1, seed=0):
    """s^q y = f(s^p x), f with a bend at 1, in a window of s^p x that all sizes share."""
    rng = np.random.default_rng(seed)
    out = []
    for s in SIZES:
        z = np.geomspace(0.05, 20, 25) * s**0.02
        f = z**-0.3 / (1 + z**2)
        y = s**-q * f * np.exp(noise * rng.standard_normal((S, len(z))))
        out.append(Curve(s, z * s**-p, y))
    return out


@settings(max_examples=8, deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5))
def test_exponents_of_a_collapse_are_recovered(p, q):
    found = fit_collapse(curves(p, q))
    assert (found.p, found.q) == (pytest.approx(p, abs=0.01), pytest.approx(q, abs=0.01))
    assert found.residual < 0.01
    assert found.p_error is None


def test_a_known_exponent_is_not_fitted():
    found = fit_collapse(curves(0.5, 0.25), q=0.25)
    assert found.p == pytest.approx(0.5, abs=0.01)
    assert found.q_error == 0.0
    assert found.before > 10 * found.residual


def test_errors_over_seeds_are_those_of_repetition():
    repeated = [
        fit_collapse(curves(0.5, 0.0, 0.2, 6, seed), q=0.0, resamples=20) for seed in range(8)
    ]
    spread = np.std([found.p for found in repeated], ddof=1)
    typical = np.median([found.p_error for found in repeated])
    assert 0.5 < typical / spread < 2  # the spread of 8 has an error of 27 %, the bootstrap too
    assert all(abs(found.p - 0.5) < 5 * typical for found in repeated)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="two positive sizes"):
        fit_collapse(curves(0, 0)[:1])
    with pytest.raises(ValueError, match="both given"):
        fit_collapse(curves(0, 0), p=0.0, q=0.0)
    with pytest.raises(ValueError, match="two values of x"):
        fit_collapse([Curve(1, [1.0], [1.0]), Curve(2, [1.0], [1.0])])
    assert math.isfinite(fit_collapse(curves(0, 0)).before)


def test_curves_that_reach_zero_are_compared_as_they_are():
    rng = np.random.default_rng(0)
    family = []
    for s in SIZES:
        x = np.geomspace(1e-4, 1e4, 25)
        step = 1 / (1 + s**0.5 * x) + 0.01 * rng.standard_normal((5, 25))
        lowest, highest = step.mean(0).min(), step.mean(0).max()
        family.append(Curve(s, x, (step - lowest) / (highest - lowest)))
    with pytest.raises(ValueError, match="y must be positive"):
        fit_collapse(family, q=0.0)
    found = fit_collapse(family, q=0.0, log=False)
    assert found.p == pytest.approx(0.5, abs=0.03)
    assert found.p_error < 0.03
    assert found.residual < 0.03 < found.before
    # s^q y with a given q: the same curves times s^-1
    small = [Curve(c.size, c.x, c.y / c.size) for c in family]
    again = fit_collapse(small, q=1.0, log=False)
    assert (again.p, again.q) == (pytest.approx(found.p, abs=1e-4), 1.0)
    with pytest.raises(ValueError, match="q: None given with log=False"):
        fit_collapse(family, log=False)

import numpy as np
import pytest

from symscape.scaling import NoEstimate, fit_fixed_powers, fit_free_power

N = np.geomspace(1.7e4, 6.4e6, 9)


@pytest.mark.parametrize(
    ("constant", "terms", "values"),
    [
        # Fig. 2, 6A and 6D of Ch. 2b with their printed coefficients
        (0.054, {-0.5: 6.4, -0.75: -49.0}, {17395: 0.070175, 1e5: 0.065525, 6414815: 0.056142}),
        (2.1, {-0.25: 51.0}, {1e4: 7.2}),
        (0.0, {-0.5: 7.6, -0.75: -59.0}, {(59 / 7.6) ** 4: 0.0}),
    ],
)
def test_printed_coefficients_are_recovered(constant, terms, values):
    y = constant + sum(B * N**p for p, B in terms.items())
    fit = fit_fixed_powers(N, y, tuple(terms), constant=constant != 0)
    assert fit.constant == pytest.approx(constant, rel=1e-9, abs=1e-12)
    assert fit.coefficients == pytest.approx(list(terms.values()), rel=1e-8)
    assert fit.r_squared == pytest.approx(1.0, abs=1e-10)
    np.testing.assert_allclose(fit.predict(N), y, rtol=1e-10)
    for at, value in values.items():
        assert fit.predict(at) == pytest.approx(value, abs=6e-7)


def test_two_terms_vanish_and_peak_where_the_sheet_says():
    for B0, B1, zero, peak in ((6.4, -49.0, 3436.1, 17395), (7.6, -59.0, 3632.07, 18387)):
        y = B0 * N**-0.5 + B1 * N**-0.75
        fit = fit_fixed_powers(N, y, (-0.5, -0.75), constant=False)
        assert fit.predict(zero) == pytest.approx(0, abs=1e-6)
        at = np.geomspace(5e3, 5e4, 20001)
        assert at[fit.predict(at).argmax()] == pytest.approx(peak, rel=1e-3)


@pytest.mark.parametrize(("p", "c"), [(-0.42, 0.0), (-0.28, 2.0), (-1.3, 0.05), (2.5, 0.054)])
def test_a_free_exponent_is_recovered(p, c):
    x = np.geomspace(0.05, 2, 8) if p > 0 else N / 1e4
    bounds = (0.1, 4.0) if p > 0 else (-3.0, -0.02)
    fit = fit_free_power(x, c + 3.0 * x**p, c > 0, bounds=bounds)
    assert fit.powers[0] == fit.exponent.value == pytest.approx(p, abs=1e-5)
    assert fit.coefficients[0] == pytest.approx(3.0, rel=1e-4)
    assert fit.constant == pytest.approx(c, abs=1e-4)
    assert fit.exponent.error is None


def test_errors_are_those_of_repetition():
    rng = np.random.default_rng(0)

    def measured(fit):
        heights = 0.05 + 6.4 * (1 + 0.2 * rng.standard_normal((10, 1))) * N**-0.5
        return fit(heights + 1e-4 * rng.standard_normal((10, 9)))

    fixed = [measured(lambda y: fit_fixed_powers(N, y, (-0.5,), resamples=100)) for _ in range(40)]
    for power in (0, -0.5):
        found = [fit.estimate(power) for fit in fixed]
        spread = np.std([estimate.value for estimate in found], ddof=1)
        assert np.median([estimate.error for estimate in found]) == pytest.approx(spread, rel=0.4)
    assert fixed[0].estimate(0).n_seeds == 10
    free = [measured(lambda y: fit_free_power(N, y, resamples=25)) for _ in range(10)]
    spread = np.std([fit.exponent.value for fit in free], ddof=1)
    assert np.median([fit.exponent.error for fit in free]) == pytest.approx(spread, rel=0.7)
    assert abs(np.mean([fit.constant for fit in free]) - 0.05) < 3e-4


def test_windows():
    y = np.where(N < 1e5, 1.0, N**-0.5)
    fit = fit_fixed_powers(N, y, (-0.5,), window=(1e5, 1e9))
    assert fit.coefficients[0] == pytest.approx(1.0)
    assert fit.window[0] >= 1e5
    with pytest.raises(NoEstimate, match=r"needs 3 points in \[2e\+06, 1e\+09\]; there are 2"):
        fit_fixed_powers(N, y, (-0.5,), window=(2e6, 1e9))
    with pytest.raises(NoEstimate, match="needs 4 points; there are 3"):
        fit_free_power(N[:3], y[:3])


def test_no_exponent_and_wrong_input():
    with pytest.raises(NoEstimate, match="No exponent from -3 to -0"):
        fit_free_power(N, 1.0 + N**0.5)
    with pytest.raises(ValueError, match="powers: "):
        fit_fixed_powers(N, N, (0.0,))
    with pytest.raises(ValueError, match="powers: "):
        fit_fixed_powers(N, N, (1.0, 1.0))
    with pytest.raises(ValueError, match="bounds: "):
        fit_free_power(N, N, bounds=(1.0, -1.0))
    with pytest.raises(ValueError, match="values are missing"):
        fit_fixed_powers(N, np.where(N > 1e5, N, np.nan), (1.0,))
    with pytest.raises(ValueError, match=r"power: 2 given; allowed: 0, 1\.0"):
        fit_fixed_powers(N, N, (1.0,)).estimate(2)
    with pytest.raises(ValueError, match="x must be positive"):
        fit_fixed_powers(N - 1e5, N, (1.0,))

import pytest

from symscape.landscape import (
    GAMMA_SPHERES,
    THETA_SPHERES,
    check_stability,
    least_constraints,
    line_of_stability,
    marginal_gamma,
    most_parameters,
)


def test_the_numbers_of_the_thesis():
    assert most_parameters(1, 0.5, 0.25) == 4
    assert most_parameters(1, 0.5, 0.21) == pytest.approx(3.45, abs=0.005)
    assert most_parameters(1, 0.5, 0.19) == pytest.approx(3.23, abs=0.005)
    assert least_constraints(1, 0.5, 0.25) == 0.25
    assert most_parameters(100, 0.43) == pytest.approx(100 / 0.43)
    assert line_of_stability(0.5, 0.25) == 0.25


def test_sphere_exponents_are_marginally_stable():
    assert marginal_gamma(THETA_SPHERES) == pytest.approx(GAMMA_SPHERES, abs=1e-5)


def test_both_bounds_are_the_same_line():
    # at the largest N that P patterns allow, all P patterns are needed as constraints
    assert least_constraints(most_parameters(57, 0.5, 0.2), 0.5, 0.2) == pytest.approx(57)


def test_stability_inequalities():
    jammed = check_stability(P=3000, N=800, n_delta=600, n_minus=400, n_cusps=170)
    assert jammed.independent
    assert jammed.stable
    assert jammed.enough_patterns
    assert jammed.hypostatic
    assert jammed.slack == 370
    assert not check_stability(P=3000, N=800, n_delta=200, n_minus=400).stable
    spheres = check_stability(P=3000, N=800, n_delta=800, n_minus=800)
    assert spheres.stable
    assert not spheres.hypostatic


@pytest.mark.parametrize(("C0", "beta"), [(0.0, 0.0), (1.1, 0.0), (0.5, 0.5), (0.5, -0.1)])
def test_impossible_fractions_are_refused(C0, beta):
    with pytest.raises(ValueError, match=r"C0|beta"):
        most_parameters(10, C0, beta)

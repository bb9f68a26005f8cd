"""Moments under the normal distribution, and activations of unit second moment."""

import math

import pytest
import torch
import torch.nn.functional as F

from symscape.math import moment, normalize2mom


@pytest.mark.parametrize(
    ("n", "value"), [(0, 1.0), (1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0), (6, 15.0)]
)
def test_exact_moments_of_the_normal_variable(n: int, value: float) -> None:
    computed = moment(lambda z: z, n, dtype=torch.float64, exact=True)
    assert float(computed) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("f", "second"),
    [
        (torch.relu, 0.5),
        (torch.abs, 1.0),
        (torch.cos, (1 + math.exp(-2)) / 2),
        (torch.erf, 2 / math.pi * math.asin(2 / 3)),
        (F.hardtanh, None),
    ],
)
def test_exact_second_moment_in_closed_form(f, second) -> None:
    if second is None:  # E min(z^2, 1) = P(|z| > 1) + E z^2 1(|z| < 1)
        inside = math.erf(2**-0.5)
        second = 1 - inside + inside - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi)
    computed = moment(f, 2, dtype=torch.float64, exact=True)
    assert float(computed) == pytest.approx(second, abs=1e-13)


def test_sampled_moment_lies_within_its_standard_error() -> None:
    exact = float(moment(torch.tanh, 2, dtype=torch.float64, exact=True))
    fourth = float(moment(torch.tanh, 4, dtype=torch.float64, exact=True))
    error = ((fourth - exact**2) / 1e6) ** 0.5
    sampled = float(moment(torch.tanh, 2, dtype=torch.float64))
    assert 0 < abs(sampled - exact) < 5 * error


def test_constants_of_e3nn() -> None:
    constants = {F.silu: 1.6791768, torch.tanh: 1.5937334, torch.sigmoid: 1.8467055}
    for f, constant in constants.items():
        assert normalize2mom(f).cst == pytest.approx(constant, abs=5e-8)
    assert normalize2mom(F.silu, exact=True).cst == pytest.approx(1.6765325, abs=5e-8)


def test_scaled_function_has_unit_second_moment() -> None:
    scaled = normalize2mom(F.softplus, exact=True)
    second = moment(scaled, 2, dtype=torch.float64, exact=True)
    assert float(second) == pytest.approx(1.0, abs=1e-13)


def test_function_of_unit_second_moment_is_left_alone() -> None:
    x = torch.linspace(-2, 2, 7)
    scaled = normalize2mom(lambda z: z, exact=True)
    assert scaled.cst == 1.0
    assert torch.equal(scaled(x), x)


def test_global_generator_is_not_touched_and_constant_does_not_depend_on_it() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = normalize2mom(lambda z: torch.tanh(z)).cst
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(4)
    assert normalize2mom(lambda z: torch.tanh(z)).cst == first


def test_constant_follows_the_state_of_a_module() -> None:
    module = torch.nn.PReLU(init=0.0, dtype=torch.float64)
    before = normalize2mom(module, exact=True).cst
    with torch.no_grad():
        module.weight.fill_(1.0)
    assert before == pytest.approx(2**0.5, abs=1e-7)
    assert normalize2mom(module, exact=True).cst == 1.0


def test_dtype_of_the_argument_is_kept() -> None:
    scaled = normalize2mom(torch.tanh)
    for dtype in (torch.float16, torch.float32, torch.float64):
        assert scaled(torch.ones(2, dtype=dtype)).dtype is dtype


def test_what_cannot_be_normalized_is_refused() -> None:
    with pytest.raises(ValueError, match="second moment 0"):
        normalize2mom(torch.zeros_like)
    with pytest.raises(ValueError, match="element by element"):
        moment(torch.sum, 2)

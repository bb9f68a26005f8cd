"""Moments under the normal distribution, and activations of unit second moment."""

import math

import pytest
import torch
import torch.nn.functional as F

from symscape.math import moment, normalize2mom
from symscape.math._moment import _quadrature, _samples
from symscape.math._sampled_constants import SAMPLED_CONSTANTS


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


@pytest.mark.parametrize("f", SAMPLED_CONSTANTS)
def test_known_constants_are_those_of_the_samples(f) -> None:
    second = float(moment(f, 2, dtype=torch.float64))
    assert SAMPLED_CONSTANTS[f] == pytest.approx(second**-0.5, rel=1e-14)
    assert normalize2mom(f).cst == SAMPLED_CONSTANTS[f]


@pytest.mark.parametrize("make", [torch.nn.SiLU, torch.nn.Tanh, torch.nn.ReLU, torch.nn.SELU])
def test_modules_have_the_constants_of_their_functions(make) -> None:
    module = make()
    second = float(moment(module, 2, dtype=torch.float64))
    assert normalize2mom(module).cst == pytest.approx(second**-0.5, rel=1e-14)


def test_samples_are_not_changed_by_functions_in_place() -> None:
    before = moment(torch.tanh, 2, dtype=torch.float64)
    normalize2mom(torch.nn.ELU(inplace=True))
    assert torch.equal(moment(torch.tanh, 2, dtype=torch.float64), before)


MANY, FEW = (200, 200), (3, 4)


@pytest.mark.parametrize("shape", [MANY, FEW])
@pytest.mark.parametrize("f", [F.silu, F.gelu, F.relu, torch.relu, torch.sigmoid, torch.tanh])
def test_scaled_functions_in_one_pass(f, shape) -> None:
    """With and without gradients, the values and derivatives of the product, and x as it was."""
    scaled = normalize2mom(f)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    g = torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
    before = x.detach().clone()
    with torch.no_grad():
        assert torch.equal(scaled(x), f(x) * scaled.cst)
    results = []
    for y in (scaled(x), f(x) * scaled.cst):
        (plain,) = torch.autograd.grad(y, x, g.detach(), retain_graph=True)
        (first,) = torch.autograd.grad(y, x, g, create_graph=True)
        results.append([y, plain, first, *torch.autograd.grad(first.square().sum(), (x, g))])
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-13)
    assert torch.equal(x, before)


@pytest.mark.parametrize("f", [F.silu, F.relu, torch.sigmoid, torch.tanh])
def test_scaled_functions_under_transformations(f) -> None:
    scaled = normalize2mom(f)
    x = torch.randn(200, 200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = f(x) * scaled.cst
    assert torch.equal(torch.func.vmap(scaled)(x), expected)
    compiled = torch.compile(scaled, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), expected)
    torch._dynamo.reset()
    derivative = torch.func.grad(lambda x: scaled(x).sum())(x)
    _, tangent = torch.func.jvp(scaled, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(tangent, derivative, rtol=1e-13, atol=1e-13)


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


@pytest.mark.parametrize("exact", [False, True])
def test_samples_and_nodes_belong_to_no_mode(exact: bool) -> None:
    """Those that are first asked for in inference mode serve gradients, too."""
    for kept in (_samples, _quadrature):
        kept.cache_clear()
    with torch.inference_mode():
        expected = moment(torch.tanh, 2, exact=exact)
    scale = torch.ones((), requires_grad=True)
    found = moment(lambda z: scale * torch.tanh(z), 2, exact=exact)
    torch.testing.assert_close(torch.autograd.grad(found, scale)[0], 2 * expected)

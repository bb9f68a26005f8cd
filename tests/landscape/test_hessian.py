import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.dynamics import CrossEntropy, Hinge, SoftHinge, Square
from symscape.landscape import (
    HessianOperator,
    HessianParts,
    effective_parameters,
    h0_spectrum,
    hessian,
    hessian_by_autograd,
    inertia,
    spectra,
)
from symscape.networks import FullyConnected


def assert_same(parts, oracle, tolerance=1e-12):
    for name in ("H0", "Hp"):
        ours, theirs = getattr(parts, name), getattr(oracle, name)
        scale = max(1.0, theirs.abs().max().item())
        assert (ours - theirs).abs().max().item() <= tolerance * scale, name


def layer_sizes(net):
    return [out * fan_in + (out if net.bias else 0) for out, fan_in in net.shapes]


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    d=st.integers(1, 4),
    h=st.integers(1, 5),
    L=st.integers(0, 4),
    activation=st.sampled_from(["relu", "tanh", "softplus", "linear"]),
    parametrization=st.sampled_from(["standard", "ntp", "mfp"]),
    bias=st.booleans(),
    loss=st.sampled_from([Hinge(), Hinge(power=1.5), SoftHinge(beta=3), CrossEntropy(), Square()]),
    block=st.sampled_from([None, 1, 7]),
)
def test_layer_formula_agrees_with_autograd(
    problem, seed, d, h, L, activation, parametrization, bias, loss, block
):
    net, w, x, y, _ = problem(
        seed, P=20, d=d, h=h, L=L, activation=activation, parametrization=parametrization, bias=bias
    )
    assert_same(hessian(net, w, x, y, loss, block=block), hessian_by_autograd(net, w, x, y, loss))


@pytest.mark.parametrize(("h", "L"), [(4.5, 2), (3.4, 3)])
def test_layers_of_different_widths(problem, h, L):
    net, w, x, y, loss = problem(2, P=20, d=3, h=h, L=L, activation="tanh")
    assert len(set(net.widths)) == 2
    assert_same(hessian(net, w, x, y, loss), hessian_by_autograd(net, w, x, y, loss))
    v = torch.randn(len(w), generator=torch.Generator().manual_seed(0), dtype=w.dtype)
    expected = hessian(net, w, x, y, loss).H @ v
    torch.testing.assert_close(HessianOperator(net, w, x, y, loss).h(v), expected)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_sum_is_the_hessian_of_the_loss(problem, activation):
    net, w, x, y, loss = problem(1, activation=activation)
    direct = torch.func.hessian(lambda v: loss.value(net(v, x), y).mean())(w)
    parts = hessian(net, w, x, y, loss)
    torch.testing.assert_close(parts.H, direct, rtol=0, atol=1e-12 * direct.abs().max().item())


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_parts_are_exactly_symmetric(problem, activation):
    net, w, x, y, loss = problem(2, activation=activation, L=3, h=17, d=20)  # two tiles
    parts = hessian(net, w, x, y, loss)
    assert net.n_parameters > 600
    assert torch.equal(parts.H0, parts.H0.T)
    torch.testing.assert_close(parts.Hp, parts.Hp.T, rtol=0, atol=1e-14)


def test_several_tiles_agree_with_autograd(problem):
    net, w, x, y, loss = problem(3, L=3, h=17, d=20, P=12)
    assert_same(hessian(net, w, x, y, loss), hessian_by_autograd(net, w, x, y, loss))


def test_everything_vanishes_where_all_patterns_are_satisfied(problem):
    net, w, x, _, loss = problem(4)
    f = net(w, x)
    y = torch.where(f > 0, 1.0, -1.0).to(f)
    last_weights, last_bias = net.unpack(w)[-1]
    factor = 2 / f.abs().min()
    last_weights *= factor
    last_bias *= factor
    parts = hessian(net, w, x, y, loss)
    assert not parts.H0.any()
    assert not parts.Hp.any()
    assert not h0_spectrum(net, w, x, y, loss).any()
    assert not HessianOperator(net, w, x, y, loss).h(w).any()


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), L=st.integers(1, 4), neuron=st.integers(0, 100))
def test_relu_neurons_rescale_without_changing_the_function(problem, seed, L, neuron):
    net, w, x, y, loss = problem(seed, L=L)
    layer, index = divmod(neuron % net.n_neurons, net.h)
    direction = torch.zeros_like(w)
    layers, marks = net.unpack(w), net.unpack(direction)
    for mark, value in zip(marks[layer], layers[layer], strict=True):
        mark[index] = value[index]
    marks[layer + 1][0][:, index] = -layers[layer + 1][0][:, index]
    signs = torch.sign(direction) * torch.sign(w)  # D of the rescaling, v = D w
    parts = hessian(net, w, x, y, loss)
    gradient = HessianOperator(net, w, x, y, loss).gradient
    scale = parts.H.abs().max() * w.norm()
    assert abs(gradient @ direction) < 1e-12 * scale
    assert (parts.H0 @ direction).abs().max() < 1e-12 * scale
    expected = -signs * gradient
    torch.testing.assert_close(parts.Hp @ direction, expected, rtol=0, atol=1e-12 * scale.item())
    torch.testing.assert_close(parts.H @ direction, expected, rtol=0, atol=1e-12 * scale.item())
    grown = w.clone()
    for (matrix, b), pattern in zip(net.unpack(grown), net.unpack(signs), strict=True):
        matrix *= 3.0 ** pattern[0]
        b *= 3.0 ** pattern[1]
    torch.testing.assert_close(net(grown, x), net(w, x))


def blocks(matrix, sizes):
    return [list(rows.split(sizes, 1)) for rows in matrix.split(sizes, 0)]


def test_same_layer_blocks_vanish_for_relu_and_not_for_tanh(problem):
    for activation in ("relu", "tanh"):
        net, w, x, y, loss = problem(5, activation=activation, L=3)
        Hp = hessian(net, w, x, y, loss).Hp
        own = [rows[i] for i, rows in enumerate(blocks(Hp, layer_sizes(net)))]
        vanishes = [not block.any() for block in own]
        assert vanishes == ([True] * 4 if activation == "relu" else [False] * 3 + [True])
        if activation == "relu":
            assert Hp.trace() == 0


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), h=st.integers(1, 6), d=st.integers(1, 5))
def test_one_hidden_layer_has_the_closed_symmetric_spectrum(problem, seed, h, d):
    net, w, x, y, loss = problem(seed, L=1, h=h, d=d)
    force = (loss.delta(net(w, x), y).clamp(min=0) * y)[:, None]
    active = (net.preactivations(w, x)[0] > 0).to(w)
    inputs = torch.cat([x, torch.ones_like(x[:, :1])], 1)  # minus sign of the bias: same norm
    norms = ((force * active).T @ inputs / len(y)).norm(dim=1)
    expected = torch.cat([norms, -norms, torch.zeros(net.n_parameters - 2 * h)]).sort().values
    found = torch.linalg.eigvalsh(hessian(net, w, x, y, loss).Hp)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), L=st.integers(1, 3), h=st.integers(2, 6))
def test_inertia_bound_of_relu(problem, seed, L, h):
    net, w, x, y, loss = problem(seed, L=L, h=h)
    counted = inertia(torch.linalg.eigvalsh(hessian(net, w, x, y, loss).Hp))
    assert min(counted.n_plus, counted.n_minus) + counted.n_zero >= max(layer_sizes(net))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_flip_of_the_last_layer(problem, activation):
    net, w, x, y, loss = problem(6, activation=activation)
    flipped = w.clone()
    for part in net.unpack(flipped)[-1]:
        part *= -1
    torch.testing.assert_close(net(flipped, x), -net(w, x))
    pattern = Linear()
    before = hessian(net, w, x[:1], y[:1], pattern).Hp
    after = hessian(net, flipped, x[:1], y[:1], pattern).Hp
    torch.testing.assert_close(
        torch.linalg.eigvalsh(after), -torch.linalg.eigvalsh(before).flip(0), rtol=0, atol=1e-12
    )
    for power in (1, 3):
        odd = [torch.linalg.matrix_power(m, power).trace().item() for m in (before, after)]
        assert odd[0] == pytest.approx(-odd[1], abs=1e-10)
    # labels flipped too: nothing changes but the sign of the last layer's coordinates
    signs = torch.sign(w * flipped)
    original = hessian(net, w, x, y, loss).Hp
    mirrored = hessian(net, flipped, x, -y, loss).Hp
    torch.testing.assert_close(mirrored, signs[:, None] * original * signs, rtol=0, atol=1e-13)


class Linear:
    """The loss f itself: H_p is then the Hessian of the network function."""

    def derivative(self, f, y):
        return torch.ones_like(f)

    def second_derivative(self, f, y):
        return torch.zeros_like(f)


@pytest.mark.parametrize("P", [10, 300])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_h0_spectrum_and_rank(problem, P, activation):
    net, w, x, y, loss = problem(7, P=P, activation=activation)
    exact = torch.linalg.eigvalsh(hessian_by_autograd(net, w, x, y, loss).H0)
    spectrum = h0_spectrum(net, w, x, y, loss)
    torch.testing.assert_close(spectrum, exact, rtol=0, atol=1e-12 * exact.max().item())
    n_delta = int(loss.unsatisfied(net(w, x), y).sum())
    rank = inertia(spectrum, relative=1e-11).n_plus
    bound = min(n_delta, effective_parameters(net, w, x).rank)
    # a relu neuron may be dead on the unsatisfied patterns and alive on others
    assert rank == bound if activation == "tanh" else bound - 5 < rank <= bound
    if n_delta < net.n_parameters:
        assert int((spectrum == 0).sum()) >= net.n_parameters - n_delta


def test_opposite_labels_on_equal_inputs_cancel(problem):
    net, w, x, y, loss = problem(8, P=6)
    base = hessian(net, w, x, y, loss)
    # move the output to zero at the first input: both labels then have the same Delta
    shifted = w.clone()
    net.unpack(shifted)[-1][1][:] -= net(w, x[:1])
    twice = x[:1].repeat(2, 1)
    labels = torch.tensor([1.0, -1.0], dtype=torch.float64)
    parts = hessian(net, shifted, twice, labels, loss)
    assert parts.Hp.abs().max() < 1e-14 * base.Hp.abs().max()
    assert parts.H0.any()


def test_h_scales_with_the_margin(problem):
    # last weights and bias times a, margin times a: Delta and the gradients of f scale by a
    net, w, x, y, _ = problem(9)
    scaled = w.clone()
    for part in net.unpack(scaled)[-1]:
        part *= 3
    first = net.n_parameters - layer_sizes(net)[-1]
    one = hessian(net, w, x, y, Hinge(margin=1)).H[:first, :first]
    three = hessian(net, scaled, x, y, Hinge(margin=3)).H[:first, :first]
    torch.testing.assert_close(three, 9 * one)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    L=st.integers(0, 4),
    activation=st.sampled_from(["relu", "tanh", "softplus"]),
    parametrization=st.sampled_from(["standard", "ntp", "mfp"]),
    bias=st.booleans(),
)
def test_products_agree_with_the_matrices(problem, seed, L, activation, parametrization, bias):
    net, w, x, y, loss = problem(
        seed, L=L, activation=activation, parametrization=parametrization, bias=bias
    )
    parts = hessian(net, w, x, y, loss)
    operator = HessianOperator(net, w, x, y, loss)
    v = torch.randn_like(w)
    for product, matrix in (
        (operator.h0, parts.H0),
        (operator.hp, parts.Hp),
        (operator.h, parts.H),
    ):
        scale = max(1.0, matrix.abs().max().item()) * v.norm().item()
        torch.testing.assert_close(product(v), matrix @ v, rtol=0, atol=1e-12 * scale)
    gradient = torch.func.grad(lambda u: loss.value(net(u, x), y).mean())(w)
    torch.testing.assert_close(operator.gradient, gradient)
    assert operator.size == len(w)
    assert operator.n_active == int(loss.unsatisfied(net(w, x), y).sum())


def test_inertia_counts_and_states_its_tolerance():
    counted = inertia([-2.0, -1e-12, 0.0, 1e-12, 1.0, 4.0])
    assert (counted.n_plus, counted.n_minus, counted.n_zero) == (2, 1, 3)
    assert counted.tolerance == pytest.approx(4e-10)
    assert pytest.approx(1 / 6) == counted.C0
    assert inertia([-2.0, 0.1], tolerance=0.2).n_zero == 1
    with pytest.raises(ValueError, match="eigenvalues"):
        inertia([])
    with pytest.raises(ValueError, match="tolerance"):
        inertia([1.0], tolerance=-1)


def test_spectra_are_those_of_the_matrices(problem):
    net, w, x, y, loss = problem(10)
    parts = hessian(net, w, x, y, loss)
    found = spectra(parts)
    np.testing.assert_allclose(found.H.sum(), parts.H.trace().item(), rtol=1e-10)
    assert found.H0.min() > -1e-12
    assert isinstance(parts, HessianParts)


def test_wrong_input_is_named(problem):
    net, w, x, y, loss = problem(0)
    with pytest.raises(ValueError, match="y: shape"):
        hessian(net, w, x, y[:-1], loss)
    with pytest.raises(ValueError, match="block"):
        hessian(net, w, x, y, loss, block=0)
    for wrong in (torch.stack([w, w]), w[:-1]):
        for function in (hessian, h0_spectrum, HessianOperator):
            with pytest.raises(ValueError, match=rf"w must have shape \({len(w)},\); got"):
                function(net, wrong, x, y, loss)
    slow = FullyConnected(d=4, h=5, L=2, bias_factor=0.1)
    with pytest.raises(ValueError, match=r"net: bias_factor=0\.1 given"):
        hessian(slow, slow.initial_weights(0), x, y, loss)
    two = FullyConnected(d=4, h=5, L=2, c=2)
    with pytest.raises(ValueError, match="one output"):
        hessian(two, two.initial_weights(0), x, y, loss)
    with pytest.raises(ValueError, match="v must have shape"):
        HessianOperator(net, w, x, y, loss).h(w[:-1])

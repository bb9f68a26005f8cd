"""Fully connected networks: counts, parametrizations, symmetries, initialization."""

import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.networks import FullyConnected, width_from_weights


def inputs(P, d, seed=0, dtype=torch.float64):
    return torch.randn(P, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize(
    ("L", "d", "h", "c", "weights", "parameters"),
    [
        (3, 7, 9, 2, 243, 243 + 29),
        (2, 62, 62, 1, 7750, 7875),
        (3, 51, 51, 1, 7854, 8008),
        (5, 40, 40, 1, 8040, 8241),
        (5, 10, 30, 1, 3930, 4081),
        (0, 12, 1, 1, 12, 13),
    ],
)
def test_counts_of_the_thesis(L, d, h, c, weights, parameters):
    net = FullyConnected(d, h, L, c)
    assert net.n_weights == weights
    assert net.n_parameters == parameters == weights + L * h + c
    assert net.n_neurons == L * h
    assert FullyConnected(d, h, L, c, bias=False).n_parameters == weights


@pytest.mark.parametrize(
    ("d", "h", "L", "weights"),
    [
        (10, 14, 5, 938),
        (10, 57, 5, 13623),
        (10, 1265, 5, 6414815),
        (30, 60, 5, 16260),
        (10, 10.5, 5, 551),
        (784, 100, 3, 98_500),
        (784, 1000, 3, 2_785_000),
        (3072, 100, 3, 327_300),
        (10, 100, 3, 21_100),
    ],
)
def test_numbers_of_weights_of_chapters_2_and_3(d, h, L, weights):
    net = FullyConnected(d, h, L)
    assert net.n_weights == weights
    assert net.n_parameters == weights + net.n_neurons + 1


def test_widths_that_are_not_integers_lie_between_two_networks():
    assert FullyConnected(10, 10.5, 5).widths == (11, 11, 10, 10, 10)
    for L in range(1, 8):
        assert FullyConnected(4, 6, L).widths == (6,) * L
        counts = [FullyConnected(4, 6 + i / L, L).n_weights for i in range(L + 1)]
        # each L-th of a neuron is one neuron more in one layer
        totals = [FullyConnected(4, 6 + i / L, L).n_neurons for i in range(L + 1)]
        assert totals == [6 * L + i for i in range(L + 1)]
        assert counts == sorted(set(counts))
    assert FullyConnected(4, 6.0, 2) == FullyConnected(4, 6, 2)
    for wrong in (0.5, float("nan"), float("inf"), "6", True):
        with pytest.raises(ValueError, match=r"^h: "):
            FullyConnected(4, wrong, 2)


def test_orthogonal_rows_have_unit_norm_in_tall_matrices_too():
    net = FullyConnected(4, 11, 3)
    layers = net.unpack(net.initial_weights(0, "orthogonal_rows"))
    for matrix, b in layers:
        torch.testing.assert_close(matrix.norm(dim=1), torch.ones(len(matrix)).double())
        assert float(matrix.square().sum()) == pytest.approx(len(matrix), rel=1e-12)
        assert not b.any()
        for block in matrix.split(matrix.shape[1]):
            identity = torch.eye(len(block), dtype=torch.float64)
            torch.testing.assert_close(block @ block.T, identity, atol=1e-14, rtol=0)
    # the scheme of torch shortens the rows of a tall matrix instead
    tall = net.unpack(net.initial_weights(0, "orthogonal"))[0][0]
    assert float(tall.square().sum()) == pytest.approx(4, rel=1e-12)


def test_outputs_of_orthogonal_rows_have_variance_2_to_the_minus_L():
    L, h = 3, 200
    net = FullyConnected(10, h, L)
    x = inputs(200, 10)
    x = x * (10**0.5 / x.norm(dim=1, keepdim=True))
    outputs = torch.stack(
        [net(net.initial_weights(seed, "orthogonal_rows"), x) for seed in range(40)]
    )
    # |x|^2 / d = 1 goes through L relus, each of which halves the second moment; the last row is
    # a random unit vector of h entries. 40 networks: 5 % of the variance and 5 % of it for h = 200
    second = float(outputs.square().mean())
    assert second == pytest.approx(2.0**-L, rel=0.3)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 4), st.integers(1, 3), st.booleans())
@settings(max_examples=30, deadline=None)
def test_pack_inverts_unpack(d, h, L, c, bias):
    net = FullyConnected(d, h, L, c, bias=bias)
    w = net.initial_weights(0, "pytorch").repeat(2, 1)
    layers = net.unpack(w)
    assert torch.equal(net.pack(layers), w)
    assert sum(m[0].numel() for m, _ in layers) == net.n_weights
    layers[0][0][:] = 7.0
    assert (net.unpack(w)[0][0] == 7.0).all(), "unpack gives views"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("parametrization", ["standard", "ntp", "mfp"])
def test_outputs_are_the_formula(parametrization, bias):
    net = FullyConnected(4, 6, 2, 3, parametrization, "tanh", bias)
    w, x = net.initial_weights(1, "pytorch"), inputs(5, 4)
    first = {"standard": (1, 1, 1), "ntp": (0.5, 6**-0.5, 6**-0.5), "mfp": (0.5, 6**-0.5, 1 / 6)}
    z = x
    for index, ((matrix, b), prefactor) in enumerate(
        zip(net.unpack(w), first[parametrization], strict=True)
    ):
        z = prefactor * z @ matrix.T
        if b is not None:
            z = z + b
        if index < 2:
            torch.testing.assert_close(net.preactivations(w, x)[index], z, atol=1e-14, rtol=0)
            z = torch.tanh(z)
    torch.testing.assert_close(net(w, x), z, atol=1e-14, rtol=0)


def test_mfp_is_ntp_over_sqrt_h():
    ntp = FullyConnected(5, 16, 3, parametrization="ntp", normalized=True)
    mfp = FullyConnected(5, 16, 3, parametrization="mfp", normalized=True)
    w, x = ntp.initial_weights(0, "pytorch"), inputs(9, 5)
    b = ntp.unpack(w)[-1][1]
    torch.testing.assert_close(mfp(w, x) - b, 16**-0.5 * (ntp(w, x) - b), atol=1e-14, rtol=0)


def test_relu_neuron_rescaling_leaves_outputs_invariant():
    net = FullyConnected(5, 7, 2)
    w, x = net.initial_weights(3, "pytorch"), inputs(20, 5)
    f = net(w, x)
    (W1, b1), (W2, _), _ = net.unpack(w)
    factor = torch.linspace(0.2, 3, 7, dtype=torch.float64)
    W1 *= factor[:, None]
    b1 *= factor
    W2 /= factor
    torch.testing.assert_close(net(w, x), f, atol=1e-14, rtol=1e-13)


def test_relu_rescaling_direction_is_orthogonal_to_the_gradient():
    net = FullyConnected(5, 7, 2)
    w, x = net.initial_weights(3, "pytorch").requires_grad_(), inputs(20, 5)
    (gradient,) = torch.autograd.grad(net(w, x)[0], w)
    for layer, neuron in itertools.product((0, 1), range(7)):
        v = torch.zeros_like(w)
        here, above = net.unpack(v)[layer], net.unpack(v)[layer + 1]
        (W, b), (W_above, _) = net.unpack(w.detach())[layer], net.unpack(w.detach())[layer + 1]
        here[0][neuron], here[1][neuron] = W[neuron], b[neuron]
        above[0][:, neuron] = -W_above[:, neuron]
        assert abs(float(gradient @ v)) < 1e-14


def test_homogeneity_without_bias():
    net = FullyConnected(6, 9, 3, parametrization="ntp", bias=False, normalized=True)
    w, x, scale = net.initial_weights(0).requires_grad_(), inputs(8, 6), 1.7
    f = net(w, x)
    torch.testing.assert_close(net(scale * w, x), scale**4 * f, rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(net(w, scale * x), scale * f, rtol=1e-13, atol=1e-14)
    (gradient,) = torch.autograd.grad(f[0], w)
    assert float(w.detach() @ gradient) == pytest.approx(4 * f[0].item(), rel=1e-12)


def test_last_layer_flip_changes_the_sign():
    net = FullyConnected(4, 5, 2, activation="tanh")
    w, x = net.initial_weights(0, "pytorch"), inputs(6, 4)
    f = net(w, x)
    matrix, b = net.unpack(w)[-1]
    matrix.neg_()
    b.neg_()
    torch.testing.assert_close(net(w, x), -f, atol=0, rtol=0)


def test_duplicating_neurons_leaves_the_mean_field_output_unchanged():
    small = FullyConnected(4, 5, 1, parametrization="mfp")
    large = FullyConnected(4, 10, 1, parametrization="mfp")
    w, x = small.initial_weights(0, "pytorch"), inputs(6, 4)
    (W, b), (V, c) = small.unpack(w)
    doubled = large.pack([(torch.cat([W, W]), torch.cat([b, b])), (torch.cat([V, V], 1), c)])
    torch.testing.assert_close(large(doubled, x), small(w, x), atol=1e-15, rtol=0)


def test_ntp_variance_at_initialization_is_one():
    net = FullyConnected(10, 200, 2, parametrization="ntp", bias=False, normalized=True)
    x = inputs(50, 10)
    x = x * (10**0.5 / x.norm(dim=1, keepdim=True))
    w = torch.stack([net.initial_weights(seed) for seed in range(60)])
    assert (net(w, x) ** 2).mean().item() == pytest.approx(1, abs=0.25)


def test_orthogonal_initialization():
    net = FullyConnected(4, 9, 2)
    (W1, b1), (W2, b2), (V, c) = net.unpack(net.initial_weights(5, "orthogonal", gain=0.5))
    one = torch.eye(9, dtype=torch.float64)
    torch.testing.assert_close(W1.T @ W1, one[:4, :4], atol=1e-14, rtol=0)
    torch.testing.assert_close(W2.T @ W2, one, atol=1e-14, rtol=0)
    assert V.norm().item() == pytest.approx(0.5, abs=1e-14)
    assert not (b1.any())
    assert not (b2.any())
    assert not (c.any())


def test_orthogonal_initialization_is_isotropic():
    net = FullyConnected(3, 3, 0, bias=False)
    rows = torch.stack([net.initial_weights(seed, "orthogonal") for seed in range(400)])
    # a QR without the signs of diag R would give a fixed sign to the first entry
    assert rows.mean(0).abs().max() < 0.12


def test_pytorch_initialization_is_uniform():
    net = FullyConnected(16, 50, 2)
    w = torch.cat([net.initial_weights(seed, "pytorch") for seed in range(5)])
    W1, b1 = net.unpack(net.initial_weights(0, "pytorch"))[0]
    assert W1.abs().max() <= 0.25
    assert b1.abs().max() <= 0.25
    assert W1.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.1)
    assert w.mean().abs() < 0.01


@pytest.mark.parametrize("scheme", ["normal", "orthogonal", "pytorch"])
def test_one_seed_means_one_network(scheme):
    net = FullyConnected(4, 5, 2)
    w = net.initial_weights(3, scheme)
    assert torch.equal(w, net.initial_weights(3, scheme))
    assert torch.equal(w, net.initial_weights(torch.Generator().manual_seed(3), scheme))
    assert torch.equal(w.float(), net.initial_weights(3, scheme, dtype=torch.float32))
    assert not torch.equal(w, net.initial_weights(4, scheme))


def test_members_are_computed_as_alone():
    net = FullyConnected(4, 5, 2, 3)
    w = torch.stack([net.initial_weights(seed) for seed in range(3)])
    x = torch.stack([inputs(6, 4, seed) for seed in range(3)])
    shared, own = net(w, x[0]), net(w, x)
    assert shared.shape == own.shape == (3, 6, 3)
    for member in range(3):
        torch.testing.assert_close(shared[member], net(w[member], x[0]), atol=1e-13, rtol=0)
        torch.testing.assert_close(own[member], net(w[member], x[member]), atol=1e-13, rtol=0)


def test_works_under_torch_func():
    net = FullyConnected(4, 5, 2, activation="tanh")
    w, x = net.initial_weights(0, "pytorch"), inputs(6, 4)
    jacobian = torch.func.jacrev(net)(w, x)
    per_pattern = torch.func.vmap(torch.func.grad(lambda w, x: net(w, x[None])[0]), (None, 0))(w, x)
    torch.testing.assert_close(jacobian, per_pattern, atol=1e-14, rtol=0)


def test_module_computes_the_same_and_owns_its_parameters():
    net = FullyConnected(4, 5, 2, 2)
    w, x = net.initial_weights(0, "pytorch"), inputs(6, 4)
    module = net.module(w)
    assert sum(p.numel() for p in module.parameters()) == net.n_parameters
    torch.testing.assert_close(module(x), net(w, x), atol=0, rtol=0)
    torch.testing.assert_close(module.flat(), w, atol=0, rtol=0)
    with torch.no_grad():
        module.weights[0].zero_()
    assert net.unpack(w)[0][0].any()


@given(st.integers(1, 80), st.integers(1, 30), st.integers(1, 6))
def test_width_from_weights_inverts_the_count(h, d, L):
    N = FullyConnected(d, h, L).n_weights
    assert width_from_weights(N, d, L) == pytest.approx(h)
    assert FullyConnected.width_for(N, d, L) == pytest.approx(h)
    assert width_from_weights(FullyConnected(h, h, L).n_weights, None, L) == pytest.approx(h)


def test_survives_pickling():
    net = FullyConnected(4, 5, 2, activation="softplus", normalized=True)
    w, x = net.initial_weights(0), inputs(3, 4)
    copy = pickle.loads(pickle.dumps(net))
    assert copy == net
    assert torch.equal(copy(w, x), net(w, x))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"d": 0}, "d: 0 given; allowed: an integer >= 1"),
        ({"h": 0.5}, "h: 0.5 given; allowed: a number >= 1"),
        ({"L": -1}, "L: -1 given; allowed: an integer >= 0"),
        ({"parametrization": "mup"}, "parametrization: 'mup' given; allowed: standard, ntp, mfp"),
        ({"activation": "swish"}, "unknown activation 'swish'"),
    ],
)
def test_wrong_architectures_are_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        FullyConnected(**{"d": 3, "h": 4, "L": 1} | arguments)


def test_wrong_tensors_are_named():
    net = FullyConnected(3, 4, 1)
    w, x = net.initial_weights(0), inputs(5, 3)
    with pytest.raises(ValueError, match=r"w: shape \(20,\) given; allowed: \(..., 21\)"):
        net(w[:-1], x)
    with pytest.raises(ValueError, match=r"x: shape \(5, 2\) given; allowed: \(..., P, 3\)"):
        net(w, x[:, :2])
    with pytest.raises(ValueError, match=r"x: torch.float32 given"):
        net(w, x.float())
    with pytest.raises(ValueError, match="scheme: 'he' given; allowed: normal"):
        net.initial_weights(0, "he")
    with pytest.raises(ValueError, match="layers"):
        net.pack(net.unpack(w)[:1])
    with pytest.raises(ValueError, match="N: 0 given"):
        width_from_weights(0, 3, 2)


def test_factor_of_the_biases():
    net = FullyConnected(4, 6, 2, bias_factor=0.1)
    w, x = net.initial_weights(1, "pytorch"), inputs(5, 4)
    small = [(matrix, 0.1 * b) for matrix, b in net.unpack(w)]
    plain = FullyConnected(4, 6, 2)
    torch.testing.assert_close(net(w, x), plain(plain.pack(small), x))
    for wrong in (0, -1.0, float("inf")):
        with pytest.raises(ValueError, match=r"bias_factor: .* given; allowed: a positive number"):
            FullyConnected(4, 6, 2, bias_factor=wrong)

"""The empirical NTK: agreement with the Jacobian, blocks, exact properties of the sheets."""

import pytest
import torch
from torch.func import jacrev, vmap

from symscape.kernels import empirical_ntk
from symscape.networks import FullyConnected, activation


def points(P, d, seed=0, dtype=torch.float64):
    x = torch.randn(P, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x * (d**0.5 / x.norm(dim=1, keepdim=True))).to(dtype)


def weights(net, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(net.n_parameters, generator=generator, dtype=torch.float64).to(dtype)


def jacobian(net, w, x):
    """(P, c, n)."""
    return vmap(jacrev(lambda w, x: net(w, x[None]).reshape(-1)), (None, 0))(w, x)


def difference(K, expected):
    return float((K - expected).abs().max() / expected.abs().max())


NETS = [
    FullyConnected(4, 7, 3, parametrization="ntp", activation=activation("softplus", 5.0, True)),
    FullyConnected(4, 7, 3, parametrization="standard", activation="relu"),
    FullyConnected(4, 7, 2, c=3, parametrization="mfp", activation="tanh", bias=False),
    FullyConnected(4, 7, 1, c=2, parametrization="ntp", activation="relu", normalized=True),
    FullyConnected(4, 7, 0, c=2, parametrization="ntp"),
    FullyConnected(4, 7, 0, bias=False),
    FullyConnected(4, 6.5, 2, c=2, parametrization="ntp", activation="erf", bias_factor=0.3),
]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_layer_formula_is_the_gram_matrix_of_the_jacobian(net, dtype, tolerance):
    x, x2 = points(9, 4), points(5, 4, seed=1)
    w = weights(net)
    J, J2 = jacobian(net, w, x), jacobian(net, w, x2)
    cast = [t.to(dtype) for t in (x, x2, w)]
    for other, right in ((None, J), (cast[1], J2)):
        full = torch.einsum("pkn,qln->pqkl", J, right)
        trace = torch.einsum("pkn,qkn->pq", J, right)
        ours = empirical_ntk(net, cast[0], other, w=cast[2], outputs="full")
        assert ours.dtype == dtype
        assert ours.shape == full.shape
        assert difference(ours, full) < tolerance
        ours = empirical_ntk(net, cast[0], other, w=cast[2])
        assert ours.shape == trace.shape
        assert difference(ours, trace) < tolerance


def test_members_of_an_ensemble_come_as_a_leading_dimension():
    net, x = NETS[0], points(6, 4)
    w = torch.stack([weights(net, seed) for seed in range(3)])
    K = empirical_ntk(net, x, w=w)
    assert K.shape == (3, 6, 6)
    torch.testing.assert_close(K[2], empirical_ntk(net, x, w=w[2]), rtol=0, atol=0)


def test_symmetric_positive_and_its_trace_is_the_sum_of_the_gradients_squares():
    net, x = NETS[0], points(300, 4)
    w = weights(net)
    K = empirical_ntk(net, x, w=w)
    assert torch.equal(K, K.T)
    assert torch.linalg.eigvalsh(K)[0] > -1e-10 * K.norm()
    assert K.trace().item() == pytest.approx(float(jacobian(net, w, x).square().sum()), rel=1e-12)


@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_blocks_of_any_size_give_the_same(outputs):
    net = NETS[2]
    x, x2, w = points(300, 4), points(270, 4, seed=1), weights(net)
    r = 3 if outputs == "full" else 1
    block = 2 * (256 * r) ** 2 * 8
    for other in (None, x2):
        whole = empirical_ntk(net, x, other, w=w, outputs=outputs)
        for memory in (block + 20_000, block + 200_000):
            pieces = empirical_ntk(net, x, other, w=w, outputs=outputs, memory=memory)
            assert difference(pieces, whole) < 1e-14
            if other is None:
                assert torch.equal(pieces, pieces.permute(1, 0, *reversed(range(2, pieces.ndim))))


def test_homogeneous_network():
    # sheet 03, check 5: Theta(lambda w) = lambda^(2L) Theta(w), w . grad f = (L + 1) f
    net = FullyConnected(5, 8, 3, bias=False, parametrization="ntp", normalized=True)
    x, w = points(6, 5), weights(net)
    K = empirical_ntk(net, x, w=w)
    torch.testing.assert_close(empirical_ntk(net, x, w=1.7 * w), 1.7**6 * K, rtol=1e-12, atol=0)
    J = jacobian(net, w, x).squeeze(1)
    torch.testing.assert_close(J @ w, 4 * net(w, x), rtol=1e-12, atol=1e-14)


def test_output_moves_as_the_kernel_says():
    # sheet 03, check 3: dF/dt = -Theta l'/n for gradient flow of the loss sum l(F)/(alpha^2 n)
    net, x, w = NETS[0], points(7, 4), weights(NETS[0])
    y = torch.sign(x[:, 0])
    alpha = 0.3
    w = w.requires_grad_()
    f0 = net(w, x).detach()

    def slope(F):
        return -y * torch.sigmoid(20 * (1 - F * y))

    F = alpha * (net(w, x) - f0)
    loss = torch.nn.functional.softplus(20 * (1 - F * y)).sum() / 20 / alpha**2 / len(x)
    (g,) = torch.autograd.grad(loss, w)
    _, motion = torch.func.jvp(lambda w: alpha * net(w, x), (w.detach(),), (-g,))
    K = empirical_ntk(net, x, w=w.detach())
    expected = -K @ slope(F.detach()) / len(x)
    torch.testing.assert_close(motion, expected, rtol=1e-12, atol=1e-14)


def test_linear_network_has_a_constant_kernel():
    net = FullyConnected(4, 1, 0, bias=False, parametrization="ntp")
    x = points(6, 4)
    first, second = (empirical_ntk(net, x, w=weights(net, seed)) for seed in (0, 1))
    torch.testing.assert_close(first, x @ x.T / 4, rtol=1e-14, atol=1e-15)
    assert torch.equal(first, second)


def test_code_and_article_parametrization_differ_by_h():
    # sheet 03, check 7: the read-out divided by h instead of sqrt(h)
    ntp = FullyConnected(4, 16, 2, parametrization="ntp", bias=False)
    mfp = FullyConnected(4, 16, 2, parametrization="mfp", bias=False)
    x, w = points(6, 4), weights(ntp)
    torch.testing.assert_close(16 * empirical_ntk(mfp, x, w=w), empirical_ntk(ntp, x, w=w))


def test_variance_of_one_hidden_layer_is_that_of_one_neuron_divided_by_the_width():
    # sheet 02, check 5.9: for L = 1 neurons are independent, hence exact in expectation; and a
    # network of width h is the mean of h networks of width 1
    wide = FullyConnected(3, 6, 1, parametrization="ntp", activation="relu", normalized=True)
    narrow = FullyConnected(3, 1, 1, parametrization="ntp", activation="relu", normalized=True)
    x, w = points(5, 3), weights(wide)
    (W1, b1), (W2, b2) = wide.unpack(w)
    neurons = [[(W1[[i]], b1[[i]]), (W2[:, [i]], b2)] for i in range(6)]
    single = [empirical_ntk(narrow, x, w=narrow.pack(layers)) for layers in neurons]
    mean = torch.stack(single).mean(0)
    torch.testing.assert_close(empirical_ntk(wide, x, w=w), mean, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w": None}, "w: None given"),
        ({"w": torch.zeros(3, dtype=torch.float64)}, r"w: \(3,\) given"),
        ({"x1": points(5, 3)}, r"x1: \(5, 3\) given; allowed: '?\(P, 4\)"),
        ({"x2": points(5, 4, dtype=torch.float32)}, "x2: 'torch.float32 on cpu' given"),
        ({"outputs": "all"}, "outputs: 'all' given"),
        ({"memory": 1000}, "memory: 1000 bytes given; allowed: at least"),
        ({"memory": 0}, "memory: 0 given"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    net = NETS[0]
    arguments = {"x1": points(5, 4), "w": weights(net), **change}
    with pytest.raises(ValueError, match=message):
        empirical_ntk(net, **arguments)

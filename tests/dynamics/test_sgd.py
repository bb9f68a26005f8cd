"""Stochastic gradient descent and batch normalization."""

import itertools

import pytest
import torch
from torch.autograd import gradcheck

from symscape.dynamics import SGD, CrossEntropy, Hinge, Stop, train
from symscape.dynamics._batch_network import BatchNetwork, CompiledBatchNetwork
from symscape.networks import FullyConnected


def reference(net, parameters, x):
    """The normalized network of one member by torch.nn.functional."""
    layers = net.unpack(parameters[: net.n_parameters])
    scales, shifts = parameters[net.n_parameters :].unflatten(0, (2, net.L, net.h))
    z = x
    for index, (matrix, b) in enumerate(layers):
        a = net.prefactors[index] * z @ matrix.T + b
        if index < net.L:
            a = torch.nn.functional.batch_norm(
                a, None, None, scales[index], shifts[index], training=True, eps=1e-5
            )
            z = net.phi.f(a)
    return a.squeeze(-1) if net.c == 1 else a


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("parametrization", ["standard", "ntp"])
def test_batch_normalized_pass_agrees_with_torch(parametrization, c):
    net = FullyConnected(4, 6, 2, c, parametrization, "tanh")
    network = BatchNetwork(net, batch_norm=True)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 11, 4, generator=generator, dtype=torch.float64)
    w = torch.stack([net.initial_weights(seed, "pytorch") for seed in range(2)])
    parameters = network.extend(w)
    parameters += 0.1 * torch.randn(parameters.shape, generator=generator, dtype=torch.float64)
    f = network.forward(parameters, x)
    df = torch.randn(f.shape, generator=generator, dtype=torch.float64)
    gradient = network.backward(df)
    for i in range(2):
        leaf = parameters[i].clone().requires_grad_()
        expected = reference(net, leaf, x[i])
        torch.testing.assert_close(f[i], expected.detach(), atol=1e-13, rtol=0)
        (by_autograd,) = torch.autograd.grad(expected, leaf, df[i])
        torch.testing.assert_close(gradient[i], by_autograd, atol=1e-12, rtol=1e-10)
    assert gradcheck(lambda p: reference(net, p, x[0]), (parameters[0].clone().requires_grad_(),))


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("name", ["relu", "tanh", "softplus", "linear"])
def test_compiled_pass_agrees_with_tensor_operations(name, c, batch_norm):
    for parametrization, L, bias in itertools.product(
        ("standard", "mfp"), (0, 1, 3), (True, False)
    ):
        net = FullyConnected(4, 6, L, c, parametrization, name, bias, parametrization == "mfp")
        if batch_norm and not bias:
            continue
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, 37, 4, generator=generator, dtype=torch.float64)
        w = net.initial_weights(0, "pytorch")[None]
        plain = BatchNetwork(net, batch_norm)
        fast = CompiledBatchNetwork(net, batch_norm, 37, w)
        parameters = plain.extend(w)
        parameters += 0.1 * torch.randn(parameters.shape, generator=generator, dtype=torch.float64)
        f = plain.forward(parameters, x)
        torch.testing.assert_close(fast.forward(parameters, x), f, atol=1e-13, rtol=1e-12)
        df = torch.randn(f.shape, generator=generator, dtype=torch.float64)
        gradient = plain.backward(df)
        torch.testing.assert_close(fast.backward(df), gradient, atol=1e-12, rtol=1e-10)


def test_folding_gives_the_plain_network_with_the_same_outputs():
    net = FullyConnected(4, 6, 2, activation="relu", parametrization="ntp")
    network = BatchNetwork(net, batch_norm=True)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    parameters = network.extend(net.initial_weights(0, "pytorch")[None])
    parameters[:, net.n_parameters :] += 0.3
    folded = network.fold(parameters, x)
    assert folded.shape == (1, net.n_parameters)
    torch.testing.assert_close(
        net(folded[0], x), reference(net, parameters[0], x), atol=1e-13, rtol=0
    )


def test_full_batch_is_gradient_descent(problem):
    net, w, x, y = problem
    result = train(
        net, w, x, y, loss=Hinge(), integrator=SGD(0.1, batch=60), stop=Stop(max_steps=5)
    )
    for _ in range(5):
        leaf = w.clone().requires_grad_()
        (g,) = torch.autograd.grad(Hinge().value(net(leaf, x), y).mean(), leaf)
        w = w - 0.1 * g
    torch.testing.assert_close(result.w, w, atol=1e-13, rtol=0)


def test_an_epoch_uses_every_pattern_once():
    # with a linear map and a plain hinge far from satisfied, each pattern moves w by -lr dl/dw / b
    net = FullyConnected(3, 1, 0, bias=False)
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.ones(12, dtype=torch.float64)
    w = torch.zeros(3, dtype=torch.float64)
    result = train(
        net, w, x, y, loss=Hinge(1, 1e6), integrator=SGD(0.4, batch=4), stop=Stop(max_steps=3)
    )
    torch.testing.assert_close(result.w, 0.4 * x.sum(0) / 4, atol=1e-14, rtol=0)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_cross_entropy_separates_the_classes(batch_norm, problem):
    net, _, x, y = problem
    result = train(
        net,
        net.initial_weights(0, "pytorch"),
        x,
        y,
        loss=CrossEntropy(),
        integrator=SGD(0.2, batch=20, batch_norm=batch_norm),
        stop=Stop(max_steps=20_000, check_every=50),
    )
    assert result.status == "converged"
    assert result.n_delta == result.misclassified == 0
    assert (net(result.w, x) * y > 0).all()


def test_seed_decides_the_batches(problem):
    net, w, x, y = problem

    def final(seed):
        integrator = SGD(0.1, batch=10, seed=seed)
        stop = Stop(max_steps=20, check_every=20)
        return train(net, w, x, y, loss=Hinge(), integrator=integrator, stop=stop).w

    assert torch.equal(final(0), final(0))
    assert not torch.equal(final(0), final(1))


def test_wrong_arguments_are_named(problem):
    net, w, x, y = problem
    with pytest.raises(ValueError, match="batch: 61 given; allowed: at most P = 60"):
        train(net, w, x, y, loss=Hinge(), integrator=SGD(0.1, batch=61))
    without = FullyConnected(8, 12, 2, bias=False)
    with pytest.raises(ValueError, match="batch_norm: True given"):
        train(
            without,
            without.initial_weights(0),
            x,
            y,
            loss=Hinge(),
            integrator=SGD(0.1, batch=6, batch_norm=True),
        )
    with pytest.raises(ValueError, match="lr: 0 given"):
        SGD(0, batch=1)
    with pytest.raises(ValueError, match="batch: 0 given"):
        SGD(0.1, batch=0)

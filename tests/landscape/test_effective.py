import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.landscape import derivative_rows, effective_parameters


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1000),
    L=st.integers(0, 3),
    activation=st.sampled_from(["relu", "tanh", "softplus"]),
    parametrization=st.sampled_from(["standard", "ntp"]),
    bias=st.booleans(),
)
def test_rows_agree_with_autograd(problem, seed, L, activation, parametrization, bias):
    net, w, x, _, _ = problem(
        seed, P=3, L=L, activation=activation, parametrization=parametrization, bias=bias
    )

    def gradient(point):
        return torch.func.grad(lambda v: net(v, point[None])[0])(w)

    expected = []
    for point in x:
        own = gradient(point)
        expected += [own, *(own + column for column in torch.func.jacrev(gradient)(point).T)]
    rows = derivative_rows(net, w, x)
    torch.testing.assert_close(rows, torch.stack(expected), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("L", "expected"), [(1, 57), (2, 121)])
def test_relu_loses_one_parameter_per_neuron(problem, L, expected):
    net, _, x, _, _ = problem(0, P=400, d=6, h=8, L=L)
    # orthogonal layers keep every neuron alive; small random nets have blocked paths
    w = net.initial_weights(1, "orthogonal")
    found = effective_parameters(net, w, x)
    assert net.n_parameters - net.n_neurons == expected
    assert found.rank == expected
    assert found.gap > 1e4


def test_tanh_uses_every_parameter(problem):
    net, w, x, _, _ = problem(1, P=400, d=6, h=8, L=2, activation="tanh")
    found = effective_parameters(net, w, x)
    assert found.rank == net.n_parameters == 137
    assert found.gap == float("inf")


@pytest.mark.parametrize("L", [0, 1, 3])
def test_linear_net_is_an_affine_function(problem, L):
    net, w, x, _, _ = problem(2, P=50, d=6, h=8, L=L, activation="linear")
    assert effective_parameters(net, w, x).rank == net.d + 1


@pytest.mark.parametrize("layer", [0, 1])
def test_dead_layer_leaves_a_constant(problem, layer):
    net, w, x, _, _ = problem(3, P=50, d=6, h=8, L=2)
    net.unpack(w)[layer][1][:] = -1e3
    assert effective_parameters(net, w, x).rank == 1


def test_dead_neuron_lowers_the_rank(problem):
    net, w, x, _, _ = problem(4, P=400, d=6, h=8, L=1)
    net.unpack(w)[0][1][:3] = -1e3
    expected = (8 - 3) * (6 + 2) + 1 - (8 - 3)
    assert effective_parameters(net, w, x).rank == expected


def test_few_patterns_bound_the_rank_and_blocks_do_not_matter(problem):
    net, w, x, _, _ = problem(5, P=7, d=6, h=8, L=2)
    found = effective_parameters(net, w, x)
    assert found.rank <= 7 * 7
    blocked = effective_parameters(net, w, x, block=2)
    torch.testing.assert_close(
        torch.from_numpy(found.singular_values), torch.from_numpy(blocked.singular_values)
    )


@pytest.mark.parametrize("phi", ["relu", "tanh"])
def test_mixed_blocks_have_the_same_rank(problem, phi):
    net, w, x, _, _ = problem(3, P=300, d=6, h=8, L=2, activation=phi)
    # The first neuron is on for four patterns alone, the last ones.
    x = x[(x @ net.unpack(w)[0][0][0]).argsort()]
    net.unpack(w)[0][1][0] = -net.prefactors[0] * (x[-5] @ net.unpack(w)[0][0][0])
    found = effective_parameters(net, w, x)
    assert effective_parameters(net, w, x, mixed=True).rank == found.rank
    if phi == "relu":
        assert effective_parameters(net, w, x[:-4], mixed=True).rank < found.rank


def test_wrong_input_is_named(problem):
    net, w, x, _, _ = problem(0)
    with pytest.raises(ValueError, match="cut"):
        effective_parameters(net, w, x, cut=0)
    with pytest.raises(ValueError, match="float64"):
        effective_parameters(net, w.float(), x.float())
    with pytest.raises(ValueError, match="at least one pattern"):
        effective_parameters(net, w, x[:0])

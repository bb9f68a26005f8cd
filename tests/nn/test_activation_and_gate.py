"""Parity rules and closed forms of activations and gates."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from symscape import nn
from symscape.math import normalize2mom


def test_activation_applies_the_normalized_function_on_any_axis() -> None:
    activation = nn.Activation("2x0e+1x1o", [torch.tanh, None])
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).expand(3, 5, 4)
    x = torch.cat([x, x[..., :1]], -1)
    expected = torch.cat([normalize2mom(torch.tanh)(x[..., :2]), x[..., 2:]], -1)
    assert torch.equal(activation(x), expected)
    assert torch.equal(activation(x.transpose(0, 2), dim=0), expected.transpose(0, 2))


def test_parity_of_activations() -> None:
    activation = nn.Activation("1x0o+1x0o+1x0e", [torch.tanh, torch.abs, F.silu])
    assert str(activation.irreps_out) == "1x0o+1x0e+1x0e"
    with pytest.raises(ValueError, match="parity is violated"):
        nn.Activation("2x0o", [F.silu])
    with pytest.raises(ValueError, match="block of 1o"):
        nn.Activation("2x1o", [torch.tanh])
    with pytest.raises(ValueError, match="acts: 1 functions"):
        nn.Activation("2x0o+1x0e", [torch.tanh])


def test_gate_in_closed_form_with_a_sorted_input() -> None:
    gate = nn.Gate(
        "2x0e+1x0o", [F.silu, torch.abs], "1x0o+2x0e", [torch.tanh, torch.sigmoid], "1x2e+2x1o"
    )
    assert str(gate.irreps_in) == "2x0o+4x0e+2x1o+1x2e"
    assert str(gate.irreps_out) == "2x0e+1x0e+1x2o+2x1o"
    x = torch.randn(6, gate.irreps_in.dim, generator=torch.Generator().manual_seed(0))
    scalar_o, gate_o = x[:, 0:1], x[:, 1:2]
    scalars_e, gates_e = x[:, 2:4], x[:, 4:6]
    vectors, quadrupole = x[:, 6:12].unflatten(-1, (2, 3)), x[:, 12:]
    silu, abs_, tanh, sigmoid = map(normalize2mom, (F.silu, torch.abs, torch.tanh, torch.sigmoid))
    expected = [
        silu(scalars_e),
        abs_(scalar_o),
        quadrupole * tanh(gate_o),
        (vectors * sigmoid(gates_e)[..., None]).flatten(-2),
    ]
    torch.testing.assert_close(gate(x), torch.cat(expected, -1))


def test_gate_without_scalars_or_gates() -> None:
    assert nn.Gate("", [], "2x0e", [torch.tanh], "2x1o")(torch.ones(3, 8)).shape == (3, 6)
    assert nn.Gate("2x0e", [torch.tanh], "", [], "")(torch.ones(3, 2)).shape == (3, 2)
    assert nn.Gate("", [], "", [], "")(torch.ones(3, 0)).shape == (3, 0)


@pytest.mark.parametrize("leading", [(), (4,), (4, 3)])
def test_gate_without_scalars_takes_any_leading_dimensions(leading: tuple[int, ...]) -> None:
    gate = nn.Gate("", [], "2x0e", [torch.sigmoid], "2x1o")
    x = torch.ones(*leading, 8, requires_grad=True)
    out = gate(x)
    torch.testing.assert_close(out, gate(torch.ones(1, 8))[0].expand(*leading, 6))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert gradient.shape == x.shape
    assert gradient.all()


def test_gate_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="irreps_scalars"):
        nn.Gate("2x1o", [torch.tanh], "1x0e", [torch.tanh], "1x1o")
    with pytest.raises(ValueError, match="irreps_gates: 1x1e"):
        nn.Gate("2x0e", [torch.tanh], "1x1e", [torch.tanh], "1x1o")
    with pytest.raises(ValueError, match="has 3 scalars; allowed: 1"):
        nn.Gate("2x0e", [torch.tanh], "3x0e", [torch.tanh], "1x1o")


def test_norm_activation_scales_the_norm_and_keeps_the_direction() -> None:
    activation = nn.NormActivation("2x1o+1x2e", F.relu, bias=True)
    with torch.no_grad():
        activation.biases.fill_(-1.0)
    x = torch.randn(50, 11, generator=torch.Generator().manual_seed(0))
    y = activation(x)
    for block in (slice(0, 3), slice(3, 6), slice(6, 11)):
        before, after = x[:, block].norm(dim=-1), y[:, block].norm(dim=-1)
        torch.testing.assert_close(after, F.relu(before - 1))
        torch.testing.assert_close(y[:, block] * before[:, None], x[:, block] * after[:, None])


def test_norm_activation_is_finite_at_zero() -> None:
    for normalize in (True, False):
        activation = nn.NormActivation("2x0e+1x1o", torch.sigmoid, normalize=normalize)
        x = torch.zeros(2, 5, requires_grad=True)
        activation(x).sum().backward()
        assert torch.isfinite(x.grad).all()
    with pytest.raises(ValueError, match="epsilon: 0"):
        nn.NormActivation("1x0e", torch.sigmoid, epsilon=0)
    with pytest.raises(ValueError, match="normalize=False"):
        nn.NormActivation("1x0e", torch.sigmoid, normalize=False, epsilon=1e-3)


def test_fully_connected_net_keeps_the_second_moment() -> None:
    generator = torch.Generator().manual_seed(0)
    net = nn.FullyConnectedNet(
        [64, 512, 512, 256], F.silu, variance_in=4, variance_out=9, out_act=True
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    out = net(2 * torch.randn(2000, 64, generator=generator))
    assert out.square().mean().item() == pytest.approx(9, rel=0.1)
    assert [name for name, _ in net.named_parameters()] == [f"layer{i}.weight" for i in range(3)]
    with pytest.raises(ValueError, match="hs"):
        nn.FullyConnectedNet([3, 0, 2])
    with pytest.raises(ValueError, match="variance_out"):
        nn.FullyConnectedNet([3, 2], variance_out=0)


def test_extract_refuses_wrong_instructions() -> None:
    with pytest.raises(ValueError, match="instructions: 1 given"):
        nn.Extract("2x0e+1x1o", ["2x0e", "1x1o"], [(0,)])
    with pytest.raises(ValueError, match="for the output 1x1o"):
        nn.Extract("2x0e+1x1o", ["1x1o"], [(0,)])
    with pytest.raises(ValueError, match="for the output 1x1o"):
        nn.Extract("2x0e+1x1o", ["1x1o"], [(5,)])
    with pytest.raises(ValueError, match="irreps_out"):
        nn.Identity("2x0e", "2x0o")


def test_neighbors_with_the_same_function_are_one_piece_and_others_keep_their_own() -> None:
    acts = [F.silu, F.silu, torch.tanh, None, None, F.silu]
    activation = nn.Activation("2x0e+0x0e+3x0e+1x1o+1x2e+4x0e", [acts[0], *acts[:1], *acts[2:]])
    x = torch.randn(7, 17, generator=torch.Generator().manual_seed(0))
    silu, tanh = normalize2mom(F.silu), normalize2mom(torch.tanh)
    expected = torch.cat([silu(x[:, :2]), tanh(x[:, 2:5]), x[:, 5:13], silu(x[:, 13:])], -1)
    torch.testing.assert_close(activation(x), expected)
    many = x.repeat(400, 10, 1)
    torch.testing.assert_close(activation(many), expected.repeat(400, 10, 1))


def gate() -> nn.Gate:
    return nn.Gate("2x0e", [F.silu], "1x0o+2x0e", [torch.tanh, torch.sigmoid], "1x2e+2x1o")


def test_hooks_and_replaced_modules_of_a_gate_are_called() -> None:
    x = torch.randn(3, gate().irreps_in.dim, generator=torch.Generator().manual_seed(0))
    expected = gate()(x)
    called: list[int] = []
    for number, name in enumerate(("act_scalars", "act_gates", "mul", "act_gates.acts.1")):
        watched = gate()
        watched.get_submodule(name).register_forward_hook(lambda *_: called.append(1))
        torch.testing.assert_close(watched(x), expected)
        assert len(called) == number + 1
    replaced = gate()
    replaced.act_scalars = torch.nn.Identity()
    torch.testing.assert_close(replaced(x)[:, :2], x[:, 1:3])


def test_hooks_of_activations_and_layers_are_called() -> None:
    called = []
    activation = nn.Activation("2x0e+1x0o", [F.silu, torch.tanh])
    net = nn.FullyConnectedNet([3, 4, 2], F.silu)
    x = torch.linspace(-1, 1, 6).reshape(2, 3)
    for module, inner in ((activation, activation.acts[1]), (net, net.layer0.act)):
        expected = module(x)
        inner.register_forward_hook(lambda *_: called.append(1))
        torch.testing.assert_close(module(x), expected)
    assert called == [1, 1]


def test_net_of_other_modules_is_a_sequence() -> None:
    net = nn.FullyConnectedNet([3, 4, 2], F.silu)
    x = torch.linspace(-1, 1, 6).reshape(2, 3)
    out = net(x)
    net.append(torch.nn.Tanh())
    torch.testing.assert_close(net(x), out.tanh())


def test_constants_of_a_gate_may_be_changed() -> None:
    changed = gate()
    x = torch.randn(3, changed.irreps_in.dim, generator=torch.Generator().manual_seed(0))
    before = changed(x)
    changed.act_scalars.acts[0].cst *= 2
    torch.testing.assert_close(changed(x)[:, :2], 2 * before[:, :2])

"""What every module must do: equivariance, derivatives, copies, compilation, errors."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
import torch.nn.functional as F
from modules import MODULES, irreps_of, outputs, randomize, sample

from symscape import nn, o3
from symscape.testing import equivariance_error

NAMES = list(MODULES)


def make(name: str) -> torch.nn.Module:
    return randomize(MODULES[name]())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-10), (torch.float32, 2e-5)])
def test_equivariance(name: str, dtype: torch.dtype, bound: float) -> None:
    module = make(name).to(dtype)
    irreps_in, irreps_outs = irreps_of(module)
    x = sample(module, dtype=dtype)
    errors = equivariance_error(module, [x], irreps_in, irreps_outs, ntrials=3, generator=5)
    assert all(float(error.max()) < bound for error in errors.values())


@pytest.mark.parametrize("name", NAMES)
def test_output_has_the_dimensions_of_its_irreps_and_keeps_the_dtype(name: str) -> None:
    module = make(name).float()
    for out, irreps in zip(outputs(module, sample(module).float()), irreps_of(module)[1]):
        assert out.shape == (4, 3, irreps.dim)
        assert out.dtype is torch.float32


@pytest.mark.parametrize("name", NAMES)
def test_first_and_second_derivatives(name: str) -> None:
    module = make(name)
    if name.startswith("BatchNorm"):
        module.momentum = 0.0  # a function of its argument, though it is called many times
    x = sample(module)[:2, :2].clone().requires_grad_(True)

    def f(x: torch.Tensor) -> torch.Tensor:
        return torch.cat(outputs(module, x), -1)

    assert torch.autograd.gradcheck(f, x)
    assert torch.autograd.gradgradcheck(f, x)


@pytest.mark.parametrize("name", NAMES)
def test_copies_give_the_same(name: str) -> None:
    module = make(name)
    x = sample(module)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    loaded = MODULES[name]()
    loaded.load_state_dict(torch.load(buffer, weights_only=True))
    others = [copy.deepcopy(module), pickle.loads(pickle.dumps(module)), loaded]
    expected = outputs(module, x)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(outputs(other, x), expected))


@pytest.mark.parametrize("name", NAMES)
def test_torch_func(name: str) -> None:
    module = make(name).eval()
    x = sample(module)
    expected = torch.cat(outputs(module, x), -1)

    def f(x: torch.Tensor) -> torch.Tensor:
        return torch.cat(outputs(module, x), -1)

    if name != "InstanceNorm":  # which normalizes over the axis in the middle
        assert torch.allclose(torch.func.vmap(f, 1, 1)(x), expected)
    jacobian = torch.func.jacrev(f)(x)
    direction = sample(module, seed=2)
    _, tangent = torch.func.jvp(f, (x,), (direction,))
    assert torch.allclose(torch.einsum("abcijk,ijk->abc", jacobian, direction), tangent)


@pytest.mark.parametrize("name", NAMES)
def test_compiles_to_one_graph(name: str) -> None:
    module = make(name).eval()
    x = sample(module)
    expected = outputs(module, x)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=False)
    assert all(torch.allclose(a, b) for a, b in zip(outputs(compiled, x), expected))
    torch._dynamo.reset()


@pytest.mark.parametrize("name", NAMES)
def test_exports(name: str) -> None:
    module = make(name).eval()
    x = sample(module)
    program = torch.export.export(module, (x,))
    # operations of torch, where the module itself runs kernels: equal to rounding
    for a, b in zip(outputs(program.module(), x), outputs(module, x)):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_exports_for_batches_of_any_size(name: str, training: bool) -> None:
    module = make(name).train(training)
    rows = torch.export.Dim("rows")
    program = torch.export.export(module, (sample(module),), dynamic_shapes=({0: rows},)).module()
    for x in (sample(module).repeat(2, 1, 1), sample(module).repeat(2000, 1, 1)):
        torch.manual_seed(0)  # of dropout
        found = outputs(program, x)
        torch.manual_seed(0)
        for a, b in zip(found, outputs(module, x)):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_traces(name: str) -> None:
    """For batches of any size, differentiable, and in a file."""
    module = make(name).eval()
    traced = torch.jit.trace(module, (sample(module),))
    file = io.BytesIO()
    torch.jit.save(traced, file)
    file.seek(0)
    for program in (traced, torch.jit.load(file)):
        x = sample(module, seed=3).repeat(2, 1, 1).requires_grad_()
        found, expected = outputs(program, x), outputs(module, x)
        torch.testing.assert_close(found, expected)
        gradients = (torch.autograd.grad(sum(map(torch.sum, y)), x) for y in (found, expected))
        torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", ["Activation", "Identity", "Extract", "ExtractIr"])
def test_traces_symbolically(name: str) -> None:
    module = make(name)
    x = sample(module)
    traced = torch.fx.symbolic_trace(module)
    assert all(torch.equal(a, b) for a, b in zip(outputs(traced, x), outputs(module, x)))


@pytest.mark.parametrize("name", NAMES)
def test_autocast(name: str) -> None:
    module = make(name).float().eval()
    x = sample(module).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        low = outputs(module, x)
    for a, b in zip(low, outputs(module, x.float())):
        assert torch.allclose(a.float(), b, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_empty_batch_strides_and_nan(name: str) -> None:
    module = make(name).eval()
    x = sample(module)
    if name != "InstanceNorm":
        for out, irreps in zip(outputs(module, x[:0]), irreps_of(module)[1]):
            assert out.shape == (0, 3, irreps.dim)
    turned = x.transpose(0, 1).contiguous().transpose(0, 1)
    expanded = x[:1].expand(4, *x.shape[1:])
    for strange in (turned, expanded):
        expected = outputs(module, strange.clone())
        assert all(torch.allclose(a, b) for a, b in zip(outputs(module, strange), expected))
    assert all(out.isnan().any() for out in outputs(module, torch.full_like(x, torch.nan)))


@pytest.mark.parametrize("name", NAMES)
def test_wrong_length_is_refused(name: str) -> None:
    module = make(name)
    with pytest.raises(ValueError, match="features: shape"):
        module(torch.zeros(4, 3, irreps_of(module)[0].dim + 1))


@pytest.mark.parametrize("name", sorted({*NAMES} - {"Identity", "Extract", "ExtractIr"}))
def test_integers_are_refused(name: str) -> None:
    module = make(name)
    with pytest.raises(ValueError, match=r"features must be of a floating dtype; got .*int64"):
        module(sample(module).long())


def test_integers_are_refused_on_the_sphere_and_by_nets() -> None:
    for module, shape in (
        (nn.S2Activation("0e+1o+2e", torch.tanh, 8), (9,)),
        (nn.SO3Activation(1, 1, torch.tanh, 4), (10,)),
        (nn.FullyConnectedNet([10, 2], torch.tanh), (10,)),
        (o3.Norm("1x0e+3x1o"), (10,)),
        (o3.ToS2Grid(2, 8), (9,)),
        (o3.FromS2Grid(8, 2), o3.ToS2Grid(2, 8)(torch.zeros(9)).shape),
        (o3.SO3Grid(1, 4).to_grid, (10,)),
    ):
        with pytest.raises(ValueError, match=r"must be of a floating dtype; got .*int64"):
            module(torch.ones(shape, dtype=torch.int64))


@pytest.mark.parametrize("name", NAMES)
def test_tensors_without_memory(name: str) -> None:
    module = make(name)
    expected = outputs(module, sample(module))
    found = outputs(module.to("meta"), sample(module).to("meta"))
    assert [out.shape for out in found] == [out.shape for out in expected]


def test_modules_have_readable_names() -> None:
    for name in NAMES:
        module = MODULES[name]()
        assert repr(module).startswith(type(module).__name__)


def test_training_of_a_small_net_goes_down() -> None:
    generator = torch.Generator().manual_seed(0)
    gate = nn.Gate("4x0e", [F.silu], "2x0e", [torch.sigmoid], "2x1o")
    net = torch.nn.Sequential(nn.LayerNorm(gate.irreps_in), gate)
    head = torch.nn.Parameter(torch.randn(gate.irreps_out.dim, 1, generator=generator))
    x = gate.irreps_in.randn(32, -1, generator=generator)
    y = torch.randn(32, 1, generator=generator)
    optimizer = torch.optim.Adam([*net.parameters(), head], 0.05)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (net(x) @ head - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]

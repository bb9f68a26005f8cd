"""torch.func, torch.compile and torch.export: the same numbers as eager code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from contraction_cases import make_product, partly_weighted, random_inputs
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

from symscape.contraction import Product, contract, convolve
from symscape.contraction._reference import _dense_tensor


def on(product: Product, backend: str):
    return lambda x, y, w: contract(product, x, y, w, backend=backend)


def assert_like_reference(product: Product, transform: Callable[..., Any], name: str) -> None:
    expected = transform(on(product, "reference"))
    found = transform(on(product, "cpu"))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("weights", ["shared", "own"])
@pytest.mark.parametrize("mode", ["uvu", "uvw", "uuu"])
def test_func(mode: str, weights: str) -> None:
    product = make_product(mode, 3, 2)
    x, y, w = random_inputs(product, 6, weights)
    x, y = x.reshape(3, 2, -1), y.reshape(3, 2, -1)
    shared = weights == "shared"
    if not shared:
        w = w.reshape(3, 2, -1)
    d = None if shared else 0
    for name, transform in {
        "vmap": lambda f: vmap(f, (0, 0, d))(x, y, w),
        "vmap over axis 1": lambda f: vmap(f, (1, 1, None if shared else 1))(x, y, w),
        "nested": lambda f: vmap(vmap(f, (0, 0, d)), (0, 0, d))(x, y, w),
        "grad": lambda f: grad(lambda w: (f(x, y, w) ** 2).sum())(w),
        "each sample": lambda f: vmap(grad(lambda w, x: (f(x, y[0], w) ** 2).sum()), (d, 0))(w, x),
        "jacobian": lambda f: jacrev(lambda x: f(x, y, w)[0])(x),
        "hessian": lambda f: jacrev(jacrev(lambda y: (f(x, y, w) ** 2).sum()))(y),
        "ensemble": lambda f: vmap(lambda w: f(x, y, w))(torch.stack([w, 2 * w])),
        "ensemble of gradients": lambda f: vmap(grad(lambda w: (f(x, y, w) ** 2).sum()))(
            torch.stack([w, 2 * w])
        ),
    }.items():
        assert_like_reference(product, transform, name)


@pytest.mark.parametrize("weights", ["shared", "own"])
@pytest.mark.parametrize("mode", ["uvu", "uvw", "uuu", "uvu<v"])
def test_forward_mode(mode: str, weights: str) -> None:
    product = make_product(mode, 3, 2)
    x, y, w = random_inputs(product, 3, weights)
    tx, ty, tw = (torch.linspace(-1, 1, t.numel()).reshape(t.shape).to(t) for t in (x, y, w))
    for name, transform in {
        "all": lambda f: jvp(f, (x, y, w), (tx, ty, tw)),
        "jacobian": lambda f: jacfwd(lambda y: f(x, y, w))(y),
        "hessian": lambda f: hessian(lambda w: (f(x, y, w) ** 3).sum())(w),
        "twice": lambda f: jvp(lambda y: jvp(lambda x: f(x, y, w), (x,), (tx,))[1], (y,), (ty,)),
        "in a gradient": lambda f: grad(
            lambda y: (jvp(lambda x: f(x, y, w), (x,), (tx,))[1] ** 2).sum()
        )(y),
        "of forces in a loss": lambda f: jvp(
            grad(lambda w: (grad(lambda x: (f(x, y, w) ** 2).sum())(x) ** 2).sum()), (w,), (tw,)
        ),
    }.items():
        assert_like_reference(product, transform, name)


@pytest.mark.parametrize("weights", ["shared", "own"])
@pytest.mark.parametrize("mode", ["uvu", "uvw", "uuu", "uvu<v"])
def test_transforms_beside_paths_without_weights(mode: str, weights: str) -> None:
    product = partly_weighted(mode, 3, 2, dims=(1, 2, 2))
    inputs = random_inputs(product, 2, weights)
    tangents = [torch.linspace(-1, 1, t.numel()).reshape(t.shape).to(t) for t in inputs]
    found = []
    for backend in ("reference", "cpu"):

        def energy(x: Tensor, y: Tensor, w: Tensor, backend: str = backend) -> Tensor:
            return (contract(product, x, y, w, backend=backend) ** 2).sum()

        def forces(x: Tensor, y: Tensor, w: Tensor, f=energy) -> Tensor:
            return (grad(f)(x, y, w) ** 2).sum()

        found.append(
            [
                hessian(energy, (0, 1, 2))(*inputs),
                jacrev(jacrev(energy, (0, 1, 2)), (0, 1, 2))(*inputs),
                jvp(grad(energy, (0, 1, 2)), inputs, tuple(tangents)),
                jvp(grad(forces, (0, 1, 2)), inputs, tuple(tangents)),
            ]
        )
    torch.testing.assert_close(found[1], found[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("first", ["transform", "fake tensors", "inference"])
def test_tables_belong_to_no_transform_or_mode(first: str) -> None:
    """Those that are first asked for in a transform or a mode serve other calls, too."""
    product = make_product("uvu", 3, 2, dims=(2, 3, 4))
    inputs = random_inputs(product, 2)
    _dense_tensor.cache_clear()

    def energy(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return (contract(product, x, y, w, backend="reference") ** 2).sum()

    if first == "transform":
        hessian(energy)(*inputs)
    elif first == "inference":
        with torch.inference_mode():
            energy(*inputs)
    else:
        with FakeTensorMode() as mode:
            energy(*map(mode.from_tensor, inputs))
    leaves = [t.clone().requires_grad_() for t in inputs]
    gradients = torch.autograd.grad(energy(*leaves), leaves)
    for found, expected in zip(grad(energy, (0, 1, 2))(*inputs), gradients):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("make", [make_product, partly_weighted])
def test_forward_mode_of_a_graph(make: Callable[..., Product]) -> None:
    product = make("uvu", 3, 1)
    x, y, w = random_inputs(product, 4, "own")
    source, destination = torch.tensor([0, 1, 3, 3]), torch.tensor([2, 0, 0, 1])
    found = []
    for backend in ("reference", "cpu"):

        def messages(x: Tensor, w: Tensor, backend: str = backend) -> Tensor:
            return convolve(product, x, y, w, source, destination, 4, backend=backend)

        def energy(x: Tensor, f=messages) -> Tensor:
            return (f(x, w) ** 2).sum()

        found.append([*jvp(messages, (x, w), (y.sum() * x, w + 1)), hessian(energy)(x)])
    torch.testing.assert_close(found[1], found[0], rtol=1e-11, atol=1e-11)


def test_func_of_graph() -> None:
    product = make_product("uvu", 3, 1)
    x, y, w = random_inputs(product, 4, "shared")
    source, destination = torch.tensor([0, 1, 3, 3]), torch.tensor([2, 0, 0, 1])
    found = []
    for backend in ("reference", "cpu"):

        def energy(x: Tensor, w: Tensor, backend: str = backend) -> Tensor:
            return (convolve(product, x, y, w, source, destination, 4, backend=backend) ** 2).sum()

        found.append(vmap(grad(energy), (0, None))(torch.stack([x, 2 * x]), w))
    torch.testing.assert_close(found[1], found[0], rtol=1e-11, atol=1e-11)


class Layer(torch.nn.Module):
    def __init__(self, product: Product) -> None:
        super().__init__()
        self.product = product
        self.weight = torch.nn.Parameter(torch.linspace(-1, 1, product.weight_numel))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return contract(self.product, x, y, self.weight)


class Convolution(Layer):
    def forward(self, x: Tensor, y: Tensor, ends: Tensor) -> Tensor:
        return convolve(self.product, x, y, self.weight, *ends.unbind(1), x.shape[0])


class Message(Layer):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        nodes = torch.arange(x.shape[0])
        return convolve(self.product, x, y, self.weight, nodes, nodes.flip(0), x.shape[0])


@pytest.mark.parametrize("layer", [Layer, Message])
def test_compile(layer: type[Layer]) -> None:
    """Forward and backward, without a graph break."""
    module = layer(make_product("uvw", 3, 2))
    x, y, _ = random_inputs(module.product, 5, "shared", torch.float32)
    x.requires_grad_()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    leaves = [x, module.weight]
    results = []
    for call in (module, compiled):
        out = call(x, y)
        results.append([out, *torch.autograd.grad((out**2).sum(), leaves)])
    for one, other in zip(*results):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("program", ["compiled", "exported"])
@pytest.mark.parametrize("mode", ["uvu", "uvw"])
def test_edges_of_a_program(mode: str, program: str) -> None:
    """The ends of the edges in any layout; those out of range are refused when it runs."""
    module = Convolution(make_product(mode, 3, 2)).requires_grad_(False)
    x, y, _ = random_inputs(module.product, 5, "shared", torch.float32)
    ends = torch.tensor([[0, 1], [4, 2], [2, 2], [1, 0], [3, 4]])
    if program == "compiled":
        recorded = torch.compile(module, fullgraph=True, backend="aot_eager")
    else:
        recorded = torch.export.export(module, (x, y, ends)).module()
    for given in (ends, ends.T.contiguous().T, ends[3:4].expand(5, 2)):
        torch.testing.assert_close(recorded(x, y, given), module(x, y, given))
    for column, name in enumerate(("source", "destination")):
        for wrong in (-1, 5):
            bad = ends.clone()
            bad[2, column] = wrong
            with pytest.raises(ValueError, match=f"{name} must be within 0 and 4, the nodes"):
                recorded(x, y, bad)


def test_export() -> None:
    """An exported program takes any number of rows."""
    module = Layer(make_product("uvw", 3, 2))
    x, y, _ = random_inputs(module.product, 5, "shared", torch.float32)
    rows = torch.export.Dim("rows")
    program = torch.export.export(module, (x, y), dynamic_shapes={"x": {0: rows}, "y": {0: rows}})
    x, y, _ = random_inputs(module.product, 8, "shared", torch.float32)
    torch.testing.assert_close(program.module()(x, y), module(x, y))

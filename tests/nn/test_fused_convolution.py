"""The fused convolution is the product of gathered features, summed at the destinations."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

from symscape import nn
from symscape.o3 import FullyConnectedTensorProduct, TensorProduct
from symscape.testing import assert_equivariant


def depthwise() -> TensorProduct:
    instructions = [(0, 0, 0, "uvu", True), (0, 1, 1, "uvu", True), (1, 1, 0, "uvu", True)]
    return TensorProduct(
        "4x0e+4x1o",
        "0e+1o",
        "4x0e+4x1o",
        instructions,
        internal_weights=False,
        shared_weights=False,
    )


def graph(nodes: int = 6, edges: int = 17) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    src = torch.randint(nodes, (edges,), generator=generator)
    dst = torch.randint(nodes - 1, (edges,), generator=generator)  # the last node hears nothing
    return src, dst


def inputs(product: TensorProduct, nodes: int = 6, edges: int = 17) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    weight = (
        (edges, product.weight_numel) if not product.shared_weights else (product.weight_numel,)
    )
    shapes = [(nodes, product.irreps_in1.dim), (edges, product.irreps_in2.dim), weight]
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]


def test_equals_gather_product_and_sum() -> None:
    src, dst = graph()
    for product in (depthwise(), FullyConnectedTensorProduct("2x0e+1x1o", "0e+1o", "2x0e+2x1o")):
        x, y, weight = inputs(product)
        fused = nn.FusedConvolution(product)(x, y, weight, src, dst, 6)
        plain = torch.zeros(6, product.irreps_out.dim).index_add(0, dst, product(x[src], y, weight))
        torch.testing.assert_close(fused, plain)
        assert fused[5].count_nonzero() == 0
        for a, b in zip(
            torch.autograd.grad(fused.square().sum(), (x, y, weight)),
            torch.autograd.grad(plain.square().sum(), (x, y, weight)),
        ):
            torch.testing.assert_close(a, b)


def test_internal_weights_are_used_and_saved() -> None:
    product = FullyConnectedTensorProduct("2x0e+1x1o", "0e+1o", "2x0e+2x1o")
    module = nn.FusedConvolution(product)
    src, dst = graph()
    x, y, _ = inputs(product)
    expected = module(x, y, product.weight, src, dst, 6)
    assert torch.equal(module(x, y, None, src, dst, 6), expected)
    other = copy.deepcopy(module)
    assert list(other.state_dict()) == ["tensor_product.weight", "tensor_product.output_mask"]
    assert torch.equal(other(x, y, None, src, dst, 6), expected)


def test_equivariance() -> None:
    product = depthwise()
    module = nn.FusedConvolution(product)
    src, dst = graph()
    x, y, weight = (tensor.detach() for tensor in inputs(product))

    def f(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return module(x, y, weight, src, dst, 6)

    irreps_in = [product.irreps_in1, product.irreps_in2]
    assert_equivariant(f, [x, y], irreps_in, product.irreps_out, 1e-10)


def test_forces_and_their_training() -> None:
    product = depthwise()
    module = nn.FusedConvolution(product)
    src, dst = graph(3, 5)[0] % 3, graph(3, 5)[1] % 3
    x, y, weight = inputs(product, 3, 5)

    def f(x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return module(x, y, weight, src, dst, 3)

    assert torch.autograd.gradcheck(f, (x, y, weight))
    assert torch.autograd.gradgradcheck(f, (x, y, weight))


def test_wrong_arguments_are_refused() -> None:
    module = nn.FusedConvolution(depthwise())
    src, dst = graph()
    x, y, weight = inputs(depthwise())
    with pytest.raises(ValueError, match="weight"):
        module(x, y, None, src, dst, 6)
    with pytest.raises(ValueError, match="destination"):
        module(x, y, weight, src, dst, 3)
    assert module(x, y[:0], weight[:0], src[:0], dst[:0], 6).shape == (6, 16)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_traces() -> None:
    """For graphs of any number of edges."""
    for product in (depthwise(), FullyConnectedTensorProduct("2x0e+1x1o", "0e+1o", "2x0e+2x1o")):
        module = nn.FusedConvolution(product)
        found = []
        for edges in (17, 30):
            arguments = (*inputs(product, edges=edges), *graph(edges=edges))
            if not found:
                program = torch.jit.trace(module, (*arguments, torch.tensor(6)))
            outs = [f(*arguments, torch.tensor(6)) for f in (program, module)]
            found += [(out, *torch.autograd.grad(out.sum(), arguments[:3])) for out in outs]
        torch.testing.assert_close(found[0], found[1])
        torch.testing.assert_close(found[2], found[3])


def test_tensors_without_memory() -> None:
    product = depthwise()
    arguments = [t.to("meta") for t in (*inputs(product), *graph())]
    assert nn.FusedConvolution(product).to("meta")(*arguments, 6).shape == (6, 16)


def test_compiles_exports_and_transforms() -> None:
    class OnGraph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.FusedConvolution(depthwise())

        def forward(self, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            return self.convolution(x, y, weight, src, dst, 6)

    src, dst = graph()
    module = OnGraph()
    arguments = tuple(inputs(depthwise()))
    expected = module(*arguments)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*arguments), expected)
    torch._dynamo.reset()
    exported = torch.export.export(module, arguments).module()
    torch.testing.assert_close(exported(*arguments), expected)
    (gradient,) = torch.autograd.grad(expected.sum(), arguments[0])
    transformed = torch.func.grad(lambda x: module(x, *arguments[1:]).sum())(arguments[0])
    torch.testing.assert_close(transformed, gradient)
    assert torch.equal(
        pickle.loads(pickle.dumps(module.convolution))(*arguments, src, dst, 6), expected
    )

"""convolve against contract and index_add, its derivatives, and graphs of every shape."""

from __future__ import annotations

import pytest
import torch
from contraction_cases import make_product, partly_weighted, random_inputs
from torch import Tensor

from symscape.contraction import Product, contract, convolve
from symscape.contraction._ops import edge_order

BACKENDS = ("reference", "cpu")
CASES = [
    ("uvu", 9, 1, "own"),
    ("uvu", 3, 2, "shared"),
    ("uvv", 2, 5, "own"),
    ("uuu", 5, 5, "own"),
    ("uvw", 3, 2, "shared"),
    ("uvw", 3, 2, "own"),
    ("uvuv", 3, 2, "none"),
]
NODES, EDGES = 6, 25


def graph(order: str) -> tuple[Tensor, Tensor]:
    """Source and destination; node 2 has no edges, and node 4 only outgoing ones."""
    generator = torch.Generator().manual_seed(0)
    nodes = torch.tensor([0, 1, 3, 5])
    destination = nodes[torch.randint(4, (EDGES,), generator=generator)]
    nodes = torch.tensor([0, 1, 3, 4, 5])
    source = nodes[torch.randint(5, (EDGES,), generator=generator)]
    if order == "sorted":
        destination = destination.sort().values
    return source, destination


def inputs_of(
    product: Product, weights: str, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor | None]:
    x = random_inputs(product, NODES, weights, dtype)[0]
    _, y, w = random_inputs(product, EDGES, weights, dtype)
    return x, y, w


@pytest.mark.parametrize("order", ["sorted", "unsorted"])
@pytest.mark.parametrize(("mode", "mul1", "mul2", "weights"), CASES)
def test_sum_of_messages(mode: str, mul1: int, mul2: int, weights: str, order: str) -> None:
    """Outputs and derivatives up to the third are those of contract and index_add."""
    product = make_product(mode, mul1, mul2, weighted=weights != "none")
    source, destination = graph(order)
    x, y, w = inputs_of(product, weights)
    leaves = [t.requires_grad_() for t in (x, y, w) if t is not None]
    more = NODES + 2  # nodes beyond the largest destination are isolated, too
    messages = contract(product, x[source], y, w, backend="reference")
    expected = messages.new_zeros(more, product.dim_out).index_add(0, destination, messages)
    results = [expected]
    results += [convolve(product, x, y, w, source, destination, more, backend=b) for b in BACKENDS]
    found = []
    for out in results:
        first = torch.autograd.grad((out**2).sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum((t**2).sum() for t in first), leaves, create_graph=True)
        third = torch.autograd.grad(sum((t**2).sum() for t in second), leaves)
        found.append([out, *first, *second, *third])
    assert not results[2][[2, 4, 6, 7]].any()
    for others in found[1:]:
        for other, right in zip(others, found[0]):
            torch.testing.assert_close(other, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("weights", ["shared", "own"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives(backend: str, weights: str) -> None:
    product = make_product("uvu", 2, 1, dims=(1, 2, 2))
    source, destination = torch.tensor([1, 0, 1]), torch.tensor([2, 0, 0])
    x, y, w = (random_inputs(product, 3, weights)[i] for i in range(3))
    inputs = [x[:2].clone().requires_grad_(), y.requires_grad_(), w.requires_grad_()]

    def function(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        return convolve(product, x, y, w, source, destination, 3, backend=backend)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("weights", ["shared", "own"])
@pytest.mark.parametrize("mode", ["uvu", "uvw", "uuu"])
def test_derivatives_beside_paths_without_weights(mode: str, weights: str) -> None:
    product = partly_weighted(mode, 3, 2)
    source, destination = graph("unsorted")
    leaves = [t.requires_grad_() for t in inputs_of(product, weights) if t is not None]
    found = []
    for backend in BACKENDS:
        out = convolve(product, *leaves, source, destination, NODES, backend=backend)
        results, loss = [out], (out**2).sum()
        for _ in range(2):
            results += torch.autograd.grad(loss, leaves, create_graph=True)
            loss = sum((t**2).sum() for t in results[-3:])
        found.append([*results, *torch.autograd.grad(loss, leaves)])
    for reference, fast in zip(*found):
        torch.testing.assert_close(fast, reference, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("backend", BACKENDS)
def test_strides_of_the_ends(backend: str, dtype: torch.dtype) -> None:
    """Columns of an array of edges, and one node that is the source of all."""
    product = make_product("uvu", 3, 1)
    x, y, w = inputs_of(product, "own")
    x.requires_grad_()
    ends = torch.stack(graph("unsorted"), 1).to(dtype)
    for source in (ends[:, 0], ends[3, 0].expand(EDGES)):
        found = []
        for index in ((source, ends[:, 1]), (source.contiguous(), ends[:, 1].contiguous())):
            out = convolve(product, x, y, w, *index, NODES, backend=backend)
            found.append([out, *torch.autograd.grad((out**2).sum(), x)])
        torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_deterministic() -> None:
    """The same bits in every run, for any number of threads."""
    product = make_product("uvu", 32, 1)
    generator = torch.Generator().manual_seed(1)
    edges, nodes = 20_000, 50
    source = torch.randint(nodes, (edges,), generator=generator)
    destination = torch.randint(nodes, (edges,), generator=generator)
    x = random_inputs(product, nodes, "shared", torch.float32)[0]
    _, y, w = random_inputs(product, edges, "shared", torch.float32)
    leaves = [t.requires_grad_() for t in (x, y, w)]
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 3, 3):
            torch.set_num_threads(number)
            out = convolve(product, *leaves, source, destination, nodes)
            found.append([out, *torch.autograd.grad((out**2).sum(), leaves)])
    finally:
        torch.set_num_threads(threads)
    for others in found[1:]:
        for one, other in zip(found[0], others):
            assert torch.equal(one, other)


@pytest.mark.parametrize("nodes", [7, 2**16, 2**16 + 1, 2**33])
def test_order_of_edges(nodes: int) -> None:
    """Sorted by node, and within a node by edge, for any number of nodes."""
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(nodes, (500,), generator=generator)
    index[::3] = nodes - 1
    assert torch.equal(edge_order(index, nodes), torch.argsort(index, stable=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_edges(backend: str) -> None:
    product = make_product("uvu", 3, 1)
    x, y, w = inputs_of(product, "shared")
    leaves = [x.requires_grad_(), w.requires_grad_()]
    nothing = torch.zeros(0, dtype=torch.int64)
    out = convolve(product, x, y[:0], w, nothing, nothing, 4, backend=backend)
    assert out.shape == (4, product.dim_out)
    assert not out.any()
    for gradient, leaf in zip(torch.autograd.grad(out.sum(), leaves), leaves):
        assert gradient.shape == leaf.shape
        assert not gradient.any()


def test_memory() -> None:
    """No array of edges x dim_out: the largest result is what the caller gets."""
    product = make_product("uvu", 8, 1)
    edges, nodes = 5000, 10
    source = torch.arange(edges) % nodes
    x = random_inputs(product, nodes, "own")[0].requires_grad_()
    _, y, w = random_inputs(product, edges, "shared")
    with torch.profiler.profile(profile_memory=True) as profile:
        out = convolve(product, x, y, w, source, source, nodes)
        torch.autograd.grad(out.sum(), x)
    largest = max(event.self_cpu_memory_usage for event in profile.events())
    assert largest < edges * product.dim_out * 8 / 5


def test_errors() -> None:
    product = make_product("uvu", 3, 1)
    x, y, w = inputs_of(product, "own")
    source, destination = graph("unsorted")

    def check(message: str, **changes: object) -> None:
        arguments = {
            "x": x,
            "y": y,
            "weight": w,
            "source": source,
            "destination": destination,
            "num_nodes": NODES,
        }
        with pytest.raises(ValueError, match=message):
            convolve(product, **(arguments | changes))  # type: ignore[arg-type]

    check("source must be within 0 and 5, the nodes; got 9 to 9", source=source * 0 + 9)
    check("source must be within 0 and 5", source=source - 9)
    check("destination must be within 0 and 3", num_nodes=4)
    check("num_nodes must not be negative", num_nodes=-1)
    check(r"shape \(edges = 25,\); got torch.int64 of shape \(24,\)", source=source[1:])
    check("int64 or int32", destination=destination.double())
    check("one row for each edge; got 24 and 25", weight=w[1:])
    check(r"\(nodes, dim_in1\)", x=x[None])

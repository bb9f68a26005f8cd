"""nn.models against the installed e3nn: same state dicts, outputs and gradients to 1e-12.

Some modules of e3nn import torch_scatter, torch_cluster, torch_geometric or MinkowskiEngine, of
which they use a function or two; here these are replaced by plain torch.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace

import pytest
import torch

from symscape.nn.models import (
    gate_points_2101,
    gate_points_2102,
    v2103,
    v2104,
    v2106,
    v2203,
)
from symscape.nn.models._graph import radius_graph
from symscape.o3 import Irreps

pytest.importorskip("e3nn", reason="the peer e3nn is not installed")

OURS = "symscape.nn.models"
THEIRS = "e3nn.nn.models"
MODULES = [
    "gate_points_2101",
    "gate_points_2102",
    "v2103.conv_points_in_out",
    "v2103.gate_points_message_passing",
    "v2103.gate_points_networks",
    "v2103.points_convolution",
    "v2103.voxel_convolution",
    "v2104.voxel_convolution",
    "v2106.gate_points_message_passing",
    "v2106.gate_points_networks",
    "v2106.points_convolution",
    "v2203.sparse_voxel_convolution",
]
assert all(package for package in (gate_points_2101, gate_points_2102, v2103, v2104, v2106, v2203))


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def scatter(src, index, dim=0, dim_size=None):
    dim_size = int(index.max()) + 1 if dim_size is None else dim_size
    return src.new_zeros(dim_size, src.shape[1]).index_add(0, index, src)


def near_points(pos, r, batch=None, max_num_neighbors=32):
    assert max_num_neighbors == len(pos) - 1
    return radius_graph(pos, r, batch)


@pytest.fixture(scope="module")
def peer() -> Iterator[object]:
    """Imports a module of e3nn.nn.models."""
    replaced = {
        "torch_scatter": {"scatter": scatter},
        "torch_cluster": {"radius_graph": near_points},
        "torch_geometric": {},
        "torch_geometric.data": {"Data": dict},
        "MinkowskiEngine": {
            "KernelGenerator": lambda *_, **__: None,
            "MinkowskiConvolutionFunction": lambda: None,
            "SparseTensor": SimpleNamespace,
        },
        "MinkowskiEngineBackend": {},
        "MinkowskiEngineBackend._C": {"ConvolutionMode": None},
    }
    patch = pytest.MonkeyPatch()
    for name, contents in replaced.items():
        module = ModuleType(name)
        vars(module).update(contents)
        patch.setitem(sys.modules, name, module)
    yield lambda name: importlib.import_module(f"{THEIRS}.{name}")
    patch.undo()
    for name in [name for name in sys.modules if name.startswith(THEIRS)]:
        del sys.modules[name]


def ours(name: str) -> ModuleType:
    return importlib.import_module(f"{OURS}.{name}")


@pytest.mark.parametrize("name", MODULES)
def test_names_and_arguments(name: str, peer) -> None:
    theirs = peer(name)
    for key, value in vars(theirs).items():
        own = getattr(value, "__module__", "") == theirs.__name__
        if not own or key.startswith("test"):
            continue
        mine = getattr(ours(name), key)
        assert_takes_the_same(mine, value)
        if isinstance(value, type):
            for method in ("forward", "preprocess", "kernel"):
                if method in vars(value):
                    assert_takes_the_same(getattr(mine, method), getattr(value, method))


def assert_takes_the_same(mine: object, theirs: object) -> None:
    """The same arguments by position and by name; more only if they may be left out."""
    a, b = (list(inspect.signature(f).parameters.values()) for f in (mine, theirs))
    assert [x.name for x in a[: len(b)]] == [x.name for x in b]
    assert all(x.default == y.default for x, y in zip(a, b) if y.default is not y.empty)
    assert all(x.default is not x.empty for x in a[len(b) :])


def same(mine: torch.nn.Module, theirs: torch.nn.Module, *args, atol: float = 1e-12) -> None:
    """With random weights: state dicts, outputs and gradients."""
    state = {key: value for key, value in theirs.state_dict().items() if "_compiled" not in key}
    own = mine.state_dict()
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in state.items()}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    mine.load_state_dict(theirs.state_dict())
    results = []
    for module in (mine, theirs):
        out = module(*args)
        leaves = [*tensors(args), *module.parameters()]
        cotangent = torch.linspace(1, 2, out.numel()).reshape(out.shape)
        gradients = torch.autograd.grad((out * cotangent).sum(), leaves, allow_unused=True)
        results.append([out, *gradients])
    assert results[0][0].abs().max() > 1e-3
    for a, b in zip(*results):
        if a is None or b is None:  # does not matter, or its gradient is zero
            assert all(g is None or g.count_nonzero() == 0 for g in (a, b))
        else:
            scale = max(1.0, float(b.detach().abs().max()) if b.numel() else 0.0)
            torch.testing.assert_close(a, b, rtol=0, atol=atol * scale)


def tensors(args) -> list[torch.Tensor]:
    """Those of the arguments that need gradients."""
    found = []
    for arg in args:
        values = arg.values() if isinstance(arg, dict) else [arg]
        found += [value for value in values if getattr(value, "requires_grad", False)]
    return found


def same_weights_from_a_seed(make_ours, make_theirs) -> None:
    modules = []
    for make in (make_ours, make_theirs):
        torch.manual_seed(3)
        modules.append(make())
    expected = dict(modules[1].named_parameters())
    for name, parameter in modules[0].named_parameters():
        assert torch.equal(parameter, expected[name])


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def graph_inputs(conv: object, nodes: int, edges: int, scalars: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(nodes, (2, edges), generator=generator)
    return [
        draw(nodes, conv.lin1.irreps_in1.dim, seed=1),
        draw(nodes, conv.lin1.irreps_in2.dim, seed=2),
        source,
        target,
        draw(edges, conv.tp.irreps_in2.dim, seed=3),
        draw(edges, scalars, seed=4),
    ]


IRREPS = [
    ("3x0e+2x1o", "0e", "0e+1o+2e", "2x0e+1x1o+2x2e"),
    ("2x0e+1x0o+2x1e", "2x0e+1o", "0e+1o", "2x0o+3x1o+1x1e"),
    ("4x1o+1x2e+2x1o", "0e+0e", "1o+2e", "1x2o+2x1e+1x0e"),
]


@pytest.mark.parametrize("irreps", IRREPS)
@pytest.mark.parametrize("name", ["gate_points_2101", "gate_points_2102"])
def test_convolutions_of_2021(name: str, irreps: tuple[str, ...], peer) -> None:
    arguments = (*irreps, 3, 1, 7, 2.5)
    mine, theirs = (module.Convolution(*arguments) for module in (ours(name), peer(name)))
    same(mine, theirs, *graph_inputs(theirs, 5, 12, 3))
    same_weights_from_a_seed(
        lambda: ours(name).Convolution(*arguments), lambda: peer(name).Convolution(*arguments)
    )


@pytest.mark.parametrize("irreps", IRREPS)
@pytest.mark.parametrize("version", ["v2103", "v2106"])
def test_points_convolution(version: str, irreps: tuple[str, ...], peer) -> None:
    name = f"{version}.points_convolution"
    arguments = (*irreps, [3, 6], 2.5)
    mine, theirs = (module.Convolution(*arguments) for module in (ours(name), peer(name)))
    same(mine, theirs, *graph_inputs(theirs, 5, 12, 3))


def test_conv_points_in_out(peer) -> None:
    name = "v2103.conv_points_in_out"
    arguments = ("0e+2x1e", "0e+1e+2e", "2x0e", "3x0e+1e", "0e+1e", 4, 1, 5, 3.0)
    mine, theirs = (module.Convolution(*arguments) for module in (ours(name), peer(name)))
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(5, (9,), generator=generator)
    target = torch.randint(3, (9,), generator=generator)
    inputs = [draw(5, 7), draw(5, 2), draw(3, 6), source, target, draw(9, 4), draw(9, 4)]
    same(mine, theirs, *inputs)


def data(irreps: dict[str, str], batched: bool) -> dict[str, torch.Tensor]:
    """Ten points, of which all numbers are those of e3nn: more are wrong there."""
    found = {"pos": draw(10, 3, seed=8)}
    found |= {key: draw(10, Irreps(ir).dim, seed=9) for key, ir in irreps.items()}
    if batched:
        found["batch"] = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    return found


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("name", ["gate_points_2101", "gate_points_2102"])
@pytest.mark.parametrize(
    ("x", "z"), [("3x0e+2x1o", "2x0e+1o"), (None, "0e+0o"), ("2x0e", None), (None, None)]
)
def test_networks_of_2021(name: str, batched: bool, x: str, z: str, peer) -> None:
    arguments = (x, "3x0e+2x0o+2x1o+0e+1x2e", "2x0e+1o", z, "0e+1o+2e", 2, 2.0, 4, 1, 6, 3.0, 5.0)
    mine, theirs = (
        module.Network(*arguments, reduce_output=batched) for module in (ours(name), peer(name))
    )
    inputs = data({k: v for k, v in (("x", x), ("z", z)) if v}, batched)
    same(mine, theirs, inputs)


@pytest.mark.parametrize(("edge_attr", "layers"), [("0e+1e", 3), ("1o", 1)])
def test_message_passing_v2103(edge_attr: str, layers: int, peer) -> None:
    name = "v2103.gate_points_message_passing"
    arguments = ("0e", "2x0e+1e+0e+1o", "1e", "0e+1e", edge_attr, layers, [2, 8], 3.0)
    mine, theirs = (module.MessagePassing(*arguments) for module in (ours(name), peer(name)))
    inputs = messages(Irreps(edge_attr).dim)
    same(mine, theirs, *inputs)


def test_message_passing_without_paths(peer) -> None:
    """No path leads to the hidden irreps: e3nn's result is zero, and so is ours."""
    name = "v2103.gate_points_message_passing"
    arguments = ("0e", "2x0e+1e+0e", "1e", "0e+1e", "1e", 3, [2, 8], 3.0)
    mine, theirs = (module.MessagePassing(*arguments) for module in (ours(name), peer(name)))
    mine.load_state_dict(theirs.state_dict())
    for module in (mine, theirs):
        assert module(*messages(3)).count_nonzero() == 0


def messages(dim: int) -> list[torch.Tensor]:
    """Scalars on four nodes, attributes 0e+1e, nine edges with attributes of this dimension."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(4, (2, 9), generator=generator)
    return [draw(4, 1), draw(4, 4), source, target, draw(9, dim), draw(9, 2)]


def test_message_passing_v2106(peer) -> None:
    name = "v2106.gate_points_message_passing"
    sequence = ["0e", "2x0e+1e", "0e+2x0e+1e", "2x1e+0o", "1e"]
    arguments = (sequence, "0e+1e", "0e+1e", [2, 8], 3.0)
    mine, theirs = (module.MessagePassing(*arguments) for module in (ours(name), peer(name)))
    assert list(map(str, mine.irreps_node_sequence)) == list(map(str, theirs.irreps_node_sequence))
    same(mine, theirs, *messages(4))


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("version", ["v2103", "v2106"])
def test_simple_network(version: str, batched: bool, peer) -> None:
    name = f"{version}.gate_points_networks"
    options = {"mul": 3, "layers": 2, "lmax": 1 if batched else 2, "pool_nodes": batched}
    mine, theirs = (
        module.SimpleNetwork("3x0e+2x1o", "2x0e+1x1o", 2.0, 3.0, 5.0, **options)
        for module in (ours(name), peer(name))
    )
    inputs = data({"x": "3x0e+2x1o"}, batched)
    same(mine, theirs, inputs)
    for a, b in zip(mine.preprocess(inputs), theirs.preprocess(inputs)):
        assert torch.equal(a, b)
    assert str(mine.irreps_in) == str(theirs.irreps_in)
    assert str(mine.irreps_out) == str(theirs.irreps_out)


@pytest.mark.parametrize("version", ["v2103", "v2106"])
def test_network_with_attributes(version: str, peer) -> None:
    name = f"{version}.gate_points_networks"
    arguments = ("3x0e+2x1o", "2x0e+1x1o", "1e", "3x0o+1e", 2.0, 3.0, 5.0)
    options = {"mul": 3, "layers": 2, "lmax": 1}
    mine, theirs = (
        module.NetworkForAGraphWithAttributes(*arguments, **options)
        for module in (ours(name), peer(name))
    )
    inputs = {
        "pos": draw(3, 3),
        "edge_index": torch.tensor([[0, 1, 2], [1, 2, 0]]),
        "node_input": draw(3, 9, seed=2),
        "node_attr": draw(3, 5, seed=3),
        "edge_attr": draw(3, 3, seed=4),
    }
    same(mine, theirs, inputs)
    if version == "v2106":
        edges = radius_graph(inputs["pos"], 2.0).shape[1]
        del inputs["edge_index"]
        inputs["edge_attr"] = draw(edges, 3, seed=5)
        same(mine, theirs, inputs)
        inputs["x"] = draw(3, 9, seed=6)
        inputs["node_input"] = inputs["node_input"].detach()
        same(mine, theirs, inputs)


VOXELS = ("0e+2x1e", "2x0e+1e+1o+2e", "0e+1o+2e")


def test_voxel_convolution_v2103(peer) -> None:
    name = "v2103.voxel_convolution"
    x = draw(2, 7, 6, 6, 6)
    mine, theirs = (module.Convolution(*VOXELS, 5) for module in (ours(name), peer(name)))
    same(mine, theirs, x)
    arguments = (*VOXELS, 5, (1.0, 1.5, 3.1))
    mine, theirs = (module.Convolution(*arguments) for module in (ours(name), peer(name)))
    theirs.kwargs["padding"] = (2, 1, 0)  # its own fails: wider than the kernel
    same(mine, theirs, x)


@pytest.mark.parametrize(("diameter", "steps"), [(5, (1, 1, 1)), (4.5, (1.0, 0.7, 2.3))])
def test_voxel_convolution_v2104(diameter: float, steps: tuple, peer) -> None:
    name = "v2104.voxel_convolution"
    mine, theirs = (
        module.Convolution(*VOXELS, diameter, 3, steps) for module in (ours(name), peer(name))
    )
    same(mine, theirs, draw(2, 7, 6, 5, 4))
    torch.testing.assert_close(mine.kernel(), theirs.kernel(), rtol=1e-12, atol=1e-12)
    assert mine.kwargs == theirs.kwargs


def test_sparse_voxel_convolution(peer) -> None:
    name = "v2203.sparse_voxel_convolution"
    mine, theirs = (
        module.Convolution(*VOXELS, 4.5, 3, (1.0, 0.7, 2.3)) for module in (ours(name), peer(name))
    )
    mine.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(mine.kernel(), theirs.kernel(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("version", ["v2103", "v2104"])
@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2}, {"stride": 2, "transposed": True}, {"steps": (1.0, 2.0, 1.5)}],
)
def test_low_pass_filter(version: str, options: dict, peer) -> None:
    name = f"{version}.voxel_convolution"
    image = draw(2, 3, 9, 8, 7)
    if "steps" in options:  # the padding fits the finest axis only
        mine, theirs = (module.LowPassFilter(2.0, **options) for module in (ours(name), peer(name)))
        torch.testing.assert_close(mine.kernel, theirs.kernel, rtol=1e-12, atol=1e-12)
    for scale in (2.0, 3.3):
        mine, theirs = (
            module.LowPassFilter(scale, **options) for module in (ours(name), peer(name))
        )
        same(mine, theirs, image)
    assert torch.equal(ours(name).LowPassFilter(1.0)(image), peer(name).LowPassFilter(1.0)(image))


@pytest.mark.parametrize("name", ["gate_points_2101", "gate_points_2102"])
def test_functions(name: str, peer) -> None:
    mine, theirs = ours(name), peer(name)
    x = torch.linspace(-1, 2, 31)
    torch.testing.assert_close(mine.smooth_cutoff(x), theirs.smooth_cutoff(x), rtol=0, atol=1e-15)
    for ir in ("0e", "1o", "2o", "3e"):
        for other in ("0e", "1o+2x1e", "0x1o+0e"):
            assert mine.tp_path_exists("2x0e+1o", other, ir) is theirs.tp_path_exists(
                "2x0e+1o", other, ir
            )
    pos = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    batch = torch.arange(20) // 7
    assert torch.equal(mine.radius_graph(pos, 1.5, batch), theirs.radius_graph(pos, 1.5, batch))
    src, index = draw(7, 3), torch.tensor([0, 3, 1, 1, 0, 3, 3])
    torch.testing.assert_close(mine.scatter(src, index, 5), theirs.scatter(src, index, 5))

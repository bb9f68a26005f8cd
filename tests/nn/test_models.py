"""Models on points and voxels: symmetry, neighbors, sparse against dense, wrong input."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from symscape.nn.models import gate_points_2101, gate_points_2102
from symscape.nn.models._graph import radius_graph
from symscape.nn.models.v2103 import gate_points_networks as v2103
from symscape.nn.models.v2103.voxel_convolution import Convolution as Cube
from symscape.nn.models.v2104.voxel_convolution import Convolution as Ball
from symscape.nn.models.v2104.voxel_convolution import LowPassFilter
from symscape.nn.models.v2106 import gate_points_message_passing as messages_v2106
from symscape.nn.models.v2106 import gate_points_networks as v2106
from symscape.nn.models.v2203.sparse_voxel_convolution import Convolution as Sparse
from symscape.o3 import Irreps, rand_matrix
from symscape.testing import assert_equivariant


def points(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


@given(
    n=st.integers(0, 40),
    spread=st.sampled_from([0.5, 5.0, 1e6]),
    r_max=st.sampled_from([0.1, 1.0, 2.5, float("inf")]),
    graphs=st.integers(1, 3),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 1000),
)
def test_near_points_are_found(
    n: int, spread: float, r_max: float, graphs: int, dtype: torch.dtype, seed: int
) -> None:
    """By cells and by all pairs, against a loop; some points lie in the same place."""
    from symscape.nn.models import _graph

    pos = spread * points(n, seed).to(dtype)
    pos[n // 2 :] = pos[: n - n // 2].roll(1, 0) if seed % 2 else pos[n // 2 :]
    batch = torch.randint(graphs, (n,), generator=torch.Generator().manual_seed(seed))
    expected = []
    for i in range(n):
        for j in range(n):
            distance = float((pos[i] - pos[j]).square().sum().sqrt())
            if batch[i] == batch[j] and 0 < distance < r_max:
                expected.append([i, j])
    with pytest.MonkeyPatch.context() as patch:
        assert radius_graph(pos, r_max, batch).T.tolist() == expected
        patch.setattr(_graph, "_FEW", 0)
        if n:
            assert radius_graph(pos, r_max, batch).T.tolist() == expected


def test_neighbors_of_many_points() -> None:
    pos = 10 * torch.rand(3000, 3, generator=torch.Generator().manual_seed(0))
    pos[::3] += 1e9  # far apart, so that the cells are wider than the radius
    near = (pos[:, None] - pos).norm(dim=-1) < 0.7
    near.fill_diagonal_(False)
    assert torch.equal(radius_graph(pos, 0.7), near.nonzero().T)


def test_wrong_points_are_refused() -> None:
    with pytest.raises(ValueError, match="pos: shape"):
        radius_graph(torch.zeros(3, 2), 1.0)
    with pytest.raises(ValueError, match="batch: shape"):
        radius_graph(torch.zeros(3, 3), 1.0, torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="finite"):
        radius_graph(torch.full((3, 3), float("nan")), 1.0)
    with pytest.raises(ValueError, match="r_max"):
        radius_graph(torch.zeros(3, 3), float("nan"))


X, Z = Irreps("2x0e+1x1o"), Irreps("0e+1o")
SIZES = (2, 2.0, 4, 1, 6, 3.0, 5.0)  # layers, radius, radial network, neighbors, nodes

NETWORKS = {
    "2101": lambda: gate_points_2101.Network(X, "2x0e+0o+2x1o+2e", "0e+1o", Z, "0e+1o+2e", *SIZES),
    "2102": lambda: gate_points_2102.Network(X, "2x0e+0o+2x1o+2e", "0e+1o", Z, "0e+1o+2e", *SIZES),
    "v2103": lambda: v2103.SimpleNetwork(X, "0e+1o", 2.0, 3.0, 5.0, mul=3, layers=2, lmax=1),
    "v2106": lambda: v2106.SimpleNetwork(X, "0e+1o", 2.0, 3.0, 5.0, mul=3, layers=2, lmax=1),
    "with attributes": lambda: v2106.NetworkForAGraphWithAttributes(
        X, Z, "1e", "0e+1o", 2.0, 3.0, 5.0, mul=3, layers=2, lmax=1
    ),
}


def network(name: str) -> torch.nn.Module:
    module = NETWORKS[name]()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def arguments(pos: torch.Tensor) -> dict[str, torch.Tensor]:
    """All that any of the networks needs."""
    n = len(pos)
    generator = torch.Generator().manual_seed(2)
    edges = torch.tensor([[a, b] for a in range(n) for b in range(n) if a != b]).T
    return {
        "pos": pos,
        "x": X.randn(n, -1, generator=generator),
        "z": Z.randn(n, -1, generator=generator),
        "node_attr": Z.randn(n, -1, generator=generator),
        "edge_index": edges,
        "edge_attr": torch.randn(edges.shape[1], 3, generator=generator),
        "batch": torch.arange(n) // 5,
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_equivariant(name: str) -> None:
    module = network(name)
    given = arguments(points(9))
    keys = [key for key in ("pos", "x", "z", "node_attr", "edge_attr") if key in given]

    def f(*values: torch.Tensor) -> torch.Tensor:
        return module(given | dict(zip(keys, values)))

    kinds = ["cartesian_points", X, Z, Z, Irreps("1e")]
    assert f(*(given[key] for key in keys)).abs().max() > 1e-3
    assert_equivariant(f, [given[key] for key in keys], kinds, Irreps("0e+1o"), 1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_do_not_depend_on_the_order_of_the_nodes(name: str) -> None:
    module = network(name)
    given = arguments(points(9))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    turned = dict(given)
    for key in ("pos", "x", "z", "node_attr", "batch"):
        turned[key] = given[key][order]
    turned["edge_index"] = order.argsort()[given["edge_index"]]
    torch.testing.assert_close(module(turned), module(given))


@pytest.mark.parametrize("name", NETWORKS)
def test_forces_and_their_training(name: str) -> None:
    module = network(name)
    given = arguments(points(4))

    def f(pos: torch.Tensor) -> torch.Tensor:
        return module(given | {"pos": pos})

    pos = (0.5 * given["pos"]).requires_grad_()  # no distance near the radius, where f is not C2
    assert torch.autograd.gradcheck(f, pos)
    assert torch.autograd.gradgradcheck(f, pos)


@pytest.mark.parametrize("name", NETWORKS)
def test_copies_give_the_same(name: str) -> None:
    module = network(name)
    given = arguments(points(9))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(other(given), module(given))


def test_convolution_compiles_to_one_graph() -> None:
    module = network("v2106").mp
    given = arguments(points(9))
    src, dst = given["edge_index"]
    generator = torch.Generator().manual_seed(4)
    inputs = [given["x"], torch.ones(9, 1), src, dst]
    inputs += [torch.randn(len(src), n, generator=generator) for n in (4, 10)]
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*inputs), module(*inputs))
    torch._dynamo.reset()


def test_missing_data_are_named() -> None:
    pos = points(5)
    with pytest.raises(ValueError, match="no 'x'"):
        network("2102")({"pos": pos, "z": Z.randn(5, -1)})
    with pytest.raises(ValueError, match="no 'z'"):
        network("2101")({"pos": pos, "x": X.randn(5, -1)})
    with pytest.raises(ValueError, match="no 'pos'"):
        network("v2106")({"x": X.randn(5, -1)})
    with pytest.raises(ValueError, match="no 'edge_attr'"):
        network("with attributes")({"pos": pos, "x": X.randn(5, -1), "node_attr": Z.randn(5, -1)})


def test_message_passing_refuses_what_has_no_gates() -> None:
    with pytest.raises(ValueError, match="no scalars as gates"):
        messages_v2106.MessagePassing(["0e", "1o", "1o"], "0e", "1o", [2, 4], 3.0)
    with pytest.raises(ValueError, match="irreps_node_sequence"):
        messages_v2106.MessagePassing(["0e"], "0e", "0e+1o", [2, 4], 3.0)


VOXELS = ("0e+2x1o", "2x0e+1o+2e", "0e+1o+2e")


@pytest.mark.parametrize("make", [lambda: Cube(*VOXELS, 5), lambda: Ball(*VOXELS, 5.0, 3)])
def test_voxel_convolution_is_equivariant(make) -> None:
    """Under the rotations and reflections of the cube, which map voxels to voxels."""
    module = make()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 7, 5, 6, 7, generator=generator)
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    swap = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])

    def moved(x: torch.Tensor, R: torch.Tensor, irreps: Irreps, axes, flips) -> torch.Tensor:
        x = torch.einsum("ij,bjxyz->bixyz", irreps.D_from_matrix(R), x)
        return x.permute(0, 1, *axes).flip(flips)

    for R, axes, flips in [
        (turn, (3, 2, 4), (2,)),
        (swap, (4, 3, 2), ()),
        (-torch.eye(3), (2, 3, 4), (2, 3, 4)),
    ]:
        before = module(moved(x, R, module.irreps_in, axes, flips))
        after = moved(module(x), R, module.irreps_out, axes, flips)
        torch.testing.assert_close(before, after)


def test_kernel_on_voxels_is_the_product_with_its_harmonics() -> None:
    for sh in ("0e+1o+2e", "2x0e+1o+1o+3x2e", "1e"):
        module = Ball("2x0e+0o+2x1o", "2x0e+1o+1e+3x2e", sh, 4.2, 3, (1.0, 0.7, 2.3))
        expected = module.tp.right(module.sh, module.emb @ module.weight)
        torch.testing.assert_close(module._matrices(1.0), expected)


def sparse_volume(stride: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    stored = (torch.rand(2, 5, 6, 7, generator=generator) < 0.3).nonzero()
    stored[:, 1:] *= stride
    return stored, torch.randn(len(stored), 7, generator=generator).requires_grad_()


@pytest.mark.parametrize("steps", [(1, 1, 1), (1.0, 0.7, 2.3)])
def test_sparse_convolution_equals_the_dense_one(steps: tuple) -> None:
    dense, sparse = Ball(*VOXELS, 4.5, 3, steps), Sparse(*VOXELS, 4.5, 3, steps)
    sparse.load_state_dict(dense.state_dict())
    stored, features = sparse_volume()
    volume = torch.sparse_coo_tensor(stored.T, features, (2, 5, 6, 7, 7), check_invariants=True)
    expected = dense(volume.to_dense().movedim(-1, 1)).movedim(1, -1)[tuple(stored.T)]
    out = sparse(volume)
    assert out.shape == (2, 5, 6, 7, dense.irreps_out.dim)
    torch.testing.assert_close(out.coalesce().values(), expected)
    for leaf in (features, sparse.weight):
        a, b = (
            torch.autograd.grad(values.square().sum(), source, retain_graph=True)[0]
            for values, source in (
                (out.coalesce().values(), leaf),
                (expected, leaf if leaf is features else dense.weight),
            )
        )
        torch.testing.assert_close(a, b)


def test_sparse_convolution_of_foreign_tensors() -> None:
    """Objects with the attributes of MinkowskiEngine's, whose coordinates are multiples of 2."""

    class Stored(SimpleNamespace):
        def __init__(self, F, coordinate_map_key, coordinate_manager):
            super().__init__(F=F, C=coordinate_manager, coordinate_manager=coordinate_manager)
            self.coordinate_map_key = coordinate_map_key
            self.tensor_stride = [2, 2, 2]

    module = Sparse(*VOXELS, 4.5, 3)
    stored, features = sparse_volume(stride=2)
    out = module(Stored(features, "key", stored.int() - 3))
    places = stored.T // torch.tensor([1, 2, 2, 2])[:, None]
    close = torch.sparse_coo_tensor(places, features, check_invariants=True)
    torch.testing.assert_close(out.F, module(close).coalesce().values())
    assert out.coordinate_map_key == "key"
    empty = module(Stored(features[:0], "key", stored[:0]))
    assert empty.F.shape == (0, module.irreps_out.dim)


def test_sparse_convolution_refuses_other_tensors() -> None:
    module = Sparse(*VOXELS, 3, 2)
    with pytest.raises(ValueError, match=r"x: torch\.strided"):
        module(torch.zeros(1, 2, 2, 2, 7))
    with pytest.raises(ValueError, match="x: int given"):
        module(3)


def test_voxels_refuse_wrong_sizes() -> None:
    with pytest.raises(ValueError, match="steps"):
        Ball(*VOXELS, 3, 2, (1, 0, 1))
    with pytest.raises(ValueError, match="diameter"):
        Ball(*VOXELS, -1, 2)
    with pytest.raises(ValueError, match="no voxel along an axis"):
        Cube(*VOXELS, 4, (1.0, 1.5, 3.1))
    with pytest.raises(ValueError, match="stride: 2"):
        LowPassFilter(1.0, stride=2)
    with pytest.raises(ValueError, match="image"):
        LowPassFilter(2.0)(torch.zeros(2, 2))


def test_low_pass_filter_keeps_constants_and_its_width() -> None:
    filter_ = LowPassFilter(3.0)
    assert torch.allclose(filter_(torch.ones(1, 15, 15, 15))[0, 5:10, 5:10, 5:10], torch.ones(()))
    peak = torch.zeros(17, 17, 17)
    peak[8, 8, 8] = 1.0
    x = torch.arange(17.0) - 8
    variance = (filter_(peak) * x.square()).sum()
    assert variance == pytest.approx(0.25 * (3.0**2 - 1), rel=0.15)  # cut at 2.5 deviations
    finer = LowPassFilter(2.0, stride=2, transposed=True)
    assert finer(torch.ones(8, 8, 8))[4:10, 4:10, 4:10].mean() == pytest.approx(1.0)


def test_positions_without_edges() -> None:
    module = network("v2106")
    far = 100 * torch.arange(15.0).reshape(5, 3) @ rand_matrix()
    given = {"pos": far, "x": arguments(far)["x"]}
    assert torch.isfinite(module(given)).all()

"""The empirical NTK of torch modules: layer by layer it is the Gram matrix of the Jacobian."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from symscape.kernels import empirical_ntk
from symscape.kernels._ntk_module import ModuleSource
from symscape.networks import FullyConnected


class Squeezed(nn.Sequential):
    """Outputs (P,)."""

    def forward(self, x):
        return super().forward(x).squeeze(1)


class Mean(nn.Module):
    """The mean over all dimensions behind the second, or over the second (sequences)."""

    def __init__(self, dims):
        super().__init__()
        self.dims = dims

    def forward(self, x):
        return x.mean(self.dims)


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(2, channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.conv2(self.relu(self.norm(self.conv1(x))))
        y += x
        return self.relu(y)


class Reused(nn.Module):
    """One layer three times, once on several positions."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.out = nn.Linear(4, 2)

    def forward(self, x):
        y = torch.tanh(self.layer(torch.tanh(self.layer(x))))
        pairs = torch.stack([y, 2 * y], 1)
        return self.out(torch.sin(self.layer(pairs)).sum(1))


class Tied(nn.Module):
    """Two convolutions of one weight with different strides."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv1d(2, 2, 3, padding=1)
        self.b = nn.Conv1d(2, 2, 3, stride=2)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x))).sum((1, 2))


class TiedTable(nn.Module):
    """An embedding whose table is also the matrix of the output: a language model."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 5)
        self.out.weight = self.table.weight

    def forward(self, x):
        return self.out(self.norm(self.table(x).mean(1)))


class Attention(nn.Module):
    """Half of its matrices are used behind the back of any layer."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(6, 4, padding_idx=1)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.out = nn.Linear(4, 1)

    def forward(self, x):
        y = self.table(x)
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.out(y.mean(1)).squeeze(1)


class BehindTheBack(nn.Module):
    """A weight that is used again without its layer, an own parameter, an unused layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        y = torch.tanh(self.first(x))
        return self.scale * self.second(y @ self.first.weight)


class SequenceFirst(nn.Module):
    """A layer that sees positions as the first dimension."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.out = nn.Linear(4, 1)

    def forward(self, x):
        y = torch.tanh(self.layer(x.transpose(0, 1)))
        return self.out(y.mean(0))


class Recurrent(nn.Module):
    """torch.func has no rule for this layer: point by point."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTM(3, 4, batch_first=True)
        self.out = nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.cell(x)[0][:, -1])


def images(P, channels=3, side=7):
    return torch.randn(P, channels, side, side)


def conv2d(**options):
    return nn.Conv2d(4, 6, 3, **options)


ZOO = {
    "linear": lambda: (nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), (4,)),
    "one layer": lambda: (nn.Linear(4, 2), (4,)),
    "in place": lambda: (
        Squeezed(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 1, bias=False)),
        (4,),
    ),
    "sequences through linear": lambda: (
        nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2), Mean((1, 2))),
        (6, 4, 3),
    ),
    "wide convolution at few positions": lambda: (
        nn.Sequential(nn.Conv2d(20, 30, 2), nn.Tanh(), Mean((2, 3)), nn.Linear(30, 2)),
        (20, 3, 3),
    ),
    "wide groups at few positions": lambda: (
        nn.Sequential(nn.Conv2d(40, 60, 2, groups=2), nn.Tanh(), Mean((2, 3)), nn.Linear(60, 2)),
        (40, 3, 3),
    ),
    "strides": lambda: (
        nn.Sequential(conv2d(stride=(2, 1), padding=(1, 2)), nn.Softplus(), Mean((2, 3))),
        (4, 7, 7),
    ),
    "dilation and groups": lambda: (
        nn.Sequential(conv2d(dilation=2, groups=2), nn.Softplus(), Mean((2, 3))),
        (4, 7, 7),
    ),
    "depthwise": lambda: (
        nn.Sequential(nn.Conv2d(4, 8, 3, groups=4, padding="same"), nn.Tanh(), Mean((2, 3))),
        (4, 5, 5),
    ),
    "reflected": lambda: (
        nn.Sequential(conv2d(padding=1, padding_mode="reflect"), nn.Tanh(), Mean((2, 3))),
        (4, 5, 5),
    ),
    "circular": lambda: (
        nn.Sequential(
            nn.Conv1d(2, 3, 3, padding=2, padding_mode="circular", dilation=2),
            nn.Tanh(),
            Mean((2,)),
        ),
        (2, 9),
    ),
    "three dimensions": lambda: (
        nn.Sequential(
            nn.Conv3d(2, 4, (2, 3, 2), stride=(1, 2, 1), padding=(0, 1, 1), dilation=(2, 1, 1)),
            nn.Tanh(),
            nn.Conv3d(4, 2, 2, groups=2),
            Mean((2, 3, 4)),
        ),
        (2, 4, 5, 3),
    ),
    "norms": lambda: (
        nn.Sequential(
            nn.Conv2d(4, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.InstanceNorm2d(6, affine=True),
            nn.LayerNorm((5, 5)),
            nn.Tanh(),
            Mean((2, 3)),
            nn.BatchNorm1d(6),
            nn.RMSNorm(6),
            nn.Linear(6, 2),
        ).eval(),
        (4, 7, 7),
    ),
    "residual": lambda: (
        nn.Sequential(nn.Conv2d(3, 4, 3), Residual(4), Residual(4), Mean((2, 3)), nn.Linear(4, 2)),
        (3, 6, 6),
    ),
    "reused": lambda: (Reused(), (4,)),
    "tied": lambda: (Tied(), (2, 8)),
    "weight norm": lambda: (
        nn.Sequential(
            nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.Tanh(), nn.Linear(3, 2)
        ),
        (4,),
    ),
    "transposed convolution": lambda: (
        nn.Sequential(nn.ConvTranspose2d(2, 3, 2), nn.Tanh(), Mean((2, 3)), nn.Linear(3, 1)),
        (2, 3, 3),
    ),
    "behind the back": lambda: (BehindTheBack(), (4,)),
    "sequence first": lambda: (SequenceFirst(), (5, 3)),
    "recurrent": lambda: (Recurrent(), (5, 3)),
    "own parameters": lambda: (FullyConnected(4, 5, 2, c=2).module(torch.randn(67)), (4,)),
    "part of the parameters": lambda: (frozen(), (4,)),
}

TOKENS = {"table that is also a matrix": TiedTable, "attention": Attention}


def frozen():
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    model[0].weight.requires_grad_(False)
    return model


def case(name, P):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name in TOKENS:
            return TOKENS[name](), torch.randint(5, (P, 6))
        model, shape = ZOO[name]()
        return model, torch.randn(P, *shape)


def jacobian(model, x):
    """(P, c, n) in float64 by autograd, one point and one output at a time."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    rows = []
    for point in x:
        for value in model(point[None]).reshape(-1):
            found = torch.autograd.grad(
                value, parameters, retain_graph=True, materialize_grads=True
            )
            rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows).view(len(x), -1, len(rows[0]))


def difference(K, expected):
    return float((K - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", [*ZOO, *TOKENS])
def test_kernel_is_the_gram_matrix_of_the_jacobian(name):
    model, x = case(name, 7)
    double = copy.deepcopy(model).double()
    x64 = x.double() if x.is_floating_point() else x
    J = jacobian(double, x64)
    full = torch.einsum("pkn,qln->pqkl", J, J)
    trace = torch.einsum("pqkk->pq", full)
    # rounding in the network itself is that of the same Gram matrix from autograd in float32
    rounding = jacobian(model, x).double()
    rounding = difference(torch.einsum("pkn,qln->pqkl", rounding, rounding), full)
    for net, inputs, tolerance in ((double, x64, 1e-12), (model, x, max(1e-6, 2 * rounding))):
        K = empirical_ntk(net, inputs)
        assert torch.equal(K, K.T)
        assert difference(K, trace) < tolerance
        assert difference(empirical_ntk(net, inputs, outputs="full"), full) < tolerance
        cross = empirical_ntk(net, inputs[:3], inputs[2:], outputs="full")
        assert difference(cross, full[:3, 2:]) < tolerance
    assert all(p.grad is None for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("residual", []),
        ("norms", []),
        ("tied", []),
        ("reused", []),
        ("three dimensions", []),
        ("attention", ["attention.in_proj_weight", "attention.in_proj_bias"]),
        ("table that is also a matrix", ["table.weight"]),
        ("behind the back", ["scale", "first.weight", "unused.weight", "unused.bias"]),
        ("sequence first", ["layer.weight", "layer.bias"]),
        ("transposed convolution", ["0.weight", "0.bias"]),
    ],
)
def test_only_what_no_layer_knows_goes_by_the_jacobian(name, others):
    model, x = case(name, 3)
    source = ModuleSource(model, x, each=False, memory=2**30)
    found = source._plan.others
    if name == "attention":  # its output layer is used without being called
        others = [*others, "attention.out_proj.weight", "attention.out_proj.bias"]
    assert found == others


@pytest.mark.parametrize(
    "name", ["linear", "residual", "reused", "attention", "wide convolution at few positions"]
)
@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_blocks_of_any_size_give_the_same(name, outputs, monkeypatch):
    monkeypatch.setattr("symscape.kernels._ntk_blocks._BLOCK", 5)
    model, x = case(name, 23)
    model = model.double()
    x = x.double() if x.is_floating_point() else x
    x2 = x.flip(0)[:9]
    source = ModuleSource(model, x, outputs == "full", 2**40)
    least = source._plan.bytes_passing * 4 + 2 * (5 * source.r) ** 2 * 8
    for other in (None, x2):
        whole = empirical_ntk(model, x, other, outputs=outputs)
        for points in (1, 2, 7, 60):
            memory = least + 2 * points * source.bytes_held
            pieces = empirical_ntk(model, x, other, outputs=outputs, memory=memory)
            assert difference(pieces, whole) < 1e-13


def test_agrees_with_the_kernel_of_the_librarys_networks():
    net = FullyConnected(5, 8, 2, c=2, activation="tanh")
    w = net.initial_weights(0, "pytorch")
    x = torch.randn(9, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    layers = net.unpack(w)
    same = nn.Sequential(
        nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)
    ).double()
    with torch.no_grad():
        for layer, (matrix, b) in zip(same[::2], layers, strict=True):
            layer.weight.copy_(matrix)
            layer.bias.copy_(b)
    K = empirical_ntk(net, x, w=w)
    torch.testing.assert_close(empirical_ntk(same, x), K, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(empirical_ntk(net.module(w), x), K, rtol=0, atol=0)


def test_works_without_gradients_switched_on():
    model, x = case("residual", 4)
    K = empirical_ntk(model, x)
    with torch.no_grad():
        assert torch.equal(empirical_ntk(model, x), K)
    with torch.inference_mode():
        assert torch.equal(empirical_ntk(model, x), K)


def test_memory_is_kept():
    # the full Jacobian of this network has 300 x 200,000 numbers: 240 MB
    model = nn.Sequential(
        nn.Linear(400, 400), nn.ReLU(), nn.Linear(400, 100), nn.ReLU(), nn.Linear(100, 1)
    )
    source = ModuleSource(model, torch.randn(300, 400), each=False, memory=2**32)
    assert source.bytes_held <= 4 * (400 + 400 + 400 + 100 + 100 + 1 + 8)


class CountsCalls(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.layer(x)


class Centered(nn.Module):
    def __init__(self, layer=True):
        super().__init__()
        self.layer = nn.Linear(4, 2) if layer else None
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        y = self.layer(x) if self.layer else x * self.scale
        return y - y.mean(0)


class Noisy(nn.Sequential):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5, True)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), "BatchNorm1d '1' in training mode"),
        (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), "Dropout '1' is active"),
        (CountsCalls(), "changes its buffer calls"),
        (Noisy(nn.Linear(4, 1)), "two forward passes give different outputs"),
        (Centered(), "depends on the other points of the batch"),
        (Centered(layer=False), "depends on the other points of the batch"),
        (
            nn.Sequential(
                nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 1)
            ).eval(),
            "depends on the other points of the batch",
        ),
        (nn.Linear(4, 3).requires_grad_(False), "no parameter that requires a gradient"),
        (nn.Linear(4, 3).bfloat16(), "parameters of torch.bfloat16"),
        (nn.LazyLinear(3), "parameters without a size"),
        (
            nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3))),
            r"shape \(3, 2, 3\) for 3 points",
        ),
        (nn.Sequential(nn.Linear(4, 6), nn.Flatten(0)), r"shape \(18,\) for 3 points"),
        (nn.Linear(4, 3).double(), "x1: 'torch.float32 on cpu' given"),
    ],
)
def test_modules_that_have_no_kernel_are_refused(model, message):
    state = copy.deepcopy(model.state_dict()) if "Lazy" not in type(model).__name__ else {}
    with pytest.raises(ValueError, match=message):
        empirical_ntk(model, torch.randn(5, 4))
    assert all(
        torch.equal(value, state[name]) for name, value in model.state_dict().items() if state
    )


def test_wrong_arguments_are_named():
    model = nn.Linear(4, 3)
    with pytest.raises(
        ValueError, match="w: 'parameters' given; allowed: None with a torch module"
    ):
        empirical_ntk(model, torch.zeros(5, 4), w=torch.zeros(15))
    with pytest.raises(ValueError, match="model: 'function' given"):
        empirical_ntk(lambda x: x, torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"x1: \(0, 4\) given"):
        empirical_ntk(model, torch.zeros(0, 4))
    with pytest.raises(ValueError, match=r"x2: '\(2, 3\)' given"):
        empirical_ntk(model, torch.zeros(5, 4), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="memory: 1000 bytes given; allowed: at least"):
        empirical_ntk(model, torch.zeros(5, 4), memory=1000)

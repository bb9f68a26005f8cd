"""Tensor products, Linear, reduced products and math, against the installed e3nn 0.6.

With the same seed both libraries draw the same weights, so outputs can be compared directly.
"""

import inspect
import random
import re
import warnings

import pytest
import torch

from symscape import io, math, o3
from symscape.contraction import MODES
from symscape.math import perm

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peer = pytest.importorskip("e3nn")
    import e3nn.io
    import e3nn.math
    import e3nn.math.perm
    import e3nn.o3

_SEEDS = range(12)


@pytest.fixture(autouse=True)
def _float64(monkeypatch):
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(default)


def _irreps(rng: random.Random, smallest: int = 0) -> str:
    return " + ".join(
        f"{rng.randint(smallest, 3)}x{rng.randint(0, 3)}{rng.choice('eo')}"
        for _ in range(rng.randint(1, 3))
    )


def _both(build):
    """The module of each library, built after the same seed."""
    modules = []
    for library in (o3, e3nn.o3):
        torch.manual_seed(1)
        modules.append(build(library))
    return modules


def _assert_same(ours, theirs, *inputs, weights=()) -> None:
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    assert len(ours.instructions) == len(theirs.instructions)
    for a, b in zip(ours.instructions, theirs.instructions):
        fields = b._asdict()
        coefficient = fields.pop("path_weight")
        assert a.path_weight == pytest.approx(coefficient, rel=1e-14, abs=0)
        assert {name: getattr(a, name) for name in fields} == fields
    _assert_same_state(ours, theirs)
    out = ours(*inputs, *weights)
    torch.testing.assert_close(out, theirs(*inputs, *weights), rtol=1e-12, atol=1e-12)
    assert repr(ours) == repr(theirs)


def _assert_same_state(ours, theirs) -> None:
    """Equal names, shapes and values; e3nn also saves tables of its generated code."""
    state = {k: v for k, v in theirs.state_dict().items() if "_compiled_main" not in k}
    assert list(ours.state_dict()) == list(state)
    for name, value in ours.state_dict().items():
        assert value.dtype == state[name].dtype
        assert value.shape == state[name].shape
        assert torch.equal(value, state[name])
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    # checkpoints of e3nn load, strictly
    assert ours.load_state_dict(theirs.state_dict()).unexpected_keys == []


def _normalizations(rng: random.Random) -> dict:
    return {
        "irrep_normalization": rng.choice(["component", "norm", "none", None]),
        "path_normalization": rng.choice(["element", "path", "none", None]),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", MODES)
def test_tensor_product_in_each_mode(mode: str, seed: int) -> None:
    rng = random.Random(seed)
    mul1, mul2 = rng.randint(1, 4), rng.randint(1, 4)
    if mode in ("uuw", "uuu", "u<vw", "uvu<v"):
        mul1 = mul2 = rng.randint(2, 4)
    mul_out = {
        "uvu": mul1,
        "uvv": mul2,
        "uuu": mul1,
        "uvuv": mul1 * mul2,
        "uvu<v": mul1 * (mul1 - 1) // 2,
    }.get(mode, 3)
    has_weight = mode in ("uvw", "uuw", "u<vw") or rng.choice([True, False])
    has_right = "<" not in mode  # e3nn's fails for these
    shared = rng.choice([True, False])
    normalizations = _normalizations(rng)

    def build(library):
        return library.TensorProduct(
            f"{mul1}x1o + {mul1}x2e",
            f"{mul2}x1e + {mul2}x0o",
            f"{mul_out}x1o + {mul_out}x2o + {mul_out}x1e",
            [
                (0, 0, 0, mode, True),
                (1, 0, 2, mode, has_weight),
                (1, 1, 1, mode, True, 0.3),
                (1, 0, 2, mode, True, 2.0),
                (0, 1, 2, mode, True, 1.5),
            ],
            in1_var=[0.5, 2.0],
            in2_var=[1.0, 3.0],
            out_var=[1.0, 0.25, 4.0],
            shared_weights=shared,
            compile_right=has_right,
            **normalizations,
        )

    ours, theirs = _both(build)
    x, y = torch.randn(5, ours.irreps_in1.dim), torch.randn(5, ours.irreps_in2.dim)
    weights = () if shared else (torch.randn(5, ours.weight_numel),)
    _assert_same(ours, theirs, x, y, weights=weights)
    views = zip(ours.weight_views(*weights), theirs.weight_views(*weights), strict=True)
    assert all(torch.equal(a, b) for a, b in views)
    if has_right:
        torch.testing.assert_close(
            ours.right(y, *weights), theirs.right(y, *weights), rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("seed", _SEEDS)
def test_products_over_random_irreps(seed: int) -> None:
    rng = random.Random(seed)
    in1, in2, out = _irreps(rng), _irreps(rng), _irreps(rng)
    irrep, path = rng.choice(["component", "norm", "none"]), rng.choice(["element", "path"])
    x = torch.randn(4, o3.Irreps(in1).dim)
    y = torch.randn(4, o3.Irreps(in2).dim)
    pairs = [
        lambda lib: lib.FullyConnectedTensorProduct(in1, in2, out, irrep, path),
        lambda lib: lib.FullTensorProduct(in1, in2, irrep_normalization=irrep),
        lambda lib: lib.FullTensorProduct(in1, in2, ["0e", "1o", "2e"]),
        lambda lib: lib.ElementwiseTensorProduct(in1, in1, irrep_normalization=irrep),
    ]
    for build, second in zip(pairs, (y, y, y, x)):
        _assert_same(*_both(build), x, second)
    squares = [
        lambda lib: lib.TensorSquare(in1, irrep_normalization=irrep),
        lambda lib: lib.TensorSquare(in1, filter_ir_out=["0e", "2e"]),
        lambda lib: lib.TensorSquare(in1, out, irrep_normalization=irrep, path_normalization=path),
    ]
    for build in squares:
        _assert_same(*_both(build), x)


@pytest.mark.parametrize("seed", _SEEDS)
def test_elementwise_over_different_blocks(seed: int) -> None:
    rng = random.Random(seed)
    total = rng.randint(2, 8)

    def cut():
        ends = sorted(rng.sample(range(1, total), rng.randint(0, total - 1)))
        muls = [b - a for a, b in zip([0, *ends], [*ends, total])]
        return " + ".join(f"{m}x{rng.randint(0, 2)}{rng.choice('eo')}" for m in muls)

    in1, in2 = cut(), cut()
    ours, theirs = _both(lambda lib: lib.ElementwiseTensorProduct(in1, in2))
    assert str(ours.irreps_in1) == str(theirs.irreps_in1)
    x, y = torch.randn(4, ours.irreps_in1.dim), torch.randn(4, ours.irreps_in2.dim)
    _assert_same(ours, theirs, x, y)


@pytest.mark.parametrize("seed", range(6))
def test_regrouped_full_product(seed: int) -> None:
    rng = random.Random(seed)
    in1, in2 = _irreps(rng, 1), _irreps(rng, 1)
    ours, theirs = _both(lambda lib: lib.FullTensorProductv2(in1, in2))
    assert str(ours.irreps_in1) == str(theirs.irreps_in1)
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    x, y = torch.randn(4, ours.irreps_in1.dim), torch.randn(4, ours.irreps_in2.dim)
    torch.testing.assert_close(ours(x, y), theirs(x, y), rtol=1e-12, atol=1e-12)
    ours.load_state_dict(theirs.state_dict())


@pytest.mark.parametrize("normalization", ["component", "norm"])
def test_sorted_elementwise_product(normalization: str) -> None:
    from e3nn.o3.experimental import ElementwiseTensorProductv2

    # e3nn forgets all but the last of equal pairs of irreps
    in1, in2 = "2x0e + 1x1o + 3x1e", "1x1o + 2x0e + 1x2e + 2x0o"
    options = {"irrep_normalization": normalization}
    ours = o3.experimental.ElementwiseTensorProductv2(in1, in2, **options)
    theirs = ElementwiseTensorProductv2(e3nn.o3.Irreps(in1), e3nn.o3.Irreps(in2), **options)
    assert str(ours.irreps_in1) == str(theirs.irreps_in1)
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    x, y = torch.randn(4, ours.irreps_in1.dim), torch.randn(4, ours.irreps_in2.dim)
    torch.testing.assert_close(ours(x, y), theirs(x, y), rtol=1e-12, atol=1e-12)
    ours.load_state_dict(theirs.state_dict())
    a, b = (list(inspect.signature(c.__init__).parameters) for c in (type(ours), type(theirs)))
    assert a == b


@pytest.mark.parametrize("seed", _SEEDS)
def test_linear_over_random_irreps(seed: int) -> None:
    rng = random.Random(seed)
    # e3nn cannot build a layer in which a block of scalars has a bias but no path
    irreps_in, irreps_out = f"1x0e + {_irreps(rng, 1)}", _irreps(rng, 1)
    kwargs = {
        "biases": rng.choice([True, False]),
        "path_normalization": rng.choice(["element", "path"]),
    }
    ours, theirs = _both(lambda lib: lib.Linear(irreps_in, irreps_out, **kwargs))
    _assert_same(ours, theirs, torch.randn(4, ours.irreps_in.dim))
    if not ours.bias_numel:  # e3nn's views fail where there are biases
        views = zip(ours.weight_views(), theirs.weight_views(), strict=True)
        assert all(torch.equal(a, b) for a, b in views)

    shared = rng.choice([True, False])
    outer = {"f_in": 2, "f_out": 3, "shared_weights": shared, "internal_weights": False}
    if not shared:
        kwargs["biases"] = False  # e3nn cannot build layers with outer axes and these
    ours, theirs = _both(lambda lib: lib.Linear(irreps_in, irreps_out, **outer, **kwargs))
    leading = () if shared else (4,)
    weight = torch.randn(*leading, 2, 3, ours.weight_numel)
    bias = torch.randn(*leading, 3, ours.bias_numel)
    x = torch.randn(4, 2, ours.irreps_in.dim)
    torch.testing.assert_close(
        ours(x, weight, bias), theirs(x, weight, bias), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("seed", range(6))
def test_norm(seed: int) -> None:
    irreps, squared = _irreps(random.Random(seed)), bool(seed % 2)
    ours, theirs = _both(lambda lib: lib.Norm(irreps, squared=squared))
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    assert repr(ours) == repr(theirs)
    _assert_same_state(ours, theirs)
    x = torch.randn(4, ours.irreps_in.dim)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-12, atol=1e-12)


_REDUCED = [
    ("i", {"i": "1o+2x0e+1o"}),
    ("ij", {"i": "1o", "j": "2x1e+0o"}),
    ("ij=ji", {"i": "2x1o+0e"}),
    ("ij=-ji", {"i": "1o+0e"}),
    ("ijk=jik=ikj", {"i": "1o+0e"}),
    ("ijk=-jik", {"i": "1o", "k": "2e+0o"}),
    ("ijk=jki", {"i": "1o+0e"}),
    ("ijkl=jikl=klij", {"i": "1o"}),
    ("ijkl=-jikl=-ijlk=klij", {"i": "1o"}),
    ("ij=ji", {"i": "1o+0e", "filter_ir_out": ["0e", "1o"]}),
    ("ijk=jik", {"i": "1o+1e", "k": "0e+1o", "filter_ir_mid": ["0e", "1o", "2e"]}),
]


@pytest.mark.parametrize(("formula", "kwargs"), _REDUCED)
def test_reduced_products_have_the_same_basis(formula: str, kwargs: dict) -> None:
    """The same basis, also within an irrep that occurs several times."""
    ours, theirs = _both(lambda lib: lib.ReducedTensorProducts(formula, **kwargs))
    assert [str(i) for i in ours.irreps_in] == [str(i) for i in theirs.irreps_in]
    assert str(ours.irreps_out) == str(theirs.irreps_out)
    assert ours.change_of_basis.dtype == theirs.change_of_basis.dtype
    torch.testing.assert_close(ours.change_of_basis, theirs.change_of_basis, rtol=0, atol=1e-12)
    xs = [torch.randn(4, irreps.dim) for irreps in ours.irreps_in]
    torch.testing.assert_close(ours(*xs), theirs(*xs), rtol=1e-12, atol=1e-12)
    # e3nn also saves the products it chains, which we do not need
    assert set(ours.state_dict()) <= set(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize("formula", ["ij=ji", "ij=-ji", "ijk=-jik", "ijkl=jikl=klij"])
def test_cartesian_tensor(formula: str) -> None:
    ours, theirs = io.CartesianTensor(formula), e3nn.io.CartesianTensor(formula)
    assert repr(ours) == repr(theirs)
    assert (ours.formula, ours.indices) == (theirs.formula, theirs.indices)
    data = torch.randn(4, *(3,) * len(ours.indices))
    torch.testing.assert_close(
        ours.from_cartesian(data), theirs.from_cartesian(data), rtol=1e-12, atol=1e-12
    )
    values = torch.randn(4, ours.dim)
    torch.testing.assert_close(
        ours.to_cartesian(values), theirs.to_cartesian(values), rtol=1e-12, atol=1e-12
    )
    vectors = torch.randn(len(ours.indices), 4, 3)
    torch.testing.assert_close(
        ours.from_vectors(*vectors), theirs.from_vectors(*vectors), rtol=1e-12, atol=1e-12
    )


def test_permutations() -> None:
    theirs = e3nn.math.perm
    for n in range(1, 5):
        assert perm.group(n) == theirs.group(n)
        for i in range(len(perm.group(n))):
            p, q = perm.from_int(i, n), theirs.from_int(i // 2, n)
            assert p == theirs.from_int(i, n)
            assert perm.to_int(p) == theirs.to_int(p)
            assert perm.compose(p, q) == theirs.compose(p, q)
            assert perm.inverse(p) == theirs.inverse(p)
            assert perm.to_cycles(p) == theirs.to_cycles(p)
            assert perm.sign(p) == theirs.sign(p)
            assert perm.germinate({p, q}) == theirs.germinate({p, q})
            natural = theirs.natural_representation(p)
            assert torch.equal(perm.natural_representation(p), natural)
            standard = theirs.standard_representation(p)
            torch.testing.assert_close(
                perm.standard_representation(p), standard, rtol=0, atol=1e-12
            )
    random.seed(5)
    drawn = perm.rand(6)
    random.seed(5)
    assert drawn == theirs.rand(6)


@pytest.mark.parametrize(
    ("formula", "dims"),
    [
        ("ij=ji", {"i": 3}),
        ("ij=-ji", {"i": 3}),
        ("ijkl=-jikl=klij", {"i": 3}),
        ("ijk=jik", {"i": 2, "k": 3}),
        ("ijk=-jik=-ikj", {"i": 4}),
        ("ij", {"i": 2, "j": 2}),
    ],
)
def test_index_symmetries(formula: str, dims: dict) -> None:
    f0, formulas = math.germinate_formulas(formula)
    assert (f0, formulas) == e3nn.math.germinate_formulas(formula)
    basis, orbits = math.reduce_permutation(f0, formulas, **dims)
    their_basis, their_orbits = e3nn.math.reduce_permutation(f0, formulas, **dims)
    torch.testing.assert_close(basis, their_basis, rtol=0, atol=1e-14)
    assert [list(map(tuple, orbit)) for orbit in orbits] == their_orbits


def test_bases() -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        vectors = torch.randn(3, 5)
        vectors = torch.cat([vectors, vectors[:1] + vectors[1:2]])
        for ours, theirs in zip(
            math.orthonormalize(vectors), e3nn.math.orthonormalize(vectors), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
        # e3nn completes several vectors wrongly: its complement is not orthogonal to all
        one = vectors[:1]
        torch.testing.assert_close(
            math.complete_basis(one), e3nn.math.complete_basis(one), rtol=0, atol=1e-12
        )
    a, b = torch.randn(4, 2, 3), torch.randn(4, 1, 1)
    assert torch.equal(math.direct_sum(a, b), e3nn.math.direct_sum(a, b))


def test_all_names_and_arguments() -> None:
    """Everything of the peer's that this half covers, with at least its arguments."""
    names = re.findall(
        r"\w+",
        "Instruction TensorProduct FullyConnectedTensorProduct ElementwiseTensorProduct "
        "FullTensorProduct FullTensorProductv2 TensorSquare Linear Norm ReducedTensorProducts",
    )
    for name in names:
        ours, theirs = getattr(o3, name), getattr(e3nn.o3, name)
        expected = inspect.signature(theirs.__init__).parameters
        given = inspect.signature(ours.__init__).parameters
        assert list(given) == list(expected)
        defaults = {k: p.default for k, p in expected.items()}
        assert {k: p.default for k, p in given.items()} == defaults
    for name in e3nn.math.perm.__dict__:
        if callable(getattr(e3nn.math.perm, name)) and not name[0].isupper():
            assert hasattr(perm, name), name

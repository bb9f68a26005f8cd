"""contract against its definition, for every mode and backend; its derivatives; bad arguments."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from contraction_cases import brute_force, make_product, partly_weighted, random_inputs

from symscape.contraction import (
    MODES,
    Path,
    Product,
    Segment,
    available_backends,
    contract,
    contract_right,
)

BACKENDS = ("reference", "cpu")
WEIGHTS = ("none", "shared", "own")
# vectors with and without remainder, loops over the scalar input, single copies
MULS = [(3, 2), (9, 1), (1, 5), (13, 3)]


def test_backends() -> None:
    assert available_backends()[:2] == BACKENDS


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_definition(backend: str, mode: str, weights: str) -> None:
    for muls in MULS:
        product = make_product(mode, *muls, weighted=weights != "none")
        x, y, w = random_inputs(product, 5, weights)
        expected = brute_force(product, x, y, w)
        found = contract(product, x, y, w, backend=backend)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        single = [None if t is None else t.float() for t in (x, y, w)]
        found = contract(product, *single, backend=backend)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_derivatives(backend: str, mode: str, weights: str) -> None:
    product = make_product(mode, 2, 2, weighted=weights != "none", dims=(1, 2, 2))
    inputs = [t.requires_grad_() for t in random_inputs(product, 2, weights) if t is not None]

    def function(*args: torch.Tensor) -> torch.Tensor:
        return contract(product, *args, backend=backend)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("mode", MODES)
def test_three_derivatives_agree(mode: str, weights: str) -> None:
    product = make_product(mode, 9, 2, weighted=weights != "none")
    inputs = [t.requires_grad_() for t in random_inputs(product, 3, weights) if t is not None]
    found = []
    for backend in BACKENDS:
        out = contract(product, *inputs, backend=backend)
        first = torch.autograd.grad((out**2).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum((t**2).sum() for t in first), inputs, create_graph=True)
        third = torch.autograd.grad(sum((t**2).sum() for t in second), inputs)
        found.append([out, *first, *second, *third])
    for reference, fast in zip(*found):
        torch.testing.assert_close(fast, reference, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("weights", ["shared", "own"])
@pytest.mark.parametrize("mode", MODES)
def test_three_derivatives_beside_paths_without_weights(mode: str, weights: str) -> None:
    """The output is affine in the weights: its constant part has no derivative in them."""
    product = partly_weighted(mode, 3, 2)
    inputs = [t.requires_grad_() for t in random_inputs(product, 3, weights) if t is not None]
    found = []
    for backend in BACKENDS:
        out = contract(product, *inputs, backend=backend)
        torch.testing.assert_close(out, brute_force(product, *inputs), rtol=1e-12, atol=1e-12)
        results, loss = [out], (out**2).sum()
        for _ in range(2):
            results += torch.autograd.grad(loss, inputs, create_graph=True)
            loss = sum((t**2).sum() for t in results[-3:])
        found.append([*results, *torch.autograd.grad(loss, inputs)])
    for reference, fast in zip(*found):
        torch.testing.assert_close(fast, reference, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("missing", ["x", "y", "w"])
def test_partial_derivatives(missing: str) -> None:
    """A gradient that nobody asks for changes none of the others."""
    product = make_product("uvu", 9, 1)
    inputs = dict(zip("xyw", random_inputs(product, 4, "own")))
    leaves = [inputs[name].requires_grad_() for name in "xyw" if name != missing]
    found = []
    for backend in BACKENDS:
        out = contract(product, inputs["x"], inputs["y"], inputs["w"], backend=backend)
        first = torch.autograd.grad((out**3).sum(), leaves, create_graph=True)
        found.append([*first, *torch.autograd.grad((first[0] ** 2).sum(), leaves)])
    for reference, fast in zip(*found):
        torch.testing.assert_close(fast, reference, rtol=1e-11, atol=1e-11)


def several_paths() -> Product:
    """Paths that share inputs and outputs, in several modes, and a part that none reaches."""
    parts = [make_product(mode, 4, 4, dims=(3, 2, 3)) for mode in ("uvu", "uvv", "uvw", "uuu")]
    parts.append(make_product("uvu", 4, 4, weighted=False, dims=(3, 2, 3)))
    paths, weight = [], 0
    for part in parts:
        (path,) = part.paths
        out = Segment(0 if path.out.mul == 4 else 20, path.out.mul, 3)
        offset = None if path.weight is None else weight
        weight += 0 if path.weight is None else part.weight_numel - 2
        paths.append(Path(path.mode, path.in1, path.in2, out, offset, 0.3, path.table))
    return Product(14, 9, 40, weight, tuple(paths))


@pytest.mark.parametrize("weights", ["shared", "own"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_paths_add_up(backend: str, weights: str) -> None:
    product = several_paths()
    x, y, w = random_inputs(product, 5, weights)
    found = contract(product, x, y, w, backend=backend)
    expected = brute_force(product, x, y, w)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_paths_add_up() -> None:
    product = several_paths()
    inputs = [t.requires_grad_() for t in random_inputs(product, 5, "shared") if t is not None]
    found = [
        torch.autograd.grad((contract(product, *inputs, backend=backend) ** 2).sum(), inputs)
        for backend in BACKENDS
    ]
    for reference, fast in zip(*found):
        torch.testing.assert_close(fast, reference, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["uvu", "uvw", "uuu"])
def test_right(backend: str, mode: str) -> None:
    product = make_product(mode, 3, 2)
    x, y, w = random_inputs(product, 5, "own")
    matrix = contract_right(product, y, w)
    assert matrix.shape == (5, product.dim_in1, product.dim_out)
    expected = contract(product, x, y, w, backend=backend)
    torch.testing.assert_close((x[:, None] @ matrix)[:, 0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weights", ["shared", "own"])
def test_right_of_no_samples(weights: str) -> None:
    product = make_product("uvu", 3, 2)
    _, y, w = random_inputs(product, 0, weights)
    assert contract_right(product, y, w).shape == (0, product.dim_in1, product.dim_out)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["uvu", "uvw", "uuu"])
class TestLayouts:
    def test_broadcast(self, backend: str, mode: str) -> None:
        product = make_product(mode, 3, 2)
        x, y, w = random_inputs(product, 6, "shared")
        x = x.reshape(2, 3, -1).requires_grad_()
        y = y[:3].requires_grad_()
        found = contract(product, x, y, w, backend=backend)
        rows = contract(product, x.reshape(6, -1), y.repeat(2, 1), w, backend="reference")
        torch.testing.assert_close(found, rows.reshape(2, 3, -1), rtol=1e-12, atol=1e-12)
        gradients = [torch.autograd.grad((out**2).sum(), (x, y)) for out in (found, rows)]
        for a, b in zip(*gradients):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)

    def test_one_sample_without_leading_dimensions(self, backend: str, mode: str) -> None:
        product = make_product(mode, 3, 2)
        x, y, w = random_inputs(product, 1, "shared")
        found = contract(product, x[0], y[0], w, backend=backend)
        torch.testing.assert_close(found, contract(product, x, y, w, backend=backend)[0])

    def test_strides(self, backend: str, mode: str) -> None:
        """Transposed, sliced, and expanded inputs, and the expanded gradient of a sum."""
        product = make_product(mode, 3, 2)
        x, y, w = random_inputs(product, 4, "own")
        expected = contract(product, x, y, w, backend="reference")
        wide = torch.zeros(8, product.dim_in1 + 3, dtype=x.dtype)
        wide[::2, 2:-1] = x
        found = contract(product, wide[::2, 2:-1], y.T.contiguous().T, w, backend=backend)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        x, y, w = x[:1].expand(4, -1), y[:1].expand(4, -1), w[:1].expand(4, -1)
        leaf = x.detach().requires_grad_()
        found = contract(product, leaf, y, w, backend=backend)
        torch.testing.assert_close(found, expected[:1].expand(4, -1), rtol=1e-12, atol=1e-12)
        (gradient,) = torch.autograd.grad(found.sum(), leaf)
        right = contract_right(product, y, w).sum(-1)
        torch.testing.assert_close(gradient, right, rtol=1e-11, atol=1e-11)

    def test_empty_batch(self, backend: str, mode: str) -> None:
        product = make_product(mode, 3, 2)
        x, y, w = (t.requires_grad_() for t in random_inputs(product, 1, "shared"))
        out = contract(product, x[:0], y[:0], w, backend=backend)
        assert out.shape == (0, product.dim_out)
        (gradient,) = torch.autograd.grad(out.sum(), w)
        assert gradient.shape == w.shape
        assert not gradient.any()

    def test_nan(self, backend: str, mode: str) -> None:
        """NaN in any argument reaches the row's output and gradient, and no other row."""
        product = make_product(mode, 9, 2)
        for name in range(2):
            inputs = list(random_inputs(product, 3, "shared"))
            inputs[name][1] = float("nan")
            leaves = [t.requires_grad_() for t in inputs]
            out = contract(product, *leaves, backend=backend)
            reached = slice(product.paths[0].out.offset, product.paths[0].out.end)
            assert out[1, reached].isnan().all()
            assert out[::2].isfinite().all()
            gradient = torch.autograd.grad(out.sum(), leaves[1 - name])[0]
            assert gradient[1].isnan().any()
            assert gradient[::2].isfinite().all()


def test_same_numbers_for_any_number_of_threads() -> None:
    product = make_product("uvu", 32, 1)
    rows = 20_000
    inputs = [t.requires_grad_() for t in random_inputs(product, rows, "shared", torch.float32)]
    threads = torch.get_num_threads()
    found = []
    try:
        for number in (1, 3, 3):
            torch.set_num_threads(number)
            out = contract(product, *inputs)
            found.append([out, *torch.autograd.grad((out**2).sum(), inputs)])
    finally:
        torch.set_num_threads(threads)
    for others in found[1:]:
        for one, other in zip(found[0], others):
            assert torch.equal(one, other)


def test_no_overflow_of_positions() -> None:
    """Rows whose distance in memory, times their number, is more than 2^31 elements."""
    product = make_product("uvu", 1, 1, dims=(1, 1, 1))
    rows, stride = 3, 2**30
    storage = torch.empty(0, dtype=torch.float32)
    try:
        storage = torch.empty((rows - 1) * stride + product.dim_in1, dtype=torch.float32)
    except RuntimeError:
        pytest.skip("8 GiB of address space are not available")
    # memory that is never touched is never backed by pages
    x = storage.as_strided((rows, product.dim_in1), (stride, 1))
    values, y, w = random_inputs(product, rows, "shared", torch.float32)
    x.copy_(values)
    assert torch.equal(contract(product, x, y, w), contract(product, values, y, w))


def test_half_precision_and_autocast() -> None:
    product = make_product("uvw", 3, 2)
    x, y, w = random_inputs(product, 4, "shared", torch.float32)
    expected = contract(product, x, y, w)
    half = contract(product, x.bfloat16(), y.bfloat16(), w.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.1, atol=0.3)
    with torch.autocast("cpu", torch.bfloat16):
        found = contract(product, x.bfloat16().float(), y, w)
        mixed = contract(product, x.bfloat16(), y, w)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, found)


def test_products_are_values() -> None:
    product = make_product("uvw", 3, 2)
    again = make_product("uvw", 3, 2)
    assert product == again
    assert hash(product) == hash(again)
    assert copy.deepcopy(product) == product
    assert pickle.loads(pickle.dumps(product)) == product
    assert product != make_product("uvw", 3, 3)


class TestErrors:
    product = make_product("uvu", 3, 2)

    def check(self, message: str, *args: object, **options: object) -> None:
        with pytest.raises(ValueError, match=message):
            contract(*args, **options)  # type: ignore[arg-type]

    def test_arguments(self) -> None:
        x, y, w = random_inputs(self.product, 4)
        p = self.product
        self.check(r"x must have .* dim_in1 = 11\); got \(4, 10\)", p, x[:, :-1], y, w)
        self.check(r"y must have .* dim_in2 = 5\)", p, x, y[:, 1:], w)
        self.check(r"weight must have .* weight_numel = 8\)", p, x, y, w[1:])
        self.check("weight is missing", p, x, y)
        self.check(r"broadcast; got x \(4, 11\), y \(3, 5\)", p, x, y[:3], w)
        self.check("float32 and torch.float64", p, x, y.float(), w)
        self.check("float32 and torch.float64", p, x, y, w.float())
        self.check("floating", p, x.long(), y.long(), w.long())
        self.check("cpu and meta|meta and cpu", p, x, y.to("meta"), w)
        self.check("one of reference, cpu.*fast", p, x, y, w, backend="fast")
        self.check("float16", p, x.half(), y.half(), w.half(), backend="cpu")

    def test_products(self) -> None:
        (path,) = self.product.paths

        def build(**changes: object) -> None:
            fields = {name: getattr(path, name) for name in path.__dataclass_fields__} | changes
            Product(11, 5, 18, 8, (Path(**fields),))  # type: ignore[arg-type]

        for message, changes in {
            r"in1 = .* length 11": {"in1": Segment(3, 3, 3)},
            "mode must be one of": {"mode": "uvx"},
            "multiplicity 3; got 2": {"out": Segment(0, 2, 5)},
            "equal multiplicity; got 3 and 2": {"mode": "uuu"},
            r"weights of shape \(3, 2\) at offset 3": {"weight": 3},
            "indices of the table": {"table": ((3, 0, 0, 1.0),)},
        }.items():
            with pytest.raises(ValueError, match=message):
                build(**changes)
        shifted = Path(**{**path.__dict__, "out": Segment(3, 3, 5), "weight": None})
        with pytest.raises(ValueError, match="equal or disjoint"):
            Product(11, 5, 18, 8, (path, shifted))

"""Operations on whole irreps: kernels equal torch's operations, and so do their derivatives."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.o3 import Irreps
from symscape.o3 import _irrepwise as irrepwise
from symscape.o3 import _irrepwise_kernels as kernels
from symscape.o3._irrepwise import repeat_components, sum_components

RUNS = st.lists(
    st.tuples(st.sampled_from([1, 2, 3, 7, 8, 16, 31, 50]), st.sampled_from([1, 3, 5, 7])),
    min_size=1,
    max_size=3,
).map(tuple)
DTYPES = st.sampled_from([torch.float32, torch.float64])
some = settings(max_examples=40, deadline=None)


def sizes(runs) -> tuple[int, int]:
    return sum(mul for mul, _ in runs), sum(mul * dim for mul, dim in runs)


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def wide(rows: int, dim: int, dtype: torch.dtype, seed: int) -> torch.Tensor:
    """Rows that do not follow each other in memory."""
    return draw(rows, dim + 3, dtype=dtype, seed=seed)[:, 2 : 2 + dim]


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    tolerance = 1e-12 if b.dtype == torch.float64 else 2e-5
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@some
@given(runs=RUNS, dtype=DTYPES, rows=st.integers(1, 7), group=st.integers(1, 4))
def test_combinations_and_inner_products(runs, dtype, rows: int, group: int) -> None:
    irreps, dim = sizes(runs)
    groups = -(-rows // group)
    x, y = (wide(rows, dim, dtype, seed) for seed in (0, 1))
    a, b = (draw(groups, irreps, dtype=dtype, seed=seed) for seed in (2, 3))
    c = draw(groups, dim, dtype=dtype, seed=4)

    def of_rows(values: torch.Tensor) -> torch.Tensor:
        return values.repeat_interleave(group, 0)[:rows]

    def of_groups(values: torch.Tensor) -> torch.Tensor:
        return torch.stack([part.sum(0) for part in values.split(group)])

    ax, by = (repeat_components(of_rows(s), runs) * t for s, t in ((a, x), (b, y)))
    close(kernels.combine(runs, group, [(a, x), (b, y)], c), ax + by + of_rows(c))
    close(kernels.combine(runs, group, [(a, x)]), ax)
    close(kernels.combine(runs, 1, [(a[:1], x)]), repeat_components(a[:1], runs) * x)
    shifted = x - of_rows(c)
    close(kernels.inner(runs, group, x, y, c), of_groups(sum_components(shifted * y, runs)))
    close(kernels.inner(runs, group, x, None, c), of_groups(sum_components(shifted**2, runs)))
    close(kernels.inner(runs, 1, x, y), sum_components(x * y, runs))


@some
@given(runs=RUNS, dtype=DTYPES, rows=st.integers(1, 4), scalars=st.sampled_from([0, 1, 5, 40]))
def test_gate_and_its_gradients(runs, dtype, rows: int, scalars: int) -> None:
    irreps, dim = sizes(runs)
    first, x = wide(rows, scalars, dtype, 0), wide(rows, dim, dtype, 1)
    a, k = wide(rows, irreps, dtype, 2), draw(scalars + irreps, dtype=dtype, seed=3)
    out = torch.cat([first * k[:scalars], x * repeat_components(a * k[scalars:], runs)], 1)
    close(kernels.gate(runs, first, a, x, k), out)
    g = wide(rows, scalars + dim, dtype, 4)
    of_first, of_a, of_x = kernels.gate_gradients(runs, a, x, k, g)
    close(of_first, g[:, :scalars] * k[:scalars])
    close(of_a, sum_components(x * g[:, scalars:], runs) * k[scalars:])
    close(of_x, g[:, scalars:] * repeat_components(a * k[scalars:], runs))


def test_slices_on_threads_give_the_same() -> None:
    runs = ((20, 1), (20, 3))
    irreps, dim = sizes(runs)
    x, y = draw(10_001, dim), draw(10_001, dim, seed=1)
    a, k = draw(10_001, irreps), draw(20 + irreps, seed=2)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(
                [
                    kernels.combine(runs, 1, [(a, x)]),
                    kernels.inner(runs, 1, x, y),
                    kernels.inner(runs, 64, x, y),
                    kernels.gate(runs, x[:, :20], a, x, k),
                    *kernels.gate_gradients(runs, a, x, k, torch.cat([y[:, :20], y], 1)),
                ]
            )
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*results))


K = draw(9, seed=5)
RUNS_OF_CASES = ((3, 1), (2, 3), (1, 5))
CASES = {
    "scale": (lambda s, x: irrepwise.scale(s, x, RUNS_OF_CASES), [(2, 4, 6), (2, 4, 14)]),
    "scale shared": (lambda s, x: irrepwise.scale(s, x, RUNS_OF_CASES), [(6,), (2, 4, 14)]),
    "scale broadcast": (lambda s, x: irrepwise.scale(s, x, RUNS_OF_CASES), [(2, 1, 6), (2, 4, 14)]),
    "scale and shift": (
        lambda s, x, c: irrepwise.scale(s, x, RUNS_OF_CASES, c),
        [(6,), (4, 14), (14,)],
    ),
    "inner": (lambda x, y: irrepwise.inner(x, y, RUNS_OF_CASES), [(4, 14), (4, 14)]),
    "squares": (lambda x: irrepwise.squares(x, RUNS_OF_CASES), [(2, 4, 14)]),
    "gate": (
        lambda f, s, x: irrepwise.gate(f, s, x, K[:9], RUNS_OF_CASES),
        [(2, 4, 3), (2, 4, 6), (2, 4, 14)],
    ),
    "gate without scalars": (
        lambda f, s, x: irrepwise.gate(f, s, x, K[:6], RUNS_OF_CASES),
        [(4, 0), (4, 6), (4, 14)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name: str) -> None:
    f, shapes = CASES[name]
    inputs = [draw(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


@pytest.mark.parametrize("name", CASES)
def test_kernels_equal_operations(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, first and second, with and without kernels."""
    f, shapes = CASES[name]
    inputs = [draw(*shape, seed=i).requires_grad_() for i, shape in enumerate(shapes)]
    results = []
    for with_kernels in (True, False):
        if not with_kernels:
            monkeypatch.setattr(irrepwise, "has_kernels", lambda *_: False)
        out = f(*inputs)
        g = draw(*out.shape, seed=9)
        plain = torch.autograd.grad(out, inputs, g, retain_graph=True, allow_unused=True)
        first = torch.autograd.grad(out, inputs, g, create_graph=True, allow_unused=True)
        total = sum(t.sin().sum() for t in first if t is not None)
        second = torch.autograd.grad(total, inputs, allow_unused=True)
        with torch.no_grad():
            results.append([out, f(*inputs), *plain, *first, *second])
    for a, b in zip(*results):
        if a is None or b is None:
            assert all(t is None or t.count_nonzero() == 0 for t in (a, b))
        else:
            close(a, b)


@pytest.mark.parametrize("name", CASES)
def test_transformations_get_operations(name: str) -> None:
    f, shapes = CASES[name]
    inputs = [draw(*shape, seed=i) for i, shape in enumerate(shapes)]
    expected = f(*inputs)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    close(compiled(*inputs), expected)
    torch._dynamo.reset()
    directions = tuple(draw(*shape, seed=7 + i) for i, shape in enumerate(shapes))
    _, tangent = torch.func.jvp(f, tuple(inputs), directions)
    found = torch.func.grad(lambda *t: f(*t).square().sum(), tuple(range(len(inputs))))(*inputs)
    inner = sum((g * d).sum() for g, d in zip(found, directions))
    close((2 * expected * tangent).sum(), inner)


def test_half_precision_and_mixed_types_get_operations() -> None:
    x, s = draw(4, 14), draw(4, 6)
    out = irrepwise.scale(s.bfloat16(), x.bfloat16(), RUNS_OF_CASES)
    assert out.dtype is torch.bfloat16
    assert irrepwise.scale(s.float(), x, RUNS_OF_CASES).dtype is torch.float64
    assert irrepwise.squares(x[:0], RUNS_OF_CASES).shape == (0, 6)


def test_runs() -> None:
    assert irrepwise.runs_of(Irreps("2x0e+3x0o+0x1o+1x2e+4x2o")) == ((5, 1), (5, 5))

"""Kernels for both widths of vectors, and for several blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from contraction_cases import make_product, random_inputs

from symscape.contraction import (
    MODES,
    Mixing,
    MixingPath,
    Segment,
    _compile,
    _cpu,
    _mixed,
    contract,
    mix,
)
from symscape.contraction import _mixing as mixing_module

CACHES = (
    _compile._platform,
    _compile.vector_width,
    _compile.vector_registers,
    _cpu._function,
    mixing_module.mixing_function,
)


@pytest.fixture(params=[True, False], ids=["wide", "narrow"])
def vectors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Registers of 512 bits, or of 256; LLVM makes do with what there is."""

    def clear() -> None:
        for cache in CACHES:
            cache.cache_clear()

    monkeypatch.setattr(_compile, "_has_wide_vectors", lambda: request.param)
    clear()
    yield request.param
    monkeypatch.undo()
    clear()


def test_widths(vectors: bool) -> None:
    assert _compile.vector_width(False) == (16 if vectors else 8)
    assert _compile.vector_width(True) == (8 if vectors else 4)
    assert _compile.vector_registers() == (32 if vectors else 16)


@pytest.mark.parametrize("mode", MODES)
def test_products(vectors: bool, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to second derivatives; products of copies go in blocks of twelve rows and a remainder."""
    monkeypatch.setattr(_mixed, "_BLOCK", 1)
    product = make_product(mode, 19, 2, dims=(3, 2, 3))
    inputs = [t.requires_grad_() for t in random_inputs(product, 31, "shared") if t is not None]
    found = []
    for backend in ("reference", "cpu"):
        out = contract(product, *inputs, backend=backend)
        first = torch.autograd.grad((out**2).sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum((t**2).sum() for t in first), inputs)
        found.append([out, *first, *second])
    for reference, fast in zip(*found):
        scale = float(reference.detach().abs().max())
        torch.testing.assert_close(fast, reference, rtol=1e-12, atol=1e-13 * scale)
    single = [t.detach().float() for t in inputs]
    out = contract(product, *single, backend="cpu").double()
    scale = float(found[0][0].detach().abs().max())
    torch.testing.assert_close(out, found[0][0].detach(), rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize("dim", [1, 2, 3, 5, 9])
def test_mixing(vectors: bool, dim: int) -> None:
    mul_in, mul_out = 19, 47
    block = Segment(1, mul_in, dim), Segment(2, mul_out, dim)
    numel = mul_in * mul_out
    mixing = Mixing(mul_in * dim + 2, mul_out * dim + 3, numel, (MixingPath(*block, 0, 0.7),))
    x = torch.randn(67, mixing.dim_in1, requires_grad=True)
    w = torch.randn(numel, requires_grad=True)
    found = []
    for backend, leaves in (("cpu", (x, w)), ("reference", (x.double(), w.double()))):
        out = mix(mixing, *leaves, backend=backend)
        found.append([out, *torch.autograd.grad((out**2).sum(), (x, w))])
    for fast, reference in zip(*found):
        scale = float(reference.detach().abs().max())
        torch.testing.assert_close(fast.double(), reference.double(), rtol=1e-4, atol=1e-6 * scale)

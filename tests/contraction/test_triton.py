"""The GPU kernels, on a GPU or else in Triton's interpreter, against the other backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from contraction_cases import make_product, partly_weighted, random_inputs
from torch import Tensor

from symscape.contraction import MODES, available_backends, contract, convolve

pytest.importorskip("triton", reason="Triton is not installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def moved(tensors: list[Tensor]) -> list[Tensor]:
    """Leaves with the same numbers on the device of the backend."""
    return [t.detach().to(DEVICE).requires_grad_() for t in tensors]


def up_to_second(out: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """The output, its first and its second derivatives, on the CPU."""
    first = torch.autograd.grad((out**2).sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum((t**2).sum() for t in first), leaves)
    return [t.detach().cpu() for t in (out, *first, *second)]


def test_available() -> None:
    assert "cuda" in available_backends()


@pytest.mark.parametrize("weights", ["none", "shared", "own"])
@pytest.mark.parametrize("mode", MODES)
def test_modes(mode: str, weights: str) -> None:
    """Output, gradients and double gradients, for several copies of both inputs."""
    for muls in [(3, 2), (9, 1)]:
        product = make_product(mode, *muls, weighted=weights != "none", dims=(3, 2, 3))
        inputs = [t.requires_grad_() for t in random_inputs(product, 3, weights) if t is not None]
        leaves = moved(inputs)
        found = up_to_second(contract(product, *leaves, backend="cuda"), leaves)
        expected = up_to_second(contract(product, *inputs, backend="reference"), inputs)
        for a, b in zip(found, expected):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("weights", ["shared", "own"])
@pytest.mark.parametrize("mode", ["uvu", "uvw", "uuu"])
def test_three_derivatives_beside_paths_without_weights(mode: str, weights: str) -> None:
    product = partly_weighted(mode, 3, 2, dims=(2, 1, 2))
    inputs = [t.requires_grad_() for t in random_inputs(product, 2, weights) if t is not None]
    leaves = moved(inputs)
    found = []
    for given, backend in ((leaves, "cuda"), (inputs, "reference")):
        gradient = torch.autograd.grad(
            (contract(product, *given, backend=backend) ** 2).sum(), given, create_graph=True
        )
        found.append(up_to_second(torch.cat([t.flatten() for t in gradient]), given))
    for a, b in zip(*found):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", ["uvu", "uvv", "uuu", "uvuv"])
def test_more_copies_than_lanes(mode: str) -> None:
    """Loops over chunks of the copies, whose sums over copies add up."""
    product = make_product(mode, 140, 2, dims=(2, 1, 2))
    inputs = [t.requires_grad_() for t in random_inputs(product, 3, "shared") if t is not None]
    leaves = moved(inputs)
    found = up_to_second(contract(product, *leaves, backend="cuda"), leaves)
    for a, b in zip(found, up_to_second(contract(product, *inputs, backend="reference"), inputs)):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("mode", ["uvu", "uuu"])
def test_single_precision(mode: str) -> None:
    product = make_product(mode, 9, 2)
    inputs = [t for t in random_inputs(product, 40, "own") if t is not None]
    found = contract(product, *(t.float().to(DEVICE) for t in inputs), backend="cuda")
    assert found.dtype == torch.float32
    expected = contract(product, *inputs, backend="reference")
    torch.testing.assert_close(found.cpu().double(), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("mode", ["uvu", "uvuv", "uuu"])
def test_gradcheck(mode: str) -> None:
    product = make_product(mode, 2, 2, dims=(1, 2, 2))
    leaves = moved([t for t in random_inputs(product, 2, "shared") if t is not None])

    def function(*args: Tensor) -> Tensor:
        return contract(product, *args, backend="cuda")

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize(
    ("mode", "mul1", "mul2", "weights"),
    [
        ("uvu", 9, 1, "own"),
        ("uvu", 3, 2, "shared"),
        ("uvv", 2, 5, "own"),
        ("uuu", 5, 5, "shared"),
        ("uvw", 3, 2, "shared"),
        ("uvuv", 3, 2, "none"),
    ],
)
def test_graphs(mode: str, mul1: int, mul2: int, weights: str) -> None:
    """Sums over the edges of a node, of unequal number, and nodes without edges."""
    product = make_product(mode, mul1, mul2, weighted=weights != "none", dims=(2, 2, 3))
    nodes, edges = 5, 12
    generator = torch.Generator().manual_seed(0)
    source = torch.randint(nodes - 1, (edges,), generator=generator)
    destination = torch.randint(nodes - 2, (edges,), generator=generator)
    x = random_inputs(product, nodes, weights)[0]
    _, y, w = random_inputs(product, edges, weights)
    inputs = [t.requires_grad_() for t in (x, y, w) if t is not None]
    leaves = moved(inputs)

    def run(leaves: list[Tensor], device: str, backend: str) -> list[Tensor]:
        x, y, w = (*leaves, None)[:3]
        ends = torch.stack([source, destination], 1).to(device).unbind(1)  # not consecutive
        return up_to_second(convolve(product, x, y, w, *ends, nodes, backend=backend), leaves)

    found = run(leaves, DEVICE, "cuda")
    assert not found[0][nodes - 2 :].any()
    for a, b in zip(found, run(inputs, "cpu", "reference")):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_empty_strided_and_nan() -> None:
    product = make_product("uvu", 9, 2)
    x, y, w = (t.to(DEVICE) for t in random_inputs(product, 4, "own") if t is not None)
    assert contract(product, x[:0], y[:0], w[:0], backend="cuda").shape == (0, product.dim_out)
    expected = contract(product, x, y, w, backend="reference")
    wide = torch.zeros(8, product.dim_in1 + 3, dtype=x.dtype, device=DEVICE)
    wide[::2, 2:-1] = x
    found = contract(product, wide[::2, 2:-1], y.T.contiguous().T, w, backend="cuda")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    leaf = x[:1].expand(4, -1).detach().requires_grad_()
    contract(product, leaf, y, w, backend="cuda").sum().backward()  # the gradient has strides 0
    x[1] = float("nan")
    found = contract(product, x, y, w, backend="cuda")
    assert found[1].isnan().any()
    assert found[[0, 2, 3]].isfinite().all()


def test_other_arguments_are_refused() -> None:
    product = make_product("uvu", 3, 2)
    x, y, w = (t.to(DEVICE) for t in random_inputs(product, 2, "shared") if t is not None)
    with pytest.raises(ValueError, match=r"cuda takes float32 and float64 on a GPU; got .*float16"):
        contract(product, x.half(), y.half(), w.half(), backend="cuda")


def test_compiles(tmp_path: Path) -> None:
    """What runs in the interpreter is also accepted by the compiler, with the constants in full."""
    environment = {
        **os.environ,
        "TRITON_INTERPRET": "0",
        "TRITON_CACHE_DIR": str(tmp_path),
        "TRITON_DEFAULT_FP_FUSION": "1",
    }
    script = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 14
    for kernel in found.values():
        assert kernel == {"multiply_add": True, "constants": 1.0}

"""The linear layer against its definition; its derivatives; bad arguments."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from symscape.contraction import Mixing, MixingPath, Segment, mix

BACKENDS = ("reference", "cpu")
# tiles of every width, remainders of rows, representations of odd and even dimension
SIZES = [(5, 3, 1), (4, 24, 3), (7, 19, 5), (3, 9, 7), (2, 8, 2), (9, 1, 1), (1, 33, 1), (0, 2, 3)]


def two_paths(mul_in: int, mul_out: int, dim: int) -> Mixing:
    """Two terms with the same input and output, and elements around them."""
    block = Segment(1, mul_in, dim), Segment(2, mul_out, dim)
    numel = mul_in * mul_out
    paths = (MixingPath(*block, 1, 0.7), MixingPath(*block, 1 + numel, -0.3))
    return Mixing(mul_in * dim + 2, mul_out * dim + 3, 2 * numel + 2, paths)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_definition_and_derivatives(size: tuple[int, int, int], shared: bool) -> None:
    mixing, rows = two_paths(*size), 67
    generator = torch.Generator().manual_seed(0)
    draw: Any = {"generator": generator, "dtype": torch.float64, "requires_grad": True}
    x = torch.randn(rows, mixing.dim_in1, **draw)
    w = torch.randn(*(() if shared else (rows,)), mixing.weight_numel, **draw)
    mul_in, mul_out, dim = size
    blocks = x[:, 1:-1].reshape(rows, mul_in, dim)
    matrices = w[..., 1:-1].unflatten(-1, (2, mul_in, mul_out))
    matrix = 0.7 * matrices[..., 0, :, :] - 0.3 * matrices[..., 1, :, :]
    piece = (matrix.mT @ blocks).reshape(rows, mul_out * dim)
    expected = torch.nn.functional.pad(piece, (2, 1))
    found = []
    for out in (expected, *(mix(mixing, x, w, backend=backend) for backend in BACKENDS)):
        first = torch.autograd.grad((out**3).sum(), (x, w), create_graph=True)
        second = torch.autograd.grad(sum((t**3).sum() for t in first), (x, w))
        found.append([out, *first, *second])
    for others in found[1:]:
        for other, right in zip(others, found[0]):
            scale = float(right.detach().abs().max()) + 1 if right.numel() else 1
            torch.testing.assert_close(other, right, rtol=1e-12, atol=1e-13 * scale)


def test_single_precision() -> None:
    mixing = two_paths(16, 16, 3)
    x, w = torch.randn(40, mixing.dim_in1), torch.randn(mixing.weight_numel)
    expected = mix(mixing, x.double(), w.double(), backend="reference")
    torch.testing.assert_close(mix(mixing, x, w).double(), expected, rtol=1e-5, atol=1e-5)


def test_forward_mode() -> None:
    mixing = two_paths(3, 4, 3)
    x = torch.randn(5, mixing.dim_in1, dtype=torch.float64)
    w = torch.randn(mixing.weight_numel, dtype=torch.float64)
    found = []
    for backend in BACKENDS:

        def f(x: torch.Tensor, w: torch.Tensor, backend: str | None = backend) -> torch.Tensor:
            return mix(mixing, x, w, backend=backend)

        def square(w: torch.Tensor, f: Any = f) -> torch.Tensor:
            return (f(x, w) ** 2).sum()

        tangents = torch.func.jvp(f, (x, w), (x + 1, w + 2))
        found.append([*tangents, torch.func.hessian(square)(w)])
    for others in found[1:]:
        torch.testing.assert_close(others, found[0], rtol=1e-12, atol=1e-12)


def test_empty_and_leading_dimensions() -> None:
    mixing = two_paths(3, 4, 3)
    x, w = torch.randn(2, 5, mixing.dim_in1), torch.randn(mixing.weight_numel)
    assert mix(mixing, x[:0], w).shape == (0, 5, mixing.dim_out)
    assert torch.equal(mix(mixing, x, w)[1], mix(mixing, x[1], w))


def test_errors() -> None:
    mixing = two_paths(3, 4, 3)
    x, w = torch.randn(5, mixing.dim_in1), torch.randn(mixing.weight_numel)
    with pytest.raises(ValueError, match="x must have"):
        mix(mixing, x[:, 1:], w)
    with pytest.raises(ValueError, match="weight must have"):
        mix(mixing, x, w[1:])
    with pytest.raises(ValueError, match="same dtype"):
        mix(mixing, x, w.double())
    with pytest.raises(ValueError, match="one dimension; got 3 in in1 and 1 in out"):
        Mixing(9, 3, 9, (MixingPath(Segment(0, 3, 3), Segment(0, 3, 1), 0, 1.0),))
    with pytest.raises(ValueError, match="within weight_numel"):
        Mixing(9, 9, 8, (MixingPath(Segment(0, 3, 3), Segment(0, 3, 3), 0, 1.0),))

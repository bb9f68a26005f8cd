"""The checks for users' layers find what is wrong and pass what is right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from symscape.o3 import FullyConnectedTensorProduct, Irreps
from symscape.testing import (
    assert_equivariant,
    assert_normalized,
    equivariance_error,
    format_equivariance_error,
    random_irreps,
)


def points(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=generator, dtype=torch.float64)


def test_equivariant_layer_passes_and_elementwise_function_does_not() -> None:
    assert_equivariant(FullyConnectedTensorProduct("2x0e+1x1o", "1x1o", "2x1o+1x1e"))
    with pytest.raises(AssertionError, match="parity_k=0"):
        assert_equivariant(torch.abs, irreps_in="1x1o", irreps_out="1x1o")
    assert_equivariant(torch.abs, irreps_in="3x0o", irreps_out="3x0e")


def test_wrong_parity_is_found_only_with_inversion() -> None:
    def wrong(x: Tensor) -> Tensor:
        return x

    errors = equivariance_error(wrong, [points(4)], "1o", "1e")
    assert float(errors[0, False]) < 1e-12
    assert float(errors[1, False]) > 0.1
    assert list(equivariance_error(wrong, [points(4)], "1o", "1e", do_parity=False)) == [(0, False)]


def test_translations_of_points() -> None:
    def centered(x: Tensor) -> Tensor:
        return x - x.mean(0)

    errors = assert_equivariant(centered, [points(5)], "cartesian_points", "1o", 1e-12)
    assert set(errors) == {(0, False), (0, True), (1, False), (1, True)}
    not_invariant = equivariance_error(lambda x: x, [points(5)], "cartesian_points", "1o")
    assert float(not_invariant[0, False]) < 1e-12
    assert float(not_invariant[0, True]) > 0.1
    moves_along = equivariance_error(
        lambda x: x, [points(5)], ["cartesian_points"], "cartesian_points"
    )
    assert all(float(error) < 1e-12 for error in moves_along.values())


def test_several_arguments_and_outputs_and_none() -> None:
    def f(x: Tensor, species: Tensor) -> tuple[Tensor, Tensor]:
        return x * species[:, None], (x * x).sum(-1, keepdim=True)

    errors = equivariance_error(f, [points(3), torch.arange(3)], ["1o", None], ["1o", "0e"])
    assert all(error.shape == (2,) and float(error.max()) < 1e-12 for error in errors.values())
    assert "in argument 1" in format_equivariance_error(errors)


def test_nan_is_no_success() -> None:
    with pytest.raises(AssertionError):
        assert_equivariant(lambda x: x * torch.nan, irreps_in="1o", irreps_out="1o")


def test_same_seed_same_error_and_global_generator_untouched() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()

    def error(generator: torch.Generator | int) -> float:
        return float(
            equivariance_error(torch.abs, [points(4)], "1o", "1o", generator=generator)[0, False]
        )

    first = error(3)
    assert torch.equal(state, torch.get_rng_state())
    assert first == error(torch.Generator().manual_seed(3))
    assert first != error(4)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="irreps_in: not given"):
        equivariance_error(torch.abs, [points(2)])
    with pytest.raises(ValueError, match="irreps_out: not given"):
        equivariance_error(torch.abs, [points(2)], "1o")
    with pytest.raises(ValueError, match="irreps_in: 2 entries"):
        equivariance_error(torch.abs, [points(2)], ["1o", "1o"], "1o")
    with pytest.raises(ValueError, match="args_in: not given"):
        assert_equivariant(torch.add, irreps_in=["1o", None], irreps_out="1o")
    with pytest.raises(ValueError, match="2x1o given for a tensor"):
        equivariance_error(torch.abs, [points(2)], "2x1o", "1o")


@pytest.mark.parametrize("normalization", ["component", "norm"])
def test_normalized_layer_passes_and_scaled_one_does_not(normalization: str) -> None:
    layer = FullyConnectedTensorProduct(
        "8x0e+8x1o", "4x0e+4x1o", "2x0e+2x1o", irrep_normalization=normalization
    )
    before = layer.weight.clone()
    assert_normalized(layer, normalization=normalization, atol=0.3)
    assert torch.equal(layer.weight, before)

    class Doubled(torch.nn.Module):
        irreps_in = irreps_out = Irreps("2x0e+1x1o")

        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    with pytest.raises(AssertionError, match="deviates from 1"):
        assert_normalized(Doubled(), normalization=normalization)


def test_random_irreps_keep_their_ranges() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = random_irreps(
        200, lmax=2, mul_min=1, mul_max=3, len_min=1, len_max=2, generator=generator
    )
    assert {type(irreps).__name__ for irreps in drawn} == {"str", "list", "Irreps"}
    for irreps in map(Irreps, drawn):
        assert 1 <= len(irreps) <= 2
        assert irreps.lmax <= 2
        assert all(1 <= mul <= 3 for mul, _ in irreps)
    assert isinstance(random_irreps(clean=True), Irreps)
    assert random_irreps(5, generator=1) == random_irreps(5, generator=1)
    clean = random_irreps(100, allow_empty=False, clean=True, mul_max=1)
    assert all(irreps.dim for irreps in clean)
    with pytest.raises(ValueError, match="mul_min, mul_max"):
        random_irreps(mul_min=3, mul_max=2)
    with pytest.raises(ValueError, match="allow_empty"):
        random_irreps(len_max=0, allow_empty=False)

"""The modules that common tests run through, each with its input."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from symscape import nn

IRREPS = "3x0e+2x0o+3x1o+2x1e+1x2e"

MODULES: dict[str, Callable[[], torch.nn.Module]] = {
    "Activation": lambda: nn.Activation("3x0e+2x0o+1x1o", [F.silu, torch.tanh, None]),
    "Gate": lambda: nn.Gate(
        "3x0e+2x0o", [F.silu, torch.abs], "3x0e+2x0o", [torch.sigmoid, torch.tanh], "3x1o+2x2e"
    ),
    "NormActivation": lambda: nn.NormActivation(IRREPS, torch.sigmoid, bias=True),
    "BatchNorm": lambda: nn.BatchNorm(IRREPS),
    "BatchNormMax": lambda: nn.BatchNorm(IRREPS, reduce="max", normalization="norm"),
    "BatchNormEval": lambda: nn.BatchNorm(IRREPS).eval(),
    "InstanceNorm": lambda: nn.InstanceNorm(IRREPS),
    "LayerNorm": lambda: nn.LayerNorm(IRREPS),
    "Dropout": lambda: nn.Dropout(IRREPS, 0.4).eval(),
    "Identity": lambda: nn.Identity(IRREPS, IRREPS),
    "Extract": lambda: nn.Extract(IRREPS, ["3x1o", "2x0o+3x0e"], [(2,), (1, 0)]),
    "ExtractIr": lambda: nn.ExtractIr(IRREPS, "1o"),
}


def irreps_of(module: torch.nn.Module) -> tuple[object, list[object]]:
    """Irreps of the input, and of each output."""
    irreps_in = getattr(module, "irreps_in", None) or module.irreps
    if isinstance(module, nn.ExtractIr) or not hasattr(module, "irreps_outs"):
        return irreps_in, [getattr(module, "irreps_out", irreps_in)]
    return irreps_in, list(module.irreps_outs)


def sample(
    module: torch.nn.Module, seed: int = 0, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """Features of shape (4, 3, dim)."""
    generator = torch.Generator().manual_seed(seed)
    return irreps_of(module)[0].randn(4, 3, -1, generator=generator, dtype=dtype)


def randomize(module: torch.nn.Module, seed: int = 1) -> torch.nn.Module:
    """Positive random numbers in all parameters and running statistics."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module


def outputs(module: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    out = module(x)
    return [out] if isinstance(out, torch.Tensor) else list(out)

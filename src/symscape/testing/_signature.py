"""Irreps and arguments of the function under test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.o3 import Irreps

CARTESIAN_POINTS = "cartesian_points"

_BATCH = 4


def make_generator(generator: torch.Generator | int) -> torch.Generator:
    """The generator itself, or a fresh one of this seed."""
    if isinstance(generator, torch.Generator):
        return generator
    return torch.Generator().manual_seed(integer("generator", generator))


def input_kinds(func: Any, irreps_in: Any) -> list[Any]:
    """What each argument is: Irreps, ``"cartesian_points"`` or None (not transformed)."""
    if irreps_in is None:
        irreps_in = getattr(func, "irreps_in", None)
    if irreps_in is None and hasattr(func, "irreps_in1"):
        irreps_in = [func.irreps_in1, func.irreps_in2]
    if irreps_in is None:
        raise ValueError(
            f"irreps_in: not given, and {_name(func)} has no attribute irreps_in or irreps_in1; "
            "allowed: irreps, 'cartesian_points' or None for each argument"
        )
    return _kinds(irreps_in, "irreps_in")


def output_kinds(func: Any, irreps_out: Any) -> list[Any]:
    """What each output is."""
    if irreps_out is None:
        irreps_out = getattr(func, "irreps_out", None)
    if irreps_out is None:
        raise ValueError(
            f"irreps_out: not given, and {_name(func)} has no attribute irreps_out; allowed: "
            "irreps, 'cartesian_points' or None for each output"
        )
    return _kinds(irreps_out, "irreps_out")


def random_arguments(
    kinds: Sequence[Any], generator: torch.Generator, batch: int = _BATCH
) -> list[Tensor]:
    """Normally distributed arguments, ``(batch, dim)``, in torch's default dtype."""
    if any(kind is None for kind in kinds):
        raise ValueError(
            "args_in: not given, and an argument that is neither irreps nor 'cartesian_points' "
            "cannot be drawn; allowed: all arguments"
        )
    dims = [3 if kind == CARTESIAN_POINTS else kind.dim for kind in kinds]
    return [torch.randn(batch, dim, generator=generator, device=generator.device) for dim in dims]


def _kinds(irreps: Any, name: str) -> list[Any]:
    if isinstance(irreps, str | Irreps):
        irreps = [irreps]
    try:
        return [
            kind if kind is None or kind == CARTESIAN_POINTS else Irreps(kind) for kind in irreps
        ]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: {irreps!r} given; allowed: irreps, 'cartesian_points' or None, or a list of "
            f"these ({error})"
        ) from error


def _name(func: Any) -> str:
    return getattr(func, "__name__", type(func).__name__)

"""e3nn's private functions on arguments of modules, which tests of its clients use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.testing._signature import (
    CARTESIAN_POINTS,
    input_kinds,
    make_generator,
    output_kinds,
    random_arguments,
)

__all__: list[str] = []


def _get_device(mod: torch.nn.Module) -> torch.device:
    """Where the module's parameters and buffers are; the CPU if it has none."""
    tensors = [*mod.parameters(), *mod.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def _get_floating_dtype(mod: torch.nn.Module) -> torch.dtype:
    """That of the module's parameters and buffers; torch's default if it has none."""
    floating = (t.dtype for t in [*mod.parameters(), *mod.buffers()] if t.is_floating_point())
    return next(floating, torch.get_default_dtype())


def _to_device_dtype(
    args: Any, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Any:
    """Move tensors in nested tuples, lists and dicts; only floating ones change their dtype.

    Raises:
        TypeError: something else in them.
    """
    if isinstance(args, Tensor):
        return args.to(device=device, dtype=dtype if args.is_floating_point() else None)
    if isinstance(args, dict):
        return {name: _to_device_dtype(value, device, dtype) for name, value in args.items()}
    if isinstance(args, tuple | list):
        return type(args)(_to_device_dtype(value, device, dtype) for value in args)
    raise TypeError(f"args: {type(args).__name__} given; allowed: tensors, tuples, lists, dicts")


def _get_io_irreps(
    func: Any, irreps_in: Any = None, irreps_out: Any = None
) -> tuple[list[Any], list[Any]]:
    """What arguments and outputs are, as given or as the function's attributes say."""
    return input_kinds(func, irreps_in), output_kinds(func, irreps_out)


def _rand_args(irreps_in: Sequence[Any], batch_size: int | None = None) -> list[Tensor]:
    """Random arguments, of 1 to 4 rows if not given."""
    rows = int(torch.randint(1, 5, ())) if batch_size is None else batch_size
    return random_arguments(irreps_in, make_generator(torch.default_generator), rows)


def _get_args_in(
    func: Any,
    args_in: Sequence[Any] | None = None,
    irreps_in: Any = None,
    irreps_out: Any = None,
) -> tuple[Sequence[Any], list[Any], list[Any]]:
    """The arguments, random ones if not given, and what arguments and outputs are.

    Raises:
        ValueError: another number of arguments than of their kinds.
    """
    kinds_in, kinds_out = _get_io_irreps(func, irreps_in, irreps_out)
    args_in = _rand_args(kinds_in) if args_in is None else args_in
    if len(args_in) != len(kinds_in):
        raise ValueError(
            f"args_in: {len(args_in)} given; allowed: {len(kinds_in)}, one for each of irreps_in"
        )
    return args_in, kinds_in, kinds_out


def _transform(
    dat: Sequence[Tensor],
    irreps_dat: Sequence[Any],
    rot_mat: Tensor,
    translation: float | Tensor = 0.0,
    output_transform_dtype: bool = False,
) -> list[Tensor]:
    """Rotate each tensor as its irreps say, in the dtype of the matrix; points also move."""
    moved = []
    for tensor, kind in zip(dat, irreps_dat):
        if kind is None:
            moved.append(tensor.clone())
            continue
        is_points = isinstance(kind, str) and kind == CARTESIAN_POINTS
        matrix = (rot_mat if is_points else kind.D_from_matrix(rot_mat)).to(tensor.device)
        out = tensor.to(matrix.dtype) @ matrix.T
        if is_points:
            out = out + torch.as_tensor(translation, dtype=out.dtype, device=out.device)
        moved.append(out if output_transform_dtype else out.to(tensor.dtype))
    return moved

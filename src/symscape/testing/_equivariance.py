"""Does a function commute with rotations, reflections and translations?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.o3 import quaternion_to_matrix
from symscape.testing._signature import (
    CARTESIAN_POINTS,
    input_kinds,
    make_generator,
    output_kinds,
    random_arguments,
)

__all__ = [
    "FLOAT_TOLERANCE",
    "assert_equivariant",
    "equivariance_error",
    "format_equivariance_error",
]

FLOAT_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
"""Largest error that [symscape.testing.assert_equivariant][] accepts, by dtype."""

Errors = dict[tuple[int, bool], Tensor]


def equivariance_error(
    func: Callable[..., Any],
    args_in: Sequence[Any],
    irreps_in: Any = None,
    irreps_out: Any = None,
    ntrials: int = 1,
    do_parity: bool = True,
    do_translation: bool = True,
    transform_dtype: torch.dtype = torch.float64,
    *,
    generator: torch.Generator | int = 0,
) -> Errors:
    r"""Largest deviation from equivariance.

    .. math:: \max_i \left| f(g x)_i - (g f(x))_i \right|

    over random rotations :math:`g`, with and without inversion of space, and with and without a
    random translation of the points.

    Args:
        func: the function; it returns a tensor or a sequence of tensors.
        args_in: its arguments.
        irreps_in: what each argument is: irreps, ``"cartesian_points"`` for positions
            ``(..., 3)``, or None for anything that does not transform. ``func.irreps_in``, or
            ``func.irreps_in1`` and ``func.irreps_in2``, if not given.
        irreps_out: the same for the outputs; ``func.irreps_out`` if not given.
        ntrials: number of random rotations for each case.
        do_parity: also with the inversion.
        do_translation: also with a translation, if any argument is ``"cartesian_points"``.
        transform_dtype: in which the transformations are computed.
        generator: of the rotations and translations, or its seed.

    Returns:
        For each case (1 with inversion or 0, with translation or not), the largest deviation of
        each output.

    Raises:
        ValueError: irreps that are missing or do not fit the arguments.
    """
    kinds_in = input_kinds(func, irreps_in)
    kinds_out = output_kinds(func, irreps_out)
    if len(kinds_in) != len(args_in):
        raise ValueError(
            f"irreps_in: {len(kinds_in)} entries given; allowed: {len(args_in)}, one for each "
            "argument"
        )
    generator = make_generator(generator)
    translate = [False, True] if do_translation and CARTESIAN_POINTS in kinds_in else [False]
    cases = [(k, moved) for k in ([0, 1] if do_parity else [0]) for moved in translate]
    errors: Errors = {}
    for k, moved in cases:
        trials = []
        for _ in range(ntrials):
            g = _Transformation(k, moved, transform_dtype, generator)
            moved_args = [g(arg, kind) for arg, kind in zip(args_in, kinds_in)]
            expected = [g(out, kind) for out, kind in zip(_outputs(func, args_in), kinds_out)]
            found = _outputs(func, moved_args)
            if len(found) != len(kinds_out):
                raise ValueError(
                    f"irreps_out: {len(kinds_out)} entries given; allowed: {len(found)}, one for "
                    "each output"
                )
            trials.append(torch.stack([_deviation(a, b) for a, b in zip(found, expected)]))
        errors[k, moved] = torch.stack(trials).amax(0)
    return errors


def format_equivariance_error(errors: Errors) -> str:
    """The errors as text, a line for each case and output."""
    return "\n".join(
        f"(parity_k={k}, did_translate={moved}) -> max error={float(error):.3e} in argument {i}"
        for (k, moved), of_outputs in errors.items()
        for i, error in enumerate(of_outputs)
    )


def assert_equivariant(
    func: Callable[..., Any],
    args_in: Sequence[Any] | None = None,
    irreps_in: Any = None,
    irreps_out: Any = None,
    tolerance: float | None = None,
    *,
    generator: torch.Generator | int = 0,
    **options: Any,
) -> Errors:
    """Refuse a function that is not equivariant.

    Args:
        func: the function.
        args_in: its arguments; normally distributed ones if not given.
        irreps_in: as in [symscape.testing.equivariance_error][].
        irreps_out: as there.
        tolerance: the largest error accepted; `FLOAT_TOLERANCE` of torch's default dtype if not
            given.
        generator: of arguments and transformations, or its seed.
        **options: passed on to [symscape.testing.equivariance_error][].

    Returns:
        The errors, for each case and output.

    Raises:
        AssertionError: an error above the tolerance, or not a number.
        ValueError: irreps that are missing or do not fit the arguments.
    """
    generator = make_generator(generator)
    kinds = input_kinds(func, irreps_in)
    if args_in is None:
        args_in = random_arguments(kinds, generator)
    if tolerance is None:
        tolerance = FLOAT_TOLERANCE[torch.get_default_dtype()]
    errors = equivariance_error(func, args_in, kinds, irreps_out, generator=generator, **options)
    too_large = {
        case: of_outputs
        for case, of_outputs in errors.items()
        if not bool((of_outputs <= tolerance).all())
    }
    if too_large:
        raise AssertionError(
            f"not equivariant to {tolerance:.1e}:\n{format_equivariance_error(too_large)}"
        )
    return errors


class _Transformation:
    """A random rotation, times the inversion if k = 1, and then perhaps a translation."""

    def __init__(
        self, k: int, translate: bool, dtype: torch.dtype, generator: torch.Generator
    ) -> None:
        device = generator.device
        quaternion = torch.randn(4, generator=generator, dtype=torch.float64, device=device)
        self._quaternion = (quaternion / quaternion.norm()).to(dtype)
        self._k = torch.tensor(k, device=device)
        shift = torch.randn(3, generator=generator, dtype=torch.float64, device=device)
        self._shift = (shift * float(translate)).to(dtype)

    def __call__(self, x: Any, kind: Any) -> Any:
        if kind is None:
            return x
        quaternion = self._quaternion.to(x.device)
        k = self._k.to(x.device)
        wide = x.to(quaternion.dtype)
        if kind == CARTESIAN_POINTS:
            matrix = quaternion_to_matrix(quaternion) * (-1.0) ** k
            return (wide @ matrix.mT + self._shift.to(x.device)).to(x.dtype)
        if x.shape[-1:] != (kind.dim,):
            raise ValueError(
                f"irreps: {kind} given for a tensor of shape {tuple(x.shape)}; allowed: irreps of "
                "the length of the last axis"
            )
        return (wide @ kind.D_from_quaternion(quaternion, k).mT).to(x.dtype)


def _outputs(func: Callable[..., Any], args: Sequence[Any]) -> list[Any]:
    out = func(*args)
    return [out] if isinstance(out, Tensor) else list(out)


def _deviation(found: Any, expected: Any) -> Tensor:
    if not isinstance(found, Tensor) or found.numel() == 0:
        return torch.zeros((), dtype=torch.float64)
    return (found - expected).detach().abs().max().to("cpu", torch.float64)

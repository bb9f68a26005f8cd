"""Instructions of a tensor product: which blocks meet, how, and with which coefficient."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from symscape.contraction import MODES, path_shape
from symscape.o3._irreps import Irrep, Irreps

__all__ = ["Instruction", "irrep_set", "normalized"]

_WEIGHTLESS = ("uvu", "uvv", "uuu", "uvuv", "uvu<v")
_EQUAL_INPUTS = ("uuw", "uuu", "uvu<v", "u<vw")


class Instruction(NamedTuple):
    """One path of a tensor product.

    Attributes:
        i_in1: which block of ``irreps_in1``.
        i_in2: which block of ``irreps_in2``.
        i_out: which block of ``irreps_out``.
        connection_mode: how the multiplicities are connected, one of
            `symscape.contraction.MODES`.
        has_weight: whether the path has weights.
        path_weight: the coefficient that multiplies the path.
        path_shape: shape of its weights.
    """

    i_in1: int
    i_in2: int
    i_out: int
    connection_mode: str
    has_weight: bool
    path_weight: float
    path_shape: tuple[int, ...]

    @property
    def contributes(self) -> bool:
        """False where the path is zero because of a multiplicity or a coefficient of zero."""
        return self.path_weight != 0 and 0 not in self.path_shape


def normalized(
    irreps_in1: Irreps,
    irreps_in2: Irreps,
    irreps_out: Irreps,
    instructions: Iterable[tuple],
    in1_var: Sequence[float],
    in2_var: Sequence[float],
    out_var: Sequence[float],
    irrep_normalization: str,
    path_normalization: str,
) -> list[Instruction]:
    r"""Complete the instructions of a user with shapes and coefficients.

    The coefficient of a path is :math:`\sqrt{p\,\alpha / x}` with the user's path weight p, the
    variance of the output times

    * ``component``: :math:`\alpha = 2 l_3 + 1`;
    * ``norm``: :math:`\alpha = (2 l_1 + 1) (2 l_2 + 1)`;
    * ``none``: :math:`\alpha = 1`,

    and, with n the number of terms in the sum over multiplicities times the variances of inputs,

    * ``element``: :math:`x = \sum n`, over the paths to the same block of the output;
    * ``path``: :math:`x = n` times the number of these paths;
    * ``none``: :math:`x = 1`.

    Raises:
        ValueError: an instruction that is not a path of O(3), unknown normalizations.
    """
    irreps = (irreps_in1, irreps_in2, irreps_out)
    parsed = [_parsed(entry, irreps, i) for i, entry in enumerate(instructions)]
    terms = [
        float(in1_var[ins.i_in1] * in2_var[ins.i_in2])
        * _num_terms(ins.connection_mode, irreps_in1[ins.i_in1].mul, irreps_in2[ins.i_in2].mul)
        for ins in parsed
    ]
    completed = []
    for ins, n in zip(parsed, terms):
        same = [m for other, m in zip(parsed, terms) if other.i_out == ins.i_out]
        x = {"element": sum(same), "path": n * len(same), "none": 1.0}[path_normalization]
        ir1, ir2, ir_out = (
            irreps_in1[ins.i_in1].ir,
            irreps_in2[ins.i_in2].ir,
            irreps_out[ins.i_out].ir,
        )
        alpha = {"component": ir_out.dim, "norm": ir1.dim * ir2.dim, "none": 1}[irrep_normalization]
        variance = ins.path_weight * alpha * float(out_var[ins.i_out]) / (x if x > 0 else 1.0)
        completed.append(ins._replace(path_weight=math.sqrt(variance)))
    return completed


def irrep_set(irreps: object, name: str) -> frozenset[Irrep] | None:
    """The irreps of a filter: anything that reads as irreps, or an iterable of irreps.

    Raises:
        ValueError: something else.
    """
    if irreps is None:
        return None
    try:
        return frozenset(entry.ir for entry in Irreps(irreps))  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise ValueError(
            f'{name} must be None, irreps like "0e+1o", or an iterable of irreps; got {irreps!r}'
        ) from None


def _parsed(entry: tuple, irreps: tuple[Irreps, Irreps, Irreps], index: int) -> Instruction:
    """An instruction of the user, checked; its path weight is still the user's."""
    name = f"instructions[{index}]"
    if len(entry) not in (5, 6):
        raise ValueError(
            f"{name} must be (i_in1, i_in2, i_out, connection_mode, has_weight[, path_weight]); "
            f"got {entry}"
        )
    i_in1, i_in2, i_out, mode, has_weight, *rest = entry
    path_weight = float(rest[0]) if rest else 1.0
    for i, blocks, what in zip(entry, irreps, ("irreps_in1", "irreps_in2", "irreps_out")):
        if not 0 <= i < len(blocks):
            raise ValueError(f"{name}: {what} = {blocks} has no block {i}")
    (mul1, ir1), (mul2, ir2), (mul_out, ir_out) = (b[i] for b, i in zip(irreps, entry))
    if mode not in MODES:
        raise ValueError(f"{name}: connection_mode must be one of {', '.join(MODES)}; got {mode!r}")
    if not has_weight and mode not in _WEIGHTLESS:
        raise ValueError(f"{name}: connection_mode {mode} needs weights; got has_weight = False")
    if not path_weight >= 0:
        raise ValueError(f"{name}: path_weight must not be negative; got {path_weight}")
    if ir_out not in ir1 * ir2:
        allowed = "+".join(map(str, ir1 * ir2))
        raise ValueError(
            f"{name}: {ir_out}, block {i_out} of irreps_out, is not in {ir1} x {ir2} = {allowed}"
        )
    shape = path_shape(mode, mul1, mul2, mul_out)
    if mode in _EQUAL_INPUTS and mul1 != mul2:
        raise ValueError(
            f"{name}: connection_mode {mode} takes inputs of equal multiplicity; got {mul1}x{ir1} "
            f"and {mul2}x{ir2}"
        )
    expected = {
        "uvu": mul1,
        "uvv": mul2,
        "uuu": mul1,
        "uvuv": mul1 * mul2,
        "uvu<v": mul1 * (mul1 - 1) // 2,
    }.get(mode, mul_out)
    if mul_out != expected:
        raise ValueError(
            f"{name}: connection_mode {mode} of {mul1}x{ir1} and {mul2}x{ir2} has the output "
            f"{expected}x{ir_out}; got {mul_out}x{ir_out}"
        )
    return Instruction(i_in1, i_in2, i_out, mode, bool(has_weight), path_weight, shape)


def _num_terms(mode: str, mul1: int, mul2: int) -> int:
    """Number of pairs of copies that are summed in one copy of the output."""
    return {
        "uvw": mul1 * mul2,
        "uvu": mul2,
        "uvv": mul1,
        "uuw": mul1,
        "uuu": 1,
        "uvuv": 1,
        "uvu<v": 1,
        "u<vw": mul1 * (mul1 - 1) // 2,
    }[mode]

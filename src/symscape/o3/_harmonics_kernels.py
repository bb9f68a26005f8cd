r"""Generated kernels for spherical harmonics and their derivatives on the CPU.

A harmonic polynomial's gradient is a combination of those of the next lower degree,
:math:`\partial_a Y_i = \sum_j G_{aij} Y_j`. So the derivatives of any order of all degrees up to
``lmax`` are made of the form

.. math:: F(g, h, u) = \sum_{aij} g_i h_a G_{aij} u_j, \qquad u = Y(x)

and its partial derivatives with respect to its arguments. A kernel evaluates the polynomials or
one of these, straight-line code with a point in each lane of the vectors.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from symscape.contraction._compile import Function, compiled
from symscape.contraction._ir import Writer
from symscape.contraction._memory import empty
from symscape.contraction._threads import boundaries, in_slices
from symscape.o3._wigner import wigner_3j_table

__all__ = ["LMAX", "evaluate", "gradient_table", "recursion", "sectoral"]

LMAX = 14
"""Largest degree with kernels: compiling takes half a second for 11, but 10 seconds for 20."""

_ENTRY = "harmonics"
_ARRAYS = ("x", "u", "g", "h", "out")
_TYPES = [ctypes.c_int64] * 2 + [ctypes.c_void_p] * (1 + len(_ARRAYS))
_MAX_SLICES = 16
_SLICE_WORK = 100_000  # values; a smaller slice is not worth a thread


@dataclass(frozen=True)
class Kernel:
    """What a kernel computes.

    Attributes:
        target: ``"values"`` for the harmonics of x, else the derivative of the form with respect
            to ``"g"``, ``"h"`` or ``"u"``.
        points: the form's ``u`` is that of the points x; else it is given.
        lmax: largest degree.
        scale: ratio of the harmonics to those of component normalization, for each degree.
        normalize: the harmonics are those of ``x / |x|``, and the derivative with respect to
            ``"h"`` is the gradient with respect to x (0 at 0).
        double: float64, else float32.
    """

    target: str
    points: bool
    lmax: int
    scale: tuple[float, ...]
    normalize: bool
    double: bool


def evaluate(
    target: str, lmax: int, scale: Sequence[float], normalize: bool, **arrays: Tensor
) -> Tensor:
    """Run a kernel.

    Args:
        target: see ``Kernel``.
        lmax: see ``Kernel``.
        scale: see ``Kernel``.
        normalize: see ``Kernel``.
        **arrays: those of x ``(points, 3)``, u and g ``(points, (lmax + 1)^2)``, h
            ``(points, 3)`` that the target needs.
    """
    some = next(iter(arrays.values()))
    rows, double = some.shape[0], some.dtype == torch.float64
    kernel = Kernel(target, "x" in arrays, lmax, tuple(scale), normalize, double)
    width = 3 if target == "h" else (lmax + 1) ** 2
    lanes = _lanes(kernel)
    if rows == 0:
        return some.new_empty((0, width))
    if rows < lanes:
        padded = {name: _padded(array, lanes) for name, array in arrays.items()}
        return evaluate(target, lmax, scale, normalize, **padded)[:rows].clone()
    function = _function(kernel)
    out = empty((rows, width), some)
    starts = _starts(rows, lanes)
    inputs = {name: array.contiguous() for name, array in arrays.items()} | {"out": out}
    pointers = [inputs[name].data_ptr() if name in inputs else None for name in _ARRAYS]
    blocks = starts.shape[0]
    count = min(_MAX_SLICES, max(1, rows * (lmax + 1) ** 2 // _SLICE_WORK), blocks)
    edges = boundaries(blocks, count)
    in_slices(lambda i: function(edges[i], edges[i + 1], starts.data_ptr(), *pointers), count)
    return out


@functools.lru_cache(maxsize=32)
def _starts(rows: int, lanes: int) -> Tensor:
    """First rows of the blocks; the last overlaps the one before it instead of being shorter."""
    return torch.arange(0, rows, lanes, device="cpu").clamp_(max=rows - lanes)


def _padded(array: Tensor, rows: int) -> Tensor:
    return torch.cat([array, array.new_zeros((rows - array.shape[0], array.shape[1]))])


def _lanes(kernel: Kernel) -> int:
    return 8 if kernel.double else 16


@functools.cache
def _function(kernel: Kernel) -> Function:
    return compiled(f"{_digest()} {kernel}", _ENTRY, _TYPES, lambda: _source(kernel))


@functools.cache
def _digest() -> str:
    """Changes with this file, so that code of an older version is not taken from the cache."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


# The recursion


def sectoral(l: int) -> float:
    r"""Factor of :math:`Y_{l,\pm l} = c\,(z \pm i x)` times that of ``l - 1``, component norm."""
    return math.sqrt(3) if l == 1 else math.sqrt((2 * l + 1) / (2 * l))


def recursion(l: int, m: int) -> tuple[float, float]:
    r"""Factors of :math:`Y_{lm} = a\,y\,Y_{l-1,m} - b\,r^2\,Y_{l-2,m}` for :math:`|m| < l`.

    In component normalization; ``b`` is 0 where ``l - 2 < |m|``.
    """
    a = math.sqrt((4 * l**2 - 1) / (l**2 - m**2))
    if abs(m) > l - 2:
        return a, 0.0
    return a, a * math.sqrt(((l - 1) ** 2 - m**2) / (4 * (l - 1) ** 2 - 1))


@functools.cache
def gradient_table(lmax: int, scale: tuple[float, ...]) -> tuple[tuple[int, int, int, float], ...]:
    r"""The non-zeros ``(a, i, j, G)`` of :math:`\partial_a Y_i = \sum_j G_{aij} Y_j`.

    The gradient commutes with rotations, so for each degree ``G`` is a multiple of the 3j
    symbols of ``(1, l, l - 1)``; the multiple follows from the derivative along the polar axis.

    Args:
        lmax: largest degree; ``i`` and ``j`` run over all harmonics up to it.
        scale: ratio of the harmonics to those of component normalization, for each degree.
    """
    entries = []
    for l in range(1, lmax + 1):
        symbols = wigner_3j_table(1, l, l - 1, signs="0.6")
        axial = next(v for a, i, j, v in symbols if (a, i, j) == (1, l, l - 1))
        factor = l * math.sqrt((2 * l + 1) / (2 * l - 1)) * scale[l] / scale[l - 1] / axial
        first, below = l**2, (l - 1) ** 2
        entries += [(a, first + i, below + j, factor * v) for a, i, j, v in symbols]
    return tuple(entries)


# The code


class _Writer(Writer):
    """With the operations that only the harmonics need."""

    def binary(self, operation: str, a: str, b: str, lanes: int) -> str:
        """fsub, fdiv"""
        return self._value(f"{operation} {self.vector(lanes)} {a}, {b}")

    def intrinsic(self, name: str, *arguments: str, lanes: int) -> str:
        """fabs, sqrt, maximum"""
        kind = self.vector(lanes)
        full = f"@llvm.{name}.v{lanes}f{64 if self.scalar == 'double' else 32}"
        self._declarations.add(f"declare {kind} {full}({', '.join([kind] * len(arguments))})")
        given = ", ".join(f"{kind} {argument}" for argument in arguments)
        return self._value(f"call {kind} {full}({given})")

    def nonzero(self, a: str, lanes: int) -> str:
        """a, but 1 where a is 0"""
        return self._where_zero(a, self.constant(1.0, lanes), a, lanes)

    def zero_with(self, a: str, other: str, lanes: int) -> str:
        """a, but 0 where other is 0"""
        return self._where_zero(other, self.constant(0.0, lanes), a, lanes)

    def _where_zero(self, condition: str, a: str, b: str, lanes: int) -> str:
        kind = self.vector(lanes)
        zero = self._value(f"fcmp oeq {kind} {condition}, zeroinitializer")
        return self._value(f"select <{lanes} x i1> {zero}, {kind} {a}, {kind} {b}")

    def transpose(self, words: Sequence[str]) -> list[str]:
        """Element r of word q becomes element q of word r; as many words as lanes."""
        words, lanes = list(words), len(words)
        kind = self.vector(lanes)
        distance = 1
        while distance < lanes:
            for q in (q for q in range(lanes) if not q & distance):
                a, b = words[q], words[q + distance]
                low = self._mask(
                    r if not r & distance else lanes + r - distance for r in range(lanes)
                )
                high = self._mask(
                    r + distance if not r & distance else lanes + r for r in range(lanes)
                )
                words[q] = self._value(f"shufflevector {kind} {a}, {kind} {b}, {low}")
                words[q + distance] = self._value(f"shufflevector {kind} {a}, {kind} {b}, {high}")
            distance *= 2
        return words


def _source(kernel: Kernel) -> str:
    lanes = _lanes(kernel)
    writer = _Writer(
        _ENTRY,
        "double" if kernel.double else "float",
        [("i64", "begin"), ("i64", "end"), ("ptr", "starts")] + [("ptr", n) for n in _ARRAYS],
    )
    with writer.loop("%begin", "%end") as block:
        row = writer.load_index("%starts", block)
        _write_body(writer, kernel, row, lanes)
    return writer.text()


def _write_body(writer: _Writer, kernel: Kernel, row: str, lanes: int) -> None:
    count = (kernel.lmax + 1) ** 2
    table = gradient_table(kernel.lmax, kernel.scale)

    def rows(name: str, width: int) -> list[str]:
        return _load_rows(writer, _row(writer, f"%{name}", row, width), width, lanes)

    xyz = rows("x", 3) if kernel.points else []
    direction = _Direction(writer, xyz, lanes) if kernel.normalize else None
    points = direction.unit if direction else xyz
    if kernel.target == "values":
        found = _harmonics(writer, kernel, points, kernel.lmax, lanes)
    else:
        given: dict[str, list[str]] = {}
        if kernel.target != "u":
            given["u"] = (
                _harmonics(writer, kernel, points, kernel.lmax - 1, lanes)
                if kernel.points
                else rows("u", count)
            )
        if kernel.target != "g":
            given["g"] = rows("g", count)
        if kernel.target != "h":
            given["h"] = rows("h", 3)
        size = 3 if kernel.target == "h" else count
        found = _derivative(writer, kernel.target, table, given, size, lanes)
        if direction:
            found = direction.pulled_back(found)
    width = len(found)
    _store_rows(writer, found, _row(writer, "%out", row, width), lanes)


def _derivative(
    writer: _Writer,
    target: str,
    table: Sequence[tuple[int, int, int, float]],
    given: dict[str, list[str]],
    size: int,
    lanes: int,
) -> list[str]:
    """The sums over the table, for each index of the target; zeros where there is none."""
    sums: list[str | None] = [None] * size
    order = {"h": 0, "g": 1, "u": 2}
    one, two = (name for name in order if name != target)
    for *indices, value in table:
        index = indices[order[target]]
        a, b = given[one][indices[order[one]]], given[two][indices[order[two]]]
        scaled = writer.multiply(a, writer.constant(value, lanes), lanes)
        sums[index] = writer.multiply_add(scaled, b, sums[index], lanes)
    zero = writer.constant(0.0, lanes)
    return [zero if value is None else value for value in sums]


def _harmonics(writer: _Writer, kernel: Kernel, xyz: list[str], lmax: int, lanes: int) -> list[str]:
    """All harmonics up to ``lmax``, by the recursion."""
    x, y, z = xyz

    def times(value: float, a: str) -> str:
        return writer.multiply(writer.constant(value, lanes), a, lanes)

    square = writer.multiply_add(x, x, writer.multiply(y, y, lanes), lanes)
    square = writer.multiply_add(z, z, square, lanes)
    scale = kernel.scale
    values = [writer.constant(scale[0], lanes)]
    for l in range(1, lmax + 1):
        factor = sectoral(l) * scale[l] / scale[l - 1]
        sine, cosine = values[(l - 1) ** 2], values[l**2 - 1]
        fx, fz = times(factor, x), times(factor, z)
        if l == 1:
            first, last = writer.multiply(fx, cosine, lanes), writer.multiply(fz, cosine, lanes)
        else:
            first = writer.multiply_add(fz, sine, writer.multiply(fx, cosine, lanes), lanes)
            last = writer.binary(
                "fsub",
                writer.multiply(fz, cosine, lanes),
                writer.multiply(fx, sine, lanes),
                lanes,
            )
        middle = []
        for m in range(-l + 1, l):
            a, b = recursion(l, m)
            ay = times(a * scale[l] / scale[l - 1], y)
            one = values[(l - 1) ** 2 + l - 1 + m]
            if b:
                br = times(-b * scale[l] / scale[l - 2], square)
                two = writer.multiply(br, values[(l - 2) ** 2 + l - 2 + m], lanes)
                middle.append(writer.multiply_add(ay, one, two, lanes))
            else:
                middle.append(writer.multiply(ay, one, lanes))
        values += [first, *middle, last]
    return values


class _Direction:
    """``x / |x|``, 0 for 0; first by the largest component, against over- and underflow."""

    def __init__(self, writer: _Writer, xyz: list[str], lanes: int) -> None:
        self._writer, self._lanes = writer, lanes
        largest, *others = (writer.intrinsic("fabs", c, lanes=lanes) for c in xyz)
        for other in others:
            largest = writer.intrinsic("maximum", largest, other, lanes=lanes)
        self._largest = largest
        self._divisor = writer.nonzero(largest, lanes)
        xyz = [writer.binary("fdiv", c, self._divisor, lanes) for c in xyz]
        square = self._inner(xyz, xyz)
        self._length = writer.nonzero(writer.intrinsic("sqrt", square, lanes=lanes), lanes)
        self.unit = [writer.binary("fdiv", c, self._length, lanes) for c in xyz]

    def pulled_back(self, gradient: list[str]) -> list[str]:
        """The gradient with respect to x of a function of the direction."""
        writer, lanes = self._writer, self._lanes
        radial = self._inner(gradient, self.unit)
        found = []
        for g, n in zip(gradient, self.unit):
            g = writer.binary("fsub", g, writer.multiply(radial, n, lanes), lanes)
            g = writer.binary("fdiv", g, self._length, lanes)
            g = writer.binary("fdiv", g, self._divisor, lanes)
            found.append(writer.zero_with(g, self._largest, lanes))
        return found

    def _inner(self, a: list[str], b: list[str]) -> str:
        total = self._writer.multiply(a[0], b[0], self._lanes)
        for one, two in zip(a[1:], b[1:]):
            total = self._writer.multiply_add(one, two, total, self._lanes)
        return total


def _row(writer: _Writer, pointer: str, row: str, width: int) -> str:
    return writer.element(pointer, writer.integer("mul", row, width))


def _load_rows(writer: _Writer, pointer: str, width: int, lanes: int) -> list[str]:
    """The columns of so many rows as lanes, each a vector over the rows."""
    columns: list[str] = []
    for first in range(0, width - width % lanes, lanes):
        words = [
            writer.load(writer.element(pointer, r * width + first), lanes) for r in range(lanes)
        ]
        columns += writer.transpose(words)
    columns += [
        writer.load_strided(writer.element(pointer, c), width, lanes)
        for c in range(len(columns), width)
    ]
    return columns


def _store_rows(writer: _Writer, columns: Sequence[str], pointer: str, lanes: int) -> None:
    """The reverse of ``_load_rows``."""
    width = len(columns)
    whole = width - width % lanes
    for first in range(0, whole, lanes):
        for r, word in enumerate(writer.transpose(columns[first : first + lanes])):
            writer.store(word, writer.element(pointer, r * width + first), lanes)
    for c in range(whole, width):
        writer.store_strided(columns[c], writer.element(pointer, c), width, lanes, add=False)

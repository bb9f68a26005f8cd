r"""Generated kernels for operations on whole irreps on the CPU.

The irreps of a feature axis are runs of equal dimension. A kernel goes through the rows, and in
each row through blocks of as many irreps as a vector has lanes; what belongs to an irrep is spread
over its components, or summed over them, in registers.

- ``combine``: :math:`z_{um} = \sum_t a^t_u\,x^t_{um} + c_{um}` with one or two terms;
- ``inner``: :math:`z_u = \sum_m (x_{um} - c_{um})\,y_{um}`, summed over the rows of a group.

The factors :math:`a` and the shift :math:`c` belong to groups of consecutive rows.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from symscape.contraction._compile import Function, compiled
from symscape.contraction._ir import Writer
from symscape.contraction._memory import empty
from symscape.contraction._threads import boundaries, in_slices

__all__ = ["Runs", "combine", "inner"]

Runs = tuple[tuple[int, int], ...]
"""Pairs (number of irreps, dimension of each), in the order of the feature axis."""

_ENTRY = "irrepwise"
_ARRAYS = ("a0", "x0", "a1", "x1", "shift", "out")
_TYPES = [ctypes.c_int64] * 4 + [ctypes.c_void_p, ctypes.c_int64] * len(_ARRAYS)
_MAX_SLICES = 16
_SLICE_WORK = 100_000  # values; a smaller slice is not worth a thread
_UNROLLED = 2  # blocks; more are a loop


@dataclass(frozen=True)
class Kernel:
    """What a kernel computes.

    Attributes:
        operation: ``"combine"``, ``"inner"``, or ``"sum"``: inner products summed over groups.
        runs: the irreps.
        arrays: which of the arrays there are.
        double: float64, else float32.
    """

    operation: str
    runs: Runs
    arrays: tuple[str, ...]
    double: bool


def combine(
    runs: Runs,
    group: int,
    terms: Sequence[tuple[Tensor, Tensor]],
    shift: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Each irrep times a factor, summed over terms, plus a shift.

    Args:
        runs: the irreps.
        group: number of consecutive rows that share factors and shift.
        terms: one or two pairs of factors ``(groups, irreps)`` and features ``(rows, dim)``. One
            group serves all rows.
        shift: ``(groups, dim)``.
        out: where to write the result, if not to new memory.

    Returns:
        ``(rows, dim)``.
    """
    arrays = {f"{name}{i}": t for i, term in enumerate(terms) for name, t in zip("ax", term)}
    if shift is not None:
        arrays["shift"] = shift
    features = terms[0][1]
    if out is None:
        out = empty(features.shape, features)
    _run("combine", runs, group, len(features), arrays, out)
    return out


def inner(
    runs: Runs, group: int, x: Tensor, y: Tensor | None, shift: Tensor | None = None
) -> Tensor:
    """Inner products of the irreps of x and y, summed over the rows of each group.

    Args:
        runs: the irreps.
        group: number of consecutive rows that are summed; the last group may be smaller.
        x: ``(rows, dim)``.
        y: ``(rows, dim)``; None for x, shifted like it.
        shift: is subtracted from x, ``(groups, dim)``, or one row that serves all groups.

    Returns:
        ``(groups, irreps)``.
    """
    arrays = {"x0": x} | ({} if y is None else {"x1": y})
    if shift is not None:
        arrays["shift"] = shift
    groups = -(-len(x) // group)
    out = empty((groups, sum(mul for mul, _ in runs)), x)
    _run("inner" if group == 1 else "sum", runs, group, len(x), arrays, out)
    return out


def _run(
    operation: str, runs: Runs, group: int, rows: int, arrays: dict[str, Tensor], out: Tensor
) -> None:
    kernel = Kernel(operation, runs, tuple(arrays), out.dtype == torch.float64)
    function = _function(kernel)
    arguments: list[int | None] = []
    for name in _ARRAYS:
        array = out if name == "out" else arrays.get(name)
        if array is None:
            arguments += [None, 0]
        else:
            # one row that serves all groups stays where it is
            shared = name in ("a0", "a1", "shift") and array.shape[0] == 1
            arguments += [array.data_ptr(), 0 if shared else array.stride(0)]
    units = -(-rows // group) if operation == "sum" else rows
    work = rows * sum(mul * dim for mul, dim in runs)
    count = min(_MAX_SLICES, max(1, work // _SLICE_WORK), units)
    if count == 1 or torch.get_num_threads() == 1:
        function(0, units, group, rows, *arguments)
        return
    edges = boundaries(units, count)
    in_slices(lambda i: function(edges[i], edges[i + 1], group, rows, *arguments), count)


@functools.lru_cache(maxsize=1024)
def _function(kernel: Kernel) -> Function:
    return compiled(f"{_digest()} {kernel}", _ENTRY, _TYPES, lambda: _source(kernel))


@functools.cache
def _digest() -> str:
    """Changes with this file, so that code of an older version is not taken from the cache."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


class _Writer(Writer):
    """With the operations between irreps and their components."""

    def spread(self, a: str, word: int, dim: int, lanes: int) -> str:
        """Of a number for each of ``lanes`` irreps, those of one word of their components."""
        if dim == 1 or lanes == 1:
            return a
        return self._permute(a, [(word * lanes + r) // dim for r in range(lanes)])

    def summed(self, words: Sequence[str], lanes: int) -> str:
        """Of all components of ``lanes`` irreps, in words, the sum for each irrep."""
        dim = len(words)
        total = None
        for m in range(dim):
            if dim == 1 or lanes == 1:
                component = words[m]
            else:
                # element r of word q is component m of irrep u; dim is odd, so every r occurs once
                places = [divmod(u * dim + m, lanes) for u in range(lanes)]
                word_of = {r: q for q, r in places}
                blended = self._blend(words, [word_of[r] for r in range(lanes)])
                component = self._permute(blended, [r for _, r in places])
            total = component if total is None else self.add(total, component, lanes)
        assert total is not None
        return total

    def subtract(self, a: str, b: str, lanes: int) -> str:
        """a - b"""
        return self._value(f"fsub {self.vector(lanes)} {a}, {b}")


def _source(kernel: Kernel) -> str:
    parameters = [("i64", name) for name in ("begin", "end", "group", "rows")]
    for name in _ARRAYS:
        parameters += [("ptr", name), ("i64", f"stride_{name}")]
    writer = _Writer(_ENTRY, "double" if kernel.double else "float", parameters)
    with writer.loop("%begin", "%end") as index:
        if kernel.operation == "sum":
            first = writer.integer("mul", index, "%group")
            last = writer.smaller(writer.integer("add", first, "%group"), "%rows")
            out = _row(writer, "out", index)
            writer.clear(out, sum(mul for mul, _ in kernel.runs))
            with writer.loop(first, last) as row:
                _write_row(writer, kernel, row, index, out)
        else:
            owner = writer.integer("sdiv", index, "%group")
            _write_row(writer, kernel, index, owner, _row(writer, "out", index))
    return writer.text()


def _row(writer: _Writer, name: str, index: str) -> str:
    return writer.element(f"%{name}", writer.integer("mul", index, f"%stride_{name}"))


def _write_row(writer: _Writer, kernel: Kernel, row: str, owner: str, out: str) -> None:
    """One row, which belongs to a group of rows."""
    at = {name: _row(writer, name, row if name[0] == "x" else owner) for name in kernel.arrays}
    at["out"] = out
    irrep = component = 0
    for mul, dim in kernel.runs:
        _write_run(writer, kernel, at, mul, dim, irrep, component)
        irrep += mul
        component += mul * dim


def _write_run(
    writer: _Writer,
    kernel: Kernel,
    at: dict[str, str],
    mul: int,
    dim: int,
    irrep: int,
    component: int,
) -> None:
    lanes = 8 if kernel.double else 16
    done = 0
    if mul // lanes > _UNROLLED:
        done = mul - mul % lanes
        with writer.loop(0, done, lanes) as u:
            first = writer.integer("add", u, irrep)
            place = writer.integer("add", writer.integer("mul", u, dim), component)
            _write_block(writer, kernel, at, dim, first, place, lanes)
    while done < mul:
        while lanes > mul - done:
            lanes //= 2
        _write_block(writer, kernel, at, dim, irrep + done, component + done * dim, lanes)
        done += lanes


def _write_block(
    writer: _Writer,
    kernel: Kernel,
    at: dict[str, str],
    dim: int,
    irrep: str | int,
    component: str | int,
    lanes: int,
) -> None:
    """``lanes`` irreps: their number ``irrep`` and the place of their first component."""
    start = {
        name: writer.element(pointer, component if name[0] in "xs" else irrep)
        for name, pointer in at.items()
        if name != "out"
    }

    def word(name: str, q: int) -> str:
        return writer.load(writer.element(start[name], q * lanes), lanes)

    if kernel.operation == "combine":
        out = writer.element(at["out"], component)
        factors = {name: writer.load(start[name], lanes) for name in start if name[0] == "a"}
        for q in range(dim):
            total = word("shift", q) if "shift" in start else None
            for name, factor in factors.items():
                spread = writer.spread(factor, q, dim, lanes)
                total = writer.multiply_add(spread, word(f"x{name[1]}", q), total, lanes)
            assert total is not None
            writer.store(total, writer.element(out, q * lanes), lanes)
        return
    products = []
    for q in range(dim):
        x = word("x0", q)
        if "shift" in start:
            x = writer.subtract(x, word("shift", q), lanes)
        products.append(writer.multiply(x, word("x1", q) if "x1" in start else x, lanes))
    total = writer.summed(products, lanes)
    out = writer.element(at["out"], irrep)
    if kernel.operation == "sum":
        total = writer.add(writer.load(out, lanes), total, lanes)
    writer.store(total, out, lanes)

r"""Generated kernels for operations on whole irreps on the CPU.

The irreps of a feature axis are runs of equal dimension. A kernel goes through the rows, and in
each row through blocks of as many irreps as a vector has lanes; what belongs to an irrep is spread
over its components, or summed over them, in registers.

- ``combine``: :math:`z_{um} = \sum_t a^t_u\,x^t_{um} + c_{um}` with one or two terms;
- ``inner``: :math:`z_u = \sum_m (x_{um} - c_{um})\,y_{um}`; ``sum``: summed over the rows of a
  group;
- ``gate``: scalars :math:`k_i f_i`, and beside them :math:`k_u a_u x_{um}`, with constants k;
  ``gate gradients``: those with respect to f, a and x.

The factors :math:`a` and the shift :math:`c` belong to groups of consecutive rows.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from symscape.contraction._compile import Function, compiled
from symscape.contraction._ir import Writer
from symscape.contraction._memory import empty
from symscape.contraction._threads import boundaries, in_slices

__all__ = ["Runs", "combine", "gate", "gate_gradients", "inner"]

Runs = tuple[tuple[int, int], ...]
"""Pairs (number of irreps, dimension of each), in the order of the feature axis."""

_ENTRY = "irrepwise"
_OF_GROUPS = ("a0", "a1", "shift")
_ONE_ROW = (*_OF_GROUPS, "k")  # where there may be one row for all
_MAX_SLICES = 16
_SLICE_WORK = 100_000  # values; a smaller slice is not worth a thread
_UNROLLED = 2  # blocks; more are a loop


class Kernel(NamedTuple):
    """What a kernel computes.

    Attributes:
        operation: one of those above.
        runs: the irreps.
        scalars: how many lie before the irreps of a gate.
        arrays: names of the arrays that it takes, inputs and outputs.
        double: float64, else float32.
    """

    operation: str
    runs: Runs
    scalars: int
    arrays: tuple[str, ...]
    double: bool


def combine(
    runs: Runs,
    group: int,
    terms: Sequence[tuple[Tensor, Tensor]],
    shift: Tensor | None = None,
) -> Tensor:
    """Each irrep times a factor, summed over terms, plus a shift.

    Args:
        runs: the irreps.
        group: number of consecutive rows that share factors and shift.
        terms: one or two pairs of factors ``(groups, irreps)`` and features ``(rows, dim)``. One
            group serves all rows.
        shift: ``(groups, dim)``.

    Returns:
        ``(rows, dim)``.
    """
    arrays = {f"{name}{i}": t for i, term in enumerate(terms) for name, t in zip("ax", term)}
    if shift is not None:
        arrays["shift"] = shift
    features = terms[0][1]
    arrays["out"] = out = empty(features.shape, features)
    _run("combine", runs, 0, group, len(features), arrays)
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
    arrays["out"] = out = empty((groups, sum(mul for mul, _ in runs)), x)
    _run("inner" if group == 1 else "sum", runs, 0, group, len(x), arrays)
    return out


def gate(runs: Runs, first: Tensor, a: Tensor, x: Tensor, k: Tensor) -> Tensor:
    """Scalars, and beside them irreps times scalars of their own.

    Args:
        runs: the irreps.
        first: the scalars, ``(rows, scalars)``.
        a: factors of the irreps, ``(rows, irreps)``.
        x: the irreps, ``(rows, dim)``.
        k: constants by which ``first`` and ``a`` are multiplied, ``(scalars + irreps,)``.

    Returns:
        ``(rows, scalars + dim)``.
    """
    rows, scalars = first.shape
    out = empty((rows, scalars + x.shape[1]), x)
    arrays = {"first": first, "a0": a, "x0": x, "k": k, "out": out}
    _run("gate", runs, scalars, 1, rows, arrays)
    return out


def gate_gradients(
    runs: Runs, a: Tensor, x: Tensor, k: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `gate` with respect to its first three arrays.

    Args:
        runs: the irreps.
        a: as of `gate`.
        x: as of `gate`.
        k: as of `gate`.
        grad: that of the result.
    """
    rows, dim = x.shape
    scalars = grad.shape[1] - dim
    found = empty((rows, scalars), x), empty(a.shape, x), empty(x.shape, x)
    arrays = {"a0": a, "x0": x, "k": k, "x1": grad}
    arrays |= dict(zip(("of_first", "of_a", "out"), found))
    _run("gate gradients", runs, scalars, 1, rows, arrays)
    return found


def _run(
    operation: str, runs: Runs, scalars: int, group: int, rows: int, arrays: dict[str, Tensor]
) -> None:
    double = arrays["out"].dtype is torch.float64
    function = _function(Kernel(operation, runs, scalars, tuple(arrays), double))
    arguments: list[int] = []
    for name, array in arrays.items():
        # one row that serves all groups stays where it is
        stays = name in _ONE_ROW and (name == "k" or array.shape[0] == 1)
        arguments += (array.data_ptr(), 0 if stays else array.stride(0))
    units = -(-rows // group) if operation == "sum" else rows
    if torch.get_num_threads() > 1:
        work = rows * sum(mul * dim for mul, dim in runs)
        edges = boundaries(units, max(1, min(_MAX_SLICES, work // _SLICE_WORK, units)))
        in_slices(
            lambda i: function(edges[i], edges[i + 1], group, rows, *arguments), len(edges) - 1
        )
    else:
        function(0, units, group, rows, *arguments)


@functools.lru_cache(maxsize=1024)
def _function(kernel: Kernel) -> Function:
    types = [ctypes.c_int64] * 4 + [ctypes.c_void_p, ctypes.c_int64] * len(kernel.arrays)
    return compiled(f"{_digest()} {kernel}", _ENTRY, types, lambda: _source(kernel))


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
    for name in kernel.arrays:
        parameters += [("ptr", name), ("i64", f"stride_{name}")]
    writer = _Writer(_ENTRY, "double" if kernel.double else "float", parameters)
    with writer.loop("%begin", "%end") as index:
        if kernel.operation == "sum":
            first = writer.integer("mul", index, "%group")
            last = writer.smaller(writer.integer("add", first, "%group"), "%rows")
            out = _row(writer, "out", index)
            writer.clear(out, sum(mul for mul, _ in kernel.runs))
            with writer.loop(first, last) as row:
                _write_row(writer, kernel, row, index, {"out": out})
        else:
            _write_row(writer, kernel, index, writer.integer("sdiv", index, "%group"), {})
    return writer.text()


def _row(writer: _Writer, name: str, index: str) -> str:
    return writer.element(f"%{name}", writer.integer("mul", index, f"%stride_{name}"))


def _write_row(
    writer: _Writer, kernel: Kernel, row: str, owner: str, known: dict[str, str]
) -> None:
    """One row, which belongs to a group of rows."""
    at = {
        name: known.get(name) or _row(writer, name, owner if name in _OF_GROUPS else row)
        for name in kernel.arrays
    }
    if kernel.scalars:
        names = ("first", "out") if kernel.operation == "gate" else ("x1", "of_first")
        _write_scalars(writer, kernel, at["k"], *(at[name] for name in names))
        for name in ("k", names[1] if kernel.operation == "gate" else names[0]):
            at[name] = writer.element(at[name], kernel.scalars)
    irrep = component = 0
    for mul, dim in kernel.runs:
        for first, place, lanes in _blocks(writer, mul, dim, _lanes(kernel)):
            _write_block(
                writer,
                kernel,
                at,
                dim,
                writer.integer("add", first, irrep),
                writer.integer("add", place, component),
                lanes,
            )
        irrep += mul
        component += mul * dim


def _lanes(kernel: Kernel) -> int:
    return 8 if kernel.double else 16


def _blocks(
    writer: _Writer, mul: int, dim: int, lanes: int
) -> Iterator[tuple[str | int, str | int, int]]:
    """Blocks of irreps: the first one, its first component, and how many, a power of two."""
    done = 0
    if mul // lanes > _UNROLLED:
        done = mul - mul % lanes
        with writer.loop(0, done, lanes) as u:
            yield u, writer.integer("mul", u, dim), lanes
    while done < mul:
        while lanes > mul - done:
            lanes //= 2
        yield done, done * dim, lanes
        done += lanes


def _write_scalars(writer: _Writer, kernel: Kernel, k: str, given: str, out: str) -> None:
    for place, _, lanes in _blocks(writer, kernel.scalars, 1, _lanes(kernel)):
        factor = writer.load(writer.element(k, place), lanes)
        value = writer.load(writer.element(given, place), lanes)
        writer.store(writer.multiply(factor, value, lanes), writer.element(out, place), lanes)


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
    operation = kernel.operation

    def of_components(name: str, q: int) -> str:
        return writer.element(writer.element(at[name], component), q * lanes)

    def word(name: str, q: int) -> str:
        return writer.load(of_components(name, q), lanes)

    def number(name: str) -> str:
        return writer.load(writer.element(at[name], irrep), lanes)

    if operation in ("inner", "sum"):
        products = []
        for q in range(dim):
            x = word("x0", q)
            if "shift" in at:
                x = writer.subtract(x, word("shift", q), lanes)
            products.append(writer.multiply(x, word("x1", q) if "x1" in at else x, lanes))
        total = writer.summed(products, lanes)
        out = writer.element(at["out"], irrep)
        if operation == "sum":
            total = writer.add(writer.load(out, lanes), total, lanes)
        writer.store(total, out, lanes)
        return
    factors = {name: number(name) for name in ("a0", "a1") if name in at}
    if "k" in at:
        factors["a0"] = writer.multiply(number("k"), factors["a0"], lanes)
    if operation == "gate gradients":
        # the gradients of a product: each factor times the cotangent
        grads = [word("x1", q) for q in range(dim)]
        products = [writer.multiply(word("x0", q), grads[q], lanes) for q in range(dim)]
        total = writer.multiply(number("k"), writer.summed(products, lanes), lanes)
        writer.store(total, writer.element(at["of_a"], irrep), lanes)
        for q in range(dim):
            spread = writer.spread(factors["a0"], q, dim, lanes)
            scaled = writer.multiply(spread, grads[q], lanes)
            writer.store(scaled, of_components("out", q), lanes)
        return
    for q in range(dim):
        value = word("shift", q) if "shift" in at else None
        for name, factor in factors.items():
            spread = writer.spread(factor, q, dim, lanes)
            value = writer.multiply_add(spread, word(f"x{name[1]}", q), value, lanes)
        assert value is not None
        writer.store(value, of_components("out", q), lanes)

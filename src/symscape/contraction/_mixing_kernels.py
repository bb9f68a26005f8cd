"""Kernels of the linear layer: matrix products that read and write interleaved components.

The components of a representation lie between its copies in memory, so an ordinary matrix product
needs transposed copies of its arguments, which cost more than the product itself for the usual
multiplicities. Here an element of x is one number for all lanes, wherever it lies, and the
components of the output are interleaved in registers when they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from symscape.contraction._compile import vector_registers, vector_width
from symscape.contraction._ir import Writer
from symscape.contraction._product import Mixing, MixingPath, Segment

__all__ = ["ENTRY", "product_source", "weight_source"]

ENTRY = "mixing"
_ROWS = 60  # of a block; a multiple of the rows of all tiles


def product_source(mixing: Mixing, double: bool) -> str:
    """The module of ``out[z, w, k] = sum c x[z, u, k] W[u, w]`` for weights that all rows share.

    Its function `ENTRY` has the arguments: first and last row, x, its stride, W, out, its stride.
    """
    w = _writer(double)
    outs = sorted({path.out for path in mixing.paths if path.out.mul})
    with _blocks(w, "%first", "%last", _ROWS) as (first, last):
        _clear_rest(w, mixing, first, last)
        for out in outs:
            paths = [path for path in mixing.paths if path.out == out]
            rows = max(1, _accumulators() // 2 // out.dim)
            with w.loop(first, last, rows) as z:
                _row_tiles(w, out, paths, z, rows, double)
            if rows > 1:
                with w.loop(_last_whole(w, first, last, rows), last) as z:
                    _row_tiles(w, out, paths, z, 1, double)
    return w.text()


def weight_source(mixing: Mixing, double: bool) -> str:
    """The module of ``W[u, w] += sum_{zk} c x[z, u, k] out[z, w, k]``; arguments as above."""
    w = _writer(double)
    with _blocks(w, "%first", "%last", _ROWS) as (first, last):
        for path in mixing.paths:
            if path.in1.mul and path.out.mul:
                depth = max(1, _ROWS // path.out.dim)
                scratch = w.allocate(depth * path.out.dim * path.out.mul)
                with _blocks(w, first, last, depth) as (z, end):
                    count = w.integer("sub", end, z)
                    _gradient_tiles(w, path, z, count, scratch, double)
    return w.text()


def _accumulators() -> int:
    """Registers for sums; the others hold weights and one element of x."""
    return vector_registers() * 3 // 4


def _writer(double: bool) -> Writer:
    parameters = [("i64", "first"), ("i64", "last"), ("ptr", "x"), ("i64", "x_stride")]
    parameters += [("ptr noalias", "w"), ("ptr noalias", "out"), ("i64", "out_stride")]
    return Writer(ENTRY, "double" if double else "float", parameters)


@contextmanager
def _blocks(w: Writer, first: str, last: str, size: int) -> Iterator[tuple[str, str]]:
    """Loop over blocks of rows that stay in the cache while all paths use them."""
    count = w.integer("sdiv", w.integer("add", w.integer("sub", last, first), size - 1), size)
    with w.loop(0, count) as block:
        start = w.integer("add", first, w.integer("mul", block, size))
        yield start, w.smaller(w.integer("add", start, size), last)


def _last_whole(w: Writer, first: str, last: str, step: int) -> str:
    """First row after the last whole step."""
    return w.integer("sub", last, w.integer("srem", w.integer("sub", last, first), step))


def _row(w: Writer, name: str, z: str, offset: int) -> str:
    shift = w.integer("mul", z, f"%{name}_stride")
    return w.element(w.element(f"%{name}", shift), offset)


def _clear_rest(w: Writer, mixing: Mixing, first: str, last: str) -> None:
    reached = np.zeros(mixing.dim_out, dtype=np.int8)
    for path in mixing.paths:
        reached[path.out.offset : path.out.end] = 1
    edges = np.flatnonzero(np.diff(np.concatenate([[1], reached, [1]]))).tolist()
    if edges:
        with w.loop(first, last) as z:
            for start, stop in zip(edges[::2], edges[1::2]):
                w.clear(_row(w, "out", z, start), stop - start)


def _columns(mul: int, double: bool, vectors: int) -> Iterator[tuple[int, int, int, int]]:
    """Tiles of the copies of the output: (start, stop, lanes, vectors), the widest first."""
    widest = vector_width(double)
    start = 0
    narrower = [(lanes, 1) for lanes in (8, 4, 2, 1) if lanes < widest]
    for lanes, count in [(widest, vectors), (widest, 1), *narrower]:
        width = lanes * count
        stop = start + (mul - start) // width * width
        if stop > start:
            yield start, stop, lanes, count
            start = stop


def _row_tiles(
    w: Writer, out: Segment, paths: Sequence[MixingPath], z: str, rows: int, double: bool
) -> None:
    vectors = 2 if 2 * rows * out.dim <= _accumulators() else 1
    for start, stop, lanes, count in _columns(out.mul, double, vectors):
        if stop - start == lanes * count:
            _product_tile(w, out, paths, z, rows, str(start), lanes, count)
            continue
        with w.loop(start, stop, lanes * count) as column:
            _product_tile(w, out, paths, z, rows, column, lanes, count)


def _product_tile(
    w: Writer,
    out: Segment,
    paths: Sequence[MixingPath],
    z: str,
    rows: int,
    column: str,
    lanes: int,
    vectors: int,
) -> None:
    """Some rows of x times some columns of the weights, in registers."""
    dim = out.dim
    zs = [w.integer("add", z, row) for row in range(rows)]
    scaled: list[str | None] = [None] * (rows * dim * vectors)
    for path in paths:
        sums = [w.constant(0.0, lanes)] * len(scaled)
        blocks = [_row(w, "x", number, path.in1.offset) for number in zs]
        matrix = w.element(w.element("%w", path.weight), column)
        with w.loop(0, path.in1.mul, carried=sums, lanes=lanes) as u:
            line = w.element(matrix, w.integer("mul", u, out.mul))
            weights = [w.load(w.element(line, v * lanes), lanes) for v in range(vectors)]
            shift = w.integer("mul", u, dim)
            for row, block in enumerate(blocks):
                start = w.element(block, shift)
                for k in range(dim):
                    x = w.broadcast(w.load(w.element(start, k), 1), lanes)
                    for v in range(vectors):
                        place = (row * vectors + v) * dim + k
                        sums[place] = w.multiply_add(x, weights[v], sums[place], lanes)
        factor = w.constant(path.coefficient, lanes)
        scaled = [w.multiply_add(factor, s, old, lanes) for s, old in zip(sums, scaled)]
    shift = w.integer("mul", column, dim)
    for row, number in enumerate(zs):
        block = w.element(_row(w, "out", number, out.offset), shift)
        for v in range(vectors):
            place = (row * vectors + v) * dim
            values = [value or w.constant(0.0, lanes) for value in scaled[place : place + dim]]
            w.store_block(values, w.element(block, v * lanes * dim), lanes)


def _gradient_tiles(
    w: Writer, path: MixingPath, z: str, depth: str, scratch: str, double: bool
) -> None:
    """The part of the gradient from some rows, tile by tile of the weights."""
    dim, mul = path.out.dim, path.out.mul
    with w.loop(0, depth) as row:  # g with its components apart
        g = _row(w, "out", w.integer("add", z, row), path.out.offset)
        apart = w.element(scratch, w.integer("mul", row, dim * mul))
        for start, stop, lanes, _ in _columns(mul, double, 1):
            with w.loop(start, stop, lanes) as copy:
                block = w.load_block(w.element(g, w.integer("mul", copy, dim)), dim, lanes)
                for k, component in enumerate(block):
                    w.store(component, w.element(w.element(apart, k * mul), copy), lanes)
    tile = vector_registers() // 4
    whole = path.in1.mul - path.in1.mul % tile
    for first, last, copies in [(0, whole, tile), (whole, path.in1.mul, 1)]:
        if first == last:
            continue
        with w.loop(first, last, copies) as u:
            for start, stop, lanes, vectors in _columns(mul, double, 2):
                with w.loop(start, stop, lanes * vectors) as column:
                    _gradient_tile(w, path, z, depth, scratch, u, copies, column, lanes, vectors)


def _gradient_tile(
    w: Writer,
    path: MixingPath,
    z: str,
    depth: str,
    scratch: str,
    u: str,
    copies: int,
    column: str,
    lanes: int,
    vectors: int,
) -> None:
    dim, mul = path.out.dim, path.out.mul
    sums = [w.constant(0.0, lanes)] * (copies * vectors)
    shift = w.integer("mul", u, dim)
    with w.loop(0, depth, carried=sums, lanes=lanes) as row:
        x = w.element(_row(w, "x", w.integer("add", z, row), path.in1.offset), shift)
        g = w.element(w.element(scratch, w.integer("mul", row, dim * mul)), column)
        for k in range(dim):
            parts = [w.load(w.element(g, k * mul + v * lanes), lanes) for v in range(vectors)]
            for copy in range(copies):
                value = w.broadcast(w.load(w.element(x, copy * dim + k), 1), lanes)
                for v, part in enumerate(parts):
                    place = copy * vectors + v
                    sums[place] = w.multiply_add(value, part, sums[place], lanes)
    factor = w.constant(path.coefficient, lanes)
    matrix = w.element(w.element("%w", path.weight), column)
    line = w.element(matrix, w.integer("mul", u, mul))
    for copy in range(copies):
        for v in range(vectors):
            address = w.element(line, copy * mul + v * lanes)
            old = w.load(address, lanes)
            w.store(w.multiply_add(factor, sums[copy * vectors + v], old, lanes), address, lanes)

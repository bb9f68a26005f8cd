"""Kernels of the four-linear form F(x, y, W, g) = <g, out(x, y, W)>, generated from a product.

The output and the three gradients are the partial derivatives of F, and so are the derivatives of
those: with tangents x', y', W' of the inputs, the kernels evaluate the partial derivatives of

    F(x', y, W, g) + F(x, y', W, g) + F(x, y, W', g),

which is what double backward needs. One kernel makes any subset of them in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from symscape.contraction._compile import vector_width
from symscape.contraction._ir import Writer
from symscape.contraction._lanes import LanePath, ScalarGroup, group, uuu_paths
from symscape.contraction._product import Path, Product, Segment, Table

__all__ = ["ENTRY", "INPUTS", "OUTPUTS", "Kernel", "source"]

ENTRY = "contraction"
INPUTS = ("x", "y", "w", "g", "tx", "ty", "tw")
OUTPUTS = ("out", "gx", "gy", "gw")


@dataclass(frozen=True)
class Kernel:
    """What a kernel computes.

    Attributes:
        outputs: of `OUTPUTS`: the derivatives of the form with respect to g, x, y, W.
        tangents: None for the form itself; else which of tx, ty, tw are given: the others are
            zero.
        double: float64, else float32.
        indexed: rows of x are found by the source, rows of g by the destination of an edge.
        shared: one gradient of the weights for all rows.
    """

    outputs: tuple[str, ...]
    tangents: tuple[str, ...] | None
    double: bool
    indexed: bool
    shared: bool

    @property
    def name(self) -> str:
        """Unique among the kernels of a product."""
        tangents = "plain" if self.tangents is None else "t" + "".join(self.tangents)
        flags = ("d" if self.double else "s") + "i" * self.indexed + "w" * self.shared
        return f"{'-'.join(self.outputs)}-{tangents}-{flags}"


def source(product: Product, kernel: Kernel) -> str:
    """The module of a kernel, whose function `ENTRY` has the arguments

    first and last row, ``order``, ``source``, ``destination`` (arrays of 64-bit integers; unused
    unless indexed), then a pointer and a stride between rows for each of `INPUTS` and `OUTPUTS`.
    """
    return _Generator(product, kernel).module()


class _Generator:
    def __init__(self, product: Product, kernel: Kernel) -> None:
        self.product, self.kernel = product, kernel
        self.groups, self.uuu = group(product), uuu_paths(product)
        self.lanes_max = vector_width(kernel.double)
        parameters = [("i64", "first"), ("i64", "last")]
        parameters += [("ptr", name) for name in ("order", "source", "destination")]
        for name in INPUTS + OUTPUTS:
            parameters += [("ptr noalias" if name in OUTPUTS else "ptr", name)]
            parameters += [("i64", f"{name}_stride")]
        self.write = Writer(ENTRY, "double" if kernel.double else "float", parameters)
        self.rows: dict[str, str] = {}
        self.writes = {name: self._count_writes(name) for name in kernel.outputs}

    def module(self) -> str:
        w = self.write
        with w.loop("%first", "%last") as z:
            self._rows(z)
            self._clear()
            for scalar_group in self.groups:
                self._scalar_group(scalar_group)
            for path in self.uuu:
                self._uuu(path)
        return w.text()

    # rows

    def _rows(self, z: str) -> None:
        w, edge, start, end = self.write, z, z, z
        if self.kernel.indexed:
            edge = w.load_index("%order", z)
            start, end = w.load_index("%source", edge), w.load_index("%destination", edge)
        row = {"x": start, "tx": start, "gx": start, "g": end, "out": end}
        names = ["x", "y", "w", *(self.kernel.tangents or ()), *self.kernel.outputs]
        if self.kernel.outputs != ("out",):
            names.append("g")
        for name in names:
            shift = w.integer("mul", row.get(name, edge), f"%{name}_stride")
            self.rows[name] = w.element(f"%{name}", shift)

    def _count_writes(self, name: str) -> np.ndarray:
        """How often a row's elements are written: once means that they can be stored."""
        product, twice = self.product, 2
        length = {
            "out": product.dim_out,
            "gx": product.dim_in1,
            "gy": product.dim_in2,
            "gw": product.weight_numel,
        }[name]
        count = np.zeros(length, dtype=np.int64)
        for scalar_group in self.groups:
            loops = twice if scalar_group.mul > 1 else 1
            for block in scalar_group.blocks:
                for path in block:
                    if name == "out":
                        count[_range(path.out)] += 1 if path.spread else loops
                    elif name == "g" + path.scalar:
                        count[_range(path.scalar_segment)] += twice
                if name == "g" + block[0].lane:
                    count[_range(block[0].lane_segment)] += loops
        for uuu in self.uuu:
            segments = {"out": uuu.out, "gx": uuu.in1, "gy": uuu.in2}
            if name in segments:
                count[_range(segments[name])] += 1
        if name == "gw":
            for any_path in self.product.paths:
                if any_path.weight is not None and any_path.table:
                    size = int(np.prod(any_path.shape))
                    count[any_path.weight : any_path.weight + size] += 1
        return count

    def _adds(self, name: str, start: int, stop: int) -> bool:
        """Whether a write to a row has to add to what is there."""
        accumulated = self.kernel.indexed if name in ("out", "gx") else self.kernel.shared
        if name != "gy" and accumulated:
            return True
        return bool((self.writes[name][start:stop] != 1).any())

    def _clear(self) -> None:
        """Zero the elements that are written never or often; callers clear accumulated rows."""
        for name in self.kernel.outputs:
            accumulated = self.kernel.indexed if name in ("out", "gx") else self.kernel.shared
            if name != "gy" and accumulated:
                continue
            marked = np.concatenate([[0], self.writes[name] != 1, [0]]).astype(np.int8)
            edges = np.flatnonzero(np.diff(marked))
            for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist()):
                self.write.clear(self.write.element(self.rows[name], start), stop - start)

    # one input in the lanes, the other a scalar

    def _scalar_group(self, scalar_group: ScalarGroup) -> None:
        if scalar_group.mul == 1:
            self._scalar_copy(scalar_group, "0")
        else:
            with self.write.loop("0", str(scalar_group.mul)) as s:
                self._scalar_copy(scalar_group, s)

    def _scalar_copy(self, scalar_group: ScalarGroup, s: str) -> None:
        w, kernel, scalar = self.write, self.kernel, scalar_group.scalar
        paths = scalar_group.paths
        first = np.cumsum([0] + [len(path.pairs) for path in paths]).tolist()
        factors: dict[str, str] = {}
        if set(kernel.outputs) != {f"g{scalar}"}:
            factors["plain"] = self._factors(paths, first, s, scalar)
        if kernel.tangents and f"t{scalar}" in kernel.tangents:
            factors["tangent"] = self._factors(paths, first, s, f"t{scalar}")
        sums: list[str] = []
        index = 0
        for block in scalar_group.blocks:
            lanes = self._lanes(block[0].lane_segment.mul)
            pairs = sum(len(path.pairs) for path in block)
            if f"g{scalar}" in kernel.outputs:
                sums.append(w.allocate(pairs, lanes))
                w.clear(sums[-1], pairs, lanes)
            self._lane_loops(block, s, lanes, factors, first[index:], sums[-1] if sums else None)
            index += len(block)
        if sums:
            self._scalar_gradient(scalar_group, s, sums)

    def _factors(self, paths: Sequence[LanePath], first: list[int], s: str, name: str) -> str:
        """M[a, k] = sum_s C[a, s, k] y_s of all paths, in scratch memory."""
        w = self.write
        scratch = w.allocate(first[-1])
        values: dict[tuple[Segment, int], str] = {}
        for path, start in zip(paths, first):
            segment = path.scalar_segment
            totals: dict[tuple[int, int], str] = {}
            for a, j, k, value in path.table:
                if (segment, j) not in values:
                    shift = w.integer("mul", s, segment.dim) if s != "0" else "0"
                    copy = w.element(w.element(self.rows[name], segment.offset), shift)
                    values[segment, j] = w.load(w.element(copy, j), 1)
                totals[a, k] = w.multiply_add(
                    w.constant(value), values[segment, j], totals.get((a, k)), 1
                )
            for number, pair in enumerate(path.pairs):
                w.store(totals[pair], w.element(scratch, start + number), 1)
        return scratch

    def _lanes(self, mul: int) -> int:
        """Width of the vectors for so many copies: a power of two."""
        divisor = mul & -mul
        if 4 <= divisor < self.lanes_max:
            return divisor  # no remainder
        return min(self.lanes_max, 1 << (mul.bit_length() - 1))

    def _lane_loops(
        self,
        block: Sequence[LanePath],
        s: str,
        lanes: int,
        factors: dict[str, str],
        first: list[int],
        sums: str | None,
    ) -> None:
        w, mul = self.write, block[0].lane_segment.mul
        if block[0].triangle:
            start = w.integer("add", s, 1)
            with w.loop(start, mul, lanes) as copy:
                self._lane_body(block, s, copy, lanes, lanes, factors, first, sums)
            left = w.integer("srem", w.integer("sub", mul, start), lanes)
            with w.loop(w.integer("sub", mul, left), mul) as copy:
                self._lane_body(block, s, copy, 1, lanes, factors, first, sums)
            return
        if mul == lanes:
            self._lane_body(block, s, "0", lanes, lanes, factors, first, sums)
            return
        with w.loop("0", mul, lanes) as copy:
            self._lane_body(block, s, copy, lanes, lanes, factors, first, sums)
        if mul % lanes:
            with w.loop(mul - mul % lanes, mul) as copy:
                self._lane_body(block, s, copy, 1, lanes, factors, first, sums)

    def _lane_body(
        self,
        block: Sequence[LanePath],
        s: str,
        copy: str,
        lanes: int,
        sum_lanes: int,
        factors: dict[str, str],
        first: list[int],
        sums: str | None,
    ) -> None:
        """All paths of a block for ``lanes`` copies of the lane input, from ``copy`` on."""
        w, kernel = self.write, self.kernel
        lane, segment = block[0].lane, block[0].lane_segment
        given = kernel.tangents or ()
        gradient: list[str | None] = [None] * segment.dim
        x = self._block(lane, segment, copy, lanes)
        tangent = self._block(f"t{lane}", segment, copy, lanes) if f"t{lane}" in given else None
        sum_start = 0
        for path, start in zip(block, first):
            position = self._position(path, s, copy)
            weight = self._weight("w", path, s, copy, position, lanes)
            change = self._weight("tw", path, s, copy, position, lanes) if "tw" in given else None
            scaled = [self._times(value, weight, lanes) for value in x]
            if kernel.tangents is None:
                moved: list[str | None] = list(scaled)
            else:  # W x' + W' x
                moved = [None] * segment.dim
                for a in range(segment.dim):
                    if tangent is not None:
                        moved[a] = self._times(tangent[a], weight, lanes)
                    if change is not None:
                        moved[a] = w.multiply_add(change, x[a], moved[a], lanes)
            m = {
                name: self._broadcast(scratch, start, path, lanes)
                for name, scratch in factors.items()
            }
            if "out" in kernel.outputs:
                terms = [(m["plain"], moved)]
                if "tangent" in m:
                    terms.append((m["tangent"], list(scaled)))
                self._lane_output(path, position, terms, lanes)
            if kernel.outputs != ("out",):
                g = self._block("g", path.out, position, lanes)
                pulled = {name: self._pull(path, values, g, lanes) for name, values in m.items()}
                if f"g{lane}" in kernel.outputs:
                    self._lane_gradient(gradient, pulled, weight, change, lanes)
                if "gw" in kernel.outputs and path.weight is not None:
                    self._lane_weights(path, s, copy, position, pulled, x, tangent, lanes)
                if sums is not None:
                    self._lane_sums(path, sums, sum_start, sum_lanes, moved, g, lanes)
            sum_start += len(path.pairs)
        if f"g{lane}" in kernel.outputs:
            self._store(f"g{lane}", segment, copy, gradient, lanes)

    def _position(self, path: LanePath, s: str, copy: str) -> str:
        """Number of the copy of the output (for uvu<v also of the weight)."""
        w = self.write
        if path.triangle:  # s mul - s (s + 1) / 2 + copy - s - 1
            after = w.integer("add", s, 1)
            half = w.integer("sdiv", w.integer("mul", s, after), 2)
            start = w.integer("sub", w.integer("mul", s, path.lane_segment.mul), half)
            return w.integer("sub", w.integer("add", start, copy), after)
        if path.spread:
            return w.integer("add", copy, w.integer("mul", s, path.lane_segment.mul))
        return copy

    def _weight_address(self, name: str, path: LanePath, s: str, copy: str, position: str) -> str:
        w = self.write
        address = w.element(self.rows[name], path.weight or 0)
        if path.triangle:
            return w.element(address, position)
        address = w.element(address, w.integer("mul", copy, path.lane_stride))
        if s != "0":
            address = w.element(address, w.integer("mul", s, path.scalar_stride))
        return address

    def _weight(
        self, name: str, path: LanePath, s: str, copy: str, position: str, lanes: int
    ) -> str | None:
        if path.weight is None:
            return None
        address = self._weight_address(name, path, s, copy, position)
        return self.write.load_strided(address, path.lane_stride, lanes)

    def _broadcast(
        self, scratch: str, start: int, path: LanePath, lanes: int
    ) -> dict[tuple[int, int], str]:
        w = self.write
        return {
            pair: w.broadcast(w.load(w.element(scratch, start + number), 1), lanes)
            for number, pair in enumerate(path.pairs)
        }

    def _lane_output(
        self,
        path: LanePath,
        position: str,
        terms: list[tuple[dict[tuple[int, int], str], list[str | None]]],
        lanes: int,
    ) -> None:
        """out_k = sum_a M[a, k] x_a, over all terms."""
        totals: list[str | None] = [None] * path.out.dim
        for factors, values in terms:
            for (a, k), factor in factors.items():
                value = values[a]
                if value is not None:
                    totals[k] = self.write.multiply_add(factor, value, totals[k], lanes)
        self._store("out", path.out, position, totals, lanes)

    def _pull(
        self, path: LanePath, factors: dict[tuple[int, int], str], g: list[str], lanes: int
    ) -> list[str | None]:
        """sum_k M[a, k] g_k"""
        totals: list[str | None] = [None] * path.lane_segment.dim
        for (a, k), factor in factors.items():
            totals[a] = self.write.multiply_add(factor, g[k], totals[a], lanes)
        return totals

    def _lane_gradient(
        self,
        gradient: list[str | None],
        pulled: dict[str, list[str | None]],
        weight: str | None,
        change: str | None,
        lanes: int,
    ) -> None:
        """W M g; with tangents W' M g + W M' g."""
        pairs = [(pulled["plain"], weight)]
        if self.kernel.tangents is not None:
            pairs = [(pulled["plain"], change)] if change is not None else []
            if "tangent" in pulled:
                pairs.append((pulled["tangent"], weight))
        for values, factor in pairs:
            for a, value in enumerate(values):
                if value is not None:
                    gradient[a] = self._accumulate(gradient[a], value, factor, lanes)

    def _lane_weights(
        self,
        path: LanePath,
        s: str,
        copy: str,
        position: str,
        pulled: dict[str, list[str | None]],
        x: list[str],
        tangent: list[str] | None,
        lanes: int,
    ) -> None:
        """x M g; with tangents x' M g + x M' g."""
        w = self.write
        pairs = [(pulled["plain"], x)]
        if self.kernel.tangents is not None:
            pairs = [(pulled["plain"], tangent)] if tangent is not None else []
            if "tangent" in pulled:
                pairs.append((pulled["tangent"], x))
        total: str | None = None
        for values, others in pairs:
            for value, other in zip(values, others):
                if value is not None:
                    total = w.multiply_add(value, other, total, lanes)
        size = int(np.prod(path.lane_segment.mul * path.scalar_segment.mul))
        if path.triangle:
            size = path.out.mul
        assert path.weight is not None
        adds = self._adds("gw", path.weight, path.weight + size)
        address = self._weight_address("gw", path, s, copy, position)
        self._store_strided(total, address, path.lane_stride, lanes, add=adds)

    def _lane_sums(
        self,
        path: LanePath,
        sums: str,
        start: int,
        sum_lanes: int,
        moved: list[str | None],
        g: list[str],
        lanes: int,
    ) -> None:
        """Add x_a g_k to the sums over the copies of the lane input."""
        w = self.write
        for number, (a, k) in enumerate(path.pairs):
            value = moved[a]
            if value is None:
                continue
            address = w.element(sums, start + number, sum_lanes)
            aligned = lanes == sum_lanes
            total = w.multiply_add(value, g[k], w.load(address, lanes, aligned=aligned), lanes)
            w.store(total, address, lanes, aligned=aligned)

    def _scalar_gradient(self, scalar_group: ScalarGroup, s: str, sums: list[str]) -> None:
        """sum_{ak} C[a, s, k] x_a g_k for the scalar input."""
        w = self.write
        totals: dict[tuple[Segment, int, int], str] = {}
        for block, scratch in zip(scalar_group.blocks, sums):
            lanes = self._lanes(block[0].lane_segment.mul)
            start = 0
            for path in block:
                number = {pair: start + n for n, pair in enumerate(path.pairs)}
                for a, j, k, value in path.table:
                    address = w.element(scratch, number[a, k], lanes)
                    part = w.load(address, lanes, aligned=True)
                    entry = (path.scalar_segment, j, lanes)
                    factor = w.constant(value, lanes)
                    totals[entry] = w.multiply_add(factor, part, totals.get(entry), lanes)
                start += len(path.pairs)
        for (segment, j, lanes), total in totals.items():
            address = w.element(self.rows[f"g{scalar_group.scalar}"], segment.offset + j)
            if s != "0":
                address = w.element(address, w.integer("mul", s, segment.dim))
            w.store(w.add(w.load(address, 1), w.total(total, lanes), 1), address, 1)

    # both inputs in the lanes

    def _uuu(self, path: Path) -> None:
        w, mul = self.write, path.in1.mul
        lanes = self._lanes(mul)
        with w.loop("0", mul, lanes) as copy:
            self._uuu_body(path, copy, lanes)
        if mul % lanes:
            with w.loop(mul - mul % lanes, mul) as copy:
                self._uuu_body(path, copy, 1)

    def _uuu_body(self, path: Path, copy: str, lanes: int) -> None:
        w, kernel, given = self.write, self.kernel, self.kernel.tangents or ()
        c = tuple((i, j, k, path.coefficient * value) for i, j, k, value in path.table)
        x = self._block("x", path.in1, copy, lanes)
        y = self._block("y", path.in2, copy, lanes)
        weight, change = None, None
        if path.weight is not None:
            address = w.element(w.element(self.rows["w"], path.weight), copy)
            weight = w.load(address, lanes)
            if "tw" in given:
                address = w.element(w.element(self.rows["tw"], path.weight), copy)
                change = w.load(address, lanes)
        tx = self._block("tx", path.in1, copy, lanes) if "tx" in given else None
        ty = self._block("ty", path.in2, copy, lanes) if "ty" in given else None
        # the terms of the form whose derivative is taken: (x, y, W), or its variations
        terms = [(x, y, weight)]
        if kernel.tangents is not None:
            terms = [(tx, y, weight)] if tx is not None else []
            terms += [(x, ty, weight)] if ty is not None else []
            terms += [(x, y, change)] if change is not None else []
        g = self._block("g", path.out, copy, lanes) if kernel.outputs != ("out",) else None
        if "out" in kernel.outputs:
            totals: list[str | None] = [None] * path.out.dim
            for first, second, factor in terms:
                scaled = [self._times(value, factor, lanes) for value in first]
                self._bilinear(c, scaled, second, totals, lanes)
            self._store("out", path.out, copy, totals, lanes)
        if g is None:
            return
        if "gx" in kernel.outputs:
            totals = [None] * path.in1.dim
            parts = self._parts(y, ty, weight, change)
            table = tuple((j, k, i, value) for i, j, k, value in c)
            self._uuu_gradient(table, parts, g, totals, lanes)
            self._store("gx", path.in1, copy, totals, lanes)
        if "gy" in kernel.outputs:
            totals = [None] * path.in2.dim
            parts = self._parts(x, tx, weight, change)
            table = tuple((i, k, j, value) for i, j, k, value in c)
            self._uuu_gradient(table, parts, g, totals, lanes)
            self._store("gy", path.in2, copy, totals, lanes)
        if "gw" in kernel.outputs and path.weight is not None:
            totals = [None] * path.out.dim
            unweighted = [(x, y)] if kernel.tangents is None else []
            unweighted += [(tx, y)] if tx is not None else []
            unweighted += [(x, ty)] if ty is not None else []
            for first, second in unweighted:
                self._bilinear(c, first, second, totals, lanes)
            total: str | None = None
            for value, other in zip(totals, g):
                if value is not None:
                    total = w.multiply_add(value, other, total, lanes)
            adds = self._adds("gw", path.weight, path.weight + path.in1.mul)
            address = w.element(w.element(self.rows["gw"], path.weight), copy)
            self._store_strided(total, address, 1, lanes, add=adds)

    def _parts(
        self,
        value: list[str],
        tangent: list[str] | None,
        weight: str | None,
        change: str | None,
    ) -> list[tuple[list[str], str | None]]:
        """What multiplies g in the gradient of the other input: W y, or W y' + W' y."""
        if self.kernel.tangents is None:
            return [(value, weight)]
        parts: list[tuple[list[str], str | None]] = []
        if tangent is not None:
            parts.append((tangent, weight))
        if change is not None:
            parts.append((value, change))
        return parts

    def _uuu_gradient(
        self,
        table: Table,
        parts: list[tuple[list[str], str | None]],
        g: list[str],
        totals: list[str | None],
        lanes: int,
    ) -> None:
        for values, factor in parts:
            scaled = [self._times(value, factor, lanes) for value in values]
            self._bilinear(table, scaled, g, totals, lanes)

    def _bilinear(
        self,
        table: Table,
        first: Sequence[str],
        second: Sequence[str],
        totals: list[str | None],
        lanes: int,
    ) -> None:
        """totals[c] += sum_{ab} C[a, b, c] first[a] second[b]"""
        w = self.write
        products: dict[tuple[int, int], str] = {}
        for a, b, c, value in table:
            if (a, b) not in products:
                products[a, b] = w.multiply(first[a], second[b], lanes)
            constant = w.constant(value, lanes)
            totals[c] = w.multiply_add(constant, products[a, b], totals[c], lanes)

    # pieces of rows

    def _block(self, name: str, segment: Segment, copy: str, lanes: int) -> list[str]:
        return self.write.load_block(self._address(name, segment, copy), segment.dim, lanes)

    def _address(self, name: str, segment: Segment, copy: str) -> str:
        w = self.write
        start = w.element(self.rows[name], segment.offset)
        return start if copy == "0" else w.element(start, w.integer("mul", copy, segment.dim))

    def _store(
        self, name: str, segment: Segment, copy: str, values: Sequence[str | None], lanes: int
    ) -> None:
        adds = self._adds(name, segment.offset, segment.end)
        zero = self.write.constant(0.0, lanes)
        full = [zero if value is None else value for value in values]
        self.write.store_block(full, self._address(name, segment, copy), lanes, add=adds)

    def _store_strided(
        self, value: str | None, address: str, stride: int, lanes: int, *, add: bool
    ) -> None:
        w = self.write
        full = w.constant(0.0, lanes) if value is None else value
        w.store_strided(full, address, stride, lanes, add=add)

    def _times(self, value: str, factor: str | None, lanes: int) -> str:
        return value if factor is None else self.write.multiply(value, factor, lanes)

    def _accumulate(self, total: str | None, value: str, factor: str | None, lanes: int) -> str:
        if factor is not None:
            return self.write.multiply_add(value, factor, total, lanes)
        return value if total is None else self.write.add(total, value, lanes)


def _range(segment: Segment) -> slice:
    return slice(segment.offset, segment.end)

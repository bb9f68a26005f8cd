"""Kernels of the four-linear form F(x, y, W, g) = <g, out(x, y, W)> for GPUs, in Triton's language.

They compute the same derivatives as those of the CPU, of the same form and its variations along
tangents, from the same sorting of the paths. A program of the GPU takes a tile: some rows of the
batch times some copies of the input that runs with the lanes. The values of the other input, and
the numbers ``M[a, k] = sum_s C[a, s, k] y_s`` made from it, are columns, one number per row.

There are two kinds. In a *tile* kernel each program has its own rows and stores any derivatives
that belong to them. In a *looped* kernel a program goes through a list of rows and adds up: the
messages of a node, or the gradient of weights that all rows share. It stores one derivative, once,
so that no two programs write to one place and the sums have one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from symscape.contraction._lanes import LanePath, ScalarGroup, group, uuu_paths
from symscape.contraction._product import Path, Product, Segment, Table

__all__ = ["ENTRY", "TileKernel", "arguments", "lanes_of", "source", "tile_rows"]

ENTRY = "contraction"
_TILE = 128  # elements of a tile: one for each thread of four warps
_GRADIENT = {"gx": "x", "gy": "y", "gw": "w"}
_NODE = {"x": "start", "tx": "start", "gx": "start", "g": "end", "out": "end"}

# one term of the form: which tensor stands for x, for y, for W
_Term = dict[str, str]


@dataclass(frozen=True)
class TileKernel:
    """What a kernel computes.

    Attributes:
        outputs: of `out gx gy gw`; a looped kernel has one of `out gx gw`.
        tangents: None for the form itself; else which of tx, ty, tw are given.
        double: float64, else float32.
        gather: rows are edges: those of x are found by their source, those of g by destination.
        looped: see above; `out` and `gx` go through the edges of a node, `gw` through all rows.
    """

    outputs: tuple[str, ...]
    tangents: tuple[str, ...] | None
    double: bool
    gather: bool
    looped: bool

    @property
    def ordered(self) -> bool:
        """Whether the rows of a looped kernel are found in a sorted list of edges."""
        return self.looped and self.outputs != ("gw",)


def arguments(product: Product, kernel: TileKernel) -> tuple[str, ...]:
    """Names of the kernel's arguments; each tensor of rows is followed by its stride."""
    names = ["starts"] if kernel.looped else ["rows"]
    names += ["order"] if kernel.ordered else []
    names += ["source", "destination"] if kernel.gather else []
    inputs = ["x", "y"] + ["w"] * bool(product.weight_numel)
    inputs += ["g"] if kernel.outputs != ("out",) else []
    for name in (*inputs, *(kernel.tangents or ()), *kernel.outputs):
        names += [name, f"{name}_stride"]
    return tuple(names)


def lanes_of(mul: int) -> int:
    """Number of copies in a tile."""
    return min(_TILE, 1 << max(mul - 1, 0).bit_length())


def tile_rows(product: Product) -> int:
    """Number of rows in a tile: as many as fill it with the largest block of copies."""
    muls = [path.lane_segment.mul for entry in group(product) for path in entry.paths]
    muls += [path.in1.mul for path in uuu_paths(product)]
    return max(1, _TILE // lanes_of(max(muls, default=1)))


def source(product: Product, kernel: TileKernel) -> str:
    """Text of the module of a kernel, the function `ENTRY`."""
    return _Generator(product, kernel).module()


class _Sums(dict):
    """Names of totals, one for each component, by what they belong to.

    Keys are `(block of the scalar input, number of lanes)`, `(block of the output, "out")`, the
    block alone where all copies s of the scalar input add to it, "lane" for the derivative of the
    lane input, and paths for that of their weights.
    """


class _Generator:
    def __init__(self, product: Product, kernel: TileKernel) -> None:
        self.product, self.kernel = product, kernel
        self.groups, self.uuu = group(product), uuu_paths(product)
        self.dtype = "tl.float64" if kernel.double else "tl.float32"
        self.lines: list[str] = []
        self.depth = 0
        self.count = 0
        self.terms = self._terms()
        self.writes = {name: self._count_writes(name) for name in kernel.outputs}

    def module(self) -> str:
        names = arguments(self.product, self.kernel)
        self._line("import triton")
        self._line("import triton.language as tl")
        self._line('@triton.jit(do_not_specialize=["rows"])' if "rows" in names else "@triton.jit")
        self._line(f"def {ENTRY}({', '.join(names)}, ROWS: tl.constexpr):")
        self.depth += 1
        self._line("program = tl.program_id(0).to(tl.int64)")
        if self.kernel.looped:
            self._line("first = tl.load(starts + program)")
            self._line("last = tl.load(starts + program + 1)")
            (name,) = self.kernel.outputs
            self._line(f"{name}_row = {name} + program * {name}_stride")
        else:
            self._line("z = program * ROWS + tl.arange(0, ROWS)[:, None]")
            self._line("row = z < rows")
            self._rows()
        self._clear()
        for scalar_group in self.groups:
            self._scalar_group(scalar_group)
        for path in self.uuu:
            self._uuu(path)
        return "\n".join(self.lines) + "\n"

    def _terms(self) -> list[_Term]:
        """The form, or its variation: one of x, y, W is replaced by its tangent."""
        base = {"x": "x", "y": "y", "w": "w"}
        if self.kernel.tangents is None:
            return [base]
        return [{**base, name[1]: name} for name in self.kernel.tangents]

    def _terms_of(self, *, weighted: bool) -> list[_Term]:
        """Those of a path; one without weights does not vary with them."""
        return [term for term in self.terms if weighted or term["w"] == "w"]

    # rows

    def _rows(self) -> None:
        """Pointers to the rows of all tensors but those that a looped kernel writes."""
        kernel = self.kernel
        if kernel.gather:
            self._line("start = tl.load(source + z, mask=row, other=0)")
            self._line("end = tl.load(destination + z, mask=row, other=0)")
        for stride in arguments(self.product, kernel):
            name = stride.removesuffix("_stride")
            if name == stride or (kernel.looped and name in kernel.outputs):
                continue
            index = _NODE.get(name, "z") if kernel.gather else "z"
            self._line(f"{name}_row = {name} + {index} * {stride}")

    @contextmanager
    def _row_loop(self) -> Iterator[None]:
        """Around what is done for every tile of rows: a loop in looped kernels."""
        if not self.kernel.looped:
            yield
            return
        with self._indented("for position in range(first, last, ROWS):"):
            self._line("z = position + tl.arange(0, ROWS).to(tl.int64)[:, None]")
            self._line("row = z < last")
            if self.kernel.ordered:
                self._line("z = tl.load(order + z, mask=row, other=0)")
            self._rows()
            yield

    def _clear(self) -> None:
        """Zero the elements that are written never, or added to."""
        for name in self.kernel.outputs:
            marked = np.concatenate([[0], self.writes[name] != 1, [0]]).astype(np.int8)
            edges = np.flatnonzero(np.diff(marked))
            for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist()):
                lanes = lanes_of(stop - start)
                with self._chunks(stop - start, lanes) as copy:
                    live = self._name(f"{copy} < {stop - start}")
                    place = f"{name}_row + {start} + {copy}"
                    mask, zeros = self._target(live, "0.0", lanes)
                    self._line(f"tl.store({place}, {zeros}, mask={mask})")
        self._barrier()

    def _target(self, live: str, value: str, lanes: int) -> tuple[str, str]:
        """Mask and value of a store of one constant."""
        if self.kernel.looped:
            return live, f"tl.full([1, {lanes}], {value}, {self.dtype})"
        return f"row & {live}", f"tl.full([ROWS, {lanes}], {value}, {self.dtype})"

    def _count_writes(self, name: str) -> np.ndarray:
        """How often an element of a row is stored: once needs no addition."""
        product = self.product
        length = {"out": product.dim_out, "gx": product.dim_in1, "gy": product.dim_in2}
        count = np.zeros(length.get(name, product.weight_numel), dtype=np.int64)
        for scalar_group in self.groups:
            for block in scalar_group.blocks:
                if name == "out":
                    for out in {path.out for path in block}:
                        count[_range(out)] += 1
                elif name == "g" + block[0].lane:
                    count[_range(block[0].lane_segment)] += 1
                elif name == "g" + block[0].scalar and not self._keeps_columns(scalar_group):
                    often = 2 if block[0].lane_segment.mul > _TILE else 1  # once for every chunk
                    for segment in {path.scalar_segment for path in block}:
                        count[_range(segment)] += often
            if name == "g" + scalar_group.scalar and self._keeps_columns(scalar_group):
                for segment in {path.scalar_segment for path in scalar_group.paths}:
                    count[_range(segment)] += 1
        for uuu in self.uuu:
            segments = {"out": uuu.out, "gx": uuu.in1, "gy": uuu.in2}
            if name in segments:
                count[_range(segments[name])] += 1
        if name == "gw":
            for path in product.paths:
                if path.weight is not None and path.table:
                    size = int(np.prod(path.shape))
                    count[path.weight : path.weight + size] += 1
        return count

    # one input in the lanes, the other a column

    def _keeps_columns(self, scalar_group: ScalarGroup) -> bool:
        """Whether the derivative of a single scalar copy is summed up over all blocks."""
        return scalar_group.mul == 1 and not self.kernel.looped

    def _scalar_group(self, scalar_group: ScalarGroup) -> None:
        name, columns = f"g{scalar_group.scalar}", _Sums()
        if name in self.kernel.outputs and self._keeps_columns(scalar_group):
            for path in scalar_group.paths:
                key = path.scalar_segment, lanes_of(path.lane_segment.mul)
                if key not in columns:
                    columns[key] = self._zeros(path.scalar_segment.dim, key[1])
        for block in scalar_group.blocks:
            self._lane_block(block, scalar_group.mul, columns)
        for segment in dict.fromkeys(segment for segment, _ in columns):
            parts = [totals for (other, _), totals in columns.items() if other == segment]
            self._store_columns(name, segment, "0", parts)
        self._barrier()

    def _lane_block(self, block: Sequence[LanePath], scalar_mul: int, columns: _Sums) -> None:
        """All paths that read one block of copies of the lane input.

        The derivatives of the block are sums over the copies s of the other input, and those of s
        over the lanes: the former are kept while s runs, the latter stored for each s.
        """
        kernel, segment = self.kernel, block[0].lane_segment
        lanes = lanes_of(segment.mul)
        with self._chunks(segment.mul, lanes) as copy:
            kept = _Sums()
            if f"g{block[0].lane}" in kernel.outputs:
                kept["lane"] = self._zeros(segment.dim, lanes)
            if "out" in kernel.outputs:
                for path in block:
                    if not path.spread and path.out not in kept:
                        kept[path.out] = self._zeros(path.out.dim, lanes)
            with self._scalar_copies(scalar_mul) as s:
                live = self._live(copy, segment.mul, s if block[0].triangle else None)
                own = self._own_sums(block, lanes, columns)
                with self._row_loop():
                    self._lane_body(block, s, copy, live, kept, _Sums(columns | own))
                self._store_own_sums(block, s, copy, live, own)
            live = self._name(f"{copy} < {segment.mul}")
            if "lane" in kept:
                self._store_block(f"g{block[0].lane}", segment, copy, live, kept["lane"])
            for out, values in kept.items():
                if isinstance(out, Segment):
                    self._store_block("out", out, copy, live, values)
            self._barrier()

    def _own_sums(self, block: Sequence[LanePath], lanes: int, columns: _Sums) -> _Sums:
        """Totals that belong to one copy s: over rows in looped kernels, or over the lanes."""
        kernel, scalar = self.kernel, block[0].scalar
        own = _Sums()
        for path in block:
            key = (path.scalar_segment, lanes)
            if f"g{scalar}" in kernel.outputs and key not in own and key not in columns:
                own[key] = self._zeros(path.scalar_segment.dim, lanes)
            if "out" in kernel.outputs and path.spread and (path.out, "out") not in own:
                own[path.out, "out"] = self._zeros(path.out.dim, lanes)
            if "gw" in kernel.outputs and path.weight is not None and kernel.looped:
                own[path] = self._zeros(1, lanes)
        return own

    def _lane_body(
        self,
        block: Sequence[LanePath],
        s: str,
        copy: str,
        live: str,
        kept: _Sums,
        own: _Sums,
    ) -> None:
        lane, scalar = block[0].lane, block[0].scalar
        mask = self._name(f"row & {live}")
        segment = block[0].lane_segment
        weighted = any(path.weight is not None for path in block)
        used = self._terms_of(weighted=weighted)
        values = {
            name: self._load_block(name, segment, copy, mask)
            for name in dict.fromkeys(term[lane] for term in used)
        }
        columns: dict[tuple[str, Segment], list[str]] = {}
        for path in block:
            for name in dict.fromkeys(term[scalar] for term in used):
                key = (name, path.scalar_segment)
                if key not in columns:
                    columns[key] = self._load_block(name, path.scalar_segment, s, "row")
        for path in block:
            self._lane_path(path, s, copy, mask, values, columns, kept, own)

    def _lane_path(
        self,
        path: LanePath,
        s: str,
        copy: str,
        mask: str,
        values: dict[str, list[str]],
        columns: dict[tuple[str, Segment], list[str]],
        kept: _Sums,
        own: _Sums,
    ) -> None:
        kernel, lane, scalar = self.kernel, path.lane, path.scalar
        terms = self._terms_of(weighted=path.weight is not None)
        place = self._position(path, s, copy)
        weights = {
            name: self._load_weight(name, path, s, copy, place, mask)
            for name in dict.fromkeys(term["w"] for term in terms)
        }
        # by the tensor in the columns: M, and what it is multiplied with in the lanes
        names = list(dict.fromkeys(term[scalar] for term in terms))
        factors = {name: self._factors(path, columns[name, path.scalar_segment]) for name in names}
        moved = {
            name: [
                self._sum(
                    _times(values[term[lane]][a], weights[term["w"]])
                    for term in terms
                    if term[scalar] == name
                )
                for a in range(path.lane_segment.dim)
            ]
            for name in names
        }
        if "out" in kernel.outputs:
            totals = own[path.out, "out"] if path.spread else kept[path.out]
            for name in names:
                for (a, k), factor in factors[name].items():
                    self._line(f"{totals[k]} += {factor} * {moved[name][a]}")
        if kernel.outputs == ("out",):
            return
        g = self._load_block("g", path.out, place, mask)
        pulled = {
            name: {
                a: self._sum(f"{f} * {g[k]}" for (b, k), f in factors[name].items() if b == a)
                for a in sorted({a for a, _ in factors[name]})
            }
            for name in names
        }
        if f"g{lane}" in kernel.outputs:
            for term in terms:
                if term[lane] == lane:
                    for a, value in pulled[term[scalar]].items():
                        added = _times(value, weights[term["w"]])
                        self._line(f"{kept['lane'][a]} += {added}")
        if "gw" in kernel.outputs and path.weight is not None:
            total = self._sum(
                f"{values[term[lane]][a]} * {value}"
                for term in terms
                if term["w"] == "w"
                for a, value in pulled[term[scalar]].items()
            )
            if not kernel.looped:
                self._store_weight(path, s, copy, place, mask, total)
            else:
                self._line(f"{own[path][0]} += {total}")
        if f"g{scalar}" in kernel.outputs and scalar in moved:
            self._column_sums(
                path, moved[scalar], g, own[path.scalar_segment, lanes_of(path.lane_segment.mul)]
            )

    def _factors(self, path: LanePath, columns: list[str]) -> dict[tuple[int, int], str]:
        """M[a, k] = sum_s C[a, s, k] y_s"""
        return {
            pair: self._sum(
                f"{value!r} * {columns[j]}" for a, j, k, value in path.table if (a, k) == pair
            )
            for pair in path.pairs
        }

    def _column_sums(
        self, path: LanePath, moved: list[str], g: list[str], totals: list[str]
    ) -> None:
        """sum_{ak} C[a, s, k] x_a g_k, for each element s of the copy, still per lane."""
        products = {(a, k): self._name(f"{moved[a]} * {g[k]}") for a, k in path.pairs}
        for a, j, k, value in path.table:
            self._line(f"{totals[j]} += {value!r} * {products[a, k]}")

    def _store_own_sums(
        self,
        block: Sequence[LanePath],
        s: str,
        copy: str,
        live: str,
        own: _Sums,
    ) -> None:
        scalar = block[0].scalar
        for key, totals in own.items():
            if isinstance(key, LanePath):
                place = self._position(key, s, copy)
                self._store_weight(key, s, copy, place, live, self._over_rows(totals[0]))
            elif key[1] == "out":
                path = next(p for p in block if p.spread and p.out == key[0])
                place = self._position(path, s, copy)
                self._store_block("out", path.out, place, live, totals)
            else:
                self._store_columns(f"g{scalar}", key[0], s, [totals])

    def _position(self, path: LanePath, s: str, copy: str) -> str:
        """Number of the copy of the output (for uvu<v also of the weight)."""
        mul = path.lane_segment.mul
        if path.triangle:
            return self._name(f"{s} * {mul} - {s} * ({s} + 1) // 2 + {copy} - {s} - 1")
        if path.spread and s != "0":
            return self._name(f"{copy} + {s} * {mul}")
        return copy

    def _weight_place(self, name: str, path: LanePath, s: str, copy: str, place: str) -> str:
        address = f"{name}_row + {path.weight}"
        if path.triangle:
            return f"{address} + {place}"
        address += f" + {copy} * {path.lane_stride}"
        return address if s == "0" else f"{address} + {s} * {path.scalar_stride}"

    def _load_weight(
        self, name: str, path: LanePath, s: str, copy: str, place: str, mask: str
    ) -> str | None:
        if path.weight is None:
            return None
        address = self._weight_place(name, path, s, copy, place)
        return self._name(f"tl.load({address}, mask={mask}, other=0.0)")

    def _store_weight(
        self, path: LanePath, s: str, copy: str, place: str, mask: str, value: str
    ) -> None:
        assert path.weight is not None
        size = path.lane_segment.mul * path.scalar_segment.mul
        adds = self._adds("gw", path.weight, path.out.mul if path.triangle else size)
        self._store(self._weight_place("gw", path, s, copy, place), value, mask, adds=adds)

    # both inputs in the lanes

    def _uuu(self, path: Path) -> None:
        lanes, kernel = lanes_of(path.in1.mul), self.kernel
        segments = {"out": path.out, "gx": path.in1, "gy": path.in2}
        with self._chunks(path.in1.mul, lanes) as copy:
            live = self._live(copy, path.in1.mul, None)
            totals = {
                name: self._zeros(segments[name].dim if name in segments else 1, lanes)
                for name in kernel.outputs
                if name != "gw" or path.weight is not None
            }
            with self._row_loop():
                self._uuu_body(path, copy, self._name(f"row & {live}"), totals)
            for name, values in totals.items():
                if name in segments:
                    self._store_block(name, segments[name], copy, live, values)
                else:
                    assert path.weight is not None
                    mask = live if kernel.looped else f"row & {live}"
                    adds = self._adds("gw", path.weight, path.in1.mul)
                    place = f"gw_row + {path.weight} + {copy}"
                    self._store(place, self._over_rows(values[0]), mask, adds=adds)
            self._barrier()

    def _uuu_body(self, path: Path, copy: str, mask: str, totals: dict[str, list[str]]) -> None:
        terms = self._terms_of(weighted=path.weight is not None)
        table = tuple((i, j, k, path.coefficient * value) for i, j, k, value in path.table)
        values: dict[str, list[str]] = {}
        for variable, segment in (("x", path.in1), ("y", path.in2)):
            for name in dict.fromkeys(term[variable] for term in terms):
                values[name] = self._load_block(name, segment, copy, mask)
        weights: dict[str, str | None] = {}
        for name in dict.fromkeys(term["w"] for term in terms):
            place = f"{name}_row + {path.weight} + {copy}"
            weights[name] = (
                None
                if path.weight is None
                else self._name(f"tl.load({place}, mask={mask}, other=0.0)")
            )
        pulled_x = tuple((j, k, i, value) for i, j, k, value in table)
        pulled_y = tuple((i, k, j, value) for i, j, k, value in table)
        g = self._load_block("g", path.out, copy, mask) if totals.keys() - {"out"} else []
        for name, sums in totals.items():
            own = _GRADIENT.get(name)
            for term in terms:
                if own is not None and term[own] != own:
                    continue  # this one does not depend on the variable itself
                x, y = values[term["x"]], values[term["y"]]
                weight = weights[term["w"]]
                if name == "out":
                    self._bilinear(table, x, y, weight, sums)
                elif name == "gx":
                    self._bilinear(pulled_x, y, g, weight, sums)
                elif name == "gy":
                    self._bilinear(pulled_y, x, g, weight, sums)
                else:
                    out = self._zeros(path.out.dim, lanes_of(path.in1.mul))
                    self._bilinear(table, x, y, None, out)
                    for value, other in zip(out, g):
                        self._line(f"{sums[0]} += {value} * {other}")

    def _bilinear(
        self,
        table: Table,
        first: Sequence[str],
        second: Sequence[str],
        weight: str | None,
        totals: Sequence[str],
    ) -> None:
        """totals[c] += W sum_{ab} C[a, b, c] first[a] second[b]"""
        scaled = [self._name(_times(value, weight)) for value in first]
        products: dict[tuple[int, int], str] = {}
        for a, b, c, value in table:
            if (a, b) not in products:
                products[a, b] = self._name(f"{scaled[a]} * {second[b]}")
            self._line(f"{totals[c]} += {value!r} * {products[a, b]}")

    # pieces of rows

    def _load_block(self, name: str, segment: Segment, copy: str, mask: str) -> list[str]:
        address = self._address(name, segment, copy)
        return [
            self._name(f"tl.load({address} + {m}, mask={mask}, other=0.0)")
            for m in range(segment.dim)
        ]

    def _store_block(
        self, name: str, segment: Segment, copy: str, live: str, values: Sequence[str]
    ) -> None:
        adds = self._adds(name, segment.offset, segment.mul * segment.dim)
        mask = live if self.kernel.looped else f"row & {live}"
        address = self._address(name, segment, copy)
        for m, value in enumerate(values):
            self._store(f"{address} + {m}", self._over_rows(value), mask, adds=adds)

    def _store_columns(self, name: str, segment: Segment, s: str, parts: list[list[str]]) -> None:
        """Sums over the lanes, of parts that differ in their number of lanes."""
        adds = self._adds(name, segment.offset, segment.mul * segment.dim)
        address = self._address(name, segment, s)
        for m, values in enumerate(zip(*parts)):
            total = " + ".join(
                f"tl.sum({self._over_rows(value)}, 1, keep_dims=True)" for value in values
            )
            place = f"{address} + {m}"
            if self.kernel.looped:  # a pointer to one number, in the shape of the sum
                place += " + tl.arange(0, 1)[:, None]"
            mask = "tl.full([1, 1], 1, tl.int1)" if self.kernel.looped else "row"
            self._store(place, total, mask, adds=adds)

    def _address(self, name: str, segment: Segment, copy: str) -> str:
        address = f"{name}_row + {segment.offset}"
        return address if copy == "0" else f"{address} + {copy} * {segment.dim}"

    def _store(self, address: str, value: str, mask: str, *, adds: bool) -> None:
        if adds:
            value = f"tl.load({address}, mask={mask}, other=0.0) + {value}"
        self._line(f"tl.store({address}, {value}, mask={mask})")

    def _adds(self, name: str, start: int, size: int) -> bool:
        return bool((self.writes[name][start : start + size] != 1).any())

    def _barrier(self) -> None:
        """Other threads may add to what was stored, where anything is stored more than once."""
        if any((writes > 1).any() for writes in self.writes.values()):
            self._line("tl.debug_barrier()")

    def _over_rows(self, value: str) -> str:
        """The total of a looped kernel: the tile's rows are parts of it."""
        return f"tl.sum({value}, 0, keep_dims=True)" if self.kernel.looped else value

    # text

    def _live(self, copy: str, mul: int, after: str | None) -> str:
        condition = f"{copy} < {mul}"
        if after is not None:
            condition = f"({condition}) & ({copy} > {after})"
        return self._name(condition)

    @contextmanager
    def _chunks(self, mul: int, lanes: int) -> Iterator[str]:
        if mul <= lanes:
            yield self._name(f"tl.arange(0, {lanes})[None, :]")
            return
        with self._indented(f"for chunk in range(0, {mul}, {lanes}):"):
            yield self._name(f"chunk + tl.arange(0, {lanes})[None, :]")

    @contextmanager
    def _scalar_copies(self, mul: int) -> Iterator[str]:
        if mul == 1:
            yield "0"
            return
        with self._indented(f"for s in range(0, {mul}):"):
            yield "s"

    @contextmanager
    def _indented(self, head: str) -> Iterator[None]:
        self._line(head)
        self.depth += 1
        yield
        self.depth -= 1

    def _zeros(self, count: int, lanes: int) -> list[str]:
        return [self._name(f"tl.full([ROWS, {lanes}], 0.0, {self.dtype})") for _ in range(count)]

    def _sum(self, terms: Iterable[str]) -> str:
        return self._name(" + ".join(terms) or "0.0")

    def _name(self, expression: str) -> str:
        self.count += 1
        name = f"v{self.count}"
        self._line(f"{name} = {expression}")
        return name

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)


def _times(value: str, factor: str | None) -> str:
    return value if factor is None else f"{value} * {factor}"


def _range(segment: Segment) -> slice:
    return slice(segment.offset, segment.end)

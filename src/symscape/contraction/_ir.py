"""A writer of straight-line vector code in LLVM's assembly language."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import gcd

__all__ = ["Writer"]


class Writer:
    """Writes one function; values are names or literals, lanes the width of the vectors.

    Args:
        name: of the function.
        scalar: `float` or `double`.
        parameters: (type, name) of each.
    """

    def __init__(self, name: str, scalar: str, parameters: Sequence[tuple[str, str]]) -> None:
        self.scalar = scalar
        self._size = 4 if scalar == "float" else 8
        arguments = ", ".join(f"{kind} %{label}" for kind, label in parameters)
        self._head = f"define void @{name}({arguments}) nounwind {{\nentry:\n"
        self._allocations: list[str] = []
        self._lines: list[str] = []
        self._count = 0
        self._block = "start"
        self._declarations: set[str] = set()

    def text(self) -> str:
        """The module: this function and what it declares."""
        body = "\n".join([*self._allocations, "  br label %start", "start:", *self._lines])
        declarations = "\n".join(sorted(self._declarations))
        return f"{declarations}\n{self._head}{body}\n  ret void\n}}\n"

    # types and constants

    def vector(self, lanes: int) -> str:
        """Type of a vector; one lane is a scalar."""
        return self.scalar if lanes == 1 else f"<{lanes} x {self.scalar}>"

    def constant(self, value: float, lanes: int = 1) -> str:
        """A literal, in all lanes."""
        if self.scalar == "float":
            value = struct.unpack("f", struct.pack("f", value))[0]
        literal = "0x" + struct.pack(">d", value).hex().upper()
        return literal if lanes == 1 else f"splat ({self.scalar} {literal})"

    # arithmetic

    def add(self, a: str, b: str, lanes: int) -> str:
        """a + b"""
        return self._value(f"fadd {self.vector(lanes)} {a}, {b}")

    def multiply(self, a: str, b: str, lanes: int) -> str:
        """a b"""
        return self._value(f"fmul {self.vector(lanes)} {a}, {b}")

    def multiply_add(self, a: str, b: str, c: str | None, lanes: int) -> str:
        """a b + c, without c a b"""
        if c is None:
            return self.multiply(a, b, lanes)
        kind = self.vector(lanes)
        suffix = ("" if lanes == 1 else f"v{lanes}") + f"f{8 * self._size}"
        self._declarations.add(f"declare {kind} @llvm.fmuladd.{suffix}({kind}, {kind}, {kind})")
        return self._value(
            f"call {kind} @llvm.fmuladd.{suffix}({kind} {a}, {kind} {b}, {kind} {c})"
        )

    def total(self, a: str, lanes: int) -> str:
        """Sum over the lanes, as a scalar."""
        if lanes == 1:
            return a
        kind, suffix = self.vector(lanes), f"v{lanes}f{8 * self._size}"
        self._declarations.add(
            f"declare {self.scalar} @llvm.vector.reduce.fadd.{suffix}({self.scalar}, {kind})"
        )
        return self._value(
            f"call reassoc {self.scalar} @llvm.vector.reduce.fadd.{suffix}"
            f"({self.scalar} {self.constant(-0.0)}, {kind} {a})"
        )

    def broadcast(self, a: str, lanes: int) -> str:
        """A scalar in all lanes."""
        if lanes == 1:
            return a
        kind = self.vector(lanes)
        one = self._value(f"insertelement {kind} poison, {self.scalar} {a}, i64 0")
        mask = f"<{lanes} x i32> zeroinitializer"
        return self._value(f"shufflevector {kind} {one}, {kind} poison, {mask}")

    def integer(self, operation: str, a: str | int, b: str | int) -> str:
        """add, sub, mul, ... of 64-bit integers"""
        if operation == "mul" and b == 1:
            return str(a)
        if operation == "add" and b == 0:
            return str(a)
        return self._value(f"{operation} i64 {a}, {b}")

    def smaller(self, a: str, b: str) -> str:
        """The smaller of two 64-bit integers."""
        self._declarations.add("declare i64 @llvm.smin.i64(i64, i64)")
        return self._value(f"call i64 @llvm.smin.i64(i64 {a}, i64 {b})")

    # memory

    def allocate(self, count: int, lanes: int = 1) -> str:
        """Scratch memory for count vectors."""
        name = self._name()
        align = self._size * lanes
        self._allocations.append(
            f"  {name} = alloca [{max(count, 1)} x {self.vector(lanes)}], align {align}"
        )
        return name

    def element(self, pointer: str, index: str | int, lanes: int = 1) -> str:
        """Pointer to an element, counted in vectors of so many lanes."""
        if index in (0, "0"):
            return pointer
        return self._value(f"getelementptr {self.vector(lanes)}, ptr {pointer}, i64 {index}")

    def load(self, pointer: str, lanes: int, *, aligned: bool = False) -> str:
        """Consecutive elements; aligned in scratch memory."""
        align = self._size * (lanes if aligned else 1)
        return self._value(f"load {self.vector(lanes)}, ptr {pointer}, align {align}")

    def store(self, a: str, pointer: str, lanes: int, *, aligned: bool = False) -> None:
        """The reverse of `load`."""
        align = self._size * (lanes if aligned else 1)
        self._lines.append(f"  store {self.vector(lanes)} {a}, ptr {pointer}, align {align}")

    def load_strided(self, pointer: str, stride: int, lanes: int) -> str:
        """One element in every stride."""
        if stride == 1 or lanes == 1:
            return self.load(pointer, lanes)
        kind, value = self.vector(lanes), "poison"
        for lane in range(lanes):
            element = self.load(self.element(pointer, lane * stride), 1)
            value = self._value(
                f"insertelement {kind} {value}, {self.scalar} {element}, i64 {lane}"
            )
        return value

    def store_strided(self, a: str, pointer: str, stride: int, lanes: int, *, add: bool) -> None:
        """The reverse of `load_strided`; adds to what is there, if told to."""
        if stride == 1 or lanes == 1:
            if add:
                a = self.add(self.load(pointer, lanes), a, lanes)
            self.store(a, pointer, lanes)
            return
        for lane in range(lanes):
            element = self._value(f"extractelement {self.vector(lanes)} {a}, i64 {lane}")
            self.store_strided(element, self.element(pointer, lane * stride), 1, 1, add=add)

    def load_index(self, pointer: str, position: str) -> str:
        """A 64-bit integer out of an array."""
        address = self._value(f"getelementptr i64, ptr {pointer}, i64 {position}")
        return self._value(f"load i64, ptr {address}, align 8")

    def clear(self, pointer: str, count: int, lanes: int = 1) -> None:
        """Fill with zeros."""
        self._declarations.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
        size = count * lanes * self._size
        self._lines.append(
            f"  call void @llvm.memset.p0.i64(ptr {pointer}, i8 0, i64 {size}, i1 false)"
        )

    # blocks of lanes x dim elements, with the copies outside (mul_ir) in memory

    def load_block(self, pointer: str, dim: int, lanes: int) -> list[str]:
        """The dim components of so many consecutive copies, each a vector over the copies."""
        words = [self.load(self.element(pointer, q * lanes), lanes) for q in range(dim)]
        if dim == 1 or lanes == 1:
            return words
        components = []
        for i in range(dim):
            # copy u of component i is element r of word q
            places = [divmod(u * dim + i, lanes) for u in range(lanes)]
            if gcd(dim, lanes) == 1:  # every r once: blend the words in place, then permute
                word_of = {r: q for q, r in places}
                blended = self._blend(words, [word_of[r] for r in range(lanes)])
                components.append(self._permute(blended, [r for _, r in places]))
            else:
                components.append(self._collect(words, places))
        return components

    def store_block(
        self, components: Sequence[str], pointer: str, lanes: int, *, add: bool = False
    ) -> None:
        """The reverse of `load_block`; adds to what is there, if told to."""
        dim = len(components)
        words = list(components)
        if dim > 1 and lanes > 1:
            places = [
                [divmod(q * lanes + r, dim) for r in range(lanes)] for q in range(dim)
            ]  # element r of word q is copy u of component i
            if gcd(dim, lanes) == 1:
                permuted = []
                for i in range(dim):
                    copy_at = {(u * dim + i) % lanes: u for u in range(lanes)}
                    permuted.append(
                        self._permute(components[i], [copy_at[r] for r in range(lanes)])
                    )
                words = [self._blend(permuted, [i for _, i in places[q]]) for q in range(dim)]
            else:
                words = [
                    self._collect(components, [(i, u) for u, i in places[q]]) for q in range(dim)
                ]
        for q, word in enumerate(words):
            address = self.element(pointer, q * lanes)
            if add:
                word = self.add(self.load(address, lanes), word, lanes)
            self.store(word, address, lanes)

    def _blend(self, words: Sequence[str], chosen: Sequence[int]) -> str:
        """Element r of word chosen[r], for each r."""
        lanes, kind = len(chosen), self.vector(len(chosen))
        present = sorted(set(chosen))
        value = words[present[0]]
        for q in present[1:]:
            mask = self._mask(lanes + r if chosen[r] == q else r for r in range(lanes))
            value = self._value(f"shufflevector {kind} {value}, {kind} {words[q]}, {mask}")
        return value

    def _permute(self, word: str, order: Sequence[int]) -> str:
        kind = self.vector(len(order))
        return self._value(f"shufflevector {kind} {word}, {kind} poison, {self._mask(order)}")

    def _collect(self, words: Sequence[str], places: Sequence[tuple[int, int]]) -> str:
        """Element r of word q for each (q, r)."""
        lanes, kind, value = len(places), self.vector(len(places)), "poison"
        for q in sorted({q for q, _ in places}):
            mask = self._mask(
                lanes + r if word == q else lane for lane, (word, r) in enumerate(places)
            )
            value = self._value(f"shufflevector {kind} {value}, {kind} {words[q]}, {mask}")
        return value

    @staticmethod
    def _mask(order: Sequence[int] | Iterator[int]) -> str:
        entries = [f"i32 {r}" for r in order]
        return f"<{len(entries)} x i32> <{', '.join(entries)}>"

    # control

    @contextmanager
    def loop(
        self,
        start: str | int,
        stop: str | int,
        step: int = 1,
        carried: list[str] | None = None,
        lanes: int = 1,
    ) -> Iterator[str]:
        """``for i in range(start, stop - step + 1, step)``: whole steps only; yields i.

        Vectors in ``carried`` go from one round to the next: the body replaces the entries of the
        list, and after the loop it holds the last ones.
        """
        self._count += 1
        tag, before = self._count, self._block
        index, last = f"%i{tag}", self.integer("sub", stop, step)
        self._lines += [f"  br label %head{tag}", f"head{tag}:"]
        phi = len(self._lines)
        initial = list(carried or ())
        names = [f"%c{tag}.{number}" for number in range(len(initial))]
        if carried is not None:
            carried[:] = names
        self._lines += [
            f"  %more{tag} = icmp sle i64 {index}, {last}",
            f"  br i1 %more{tag}, label %body{tag}, label %exit{tag}",
            f"body{tag}:",
        ]
        self._block = f"body{tag}"
        yield index
        self._lines += [
            f"  %next{tag} = add nsw i64 {index}, {step}",
            f"  br label %head{tag}",
            f"exit{tag}:",
        ]
        phis = [f"  {index} = phi i64 [ {start}, %{before} ], [ %next{tag}, %{self._block} ]"]
        phis += [
            f"  {name} = phi {self.vector(lanes)} [ {old}, %{before} ], [ {new}, %{self._block} ]"
            for name, old, new in zip(names, initial, carried or ())
        ]
        self._lines[phi:phi] = phis
        if carried is not None:
            carried[:] = names
        self._block = f"exit{tag}"

    def _name(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def _value(self, expression: str) -> str:
        name = self._name()
        self._lines.append(f"  {name} = {expression}")
        return name

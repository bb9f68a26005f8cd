"""Irreducible representations of O(3) and lists of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, SupportsIndex, overload

import torch

from symscape._arguments import integer

__all__ = ["Irrep", "Irreps", "IrrepsLike", "MulIr", "Sorted"]

_PARITIES = {"e": 1, "o": -1}
_IRREP = re.compile(r"(\d+)\s*([eoy])")
_TERM = re.compile(r"(?:(\d+)\s*x\s*)?(\d+\s*[eoy])")


class Irrep(tuple):
    r"""Irrep of O(3): degree ``l`` and parity ``p``, written ``"2e"`` or ``"1o"``.

    :math:`D^{(l, p)}(R) = p^k D^l(R')` for :math:`R = (-1)^k R'` with :math:`\det R' = 1`. It is
    the tuple ``(l, p)``, so it is immutable, hashable and ordered.

    Args:
        l: degree, or a string (``"1o"``; ``"1y"`` has the parity of the spherical harmonics), a
            pair ``(l, p)``, an ``Irrep``.
        p: parity, 1 or -1; needed where ``l`` is a number.

    Raises:
        ValueError: not an irrep.
    """

    __slots__ = ()

    def __new__(cls, l: IrrepLike, p: int | None = None) -> Irrep:
        if p is None:
            if isinstance(l, Irrep):
                return l
            if isinstance(l, MulIr):
                raise ValueError(f"l must be one irrep, not a multiple of one; got {l}")
            if isinstance(l, str):
                return cls._parse(l)
            if isinstance(l, tuple):
                if len(l) != 2:
                    raise ValueError(f"l must be a pair (l, p) if it is a tuple; got {l!r}")
                l, p = l
        l = integer("l", l, 0)
        if p not in (-1, 1):
            raise ValueError(f"p, the parity, must be 1 or -1; got {p!r}")
        return super().__new__(cls, (l, int(p)))

    @classmethod
    def _parse(cls, text: str) -> Irrep:
        match = _IRREP.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f'unable to convert string "{text}" into an Irrep; '
                'allowed: a degree and one of e, o, y, like "0e", "1o" or "2y"'
            )
        l = int(match[1])
        return super().__new__(cls, (l, _PARITIES.get(match[2], (-1) ** l)))

    @property
    def l(self) -> int:  # noqa: E743
        """Degree, 0, 1, 2, ..."""
        return self[0]

    @property
    def p(self) -> int:
        """Parity: 1 (even) or -1 (odd)."""
        return self[1]

    @property
    def dim(self) -> int:
        """Dimension ``2 l + 1``."""
        return 2 * self.l + 1

    @classmethod
    def iterator(cls, lmax: int | None = None) -> Iterator[Irrep]:
        """All irreps in the order 0e, 0o, 1o, 1e, 2e, 2o, ...: first the spherical harmonics'.

        Args:
            lmax: largest degree; None never ends.
        """
        for l in itertools.count() if lmax is None else range(lmax + 1):
            yield cls(l, (-1) ** l)
            yield cls(l, -((-1) ** l))

    def is_scalar(self) -> bool:
        """True for 0e, the trivial representation."""
        return self == (0, 1)

    def D_from_angles(
        self,
        alpha: torch.Tensor,
        beta: torch.Tensor,
        gamma: torch.Tensor,
        k: torch.Tensor | None = None,
    ) -> torch.Tensor:
        r"""Matrices :math:`p^k D^l(\alpha, \beta, \gamma)`.

        Args:
            alpha: first Euler angle, about y, radians; the shapes of all arguments broadcast.
            beta: second, about x.
            gamma: third, about y; it acts first.
            k: number of inversions, whole numbers; None is 0.

        Returns:
            ``(..., 2l+1, 2l+1)``.
        """
        return Irreps([self]).D_from_angles(alpha, beta, gamma, k)

    def D_from_quaternion(self, q: torch.Tensor, k: torch.Tensor | None = None) -> torch.Tensor:
        """Matrices of the rotation given by a unit quaternion, without singular points.

        Args:
            q: ``(..., 4)``, real part first.
            k: number of inversions, shape ``(...)``; None is 0.

        Returns:
            ``(..., 2l+1, 2l+1)``.
        """
        return Irreps([self]).D_from_quaternion(q, k)

    def D_from_matrix(self, R: torch.Tensor) -> torch.Tensor:
        """Matrices of a rotation or rotoinversion, polynomials in the entries of ``R``.

        Args:
            R: orthogonal matrices ``(..., 3, 3)``.

        Returns:
            ``(..., 2l+1, 2l+1)``.

        Raises:
            ValueError: another shape, or not orthogonal.
        """
        return Irreps([self]).D_from_matrix(R)

    def D_from_axis_angle(self, axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Matrices of the rotation about ``axis``.

        Args:
            axis: ``(..., 3)``, any length but 0.
            angle: ``(...)``, radians.

        Returns:
            ``(..., 2l+1, 2l+1)``.
        """
        return Irreps([self]).D_from_axis_angle(axis, angle)

    def __mul__(self, other: IrrepLike) -> Iterator[Irrep]:  # type: ignore[override]
        """The irreps of the product, from ``|l1 - l2|`` to ``l1 + l2``, with parity ``p1 p2``."""
        other = Irrep(other)
        p = self.p * other.p
        return (Irrep(l, p) for l in range(abs(self.l - other.l), self.l + other.l + 1))

    def __rmul__(self, mul: SupportsIndex) -> Irreps:
        """``3 * Irrep("1o")`` is ``Irreps("3x1o")``."""
        return Irreps([(mul, self)])

    def __add__(self, other: IrrepsLike) -> Irreps:
        """The direct sum, as irreps."""
        return Irreps([self]) + Irreps(other)

    def __repr__(self) -> str:
        return f"{self.l}{'e' if self.p == 1 else 'o'}"

    def __contains__(self, _: object) -> bool:
        raise NotImplementedError("an Irrep is not a container")

    def count(self, _: object) -> int:
        """Not defined for one irrep."""
        raise NotImplementedError("an Irrep is not a container")

    def index(self, _: object, *__: object) -> int:
        """Not defined for one irrep."""
        raise NotImplementedError("an Irrep is not a container")


class MulIr(tuple):
    """A multiplicity and an irrep: one entry of ``Irreps``, written ``"16x1o"``.

    Args:
        mul: how many copies, or the pair ``(mul, ir)``.
        ir: the irrep.

    Raises:
        ValueError: a negative or non-integer multiplicity, or not an irrep.
    """

    __slots__ = ()

    def __new__(cls, mul: int | tuple[int, IrrepLike], ir: IrrepLike | None = None) -> MulIr:
        if ir is None:
            if not isinstance(mul, tuple) or len(mul) != 2:
                raise ValueError(f"mul must be a pair (mul, irrep) where ir is left out; got {mul}")
            mul, ir = mul
        return super().__new__(cls, (integer("mul", mul, 0), Irrep(ir)))

    @property
    def mul(self) -> int:
        """Number of copies."""
        return self[0]

    @property
    def ir(self) -> Irrep:
        """The irrep."""
        return self[1]

    @property
    def dim(self) -> int:
        """``mul (2 l + 1)``."""
        return self.mul * self.ir.dim

    def __repr__(self) -> str:
        return f"{self.mul}x{self.ir}"

    def count(self, _: object) -> int:
        """Not defined for one entry."""
        raise NotImplementedError("an entry of Irreps is not a container")

    def index(self, _: object, *__: object) -> int:
        """Not defined for one entry."""
        raise NotImplementedError("an entry of Irreps is not a container")


class Sorted(NamedTuple):
    """What ``Irreps.sort`` returns.

    Attributes:
        irreps: the sorted irreps.
        p: entry i of the original is entry ``p[i]`` of the sorted.
        inv: entry i of the sorted is entry ``inv[i]`` of the original.
    """

    irreps: Irreps
    p: tuple[int, ...]
    inv: tuple[int, ...]


class Irreps(tuple):
    """Direct sum of irreps with multiplicities, in a fixed order: ``"32x0e+16x1o"``.

    A tuple of ``MulIr``; immutable and hashable; its string reads back as itself. A feature of
    these irreps is a tensor with ``dim`` values in the last axis: one block an entry, in each
    block ``mul`` times the ``2l+1`` components, with the component as the fastest index.

    Args:
        irreps: a string, an ``Irrep``, ``Irreps``, an iterable of ``Irrep``, of strings like
            ``"1o"``, or of pairs ``(mul, irrep)``; None and ``""`` are empty.

    Raises:
        ValueError: cannot be read as irreps.
    """

    __slots__ = ()

    def __new__(cls, irreps: IrrepsLike | None = None) -> Irreps:
        if isinstance(irreps, Irreps):
            return irreps
        if irreps is None:
            entries: Iterable[MulIr] = ()
        elif isinstance(irreps, Irrep):
            entries = (MulIr(1, irreps),)
        elif isinstance(irreps, MulIr):
            entries = (irreps,)
        elif isinstance(irreps, str):
            entries = cls._parse(irreps)
        elif isinstance(irreps, Iterable) and not isinstance(irreps, bytes):
            entries = [_entry(item) for item in irreps]
        else:
            raise ValueError(
                f"unable to convert {irreps!r} into Irreps; allowed: a string like "
                '"32x0e+16x1o", an Irrep, Irreps, or an iterable of irreps or (mul, irrep) pairs'
            )
        return super().__new__(cls, entries)

    @staticmethod
    def _parse(text: str) -> list[MulIr]:
        if not text.strip():
            return []
        entries = []
        for term in text.split("+"):
            match = _TERM.fullmatch(term.strip())
            if match is None:
                raise ValueError(
                    f'unable to convert string "{text}" into Irreps: "{term.strip()}" is not a '
                    'term like "16x1o" or "1o" (degree, then e, o or y)'
                )
            entries.append(MulIr(int(match[1] or 1), match[2]))
        return entries

    @staticmethod
    def spherical_harmonics(lmax: int, p: int = -1) -> Irreps:
        """The irreps of the spherical harmonics of degrees 0 to ``lmax``.

        Args:
            lmax: largest degree; -1 for none.
            p: parity of the argument: -1 for vectors, 1 for pseudovectors.
        """
        return Irreps([(1, (l, p**l)) for l in range(lmax + 1)])

    def slices(self) -> list[slice]:
        """For each entry, where its block lies in the last axis of a feature."""
        ends = list(itertools.accumulate((entry.dim for entry in self), initial=0))
        return [slice(start, end) for start, end in itertools.pairwise(ends)]

    def randn(
        self,
        *size: int,
        normalization: str = "component",
        requires_grad: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Random features: Gaussian components, or uniform directions of unit norm.

        Args:
            *size: shape with one -1, where the features go.
            normalization: ``"component"`` for components of unit variance, ``"norm"`` for
                irreps of norm 1.
            requires_grad: as in ``torch.randn``.
            dtype: as in ``torch.randn``.
            device: as in ``torch.randn``.
            generator: source of randomness; None is torch's global one.

        Raises:
            ValueError: not one -1 in ``size``, or an unknown normalization.
        """
        if size.count(-1) != 1:
            raise ValueError(f"size must have one -1, where the irreps go; got {size}")
        if normalization not in ("component", "norm"):
            raise ValueError(f"normalization must be 'norm' or 'component'; got {normalization!r}")
        axis = size.index(-1)
        shape = (*size[:axis], self.dim, *size[axis + 1 :])
        x = torch.randn(shape, dtype=dtype, device=device, generator=generator)
        if normalization == "norm":
            for entry, where in zip(self, self.slices(), strict=True):
                block = x.narrow(axis, where.start, entry.dim)
                blocks = block.unflatten(axis, (entry.mul, entry.ir.dim))
                blocks.div_(blocks.norm(dim=axis + 1, keepdim=True))
        return x.requires_grad_(requires_grad)

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> MulIr: ...

    @overload
    def __getitem__(self, index: slice, /) -> Irreps: ...

    def __getitem__(self, index: SupportsIndex | slice, /) -> MulIr | Irreps:
        if isinstance(index, slice):
            return Irreps(super().__getitem__(index))
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[MulIr]:
        return super().__iter__()

    def __contains__(self, ir: object) -> bool:
        """Whether the irrep occurs, at any multiplicity, 0 included."""
        ir = Irrep(ir)  # type: ignore[arg-type]
        return any(ir == entry.ir for entry in self)

    def count(self, ir: IrrepLike) -> int:
        """Total multiplicity of an irrep."""
        ir = Irrep(ir)
        return sum(entry.mul for entry in self if entry.ir == ir)

    def index(self, _: object, *__: object) -> int:
        """Not defined: an irrep may occur in several entries."""
        raise NotImplementedError("an irrep may occur in several entries of Irreps")

    def __add__(self, irreps: IrrepsLike) -> Irreps:
        """Concatenation: the direct sum."""
        return Irreps(tuple.__add__(self, Irreps(irreps)))

    def __radd__(self, irreps: IrrepsLike) -> Irreps:
        return Irreps(irreps) + self

    def __mul__(self, times: SupportsIndex) -> Irreps:
        """Repetition of the list."""
        if isinstance(times, (Irreps, Irrep)):
            raise NotImplementedError("the product of irreps is o3.FullTensorProduct")
        return Irreps(super().__mul__(times))

    __rmul__ = __mul__

    def simplify(self) -> Irreps:
        """Merge neighbors of equal irrep and drop multiplicities 0; the order stays."""
        merged: list[tuple[int, Irrep]] = []
        for mul, ir in self:
            if mul == 0:
                continue
            if merged and merged[-1][1] == ir:
                mul += merged.pop()[0]
            merged.append((mul, ir))
        return Irreps(merged)

    def remove_zero_multiplicities(self) -> Irreps:
        """Drop the entries of multiplicity 0."""
        return Irreps([entry for entry in self if entry.mul > 0])

    def sort(self) -> Sorted:
        """Entries by degree, then odd before even; equal irreps keep their order."""
        inv = tuple(sorted(range(len(self)), key=lambda i: self[i].ir))
        p = tuple(sorted(range(len(self)), key=inv.__getitem__))
        return Sorted(Irreps([self[i] for i in inv]), p, inv)

    def regroup(self) -> Irreps:
        """Sorted and simplified: each irrep once."""
        return self.sort().irreps.simplify()

    def filter(
        self,
        keep: IrrepsLike | Callable[[MulIr], bool] | None = None,
        *,
        drop: IrrepsLike | Callable[[MulIr], bool] | None = None,
        lmax: int | None = None,
    ) -> Irreps:
        """The entries that satisfy one condition; without condition, all.

        Args:
            keep: irreps to keep (multiplicities do not matter), or a predicate on entries.
            drop: irreps to leave out, or a predicate.
            lmax: largest degree to keep.

        Raises:
            ValueError: more than one condition.
        """
        given = [
            name
            for name, value in (("keep", keep), ("drop", drop), ("lmax", lmax))
            if value is not None
        ]
        if len(given) > 1:
            raise ValueError(f"only one of keep, drop, lmax may be given; got {', '.join(given)}")
        if keep is not None:
            return Irreps(list(filter(_predicate(keep), self)))
        if drop is not None:
            return Irreps(list(itertools.filterfalse(_predicate(drop), self)))
        if lmax is not None:
            return Irreps([entry for entry in self if entry.ir.l <= lmax])
        return self

    @property
    def slice_by_mul(self) -> _SliceByMul:
        """``irreps.slice_by_mul[2:5]``: a slice in the list of single irreps."""
        return _SliceByMul(self)

    @property
    def dim(self) -> int:
        """Dimension of the representation."""
        return sum(entry.dim for entry in self)

    @property
    def num_irreps(self) -> int:
        """Number of irreps, with multiplicity."""
        return sum(entry.mul for entry in self)

    @property
    def ls(self) -> list[int]:
        """Degree of each single irrep."""
        return [entry.ir.l for entry in self for _ in range(entry.mul)]

    @property
    def lmax(self) -> int:
        """Largest degree among the irreps of non-zero multiplicity.

        Raises:
            ValueError: there is none.
        """
        if self.num_irreps == 0:
            raise ValueError(f'lmax is not defined for empty irreps; got "{self}"')
        return max(self.ls)

    def D_from_angles(
        self,
        alpha: torch.Tensor,
        beta: torch.Tensor,
        gamma: torch.Tensor,
        k: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Block-diagonal matrices of a rotation; arguments as in ``Irrep.D_from_angles``.

        Returns:
            ``(..., dim, dim)``.
        """
        from symscape.o3 import _wigner

        alpha, beta, gamma = torch.broadcast_tensors(alpha, beta, gamma)
        matrices = {l: _wigner.wigner_D(l, alpha, beta, gamma) for l in {e.ir.l for e in self}}
        return self._block_diagonal(matrices, alpha, None if k is None else (-1) ** k)

    def D_from_quaternion(self, q: torch.Tensor, k: torch.Tensor | None = None) -> torch.Tensor:
        """Block-diagonal matrices; arguments as in ``Irrep.D_from_quaternion``.

        Returns:
            ``(..., dim, dim)``.
        """
        from symscape.o3 import _rotation

        return self._D_from_rotation(
            _rotation.quaternion_to_matrix(q), None if k is None else (-1) ** k
        )

    def D_from_matrix(self, R: torch.Tensor) -> torch.Tensor:
        """Block-diagonal matrices; arguments as in ``Irrep.D_from_matrix``.

        Returns:
            ``(..., dim, dim)``.
        """
        from symscape.o3 import _rotation

        _rotation.check_orthogonal(R)
        sign = torch.det(R).detach().sign()
        return self._D_from_rotation(sign[..., None, None] * R, sign)

    def D_from_axis_angle(self, axis: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
        """Block-diagonal matrices; arguments as in ``Irrep.D_from_axis_angle``.

        Returns:
            ``(..., dim, dim)``.
        """
        from symscape.o3 import _rotation

        return self._D_from_rotation(_rotation.axis_angle_to_matrix(axis, angle), None)

    def _D_from_rotation(self, R: torch.Tensor, sign: torch.Tensor | None) -> torch.Tensor:
        from symscape.o3 import _wigner

        lmax = max([0, *(entry.ir.l for entry in self)])
        matrices = dict(enumerate(_wigner.wigner_D_from_matrix(lmax, R)))
        return self._block_diagonal(matrices, R[..., 0, 0], sign)

    def _block_diagonal(
        self, matrices: dict[int, torch.Tensor], like: torch.Tensor, sign: torch.Tensor | None
    ) -> torch.Tensor:
        """``matrices`` of each degree on the diagonal, odd ones times ``sign`` (-1 mirrors)."""
        shape = like.shape
        if sign is not None:
            shape = torch.broadcast_shapes(shape, sign.shape)
            sign = sign[..., None, None]
        blocks = []
        for ir in (entry.ir for entry in self for _ in range(entry.mul)):
            block = matrices[ir.l]
            if sign is not None and ir.p == -1:
                block = block * sign
            blocks.append(block.expand(*shape, ir.dim, ir.dim))
        if len(blocks) == 1:
            return blocks[0]
        rows = []
        column = 0
        for block in blocks:
            size = block.shape[-1]
            margin = (column, self.dim - column - size)
            rows.append(torch.nn.functional.pad(block, margin))
            column += size
        return torch.cat(rows, dim=-2) if rows else like.new_zeros(*shape, 0, 0)

    def __repr__(self) -> str:
        return "+".join(map(repr, self))


IrrepLike = Irrep | str | int | tuple[int, int]
IrrepsLike = Irreps | Irrep | MulIr | str | Iterable


class _SliceByMul:
    """Slices ``Irreps`` by the index of single irreps."""

    def __init__(self, irreps: Irreps) -> None:
        self._irreps = irreps

    def __getitem__(self, index: slice) -> Irreps:
        if not isinstance(index, slice):
            raise IndexError(f"Irreps.slice_by_mul takes slices only; got {index!r}")
        start, stop, step = index.indices(self._irreps.num_irreps)
        if step != 1:
            raise NotImplementedError(f"Irreps.slice_by_mul has no strides; got step {step}")
        entries = []
        for mul, ir in self._irreps:
            taken = min(stop, mul) - max(start, 0)
            if taken > 0:
                entries.append((taken, ir))
            start, stop = start - mul, stop - mul
        return Irreps(entries)


def _entry(item: object) -> MulIr:
    """One entry of a list given to ``Irreps``."""
    if isinstance(item, MulIr):
        return item
    if isinstance(item, (str, Irrep)):
        return MulIr(1, Irrep(item))
    if isinstance(item, (tuple, list)) and len(item) == 2:
        return MulIr(item[0], item[1])
    raise ValueError(
        f"unable to interpret {item!r} as an entry of Irreps; "
        "allowed: an Irrep, a string like '1o', or a pair (mul, irrep)"
    )


def _predicate(condition: IrrepsLike | Callable[[MulIr], bool]) -> Callable[[MulIr], bool]:
    if callable(condition):
        return condition
    wanted = {entry.ir for entry in Irreps(condition)}
    return lambda entry: entry.ir in wanted

"""The description of a product: blocks of features, paths between them, and their tables."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from symscape.contraction._lowering import Lowered

__all__ = [
    "MODES",
    "Mixing",
    "MixingPath",
    "Path",
    "Product",
    "Segment",
    "Table",
    "mixing_of",
    "path_shape",
    "product_of",
    "weighted_part",
]

Table = tuple[tuple[int, int, int, float], ...]
"""Non-zeros ``(i, j, k, C[i, j, k])`` of a path."""

MODES = ("uvw", "uvu", "uvv", "uuw", "uuu", "uvuv", "uvu<v", "u<vw")
"""Ways to connect the multiplicities u of ``in1``, v of ``in2`` and w of ``out``."""


class Segment(NamedTuple):
    """A block of ``mul`` copies of a representation in a flat feature axis.

    The element m of copy u has the index ``offset + u * dim + m`` (e3nn's layout ``mul_ir``).

    Attributes:
        offset: index of the first element.
        mul: number of copies, the multiplicity.
        dim: dimension of the representation.
    """

    offset: int
    mul: int
    dim: int

    @property
    def end(self) -> int:
        """Index after the last element."""
        return self.offset + self.mul * self.dim


def path_shape(mode: str, mul1: int, mul2: int, mul_out: int) -> tuple[int, ...]:
    """Shape of the weights of a path.

    Args:
        mode: one of `MODES`.
        mul1: multiplicity of the first input.
        mul2: multiplicity of the second input.
        mul_out: multiplicity of the output.

    Raises:
        ValueError: an unknown mode.
    """
    if mode == "uvw":
        return (mul1, mul2, mul_out)
    if mode in ("uvu", "uvv", "uvuv"):
        return (mul1, mul2)
    if mode == "uuw":
        return (mul1, mul_out)
    if mode == "uuu":
        return (mul1,)
    if mode == "uvu<v":
        return (mul1 * (mul1 - 1) // 2,)
    if mode == "u<vw":
        return (mul1 * (mul1 - 1) // 2, mul_out)
    raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")


def _mul_out(mode: str, mul1: int, mul2: int) -> int | None:
    """Multiplicity of the output, where the mode determines it."""
    determined = {
        "uvu": mul1,
        "uvv": mul2,
        "uuu": mul1,
        "uvuv": mul1 * mul2,
        "uvu<v": mul1 * (mul1 - 1) // 2,
    }
    return determined.get(mode)


@dataclass(frozen=True)
class Path:
    r"""One term of a product, between one block of each input and one of the output.

    .. math:: out_{kw} \mathrel{+}= c \sum C_{ijk}\, x_{ui}\, y_{vj}\, W_{\ldots}

    The mode says how the multiplicities are connected, as in e3nn:

    | mode | out | weight | sum over |
    |---|---|---|---|
    | `uvw` | w | (u, v, w) | u, v |
    | `uvu` | u | (u, v) | v |
    | `uvv` | v | (u, v) | u |
    | `uuw` | w | (u, w) | u = v |
    | `uuu` | u | (u) | |
    | `uvuv` | (u, v) | (u, v) | |
    | `uvu<v` | pairs u < v | (pairs) | |
    | `u<vw` | w | (pairs, w) | pairs u < v |

    Pairs are in the order (0, 1), (0, 2), ..., (1, 2), ...

    Attributes:
        mode: one of `MODES`.
        in1: block of the first input.
        in2: block of the second input.
        out: block of the output; blocks of several paths may coincide, but not overlap in part.
        weight: offset of the path's weights in the flat weight vector, where they lie row-major
            in the shape `path_shape(...)`; None: the path has no weights (all are one).
        coefficient: c.
        table: the non-zeros of C.
    """

    mode: str
    in1: Segment
    in2: Segment
    out: Segment
    weight: int | None
    coefficient: float
    table: Table

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights, whether the path has them or not."""
        return path_shape(self.mode, self.in1.mul, self.in2.mul, self.out.mul)


@dataclass(frozen=True)
class Product:
    """A sum of paths: the bilinear map that `contract` and `convolve` evaluate.

    Attributes:
        dim_in1: length of the feature axis of the first input.
        dim_in2: length of the feature axis of the second input.
        dim_out: length of the feature axis of the output.
        weight_numel: number of weights of one sample.
        paths: the terms; elements of the output that no path reaches are zero.

    Raises:
        ValueError: blocks outside their axis, blocks of the output that overlap in part,
            multiplicities that do not fit the mode, weights outside ``weight_numel``, indices of
            a table outside the dimensions of the blocks.
    """

    dim_in1: int
    dim_in2: int
    dim_out: int
    weight_numel: int
    paths: tuple[Path, ...]
    key: str = field(init=False, compare=False, repr=False)
    parts: Lowered = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", tuple(self.paths))
        for index, path in enumerate(self.paths):
            _validate(self, path, f"paths[{index}]")
        _check_disjoint(self.paths)
        text = f"{self.dim_in1} {self.dim_in2} {self.dim_out} {self.weight_numel}" + "".join(
            f"|{p.mode} {tuple(p.in1)} {tuple(p.in2)} {tuple(p.out)} {p.weight} {p.coefficient!r} "
            f"{_table_key(p.table)}"
            for p in self.paths
        )
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest()[:24])
        _products.setdefault(self.key, self)
        # here and not when it is used: torch's compiler cannot trace how a product is made
        from symscape.contraction._lowering import lowered

        object.__setattr__(self, "parts", lowered(self))

    def __hash__(self) -> int:
        return hash(self.key)

    def __deepcopy__(self, memo: dict) -> Product:
        return self

    def __reduce__(self) -> tuple:
        fields = (self.dim_in1, self.dim_in2, self.dim_out, self.weight_numel, self.paths)
        return Product, fields


@dataclass(frozen=True)
class MixingPath:
    r"""One term of a `Mixing`: ``out[w, k] += coefficient * sum_u x[u, k] weight[u, w]``.

    Attributes:
        in1: block of the input.
        out: block of the output, of the same dimension.
        weight: offset of the weights, row-major in the shape ``(in1.mul, out.mul)``.
        coefficient: factor.
    """

    in1: Segment
    out: Segment
    weight: int
    coefficient: float


@dataclass(frozen=True)
class Mixing:
    """A linear map that mixes the copies of equal representations, with weights.

    Attributes:
        dim_in1: length of the feature axis of the input.
        dim_out: length of the feature axis of the output.
        weight_numel: number of weights of one sample.
        paths: the terms; elements of the output that no path reaches are zero.

    Raises:
        ValueError: blocks outside their axis, blocks of the output that overlap in part, blocks
            of different dimension in a path, weights outside ``weight_numel``.
    """

    dim_in1: int
    dim_out: int
    weight_numel: int
    paths: tuple[MixingPath, ...]
    key: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", tuple(self.paths))
        for index, path in enumerate(self.paths):
            name = f"paths[{index}]"
            _check_segment(path.in1, self.dim_in1, f"{name}.in1")
            _check_segment(path.out, self.dim_out, f"{name}.out")
            if path.in1.dim != path.out.dim:
                raise ValueError(
                    f"{name} mixes representations of one dimension; got {path.in1.dim} in in1 "
                    f"and {path.out.dim} in out"
                )
            _check_weights(path.weight, (path.in1.mul, path.out.mul), self.weight_numel, name)
        _check_disjoint(self.paths)
        text = f"{self.dim_in1} {self.dim_out} {self.weight_numel}" + "".join(
            f"|{tuple(p.in1)} {tuple(p.out)} {p.weight} {p.coefficient!r}" for p in self.paths
        )
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest()[:24])
        _mixings.setdefault(self.key, self)

    def __hash__(self) -> int:
        return hash(self.key)

    def __deepcopy__(self, memo: dict) -> Mixing:
        return self

    def __reduce__(self) -> tuple:
        return Mixing, (self.dim_in1, self.dim_out, self.weight_numel, self.paths)


def product_of(key: str) -> Product:
    """The product with a key; torch's operators take strings, not objects.

    Raises:
        ValueError: no such product was made in this process.
    """
    return _found(_products, key)


@functools.lru_cache(maxsize=4096)
def weighted_part(key: str) -> str:
    """Key of the paths of a product that have weights: what of it depends on the weights."""
    product = product_of(key)
    paths = tuple(path for path in product.paths if path.weight is not None)
    return key if len(paths) == len(product.paths) else replace(product, paths=paths).key


def mixing_of(key: str) -> Mixing:
    """The mixing with a key.

    Raises:
        ValueError: no such mixing was made in this process.
    """
    return _found(_mixings, key)


_T = TypeVar("_T")
_products: dict[str, Product] = {}
_mixings: dict[str, Mixing] = {}


def _found(known: dict[str, _T], key: str) -> _T:
    if key not in known:
        raise ValueError(
            f"key must be that of a product made in this process; got {key!r} (an exported "
            "program needs the module that it was exported from)"
        )
    return known[key]


@functools.lru_cache(maxsize=4096)
def _table_key(table: Table) -> str:
    return hashlib.sha256(repr(table).encode()).hexdigest()[:24]


def _validate(product: Product, path: Path, name: str) -> None:
    _check_segment(path.in1, product.dim_in1, f"{name}.in1")
    _check_segment(path.in2, product.dim_in2, f"{name}.in2")
    _check_segment(path.out, product.dim_out, f"{name}.out")
    mul1, mul2, mul_out = path.in1.mul, path.in2.mul, path.out.mul
    shape = path_shape(path.mode, mul1, mul2, mul_out)
    if path.mode in ("uuw", "uuu", "uvu<v", "u<vw") and mul1 != mul2:
        raise ValueError(
            f"{name}: mode {path.mode} takes inputs of equal multiplicity; got {mul1} and {mul2}"
        )
    expected = _mul_out(path.mode, mul1, mul2)
    if expected is not None and mul_out != expected:
        raise ValueError(
            f"{name}: mode {path.mode} of multiplicities {mul1} and {mul2} has an output of "
            f"multiplicity {expected}; got {mul_out}"
        )
    if path.weight is not None:
        _check_weights(path.weight, shape, product.weight_numel, name)
    dims = (path.in1.dim, path.in2.dim, path.out.dim)
    if not _table_fits(path.table, dims):
        raise ValueError(f"{name}: indices of the table must be within the dimensions {dims}")


@functools.lru_cache(maxsize=4096)
def _table_fits(table: Table, dims: tuple[int, int, int]) -> bool:
    return all(0 <= index < dim for entry in table for index, dim in zip(entry[:3], dims))


def _check_segment(segment: Segment, length: int, name: str) -> None:
    if segment.offset < 0 or segment.mul < 0 or segment.dim < 1 or segment.end > length:
        raise ValueError(f"{name} = {segment} must be within a feature axis of length {length}")


def _check_weights(offset: int, shape: tuple[int, ...], numel: int, name: str) -> None:
    if offset < 0 or offset + math.prod(shape) > numel:
        raise ValueError(
            f"{name}: weights of shape {shape} at offset {offset} must be within weight_numel = "
            f"{numel}"
        )


def _check_disjoint(paths: tuple[Path, ...] | tuple[MixingPath, ...]) -> None:
    blocks = sorted({path.out for path in paths if path.out.mul})
    for first, second in itertools.pairwise(blocks):
        if first.end > second.offset:
            raise ValueError(
                f"blocks of the output must be equal or disjoint; got {first} and {second}"
            )

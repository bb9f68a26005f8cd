"""Products with sums over copies, split into a product without them and a mixing.

A path with weights of three indices (uvw), or a sum over pairs of copies (uuw, u<vw), is the
product of all copies (uvuv, uuu, uvu<v), followed by a matrix product with the weights. Paths
that differ only in their output share the first step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from symscape.contraction._lanes import LANE_MODES
from symscape.contraction._product import Mixing, MixingPath, Path, Product, Segment

__all__ = ["Lowered", "lowered"]

_PRODUCT_OF_COPIES = {"uvw": "uvuv", "uuw": "uuu", "u<vw": "uvu<v"}


@dataclass(frozen=True)
class Lowered:
    """``product(x, y, W) = direct(x, y, W) + mixing(joint(x, y), W')``.

    W' are the weights followed by ``ones`` ones, the weights of the paths that have none.

    Attributes:
        direct: the paths without a sum over copies, or None.
        joint: products of copies, or None.
        mixing: their sums, or None.
        ones: see above.
        mixed: the paths with a sum over copies, whose parts are the joint product and the mixing;
            or None.
    """

    direct: Product | None
    joint: Product | None
    mixing: Mixing | None
    ones: int
    mixed: Product | None


def lowered(product: Product) -> Lowered:
    """Split a product."""
    direct = tuple(path for path in product.paths if path.mode in LANE_MODES)
    summed = [path for path in product.paths if path.mode not in LANE_MODES]
    if not summed:
        return Lowered(product, None, None, 0, None)
    first = replace(product, paths=direct) if direct else None
    mixed = replace(product, paths=tuple(summed)) if direct else product
    joint, mixing, numel = _split(product, summed)
    return Lowered(first, joint, mixing, numel - product.weight_numel, mixed)


def _split(product: Product, summed: list[Path]) -> tuple[Product, Mixing, int]:
    blocks: dict[tuple, Segment] = {}
    paths: list[Path] = []
    terms: list[MixingPath] = []
    length, ones = 0, product.weight_numel
    for path in summed:
        what = (path.mode, path.in1, path.in2, path.table, path.out.dim)
        if what not in blocks:
            mode = _PRODUCT_OF_COPIES[path.mode]
            mul1, mul2 = path.in1.mul, path.in2.mul
            mul = {"uvuv": mul1 * mul2, "uuu": mul1, "uvu<v": mul1 * (mul1 - 1) // 2}[mode]
            blocks[what] = Segment(length, mul, path.out.dim)
            length = blocks[what].end
            paths.append(Path(mode, path.in1, path.in2, blocks[what], None, 1.0, path.table))
        block, weight = blocks[what], path.weight
        if weight is None:
            weight = ones
            ones += block.mul * path.out.mul
        terms.append(MixingPath(block, path.out, weight, path.coefficient))
    joint = Product(product.dim_in1, product.dim_in2, length, 0, tuple(paths))
    return joint, Mixing(length, product.dim_out, ones, tuple(terms)), ones

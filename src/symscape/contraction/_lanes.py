"""Products without mixing, sorted for the kernels: what is in the lanes, what is a scalar.

In the modes uvu, uvv, uvuv and uvu<v one input runs with the lanes of the vectors (its copies are
consecutive in the output), the other gives one number for all lanes. The numbers ``M[a, k] =
sum_s C[a, s, k] y_s`` are made once per sample. In mode uuu both inputs run with the lanes.
"""

from __future__ import annotations

from dataclasses import dataclass

from symscape.contraction._product import Path, Product, Segment, Table

__all__ = ["LANE_MODES", "LanePath", "ScalarGroup", "group", "uuu_paths"]

LANE_MODES = ("uvu", "uvv", "uuu", "uvuv", "uvu<v")
"""The modes that need no sum over products of copies with weights of three indices."""


@dataclass(frozen=True)
class LanePath:
    """A path with its inputs in the roles that the kernel gives them.

    Attributes:
        lane: the input in the lanes, `x` or `y`.
        scalar: the other one.
        lane_segment: its block.
        scalar_segment: the block of the other input.
        out: the block of the output.
        weight: offset of the weights, or None.
        lane_stride: distance in the weights between copies of the lane input.
        scalar_stride: distance in the weights between copies of the scalar input.
        spread: each copy of the scalar input has its own part of the output (uvuv, uvu<v).
        triangle: only copies of the lane input after that of the scalar input (uvu<v).
        table: (a, s, k, value) of the lane input, scalar input, output; coefficient included.
    """

    lane: str
    scalar: str
    lane_segment: Segment
    scalar_segment: Segment
    out: Segment
    weight: int | None
    lane_stride: int
    scalar_stride: int
    spread: bool
    triangle: bool
    table: Table

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The (a, k) that occur in the table, in order."""
        return tuple(sorted({(a, k) for a, _, k, _ in self.table}))


@dataclass(frozen=True)
class ScalarGroup:
    """Paths that are evaluated for the same copies of their scalar inputs.

    Attributes:
        scalar: the input, `x` or `y`.
        mul: number of copies, over which the kernel loops.
        blocks: paths by block of the lane input: each block is read once.
    """

    scalar: str
    mul: int
    blocks: tuple[tuple[LanePath, ...], ...]

    @property
    def paths(self) -> tuple[LanePath, ...]:
        """All paths of the group."""
        return tuple(path for block in self.blocks for path in block)


def group(product: Product) -> list[ScalarGroup]:
    """The paths of a product other than those of mode uuu, grouped."""
    groups: dict[tuple, dict[tuple, list[LanePath]]] = {}
    for path in product.paths:
        empty = 0 in (path.in1.mul, path.in2.mul, path.out.mul, len(path.table))
        if path.mode == "uuu" or empty:
            continue
        lane_path = _lane_path(path)
        segment = lane_path.scalar_segment
        # blocks with a single copy need no loop, so all of them can go together
        which = (lane_path.scalar, segment.mul, None if segment.mul == 1 else segment)
        block = (lane_path.lane_segment, lane_path.triangle)
        groups.setdefault(which, {}).setdefault(block, []).append(lane_path)
    return [
        ScalarGroup(scalar, mul, tuple(tuple(paths) for paths in blocks.values()))
        for (scalar, mul, _), blocks in groups.items()
    ]


def uuu_paths(product: Product) -> list[Path]:
    """The paths of mode uuu that contribute."""
    return [path for path in product.paths if path.mode == "uuu" and path.table and path.out.mul]


def _lane_path(path: Path) -> LanePath:
    mul2 = path.in2.mul
    mode = "uvu" if path.mode == "uvuv" and mul2 == 1 else path.mode
    triangle = mode == "uvu<v"
    table = tuple((i, j, k, path.coefficient * value) for i, j, k, value in path.table)
    if mode == "uvu":
        return LanePath(
            "x", "y", path.in1, path.in2, path.out, path.weight, mul2, 1, False, False, table
        )
    swapped = tuple((j, i, k, value) for i, j, k, value in table)
    return LanePath(
        lane="y",
        scalar="x",
        lane_segment=path.in2,
        scalar_segment=path.in1,
        out=path.out,
        weight=path.weight,
        lane_stride=1,
        scalar_stride=0 if triangle else mul2,
        spread=mode != "uvv",
        triangle=triangle,
        table=swapped,
    )

"""Random irreps for property tests."""

from __future__ import annotations

from typing import Any

import torch

from symscape.o3 import Irreps
from symscape.testing._signature import make_generator

__all__ = ["random_irreps"]


def random_irreps(
    n: int = 1,
    lmax: int = 4,
    mul_min: int = 0,
    mul_max: int = 5,
    len_min: int = 0,
    len_max: int = 4,
    clean: bool = False,
    allow_empty: bool = True,
    *,
    generator: torch.Generator | int = 0,
) -> Any:
    """Random irreps.

    Args:
        n: how many.
        lmax: highest degree.
        mul_min: lowest multiplicity.
        mul_max: highest multiplicity.
        len_min: lowest number of blocks.
        len_max: highest number of blocks.
        clean: return objects of type Irreps; otherwise any form that Irreps accepts: a string, a
            list of pairs, or Irreps.
        allow_empty: whether irreps of dimension 0 may come out.
        generator: of the draws, or its seed.

    Returns:
        Irreps, or a list of them if ``n`` is not 1.

    Raises:
        ValueError: a range is empty, or only irreps of dimension 0 are possible but not allowed.
    """
    for low, high, name in ((mul_min, mul_max, "mul"), (len_min, len_max, "len")):
        if not 0 <= low <= high:
            raise ValueError(
                f"{name}_min, {name}_max: {low}, {high} given; allowed: 0 <= {name}_min <= "
                f"{name}_max"
            )
    if not allow_empty and (mul_max == 0 or len_max == 0):
        raise ValueError(
            "allow_empty: False given with mul_max or len_max = 0; allowed: both positive"
        )
    generator = make_generator(generator)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=generator, device=generator.device))

    drawn: list[Any] = []
    while len(drawn) < n:
        blocks = [
            (draw(mul_min, mul_max), (draw(0, lmax), 2 * draw(0, 1) - 1))
            for _ in range(draw(len_min, len_max))
        ]
        irreps = Irreps(blocks)
        if irreps.dim == 0 and not allow_empty:
            continue
        drawn.append(irreps if clean else (str(irreps), blocks, irreps)[draw(0, 2)])
    return drawn[0] if n == 1 else drawn

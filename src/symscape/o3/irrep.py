"""Irreps by name: ``from symscape.o3.irrep import l1o, l2y``.

``l2e`` is ``Irrep("2e")``; the suffix ``y`` stands for the parity of the spherical harmonics.
"""

from __future__ import annotations

import re

from symscape.o3._irreps import Irrep

__all__ = ["Irrep"]


def __getattr__(name: str) -> Irrep:
    if re.fullmatch(r"l\d+[eoy]", name) is None:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; its irreps are named like l1o or l2y"
        )
    return Irrep(name[1:])

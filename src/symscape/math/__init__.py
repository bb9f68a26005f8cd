"""Mathematics under the equivariant half: bases, permutations, radial functions, moments."""

from symscape.math import perm
from symscape.math._linalg import complete_basis, direct_sum, orthonormalize
from symscape.math._moment import moment, normalize2mom
from symscape.math._radial import bessel, soft_one_hot_linspace, soft_unit_step
from symscape.math._reduce import (
    germinate_formulas,
    index_values,
    reduce_permutation,
    symmetrized,
)

__all__ = [
    "bessel",
    "complete_basis",
    "direct_sum",
    "germinate_formulas",
    "index_values",
    "moment",
    "normalize2mom",
    "orthonormalize",
    "perm",
    "reduce_permutation",
    "soft_one_hot_linspace",
    "soft_unit_step",
    "symmetrized",
]

"""Mathematics under the equivariant half: bases, permutations, radial functions, moments."""

from symscape.math._moment import moment, normalize2mom
from symscape.math._radial import bessel, soft_one_hot_linspace, soft_unit_step

__all__ = ["bessel", "moment", "normalize2mom", "soft_one_hot_linspace", "soft_unit_step"]

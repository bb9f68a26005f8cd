"""Checks for users' own equivariant layers: of symmetry, and of normalization.

Each function takes a `generator`: a `torch.Generator`, or the seed of a fresh one. Nothing is drawn
from torch's global generator.
"""

from symscape.testing._equivariance import (
    FLOAT_TOLERANCE,
    assert_equivariant,
    equivariance_error,
    format_equivariance_error,
)
from symscape.testing._normalized import assert_normalized
from symscape.testing._random import random_irreps

__all__ = [
    "FLOAT_TOLERANCE",
    "assert_equivariant",
    "assert_normalized",
    "equivariance_error",
    "format_equivariance_error",
    "random_irreps",
]

"""Cartesian and spherical tensors."""

from symscape.io._cartesian_tensor import CartesianTensor
from symscape.io._spherical_tensor import SphericalTensor

__all__ = ["CartesianTensor", "SphericalTensor"]

"""Cartesian and spherical tensors."""

from symscape.io._cartesian_tensor import CartesianTensor

__all__ = ["CartesianTensor"]

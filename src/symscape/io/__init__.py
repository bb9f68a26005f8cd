"""Cartesian and spherical tensors."""

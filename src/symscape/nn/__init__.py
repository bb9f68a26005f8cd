"""Equivariant modules built on o3."""

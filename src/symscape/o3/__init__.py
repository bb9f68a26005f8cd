"""The group O(3): rotations, irreps, Wigner symbols, spherical harmonics, tensor products."""

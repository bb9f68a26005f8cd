"""Mathematics under the equivariant half: bases, permutations, radial functions, moments."""

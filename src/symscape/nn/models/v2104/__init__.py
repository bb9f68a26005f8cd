"""Models of April 2021: convolution on voxels."""

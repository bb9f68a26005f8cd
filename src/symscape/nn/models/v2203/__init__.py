"""Models of March 2022: convolution on sparse voxels."""

"""Models of March 2021: networks on points, convolution on points and voxels."""

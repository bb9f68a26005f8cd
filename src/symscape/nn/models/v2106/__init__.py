"""Models of June 2021: networks on points, convolution on points."""

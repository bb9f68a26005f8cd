"""Checks of equivariance for users' own layers."""

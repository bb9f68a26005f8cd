"""Compiled passes of one network on one batch, with batch normalization."""

from __future__ import annotations

import numpy as np

from symscape.networks._elementary import compiled
from symscape.networks._kernels import activate, add_outer, affine, times_slope

__all__ = ["backward", "forward"]


@compiled
def forward(w, sizes, bias, kind, beta, epsilon, norm, x, z, slope, normal, deviation, f):
    """Fill the neurons z (1, L, h, b) and the outputs f (c, b) of the batch x (d, b).

    ``norm`` (2, L, h), scales and shifts, may be empty: no normalization. ``normal`` (L, h, b)
    and ``deviation`` (L, h) keep the normalized preactivations and one over their deviation.
    """
    layers, b = len(sizes) - 1, x.shape[1]
    scratch, bits = np.empty(b, np.float64), np.empty(b, np.int64)
    start = 0
    for layer in range(layers):
        out, fan_in = sizes[layer + 1], sizes[layer]
        matrix = w[start : start + out * fan_in].reshape(out, fan_in)
        start += out * fan_in
        shift = w[start : start + out] if bias else w[:0]
        start += len(shift)
        below = x if layer == 0 else z[0, layer - 1]
        if layer == layers - 1:
            affine(matrix, shift, below, f)
            continue
        affine(matrix, shift, below, z[0, layer])
        for i in range(out):
            row = z[0, layer, i]
            if norm.size:
                kept = normal[layer, i]
                deviation[layer, i] = _normalize(row, kept, epsilon)
                scale, offset = norm[0, layer, i], norm[1, layer, i]
                for p in range(b):
                    row[p] = scale * kept[p] + offset
            activate(kind, beta, row, slope, 0, layer, i, scratch, bits)


@compiled
def _normalize(row, kept, epsilon):
    """kept <- row with mean 0 and variance 1; returns one over the deviation."""
    n = len(row)
    mean, variance = 0.0, 0.0
    for p in range(n):
        mean += row[p]
    mean /= n
    for p in range(n):
        variance += (row[p] - mean) ** 2
    inverse = 1.0 / np.sqrt(variance / n + epsilon)
    for p in range(n):
        kept[p] = (row[p] - mean) * inverse
    return inverse


@compiled
def backward(w, sizes, bias, kind, norm, df, x, z, slope, normal, deviation, gradient, to_norm):
    """Fill ``gradient`` (n_parameters,) and ``to_norm`` (2, L, h) with those of sum(df f)."""
    layers, b = len(sizes) - 1, x.shape[1]
    gradient[:] = 0
    delta = np.empty((2, z.shape[2], b), x.dtype)
    above, end = df, len(w)
    for layer in range(layers - 1, -1, -1):
        out, fan_in = sizes[layer + 1], sizes[layer]
        if bias:
            end -= out
            for i in range(out):
                gradient[end + i] = above[i].sum()
        start = end - out * fan_in
        target = gradient[start:end].reshape(out, fan_in)
        if layer == 0:
            add_outer(above, x, target)
        else:
            add_outer(above, z[0, layer - 1, :fan_in], target)
            matrix = np.ascontiguousarray(w[start:end].reshape(out, fan_in).T)
            below = delta[layer % 2, :fan_in]
            affine(matrix, w[:0], above, below)
            for i in range(fan_in):
                times_slope(kind, below[i], z[0, layer - 1, i], slope[0], layer - 1, i)
                if norm.size:
                    kept = normal[layer - 1, i]
                    total, along = 0.0, 0.0
                    for p in range(b):
                        total += below[i, p]
                        along += below[i, p] * kept[p]
                    to_norm[0, layer - 1, i] = along
                    to_norm[1, layer - 1, i] = total
                    factor = norm[0, layer - 1, i] * deviation[layer - 1, i]
                    for p in range(b):
                        below[i, p] = factor * (below[i, p] - total / b - kept[p] * along / b)
            above = below
        end = start

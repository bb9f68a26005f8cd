"""Compiled passes through a narrow fully connected network.

Patterns are stored in blocks of ``B`` columns, (blocks, features, B), so that all the neurons of a
block stay in the cache while it goes through the layers. Matrix products are unrolled
four by four by hand: at widths of tens of neurons this is about twice as fast as a BLAS call per
layer. NaN and infinities propagate as in plain arithmetic (no ``nnan``/``ninf`` fast-math).
"""

from __future__ import annotations

import numpy as np

from symscape.networks._elementary import compiled, exp_negative, softplus

__all__ = [
    "LINEAR",
    "RELU",
    "SOFTPLUS",
    "TANH",
    "activate",
    "add_outer",
    "affine",
    "backward",
    "forward",
    "pack",
    "times_slope",
]

LINEAR, RELU, TANH, SOFTPLUS = 0, 1, 2, 3


@compiled
def forward(w, sizes, bias, kind, beta, x, z, slope, f):
    """Fill the neurons z (blocks, L, h, B), their slopes, and the outputs f (blocks, c, B).

    ``x`` is (blocks, d, B); ``slope`` is only written for the softplus. Layers narrower than h
    leave their last rows alone.
    """
    layers = len(sizes) - 1
    scratch = np.empty(x.shape[2], np.float64)
    bits = np.empty(x.shape[2], np.int64)
    for block in range(x.shape[0]):
        start = 0
        for layer in range(layers):
            out, fan_in = sizes[layer + 1], sizes[layer]
            matrix = w[start : start + out * fan_in].reshape(out, fan_in)
            start += out * fan_in
            b = w[start : start + out] if bias else w[:0]
            start += len(b)
            below = x[block] if layer == 0 else z[block, layer - 1]
            if layer == layers - 1:
                affine(matrix, b, below, f[block])
            else:
                affine(matrix, b, below, z[block, layer])
                for i in range(out):
                    activate(kind, beta, z[block, layer, i], slope, block, layer, i, scratch, bits)


@compiled
def backward(w, sizes, bias, kind, df, x, z, slope, gradient):
    """Fill ``gradient`` with the sum over patterns of df (c, P) times the gradient of f.

    Columns with df = 0 are skipped: blocks that are mostly active are taken as they are, the
    active columns of the others are packed together first.
    """
    blocks, _, B = x.shape
    c, P = df.shape
    gradient[:] = 0
    hidden = (max(1, z.shape[1]), z.shape[2], B)
    packed_x = np.zeros((x.shape[1], B), x.dtype)
    packed_z = np.zeros(hidden, x.dtype)
    packed_slope = np.zeros(hidden if slope.size else (0, 0, 0), x.dtype)
    packed_df = np.zeros((c, B), x.dtype)
    block_df = np.zeros((c, B), x.dtype)
    delta = np.empty((2, z.shape[2], B), x.dtype)
    active = np.empty(B, np.int64)
    filled = 0
    for block in range(blocks):
        first = block * B
        count = 0
        for p in range(min(B, P - first)):
            for o in range(c):
                if df[o, first + p] != 0:
                    active[count] = p
                    count += 1
                    break
        if 4 * count > 3 * B:
            block_df[:] = 0
            for o in range(c):
                for p in range(min(B, P - first)):
                    block_df[o, p] = df[o, first + p]
            slopes = slope[block] if slope.size else packed_slope
            _backward_block(
                w, sizes, bias, kind, block_df, x[block], z[block], slopes, delta, gradient
            )
            continue
        taken = 0
        while taken < count:
            n = min(count - taken, B - filled)
            columns = active[taken : taken + n]
            pack(columns, x[block], packed_x, filled)
            for layer in range(z.shape[1]):
                pack(columns, z[block, layer], packed_z[layer], filled)
                if slope.size:
                    pack(columns, slope[block, layer], packed_slope[layer], filled)
            for o in range(c):
                for p in range(n):
                    packed_df[o, filled + p] = df[o, first + columns[p]]
            filled += n
            taken += n
            if filled == B:
                _backward_block(
                    w, sizes, bias, kind, packed_df, packed_x, packed_z, packed_slope, delta,
                    gradient,
                )  # fmt: skip
                filled = 0
    if filled:
        packed_df[:, filled:] = 0
        _backward_block(
            w, sizes, bias, kind, packed_df, packed_x, packed_z, packed_slope, delta, gradient
        )


@compiled
def _backward_block(w, sizes, bias, kind, df, x, z, slope, delta, gradient):
    """Add the contribution of one block of columns to the gradient."""
    layers = len(sizes) - 1
    end = len(w)
    above = df
    for layer in range(layers - 1, -1, -1):
        out, fan_in = sizes[layer + 1], sizes[layer]
        if bias:
            end -= out
            for i in range(out):
                total = above.dtype.type(0)
                for p in range(above.shape[1]):
                    total += above[i, p]
                gradient[end + i] += total
        start = end - out * fan_in
        target = gradient[start:end].reshape(out, fan_in)
        if layer == 0:
            add_outer(above, x, target)
        else:
            add_outer(above, z[layer - 1, :fan_in], target)
            matrix = np.ascontiguousarray(w[start:end].reshape(out, fan_in).T)
            below = delta[layer % 2, :fan_in]
            affine(matrix, w[:0], above, below)
            for i in range(fan_in):
                times_slope(kind, below[i], z[layer - 1, i], slope, layer - 1, i)
            above = below
        end = start


@compiled
def affine(matrix, b, z, o):
    """o = matrix @ z + b[:, None]; an empty b counts as 0."""
    m, k = matrix.shape
    n = z.shape[1]
    for i in range(m):
        start = b[i] if len(b) else z.dtype.type(0)
        for p in range(n):
            o[i, p] = start
    for i in range(0, m - 3, 4):
        o0, o1, o2, o3 = o[i], o[i + 1], o[i + 2], o[i + 3]
        w0, w1, w2, w3 = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(0, k - 3, 4):
            z0, z1, z2, z3 = z[j], z[j + 1], z[j + 2], z[j + 3]
            w00, w01, w02, w03 = w0[j], w0[j + 1], w0[j + 2], w0[j + 3]
            w10, w11, w12, w13 = w1[j], w1[j + 1], w1[j + 2], w1[j + 3]
            w20, w21, w22, w23 = w2[j], w2[j + 1], w2[j + 2], w2[j + 3]
            w30, w31, w32, w33 = w3[j], w3[j + 1], w3[j + 2], w3[j + 3]
            for p in range(n):
                a0, a1, a2, a3 = z0[p], z1[p], z2[p], z3[p]
                o0[p] += w00 * a0 + w01 * a1 + w02 * a2 + w03 * a3
                o1[p] += w10 * a0 + w11 * a1 + w12 * a2 + w13 * a3
                o2[p] += w20 * a0 + w21 * a1 + w22 * a2 + w23 * a3
                o3[p] += w30 * a0 + w31 * a1 + w32 * a2 + w33 * a3
        for j in range(k - k % 4, k):
            z0 = z[j]
            w00, w10, w20, w30 = w0[j], w1[j], w2[j], w3[j]
            for p in range(n):
                a0 = z0[p]
                o0[p] += w00 * a0
                o1[p] += w10 * a0
                o2[p] += w20 * a0
                o3[p] += w30 * a0
    for i in range(m - m % 4, m):
        o0, w0 = o[i], matrix[i]
        for j in range(0, k - 3, 4):
            z0, z1, z2, z3 = z[j], z[j + 1], z[j + 2], z[j + 3]
            w00, w01, w02, w03 = w0[j], w0[j + 1], w0[j + 2], w0[j + 3]
            for p in range(n):
                o0[p] += w00 * z0[p] + w01 * z1[p] + w02 * z2[p] + w03 * z3[p]
        for j in range(k - k % 4, k):
            z0, w00 = z[j], w0[j]
            for p in range(n):
                o0[p] += w00 * z0[p]


@compiled
def add_outer(delta, z, target):
    """target += delta @ z.T."""
    m, n = delta.shape
    k = z.shape[0]
    zero = delta.dtype.type(0)
    for i in range(0, m - 3, 4):
        d0, d1, d2, d3 = delta[i], delta[i + 1], delta[i + 2], delta[i + 3]
        for j in range(0, k - 3, 4):
            z0, z1, z2, z3 = z[j], z[j + 1], z[j + 2], z[j + 3]
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = zero
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = zero
            for p in range(n):
                a0, a1, a2, a3 = d0[p], d1[p], d2[p], d3[p]
                b0, b1, b2, b3 = z0[p], z1[p], z2[p], z3[p]
                s00 += a0 * b0
                s01 += a0 * b1
                s02 += a0 * b2
                s03 += a0 * b3
                s10 += a1 * b0
                s11 += a1 * b1
                s12 += a1 * b2
                s13 += a1 * b3
                s20 += a2 * b0
                s21 += a2 * b1
                s22 += a2 * b2
                s23 += a2 * b3
                s30 += a3 * b0
                s31 += a3 * b1
                s32 += a3 * b2
                s33 += a3 * b3
            t0, t1, t2, t3 = target[i], target[i + 1], target[i + 2], target[i + 3]
            t0[j] += s00
            t0[j + 1] += s01
            t0[j + 2] += s02
            t0[j + 3] += s03
            t1[j] += s10
            t1[j + 1] += s11
            t1[j + 2] += s12
            t1[j + 3] += s13
            t2[j] += s20
            t2[j + 1] += s21
            t2[j + 2] += s22
            t2[j + 3] += s23
            t3[j] += s30
            t3[j + 1] += s31
            t3[j + 2] += s32
            t3[j + 3] += s33
        for j in range(k - k % 4, k):
            z0 = z[j]
            s00 = s10 = s20 = s30 = zero
            for p in range(n):
                b0 = z0[p]
                s00 += d0[p] * b0
                s10 += d1[p] * b0
                s20 += d2[p] * b0
                s30 += d3[p] * b0
            target[i, j] += s00
            target[i + 1, j] += s10
            target[i + 2, j] += s20
            target[i + 3, j] += s30
    for i in range(m - m % 4, m):
        d0 = delta[i]
        for j in range(0, k - 3, 4):
            z0, z1, z2, z3 = z[j], z[j + 1], z[j + 2], z[j + 3]
            s00 = s01 = s02 = s03 = zero
            for p in range(n):
                a0 = d0[p]
                s00 += a0 * z0[p]
                s01 += a0 * z1[p]
                s02 += a0 * z2[p]
                s03 += a0 * z3[p]
            target[i, j] += s00
            target[i, j + 1] += s01
            target[i, j + 2] += s02
            target[i, j + 3] += s03
        for j in range(k - k % 4, k):
            z0 = z[j]
            s00 = zero
            for p in range(n):
                s00 += d0[p] * z0[p]
            target[i, j] += s00


@compiled
def pack(columns, source, target, start):
    """target[:, start:] = source[:, columns]."""
    for i in range(source.shape[0]):
        row, packed = source[i], target[i]
        for p in range(len(columns)):
            packed[start + p] = row[columns[p]]


@compiled
def activate(kind, beta, row, slope, block, layer, i, scratch, bits):
    """row <- base function of the activation, in place (and its slope for the softplus)."""
    if kind == 1:
        for p in range(len(row)):
            a = row[p]
            # written so that a NaN stays one
            row[p] = row.dtype.type(0) if a < 0 else a
    elif kind == 2:
        for p in range(len(row)):
            scratch[p] = -2.0 * abs(row[p])
        exp_negative(scratch, bits)
        for p in range(len(row)):
            t = (1.0 - scratch[p]) / (1.0 + scratch[p])
            row[p] = t if row[p] > 0 else -t
    elif kind == 3:
        softplus(beta, row, slope[block, layer, i], scratch, bits)


@compiled
def times_slope(kind, delta, value, slope, layer, i):
    """delta <- delta * derivative of the base function, in place."""
    if kind == 1:
        for p in range(len(delta)):
            d = delta[p]
            delta[p] = d if value[p] > 0 else delta.dtype.type(0)
    elif kind == 2:
        for p in range(len(delta)):
            delta[p] *= delta.dtype.type(1) - value[p] * value[p]
    elif kind == 3:
        slopes = slope[layer, i]
        for p in range(len(delta)):
            delta[p] *= slopes[p]

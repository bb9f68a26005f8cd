"""Compiled loops: bilinear interpolation with its derivatives, and normal numbers."""

from __future__ import annotations

import math

import numpy as np

from symscape.networks._elementary import compiled

__all__ = ["draw", "interpolate", "interpolate_backward"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_ROW = np.uint64(1 << 20)
_HALF = np.uint64(0xFFFFFFFF)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_TWO_PI = 2.0 * math.pi
_LN2 = math.log(2.0)
_ROOT_HALF = np.float64(math.sqrt(0.5)).view(np.int64).item()  # as bits


@compiled
def _sources(tau, y, n, at, right, below, p, q):
    """Where the pixels of row y come from: the upper left pixel of the cell, the steps from it to
    the right and below (0 at the frame), and the weights of these neighbors."""
    last = tau.dtype.type(n - 1)
    zero = tau.dtype.type(0)
    for x in range(n):
        u = min(max(tau.dtype.type(x) - tau[0, y, x], zero), last)
        v = min(max(tau.dtype.type(y) - tau[1, y, x], zero), last)
        column, row = np.int32(u), np.int32(v)
        p[x] = u - tau.dtype.type(column)
        q[x] = v - tau.dtype.type(row)
        at[x] = row * np.int32(n) + column
        right[x] = np.int32(1) if column + 1 < n else np.int32(0)
        below[x] = np.int32(n) if row + 1 < n else np.int32(0)


@compiled
def interpolate(images, fields, image_of, field_of, out, first, last):
    """Fill out (B, channels, n, n) at b with image ``image_of[b]`` (channels, n n) pulled back."""
    n = out.shape[3]
    at, right, below = (np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.uint32))
    p, q = np.empty(n, out.dtype), np.empty(n, out.dtype)
    for b in range(first, last):
        for y in range(n):
            _sources(fields[field_of[b]], y, n, at, right, below, p, q)
            for channel in range(out.shape[1]):
                image = images[image_of[b], channel]
                row = out[b, channel, y]
                for x in range(n):
                    here = at[x]
                    under = here + below[x]
                    upper = image[here]
                    upper += p[x] * (image[here + right[x]] - upper)
                    lower = image[under]
                    lower += p[x] * (image[under + right[x]] - lower)
                    row[x] = upper + q[x] * (lower - upper)


@compiled
def interpolate_backward(
    images, fields, image_of, field_of, grad_out, grad_images, grad_fields, first, last
):
    """Add to grad_images (B, channels, n n) and grad_fields (B, 2, n, n), one per output."""
    n = grad_out.shape[3]
    at, right, below = (np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.uint32))
    p, q = np.empty(n, grad_out.dtype), np.empty(n, grad_out.dtype)
    for b in range(first, last):
        tau = fields[field_of[b]]
        for y in range(n):
            _sources(tau, y, n, at, right, below, p, q)
            across, down = grad_fields[b, 0, y], grad_fields[b, 1, y]
            for channel in range(grad_out.shape[1]):
                image, to_image = images[image_of[b], channel], grad_images[b, channel]
                for x in range(n):
                    here = at[x]
                    under = here + below[x]
                    beside, over = here + right[x], under + right[x]
                    g = grad_out[b, channel, y, x]
                    upper, lower = (1 - q[x]) * g, q[x] * g
                    to_image[here] += (1 - p[x]) * upper
                    to_image[beside] += p[x] * upper
                    to_image[under] += (1 - p[x]) * lower
                    to_image[over] += p[x] * lower
                    across[x] -= upper * (image[beside] - image[here])
                    across[x] -= lower * (image[over] - image[under])
                    down[x] -= (1 - p[x]) * g * (image[under] - image[here])
                    down[x] -= p[x] * g * (image[over] - image[beside])
            for x in range(n):
                # a source that was moved to the frame stays there
                if not 0 <= x - tau[0, y, x] <= n - 1:
                    across[x] = 0
                if not 0 <= y - tau[1, y, x] <= n - 1:
                    down[x] = 0


@compiled
def _mix(word):
    word = (word ^ (word >> _S30)) * _FIRST
    word = (word ^ (word >> _S27)) * _SECOND
    return word ^ (word >> _S31)


@compiled
def draw(seeds, scale, out, first, last):
    """out (B, 2, c, c) <- scale (c, c) times the pair of normal numbers of each mode.

    The modes of a row are its first ones, those with a scale. Logarithm, sine and cosine are
    series, because calls per number would take several times longer than all the rest.
    """
    c = scale.shape[0]
    u, v, radius = np.empty(c, np.float64), np.empty(c, np.float64), np.empty(c, np.float64)
    bits = u.view(np.int64)
    for b in range(first, last):
        key = _mix(seeds[b])
        for i in range(c):
            count = 0
            while count < c and scale[i, count] > 0.0:
                count += 1
            row = np.uint64(i + 1) * _ROW + np.uint64(1)
            for j in range(count):
                word = _mix(key + (row + np.uint64(j)) * _GOLDEN)
                u[j] = (np.float64(np.int64(word >> _S32)) + 0.5) * 2.0**-32
                v[j] = np.float64(np.int64(word & _HALF)) * 2.0**-32
            for j in range(count):
                exponent = (bits[j] - _ROOT_HALF) >> 52
                bits[j] -= exponent << 52
                radius[j] = np.float64(exponent)
            for j in range(count):
                radius[j] = scale[i, j] * math.sqrt(-2.0 * (radius[j] * _LN2 + _log(u[j])))
            for j in range(count):
                out[b, 0, i, j] = radius[j] * _wave(v[j])
                out[b, 1, i, j] = radius[j] * _wave(v[j] - 0.25)
            out[b, :, i, count:] = 0.0


@compiled
def _log(m):
    """Logarithm for m in [1/sqrt(2), sqrt(2)]: 2 artanh((m - 1) / (m + 1))."""
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    series = 1.0 / 21.0
    series = series * t + 1.0 / 19.0
    series = series * t + 1.0 / 17.0
    series = series * t + 1.0 / 15.0
    series = series * t + 1.0 / 13.0
    series = series * t + 1.0 / 11.0
    series = series * t + 1.0 / 9.0
    series = series * t + 1.0 / 7.0
    series = series * t + 1.0 / 5.0
    series = series * t + 1.0 / 3.0
    return 2.0 * s * (series * t + 1.0)


@compiled
def _wave(v):
    """cos(2 pi v): half a turn is folded away, and the quarter turn is sine's."""
    v = abs(v - math.floor(v + 0.5))  # [0, 1/2]
    a = _TWO_PI * (0.25 - v)  # cos(2 pi v) = sin(a) with |a| <= pi / 2
    t = a * a
    series = -1.0 / 121645100408832000.0
    series = series * t + 1.0 / 355687428096000.0
    series = series * t - 1.0 / 1307674368000.0
    series = series * t + 1.0 / 6227020800.0
    series = series * t - 1.0 / 39916800.0
    series = series * t + 1.0 / 362880.0
    series = series * t - 1.0 / 5040.0
    series = series * t + 1.0 / 120.0
    series = series * t - 1.0 / 6.0
    return a * (series * t + 1.0)

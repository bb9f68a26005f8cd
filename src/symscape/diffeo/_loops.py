"""Compiled loops: bilinear interpolation with its derivatives, and fields from their quarters."""

from __future__ import annotations

import numpy as np

from symscape.networks._elementary import compiled

__all__ = ["interpolate", "interpolate_backward", "unfold"]


@compiled
def _sources(tau, y, at, right, below, p, q):
    """Where the pixels of row y come from: the upper left pixel of the cell, the steps from it to
    the right and below (0 at the frame), and the weights of these neighbors.

    Where the displacement is NaN the cell is the first one and the weight NaN."""
    rows, columns = tau.shape[1], tau.shape[2]
    last, lowest = tau.dtype.type(columns - 1), tau.dtype.type(rows - 1)
    zero = tau.dtype.type(0)
    for x in range(columns):
        u = min(max(tau.dtype.type(x) - tau[0, y, x], zero), last)
        v = min(max(tau.dtype.type(y) - tau[1, y, x], zero), lowest)
        column, row = np.int32(u if u == u else zero), np.int32(v if v == v else zero)
        p[x] = u - tau.dtype.type(column)
        q[x] = v - tau.dtype.type(row)
        at[x] = row * np.int32(columns) + column
        right[x] = np.int32(1) if column + 1 < columns else np.int32(0)
        below[x] = np.int32(columns) if row + 1 < rows else np.int32(0)


@compiled
def interpolate(images, fields, image_of, field_of, out, first, last):
    """Fill out (B, channels, rows, columns) at b with image ``image_of[b]``, (channels, pixels),
    pulled back."""
    n = out.shape[3]
    at, right, below = (np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.uint32))
    p, q = np.empty(n, out.dtype), np.empty(n, out.dtype)
    for b in range(first, last):
        for y in range(out.shape[2]):
            _sources(fields[field_of[b]], y, at, right, below, p, q)
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
    """Add to grad_images (B, channels, pixels) and grad_fields (B, 2, rows, columns), one per
    output."""
    n = grad_out.shape[3]
    at, right, below = (np.empty(n, np.uint32), np.empty(n, np.uint32), np.empty(n, np.uint32))
    p, q = np.empty(n, grad_out.dtype), np.empty(n, grad_out.dtype)
    for b in range(first, last):
        tau = fields[field_of[b]]
        for y in range(grad_out.shape[2]):
            _sources(tau, y, at, right, below, p, q)
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
                # a source that was moved to the frame stays there; one that is NaN has no slope
                u, v = x - tau[0, y, x], y - tau[1, y, x]
                if not 0 <= u <= n - 1:
                    across[x] = 0 if u == u else u
                if not 0 <= v <= grad_out.shape[2] - 1:
                    down[x] = 0 if v == v else v


@compiled
def unfold(quarters, out, first, last):
    """out (K, rows, columns) <- the upper left quarters of its parts, (2, 2, K, half of the rows,
    half of the columns), mirrored.

    The parts are odd or even: 0 and 1 of the first dimension under a reflection of the rows, of
    the second under one of the columns (modes of odd numbers do not change sign, even ones do).
    """
    near = quarters.shape[4]
    far = out.shape[2] - near
    upper, lower = np.empty(near, out.dtype), np.empty(near, out.dtype)
    for k in range(first, last):
        for y in range(quarters.shape[3]):
            oo, oe = quarters[0, 0, k, y], quarters[0, 1, k, y]
            eo, ee = quarters[1, 0, k, y], quarters[1, 1, k, y]
            top, bottom = out[k, y], out[k, out.shape[1] - 1 - y]
            for x in range(near):
                bottom[x] = (oo[x] - eo[x]) + (oe[x] - ee[x])
                lower[x] = (oo[x] - eo[x]) - (oe[x] - ee[x])
            for x in range(far):
                bottom[near + x] = lower[far - 1 - x]
            # the row in the middle, its own mirror, is written last from above
            for x in range(near):
                top[x] = (oo[x] + eo[x]) + (oe[x] + ee[x])
                upper[x] = (oo[x] + eo[x]) - (oe[x] + ee[x])
            for x in range(far):
                top[near + x] = upper[far - 1 - x]

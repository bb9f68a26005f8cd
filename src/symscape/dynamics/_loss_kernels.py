"""Compiled passes over the patterns and over the weights of one member on the CPU."""

from __future__ import annotations

import numpy as np

from symscape.networks._elementary import compiled, softplus

__all__ = ["adam_update", "hinge", "soft_hinge"]


@compiled
def hinge(f, f0, alpha, y, margin, power, predictor, df):
    """Predictor alpha (f - f0), derivative of the hinge by it, and (loss sum, counts).

    An empty ``f0`` stands for predictor = f. The comparisons are written so that a NaN in f ends
    up in the loss and in both counts.
    """
    zero = f.dtype.type(0)
    total, unsatisfied, misclassified = 0.0, 0, 0
    for p in range(len(f)):
        value = alpha * (f[p] - f0[p]) if len(f0) else f[p]
        predictor[p] = value
        overlap = y[p] * value
        positive = margin - overlap
        unsatisfied += not positive <= 0
        misclassified += not overlap > 0
        positive = zero if positive < 0 else positive
        if power == 2:
            total += 0.5 * positive * positive
            df[p] = -y[p] * positive
        elif power == 1:
            total += positive
            df[p] = -y[p] if positive > 0 else zero
        else:
            total += positive**power / power
            df[p] = -y[p] * positive ** (power - 1)
    return total, unsatisfied, misclassified


@compiled
def soft_hinge(f, f0, alpha, y, margin, beta, ties, predictor, df):
    """As :func:`hinge`, for log(1 + exp(beta delta)) / beta.

    ``ties``: whether delta = 0 counts as unsatisfied (cross entropy).
    """
    n = len(f)
    values = np.empty(n, np.float64)
    unsatisfied, misclassified = 0, 0
    for p in range(n):
        value = alpha * (f[p] - f0[p]) if len(f0) else f[p]
        predictor[p] = value
        overlap = y[p] * value
        values[p] = margin - overlap
        unsatisfied += not (margin - overlap < 0 if ties else margin - overlap <= 0)
        misclassified += not overlap > 0
    slopes = np.empty(n, np.float64)
    softplus(beta, values, slopes, np.empty(n, np.float64), np.empty(n, np.int64))
    total = 0.0
    for p in range(n):
        total += values[p]
        df[p] = -y[p] * slopes[p]
    return total, unsatisfied, misclassified


@compiled
def adam_update(w, mean, square, gradient, beta1, beta2, rate, root, eps):
    """One Adam step in place: ``rate`` = lr / (1 - beta1^k), ``root`` = sqrt(1 - beta2^k)."""
    for i in range(len(w)):
        g = gradient[i]
        mean[i] += (1.0 - beta1) * (g - mean[i])
        square[i] = beta2 * square[i] + (1.0 - beta2) * g * g
        w[i] -= rate * mean[i] / (np.sqrt(square[i]) / root + eps)

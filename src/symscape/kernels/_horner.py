"""Sums of powers whose coefficients are outer products, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["horner"]

# columns at a time: their values and sums stay in the first cache
_COLUMNS = 64


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def horner(a: np.ndarray, b: np.ndarray, c: np.ndarray, total: np.ndarray) -> None:
    """total[i, j] += sum over n of a[i, n] b[n, j] c[i, j]^n."""
    terms, q = b.shape
    for start in range(0, q, _COLUMNS):
        stop = min(start + _COLUMNS, q)
        for i in range(c.shape[0]):
            row = c[i, start:stop]
            sums = np.zeros(stop - start, dtype=c.dtype)
            for n in range(terms - 1, -1, -1):
                factor, coefficients = a[i, n], b[n, start:stop]
                for j in range(stop - start):
                    sums[j] = sums[j] * row[j] + factor * coefficients[j]
            for j in range(stop - start):
                total[i, start + j] += sums[j]

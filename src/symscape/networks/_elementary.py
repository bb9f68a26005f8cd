"""Exponential and softplus of arrays, written so that the compiler vectorizes them.

Numba's own ``exp`` and ``log1p`` are calls per element; these agree with them to a few ulp.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["compiled", "exp_negative", "softplus"]

# the decorator of every compiled loop; NaN and infinity must propagate, hence no nnan, no ninf
compiled = njit(
    nogil=True,
    cache=True,
    error_model="numpy",
    fastmath={"reassoc", "contract", "nsz", "arcp"},
)

_LOG2_E = 1.0 / math.log(2.0)
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10
# near-minimax polynomials (Chebyshev fits in 40 digits), lowest power first:
# exp(r) for |r| <= ln(2) / 2, to 3e-18
_EXP = (
    1.0,
    1.0,
    0.5000000000000019,
    0.1666666666666668,
    0.04166666666648666,
    0.00833333333331949,
    0.0013888888952696516,
    0.00019841269890340666,
    2.4801485074105115e-05,
    2.7557240604663896e-06,
    2.763279054211718e-07,
    2.511015364692893e-08,
)
# 2 artanh(s) / s as a polynomial in s^2 for 0 <= s^2 <= 1/9, to 3e-18
_ARTANH = (
    2.0,
    0.6666666666666615,
    0.4000000000018575,
    0.28571428545454114,
    0.22222224080747674,
    0.18181740832504806,
    0.1538661404230401,
    0.13300374032674625,
    0.12110168728069218,
    0.0832450651186082,
    0.17044163562781398,
)


@compiled
def softplus(beta, row, slopes, scratch, bits):
    """row <- log(1 + exp(beta row)) / beta and slopes <- its derivative, in place.

    ``scratch`` (float64) and ``bits`` (int64) are work space of the same length.
    """
    for p in range(len(row)):
        scratch[p] = -beta * abs(row[p])
    exp_negative(scratch, bits)
    inverse = 1.0 / beta
    for p in range(len(row)):
        # softplus = max(a, 0) + log(1 + t) / beta with t = exp(-beta |a|), and
        # log(1 + t) = 2 artanh(s) with s = t / (2 + t) <= 1/3; one division for s and t / (1 + t)
        t, a = scratch[p], row[p]
        ratio = t / ((1.0 + t) * (2.0 + t))
        s = (1.0 + t) * ratio
        small = (2.0 + t) * ratio
        s2 = s * s
        series = _ARTANH[10]
        series = series * s2 + _ARTANH[9]
        series = series * s2 + _ARTANH[8]
        series = series * s2 + _ARTANH[7]
        series = series * s2 + _ARTANH[6]
        series = series * s2 + _ARTANH[5]
        series = series * s2 + _ARTANH[4]
        series = series * s2 + _ARTANH[3]
        series = series * s2 + _ARTANH[2]
        series = series * s2 + _ARTANH[1]
        series = series * s2 + _ARTANH[0]
        positive = 0.0 if a < 0 else a
        row[p] = positive + s * series * inverse
        slopes[p] = small if a < 0 else 1.0 - small


@compiled
def exp_negative(u, bits):
    """u <- exp(u) for u <= 0, in place; written so that it is vectorized."""
    for p in range(len(u)):
        v = u[p]
        v = -708.0 if v < -708.0 else v
        n = math.floor(v * _LOG2_E + 0.5)
        r = (v - n * _LN2_HIGH) - n * _LN2_LOW
        series = _EXP[11]
        series = series * r + _EXP[10]
        series = series * r + _EXP[9]
        series = series * r + _EXP[8]
        series = series * r + _EXP[7]
        series = series * r + _EXP[6]
        series = series * r + _EXP[5]
        series = series * r + _EXP[4]
        series = series * r + _EXP[3]
        series = series * r + _EXP[2]
        series = series * r + _EXP[1]
        series = series * r + _EXP[0]
        u[p] = series
        bits[p] = (np.int64(n) + 1023) << 52
    powers = bits.view(np.float64)
    for p in range(len(u)):
        u[p] *= powers[p]

"""Compiled loops: pairs of normal numbers from counters.

A word is hashed from the key of a sample and a counter; its upper half u and its lower half v
make a pair of normal numbers, sqrt(-2 log u) times the cosine and the sine of 2 pi v (Box-Muller).
Logarithm, sine and cosine are series, because calls per number would take several times longer
than all the rest. What cancels (u - 1 where u is near 1, v minus a quarter turn) is computed in
integers, so that single precision is enough for numbers in single precision.
"""

from __future__ import annotations

import math

import numpy as np

from symscape.networks._elementary import compiled

__all__ = ["draw_double", "draw_single"]

_BLOCK = 1024  # pairs at a time, which stay in the nearest cache

_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_LOWER = np.uint64(0xFFFFFFFF)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_QUARTER = np.int32(1 << 30)  # of a turn, in units of 2^-32
_ONE = 2.0**-32
_TURN = 2.0 * math.pi * 2.0**-32
_LN2 = math.log(2.0)
_ROOT_HALF = np.float64(math.sqrt(0.5)).view(np.int64).item()  # as bits

_f = np.float32
_ONE_SINGLE, _TURN_SINGLE = _f(_ONE), _f(_TURN)
_HALF_SINGLE, _UNIT_SINGLE, _TWO_SINGLE = _f(0.5), _f(1.0), _f(2.0)
_ROOT_HALF_SINGLE = np.int32(_f(math.sqrt(0.5)).view(np.int32))
_MANTISSA_SINGLE = np.int32(23)
_LN2_SINGLE = _f(-2.0 * _LN2)
# near-minimax polynomials (Chebyshev fits in 50 digits), lowest power first:
# -4 artanh(s) / s in s^2 for |s| <= (sqrt(2) - 1) / (sqrt(2) + 1), to 3e-9
_LOG_SINGLE = (
    _f(-3.999999997262636),
    _f(-1.333336306763024),
    _f(-0.799497010350381),
    _f(-0.5984878095828997),
)
# sin(a) / a in a^2 for |a| <= pi / 2, to 5e-9
_SINE_SINGLE = (
    _f(0.999999995698809),
    _f(-0.1666665794784601),
    _f(0.008333050170671773),
    _f(-0.00019809017408678004),
    _f(2.6051076353347881e-6),
)


@compiled
def draw_single(seeds, counters, scale, out, first, last):
    """out (B, 2, M) <- scale (M,) times the normal numbers of counters (M,), in float32."""
    high, low = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.int32)
    near, power = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    radius = np.empty(_BLOCK, np.float32)
    for b in range(first, last):
        key = _mix(seeds[b])
        for start in range(0, len(counters), _BLOCK):
            stop = min(start + _BLOCK, len(counters))
            _hash(key, counters[start:stop], high, low)
            _radii_single(high, scale[start:stop], near, power, radius)
            cosine, sine = out[b, 0, start:stop], out[b, 1, start:stop]
            for k in range(stop - start):
                angle = _f(_from_quarter(low[k])) * _TURN_SINGLE
                cosine[k] = radius[k] * _sine_single(angle)
                angle = _f(_from_quarter(np.int32(low[k] - _QUARTER))) * _TURN_SINGLE
                sine[k] = radius[k] * _sine_single(angle)


@compiled
def draw_double(seeds, counters, scale, out, first, last):
    """out (B, 2, M) <- scale (M,) times the normal numbers of counters (M,), in float64."""
    high, low = np.empty(_BLOCK, np.int32), np.empty(_BLOCK, np.int32)
    power, radius = np.empty(_BLOCK, np.float64), np.empty(_BLOCK, np.float64)
    for b in range(first, last):
        key = _mix(seeds[b])
        for start in range(0, len(counters), _BLOCK):
            stop = min(start + _BLOCK, len(counters))
            _hash(key, counters[start:stop], high, low)
            _radii_double(high, scale[start:stop], power, radius)
            cosine, sine = out[b, 0, start:stop], out[b, 1, start:stop]
            for k in range(stop - start):
                angle = np.float64(_from_quarter(low[k])) * _TURN
                cosine[k] = radius[k] * _sine_double(angle)
                angle = np.float64(_from_quarter(np.int32(low[k] - _QUARTER))) * _TURN
                sine[k] = radius[k] * _sine_double(angle)


@compiled
def _mix(word):
    """The finalizer of splitmix64."""
    word = (word ^ (word >> _S30)) * _FIRST
    word = (word ^ (word >> _S27)) * _SECOND
    return word ^ (word >> _S31)


@compiled
def _hash(key, counters, high, low):
    """The two halves of the words of the counters, as bits."""
    for k in range(len(counters)):
        word = _mix(key + counters[k])
        high[k] = np.int32(np.int64(word >> _S32))
        low[k] = np.int32(np.int64(word & _LOWER))


@compiled
def _from_quarter(turn):
    """1/4 - |v| for v in [-1/2, 1/2), in units of 2^-32; v = -1/2 wraps around to -1/4."""
    return np.int32(_QUARTER - np.int32(abs(turn)))


@compiled
def _radii_single(high, scale, near, power, radius):
    """radius <- scale sqrt(-2 log u) with u = (high + 1/2) 2^-32 = radius 2^power."""
    bits = radius.view(np.int32)
    for k in range(len(scale)):
        radius[k] = (_f(np.uint32(high[k])) + _HALF_SINGLE) * _ONE_SINGLE
        # read with a sign the upper half of the range is u - 1, without loss
        near[k] = (_f(high[k]) + _HALF_SINGLE) * _ONE_SINGLE
    for k in range(len(scale)):
        exponent = np.int32(np.int32(bits[k] - _ROOT_HALF_SINGLE) >> _MANTISSA_SINGLE)
        bits[k] = np.int32(bits[k] - np.int32(exponent << _MANTISSA_SINGLE))
        power[k] = _f(exponent)
    for k in range(len(scale)):
        m = near[k] if power[k] == _f(0.0) else radius[k] - _UNIT_SINGLE
        s = m / (_TWO_SINGLE + m)
        t = s * s
        series = _LOG_SINGLE[3]
        series = series * t + _LOG_SINGLE[2]
        series = series * t + _LOG_SINGLE[1]
        series = series * t + _LOG_SINGLE[0]
        radius[k] = scale[k] * np.sqrt(power[k] * _LN2_SINGLE + s * series)


@compiled
def _radii_double(high, scale, power, radius):
    """radius <- scale sqrt(-2 log u) with u = (high + 1/2) 2^-32 = radius 2^power."""
    bits = radius.view(np.int64)
    for k in range(len(scale)):
        radius[k] = (np.float64(np.uint32(high[k])) + 0.5) * _ONE
    for k in range(len(scale)):
        exponent = (bits[k] - _ROOT_HALF) >> 52
        bits[k] -= exponent << 52
        power[k] = np.float64(exponent)
    for k in range(len(scale)):
        radius[k] = scale[k] * math.sqrt(-2.0 * (power[k] * _LN2 + _log_double(radius[k])))


@compiled
def _sine_single(a):
    """sin(a) for |a| <= pi / 2."""
    t = a * a
    series = _SINE_SINGLE[4]
    series = series * t + _SINE_SINGLE[3]
    series = series * t + _SINE_SINGLE[2]
    series = series * t + _SINE_SINGLE[1]
    series = series * t + _SINE_SINGLE[0]
    return a * series


@compiled
def _log_double(m):
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
def _sine_double(a):
    """sin(a) for |a| <= pi / 2."""
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

"""Bounds on the transition from counting constraints and unstable directions (Ch. 1 and 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "GAMMA_SPHERES",
    "THETA_SPHERES",
    "StabilityCheck",
    "check_stability",
    "least_constraints",
    "line_of_stability",
    "marginal_gamma",
    "most_parameters",
]

THETA_SPHERES = 0.42311
"""Exponent of small overlaps (forces) of jammed spheres (paper A, Sec. II.A)."""

GAMMA_SPHERES = 0.41269
"""Exponent of small gaps of jammed spheres (paper A, Sec. II.A)."""


def _margin_of_stability(C0: float, beta: float) -> float:
    if not 0 < C0 <= 1:
        raise ValueError(f"C0 must be in (0, 1]; got {C0}")
    if not 0 <= beta < C0:
        raise ValueError(f"beta must be in [0, C0) = [0, {C0}); got {beta}")
    return C0 - beta


def most_parameters(P: float, C0: float = 0.5, beta: float = 0.0) -> float:
    r"""Upper bound ``N* <= P / (C0 - beta)`` (paper A, Eqs. 12-13; paper B, Eqs. 8, 10, 12).

    With more parameters than this there are too few patterns to stabilize a minimum of positive
    loss, so that gradient descent ends at zero loss.

    Args:
        P: number of patterns, > 0.
        C0: fraction ``N_- / N`` of negative eigenvalues of ``H_p``; 1/2 for relu with L >= 2.
        beta: cusps per parameter ``N_c / N``; 0 for smooth activations, 0.19 to 0.25 for relu.

    Raises:
        ValueError: ``P <= 0``, ``C0`` outside (0, 1] or ``beta`` outside [0, C0).
    """
    if not P > 0:
        raise ValueError(f"P must be positive; got {P}")
    return P / _margin_of_stability(C0, beta)


def least_constraints(N: float, C0: float = 0.5, beta: float = 0.0) -> float:
    r"""Lower bound ``N_delta >= N (C0 - beta)`` at a minimum of positive loss.

    Paper A, Eqs. 5 and 11 (``N_delta >= N_-``); paper B, Eqs. 7, 9 and 11.

    Raises:
        ValueError: ``N <= 0``, ``C0`` outside (0, 1] or ``beta`` outside [0, C0).
    """
    if not N > 0:
        raise ValueError(f"N must be positive; got {N}")
    return N * _margin_of_stability(C0, beta)


def line_of_stability(C0: float = 0.5, beta: float = 0.0) -> float:
    """Slope ``P / N* = C0 - beta`` of the bound in the plane (N, P) (paper A, Fig. 5)."""
    return _margin_of_stability(C0, beta)


def marginal_gamma(theta: float) -> float:
    r"""Gap exponent ``gamma = 1 / (2 + theta)`` of marginal stability under extended excitations.

    Spheres saturate it: ``0.41269 = 1 / (2 + 0.42311)``. The relation that the thesis prints,
    ``gamma >= (1 - theta) / 2``, belongs to the exponent of localized excitations, 0.17462.

    Raises:
        ValueError: ``theta <= -1``, where the density of overlaps cannot be normalized.
    """
    if not theta > -1:
        raise ValueError(f"theta must be larger than -1; got {theta}")
    return 1 / (2 + theta)


@dataclass(frozen=True)
class StabilityCheck:
    """Which of the inequalities that hold at jamming are satisfied by a measured state.

    Attributes:
        independent: ``N_delta <= N`` (paper A, Eq. 2; paper B, Eq. 5).
        stable: ``N_delta >= N_- - N_c`` (paper A, Eqs. 5, 11; paper B, Eqs. 7, 9).
        enough_patterns: ``P >= N_delta``.
        hypostatic: ``N_delta < N`` (paper A, Eq. 4).
        slack: ``N_delta - (N_- - N_c)``.
    """

    independent: bool
    stable: bool
    enough_patterns: bool
    hypostatic: bool
    slack: int


def check_stability(
    *, P: int, N: int, n_delta: int, n_minus: int, n_cusps: int = 0
) -> StabilityCheck:
    """Test the inequalities of paper A, Eqs. 2, 4, 5, 11 on counted constraints and directions.

    Args:
        P: number of patterns.
        N: number of effective parameters.
        n_delta: number of unsatisfied patterns.
        n_minus: number of negative eigenvalues of ``H_p``.
        n_cusps: number of cusp directions ``N_c``.

    Raises:
        ValueError: a count is negative or not finite.
    """
    counts = {"P": P, "N": N, "n_delta": n_delta, "n_minus": n_minus, "n_cusps": n_cusps}
    for name, value in counts.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a non-negative count; got {value}")
    return StabilityCheck(
        independent=n_delta <= N,
        stable=n_delta >= n_minus - n_cusps,
        enough_patterns=n_delta <= P,
        hypostatic=n_delta < N,
        slack=n_delta - (n_minus - n_cusps),
    )

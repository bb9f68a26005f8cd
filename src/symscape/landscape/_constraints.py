"""Satisfied and unsatisfied patterns: the contacts of the jamming analogy (Ch. 1, Table I)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from symscape import dynamics
from symscape._arguments import integer

__all__ = [
    "Constraints",
    "constant_output_loss",
    "constraints",
    "delta",
    "energy",
    "misclassified",
    "n_delta",
]


def delta(f: Tensor, y: Tensor, margin: float = 1.0) -> Tensor:
    r"""Overlap ``Delta_mu = margin - y_mu f(x_mu)`` of each pattern (paper A, Eq. 9).

    Positive: the pattern is unsatisfied, the analogue of two particles in contact. Negative: the
    pattern is satisfied and ``-Delta`` is the gap that is left. NaN fits nothing.

    Args:
        f: outputs, ``(P,)``, or ``(P, c)`` with targets ``y`` of the same shape.
        y: labels -1 or +1, the shape and dtype of ``f``.
        margin: the margin epsilon, > 0.

    Raises:
        ValueError: shapes or dtypes differ, other labels, or the margin is not positive.
    """
    _check(f, y)
    if not margin > 0:
        raise ValueError(f"margin must be positive; got {margin}")
    return margin - y * f


def n_delta(overlaps: Tensor) -> int:
    """Number ``N_delta`` of unsatisfied patterns: ``Delta > 0``, or NaN."""
    return int(dynamics.unsatisfied(overlaps).sum())


def energy(overlaps: Tensor) -> float:
    r"""Loss ``L = (1/P) sum_{Delta > 0} Delta^2 / 2`` (paper A, Sec. II.B; paper B, Eq. 4)."""
    return 0.5 * overlaps.clamp(min=0).square().mean().item()


def misclassified(f: Tensor, y: Tensor) -> int:
    """Number of patterns without ``y f > 0``, see :func:`symscape.dynamics.misclassified`.

    An unsatisfied pattern may still be well classified. Arguments and errors as in `delta`.
    """
    _check(f, y)
    return int(dynamics.misclassified(f, y).sum())


def _check(f: Tensor, y: Tensor) -> None:
    if f.shape != y.shape:
        raise ValueError(f"y: shape {tuple(y.shape)} given; allowed: that of f, {tuple(f.shape)}")
    dynamics.check_signs("y", y, f.dtype)


@dataclass(frozen=True)
class Constraints:
    """Counts and energies of a set of patterns.

    Attributes:
        P: number of patterns.
        n_delta: number of unsatisfied patterns.
        misclassified: number of patterns without ``y f > 0``; never more than ``n_delta``.
        loss: ``(1/P) sum Delta^2 / 2`` over the unsatisfied patterns.
        energy_per_unsatisfied: ``(1/N_delta) sum Delta^2 / 2``; 0 where nothing is unsatisfied.
    """

    P: int
    n_delta: int
    misclassified: int
    loss: float
    energy_per_unsatisfied: float


def constraints(f: Tensor, y: Tensor, margin: float = 1.0) -> Constraints:
    """Count the constraints of outputs ``f`` against labels ``y``; arguments as in `delta`."""
    overlaps = delta(f, y, margin)
    unsatisfied = n_delta(overlaps)
    loss = energy(overlaps)
    return Constraints(
        P=overlaps.numel(),
        n_delta=unsatisfied,
        misclassified=misclassified(f, y),
        loss=loss,
        energy_per_unsatisfied=loss * overlaps.numel() / unsatisfied if unsatisfied else 0.0,
    )


def constant_output_loss(n_plus: int, n_minus: int, margin: float = 1.0) -> tuple[float, float]:
    r"""Least quadratic-hinge sum of a constant output on patterns of both labels.

    A net whose neurons are dead on some inputs gives them all the same output. On ``n_plus``
    patterns of label +1 and ``n_minus`` of label -1, as long as both kinds are unsatisfied,
    the sum of ``Delta^2 / 2`` is least at ``f = margin (n_plus - n_minus) / n``, where it is
    ``2 margin^2 n_plus n_minus / n``, with ``n = n_plus + n_minus``. A run that ends exactly
    there is stuck on dead inputs and says nothing about jamming.

    Returns:
        The least sum (not divided by P) and the output at which it is reached.

    Raises:
        ValueError: either count is less than 1, or the margin is not positive.
    """
    n_plus, n_minus = integer("n_plus", n_plus, 1), integer("n_minus", n_minus, 1)
    if not margin > 0:
        raise ValueError(f"margin must be positive; got {margin}")
    n = n_plus + n_minus
    return 2 * margin**2 * n_plus * n_minus / n, margin * (n_plus - n_minus) / n

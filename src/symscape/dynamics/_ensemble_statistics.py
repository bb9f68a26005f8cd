"""What many networks say together: mean outputs, their errors and their variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.dynamics._losses import CrossEntropy

__all__ = ["EnsembleStatistics", "ensemble_statistics", "subset_errors"]

# outputs of averages that are held at once
_NUMBERS = 2**24


@dataclass(frozen=True)
class EnsembleStatistics:
    r"""Statistics of the outputs of M members on n test points.

    Attributes:
        mean: mean outputs :math:`\bar f`, (n,) or (n, c).
        errors: share of the points that each member misclassifies, (M,).
        ensemble_error: the same of the mean output.
        variance: :math:`\frac1{M-1}\sum_i\langle (f_i - \bar f)^2\rangle`, with the mean over the
            points; summed over several outputs.
        norms: root mean square output of each member, (M,).
    """

    mean: Tensor
    errors: Tensor
    ensemble_error: float
    variance: float
    norms: Tensor

    @property
    def error(self) -> float:
        """Mean error of the members."""
        return float(self.errors.mean())

    @property
    def excess_error(self) -> float:
        """Mean error of the members less the error of their mean output."""
        return self.error - self.ensemble_error


def ensemble_statistics(F: Tensor, y: Tensor) -> EnsembleStatistics:
    r"""Errors of the members and of their mean output, and the variance of the outputs.

    Outputs are averaged, not votes and not weights. A point whose output is zero, or a tie of the
    largest outputs, is misclassified.

    Args:
        F: outputs, (M, n), or (M, n, c) of c classes.
        y: labels, (n,): +-1 of the dtype of F, or integer classes.

    Raises:
        ValueError: fewer than two members (one has no variance), or labels that do not fit.

    Source: Ch. 2, paper B, Section 2 and Eq. 2; Ch. 3, paper I, Eq. 15-16 (the unbiased variance
    is that of the code).
    """
    _check(F, y)
    if len(F) < 2:
        raise ValueError(f"F: {len(F)} member given; allowed: 2 or more, to have a variance")
    mean = F.mean(0)
    squares = (F - mean).square().sum(0)
    square_norms = F.square()
    if F.ndim == 3:
        squares, square_norms = squares.sum(-1), square_norms.sum(-1)
    return EnsembleStatistics(
        mean=mean,
        errors=_errors(F, y),
        ensemble_error=float(_errors(mean.unsqueeze(0), y)),
        variance=float(squares.mean()) / (len(F) - 1),
        norms=square_norms.mean(-1).sqrt(),
    )


def subset_errors(
    F: Tensor, y: Tensor, sizes: Sequence[int], draws: int = 60, seed: int = 0
) -> Tensor:
    r"""Errors of the mean outputs of random subsets of a pool of members.

    The pool is finite: the mean of n of its M members lies nearer to the mean of all than to that
    of infinitely many, :math:`\langle\|\bar f^n - \bar f^M\|^2\rangle = \frac{s^2}n(1 - \frac nM)`
    with the unbiased variance :math:`s^2`.

    Args:
        F: outputs of the pool, (M, n_test) or (M, n_test, c).
        y: labels, (n_test,).
        sizes: numbers of members n that are averaged, 1 <= n <= M.
        draws: subsets of each size, drawn without replacement, >= 1.
        seed: of the draws.

    Returns:
        Errors (len(sizes), draws), float64.

    Raises:
        ValueError: a size out of range, or labels that do not fit.

    Source: Ch. 2, paper B, Section 2, Fig. 4.
    """
    _check(F, y)
    draws = integer("draws", draws, 1)
    generator = torch.Generator().manual_seed(integer("seed", seed))
    errors = []
    for size in sizes:
        n = integer("sizes", size, 1, len(F))
        chosen = torch.rand(draws, len(F), generator=generator).argsort(-1)[:, :n]
        weights = torch.zeros(draws, len(F)).scatter_(1, chosen, 1.0 / n).to(F)
        block = max(1, _NUMBERS // max(1, F[0].numel()))
        parts = [torch.tensordot(part, F, 1) for part in weights.split(block)]
        errors.append(torch.cat([_errors(part, y) for part in parts]))
    return torch.stack(errors).double()


def _errors(F: Tensor, y: Tensor) -> Tensor:
    """Share of misclassified points of each row of outputs."""
    return CrossEntropy().misclassified(F, y.expand(F.shape[:2])).double().mean(-1)


def _check(F: Tensor, y: Tensor) -> None:
    if F.ndim not in (2, 3) or F.numel() == 0:
        raise ValueError(f"F: shape {tuple(F.shape)} given; allowed: (M, n) or (M, n, c)")
    if y.shape != F.shape[1:2]:
        raise ValueError(f"y: shape {tuple(y.shape)} given; allowed: ({F.shape[1]},)")
    if y.is_floating_point() != (F.ndim == 2):
        allowed = "+-1 as floating point" if F.ndim == 2 else "integer classes"
        raise ValueError(f"y: {y.dtype} given with outputs {tuple(F.shape)}; allowed: {allowed}")
    if not bool(torch.isfinite(F).all()):
        raise ValueError("F: outputs that are not finite given; allowed: finite numbers")

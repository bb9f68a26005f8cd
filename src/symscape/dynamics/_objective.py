"""The training loss as a function of what is trained, for one or many members at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from symscape.dynamics._losses import CrossEntropy, Hinge, Loss, SoftHinge

__all__ = ["Measures", "Objective"]

_Kernel = Callable[..., tuple[float, int, int]]


@dataclass(frozen=True)
class Measures:
    """What one evaluation of the loss tells.

    Attributes:
        predictor: F, (E, P) or (E, P, c).
        loss: loss of each member.
        n_delta: number of unsatisfied constraints of each member.
        misclassified: number of misclassified patterns of each member.
    """

    predictor: Tensor
    loss: list[float]
    n_delta: list[int]
    misclassified: list[int]

    def select(self, members: list[int]) -> Measures:
        """Those of some members only."""
        return Measures(
            self.predictor[members],
            [self.loss[member] for member in members],
            [self.n_delta[member] for member in members],
            [self.misclassified[member] for member in members],
        )


class Objective:
    r"""The loss :math:`\mathcal L(w) = \frac1{\alpha^2 P}\sum_\mu \ell(F_\mu, y_\mu)` of E members.

    Subclasses say how the predictor F depends on the state w of a member, n numbers: the weights
    of a network (:class:`NetworkObjective`), or the coefficients of kernel functions
    (:class:`FrozenObjective`). The loop and the integrators know nothing else of what they train.

    One member with a margin loss on the CPU takes a compiled pass over the patterns for predictor,
    loss, derivative and counts together; everything else is tensor operations.

    Args:
        y: labels, (P,) or (E, P).
        loss: the loss per pattern.
        alpha: None, or (E,): the loss is divided by its square.
        members: number of members E.
    """

    def __init__(self, y: Tensor, loss: Loss, alpha: Tensor | None, members: int) -> None:
        self.y, self.loss, self.alpha, self.members = y, loss, alpha, members
        self.P = y.shape[-1]
        self._alpha_squared = None if alpha is None else (alpha**2).tolist()
        self._df: Tensor | None = None
        self._pass: Callable[[Tensor], Measures] | None = None

    def evaluate(self, w: Tensor) -> Measures:
        """Predictor, loss and counts at ``w``, (E, n)."""
        f = self._outputs(w)
        if self._pass is not None:
            return self._pass(f)
        predictor = self._predictor(f)
        loss = self.loss.value(predictor, self.y).mean(-1)
        if self.alpha is not None:
            loss = loss / self.alpha**2
        self._df = self.loss.derivative(predictor, self.y)
        unsatisfied = self.loss.unsatisfied(predictor, self.y).flatten(1).sum(1)
        misclassified = self.loss.misclassified(predictor, self.y).flatten(1).sum(1)
        # one transfer to the host for the three
        counts = torch.stack([unsatisfied, misclassified]).to(torch.float64)
        rows = torch.cat([loss.to(torch.float64).unsqueeze(0), counts]).tolist()
        return Measures(predictor, rows[0], [int(n) for n in rows[1]], [int(n) for n in rows[2]])

    def propagate(self, w: Tensor) -> None:
        """Get ready for :meth:`gradient` at ``w``, without measuring anything."""
        f = self._outputs(w)
        if self._pass is not None:
            self._pass(f)
        else:
            self._df = self.loss.derivative(self._predictor(f), self.y)

    def gradient(self) -> Tensor:
        """Minus the velocity of the flow at the ``w`` of the last :meth:`evaluate` or
        :meth:`propagate`, (E, n): a buffer that the next call overwrites.
        """
        if self._df is None:
            raise RuntimeError("gradient() needs a call of evaluate() or propagate() before it")
        return self._gradient(self._df)

    def predictor(self, w: Tensor) -> Tensor:
        """F at ``w``, (E, P) or (E, P, c), freshly allocated."""
        return self._predictor(self._outputs(w))

    def outputs(self, predictor: Tensor) -> Tensor:
        """The function f of which F is the predictor."""
        raise NotImplementedError

    def norm(self, v: Tensor) -> list[float]:
        """Length of each member's displacement or gradient v, (E, n), in weight space."""
        raise NotImplementedError

    def scale(self, w: Tensor) -> list[float]:
        """The length with which errors of w are compared, at the initial ``w``."""
        raise NotImplementedError

    def per_pattern(self, measures: Measures) -> list[float]:
        r"""The mean of :math:`\ell` over the training set: :math:`\alpha^2` times the loss."""
        if self._alpha_squared is None:
            return measures.loss
        return [a * loss for a, loss in zip(self._alpha_squared, measures.loss, strict=True)]

    def select(self, members: list[int]) -> Self:
        """The objective of some of the members only."""
        raise NotImplementedError

    def _outputs(self, w: Tensor) -> Tensor:
        """What the predictor is computed from, (E, P) or (E, P, c)."""
        raise NotImplementedError

    def _predictor(self, outputs: Tensor) -> Tensor:
        raise NotImplementedError

    def _gradient(self, df: Tensor) -> Tensor:
        """See :meth:`gradient`; ``df`` has the derivatives of the patterns' losses by F."""
        raise NotImplementedError

    def _compile_pass(self, f0: Tensor | None, factor: float) -> None:
        """Take predictor = factor (f - f_0), derivative, loss and counts in one pass from now on,
        if there is one for this loss."""
        chosen = _kernel(self.loss)
        if chosen is None:
            return
        kernel, settings = chosen
        y = np.ascontiguousarray(self.y.reshape(-1).numpy())
        start = np.empty(0, y.dtype) if f0 is None else f0[0].numpy()
        scale = 1.0 / (self.P * (1.0 if self._alpha_squared is None else self._alpha_squared[0]))
        df = np.empty_like(y)
        self._df = torch.from_numpy(df).unsqueeze(0)

        def one_pass(f: Tensor) -> Measures:
            predictor = np.empty_like(y)
            total, n_delta, misclassified = kernel(
                f.numpy()[0], start, factor, y, *settings, predictor, df
            )
            tensor = torch.from_numpy(predictor).unsqueeze(0)
            return Measures(tensor, [total * scale], [n_delta], [misclassified])

        self._pass = one_pass


def _kernel(loss: Loss) -> tuple[_Kernel, tuple[float, ...]] | None:
    """The compiled pass of a loss and its settings."""
    if not isinstance(loss, Hinge | SoftHinge | CrossEntropy):
        return None
    from symscape.dynamics import _loss_kernels as kernels

    if isinstance(loss, Hinge):
        return kernels.hinge, (loss.margin, float(loss.power))
    if isinstance(loss, SoftHinge):
        return kernels.soft_hinge, (loss.margin, float(loss.beta), False)
    return kernels.soft_hinge, (0.0, 1.0, True)

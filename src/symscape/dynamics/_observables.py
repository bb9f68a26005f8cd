"""What the history says besides the loss: the test error, displacements, sizes of outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from symscape.dynamics._network_objective import NetworkObjective
from symscape.dynamics._objective import Measures, Objective
from symscape.dynamics._stop import Observable

__all__ = ["Observer"]


class Observer:
    """Columns of the history that cost passes of their own, for the members that still run.

    Args:
        observables: what is asked for, see :class:`Record`.
        objective: that of the training set.
        test: that of the test set, or None.
        w0: initial parameters, (E, n).

    Raises:
        ValueError: ``displacement`` of what has no initial weights.

    Attributes:
        names: of the columns.
    """

    def __init__(
        self,
        observables: Sequence[Observable],
        objective: Objective,
        test: Objective | None,
        w0: Tensor,
    ) -> None:
        self._observables, self._objective, self._test = tuple(observables), objective, test
        self._w0: Tensor | None = None
        if "displacement" in observables:
            if not isinstance(objective, NetworkObjective):
                raise ValueError("observables: 'displacement' given; allowed: with a network only")
            self._w0 = w0.clone()
        self.names = [] if test is None else ["test_error"]
        for name in self._observables:
            self.names.append(name)
            if name != "displacement" and test is not None:
                self.names.append(f"test_{name}")

    def columns(self, w: Tensor, measures: Measures) -> list[list[float]]:
        """One number per member in each column, at the parameters w, (E, n)."""
        columns = []
        predictors = [(self._objective, measures.predictor)]
        if self._test is not None:
            predictors.append((self._test, self._test.predictor(w)))
            wrong = self._test.loss.misclassified(predictors[1][1], self._test.y)
            columns.append(wrong.double().mean(-1).tolist())
        for name in self._observables:
            if name == "displacement" and self._w0 is not None:
                moved, initial = (self._objective.norm(v) for v in (w - self._w0, self._w0))
                columns.append([a / b for a, b in zip(moved, initial, strict=True)])
                continue
            for objective, predictor in predictors:
                f = objective.outputs(predictor) if name == "output_norm" else predictor
                columns.append(_root_mean_square(f))
        return columns

    def of(self, member: int) -> Observer:
        """The observer of one member alone."""
        if self._objective.members == 1 or not self.names:
            return self
        return self._select([member], self._objective.select([member]))

    def keep(self, members: list[int], objective: Objective) -> None:
        """Go on with some of the members only, whose training objective is given."""
        vars(self).update(vars(self._select(members, objective)))

    def _select(self, members: list[int], objective: Objective) -> Observer:
        test = None if self._test is None else self._test.select(members)
        some = Observer((), objective, test, torch.empty(0))
        some._observables, some.names = self._observables, self.names
        some._w0 = None if self._w0 is None else self._w0[members]
        return some


def _root_mean_square(f: Tensor) -> list[float]:
    """Of each member's outputs, (E, P) or (E, P, c): the mean is over patterns."""
    squares = f.square() if f.ndim == 2 else f.square().sum(-1)
    return squares.mean(-1).sqrt().tolist()

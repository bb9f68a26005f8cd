"""Coming to rest: a quasi-Newton method that takes up where first-order training ends."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from symscape._arguments import integer
from symscape.dynamics._losses import Loss
from symscape.dynamics._network_objective import NetworkObjective
from symscape.dynamics._objective import Measures
from symscape.dynamics._result import TrainResult
from symscape.dynamics._stop import Plateau, Record, Status
from symscape.dynamics._train import check_problem
from symscape.networks import FullyConnected

__all__ = ["minimize"]

_COLUMNS = ("step", "time", "loss", "n_delta", "misclassified", "grad_norm")


def minimize(
    net: FullyConnected,
    w0: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    loss: Loss,
    rest: float = 1e-3,
    loss_below: float = 1e-12,
    plateau: Plateau | None = None,
    max_iterations: int = 10_000,
    memory: int = 30,
    record: Record | None = None,
) -> TrainResult:
    r"""Descend from ``w0`` to a minimum of the training loss with L-BFGS (scipy's L-BFGS-B).

    The end of a first-order training is seldom a minimum: its budget or its learning rate ran
    out. A quasi-Newton method goes on from there, at one gradient per iteration and many times
    faster. How it ends is told by the status of the result:

    ``converged``
        the loss is below ``loss_below``, or no constraint is unsatisfied;
    ``stalled``
        at rest: :math:`|\nabla\mathcal L| \le` ``rest`` :math:`\sqrt{\mathcal L}`. For a quadratic
        hinge the forces of the patterns are proportional to :math:`\sqrt{\mathcal L}`, so that
        they cancel to this fraction, whatever the loss. Or, with ``plateau``, the loss has
        stopped falling: near jamming a landscape is flat in many directions, and the gradient
        stays that of the few stiff ones in which the descent swings;
    ``out_of_budget``
        ``max_iterations`` were made, or no lower loss was found along the last direction. The
        latter happens at kinks: where relus are held at zero the gradient jumps and never
        vanishes. See :func:`symscape.landscape.least_gradient` for what is small there.

    Args:
        net: the architecture.
        w0: initial parameters, (n_parameters,), float64.
        x: training inputs, (P, d).
        y: labels, (P,), as for :func:`train`.
        loss: the loss of one pattern.
        rest: see above, >= 0.
        loss_below: loss that counts as zero, >= 0.
        plateau: iterations, and the share of the loss that they must take away, or None.
        max_iterations: largest number of iterations, >= 0.
        memory: pairs of steps and changes of the gradient that are kept, >= 1.
        record: iterations of which the history has a line; ``Record()`` by default. It keeps no
            snapshots.

    Returns:
        The result; ``steps`` counts iterations, and the time stays 0.

    Raises:
        ValueError: shapes, dtypes or labels that do not fit, an option out of its range.
        FloatingPointError: the loss is not finite.
    """
    if w0.dtype != torch.float64 or w0.ndim != 1 or w0.device.type != "cpu":
        raise ValueError(
            f"w0: {w0.dtype} of shape {tuple(w0.shape)} on {w0.device} given; "
            f"allowed: torch.float64 of shape ({net.n_parameters},) on the CPU"
        )
    for name, value, least in (("rest", rest, 0), ("loss_below", loss_below, 0)):
        if not least <= value < math.inf:
            raise ValueError(f"{name}: {value!r} given; allowed: a finite number >= {least}")
    max_iterations = integer("max_iterations", max_iterations, 0)
    memory = integer("memory", memory, 1)
    check_problem(net, w0.unsqueeze(0), x, y, loss, None)
    with torch.no_grad():
        descent = _Descent(net, w0, x, y, loss, record or Record(), rest, loss_below, plateau)
        descent.run(max_iterations, memory)
        return descent.result()


class _Descent:
    """The function that scipy calls, and what it sees on the way."""

    def __init__(
        self,
        net: FullyConnected,
        w0: Tensor,
        x: Tensor,
        y: Tensor,
        loss: Loss,
        record: Record,
        rest: float,
        loss_below: float,
        plateau: Plateau | None,
    ) -> None:
        self._start = perf_counter()
        self._objective = NetworkObjective(net, x, y, loss, None, w0.detach().unsqueeze(0))
        self._rest, self._loss_below, self._plateau = rest, loss_below, plateau
        self._window = (0, math.inf)
        self._schedule = record.steps()
        self._next_record = next(self._schedule)
        self._lines: list[tuple[float, ...]] = []
        self._evaluations = self._iteration = 0
        self._w = w0.detach().numpy().copy()
        self._evaluate(self._w)
        self._status = self._look()

    def run(self, max_iterations: int, memory: int) -> None:
        from scipy.optimize import minimize as scipy_minimize

        if self._status is not None or max_iterations == 0:
            return
        options = {
            "maxiter": max_iterations,
            "maxcor": memory,
            # our own criteria end the descent: those of scipy are switched off
            "maxfun": 100 * max_iterations,
            "ftol": 0.0,
            "gtol": 0.0,
            "maxls": 50,
        }
        scipy_minimize(
            self._evaluate,
            self._w,
            jac=True,
            method="L-BFGS-B",
            callback=self._after_iteration,
            options=options,
        )

    def _evaluate(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        self._evaluations += 1
        self._measures: Measures = self._objective.evaluate(torch.from_numpy(w).unsqueeze(0))
        if not math.isfinite(self._measures.loss[0]):
            raise FloatingPointError(
                f"minimize: the loss is {self._measures.loss[0]} at iteration {self._iteration}"
            )
        self._gradient = self._objective.gradient()[0].numpy().copy()
        return self._measures.loss[0], self._gradient

    def _after_iteration(self, intermediate_result: Any) -> None:
        self._iteration += 1
        self._w = intermediate_result.x.copy()
        if self._measures.loss[0] != intermediate_result.fun:
            self._evaluate(self._w)
        self._status = self._look()
        if self._status is not None:
            raise StopIteration

    def _look(self) -> Status | None:
        """Write a line where it is time to; the status of a descent that has ended."""
        loss, norm = self._measures.loss[0], float(np.linalg.norm(self._gradient))
        if self._iteration >= self._next_record:
            self._write_line()
            self._next_record = next(self._schedule)
        if loss < self._loss_below or self._measures.n_delta[0] == 0:
            return "converged"
        if norm <= self._rest * math.sqrt(loss) or self._is_flat(loss):
            return "stalled"
        return None

    def _is_flat(self, loss: float) -> bool:
        """Whether a window of the plateau has just ended, and the loss hardly fell in it."""
        plateau, (start, before) = self._plateau, self._window
        if plateau is None or 0 < self._iteration < start + plateau.steps:
            return False
        self._window = self._iteration, loss
        return loss > before * (1.0 - plateau.fraction)

    def _write_line(self) -> None:
        measures, norm = self._measures, float(np.linalg.norm(self._gradient))
        counts = measures.n_delta[0], measures.misclassified[0]
        self._lines.append((self._iteration, 0.0, measures.loss[0], *counts, norm))

    def result(self) -> TrainResult:
        # the last evaluation may belong to a search that found nothing
        self._evaluate(self._w)
        if self._lines[-1][0] != self._iteration:
            self._write_line()
        table = [np.array(column) for column in zip(*self._lines, strict=True)]
        return TrainResult(
            w=torch.from_numpy(self._w.copy()),
            status=self._status or "out_of_budget",
            steps=self._iteration,
            evaluations=self._evaluations,
            time=0.0,
            wall_seconds=perf_counter() - self._start,
            loss=self._measures.loss[0],
            n_delta=self._measures.n_delta[0],
            misclassified=self._measures.misclassified[0],
            grad_norm=float(np.linalg.norm(self._gradient)),
            history=dict(zip(_COLUMNS, table, strict=True)),
        )

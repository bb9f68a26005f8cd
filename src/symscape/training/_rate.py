"""A learning rate that fits the scale of the predictor."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from symscape._arguments import integer
from symscape.dynamics import Loss
from symscape.training._batches import Batches
from symscape.training._checks import check_data, check_numbers
from symscape.training._model import outputs
from symscape.training._optimizer import OptimizerName, make_optimizer

__all__ = ["first_step_rate"]

_MOST_TRIALS = 200
_ABOUT = 1.01


def first_step_rate(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    loss: Loss,
    alpha: float | None = None,
    optimizer: OptimizerName = "adam",
    batch: int | None = None,
    largest: float = 1e-3,
    change: float = 0.1,
    seed: int = 0,
) -> float:
    r"""The largest rate whose first step changes the predictor by at most ``change`` on every
    point of its batch (to a hundredth where F moves in proportion to the rate, else to a factor of
    two), and ``largest`` at most.

    It is the thesis's criterion for the steps of a flow, :math:`\max_\mu|F(w', x_\mu) - F(w,
    x_\mu)| < 0.1`, at the start. For ADAM the rate it finds falls as 1/alpha where alpha is large
    and stays ``largest`` where alpha is small; for SGD it is constant where alpha is large and
    falls where alpha is small. The kernel grows in feature training, so that a run of SGD may
    diverge all the same; its status says so.

    Args:
        model: left as it is.
        x: training points.
        y: labels.
        loss: of :mod:`symscape.dynamics`.
        alpha: of :func:`fit`.
        optimizer: of :func:`fit`.
        batch: of :func:`fit`.
        largest: bound on the rate.
        change: bound on the change of F.
        seed: of :func:`fit`, so that it is the same first step.

    Raises:
        ValueError: see :func:`fit`; or no rate is small enough.

    Source: Ch. 3, paper I, Section 2; sheet 03, A2.
    """
    if not 0 < change < math.inf:
        raise ValueError(f"change: {change!r} given; allowed: a positive number")
    size = integer("batch", len(x) if batch is None else batch, 1, len(x))
    rows = Batches(len(x), size, integer("seed", seed)).next().to(x.device)
    trial = copy.deepcopy(model)
    parameters = [p for p in trial.parameters() if p.requires_grad]
    check_numbers(largest, alpha, optimizer)
    check_data(trial, parameters, x, y, loss, None)
    start = [p.detach().clone() for p in parameters]
    scale = 1.0 if alpha is None else alpha
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        f = outputs(trial, x[rows])
    before = f.detach()
    F = before if alpha is None else torch.zeros_like(before)
    f.backward(loss.derivative(F, y[rows]) / (scale * size))

    def moved(rate: float) -> float:
        """By how much F moves in a first step of that rate."""
        make_optimizer(optimizer, parameters, rate, alpha).step()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            change = scale * float((outputs(trial, x[rows]) - before).abs().max())
            for parameter, value in zip(parameters, start, strict=True):
                parameter.copy_(value)
        return change

    rate = largest
    for _ in range(_MOST_TRIALS):
        found = moved(rate)
        if found <= change:  # not so if it is NaN
            break
        rate /= 2.0
    else:
        raise ValueError(f"largest: {largest!r} given, and no rate is small enough for this model")
    # F moves in proportion where the step is short: the rate in between, if it keeps its promise
    finer = rate * change / found if found > 0 else rate
    return finer if rate < finer < largest and moved(finer) <= _ABOUT * change else rate

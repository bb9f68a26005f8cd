"""Networks of paper I, Sec. 7, that are trained by ADAM in minibatches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from symscape.training import Fit

BATCH = 32

UNFITTED = 0.04
"""Networks trained by ADAM count as fitted with less than this share of unsatisfied points, which
is the authors' rule."""

LARGEST_RATE = 2e-2
"""The learning rate, unless the first step would move an output too far."""


def convolutional(split: Any, h: int, L: int, seed: int) -> nn.Module:
    """The CNN with four hidden layers, for the images of a split, in their dtype."""
    from symscape.networks import StridedCNN

    x = split.x_train
    return StridedCNN(h, x.shape[1], seed=seed, dtype=x.dtype)


def fully_connected(split: Any, h: int, L: int, seed: int) -> nn.Module:
    """A fully connected network as a torch module."""
    from symscape.experiments.learning_regimes._flow import network

    net = network(split.x_train.shape[1], h, L)
    return net.module(net.initial_weights(seed, dtype=split.x_train.dtype))


def train(
    model: nn.Module, split: Any, alpha: float, steps: int, seed: int, change: float = 0.5
) -> Fit:
    """Train in place on the plain hinge until every point has the margin 1, or for so many steps.

    The learning rate is the largest one whose first step moves no output by more than ``change``:
    with the thesis's constant rate the output jumps at large alpha.

    Args:
        model: the network.
        split: training and test set.
        alpha: scale of the centered predictor.
        steps: limit on the steps.
        seed: of the batches.
        change: see above.

    Raises:
        FloatingPointError: the training diverged.
    """
    from symscape.dynamics import Hinge, Record
    from symscape.training import first_step_rate, fit

    loss = Hinge(power=1.0)
    x, y, x_test, y_test, _ = split
    batch = min(BATCH, len(x))
    rate = first_step_rate(
        model, x, y, loss=loss, alpha=alpha, optimizer="adam", batch=batch,
        largest=LARGEST_RATE, change=change,
    )  # fmt: skip
    run = fit(
        model, x, y, loss=loss, optimizer="adam", lr=rate, batch=batch, steps=steps, alpha=alpha,
        seed=seed, test=(x_test, y_test), record=Record(per_decade=1, every=None),
        check_every=max(math.ceil(len(x) / batch), 50),
    )  # fmt: skip
    run.raise_if_diverged()
    return run

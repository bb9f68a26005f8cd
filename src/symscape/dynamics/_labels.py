"""Which labels fit a loss: one check for training and for the landscape."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.dynamics._losses import Hinge, MulticlassHinge, SoftHinge, Square
from symscape.dynamics._multi_margin import MultiMargin

__all__ = ["check_labels", "check_signs"]


def check_signs(name: str, labels: Tensor, dtype: torch.dtype) -> None:
    """Raise ValueError unless the labels of a binary loss are +1 and -1, of the given dtype."""
    if labels.dtype != dtype:
        raise ValueError(f"{name}: {labels.dtype} given; allowed: {dtype}")
    if not bool((labels.abs() == 1).all()):
        raise ValueError(f"{name}: values other than +1 and -1 given; allowed: +1 and -1")


def check_labels(name: str, labels: Tensor, dtype: torch.dtype, outputs: int, loss: object) -> None:
    """Raise ValueError unless a loss takes these labels and this number of outputs.

    One output: +1 and -1 of the outputs' dtype, and any finite numbers for :class:`Square`.
    Several: integer classes, and any numbers for :class:`Square`.

    Args:
        name: of the labels, for the message.
        labels: of any shape.
        dtype: of the outputs.
        outputs: number of outputs c.
        loss: the loss; one that is unknown here is taken for one of classification.
    """
    binary = isinstance(loss, Hinge | SoftHinge)
    if (binary and outputs > 1) or (
        isinstance(loss, MulticlassHinge | MultiMargin) and outputs == 1
    ):
        allowed = "c = 1" if binary else "c > 1"
        raise ValueError(f"loss: {loss} given with {outputs} outputs; allowed: with {allowed}")
    if isinstance(loss, Square):
        if outputs == 1 and labels.dtype != dtype:
            raise ValueError(f"{name}: {labels.dtype} given; allowed: {dtype}")
        if not bool(torch.isfinite(labels).all()):
            raise ValueError(f"{name}: targets that are not finite given; allowed: finite numbers")
    elif outputs == 1:
        check_signs(name, labels, dtype)
    elif labels.dtype != torch.int64:
        raise ValueError(f"{name}: {labels.dtype} given; allowed: torch.int64 classes")
    elif not bool(((labels >= 0) & (labels < outputs)).all()):
        allowed = f"0..{outputs - 1}"
        raise ValueError(f"{name}: classes outside {allowed} given; allowed: {allowed}")

"""Which modules and data can be trained, and with a centred predictor."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from symscape.dynamics import Loss, check_labels
from symscape.training._model import outputs, trial_outputs

__all__ = ["check_data", "check_numbers", "check_resolution", "check_stationary"]

_RESOLUTION = 0.1  # of the predictor, whose margins are of order 1


@torch.no_grad()
def check_stationary(model: nn.Module, x: Tensor) -> None:
    """Raise ValueError unless the outputs are a function of the parameters and of each point.

    The centred predictor alpha (f(w) - f(w0)) and the neural tangent kernel are defined for such
    modules only. Not among them, in training mode, are batch normalization, whose buffers change
    in a forward pass and whose outputs depend on the other points of a batch, and dropout.

    Args:
        model: in the mode in which it is going to be used; left as it is.
        x: points, of which the first and the last are tried.

    Raises:
        ValueError: and what to do about it.
    """
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    state = torch.random.get_rng_state()
    try:
        with torch.random.fork_rng(devices=[]):
            first = outputs(model, x[[0, -1]])
            changed = [n for n, b in model.named_buffers() if not torch.equal(b, before[n])]
            second = outputs(model, x[[0, -1]])
            among = first if changed else outputs(model, x[[0, -1, -1]])[:2]
            drawn = not torch.equal(torch.random.get_rng_state(), state)
    finally:
        for key, buffer in model.named_buffers():
            buffer.copy_(before[key])
    if changed:
        owner, _, name = changed[0].rpartition(".")
        kind = type(model.get_submodule(owner)).__name__
        reason = f"the buffer {name} of {kind} '{owner}' changes in a forward pass"
    elif not torch.equal(first.nan_to_num(), second.nan_to_num()):
        reason = "the output changes between two calls on the same points"
        reason += ", as dropout makes it" if drawn else ""
    elif not torch.allclose(among, first, rtol=1e-3, atol=1e-5, equal_nan=True):
        reason = "the output of a point depends on the other points of its batch"
    else:
        return
    raise ValueError(
        f"model: {reason}; allowed: a function of the parameters and the point alone: put such "
        "layers in evaluation mode (model.eval() where the model is made), leave them out, or "
        "take a norm of single points (GroupNorm, LayerNorm)"
    )


def check_numbers(lr: float, alpha: float | None, optimizer: str) -> None:
    if not 0 < lr < math.inf:
        raise ValueError(f"lr: {lr!r} given; allowed: a positive number")
    if alpha is not None and not 0 < alpha < math.inf:
        raise ValueError(f"alpha: {alpha!r} given; allowed: a positive number, or None")
    if optimizer not in ("adam", "sgd"):
        raise ValueError(f"optimizer: {optimizer!r} given; allowed: 'adam' or 'sgd'")


def check_resolution(alpha: float, f0: Tensor) -> None:
    """Raise ValueError where rounding of f is no longer small in alpha (f - f0)."""
    rounding = alpha * torch.finfo(f0.dtype).eps * float(f0.abs().max())
    if rounding > _RESOLUTION:
        raise ValueError(
            f"alpha: {alpha:g} given with outputs of {f0.dtype}, whose rounding moves the "
            f"predictor by {rounding:.1g}; allowed: at most {_RESOLUTION}, by a smaller alpha or a "
            "model in float64"
        )


def check_data(
    model: nn.Module,
    parameters: list[nn.Parameter],
    x: Tensor,
    y: Tensor,
    loss: Loss,
    test: tuple[Tensor, Tensor] | None,
) -> None:
    """Raise ValueError unless data, labels, loss and model fit together."""
    if not parameters:
        raise ValueError("model: no parameters that require gradients; allowed: one or more")
    sets = {"x": (x, y)} if test is None else {"x": (x, y), "test": test}
    for name, (points, labels) in sets.items():
        if len(points) != len(labels) or not len(points):
            raise ValueError(
                f"{name}: {len(points)} points and {len(labels)} labels given; allowed: as many "
                "labels as points, one or more"
            )
        if points.device != parameters[0].device:
            raise ValueError(
                f"{name}: on {points.device} given; allowed: on the device of the model, "
                f"{parameters[0].device}"
            )
        f = trial_outputs(model, points[:2])
        count = 1 if f.ndim == 1 else f.shape[1]
        check_labels("y" if name == "x" else name, labels, f.dtype, count, loss)

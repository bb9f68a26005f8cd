"""Constants of the usual activations, as the samples of e3nn give them.

For a function f the constant is the inverse root of the mean of :math:`f(z)^2` over the 1e6 samples
of [symscape.math.moment][]. To draw them takes longer than to make a layer; a test draws them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["SAMPLED_CONSTANTS", "sampled_constant"]

SAMPLED_CONSTANTS: dict[Any, float] = {
    F.silu: 1.6791767923989418,
    F.gelu: 1.536064285077058,
    F.relu: 1.4163393446331365,
    F.relu6: 1.4163393446331365,
    F.leaky_relu: 1.4162684218969972,
    F.elu: 1.2467863885570512,
    F.celu: 1.2467863885570512,
    F.selu: 1.001049225017453,
    F.mish: 1.4891609082630326,
    F.softplus: 1.0426436590527184,
    F.softsign: 2.339261168724108,
    F.logsigmoid: 1.0422056251224927,
    F.sigmoid: 1.8467055342154766,
    F.tanh: 1.5937334472592695,
    F.hardtanh: 1.393011528570041,
    F.hardswish: 1.7392820593403755,
    F.hardsigmoid: 1.8982700190934345,
    F.tanhshrink: 2.341679950402855,
    torch.relu: 1.4163393446331365,
    torch.sigmoid: 1.8467055342154766,
    torch.tanh: 1.5937334472592695,
    torch.abs: 1.001110600838467,
    torch.sin: 1.521833486462319,
    torch.cos: 1.326609063570005,
    torch.atan: 1.4924573842701963,
    torch.erf: 1.4681896754316084,
    torch.exp: 0.3681403820597316,
    torch.square: 0.5779851362666193,
}
"""The constants of functions."""

# modules that have nothing to be set
_FUNCTIONS: dict[type, Any] = {
    nn.SiLU: F.silu,
    nn.ReLU: F.relu,
    nn.ReLU6: F.relu6,
    nn.SELU: F.selu,
    nn.Mish: F.mish,
    nn.Sigmoid: F.sigmoid,
    nn.Tanh: F.tanh,
    nn.Softsign: F.softsign,
}


def sampled_constant(f: Callable[[torch.Tensor], torch.Tensor]) -> float | None:
    """The constant of a function, None if it has to be computed."""
    f = _FUNCTIONS.get(type(f), f)
    try:
        return SAMPLED_CONSTANTS.get(f)
    except TypeError:  # not hashable
        return None

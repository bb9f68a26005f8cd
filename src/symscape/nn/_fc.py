"""Multilayer perceptrons of invariants, such as radial functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from symscape.contraction._arguments import check_floating
from symscape.math import normalize2mom
from symscape.nn._blocks import is_observed

__all__ = ["FullyConnectedNet"]


class _Layer(torch.nn.Module):
    """One layer; a class of its own since clients of e3nn look for it by this name."""

    def __init__(
        self,
        h_in: int,
        h_out: int,
        act: normalize2mom | None,
        var_in: float,
        var_out: float,
    ) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(h_in, h_out))
        self.act = act
        self.h_in = h_in
        self.h_out = h_out
        self.var_in = var_in
        self.var_out = var_out

    def forward(self, x: Tensor) -> Tensor:
        if self.act is None:
            return x @ (self.weight * (self.var_out / (self.h_in * self.var_in)) ** 0.5)
        activated = self.act(x @ (self.weight * (self.h_in * self.var_in) ** -0.5))
        return activated if self.var_out == 1 else activated * self.var_out**0.5

    def without_constant(self, x: Tensor, constant: float) -> tuple[Tensor, float]:
        """For an input times a constant, the output and the constant that it lacks."""
        constant *= (self.h_in * self.var_in) ** -0.5
        if self.act is None:
            return x @ (self.weight * (constant * self.var_out**0.5)), 1.0
        return self.act.f(x @ (self.weight * constant)), self.act.cst * self.var_out**0.5

    def __repr__(self) -> str:
        act = "None" if self.act is None else type(self.act).__name__
        return f"Layer({self.h_in}->{self.h_out}, act={act})"


class FullyConnectedNet(torch.nn.Sequential):
    r"""A fully connected net without biases, with unit variance at initialization.

    Layer by layer, with normalized activation (:math:`E\,\phi(z)^2 = 1`) and weights initially
    :math:`\mathcal N(0, 1)`,

    .. math:: x \mapsto \sqrt{v_\text{out}}\;\phi\!\left(\frac{x W}{\sqrt{h_\text{in}
        v_\text{in}}}\right)

    where :math:`v_\text{in} = v_\text{out} = 1` but for the first and the last layer.

    Args:
        hs: the widths, from the input to the output; at least two for a layer. The last one may
            be 0.
        act: the activation, or None for a linear net.
        variance_in: the second moment of the input's components.
        variance_out: that of the output's components.
        out_act: whether the activation follows the last layer too.

    Attributes:
        hs: the widths.

    Raises:
        ValueError: a width or a variance is not positive.

    Source: Ch. 5.3 (e3nn), radial functions.
    """

    def __init__(
        self,
        hs: Sequence[int],
        act: Callable[[Tensor], Tensor] | None = None,
        variance_in: float = 1,
        variance_out: float = 1,
        out_act: bool = False,
    ) -> None:
        super().__init__()
        self.hs = list(hs)
        if any(h < 1 for h in self.hs[:-1]) or self.hs[-1:] < [0]:
            raise ValueError(f"hs: {self.hs} given; allowed: positive widths")
        for name, variance in (("variance_in", variance_in), ("variance_out", variance_out)):
            if not variance > 0:
                raise ValueError(f"{name}: {variance} given; allowed: a positive number")
        normalized = None if act is None else normalize2mom(act)
        last = len(self.hs) - 2
        for i, (h_in, h_out) in enumerate(zip(self.hs, self.hs[1:])):
            layer = _Layer(
                h_in,
                h_out,
                normalized if i < last or out_act else None,
                variance_in if i == 0 else 1,
                variance_out if i == last else 1,
            )
            setattr(self, f"layer{i}", layer)

    def forward(self, input: Tensor) -> Tensor:
        """The output of the net.

        Args:
            input: ``(..., hs[0])``.

        Returns:
            ``(..., hs[-1])``.

        Raises:
            ValueError: the dtype is not floating.
        """
        check_floating(input, "input")
        layers = [layer for layer in self if type(layer) is _Layer]
        if len(layers) < len(self) or is_observed(*layers, *(layer.act for layer in layers)):
            return super().forward(input)
        # the constants of the activations go into the next weights, which are fewer
        x, constant = input, 1.0
        for layer in layers:
            x, constant = layer.without_constant(x, constant)
        return x if constant == 1.0 else x * constant

    def __repr__(self) -> str:
        return f"FullyConnectedNet{self.hs}"

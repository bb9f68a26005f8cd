"""How a network is looked at: in evaluation mode, with its hidden activations."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

__all__ = ["LayerNames", "Taps", "check_repeatable", "probing"]

LayerNames = Sequence[str] | Literal["all"] | None
"""Names of modules, ``"all"`` for every module that has no children, or None for none."""


@contextmanager
def probing(model: nn.Module, statistics: Literal["running", "batch"]) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module is as it was.

    Args:
        model: the network.
        statistics: ``"running"``: batch normalization uses what it collected in training;
            ``"batch"``: that of the batch that it sees, for a network that was never trained.

    Raises:
        ValueError: another value of ``statistics``.
    """
    if statistics not in ("running", "batch"):
        raise ValueError(f"statistics: {statistics!r} given; allowed: 'running' or 'batch'")
    modes = {module: module.training for module in model.modules()}
    dropped = [m for m, training in modes.items() if training and _drops(m)]
    if dropped:
        warnings.warn(
            f"model: {type(dropped[0]).__name__} is on, so that the output changes between calls; "
            "the model is measured in evaluation mode",
            UserWarning,
            stacklevel=4,
        )
    norms = [module for module in modes if isinstance(module, _BatchNorm)]
    buffers = [(m, m.running_mean, m.running_var, m.track_running_stats) for m in norms]
    model.eval()
    try:
        if statistics == "batch":
            for norm in norms:
                norm.track_running_stats = False
                norm.running_mean = norm.running_var = None
        with torch.no_grad():
            yield
    finally:
        for norm, mean, variance, tracked in buffers:
            norm.running_mean, norm.running_var = mean, variance
            norm.track_running_stats = tracked
        for module, training in modes.items():
            module.training = training


def _drops(module: nn.Module) -> bool:
    return isinstance(module, _DropoutNd) and module.p > 0


def check_repeatable(model: nn.Module, images: Tensor) -> None:
    """Raise ValueError where two calls on the same images give different outputs."""
    first, second = model(images), model(images)
    if not isinstance(first, Tensor) or len(first) != len(images):
        given = f"shape {tuple(first.shape)}" if isinstance(first, Tensor) else type(first).__name__
        raise ValueError(
            f"model: gives {given} for {len(images)} images; allowed: a tensor with one row each"
        )
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise ValueError(
            "model: the output changes between two calls on the same images, in evaluation mode "
            "too; allowed: a deterministic one"
        )


class Taps:
    """The activations of chosen layers, collected by hooks in the order of execution."""

    def __init__(self, model: nn.Module, layers: LayerNames) -> None:
        modules = dict(model.named_modules())
        if layers is None:
            names: list[str] = []
        elif layers == "all":
            names = [name for name, module in modules.items() if name and _is_leaf(module)]
        else:
            names = [layers] if isinstance(layers, str) else list(layers)
        unknown = [name for name in names if name not in modules or not name]
        if unknown:
            known = ", ".join(name for name in modules if name)
            raise ValueError(f"layers: {unknown[0]!r} given; allowed: 'all', or some of {known}")
        self.values: dict[str, Tensor] = {}
        self._handles = [modules[n].register_forward_hook(self._keeper(n)) for n in names]

    def _keeper(self, name: str) -> Any:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                label, calls = name, 1
                while label in self.values:  # a module that is called again
                    calls += 1
                    label = f"{name} (call {calls})"
                self.values[label] = output

        return keep

    def run(self, model: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Activations by layer, (B, features) each, the output last."""
        self.values = {}
        output = model(images)
        found = {**self.values, "output": output}
        return {name: value.flatten(1) for name, value in found.items()}

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


def _is_leaf(module: nn.Module) -> bool:
    silent = (nn.Identity, nn.Flatten, _DropoutNd)
    return (
        not any(True for _ in module.children())
        and not isinstance(module, silent)
        and not (isinstance(module, nn.Sequential | nn.ModuleList))
    )

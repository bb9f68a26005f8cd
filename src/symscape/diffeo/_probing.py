"""How a network is looked at: in evaluation mode, with its hidden activations."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

__all__ = ["LayerNames", "Taps", "check_repeatable", "probing"]

LayerNames = Sequence[str] | Literal["all"] | None
"""Names of modules, ``"all"`` for every module that has no children, or None for none."""


@contextmanager
def probing(model: nn.Module, statistics: Literal["running", "batch"]) -> Iterator[bool]:
    """Evaluation mode without gradients; afterwards every module is as it was.

    Yields whether dropout that is no module may have been on: the model was in training mode, and
    no module of it drops.

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
        _warn(type(dropped[0]).__name__, stacklevel=5)
    norms = [module for module in modes if isinstance(module, _BatchNorm)]
    buffers = [(m, m.running_mean, m.running_var, m.track_running_stats) for m in norms]
    model.eval()
    try:
        if statistics == "batch":
            for norm in norms:
                norm.track_running_stats = False
                norm.running_mean = norm.running_var = None
        with torch.no_grad():
            yield any(modes.values()) and not any(map(_drops, modes))
    finally:
        for norm, mean, variance, tracked in buffers:
            norm.running_mean, norm.running_var = mean, variance
            norm.track_running_stats = tracked
        for module, training in modes.items():
            module.training = training


def _warn(what: str, stacklevel: int) -> None:
    warnings.warn(
        f"model: {what} is on, so that the output changes between calls; the model is measured in "
        "evaluation mode",
        UserWarning,
        stacklevel=stacklevel,
    )


def _drops(module: nn.Module) -> bool:
    if isinstance(module, nn.RNNBase | nn.MultiheadAttention):
        return module.dropout > 0
    return isinstance(module, _DropoutNd) and module.p > 0


class _DropoutCalls(TorchFunctionMode):
    """Notes calls of dropout as a function, which no module shows."""

    _FUNCTIONS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout)

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.seen = self.seen or func in self._FUNCTIONS
        return func(*args, **(kwargs or {}))


def check_repeatable(model: nn.Module, images: Tensor, may_drop: bool) -> None:
    """Raise ValueError where outputs are not one floating point row per image, or where two calls
    on the same images differ.

    Args:
        model: in evaluation mode.
        images: a few.
        may_drop: whether to warn of calls of dropout as a function; see :func:`probing`.
    """
    with _DropoutCalls() as calls:
        first = model(images)
    if calls.seen and may_drop:
        _warn("dropout", stacklevel=4)
    second = model(images)
    if not isinstance(first, Tensor) or first.ndim == 0 or len(first) != len(images):
        given = f"shape {tuple(first.shape)}" if isinstance(first, Tensor) else type(first).__name__
        raise ValueError(
            f"model: gives {given} for {len(images)} images; allowed: a tensor with one row each"
        )
    if not first.is_floating_point():
        raise ValueError(
            f"model: gives {first.dtype}, as class numbers are; allowed: floating point, for "
            "example one number per class before the largest is looked for"
        )
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise ValueError(
            "model: the output changes between two calls on the same images, in evaluation mode "
            "too; allowed: a deterministic one"
        )


class Taps:
    """The activations of chosen layers, collected by hooks in the order of execution.

    They are copied: a module behind may work in place.
    """

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
            if isinstance(output, Tensor) and output.ndim > 0 and output.is_floating_point():
                first = f"{name} (module)" if name == "output" else name
                label, calls = first, 1
                while label in self.values:  # a module that is called again
                    calls += 1
                    label = f"{first} (call {calls})"
                self.values[label] = output.clone()

        return keep

    def run(self, model: nn.Module, images: Tensor) -> dict[str, Tensor]:
        """Activations by layer, (B, features) each, the output last.

        Raises:
            ValueError: a layer that does not give a tensor with one row per image.
        """
        self.values = {}
        output = model(images)
        found = {**self.values, "output": output}
        for name, value in found.items():
            if len(value) != len(images):
                raise ValueError(
                    f"layers: {name!r} gives shape {tuple(value.shape)} for {len(images)} images; "
                    "allowed: layers with one row each"
                )
        return {name: value.reshape(len(images), -1) for name, value in found.items()}

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

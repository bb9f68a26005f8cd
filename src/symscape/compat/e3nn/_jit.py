"""e3nn's marks and functions for TorchScript.

symscape's layers are eager modules over custom operators, and TorchScript, which torch has
deprecated, cannot compile them. So `script` and `compile` return the module uncompiled, and say so;
``torch.compile`` and ``torch.export`` work. Tracing works, since it records the operators; a
program that is read from a file finds its products where the module has been built, too.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from symscape.compat.e3nn._options import get_optimization_defaults, set_optimization_defaults
from symscape.o3 import Irreps

__all__ = [
    "compile",
    "compile_mode",
    "disable_e3nn_codegen",
    "get_compile_mode",
    "get_optimization_defaults",
    "get_tracing_inputs",
    "script",
    "set_optimization_defaults",
    "trace",
    "trace_module",
]

_MODES = ("trace", "script", "unsupported", None)
_ATTRIBUTE = "__e3nn_compile_mode__"
_BATCH = 4

_Class = TypeVar("_Class", bound=type)


def compile_mode(mode: str | None) -> Callable[[_Class], _Class]:
    """Decorator that marks a class of modules with how e3nn would compile it.

    Args:
        mode: ``"script"``, ``"trace"``, ``"unsupported"`` or None.

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in _MODES:
        raise ValueError(f"mode: {mode!r} given; allowed: {', '.join(map(str, _MODES))}")

    def mark(cls: _Class) -> _Class:
        if not issubclass(cls, torch.nn.Module):
            raise TypeError(f"@compile_mode decorates classes of torch.nn.Module, not {cls}")
        setattr(cls, _ATTRIBUTE, mode)
        return cls

    return mark


def get_compile_mode(mod: torch.nn.Module) -> str | None:
    """The mark of a module's class, None without one."""
    return getattr(type(mod), _ATTRIBUTE, None)


def script(mod: torch.nn.Module, in_place: bool = True) -> torch.nn.Module:
    """The module, which is not compiled; a warning says so.

    Args:
        mod: a module.
        in_place: return the module itself; otherwise a copy.
    """
    warnings.warn(
        "symscape does not compile to TorchScript; the module is returned as it is. Use "
        "torch.compile or torch.export",
        stacklevel=2,
    )
    return mod if in_place else copy.deepcopy(mod)


def compile(
    mod: torch.nn.Module,
    n_trace_checks: int = 1,
    script_options: dict[str, Any] | None = None,
    trace_options: dict[str, Any] | None = None,
    in_place: bool = True,
    recurse: bool = True,
) -> torch.nn.Module:
    """The module, which is not compiled; a warning says so. Only ``in_place`` has an effect."""
    return script(mod, in_place)


def trace(
    mod: torch.nn.Module,
    example_inputs: tuple[Any, ...] | None = None,
    check_inputs: list[Any] | None = None,
    in_place: bool = True,
) -> torch.jit.ScriptModule:
    """The module's forward as recorded by ``torch.jit.trace``.

    Args:
        mod: a module.
        example_inputs: its arguments; random ones if not given (`get_tracing_inputs`).
        check_inputs: arguments with which the recording is checked.
        in_place: without effect: the recording is a new module.
    """
    if example_inputs is None:
        example_inputs = tuple(get_tracing_inputs(mod)[0]["forward"])
    return torch.jit.trace(mod, example_inputs, check_inputs=check_inputs or [])


def trace_module(
    mod: torch.nn.Module,
    inputs: dict[str, Any] | None = None,
    check_inputs: list[Any] | None = None,
    in_place: bool = True,
) -> torch.jit.ScriptModule:
    """The module's methods as recorded by ``torch.jit.trace_module``, as `trace`."""
    if inputs is None:
        inputs = get_tracing_inputs(mod)[0]
    inputs = {name: tuple(arguments) for name, arguments in inputs.items()}
    return torch.jit.trace_module(mod, inputs, check_inputs=check_inputs or [])


def get_tracing_inputs(
    mod: torch.nn.Module,
    n: int = 1,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> list[dict[str, list[Tensor]]]:
    """Random arguments for the forward of a module that has irreps.

    Args:
        mod: a module with ``irreps_in``, or ``irreps_in1`` and ``irreps_in2``.
        n: how many sets.
        device: of the arguments; that of the module's parameters and buffers if not given.
        dtype: of the arguments; that of the module's parameters and buffers if not given.

    Raises:
        ValueError: the module has no irreps.
    """
    names = [name for name in ("irreps_in", "irreps_in1", "irreps_in2") if hasattr(mod, name)]
    if not names:
        raise ValueError(f"mod: {type(mod).__name__} has no irreps_in; allowed: modules that have")
    floating = (
        tensor for tensor in [*mod.parameters(), *mod.buffers()] if tensor.is_floating_point()
    )
    like = next(floating, torch.empty(0))
    device, dtype = device or like.device, dtype or like.dtype
    return [
        {
            "forward": [
                Irreps(getattr(mod, name)).randn(_BATCH, -1, device=device, dtype=dtype)
                for name in names
            ]
        }
        for _ in range(n)
    ]


@contextmanager
def disable_e3nn_codegen() -> Iterator[None]:
    """Context in which e3nn would not generate code; here only the option changes."""
    before = get_optimization_defaults()["jit_script_fx"]
    set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        set_optimization_defaults(jit_script_fx=before)

"""The version that the interface follows, and e3nn's switches of its code generation."""

from __future__ import annotations

from typing import Any

__all__ = ["__version__", "get_optimization_defaults", "set_optimization_defaults"]

__version__ = "0.6.0"

_JIT_MODES = ("script", "inductor", "eager")

_defaults: dict[str, Any] = {
    "specialized_code": True,
    "optimize_einsums": True,
    "jit_script_fx": True,
    "jit_mode": "eager",
}


def get_optimization_defaults() -> dict[str, Any]:
    """The options of e3nn's code generation, a copy.

    They are kept, so that clients can set and read them, but have no effect: symscape generates
    its kernels in another way.
    """
    return dict(_defaults)


def set_optimization_defaults(**options: Any) -> None:
    """Set options of e3nn's code generation, which have no effect here.

    Args:
        **options: ``specialized_code``, ``optimize_einsums``, ``jit_script_fx`` or ``jit_mode``.

    Raises:
        ValueError: an unknown option or ``jit_mode``.
    """
    for name, value in options.items():
        if name not in _defaults:
            raise ValueError(
                f"Unknown optimization option: {name}; allowed: {', '.join(_defaults)}"
            )
        if name == "jit_mode" and value not in _JIT_MODES:
            raise ValueError(f"jit_mode: {value!r} given; allowed: {', '.join(_JIT_MODES)}")
        _defaults[name] = value

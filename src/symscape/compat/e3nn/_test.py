"""e3nn's functions for tests: those of symscape.testing, with torch's global generator."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from symscape import testing
from symscape.compat.e3nn._jit import get_tracing_inputs, trace
from symscape.testing import format_equivariance_error

__all__ = [
    "FLOAT_TOLERANCE",
    "assert_auto_jitable",
    "assert_equivariant",
    "assert_normalized",
    "assert_torch_compile",
    "equivariance_error",
    "format_equivariance_error",
    "random_irreps",
    "set_random_seeds",
]

logger = logging.getLogger("e3nn.util.test")

FLOAT_TOLERANCE = {
    dtype: torch.tensor(tolerance, dtype=dtype)
    for dtype, tolerance in testing.FLOAT_TOLERANCE.items()
}
"""Largest error that `assert_equivariant` accepts, by dtype."""


def _global(options: dict[str, Any]) -> dict[str, Any]:
    return {"generator": torch.default_generator} | options


def random_irreps(*args: Any, **options: Any) -> Any:
    """[symscape.testing.random_irreps][] with torch's global generator."""
    return testing.random_irreps(*args, **_global(options))


def equivariance_error(*args: Any, **options: Any) -> dict[tuple[int, bool], Tensor]:
    """[symscape.testing.equivariance_error][] with torch's global generator."""
    return testing.equivariance_error(*args, **_global(options))


def assert_equivariant(*args: Any, **options: Any) -> dict[tuple[int, bool], Tensor]:
    """[symscape.testing.assert_equivariant][] with torch's global generator."""
    return testing.assert_equivariant(*args, **_global(options))


def assert_normalized(*args: Any, **options: Any) -> None:
    """[symscape.testing.assert_normalized][] with torch's global generator."""
    testing.assert_normalized(*args, **_global(options))


def assert_auto_jitable(
    func: torch.nn.Module,
    error_on_warnings: bool = True,
    n_trace_checks: int = 2,
    strict_shapes: bool = True,
) -> torch.jit.ScriptModule:
    """Refuse a module whose recording by ``torch.jit.trace`` gives other numbers.

    Args:
        func: a module with irreps.
        error_on_warnings: without effect.
        n_trace_checks: how many random inputs are compared.
        strict_shapes: without effect.

    Returns:
        The recording.

    Raises:
        AssertionError: the numbers differ.
    """
    traced = trace(func)
    for inputs in get_tracing_inputs(func, n_trace_checks):
        torch.testing.assert_close(traced(*inputs["forward"]), func(*inputs["forward"]))
    return traced


def assert_torch_compile(
    compile_mode: str, func: Callable[..., torch.nn.Module], *args: Any, **options: Any
) -> torch.nn.Module:
    """Refuse a module that ``torch.compile`` breaks into several graphs, or changes.

    Args:
        compile_mode: backend of ``torch.compile``.
        func: makes the module.
        *args: arguments of ``func``.
        **options: arguments of ``func``.

    Returns:
        The compiled module.

    Raises:
        AssertionError: the numbers differ.
    """
    module = func(*args, **options)
    compiled = torch.compile(module, fullgraph=True, backend=compile_mode)
    (inputs,) = get_tracing_inputs(module)
    torch.testing.assert_close(compiled(*inputs["forward"]), module(*inputs["forward"]))
    return cast(torch.nn.Module, compiled)


def set_random_seeds() -> None:
    """Seed the global generators of torch, numpy and Python with 0."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (e3nn's interface seeds the global generator)
    random.seed(0)


def __getattr__(name: str) -> Any:
    # pytest is needed by the fixture only
    if name != "float_tolerance":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    @pytest.fixture(scope="session", params=["float32", "float64"])
    def float_tolerance(request: Any) -> Any:
        """Runs a test with each dtype as torch's default; gives the tolerance."""
        before = torch.get_default_dtype()
        dtype = getattr(torch, request.param)
        torch.set_default_dtype(dtype)
        yield FLOAT_TOLERANCE[dtype]
        torch.set_default_dtype(before)

    return float_tolerance

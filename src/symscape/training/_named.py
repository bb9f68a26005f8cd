"""Functions by name, as the command line gives them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from symscape.training._model import one_line

__all__ = ["named_function"]


def named_function(name: str) -> Callable[..., Any]:
    """Import ``module:function``.

    Raises:
        ValueError: another form, a module that cannot be imported, or no such function.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function) or module.startswith("."):
        raise ValueError(f"model: {name!r} given; allowed: module:function, as in nets:build")
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # the module runs whatever it contains
        raise ValueError(f"model: {name} cannot be imported: {one_line(error)}") from error
    if not callable(found):
        raise ValueError(f"model: {name} is a {type(found).__name__}; allowed: a function")
    return found

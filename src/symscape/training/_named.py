"""Networks by the name of the function that makes them, as the command line gives them."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from symscape._arguments import integer
from symscape.training._model import one_line

__all__ = ["model_fingerprint", "named_model", "named_object"]


def named_object(name: str) -> Any:
    """Import ``module:attribute``.

    Raises:
        ValueError: another form, a module that cannot be imported, or no such attribute.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute) or module.startswith("."):
        raise ValueError(f"model: {name!r} given; allowed: module:function, as in nets:build")
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # a network that the module makes is the same in every process
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the module runs whatever it contains
        raise ValueError(f"model: {name} cannot be imported: {one_line(error)}") from error


def named_model(name: str, *, seed: int, **offered: Any) -> nn.Module:
    """Call the function ``module:function``, which returns a torch module.

    It is given those of ``seed`` and the other offered arguments that it has parameters for, and
    the global random numbers of torch start from the seed, so that a function without arguments
    gives another network for each seed, too. A module in place of a function is copied.

    Args:
        name: of the function.
        seed: of the network.
        **offered: arguments by name.

    Raises:
        ValueError: it cannot be imported or called, needs further arguments, or returns something
            else.
    """
    seed = integer("seed", seed)
    found = named_object(name)
    if isinstance(found, nn.Module):
        return copy.deepcopy(found)
    if not callable(found):
        raise ValueError(f"model: {name} is a {type(found).__name__}; allowed: a function")
    arguments = _taken(name, found, {**offered, "seed": seed})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = found(**arguments)
        except Exception as error:  # the function runs whatever it contains
            raise ValueError(f"model: {name} cannot be called: {one_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"model: {name} gives a {type(model).__name__}; allowed: a torch.nn.Module"
        )
    return model


def model_fingerprint(name: str, model: nn.Module) -> str:
    """A digest of what a named network is: its layers, and the file of its function.

    Results that are kept under it are left aside when that file is edited (what it imports from
    other files is not looked at).
    """
    text = repr(model)
    with suppress(TypeError, OSError):  # made by code, or without a source file
        text += Path(inspect.getfile(named_object(name))).read_text(encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _taken(name: str, function: Any, offered: dict[str, Any]) -> dict[str, Any]:
    """The offered arguments that a function has parameters for."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a function without a signature
        return {}
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    alone = [p for p in parameters if p.kind is p.POSITIONAL_ONLY] + [
        p for p in named if p.name not in offered
    ]
    needed = [p.name for p in alone if p.default is p.empty]
    if needed:
        raise ValueError(
            f"model: {name} needs the argument {needed[0]!r}; allowed: {', '.join(offered)}, and "
            "others with defaults"
        )
    return {p.name: offered[p.name] for p in named if p.name in offered}

"""Finds modules named e3nn and makes them of symscape's."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from symscape.compat.e3nn._modules import ALIASES, FALLBACKS, PACKAGES, SOURCES
from symscape.compat.e3nn._options import __version__
from symscape.o3 import wigner_signs

__all__ = ["install", "installed", "uninstall"]

_ROOT = "e3nn"


class _Finder(MetaPathFinder, Loader):
    """Finder and loader of the modules in `SOURCES`.

    Attributes:
        signs: those of the Wigner 3j symbols while it is installed.
        context: in which they have these signs.
    """

    def __init__(self) -> None:
        self.signs = "0.6"
        self.context: AbstractContextManager[None] | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in SOURCES:
            return None
        return ModuleSpec(fullname, self, is_package=fullname in PACKAGES)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the names of its sources, which are looked up when they are asked for."""
        sources = SOURCES[module.__name__]
        package = ".".join(module.__name__.split(".")[:2])
        fallbacks = () if module.__name__ == package else FALLBACKS.get(package, ())
        submodules = _submodules(module.__name__)

        def resolve(name: str) -> Any:
            if name in submodules:
                return importlib.import_module(f"{module.__name__}.{name}")
            if not name.startswith("__"):
                alias = ALIASES.get((module.__name__, name))
                places = [alias] if alias else [(place, name) for place in (*sources, *fallbacks)]
                for source, known in places:
                    try:
                        value = getattr(importlib.import_module(source), known)
                    except AttributeError:
                        continue
                    setattr(module, name, value)
                    return value
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        namespace = vars(module)
        namespace["__getattr__"] = resolve
        namespace["__doc__"] = f"The interface of {module.__name__}, from {', '.join(sources)}."
        if module.__name__ == _ROOT:
            namespace["__version__"] = __version__
        public = [
            name
            for source in sources
            for name in getattr(importlib.import_module(source), "__all__", ())
        ]
        if public:
            namespace["__all__"] = list(dict.fromkeys(public))


_finder = _Finder()


def install(signs: str = "0.6") -> None:
    """Make ``import e3nn`` resolve to symscape, in this process.

    An installed e3nn is hidden, not changed. A second call does nothing.

    Args:
        signs: whose signs the Wigner 3j symbols have, ``"0.6"`` or ``"0.4"``. Those of e3nn 0.4
            differ for some triples of odd sum ([symscape.o3.wigner_3j][]); weights that were
            trained there with paths that use them, as in products 1o x 2e -> 2o, need ``"0.4"``.
            It holds for what is built in this thread until `uninstall`.

    Raises:
        ValueError: unknown ``signs``, or other ones than at the first call.
        RuntimeError: the real e3nn is already imported; two libraries cannot share the name, and
            classes of both would not know each other.
    """
    if installed():
        if signs != _finder.signs:
            raise ValueError(
                f"signs: {signs!r} given, but installed with {_finder.signs!r}; allowed: the same, "
                "or uninstall() before"
            )
        return
    if any(name == _ROOT or name.startswith(f"{_ROOT}.") for name in sys.modules):
        raise RuntimeError(
            "e3nn is already imported; call symscape.compat.e3nn.install() before anything that "
            "imports e3nn"
        )
    context = wigner_signs(signs)
    context.__enter__()
    _finder.signs, _finder.context = signs, context
    sys.meta_path.insert(0, _finder)
    importlib.invalidate_caches()


def installed() -> bool:
    """Whether ``import e3nn`` resolves to symscape."""
    return _finder in sys.meta_path


def uninstall() -> None:
    """Undo [symscape.compat.e3nn.install][]: the name e3nn is free again.

    Modules that imported e3nn meanwhile keep symscape's objects. Without `install()` before, this
    does nothing.
    """
    if not installed():
        return
    sys.meta_path.remove(_finder)
    if _finder.context is not None:
        _finder.context.__exit__(None, None, None)
        _finder.context = None
    for name in SOURCES:
        sys.modules.pop(name, None)


def _submodules(name: str) -> set[str]:
    prefix = f"{name}."
    return {
        other.removeprefix(prefix)
        for other in SOURCES
        if other.startswith(prefix) and "." not in other.removeprefix(prefix)
    }

"""Finds modules named e3nn and makes them of symscape's."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from symscape.compat.e3nn._modules import PACKAGES, SOURCES
from symscape.compat.e3nn._options import __version__

__all__ = ["install", "installed", "uninstall"]

_ROOT = "e3nn"


class _Finder(MetaPathFinder, Loader):
    """Finder and loader of the modules in `SOURCES`."""

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
        submodules = _submodules(module.__name__)

        def resolve(name: str) -> Any:
            if name in submodules:
                return importlib.import_module(f"{module.__name__}.{name}")
            if not name.startswith("__"):
                for source in sources:
                    try:
                        value = getattr(importlib.import_module(source), name)
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


def install() -> None:
    """Make ``import e3nn`` resolve to symscape, in this process.

    An installed e3nn is hidden, not changed. A second call does nothing.

    Raises:
        RuntimeError: the real e3nn is already imported; two libraries cannot share the name, and
            classes of both would not know each other.
    """
    if installed():
        return
    if any(name == _ROOT or name.startswith(f"{_ROOT}.") for name in sys.modules):
        raise RuntimeError(
            "e3nn is already imported; call symscape.compat.e3nn.install() before anything that "
            "imports e3nn"
        )
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
    for name in SOURCES:
        sys.modules.pop(name, None)


def _submodules(name: str) -> set[str]:
    prefix = f"{name}."
    return {
        other.removeprefix(prefix)
        for other in SOURCES
        if other.startswith(prefix) and "." not in other.removeprefix(prefix)
    }

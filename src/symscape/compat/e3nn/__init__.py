"""The interface of e3nn on top of symscape.

After `install()`, ``import e3nn`` and its submodules, down to the private paths that clients such
as MACE and NequIP import, resolve to symscape:

    from symscape.compat import e3nn as compat

    compat.install()
    from e3nn import nn, o3  # symscape's

The package e3nn itself need not be installed.
"""

from symscape.compat.e3nn._install import install, installed, uninstall
from symscape.compat.e3nn._options import (
    __version__,
    get_optimization_defaults,
    set_optimization_defaults,
)

__all__ = [
    "__version__",
    "get_optimization_defaults",
    "install",
    "installed",
    "set_optimization_defaults",
    "uninstall",
]

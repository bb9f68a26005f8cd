"""e3nn's base class of modules with generated code."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["CodeGenMixin"]


class CodeGenMixin:
    """Base class of clients' modules that hold traced graphs.

    symscape's own modules do not generate graphs, and do not derive from it.
    """

    def _codegen_register(self, funcs: Mapping[str, torch.fx.GraphModule]) -> None:
        """Make the graphs submodules of these names; torch pickles them as they are."""
        for name, graph in funcs.items():
            setattr(self, name, graph)

"""Which modules of symscape stand for which module of e3nn."""

from __future__ import annotations

_HERE = "symscape.compat.e3nn"

_OWN = {
    "e3nn": ("_options",),
    "e3nn.util": ("_util",),
    "e3nn.util._argtools": ("_util",),
    "e3nn.util._context": ("_util",),
    "e3nn.util.codegen": ("_codegen",),
    "e3nn.util.codegen._mixin": ("_codegen",),
    "e3nn.util.datatypes": ("_util",),
    "e3nn.util.default_type": ("_util",),
    "e3nn.util.jit": ("_jit",),
    "e3nn.util.test": ("_test",),
}

# A private module of e3nn offers what its package does; clients import the one or the other.
_PRIVATE = {
    "e3nn.io": ("_cartesian_tensor", "_spherical_tensor"),
    "e3nn.math": (
        "_bessel",
        "_linalg",
        "_normalize_activation",
        "_reduce",
        "_soft_one_hot_linspace",
        "_soft_unit_step",
    ),
    "e3nn.nn": (
        "_activation",
        "_batchnorm",
        "_dropout",
        "_extract",
        "_gate",
        "_identity",
        "_normact",
        "_s2act",
        "_so3act",
    ),
    "e3nn.o3": (
        "_angular_spherical_harmonics",
        "_irreps",
        "_linear",
        "_norm",
        "_reduce",
        "_rotation",
        "_s2grid",
        "_so3grid",
        "_spherical_harmonics",
        "_tensor_product",
        "_tensor_product._codegen",
        "_tensor_product._instruction",
        "_tensor_product._sub",
        "_tensor_product._tensor_product",
        "_wigner",
    ),
}

SOURCES: dict[str, tuple[str, ...]] = {
    **{name: tuple(f"{_HERE}.{module}" for module in modules) for name, modules in _OWN.items()},
    "e3nn.io": ("symscape.io",),
    "e3nn.math": ("symscape.math",),
    "e3nn.math.perm": ("symscape.math.perm",),
    "e3nn.nn": ("symscape.nn",),
    "e3nn.nn._fc": ("symscape.nn._fc",),
    "e3nn.o3": ("symscape.o3",),
    "e3nn.o3.irrep": ("symscape.o3.irrep",),
    **{
        f"{package}.{module}": (package.replace("e3nn", "symscape"),)
        for package, modules in _PRIVATE.items()
        for module in modules
    },
}
"""For each module of e3nn, the modules whose names it has; the first that has a name gives it."""

PACKAGES = frozenset(name.rpartition(".")[0] for name in SOURCES) - {""}
"""The modules that have submodules."""

"""Which modules of symscape stand for which module of e3nn."""

from __future__ import annotations

_HERE = "symscape.compat.e3nn"

_OWN = {
    "e3nn": ("_options",),
    "e3nn.util": ("_util",),
    "e3nn.util._argtools": ("_argtools",),
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

_MODELS = (
    "gate_points_2101",
    "gate_points_2102",
    "v2103",
    "v2103.conv_points_in_out",
    "v2103.gate_points_message_passing",
    "v2103.gate_points_networks",
    "v2103.points_convolution",
    "v2103.voxel_convolution",
    "v2104",
    "v2104.voxel_convolution",
    "v2106",
    "v2106.gate_points_message_passing",
    "v2106.gate_points_networks",
    "v2106.points_convolution",
    "v2203",
    "v2203.sparse_voxel_convolution",
)

SOURCES: dict[str, tuple[str, ...]] = {
    **{name: tuple(f"{_HERE}.{module}" for module in modules) for name, modules in _OWN.items()},
    "e3nn.io": ("symscape.io",),
    "e3nn.math": ("symscape.math",),
    "e3nn.math.perm": ("symscape.math.perm",),
    "e3nn.nn": ("symscape.nn",),
    "e3nn.nn._fc": ("symscape.nn._fc",),
    "e3nn.nn.models": ("symscape.nn.models",),
    **{f"e3nn.nn.models.{name}": (f"symscape.nn.models.{name}",) for name in _MODELS},
    "e3nn.o3": ("symscape.o3",),
    "e3nn.o3.experimental": ("symscape.o3.experimental",),
    "e3nn.o3.experimental._elementwise_tp": ("symscape.o3.experimental",),
    "e3nn.o3.experimental._full_tp": ("symscape.o3.experimental",),
    "e3nn.o3.irrep": ("symscape.o3.irrep",),
    **{
        f"{package}.{module}": (package.replace("e3nn", "symscape"),)
        for package, modules in _PRIVATE.items()
        for module in modules
    },
}
"""For each module of e3nn, the modules whose names it has; the first that has a name gives it."""

FALLBACKS: dict[str, tuple[str, ...]] = {
    "e3nn.io": ("symscape.o3",),
    "e3nn.math": (f"{_HERE}._jit", f"{_HERE}._util"),
    "e3nn.nn": (
        f"{_HERE}._jit",
        "symscape.nn",
        "symscape.o3",
        "symscape.math",
        f"{_HERE}._codegen",
    ),
    "e3nn.o3": (f"{_HERE}._jit", "symscape.math", f"{_HERE}._codegen", f"{_HERE}._util"),
    "e3nn.util": (f"{_HERE}._jit", "symscape.o3"),
}
"""What the modules of a package, other than the package itself, have imported from elsewhere.

Some clients take a name from where e3nn happens to use it, not from where it is defined.
"""

ALIASES: dict[tuple[str, str], tuple[str, str]] = {
    ("e3nn.nn._gate", "_Sortcut"): (f"{_HERE}._private", "_Sortcut"),
    ("e3nn.o3._irreps", "_MulIr"): ("symscape.o3", "MulIr"),
    ("e3nn.o3._linear", "Instruction"): ("symscape.o3._linear", "LinearInstruction"),
    ("e3nn.o3._spherical_harmonics", "_spherical_harmonics"): (
        f"{_HERE}._private",
        "_spherical_harmonics",
    ),
    ("e3nn.o3._wigner", "_so3_clebsch_gordan"): (f"{_HERE}._private", "_so3_clebsch_gordan"),
    ("e3nn.o3.experimental._elementwise_tp", "ElementwiseTensorProduct"): (
        "symscape.o3.experimental",
        "ElementwiseTensorProductv2",
    ),
    ("e3nn.o3.experimental._full_tp", "FullTensorProduct"): (
        "symscape.o3.experimental",
        "FullTensorProductv2",
    ),
}
"""Names that mean something else than those of the sources: module and name in e3nn, and here."""

PACKAGES = frozenset(name.rpartition(".")[0] for name in SOURCES) - {""}
"""The modules that have submodules."""

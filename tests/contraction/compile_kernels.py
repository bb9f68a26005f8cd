"""Compile kernels for an NVIDIA GPU, which need not be there; a process of its own.

Once Triton has run in its interpreter, it does not compile. Prints, as JSON by kernel, whether the
assembly has a multiply-add of the kernel's dtype and how many of the table's constants it contains
in full precision.
"""

from __future__ import annotations

import json
import struct

import triton
from contraction_cases import make_product
from triton.backends.compiler import GPUTarget

from symscape.contraction import Product, _cuda
from symscape.contraction import _triton_kernels as kernels

KERNELS = {
    "out": (("out",), None, False, False),
    "gradients": (("gx", "gy", "gw"), None, False, False),
    "variation": (("out", "gx", "gy", "gw"), ("tx", "ty", "tw"), False, False),
    "edges": (("gy", "gw"), None, True, False),
    "messages": (("out",), None, True, True),
    "to sources": (("gx",), ("ty",), True, True),
    "shared weights": (("gw",), None, False, True),
}


def assembly(product: Product, kernel: kernels.TileKernel) -> str:
    names = (*kernels.arguments(product, kernel), "ROWS")
    scalar = "*fp64" if kernel.double else "*fp32"
    kinds = {"rows": "i32", "ROWS": "constexpr"}
    kinds |= dict.fromkeys(("starts", "order", "source", "destination"), "*i64")
    signature = {
        name: kinds.get(name, "i64" if name.endswith("_stride") else scalar) for name in names
    }
    constants = {"ROWS": kernels.tile_rows(product)}
    source = triton.compiler.ASTSource(_cuda._function(product, kernel), signature, constants)
    return triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["ptx"]


def hexadecimal(value: float, double: bool) -> str:
    """As PTX writes it."""
    if double:
        return "0d" + struct.pack(">d", value).hex().upper()
    return "0f" + struct.pack(">f", value).hex().upper()


def main() -> None:
    product = make_product("uvu", 9, 2, dims=(2, 2, 2))
    (path,) = product.paths
    found = {}
    for name, description in KERNELS.items():
        for double in (False, True):
            outputs, tangents, gather, looped = description
            kernel = kernels.TileKernel(outputs, tangents, double, gather, looped)
            text = assembly(product, kernel)
            # the sign may have gone into a subtraction
            values = {abs(path.coefficient * entry[3]) for entry in path.table}
            constants = [
                hexadecimal(value, double) in text or hexadecimal(-value, double) in text
                for value in values
            ]
            found[f"{name} {'fp64' if double else 'fp32'}"] = {
                "multiply_add": f"fma.rn.f{64 if double else 32}" in text,
                "constants": sum(constants) / len(constants),
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main()

"""The one numeric engine under every tensor product.

Every product is a sum over paths of a sparse trilinear form,

    out[z, k, w] += c * C[i, j, k] * x[z, i, u] * y[z, j, v] * weight[(z,) u, v, w].

`Product` describes the paths, `contract` evaluates them, `convolve` sums them over the edges of a
graph, and `mix` is the linear layer.
"""

from symscape.contraction._contract import (
    available_backends,
    contract,
    contract_right,
    convolve,
    mix,
)
from symscape.contraction._memory import idle_memory, release_memory
from symscape.contraction._product import (
    MODES,
    Mixing,
    MixingPath,
    Path,
    Product,
    Segment,
    Table,
    path_shape,
)

__all__ = [
    "MODES",
    "Mixing",
    "MixingPath",
    "Path",
    "Product",
    "Segment",
    "Table",
    "available_backends",
    "contract",
    "contract_right",
    "convolve",
    "idle_memory",
    "mix",
    "path_shape",
    "release_memory",
]

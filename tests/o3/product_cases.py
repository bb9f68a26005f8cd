"""The modules of the tensor-product half, each with inputs, for tests that all of them pass."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from symscape import o3

_IRREPS = "2x0e + 0o + 2x1o + 1e + 2e"

_FACTORIES: dict[str, Callable[[], tuple[torch.nn.Module, list[o3.Irreps], o3.Irreps]]] = {}


def _case(factory: Callable) -> Callable:
    _FACTORIES[factory.__name__.removeprefix("_")] = factory
    return factory


def _of(product: o3.TensorProduct) -> tuple:
    return product, [product.irreps_in1, product.irreps_in2], product.irreps_out


@_case
def _tensor_product() -> tuple:
    return _of(
        o3.TensorProduct(
            "2x0e + 2x1o + 3x1e",
            "2x1o + 3x1e + 2x0e",
            "2x1o + 3x2e + 2x0e + 6x1e + 1x0e + 1x1e",
            [
                (0, 0, 0, "uvu", True),
                (1, 0, 1, "uvw", True, 0.5),
                (1, 0, 2, "uuu", True),
                (1, 0, 1, "uuw", True),
                (0, 1, 3, "uvuv", True),
                (2, 1, 1, "u<vw", True),
                (1, 2, 0, "uvv", True),
                (1, 2, 0, "uuu", False),
                (1, 0, 4, "uvu<v", True),
                (1, 0, 5, "uvu<v", False),
            ],
        )
    )


@_case
def _fully_connected() -> tuple:
    return _of(o3.FullyConnectedTensorProduct(_IRREPS, "0e + 2x1o + 2e", "2x0e + 1o + 2x1e + 2o"))


@_case
def _elementwise() -> tuple:
    return _of(o3.ElementwiseTensorProduct("2x0e + 2x1o + 2e", "0e + 2x1o + 2x2o"))


@_case
def _full() -> tuple:
    return _of(o3.FullTensorProduct("2x0e + 1o", "2x1e + 2e"))


@_case
def _full_v2() -> tuple:
    return _of(o3.FullTensorProductv2("1o + 2x0e + 1o", "2x1e + 2e"))


@_case
def _elementwise_v2() -> tuple:
    return _of(o3.experimental.ElementwiseTensorProductv2("1o + 2x0e + 1o", "2x1e + 2x2e"))


@_case
def _square() -> tuple:
    product = o3.TensorSquare("2x0e + 2x1o + 2e")
    return product, [product.irreps_in], product.irreps_out


@_case
def _square_with_weights() -> tuple:
    product = o3.TensorSquare("2x0e + 2x1o + 2e", "2x0e + 2x1e + 2o + 2e")
    return product, [product.irreps_in], product.irreps_out


@_case
def _linear() -> tuple:
    linear = o3.Linear(_IRREPS, "3x0e + 2x1o + 0o + 1x1o + 3e", biases=True)
    return linear, [linear.irreps_in], linear.irreps_out


@_case
def _norm() -> tuple:
    norm = o3.Norm(_IRREPS)
    return norm, [norm.irreps_in], norm.irreps_out


@_case
def _squared_norm() -> tuple:
    norm = o3.Norm(_IRREPS, squared=True)
    return norm, [norm.irreps_in], norm.irreps_out


@_case
def _reduced() -> tuple:
    reduced = o3.ReducedTensorProducts("ijk=-jik", i="1o+0e", k="1e")
    return reduced, reduced.irreps_in, reduced.irreps_out


class Case:
    """A module, its inputs and the irreps of inputs and output."""

    def __init__(self, name: str, dtype: torch.dtype = torch.float64, batch: int = 3) -> None:
        torch.manual_seed(0)
        default = torch.get_default_dtype()
        torch.set_default_dtype(dtype)  # tables are rounded to the default dtype, as parameters are
        try:
            self.module, self.irreps_in, self.irreps_out = _FACTORIES[name]()
        finally:
            torch.set_default_dtype(default)
        self.dtype = dtype
        self.inputs = self.sample(batch)

    def sample(self, *leading: int) -> list[Tensor]:
        return [irreps.randn(*leading, -1, dtype=self.dtype) for irreps in self.irreps_in]


all_modules = pytest.mark.parametrize("name", list(_FACTORIES))

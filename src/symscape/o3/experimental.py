"""The products that e3nn calls experimental."""

from symscape.o3._elementwise_tensor_product import ElementwiseTensorProductv2
from symscape.o3._full_tensor_product import FullTensorProductv2

__all__ = ["ElementwiseTensorProductv2", "FullTensorProductv2"]

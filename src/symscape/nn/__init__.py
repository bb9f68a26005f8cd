"""Equivariant modules built on o3: gates, activations, normalizations, radial networks."""

from symscape.nn._activation import Activation
from symscape.nn._batchnorm import BatchNorm
from symscape.nn._dropout import Dropout
from symscape.nn._extract import Extract, ExtractIr
from symscape.nn._fc import FullyConnectedNet
from symscape.nn._fused_convolution import FusedConvolution
from symscape.nn._gate import Gate
from symscape.nn._identity import Identity
from symscape.nn._instancenorm import InstanceNorm
from symscape.nn._layernorm import LayerNorm
from symscape.nn._norm_activation import NormActivation
from symscape.nn._s2_activation import S2Activation
from symscape.nn._so3_activation import SO3Activation

__all__ = [
    "Activation",
    "BatchNorm",
    "Dropout",
    "Extract",
    "ExtractIr",
    "FullyConnectedNet",
    "FusedConvolution",
    "Gate",
    "Identity",
    "InstanceNorm",
    "LayerNorm",
    "NormActivation",
    "S2Activation",
    "SO3Activation",
]

"""The networks of chapter 4, from fully connected to EfficientNet, in plain torch.

Parameter counts agree with the thesis's nets, but for EfficientNetB0: its first block has no
expansion, which the thesis's code declares and never uses, and so 1088 parameters less. ``width``
scales the channels, for small machines.
"""

from symscape.diffeo.zoo._build import NAMES, build, n_parameters
from symscape.diffeo.zoo._efficientnet import EfficientNetB0
from symscape.diffeo.zoo._fully_connected import FullConn
from symscape.diffeo.zoo._resnet import ResNet
from symscape.diffeo.zoo._sequential import alexnet, lenet, vgg

__all__ = [
    "NAMES",
    "EfficientNetB0",
    "FullConn",
    "ResNet",
    "alexnet",
    "build",
    "lenet",
    "n_parameters",
    "vgg",
]

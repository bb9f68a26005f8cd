"""The introduction: networks and their initialization, losses, landscapes, dimensionality."""

from symscape.experiments.introduction import _convolution as _convolution
from symscape.experiments.introduction import (
    _curse_of_dimensionality as _curse_of_dimensionality,
)
from symscape.experiments.introduction import _landscape as _landscape
from symscape.experiments.introduction import _losses as _losses
from symscape.experiments.introduction import _networks as _networks
from symscape.experiments.introduction import _overparametrization as _overparametrization

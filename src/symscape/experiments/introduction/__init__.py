"""The introduction: networks and their initialization, losses, the curse of dimensionality."""

from symscape.experiments.introduction import (
    _curse_of_dimensionality as _curse_of_dimensionality,
)
from symscape.experiments.introduction import _losses as _losses
from symscape.experiments.introduction import _networks as _networks

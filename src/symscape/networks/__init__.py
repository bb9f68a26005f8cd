"""Fully connected networks, f(w, x) as a function of one flat vector of parameters, and the
convolutional ones of the thesis, which are torch modules.

>>> import torch
>>> from symscape.networks import FullyConnected
>>> net = FullyConnected(d=7, h=9, L=3, c=2)
>>> net.n_weights, net.n_parameters
(243, 272)
>>> w = net.initial_weights(seed=0, scheme="orthogonal")
>>> net(w, torch.zeros(5, 7, dtype=torch.float64)).shape
torch.Size([5, 2])
"""

from symscape.networks._activations import Activation, activation
from symscape.networks._convolutional import (
    Nonlinearity,
    PooledCNN,
    Scale,
    StridedCNN,
    WideResNet,
)
from symscape.networks._fully_connected import FullyConnected, width_from_weights
from symscape.networks._module import FullyConnectedModule
from symscape.networks._propagator import Propagator

__all__ = [
    "Activation",
    "FullyConnected",
    "FullyConnectedModule",
    "Nonlinearity",
    "PooledCNN",
    "Propagator",
    "Scale",
    "StridedCNN",
    "WideResNet",
    "activation",
    "width_from_weights",
]

"""Supervised training of torch modules, carried by Lightning Fabric with torch's optimizers.

The flows, ensembles and full-batch methods of :mod:`symscape.dynamics` are for the library's own
fully connected networks; :func:`fit` trains any module, in minibatches, with the same losses and
the same centred predictor.

>>> import torch
>>> from symscape import dynamics, training
>>> net = torch.nn.Sequential(torch.nn.Linear(2, 30), torch.nn.ReLU(), torch.nn.Linear(30, 1))
>>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
>>> y = x[:, 0] * x[:, 1]
>>> training.fit(net, x, y, loss=dynamics.Hinge(), lr=0.01, steps=1000, alpha=1.0).status
'converged'
"""

from symscape.training._checks import check_stationary
from symscape.training._fit import Fit, FitStatus, fit
from symscape.training._model import outputs, trial_outputs
from symscape.training._named import model_fingerprint, named_model, named_object
from symscape.training._optimizer import OptimizerName
from symscape.training._rate import first_step_rate

__all__ = [
    "Fit",
    "FitStatus",
    "OptimizerName",
    "check_stationary",
    "first_step_rate",
    "fit",
    "model_fingerprint",
    "named_model",
    "named_object",
    "outputs",
    "trial_outputs",
]

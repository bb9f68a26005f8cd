"""The jamming transition (chapter 1, and the first paper of chapter 2).

Paper A: *The jamming transition as a paradigm to understand the loss landscape of deep neural
networks*. Paper B: *A jamming transition from under- to over-parametrization affects
generalization in deep learning*.
"""

from symscape.experiments.jamming._effective_parameters import EffectiveParameters
from symscape.experiments.jamming._ellipses import Ellipses
from symscape.experiments.jamming._generalization import Generalization
from symscape.experiments.jamming._hinge_or_cross_entropy import HingeOrCrossEntropy
from symscape.experiments.jamming._line import Line
from symscape.experiments.jamming._line_cross_entropy import LineCrossEntropy
from symscape.experiments.jamming._mnist import Mnist
from symscape.experiments.jamming._spheres import Spheres
from symscape.experiments.jamming._transition import Transition

__all__ = [
    "EffectiveParameters",
    "Ellipses",
    "Generalization",
    "HingeOrCrossEntropy",
    "Line",
    "LineCrossEntropy",
    "Mnist",
    "Spheres",
    "Transition",
]

"""Double descent (the second paper of chapter 2).

The paper *Scaling description of generalization with number of parameters in deep learning*.
"""

from symscape.experiments.double_descent._boundary import DoubleDescentBoundary
from symscape.experiments.double_descent._cnn import DoubleDescentConvolutions
from symscape.experiments.double_descent._ensembles import DoubleDescentEnsembles
from symscape.experiments.double_descent._kernel import DoubleDescentKernel
from symscape.experiments.double_descent._margin import DoubleDescentMargin
from symscape.experiments.double_descent._width import DoubleDescentWidth

__all__ = [
    "DoubleDescentBoundary",
    "DoubleDescentConvolutions",
    "DoubleDescentEnsembles",
    "DoubleDescentKernel",
    "DoubleDescentMargin",
    "DoubleDescentWidth",
]

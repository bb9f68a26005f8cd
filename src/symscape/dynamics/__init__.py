"""Losses, integrators and training loops for one network or an ensemble of them."""

from symscape.dynamics._boundary import (
    BoundaryDistance,
    LineSearch,
    boundary_distance,
    line_search,
)
from symscape.dynamics._chebyshev import Chebyshev
from symscape.dynamics._controllers import ErrorPerStep, FixedStep, GradientChange
from symscape.dynamics._ensemble import train_ensemble
from symscape.dynamics._ensemble_statistics import (
    EnsembleStatistics,
    ensemble_statistics,
    subset_errors,
)
from symscape.dynamics._euler_thesis import EulerThesis
from symscape.dynamics._fire import Fire
from symscape.dynamics._first_order import Adam, GradientDescent
from symscape.dynamics._input_gradients import (
    input_gradient_norm,
    input_gradients,
)
from symscape.dynamics._labels import check_labels, check_signs
from symscape.dynamics._losses import (
    CrossEntropy,
    Hinge,
    Loss,
    MulticlassHinge,
    SoftHinge,
    Square,
    misclassified,
    unsatisfied,
)
from symscape.dynamics._minimize import minimize
from symscape.dynamics._multi_margin import MultiMargin
from symscape.dynamics._observed import (
    displacement,
    output_norm,
    preactivation_speed,
)
from symscape.dynamics._result import EnsembleResult, Snapshot, TrainResult
from symscape.dynamics._runge_kutta import RungeKutta
from symscape.dynamics._sgd import SGD
from symscape.dynamics._stepper import Integrator
from symscape.dynamics._stop import Plateau, Record, Status, Stop
from symscape.dynamics._tableau import BOGACKI_SHAMPINE, ButcherTableau
from symscape.dynamics._train import train
from symscape.dynamics._train_frozen import train_frozen

__all__ = [
    "BOGACKI_SHAMPINE",
    "SGD",
    "Adam",
    "BoundaryDistance",
    "ButcherTableau",
    "Chebyshev",
    "CrossEntropy",
    "EnsembleResult",
    "EnsembleStatistics",
    "ErrorPerStep",
    "EulerThesis",
    "Fire",
    "FixedStep",
    "GradientChange",
    "GradientDescent",
    "Hinge",
    "Integrator",
    "LineSearch",
    "Loss",
    "MultiMargin",
    "MulticlassHinge",
    "Plateau",
    "Record",
    "RungeKutta",
    "Snapshot",
    "SoftHinge",
    "Square",
    "Status",
    "Stop",
    "TrainResult",
    "boundary_distance",
    "check_labels",
    "check_signs",
    "displacement",
    "ensemble_statistics",
    "input_gradient_norm",
    "input_gradients",
    "line_search",
    "minimize",
    "misclassified",
    "output_norm",
    "preactivation_speed",
    "subset_errors",
    "train",
    "train_ensemble",
    "train_frozen",
    "unsatisfied",
]

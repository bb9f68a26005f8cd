"""Chapter 8: double descent in an exact model, initializations of wide networks, and SGD."""

from symscape.experiments.discussion import _double_descent as _double_descent
from symscape.experiments.discussion import _parametrization_limits as _parametrization_limits
from symscape.experiments.discussion import _parametrizations as _parametrizations
from symscape.experiments.discussion import _sgd_jamming as _sgd_jamming
from symscape.experiments.discussion import _sgd_plane as _sgd_plane

"""Power laws: fits with stated windows, error bars over seeds, collapses, extrapolation.

The points of a learning curve share their data and are correlated, so that the scatter about a line
says nothing of the error of its slope. Here the seed is the unit: every error bar comes from
resampling whole curves.
"""

from symscape.scaling._bootstrap import Estimate, cluster_bootstrap
from symscape.scaling._collapse import Collapse, Curve, fit_collapse
from symscape.scaling._constant import ConstantTest, constant_test
from symscape.scaling._power_law import (
    Extrapolation,
    LocalExponents,
    PowerLaw,
    fit_power_law,
    local_exponents,
)

__all__ = [
    "Collapse",
    "ConstantTest",
    "Curve",
    "Estimate",
    "Extrapolation",
    "LocalExponents",
    "PowerLaw",
    "cluster_bootstrap",
    "constant_test",
    "fit_collapse",
    "fit_power_law",
    "local_exponents",
]

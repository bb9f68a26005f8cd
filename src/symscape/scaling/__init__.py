"""Statistics of experiments: numbers with their errors, power laws, collapses, extrapolation.

The points of a learning curve share their data and are correlated, so that the scatter about a line
says nothing of the error of its slope. Here the seed is the unit: every error bar comes from
resampling whole curves, and few seeds use Student's factor.
"""

from symscape.scaling._bootstrap import cluster_bootstrap
from symscape.scaling._collapse import Collapse, Curve, fit_collapse
from symscape.scaling._constant import ConstantTest, constant_test
from symscape.scaling._crossing import crossing
from symscape.scaling._estimate import (
    Estimate,
    NoEstimate,
    bootstrap,
    difference,
    exponential,
    geometric_mean,
    listed,
    margin,
    mean,
    number,
    ratio,
    scan,
    share,
    spread,
    student,
    worst,
)
from symscape.scaling._fixed_powers import FixedPowers, fit_fixed_powers, fit_free_power
from symscape.scaling._power_law import (
    Extrapolation,
    LocalExponents,
    PowerLaw,
    fit_power_law,
    local_exponents,
    slope,
)

__all__ = [
    "Collapse",
    "ConstantTest",
    "Curve",
    "Estimate",
    "Extrapolation",
    "FixedPowers",
    "LocalExponents",
    "NoEstimate",
    "PowerLaw",
    "bootstrap",
    "cluster_bootstrap",
    "constant_test",
    "crossing",
    "difference",
    "exponential",
    "fit_collapse",
    "fit_fixed_powers",
    "fit_free_power",
    "fit_power_law",
    "geometric_mean",
    "listed",
    "local_exponents",
    "margin",
    "mean",
    "number",
    "ratio",
    "scan",
    "share",
    "slope",
    "spread",
    "student",
    "worst",
]

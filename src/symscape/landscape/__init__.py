"""The jamming landscape of networks: constraints, Hessians, spectra, cusps, the search for N*."""

from symscape.landscape._bounds import (
    GAMMA_SPHERES,
    THETA_SPHERES,
    StabilityCheck,
    check_stability,
    least_constraints,
    line_of_stability,
    marginal_gamma,
    most_parameters,
)
from symscape.landscape._constraints import (
    Constraints,
    constant_output_loss,
    constraints,
    delta,
    energy,
    misclassified,
    n_delta,
)
from symscape.landscape._cusps import Cusps, LayerPeak, cusps, ks_outside_peak
from symscape.landscape._distributions import (
    ExponentFit,
    LogHistogram,
    fit_exponent,
    log_histogram,
    p_minus,
    p_plus,
)
from symscape.landscape._effective import (
    EffectiveParameters,
    derivative_rows,
    effective_parameters,
)
from symscape.landscape._hessian import (
    HessianParts,
    h0_spectrum,
    hessian,
    hessian_by_autograd,
)
from symscape.landscape._lanczos import (
    Estimate,
    SpectralQuadrature,
    Tridiagonal,
    hutchinson_moment,
    lanczos,
    spectral_quadrature,
)
from symscape.landscape._least_gradient import LeastGradient, least_gradient
from symscape.landscape._max_margin import MaxMargin, inverse_margin, max_margin
from symscape.landscape._operator import HessianOperator
from symscape.landscape._propagation import PatternLoss
from symscape.landscape._soft_ellipses import EllipsePacking, jam_ellipses, minimize_ellipses
from symscape.landscape._soft_spheres import (
    Contacts,
    JammingPoint,
    SpherePacking,
    jam_spheres,
    minimize_packing,
    random_packing,
    sphere_hessian,
)
from symscape.landscape._spectrum import Inertia, Spectra, inertia, spectra
from symscape.landscape._transition import (
    Outcome,
    Transition,
    Trial,
    find_transition,
    fit_transition,
    search_width,
)

__all__ = [
    "GAMMA_SPHERES",
    "THETA_SPHERES",
    "Constraints",
    "Contacts",
    "Cusps",
    "EffectiveParameters",
    "EllipsePacking",
    "Estimate",
    "ExponentFit",
    "HessianOperator",
    "HessianParts",
    "Inertia",
    "JammingPoint",
    "LayerPeak",
    "LeastGradient",
    "LogHistogram",
    "MaxMargin",
    "Outcome",
    "PatternLoss",
    "Spectra",
    "SpectralQuadrature",
    "SpherePacking",
    "StabilityCheck",
    "Transition",
    "Trial",
    "Tridiagonal",
    "check_stability",
    "constant_output_loss",
    "constraints",
    "cusps",
    "delta",
    "derivative_rows",
    "effective_parameters",
    "energy",
    "find_transition",
    "fit_exponent",
    "fit_transition",
    "h0_spectrum",
    "hessian",
    "hessian_by_autograd",
    "hutchinson_moment",
    "inertia",
    "inverse_margin",
    "jam_ellipses",
    "jam_spheres",
    "ks_outside_peak",
    "lanczos",
    "least_constraints",
    "least_gradient",
    "line_of_stability",
    "log_histogram",
    "marginal_gamma",
    "max_margin",
    "minimize_ellipses",
    "minimize_packing",
    "misclassified",
    "most_parameters",
    "n_delta",
    "p_minus",
    "p_plus",
    "random_packing",
    "search_width",
    "spectra",
    "spectral_quadrature",
    "sphere_hessian",
]

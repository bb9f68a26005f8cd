"""Kernel regression (chapter 6), random features (8.1), the neural tangent kernel (chapter 3).

Kernel regression is computed in float64 with numpy; CPU tensors of torch are accepted as they are.
Neural tangent kernels are tensors, with the dtype and on the device of the network.
"""

from symscape.kernels._exponents import (
    density_exponent,
    exponent_of,
    in_rkhs,
    learning_exponent,
    smoothness_index,
    spectral_exponent,
)
from symscape.kernels._gradient_flow import FlowOutputs, flow_outputs, residual_covariance
from symscape.kernels._gram import Factor, factorize
from symscape.kernels._infinite import InfiniteKernels, infinite_kernels
from symscape.kernels._infinite_convolution import infinite_convolution_kernels
from symscape.kernels._iterative import IterativeSolution, solve_iterative
from symscape.kernels._kernel import Kernel, gaussian, laplace, matern, named, square_distances
from symscape.kernels._kernel_observables import (
    KernelPCA,
    alignment,
    kernel_change,
    kernel_norm,
    kernel_pca,
    mutual_information,
)
from symscape.kernels._lattice import Lattice
from symscape.kernels._lattice_theory import lattice_error
from symscape.kernels._neighbors import (
    EffectiveDimension,
    effective_dimension,
    nearest_distances,
    sphere_distance,
)
from symscape.kernels._ntk import empirical_ntk
from symscape.kernels._points import Domain, on_torus, random_points
from symscape.kernels._random_features import (
    Moments,
    Target,
    activation_moments,
    asymptotic_error,
    relu,
    simulate_random_features,
)
from symscape.kernels._regime import (
    CROSSOVER,
    KernelMotion,
    LearningRegime,
    Regime,
    kernel_motion,
    learning_regime,
    regime,
)
from symscape.kernels._regression import (
    LearningCurves,
    Predictions,
    TeacherErrors,
    learning_curves,
    nested_predictions,
    sample_field,
    teacher_errors,
)
from symscape.kernels._self_consistent import Modes, power_law_modes, self_consistent_curve
from symscape.kernels._spectrum import (
    GramSpectrum,
    eigenvalue_exponent,
    gram_spectrum,
    leading_eigenvalues,
    tail_exponent,
)
from symscape.kernels._sphere import sphere_modes
from symscape.kernels._svm import MarginMachine, margin_machine

__all__ = [
    "CROSSOVER",
    "Domain",
    "EffectiveDimension",
    "Factor",
    "FlowOutputs",
    "GramSpectrum",
    "InfiniteKernels",
    "IterativeSolution",
    "Kernel",
    "KernelMotion",
    "KernelPCA",
    "Lattice",
    "LearningCurves",
    "LearningRegime",
    "MarginMachine",
    "Modes",
    "Moments",
    "Predictions",
    "Regime",
    "Target",
    "TeacherErrors",
    "activation_moments",
    "alignment",
    "asymptotic_error",
    "density_exponent",
    "effective_dimension",
    "eigenvalue_exponent",
    "empirical_ntk",
    "exponent_of",
    "factorize",
    "flow_outputs",
    "gaussian",
    "gram_spectrum",
    "in_rkhs",
    "infinite_convolution_kernels",
    "infinite_kernels",
    "kernel_change",
    "kernel_motion",
    "kernel_norm",
    "kernel_pca",
    "laplace",
    "lattice_error",
    "leading_eigenvalues",
    "learning_curves",
    "learning_exponent",
    "learning_regime",
    "margin_machine",
    "matern",
    "mutual_information",
    "named",
    "nearest_distances",
    "nested_predictions",
    "on_torus",
    "power_law_modes",
    "random_points",
    "regime",
    "relu",
    "residual_covariance",
    "sample_field",
    "self_consistent_curve",
    "simulate_random_features",
    "smoothness_index",
    "solve_iterative",
    "spectral_exponent",
    "sphere_distance",
    "sphere_modes",
    "square_distances",
    "tail_exponent",
    "teacher_errors",
]

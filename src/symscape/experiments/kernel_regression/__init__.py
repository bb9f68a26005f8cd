"""Chapter 6: learning curves of kernel regression."""

from symscape.experiments.kernel_regression import _dimension as _dimension
from symscape.experiments.kernel_regression import _learning_curves as _learning_curves
from symscape.experiments.kernel_regression import _spectra as _spectra
from symscape.experiments.kernel_regression import _teacher_student as _teacher_student
from symscape.experiments.kernel_regression import _theory as _theory

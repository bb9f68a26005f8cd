"""Maximum-entropy diffeomorphisms of images and relative stability (chapter 4)."""

from symscape.diffeo._augmentation import augmented
from symscape.diffeo._classifier import ClassifierStability, classifier_stability
from symscape.diffeo._correlation import (
    Correlation,
    ErrorLaw,
    fit_error_law,
    log_average,
    log_correlation,
)
from symscape.diffeo._invertibility import fold, jacobian_determinant, typical_fold
from symscape.diffeo._maximum_entropy import (
    MaximumEntropy,
    field,
    field_gradient,
    gradient_norm,
)
from symscape.diffeo._modes import Modes, inverse_square_sum, mode_mask, sine_table
from symscape.diffeo._noise import matched_noise, noise
from symscape.diffeo._noise_response import noise_response
from symscape.diffeo._normals import sample_seeds
from symscape.diffeo._preparation import normalized_images
from symscape.diffeo._stability import (
    Average,
    Distances,
    Stability,
    measure_distances,
    relative_stability,
)
from symscape.diffeo._stripe import (
    STRIPE,
    StripeNetwork,
    StripeRun,
    cylinder_labels,
    stripe_labels,
    stripe_stability,
    train_stripe,
)
from symscape.diffeo._temperature import (
    AcceptableRange,
    acceptable_range,
    center_displacement,
    displacement,
    rms_displacement,
    temperature,
)
from symscape.diffeo._training import Recipe, TrainedClassifier, error_rate, train_classifier
from symscape.diffeo._transform import DeformedDataset, RandomDiffeomorphism
from symscape.diffeo._warp import SIGMA, Interpolation, warp

__all__ = [
    "SIGMA",
    "STRIPE",
    "AcceptableRange",
    "Average",
    "ClassifierStability",
    "Correlation",
    "DeformedDataset",
    "Distances",
    "ErrorLaw",
    "Interpolation",
    "MaximumEntropy",
    "Modes",
    "RandomDiffeomorphism",
    "Recipe",
    "Stability",
    "StripeNetwork",
    "StripeRun",
    "TrainedClassifier",
    "acceptable_range",
    "augmented",
    "center_displacement",
    "classifier_stability",
    "cylinder_labels",
    "displacement",
    "error_rate",
    "field",
    "field_gradient",
    "fit_error_law",
    "fold",
    "gradient_norm",
    "inverse_square_sum",
    "jacobian_determinant",
    "log_average",
    "log_correlation",
    "matched_noise",
    "measure_distances",
    "mode_mask",
    "noise",
    "noise_response",
    "normalized_images",
    "relative_stability",
    "rms_displacement",
    "sample_seeds",
    "sine_table",
    "stripe_labels",
    "stripe_stability",
    "temperature",
    "train_classifier",
    "train_stripe",
    "typical_fold",
    "warp",
]

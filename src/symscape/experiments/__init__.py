"""The thesis as experiments: one module per figure or table family, grouped by chapter.

Importing this package registers all of them.
"""

from symscape.experiments import (
    bandit,
    diffeomorphisms,
    discussion,
    double_descent,
    introduction,
    jamming,
    kernel_regression,
    learning_regimes,
)

__all__ = [
    "CHAPTERS",
    "bandit",
    "diffeomorphisms",
    "discussion",
    "double_descent",
    "introduction",
    "jamming",
    "kernel_regression",
    "learning_regimes",
]

CHAPTERS = {
    "0": "Introduction",
    "1": "The jamming transition",
    "2": "Double descent",
    "3": "Learning regimes",
    "4": "Deformations of images",
    "6": "Learning curves of kernel regression",
    "7": "Memory in a bandit",
    "8": "Discussion",
}
"""Titles of the thesis's chapters, for the report."""

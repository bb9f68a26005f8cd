"""The thesis as experiments: one module per figure or table family, grouped by chapter.

Importing this package registers all of them.
"""

from symscape.experiments import bandit, discussion, introduction, jamming, kernel_regression

__all__ = ["CHAPTERS", "bandit", "discussion", "introduction", "jamming", "kernel_regression"]

CHAPTERS = {
    "0": "Introduction",
    "1": "The jamming transition",
    "6": "Learning curves of kernel regression",
    "7": "Memory in a bandit",
    "8": "Discussion",
}
"""Titles of the thesis's chapters, for the report."""

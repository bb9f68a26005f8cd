"""The thesis as experiments: one module per figure or table family, grouped by chapter.

Importing this package registers all of them.
"""

from symscape.experiments import introduction, jamming

__all__ = ["CHAPTERS", "introduction", "jamming"]

CHAPTERS = {"0": "Introduction", "1": "The jamming transition"}
"""Titles of the thesis's chapters, for the report."""

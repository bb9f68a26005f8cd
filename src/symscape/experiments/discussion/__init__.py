"""Chapter 8: the discussion, with its exact model of double descent."""

from symscape.experiments.discussion import _double_descent as _double_descent

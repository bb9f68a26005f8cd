"""Finite-memory agents in the two-hypothesis bandit (chapter 7)."""

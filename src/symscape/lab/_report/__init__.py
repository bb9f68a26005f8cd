"""The report: a static site from the store, and its compact form for the repository."""

from __future__ import annotations

from symscape.lab._report._export import export_results
from symscape.lab._report._site import build_report

__all__ = ["build_report", "export_results"]

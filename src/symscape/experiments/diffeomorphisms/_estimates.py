"""Findings that are means over points, or the worst of several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from symscape.experiments.introduction._estimates import mean_and_error
from symscape.lab import Finding, Table

NO_RUN = "No run gives this number in this profile."

Value = Callable[[Any], float]


def mean_finding(claim: str, table: Table, value: Value, note: str = "") -> Finding:
    """The mean of a number over the seeds, with its error; rows of a seed are averaged first."""
    each = [
        float(np.mean([value(row) for row in rows])) for _, rows in table.groups("seed") if rows
    ]
    if not each:
        return Finding(claim, None, note=NO_RUN)
    return Finding(claim, *mean_and_error(each), note, table.keys)


def worst_finding(
    claim: str, table: Table, name: str, value: Value, target: float, note: str = ""
) -> Finding:
    """The mean farthest from the target, over the groups that the field ``name`` makes."""
    found = [
        (group, *mean_and_error([value(row) for row in rows])) for group, rows in table.groups(name)
    ]
    if not found:
        return Finding(claim, None, note=NO_RUN)
    (where,), mean, error = max(found, key=lambda entry: abs((entry[1] or 0.0) - target))
    return Finding(claim, mean, error, note or f"The worst is {name} = {where}.", table.keys)

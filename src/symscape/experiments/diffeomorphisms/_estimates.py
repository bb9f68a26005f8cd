"""Findings that are means over points, or the worst of several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
    claim: str, table: Table, names: Sequence[str], value: Value, badness: Value, note: str = ""
) -> Finding:
    """The worst mean over the groups that the fields ``names`` make.

    Opposite deviations would cancel in a mean over all groups, which says nothing about a
    statement on each of them.

    Args:
        claim: its id.
        table: runs.
        names: fields that make the groups, for example data set and network.
        value: number of a run; runs where it is not finite are left out.
        badness: of a mean; the largest is the worst. See :func:`distance_from`.
        note: more to say about it.
    """
    found = []
    for group, rows in table.groups(*names):
        values = [float(value(row)) for row in rows]
        mean, error = mean_and_error([v for v in values if math.isfinite(v)])
        if mean is not None:
            found.append((group, mean, error))
    if not found:
        return Finding(claim, None, note=NO_RUN)
    where, mean, error = max(found, key=lambda entry: badness(entry[1]))
    place = ", ".join(
        f"{name} = {str(entry).partition('@')[0]}" for name, entry in zip(names, where, strict=True)
    )
    return Finding(claim, mean, error, f"The worst is {place}. {note}".strip(), table.keys)


def distance_from(target: float) -> Value:
    """How far a mean is from a number."""
    return lambda mean: abs(mean - target)

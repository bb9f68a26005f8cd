"""The identity of a point: what makes two runs the same run."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from symscape.lab._errors import InputError
from symscape.lab._table import Point

_LARGEST_SEED = 2**63 - 1


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted names, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_of(experiment: str, version: int, point: Point) -> str:
    """Return the key of a point: SHA-256 of the canonical JSON of experiment, version and point.

    The point contains its seed; the profile is not part of the key, so that a point that two
    profiles share is measured once.

    Args:
        experiment: name of the experiment.
        version: its version.
        point: JSON scalars and lists by name, with an integer ``"seed"``.

    Raises:
        InputError: if the point holds anything else, or no seed.
    """
    _check(experiment, point)
    text = canonical({"experiment": experiment, "version": version, "point": point})
    return hashlib.sha256(text.encode()).hexdigest()


def _check(experiment: str, point: Point) -> None:
    seed = point.get("seed")
    if type(seed) is not int or not 0 <= seed <= _LARGEST_SEED:
        raise InputError(
            f"Experiment '{experiment}' yields a point whose seed is {seed!r}; a point needs a "
            f'"seed", an integer from 0 to 2**63 - 1.'
        )
    for name, value in point.items():
        if not _is_json(value):
            raise InputError(
                f"Experiment '{experiment}' yields a point with {name}={value!r} of type "
                f"{type(value).__name__}; allowed are finite numbers, strings, booleans, None and "
                f"lists of these."
            )


def _is_json(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    if type(value) is float:
        return value == value and abs(value) != float("inf")
    return value is None or type(value) in (bool, int, str)

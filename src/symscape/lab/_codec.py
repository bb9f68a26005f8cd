"""Results as bytes and text: arrays in a compressed npz without pickle, everything else as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from symscape.lab._table import Result


def encode(result: Mapping[str, Any]) -> tuple[str, bytes | None]:
    """Return the scalars as JSON text and the arrays as npz bytes (None if there is no array).

    Numpy scalars become Python's; torch tensors on the CPU become arrays; NaN and infinities are
    kept, as Python's JSON writes them.

    Raises:
        TypeError: for a value that is neither an array of numbers or strings nor a scalar.
    """
    scalars: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for name, value in result.items():
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, (bool, int, float, str)):
            scalars[name] = value
        elif isinstance(value, np.ndarray) or hasattr(value, "__array__"):
            arrays[name] = _plain_array(name, value)
        else:
            raise TypeError(
                f"measure returned {name}={value!r} of type {type(value).__name__}; allowed are "
                f"arrays, numbers, strings and booleans"
            )
    return json.dumps(scalars), _npz(arrays) if arrays else None


def decode(scalars: str, arrays: bytes | None) -> Result:
    """Return the result that :func:`encode` wrote."""
    result: Result = dict(json.loads(scalars))
    if arrays is not None:
        with np.load(io.BytesIO(arrays), allow_pickle=False) as stored:
            result.update({name: stored[name] for name in stored.files})
    return result


def _plain_array(name: str, value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach()
    array = np.asarray(value)
    if array.dtype.kind not in "biufcU":
        raise TypeError(
            f"measure returned the array {name} of dtype {array.dtype}; allowed are numbers, "
            f"booleans and strings"
        )
    return array


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()

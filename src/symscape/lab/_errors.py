"""The two kinds of error that the laboratory reports in one sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What was asked for cannot be done: the message names what was given and what is allowed."""


class StoreError(RuntimeError):
    """The store of results cannot be opened, read or written; what it holds is left as it was."""


class ExecutorError(RuntimeError):
    """The machinery that measures points was lost; finished points are in the store."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest allowed name, or nothing if none is near."""
    nearest = difflib.get_close_matches(given, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""

"""What functions say of an argument that they do not take, and which integers they take."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeIs

__all__ = ["integer", "integer_fields", "is_integer", "refused"]


def refused(name: str, given: Any, allowed: str) -> ValueError:
    """The error of an argument: its name, what was given and what is allowed."""
    return ValueError(f"{name}: {given!r} given; allowed: {allowed}")


def is_integer(value: object) -> TypeIs[int]:
    """Whether ``operator.index`` takes it: an integer of Python, numpy or torch, and no boolean."""
    return _index(value) is not None


def integer(
    name: str, value: Any, least: int | None = None, most: int | None = None, allowed: str = ""
) -> int:
    """An argument as a Python integer.

    Args:
        name: of the argument.
        value: what was given.
        least: smallest one that is allowed; None for no bound.
        most: largest one that is allowed; None for no bound.
        allowed: words for what is allowed, where bounds do not say all.

    Raises:
        ValueError: not an integer, or out of bounds.
    """
    number = _index(value)
    if (
        number is None
        or (least is not None and number < least)
        or (most is not None and number > most)
    ):
        raise refused(name, value, allowed or _words(least, most))
    return number


def integer_fields(of: Any, **least: int | None) -> None:
    """Make the named fields of a frozen dataclass Python integers.

    Args:
        of: the dataclass.
        **least: the smallest value of each field that is allowed; None for no bound.

    Raises:
        ValueError: see :func:`integer`.
    """
    for name, smallest in least.items():
        object.__setattr__(of, name, integer(name, getattr(of, name), smallest))


def _index(value: Any) -> int | None:
    if type(value) is int:
        return value
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _words(least: int | None, most: int | None) -> str:
    if least is None:
        return "an integer" if most is None else f"an integer <= {most}"
    return f"an integer >= {least}" if most is None else f"an integer from {least} to {most}"

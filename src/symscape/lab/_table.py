"""The finished points of one experiment as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

Point = dict[str, Any]
"""A point: JSON scalars and lists by name, with an integer ``"seed"``."""

Result = dict[str, Any]
"""What a measurement returned: numpy arrays and scalars by name."""


@dataclass(frozen=True)
class Row:
    """One finished point: what was asked for, what came out, its key and its cost.

    ``row["name"]`` looks in the point and in the result (their names are disjoint).
    """

    point: Mapping[str, Any]
    result: Mapping[str, Any]
    key: str = ""
    seconds: float = 0.0

    def __getitem__(self, name: str) -> Any:
        if name in self.point:
            return self.point[name]
        if name in self.result:
            return self.result[name]
        raise ValueError(f"no field {name!r}; there are {sorted([*self.point, *self.result])}")

    def __contains__(self, name: str) -> bool:
        return name in self.point or name in self.result


class Table:
    """Finished rows of one experiment and profile, in the order of its points.

    Args:
        rows: the finished points.
        expected: how many points the sweep has in all (the rows themselves when None).
    """

    def __init__(self, rows: Iterable[Row], expected: int | None = None) -> None:
        self.rows = list(rows)
        self.expected = len(self.rows) if expected is None else expected

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return bool(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def keys(self) -> list[str]:
        """Keys of the rows, for ``Finding.runs``."""
        return [row.key for row in self.rows]

    def where(self, **equal: Any) -> Table:
        """Return the rows whose fields equal the given values: ``table.where(P=1000, L=5)``."""
        return Table(
            row for row in self.rows if all(_same(row[name], v) for name, v in equal.items())
        )

    def column(self, name: str) -> Any:
        """Return one field of every row: an array where it is a number, else a list.

        Args:
            name: a field of the point or of the result.

        Returns:
            ``np.ndarray`` of shape (rows,) for numbers and booleans; a list for strings, lists
            and arrays (whose shapes may differ from row to row).

        Raises:
            ValueError: if a row lacks the field.
        """
        values = [row[name] for row in self.rows]
        if all(isinstance(v, (bool, int, float)) for v in values):
            return np.array(values)
        return values

    def groups(self, *names: str) -> Iterator[tuple[tuple[Any, ...], Table]]:
        """Yield ``(values, table)`` for every distinct combination of the fields, sorted.

        Lists among the values come back as tuples. Combinations that do not sort (mixed types)
        keep the order in which they appear.
        """
        found: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(tuple(_frozen(row[name]) for name in names), []).append(row)
        order = list(found)
        with suppress(TypeError):
            order.sort()
        for values in order:
            yield values, Table(found[values])


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, (list, tuple)) else value


def _same(a: Any, b: Any) -> bool:
    return bool(_frozen(a) == _frozen(b))

"""The finished points of one experiment as a table."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from symscape._arguments import integer, is_integer

T = TypeVar("T")
P = ParamSpec("P")

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


Value = str | Callable[[Row], Any]
"""The name of a field, or a function of a row."""


def grid(seeds: int | Sequence[int], /, **axes: Any) -> Iterator[Point]:
    """Yield the points of a grid: every combination of the axes with every seed.

    Args:
        seeds: how many, counted from 0, or the seeds themselves; they run fastest.
        **axes: a list, tuple or range is an axis; anything else is a constant of all points. A
            dictionary among the values of an axis adds its own fields in place of the axis's name,
            for parameters that vary together:
            ``net=[{"L": 2, "h": 20}, {"L": 3, "h": 14}]``. A constant that is a list stands in
            another list.
    """
    names = list(axes)
    values = [v if isinstance(v, (list, tuple, range)) else (v,) for v in axes.values()]
    chosen_seeds = range(seeds) if is_integer(seeds) else seeds
    every = [integer("seeds", seed) for seed in chosen_seeds]
    for chosen in itertools.product(*values):
        point: Point = {}
        for name, value in zip(names, chosen):
            point |= value if isinstance(value, dict) else {name: value}
        for seed in every:
            yield {**point, "seed": seed}


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
        """Keys of the rows in the store."""
        return [row.key for row in self.rows]

    def where(self, **equal: Any) -> Table:
        """Return the rows whose fields equal the given values: ``table.where(P=1000, L=5)``."""
        return Table(
            row for row in self.rows if all(_same(row[name], v) for name, v in equal.items())
        )

    def select(self, wanted: Callable[[Row], bool]) -> Table:
        """Return the rows of which ``wanted`` is true."""
        return Table(row for row in self.rows if wanted(row))

    def per_seed(self, value: Value) -> NDArray[np.float64]:
        """Return one number per seed, in their order: the mean over the rows of that seed.

        Args:
            value: a number of each row.
        """
        return np.array(
            [np.mean([value_of(row, value) for row in rows]) for _, rows in self.groups("seed")],
            dtype=float,
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


def once(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator of a function of a table: it is computed once, for all claims and figures.

    The table is the first argument and is recognized by identity; the others are hashable.
    """
    known: WeakKeyDictionary[Any, dict[Any, Any]] = WeakKeyDictionary()

    @functools.wraps(function)
    def remembered(*args: P.args, **kwargs: P.kwargs) -> T:
        results = known.setdefault(args[0], {})
        key = (args[1:], tuple(sorted(kwargs.items())))
        if key not in results:
            results[key] = function(*args, **kwargs)
        return results[key]

    return remembered


def value_of(row: Row, value: Value) -> Any:
    """The field of a row, or what a function makes of the row."""
    return value(row) if callable(value) else row[value]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, (list, tuple)) else value


def _same(a: Any, b: Any) -> bool:
    return bool(_frozen(a) == _frozen(b))

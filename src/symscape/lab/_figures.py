"""Figures as data: what was measured, what the thesis says, and what theory expects.

A :class:`Figure` holds named series and two labelled axes and knows no drawing library.  The
report draws it; :meth:`Figure.csv` writes the same numbers as text.  Three kinds of series are kept
apart, because the reader must see at once whose numbers they are:

- *measured* (also bands, histograms and maps): our runs,
- *thesis*: numbers printed in the thesis,
- *guide*: theory, bounds, slopes.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape import scaling
from symscape._arguments import integer
from symscape.lab._table import Row, Table, Value, value_of

__all__ = ["Axis", "Figure", "Mode", "Series"]

Mode = Literal["markers", "lines", "lines+markers"]
Kind = Literal["measured", "thesis", "guide", "band", "histogram", "map"]

_MODES = ("markers", "lines", "lines+markers")
_ID = re.compile(r"[a-z0-9]+([-.][a-z0-9]+)*")
_CSV_HEADER = ("series", "kind", "x", "y", "x_error", "y_error", "value")


@dataclass(frozen=True)
class Axis:
    r"""One axis.

    ``label`` and ``unit`` are plain text; ``N_Delta`` and ``10^3`` are typeset as subscript and
    superscript.  ``unit=None`` means a pure number.  ``range`` is in data units, also on a
    logarithmic axis.

    Raises:
        ValueError: the label is empty, or the range is not two increasing finite numbers
            (positive ones on a logarithmic axis).
    """

    label: str
    unit: str | None = None
    log: bool = False
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or not self.label.strip():
            raise ValueError(f"label: an axis needs a label, got {self.label!r}")
        if self.unit is not None and not self.unit.strip():
            raise ValueError("unit: got an empty string; give None for a pure number")
        if self.range is None:
            return
        low, high = self.range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"range: two increasing finite numbers are needed, got {self.range}")
        if self.log and low <= 0:
            raise ValueError(f"range: a logarithmic axis needs positive numbers, got {self.range}")

    @property
    def title(self) -> str:
        """The label with its unit: ``"time (steps)"``."""
        return self.label if self.unit is None else f"{self.label} ({self.unit})"

    def shows(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the values have a place on this axis: finite, and positive where it is log."""
        finite = np.isfinite(values)
        return finite & (values > 0) if self.log else finite


@dataclass(frozen=True)
class Series:
    """One named series of a figure, as the caller gave it.

    For a band ``y`` and ``high`` are its two edges.  For a histogram ``x`` holds the bin edges, one
    more than the densities in ``y``.  For a map ``value`` holds a number for each place (x, y).
    """

    name: str
    kind: Kind
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    x_error: NDArray[np.float64] | None = None
    y_error: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    value: NDArray[np.float64] | None = None
    mode: Mode = "markers"
    group: int = 0
    text: tuple[str, ...] | None = None

    def rows(self) -> Iterator[tuple[str | float | None, ...]]:
        """The rows of the CSV file.

        A band is written as its two edges, a histogram as bin centers with half the bin's width as
        ``x_error``.
        """
        if self.high is not None:
            for kind, edge in (("band low", self.y), ("band high", self.high)):
                for x, y in zip(self.x.tolist(), edge.tolist()):
                    yield self.name, kind, x, y, None, None, None
            return
        x, x_error = self.x, self.x_error
        if self.kind == "histogram":
            x, x_error = (self.x[1:] + self.x[:-1]) / 2, (self.x[1:] - self.x[:-1]) / 2
        for i in range(len(self.y)):
            yield (
                self.name,
                self.kind,
                float(x[i]),
                float(self.y[i]),
                None if x_error is None else float(x_error[i]),
                None if self.y_error is None else float(self.y_error[i]),
                None if self.value is None else float(self.value[i]),
            )


@dataclass
class Figure:
    """One pair of axes with everything that is drawn in it.

    Args:
        id: short name, unique in its experiment, lower case with hyphens; names the CSV file.
        title: one line above the figure.
        caption: what is seen, and what the thesis says about it.
        x: the horizontal axis; it needs a label.
        y: the vertical axis; it needs a label.
        ordered: the groups are steps of one quantity (losses, widths, times), so they are
            coloured along a scale from light to dark instead of by distinct colours.
        claims: ids of the claims that it shows; the report puts it beside them.

    Every call adds one series and returns the figure.  Arguments ``x`` and ``y`` may be scalars;
    errors are scalars or one number per point (one standard deviation).

    Raises:
        ValueError: an axis is missing, the id has other characters, lengths differ, an error is
            negative, or two series of one kind have the same name.
    """

    id: str
    title: str
    caption: str
    x: Axis
    y: Axis
    ordered: bool = False
    claims: tuple[str, ...] = ()
    series: list[Series] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            raise ValueError(f"id: lower-case letters, digits and hyphens only, got {self.id!r}")
        if not self.title.strip():
            raise ValueError(f"title: figure {self.id!r} needs a title")
        if isinstance(self.claims, str):
            raise ValueError(f"claims: figure {self.id!r} needs a tuple of ids, got a string")
        for name in ("x", "y"):
            axis = getattr(self, name)
            if not isinstance(axis, Axis):
                raise ValueError(f"{name}: figure {self.id!r} needs an Axis, got {axis!r}")

    def measured(
        self,
        name: str,
        x: ArrayLike,
        y: ArrayLike,
        y_error: ArrayLike | None = None,
        x_error: ArrayLike | None = None,
        mode: Mode = "markers",
        group: int | None = None,
    ) -> Figure:
        """Our numbers: filled markers, solid lines, error bars.

        ``group`` chooses the colour and the marker; series that belong together share one.  None
        takes the next group that is free.
        """
        xs, ys = self._points(name, x, y)
        return self._add(
            Series(
                name=name,
                kind="measured",
                x=xs,
                y=ys,
                x_error=self._error(name, "x_error", x_error, len(xs)),
                y_error=self._error(name, "y_error", y_error, len(xs)),
                mode=self._mode(name, mode),
                group=self._group(group),
            )
        )

    def curves(
        self,
        table: Table,
        x: Value,
        y: Value,
        by: str | tuple[str, ...] = (),
        *,
        name: str | None = None,
        geometric: bool = False,
        mode: Mode = "lines+markers",
        group: int = 0,
    ) -> Figure:
        """A measured series per group of rows: mean and error over the rows at each x.

        The error is that of :func:`symscape.scaling.mean`, or of the geometric mean. Values that
        are missing (NaN, and in a geometric mean those that are not positive) are left out.

        Args:
            table: the rows.
            x: a number of a row, or an array.
            y: a number of a row, or as long an array.
            by: fields whose combinations make the groups.
            name: of a series, a format string of these fields; ``"L = 2, d = 10"`` by default.
            geometric: average logarithms.
            mode: lines, markers or both.
            group: colour and marker of the first series; the following ones take the next.
        """
        fields = (by,) if isinstance(by, str) else by
        default = ", ".join(f"{field} = {{{field}}}" for field in fields) or "measured"
        for place, (values, rows) in enumerate(table.groups(*fields)):
            label = (default if name is None else name).format(**dict(zip(fields, values)))
            points = [
                pair
                for row in rows
                for pair in zip(*map(_vector_of(label, row), (x, y), ("x", "y")), strict=True)
            ]
            self._averaged(label, points, geometric, mode, group + place)
        return self

    def estimates(
        self,
        name: str,
        found: Mapping[Any, scaling.Estimate],
        mode: Mode = "markers",
        group: int | None = None,
    ) -> Figure:
        """Estimates by their x, as one measured series with their errors."""
        return self.measured(
            name,
            list(found),
            [estimate.value for estimate in found.values()],
            [estimate.error or 0.0 for estimate in found.values()],
            mode=mode,
            group=group,
        )

    def _averaged(
        self, label: str, points: list[Any], geometric: bool, mode: Mode, group: int
    ) -> None:
        samples: dict[float, list[float]] = {}
        for x, y in points:
            if math.isfinite(y) and not (geometric and y <= 0):
                samples.setdefault(float(x), []).append(float(y))
        average = scaling.geometric_mean if geometric else scaling.mean
        self.estimates(label, {x: average(samples[x]) for x in sorted(samples)}, mode, group)

    def thesis(
        self,
        name: str,
        x: ArrayLike,
        y: ArrayLike,
        y_error: ArrayLike | None = None,
        mode: Mode = "lines",
        text: str | Sequence[str] | None = None,
    ) -> Figure:
        """The thesis's numbers: diamonds and dashed lines in a colour that nothing else has.

        ``text`` is written beside the points: one string per point, or one for the last point.
        """
        xs, ys = self._points(name, x, y)
        if isinstance(text, str):
            text = [""] * (len(xs) - 1) + [text]
        if text is not None and len(text) != len(xs):
            raise ValueError(f"text: series {name!r} has {len(xs)} points, got {len(text)} texts")
        return self._add(
            Series(
                name=name,
                kind="thesis",
                x=xs,
                y=ys,
                y_error=self._error(name, "y_error", y_error, len(xs)),
                mode=self._mode(name, mode),
                text=None if text is None else tuple(text),
            )
        )

    def guide(self, name: str, x: ArrayLike, y: ArrayLike) -> Figure:
        """Theory, a bound, a slope: a thin grey line."""
        xs, ys = self._points(name, x, y)
        return self._add(Series(name=name, kind="guide", x=xs, y=ys, mode="lines"))

    def band(
        self, name: str, x: ArrayLike, low: ArrayLike, high: ArrayLike, group: int | None = None
    ) -> Figure:
        """The area between ``low`` and ``high``; ``group=None`` is grey (an accepted interval),
        a number takes the colour of that group (the spread of a measured series)."""
        xs, lows = self._points(name, x, low)
        _, highs = self._points(name, x, high)
        return self._add(
            Series(
                name=name,
                kind="band",
                x=xs,
                y=lows,
                high=highs,
                mode="lines",
                group=-1 if group is None else self._group(group),
            )
        )

    def histogram(
        self, name: str, edges: ArrayLike, density: ArrayLike, group: int | None = None
    ) -> Figure:
        """A measured density: ``edges`` (n+1,) increasing, ``density`` (n,)."""
        bins, values = _vector(name, "edges", edges), _vector(name, "density", density)
        if len(bins) != len(values) + 1:
            raise ValueError(
                f"edges: histogram {name!r} with {len(values)} densities needs "
                f"{len(values) + 1} edges, got {len(bins)}"
            )
        if not np.all(np.isfinite(bins)) or np.any(np.diff(bins) <= 0):
            raise ValueError(f"edges: those of histogram {name!r} must increase and be finite")
        return self._add(
            Series(
                name=name,
                kind="histogram",
                x=bins,
                y=values,
                mode="lines",
                group=self._group(group),
            )
        )

    def map(self, name: str, x: ArrayLike, y: ArrayLike, value: ArrayLike) -> Figure:
        """A measured number for each place (x, y) of a grid, as a colour; ``name`` says which.

        The places need not fill the grid.  A figure has one map, under everything else.
        """
        xs, ys = self._points(name, x, y)
        _, values = self._points(name, x, value)
        if any(s.kind == "map" for s in self.series):
            raise ValueError(f"name: figure {self.id!r} already has a map; {name!r} is another")
        if len(set(zip(xs.tolist(), ys.tolist()))) < len(xs):
            raise ValueError(f"x, y: map {name!r} has several values at one place")
        return self._add(Series(name=name, kind="map", x=xs, y=ys, value=values, group=-1))

    def hidden(self) -> list[tuple[str, int]]:
        """Series with finite numbers that a logarithmic axis cannot show, with how many."""
        counts = []
        for s in self.series:
            x = (s.x[1:] + s.x[:-1]) / 2 if s.kind == "histogram" else s.x
            finite = np.isfinite(x) & np.isfinite(s.y)
            lost = int(np.sum(finite & ~(self.x.shows(x) & self.y.shows(s.y))))
            # An empty bin has no place on a logarithmic axis, and nobody misses it.
            if lost and s.kind != "histogram":
                counts.append((s.name, lost))
        return counts

    @property
    def is_empty(self) -> bool:
        """Whether no point of any series has a place in these axes."""
        for s in self.series:
            x = (s.x[1:] + s.x[:-1]) / 2 if s.kind == "histogram" else s.x
            if np.any(self.x.shows(x) & self.y.shows(s.y)):
                return False
        return True

    def csv(self, digits: int = 8) -> str:
        """All series as CSV text with the columns series, kind, x, y, x_error, y_error.

        With a map there is a last column, value.  Numbers have ``digits`` significant digits;
        missing ones are empty.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        columns = len(_CSV_HEADER) - (not any(s.kind == "map" for s in self.series))
        writer.writerow(_CSV_HEADER[:columns])
        for s in self.series:
            for row in s.rows():
                writer.writerow(
                    v if isinstance(v, str) else _number(v, digits) for v in row[:columns]
                )
        return out.getvalue()

    def _add(self, series: Series) -> Figure:
        if not series.name.strip():
            raise ValueError(f"name: a series of figure {self.id!r} has no name")
        if any(s.name == series.name and s.kind == series.kind for s in self.series):
            raise ValueError(
                f"name: figure {self.id!r} already has a {series.kind} series {series.name!r}"
            )
        self.series.append(series)
        return self

    def _points(self, name: str, x: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        xs, ys = _vector(name, "x", x), _vector(name, "y", y)
        if len(xs) != len(ys):
            raise ValueError(
                f"x, y: series {name!r} needs equal lengths, got {len(xs)} and {len(ys)}"
            )
        return xs, ys

    def _error(
        self, name: str, argument: str, error: ArrayLike | None, n: int
    ) -> NDArray[np.float64] | None:
        if error is None:
            return None
        values = _vector(name, argument, error)
        if len(values) == 1:
            values = np.repeat(values, n)
        if len(values) != n:
            raise ValueError(
                f"{argument}: series {name!r} has {n} points, got {len(values)} errors"
            )
        if np.any(values < 0):
            raise ValueError(f"{argument}: series {name!r} has a negative error")
        return values

    def _mode(self, name: str, mode: Mode) -> Mode:
        if mode not in _MODES:
            raise ValueError(f"mode: series {name!r} can be {', '.join(_MODES)}, got {mode!r}")
        return mode

    def _group(self, group: int | None) -> int:
        if group is None:
            ours = ("measured", "histogram")
            return 1 + max((s.group for s in self.series if s.kind in ours), default=-1)
        return integer("group", group, 0)


def _vector_of(label: str, row: Row) -> Callable[[Value, str], NDArray[np.float64]]:
    return lambda value, argument: _vector(label, argument, value_of(row, value))


def _vector(name: str, argument: str, values: Any) -> NDArray[np.float64]:
    """``values`` as a float64 vector; scalars become one element."""
    try:
        array = np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument}: series {name!r} needs numbers: {error}") from None
    if array.ndim != 1:
        raise ValueError(f"{argument}: series {name!r} needs one dimension, got {array.shape}")
    return array.copy()


def _number(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return ""
    return f"{value:.{digits}g}"

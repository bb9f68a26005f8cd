"""A figure as a small drawing for the index: SVG that needs no script.

It shows what the figure shows, with fewer words: our numbers, the thesis's and theory in the colors
of :mod:`symscape.lab._report._plot`, and a few ticks.  What cannot be told apart at this size is
left out, so that the index stays small.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from symscape.lab._figures import Axis, Figure, Series
from symscape.lab._report._plot import back_to_front, color, dashes

_WIDTH, _HEIGHT = 360, 210
_TOP, _RIGHT, _BOTTOM = 8, 10, 24
_DIGIT = 6.6  # width of a digit of a tick's label
_MOST = 160  # points of one series
_CELL = 2.5  # pixels; of the marks in one cell of this size one is drawn

Numbers = NDArray[np.float64]
Pixels = NDArray[np.float64]


def sketch(figure: Figure) -> Markup:
    """Return the figure as SVG with an ``aria-label`` that says what it shows."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    y = _Scale(figure.y, [*_values(figure, "y"), *_values(figure, "high")], bottom, _TOP)
    left = round(10 + _DIGIT * max((_length(text) for _, text in y.ticks()), default=0))
    x = _Scale(figure.x, _values(figure, "x"), left, right)
    drawn = "".join(_series(figure, s, x, y) for s in back_to_front(figure))
    frame = f"{left} {_TOP} {right - left} {bottom - _TOP}"
    # A nested drawing cuts off what lies beyond the axes.
    return Markup(
        f'<svg class="sketch" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        f' aria-label="{escape(_described(figure))}">{_axes(x, y)}'
        f'<svg x="{left}" y="{_TOP}" width="{right - left}" height="{bottom - _TOP}"'
        f' viewBox="{frame}">{drawn}</svg></svg>'
    )


def _described(figure: Figure) -> str:
    kinds = {s.kind for s in figure.series}
    whose = ["measured"] * bool(kinds & {"measured", "histogram", "band", "map"})
    whose += ["thesis"] * ("thesis" in kinds) + ["theory"] * ("guide" in kinds)
    axes = f"{figure.y.title} against {figure.x.title}"
    return f"{figure.title}: {axes}; {', '.join(whose)}"


class _Scale:
    """Numbers of an axis to pixels between ``start`` and ``end``."""

    def __init__(self, axis: Axis, values: Iterable[Numbers], start: float, end: float) -> None:
        self.axis, self.start, self.end = axis, start, end
        shown = self._linear(np.concatenate([np.empty(0), *(v[axis.shows(v)] for v in values)]))
        if axis.range is not None:
            low, high = self._linear(np.array(axis.range)).tolist()
        elif shown.size:
            low, high = float(shown.min()), float(shown.max())
            margin = 0.05 * (high - low) or 0.5 * abs(low) or 0.5
            low, high = low - margin, high + margin
        else:
            low, high = 0.0, 1.0
        self.low, self.high = low, high

    def _linear(self, values: Numbers) -> Numbers:
        return np.log10(values) if self.axis.log else values

    def place(self, values: Numbers) -> Pixels:
        """Return pixels, NaN for what has no place on the axis."""
        known = np.where(self.axis.shows(values), values, np.nan)
        t = (self._linear(known) - self.low) / (self.high - self.low)
        return self.start + np.clip(t, -50, 50) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        """Return places and labels (SVG) of at most five ticks."""
        if not self.axis.log:
            values = _multiples(self.low, self.high)
            return [(float(self.place(np.array(v))), _label(v)) for v in values]
        exponents = np.arange(math.ceil(self.low), math.floor(self.high) + 1)
        exponents = exponents[:: math.ceil(len(exponents) / 5) or 1]
        values = [10.0 ** float(e) for e in exponents]
        if len(values) < 2:  # less than two powers of ten
            first = math.floor(self.low)
            values = [m * 10.0**e for e in range(first, first + 3) for m in (1, 2, 5)]
            values = [v for v in values if self.low <= math.log10(v) <= self.high]
        if len(values) < 2:
            values = _multiples(10**self.low, 10**self.high)
        plain = all(1e-3 <= v <= 1e4 for v in values)
        return [(float(self.place(np.array(v))), _label(v, plain)) for v in values]


def _multiples(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten between two numbers, at most five."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def _label(value: float, plain: bool | None = None) -> str:
    if value == 0:
        return "0"
    if plain or (plain is None and 1e-3 <= abs(value) < 1e5):
        return f"{value:.6g}".replace("-", "−")
    mantissa, exponent = f"{value:.2e}".split("e")
    power = f'10<tspan dy="-4" font-size="8">{str(int(exponent)).replace("-", "−")}</tspan>'
    front = f"{float(mantissa):g}".replace("-", "−")
    return power if front == "1" else f"{front}×{power}"


def _length(label: str) -> int:
    """Characters that a label shows."""
    return len(Markup(label).striptags())


def _values(figure: Figure, name: str) -> list[Numbers]:
    return [v for v in (getattr(s, name) for s in figure.series) if v is not None]


def _axes(x: _Scale, y: _Scale) -> str:
    bottom = y.start
    lines = [f"M{x.start:.1f} {y.end:g}V{bottom:g}H{x.end:g}"]
    lines += [f"M{at:.1f} {bottom:g}v4" for at, _ in x.ticks()]
    lines += [f"M{x.start:.1f} {at:.1f}h-4" for at, _ in y.ticks()]
    labels = [f'<text x="{at:.1f}" y="{bottom + 17:g}">{t}</text>' for at, t in x.ticks()]
    labels += [
        f'<text class="y" x="{x.start - 7:.1f}" y="{at + 4:.1f}">{t}</text>' for at, t in y.ticks()
    ]
    return f'<path class="axes" d="{"".join(lines)}"/>{"".join(labels)}'


def _series(figure: Figure, s: Series, x: _Scale, y: _Scale) -> str:
    if s.kind == "band":
        parts = _band(s, x, y)
    elif s.kind == "map":
        parts = _map(s, x, y)
    elif s.kind == "histogram":
        parts = _path("line", _steps(x.place(s.x), y.place(s.y)))
    else:
        parts = _points(figure, s, x, y)
    return f'<g class="{s.kind}" style="color:var({color(figure, s)})">{parts}</g>' if parts else ""


def _band(s: Series, x: _Scale, y: _Scale) -> str:
    assert s.high is not None
    at, low, high = x.place(s.x), y.place(s.y), y.place(s.high)
    known = np.isfinite(at) & np.isfinite(low) & np.isfinite(high)
    edge = np.r_[at[known], at[known][::-1]], np.r_[low[known], high[known][::-1]]
    return _path("area", _line(*edge))


def _map(s: Series, x: _Scale, y: _Scale) -> str:
    """A rectangle for each place, up to the middle between it and the next ones."""
    assert s.value is not None
    px, py = x.place(s.x), y.place(s.y)
    known = np.isfinite(px) & np.isfinite(py) & np.isfinite(s.value)
    if not known.any():
        return ""
    columns, rows = _edges(px[known]), _edges(py[known])
    low, high = s.value[known].min(), s.value[known].max()
    shares = 100 * (s.value[known] - low) / (high - low or 1.0)
    cells = []
    for a, b, share in zip(px[known].tolist(), py[known].tolist(), shares.tolist()):
        (left, right), (top, bottom) = columns[a], rows[b]
        cells.append(
            f'<path d="M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}z" style="fill:'
            f'color-mix(in srgb,var(--map-high) {share:.0f}%,var(--map-low))"/>'
        )
    return "".join(cells)


def _edges(pixels: Pixels) -> dict[float, tuple[float, float]]:
    """The two edges of the cell around each place."""
    places = np.unique(pixels)
    middle = (places[1:] + places[:-1]) / 2
    half = 10.0 if len(places) == 1 else 0.0
    first = places[0] - half if half else 2 * places[0] - middle[0]
    last = places[-1] + half if half else 2 * places[-1] - middle[-1]
    edges = np.concatenate([[first], middle, [last]]).tolist()
    return dict(zip(places.tolist(), itertools.pairwise(edges)))


def _points(figure: Figure, s: Series, x: _Scale, y: _Scale) -> str:
    px, py = x.place(s.x), y.place(s.y)
    parts = ""
    if s.y_error is not None and len(px) <= _MOST / 4:
        low, high = y.place(s.y - s.y_error), y.place(s.y + s.y_error)
        low = np.where(np.isnan(low) & np.isfinite(py), y.start, low)  # beyond zero of a log axis
        ends = zip(px.tolist(), low.tolist(), high.tolist())
        bars = [f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in ends if math.isfinite(a + b + c)]
        parts += _path("error", "".join(bars))
    if "lines" in s.mode:
        parts += _path("line", _line(px, py), dashes(figure, s))
    if "markers" in s.mode:
        inside = (abs(2 * px - x.start - x.end) <= x.end - x.start + 1) & (
            abs(2 * py - y.start - y.end) <= y.start - y.end + 1
        )
        marks = _apart(np.stack([px[inside], py[inside]], axis=1))
        shape = "l4 4-4 4-4-4z" if s.kind == "thesis" else "h0"
        up = 4 if s.kind == "thesis" else 0
        size = "marks" if len(px) <= _MOST / 2 else "marks cloud"
        parts += _path(size, "".join(f"M{a:.1f} {b - up:.1f}{shape}" for a, b in marks.tolist()))
    return parts


def _path(kind: str, d: str, dash: str = "") -> str:
    style = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path class="{kind}" d="{d}"{style}/>' if d else ""


def _line(px: Pixels, py: Pixels) -> str:
    """A line through the points, broken where one is missing."""
    if len(px) > _MOST:
        some = np.linspace(0, len(px) - 1, _MOST).round().astype(int)
        px, py = px[some], py[some]
    parts, pen = [], "M"
    for a, b in zip(px.tolist(), py.tolist()):
        if math.isfinite(a + b):
            parts.append(f"{pen}{a:.1f} {b:.1f}")
        pen = "L" if math.isfinite(a + b) else "M"
    return "".join(parts)


def _steps(edges: Pixels, heights: Pixels) -> str:
    return _line(np.repeat(edges, 2)[1:-1], np.repeat(heights, 2))


def _apart(points: Pixels) -> Pixels:
    """Points of which no two fall into one cell, and not too many."""
    _, first = np.unique(np.round(points / _CELL), axis=0, return_index=True)
    chosen = np.sort(first)
    return points[chosen[:: max(1, math.ceil(len(chosen) / _MOST))]]

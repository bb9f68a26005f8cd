"""Figures drawn: the JSON for Plotly, and the legend's swatches.

Colors are tokens of :mod:`symscape.lab._report._palette`, resolved by the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symscape.lab._figures import Axis, Figure, Series
from symscape.lab._report._palette import SERIES, STEPS
from symscape.lab._report._typeset import number, typeset

Json = dict[str, Any]
Numbers = NDArray[np.float64]

# Diamonds are the thesis's alone.
_SYMBOLS = ("circle", "square", "triangle-up", "triangle-down", "pentagon", "hexagon", "star")
_THESIS_SYMBOLS = ("diamond", "diamond-open", "diamond-tall", "diamond-wide")
_DASHES = ("dash", "dashdot", "longdash", "longdashdot")
# Plotly's names of dashes as SVG.
_SVG_DASHES = {
    "solid": "",
    "dash": "7 4",
    "dashdot": "7 3 2 3",
    "longdash": "11 4",
    "longdashdot": "11 3 2 3",
    "dot": "2 3",
}

# What lies behind is drawn first: maps, bands, guides, ours, the thesis on top.
_DEPTH = {"map": -1, "band": 0, "guide": 1, "histogram": 2, "measured": 2, "thesis": 3}
# The legend names ours first.
_PLACE = {"measured": 0, "histogram": 0, "map": 0, "thesis": 1, "guide": 2, "band": 3}


@dataclass(frozen=True)
class Entry:
    """A line of the legend: the trace it switches, its name as HTML, and how it is drawn.

    ``line`` holds the dashes as SVG, ``""`` for a solid line; None where there is no line.
    """

    trace: int
    label: str
    kind: str
    color: str
    line: str | None
    symbol: str | None


def plot(figure: Figure) -> tuple[Json, list[Entry]]:
    """Return Plotly's ``{"data": ..., "layout": ...}`` and the legend of a figure."""
    traces, entries = [], []
    for i, series in enumerate(back_to_front(figure)):
        trace = _trace(figure, series, _rank(figure, series))
        traces.append(trace)
        entries.append(_entry(i, series, trace))
    entries.sort(key=lambda e: _PLACE[e.kind])
    return {"data": traces, "layout": _layout(figure)}, entries


def back_to_front(figure: Figure) -> list[Series]:
    """Return the series in the order in which they are drawn, the thesis's last."""
    return sorted(figure.series, key=lambda s: _DEPTH[s.kind])


def color(figure: Figure, series: Series) -> str:
    """Return the CSS variable of a series' color."""
    if series.kind in ("thesis", "guide"):
        return f"--{series.kind}"
    if series.kind == "map":
        return "--map-high"
    if series.kind == "band":
        return "--band" if series.group < 0 else f"{_group_color(figure, series.group)}-soft"
    return _group_color(figure, series.group)


def dashes(figure: Figure, series: Series) -> str:
    """Return the dashes of a series' line as SVG, ``""`` for a solid line."""
    return _SVG_DASHES[_dash(series, _rank(figure, series))]


def _rank(figure: Figure, series: Series) -> int:
    """Place of a series among those of its kind."""
    return [s for s in figure.series if s.kind == series.kind].index(series)


def _trace(figure: Figure, series: Series, rank: int) -> Json:
    hue = color(figure, series)
    base: Json = {
        "type": "scatter",
        "name": typeset(series.name),
        "meta": series.kind,
        "showlegend": False,
    }
    if series.kind == "band":
        return base | _band(figure, series, hue)
    if series.kind == "histogram":
        return base | _histogram(figure, series, hue)
    if series.kind == "map":
        return base | _map(figure, series)
    shown = figure.x.shows(series.x) & figure.y.shows(series.y)
    trace = base | {
        "mode": series.mode,
        "x": _json(np.where(shown, series.x, np.nan)),
        "y": _json(np.where(shown, series.y, np.nan)),
        "connectgaps": False,
    }
    if "lines" in series.mode:
        trace["line"] = _line(series, hue, rank)
    if "markers" in series.mode:
        trace["marker"] = _marker(series, hue, rank)
    for name, error in (("error_x", series.x_error), ("error_y", series.y_error)):
        if error is not None:
            array = _json(error)
            trace[name] = {"array": array, "color": hue, "thickness": 1.4, "width": 3}
    if series.text is not None:
        trace["mode"] += "+text"
        trace["text"] = [typeset(t) for t in series.text]
        trace["textposition"] = "top center"
        trace["textfont"] = {"color": hue, "size": 12}
    return trace


def _band(figure: Figure, series: Series, color: str) -> Json:
    high = series.high if series.high is not None else series.y
    shown = figure.x.shows(series.x) & figure.y.shows(series.y) & figure.y.shows(high)
    return {
        "mode": "lines",
        "x": _json(np.concatenate([series.x[shown], series.x[shown][::-1]])),
        "y": _json(np.concatenate([series.y[shown], high[shown][::-1]])),
        "fill": "toself",
        "fillcolor": color,
        "line": {"width": 0, "color": color},
        "hoverinfo": "skip",
    }


def _histogram(figure: Figure, series: Series, color: str) -> Json:
    y = np.append(series.y, series.y[-1:])
    x_shown, y_shown = figure.x.shows(series.x), figure.y.shows(y)
    trace: Json = {
        "mode": "lines",
        "x": _json(np.where(x_shown, series.x, np.nan)),
        "y": _json(np.where(y_shown, y, np.nan)),
        "line": {"shape": "hv", "width": 1.8, "color": color},
    }
    few = sum(s.kind == "histogram" for s in figure.series) <= 3
    if few and not figure.y.log:
        trace |= {"fill": "tozeroy", "fillcolor": f"{color}-soft"}
    return trace


def _map(figure: Figure, series: Series) -> Json:
    assert series.value is not None
    shown = figure.x.shows(series.x) & figure.y.shows(series.y) & np.isfinite(series.value)
    return {
        "type": "heatmap",
        "x": _json(series.x[shown]),
        "y": _json(series.y[shown]),
        "z": _json(series.value[shown]),
        "colorscale": [[0, "--map-low"], [1, "--map-high"]],
        "colorbar": {
            "title": {"text": typeset(series.name), "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
            "exponentformat": "power",
        },
    }


def _line(series: Series, color: str, rank: int) -> Json:
    width = 1.2 if series.kind == "guide" else 2
    return {"color": color, "width": width, "dash": _dash(series, rank)}


def _dash(series: Series, rank: int) -> str:
    if series.kind == "guide":
        return ("solid", "dot")[rank % 2]
    return _DASHES[rank % len(_DASHES)] if series.kind == "thesis" else "solid"


def _marker(series: Series, color: str, rank: int) -> Json:
    if series.kind == "thesis":
        symbol, size = _THESIS_SYMBOLS[rank % len(_THESIS_SYMBOLS)], 11
    else:
        symbol = _SYMBOLS[series.group % len(_SYMBOLS)]
        # Many points in one series are a cloud: smaller, so that its density is seen.
        size = 7 if len(series.x) <= 200 else 4
    marker: Json = {"symbol": symbol, "size": size, "color": color}
    if not symbol.endswith("-open"):
        marker["line"] = {"width": 0.8, "color": "--paper"}
    return marker


def _group_color(figure: Figure, group: int) -> str:
    if not figure.ordered:
        return f"--series-{group % SERIES}"
    last = max(s.group for s in figure.series)
    return f"--step-{round((STEPS - 1) * group / last) if last > 0 else STEPS // 2}"


def _layout(figure: Figure) -> Json:
    return {
        "xaxis": _axis(figure.x, [(s.x, s.x_error) for s in figure.series]),
        "yaxis": _axis(figure.y, [(s.y, s.y_error) for s in figure.series]),
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": "--ink", "size": 13},
        "hoverlabel": {
            "bgcolor": "--raised",
            "bordercolor": "--rule",
            "font": {"color": "--ink"},
            "namelength": -1,
        },
        "hovermode": "closest",
        "margin": {"l": 56, "r": 14, "t": 14, "b": 48},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "--muted", "activecolor": "--ink"},
        "showlegend": False,
    }


def _axis(axis: Axis, values: list[tuple[Numbers, Numbers | None]]) -> Json:
    layout: Json = {
        "title": {"text": typeset(axis.title), "standoff": 10},
        "type": "log" if axis.log else "linear",
        "automargin": True,
        "showline": True,
        "linecolor": "--muted",
        "gridcolor": "--rule",
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": "--muted",
        "ticklen": 5,
        "exponentformat": "power",
    }
    if not axis.log:
        return layout | ({"range": list(axis.range)} if axis.range is not None else {})
    minor: Json = {"ticks": "outside", "ticklen": 3, "tickcolor": "--muted"}
    layout["minor"] = minor
    low, high = _decades(axis, values)
    if high - low >= 2:
        layout["dtick"] = max(1, round((high - low) / 8))
    elif high - low >= 0.7:
        layout |= _labels(_multiples(low, high, (1, 2, 5)))
        minor |= {"tickmode": "array", "tickvals": _multiples(low, high, range(1, 10))}
    if axis.range is not None:
        layout["range"] = [low, high]
    elif any(error is not None for _, error in values) and high > low:
        margin = 0.05 * (high - low)
        layout["range"] = [low - margin, high + margin]
    return layout


def _multiples(low: float, high: float, digits: Iterable[int]) -> list[float]:
    """Multiples of the powers of ten of an axis, and some beyond its ends."""
    exponents = range(math.floor(low) - 1, math.ceil(high) + 2)
    return [float(f"{digit}e{e}") for e in exponents for digit in digits]


def _labels(values: list[float]) -> Json:
    """Ticks with whole numbers as labels; Plotly's own say "5" for 0.5."""
    return {"tickmode": "array", "tickvals": values, "ticktext": [number(v) for v in values]}


def _decades(axis: Axis, values: list[tuple[Numbers, Numbers | None]]) -> tuple[float, float]:
    """Powers of ten between which a logarithmic axis runs.

    An error bar counts downwards to a third of its number at most: one that reaches zero would
    squeeze all numbers into the top of the figure.
    """
    if axis.range is not None:
        return math.log10(axis.range[0]), math.log10(axis.range[1])
    reached = [v for v, _ in values]
    for v, error in values:
        if error is not None:
            reached += [v + error, np.where(v > 0, np.maximum(v - error, v / 3), np.nan)]
    shown = np.concatenate([np.empty(0), *(v[axis.shows(v)] for v in reached)])
    return (math.log10(shown.min()), math.log10(shown.max())) if len(shown) else (0.0, 0.0)


def _entry(i: int, series: Series, trace: Json) -> Entry:
    fill = trace.get("fillcolor") if series.kind == "band" else None
    fill = "--map-high" if series.kind == "map" else fill
    line, marker = trace.get("line"), trace.get("marker")
    return Entry(
        trace=i,
        label=typeset(series.name),
        kind=series.kind,
        color=fill or (marker or line or {})["color"],
        line=_SVG_DASHES[line.get("dash", "solid")] if line else None,
        symbol=marker["symbol"] if marker else None,
    )


def _json(values: Numbers) -> list[float | None]:
    """Eight digits are more than a screen shows, and half of the file."""
    return [float(f"{v:.8g}") if math.isfinite(v) else None for v in values.tolist()]

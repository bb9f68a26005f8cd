"""Figures drawn: the JSON for Plotly, and the legend's swatches.

Colors are tokens of :mod:`symscape.lab._report._palette`, resolved by the page.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symscape.lab._figures import Axis, Figure, Series
from symscape.lab._report._palette import SERIES, STEPS
from symscape.lab._report._typeset import typeset

Json = dict[str, Any]

# Diamonds are the thesis's alone.
_SYMBOLS = ("circle", "square", "triangle-up", "triangle-down", "pentagon", "hexagon", "star")
_THESIS_SYMBOLS = ("diamond", "diamond-open", "diamond-tall", "diamond-wide")
_DASHES = ("dash", "dashdot", "longdash", "longdashdot")

# What lies behind is drawn first: bands, guides, ours, the thesis on top.
_DEPTH = {"band": 0, "guide": 1, "histogram": 2, "measured": 2, "thesis": 3}
# The legend names ours first.
_PLACE = {"measured": 0, "histogram": 0, "thesis": 1, "guide": 2, "band": 3}


@dataclass(frozen=True)
class Entry:
    """A line of the legend: the trace it switches, its name as HTML, and how it is drawn."""

    trace: int
    label: str
    kind: str
    color: str
    line: str | None
    symbol: str | None


def plot(figure: Figure) -> tuple[Json, list[Entry]]:
    """Return Plotly's ``{"data": ..., "layout": ...}`` and the legend of a figure."""
    order = sorted(figure.series, key=lambda s: _DEPTH[s.kind])
    traces, entries = [], []
    for i, series in enumerate(order):
        rank = [s for s in figure.series if s.kind == series.kind].index(series)
        trace = _trace(figure, series, rank)
        traces.append(trace)
        entries.append(_entry(i, series, trace))
    entries.sort(key=lambda e: _PLACE[e.kind])
    return {"data": traces, "layout": _layout(figure)}, entries


def _trace(figure: Figure, series: Series, rank: int) -> Json:
    color = _color(figure, series)
    base: Json = {
        "type": "scatter",
        "name": typeset(series.name),
        "meta": series.kind,
        "showlegend": False,
    }
    if series.kind == "band":
        return base | _band(figure, series, color)
    if series.kind == "histogram":
        return base | _histogram(figure, series, color)
    shown = figure.x.shows(series.x) & figure.y.shows(series.y)
    trace = base | {
        "mode": series.mode,
        "x": _json(np.where(shown, series.x, np.nan)),
        "y": _json(np.where(shown, series.y, np.nan)),
        "connectgaps": False,
    }
    if "lines" in series.mode:
        trace["line"] = _line(series, color, rank)
    if "markers" in series.mode:
        trace["marker"] = _marker(series, color, rank)
    for name, error in (("error_x", series.x_error), ("error_y", series.y_error)):
        if error is not None:
            array = _json(error)
            trace[name] = {"array": array, "color": color, "thickness": 1.4, "width": 3}
    if series.text is not None:
        trace["mode"] += "+text"
        trace["text"] = [typeset(t) for t in series.text]
        trace["textposition"] = "top center"
        trace["textfont"] = {"color": color, "size": 12}
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


def _line(series: Series, color: str, rank: int) -> Json:
    if series.kind == "guide":
        return {"color": color, "width": 1.2, "dash": ("solid", "dot")[rank % 2]}
    if series.kind == "thesis":
        return {"color": color, "width": 2, "dash": _DASHES[rank % len(_DASHES)]}
    return {"color": color, "width": 2}


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


def _color(figure: Figure, series: Series) -> str:
    if series.kind in ("thesis", "guide"):
        return f"--{series.kind}"
    if series.kind == "band":
        return "--band" if series.group < 0 else f"{_group_color(figure, series.group)}-soft"
    return _group_color(figure, series.group)


def _group_color(figure: Figure, group: int) -> str:
    if not figure.ordered:
        return f"--series-{group % SERIES}"
    last = max(s.group for s in figure.series)
    return f"--step-{round((STEPS - 1) * group / last) if last > 0 else STEPS // 2}"


def _layout(figure: Figure) -> Json:
    return {
        "xaxis": _axis(figure.x, [s.x for s in figure.series]),
        "yaxis": _axis(figure.y, [s.y for s in figure.series]),
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


def _axis(axis: Axis, values: list[NDArray[np.float64]]) -> Json:
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
    if axis.log:
        layout["minor"] = {"ticks": "outside", "ticklen": 3, "tickcolor": "--muted"}
        decades = _decades(axis, values)
        if decades >= 2:
            layout["dtick"] = max(1, round(decades / 8))
        elif decades >= 0.7:
            layout["dtick"] = "D2"  # labels at 1, 2 and 5
    if axis.range is not None:
        layout["range"] = [math.log10(v) for v in axis.range] if axis.log else list(axis.range)
    return layout


def _decades(axis: Axis, values: list[NDArray[np.float64]]) -> float:
    """How many powers of ten a logarithmic axis shows."""
    shown = np.concatenate([v[axis.shows(v)] for v in values]) if values else np.empty(0)
    if axis.range is not None:
        shown = np.asarray(axis.range)
    return float(np.log10(shown.max() / shown.min())) if len(shown) else 0.0


def _entry(i: int, series: Series, trace: Json) -> Entry:
    color = trace.get("fillcolor") if series.kind == "band" else None
    line, marker = trace.get("line"), trace.get("marker")
    return Entry(
        trace=i,
        label=typeset(series.name),
        kind=series.kind,
        color=color or (marker or line or {})["color"],
        line=(line.get("dash", "solid")) if line else None,
        symbol=marker["symbol"] if marker else None,
    )


def _json(values: NDArray[np.float64]) -> list[float | None]:
    """Eight digits are more than a screen shows, and half of the file."""
    return [float(f"{v:.8g}") if math.isfinite(v) else None for v in values.tolist()]

"""Figures as data, their CSV, and what Plotly is given."""

from __future__ import annotations

import csv
import io
import re
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from symscape.lab import Axis, Figure
from symscape.lab._report._palette import SERIES, palette
from symscape.lab._report._plot import plot
from symscape.lab._report._sketch import sketch


def figure(x: Axis | None = None, y: Axis | None = None, **options: bool) -> Figure:
    axes = x or Axis("time", "steps"), y or Axis("loss")
    return Figure("loss", "Loss", "Loss against time.", *axes, **options)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_an_axis_without_a_label_raises() -> None:
    with pytest.raises(ValueError, match="label"):
        Axis("")
    with pytest.raises(ValueError, match="unit"):
        Axis("time", "")
    with pytest.raises(ValueError, match=r"x: figure 'loss' needs an Axis, got None"):
        Figure("loss", "Loss", "", None, Axis("loss"))  # type: ignore[arg-type]


@pytest.mark.parametrize("limits", [(1.0, 1.0), (2.0, 1.0), (0.0, np.inf)])
def test_a_range_that_does_not_increase_raises(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="range"):
        Axis("loss", range=limits)


def test_a_logarithmic_range_is_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Axis("loss", log=True, range=(0.0, 1.0))


@pytest.mark.parametrize("name", ["", "Loss", "a b", "../x", "-a"])
def test_an_id_that_cannot_name_a_file_raises(name: str) -> None:
    with pytest.raises(ValueError, match="id"):
        Figure(name, "Loss", "", Axis("x"), Axis("y"))


def test_wrong_series_raise() -> None:
    empty = figure()
    with pytest.raises(ValueError, match="equal lengths, got 2 and 3"):
        empty.measured("a", [1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="y_error"):
        empty.measured("a", [1, 2], [1, 2], [0.1, 0.1, 0.1])
    with pytest.raises(ValueError, match="negative"):
        empty.measured("a", [1, 2], [1, 2], -0.1)
    with pytest.raises(ValueError, match="mode"):
        empty.measured("a", [1], [1], mode="line")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="numbers"):
        empty.measured("a", ["x"], [1])
    with pytest.raises(ValueError, match="one dimension"):
        empty.measured("a", [[1.0]], [[1.0]])
    with pytest.raises(ValueError, match="group"):
        empty.measured("a", [1], [1], group=-1)
    with pytest.raises(ValueError, match="edges"):
        empty.histogram("a", [0, 1], [1, 2])
    with pytest.raises(ValueError, match="increase"):
        empty.histogram("a", [0, 2, 1], [1, 2])
    with pytest.raises(ValueError, match="text"):
        empty.thesis("a", [1, 2], [1, 2], text=["one"])
    assert not empty.series


def test_two_series_of_one_name_and_kind_raise() -> None:
    one = figure().measured("a", 1, 1).thesis("a", 1, 1)
    with pytest.raises(ValueError, match="already has a measured series 'a'"):
        one.measured("a", 2, 2)


def test_series_take_the_next_group() -> None:
    groups = figure().measured("a", 1, 1).measured("b", 1, 1, group=4).histogram("c", [0, 1], [1])
    assert [s.group for s in groups.series] == [0, 4, 5]


def test_series_do_not_change_with_the_callers_array() -> None:
    x = np.arange(3.0)
    one = figure().measured("a", x, x)
    x[:] = 7
    assert one.series[0].x.tolist() == [0, 1, 2]


finite = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(finite, finite, st.floats(0, 1e3)), min_size=1, max_size=20))
def test_the_csv_holds_every_number(points: list[tuple[float, float, float]]) -> None:
    x, y, error = map(list, zip(*points))
    table = rows(figure().measured('a, "b"', x, y, error).csv(digits=17))
    assert {r["series"] for r in table} == {'a, "b"'}
    assert [float(r["x"]) for r in table] == x
    assert [float(r["y"]) for r in table] == y
    assert [float(r["y_error"]) for r in table] == error
    assert {r["x_error"] for r in table} == {""}


def test_bands_and_histograms_can_be_read_back_from_the_csv() -> None:
    edges = [0.0, 1.0, 4.0]
    table = rows(figure().histogram("h", edges, [3, 5]).band("b", [1, 2], [0, 1], [2, 9]).csv())
    bins = [(float(r["x"]), float(r["x_error"])) for r in table if r["kind"] == "histogram"]
    assert [x - half for x, half in bins] + [sum(bins[-1])] == edges
    assert [r["y"] for r in table if r["kind"] == "band low"] == ["0", "1"]
    assert [r["y"] for r in table if r["kind"] == "band high"] == ["2", "9"]


def test_missing_numbers_are_empty_in_the_csv_and_gaps_in_the_plot() -> None:
    one = figure().measured("a", [1, 2], [np.nan, 2])
    assert rows(one.csv())[0]["y"] == ""
    assert plot(one)[0]["data"][0]["y"] == [None, 2.0]


def test_numbers_that_a_logarithmic_axis_cannot_show_are_counted() -> None:
    one = figure(y=Axis("loss", log=True)).measured("a", [1, 2, 3], [0.0, 1.0, np.nan])
    assert one.hidden() == [("a", 1)]
    assert not one.is_empty
    assert figure(y=Axis("loss", log=True)).measured("a", 1, 0).is_empty
    assert plot(one)[0]["data"][0]["y"] == [None, 1.0, None]
    assert len(rows(one.csv())) == 3


def everything(**options: bool) -> Figure:
    one = figure(Axis("P", log=True), Axis("N_Delta/N", range=(0.0, 2.0)), **options)
    x = [1.0, 10.0, 100.0]
    for group in range(8):
        one.measured(f"m{group}", x, x, [1, 2, 3], 0.1, mode="lines+markers")
    one.thesis("t", x, x, 1.0, text="here").thesis("u", 1, 1, mode="markers")
    one.guide("g", x, x).band("accepted", x, x, x).band("spread", x, x, x, group=2)
    return one.histogram("h", x, [1, 2]).map("z", x, x, x)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ordered", [False, True])
def test_plotly_accepts_every_kind_of_series(scheme: str, ordered: bool) -> None:
    drawn, legend = plot(everything(ordered=ordered))
    colors = palette(scheme)

    def resolved(value: object) -> object:
        if isinstance(value, dict):
            return {name: resolved(v) for name, v in value.items()}
        if isinstance(value, list):
            return [resolved(v) for v in value]
        return colors[value] if isinstance(value, str) and value.startswith("--") else value

    checked = go.Figure(
        data=[resolved(trace) for trace in drawn["data"]], layout=resolved(drawn["layout"])
    )
    assert len(checked.data) == len(legend) == len(everything().series)
    assert sorted(entry.trace for entry in legend) == list(range(len(legend)))


def test_diamonds_dashes_and_one_color_belong_to_the_thesis() -> None:
    drawn, _ = plot(everything())
    for trace in drawn["data"]:
        symbol = trace.get("marker", {}).get("symbol", "")
        dash = trace.get("line", {}).get("dash", "solid")
        colors = {trace.get(part, {}).get("color") for part in ("marker", "line")} - {None}
        ours = trace["meta"] != "thesis"
        assert symbol.startswith("diamond") <= (not ours)
        assert ("dash" in dash) <= (not ours)
        assert ("--thesis" in colors) == (not ours)


def test_the_thesis_is_drawn_on_top() -> None:
    kinds = [trace["meta"] for trace in plot(everything())[0]["data"]]
    assert kinds[:2] == ["map", "band"]
    assert kinds[-1] == "thesis"


def test_a_logarithmic_range_is_given_in_decades() -> None:
    one = figure(Axis("P", log=True, range=(10, 1000))).measured("a", 100, 1)
    assert plot(one)[0]["layout"]["xaxis"]["range"] == [1, 3]
    assert plot(one)[0]["layout"]["xaxis"]["title"]["text"] == "<i>P</i>"


def test_an_error_bar_that_reaches_zero_does_not_squeeze_a_logarithmic_axis() -> None:
    one = figure(y=Axis("loss", log=True)).measured("a", [1, 2], [0.1, 1.0], [0.0999999, 0.5])
    low, high = plot(one)[0]["layout"]["yaxis"]["range"]
    assert np.log10(0.1 / 3) - 0.15 < low < np.log10(0.1 / 3)
    assert np.log10(1.5) < high < np.log10(1.5) + 0.15


# -- the small drawings of the index -----------------------------------------------------------


def drawn(one: Figure) -> ElementTree.Element:
    return ElementTree.fromstring(str(sketch(one)))


def numbers(path: ElementTree.Element) -> np.ndarray:
    """Absolute coordinates of a path of M and L commands, (points, 2)."""
    return np.array(re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.attrib["d"]), dtype=float)


@pytest.mark.parametrize("ordered", [False, True])
def test_a_sketch_holds_every_kind_of_series(ordered: bool) -> None:
    one = everything(ordered=ordered)
    kinds = [group.attrib["class"] for group in drawn(one).iter("g")]
    assert len(kinds) == len(one.series)
    assert kinds[-1] == "thesis"  # on top
    named = {*re.findall(r"var\((--[\w-]+)\)", str(sketch(one)))}
    assert named <= set(palette("light"))


def test_a_sketch_places_numbers_where_its_ticks_are() -> None:
    one = figure(Axis("P", log=True), Axis("loss", range=(0.0, 4.0)))
    one.measured("a", [1, 10, 100], [1, 3, 2], mode="lines")
    root = drawn(one)
    ticks = {(text.text, "class" in text.attrib): text.attrib for text in root.iter("text")}
    [line] = [p for p in root.iter("path") if p.attrib["class"] == "line"]
    x, y = numbers(line).T
    below = [float(ticks[v, False]["x"]) for v in ("1", "10", "100")]
    # The labels at the side stand four pixels below the middle of their line.
    beside = [float(ticks[v, True]["y"]) - 4 for v in "132"]
    assert below == pytest.approx(x.tolist(), abs=0.11)
    assert beside == pytest.approx(y.tolist(), abs=0.11)


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9)), max_size=30), st.booleans())
def test_a_sketch_stays_in_its_frame(points: list[tuple[float, float]], log: bool) -> None:
    x, y = np.array(points).reshape(-1, 2).T
    root = drawn(figure(y=Axis("loss", log=log)).measured("a", x, y))
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for text in root.iter("text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height
    for path in (p for p in root.iter("path") if "marks" in p.attrib["class"]):
        assert np.all((numbers(path) >= 0) & (numbers(path) <= [width, height]))
    assert len(list(root.iter("text"))) <= 14


def test_a_sketch_of_many_points_is_small() -> None:
    x = np.random.default_rng(0).standard_normal((2, 100_000))
    one = figure().measured("cloud", *x).measured("walk", np.arange(100_000), x[0], mode="lines")
    assert len(sketch(one)) < 8000


def test_a_sketch_breaks_its_line_where_a_number_is_missing() -> None:
    one = figure().measured("a", [1, 2, 3, 4, 5], [1, 2, np.nan, 4, 5], mode="lines")
    [line] = [p for p in drawn(one).iter("path") if p.attrib["class"] == "line"]
    assert re.sub(r"[^ML]", "", line.attrib["d"]) == "MLML"


# -- colors ------------------------------------------------------------------------------------


def linear(color: str) -> np.ndarray:
    rgb = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ linear(c)) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_paper(scheme: str) -> None:
    colors = palette(scheme)
    for text in ("--ink", "--muted", "--link", "--thesis", "--good", "--bad", "--open"):
        assert contrast(colors[text], colors["--paper"]) >= 4.5, text
    for badge in ("--good", "--bad", "--open"):
        assert contrast(colors[badge], colors[f"{badge}-soft"]) >= 4.5, badge
    marks = [f"--series-{i}" for i in range(SERIES)] + ["--guide", "--step-0", "--step-8"]
    for mark in marks:
        assert contrast(colors[mark], colors["--paper"]) >= 2.8, mark


# Machado, Oliveira, Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])


def lab(rgb: np.ndarray) -> np.ndarray:
    f = np.cbrt(np.maximum(XYZ @ np.clip(rgb, 0, 1), 216 / 24389))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_color_blind_readers_tell_the_colors_apart(scheme: str, deficiency: str) -> None:
    colors = palette(scheme)
    names = ["--thesis", "--guide", *(f"--series-{i}" for i in range(SERIES))]
    seen = {n: lab(DEFICIENCIES[deficiency] @ linear(colors[n])) for n in names}
    closest = min(
        (float(np.linalg.norm(seen[a] - seen[b])), a, b) for a in names for b in names if a < b
    )
    assert closest[0] > 10, closest


def test_a_map_is_written_drawn_and_sketched() -> None:
    one = figure(x=Axis("h", log=True), y=Axis("alpha", log=True))
    one.map("error", [1, 10, 1, 10], [1, 1, 2, 2], [0.1, 0.2, np.nan, 0.4])
    one.measured("line", [1, 10], [1, 2], mode="lines")
    table = rows(one.csv())
    assert [r["value"] for r in table] == ["0.1", "0.2", "", "0.4", "", ""]
    assert "value" not in figure().measured("a", 1, 1).csv()
    drawn, legend = plot(one)
    heat = drawn["data"][0]
    assert heat["type"] == "heatmap"
    assert (heat["x"], heat["y"], heat["z"]) == ([1, 10, 10], [1, 1, 2], [0.1, 0.2, 0.4])
    assert {token for _, token in heat["colorscale"]} <= set(palette("dark"))
    assert {entry.kind for entry in legend} == {"map", "measured"}
    cells = ElementTree.fromstring(str(sketch(one))).findall(".//{*}g[@class='map']/{*}path")
    assert len(cells) == 3


def test_a_map_has_one_value_at_a_place_and_is_alone() -> None:
    with pytest.raises(ValueError, match="several values at one place"):
        figure().map("error", [1, 1], [2, 2], [0, 1])
    with pytest.raises(ValueError, match="already has a map"):
        figure().map("error", 1, 1, 0).map("width", 1, 1, 0)
    with pytest.raises(ValueError, match="equal lengths"):
        figure().map("error", [1, 2], [1, 2], [0])

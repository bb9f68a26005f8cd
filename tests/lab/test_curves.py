"""Tables, grids of points, shared results, and averaged curves."""

import math

import numpy as np
import pytest

from symscape import lab, scaling
from symscape.lab import Axis, Figure, Row, Table


def figure(**options) -> Figure:
    return Figure("f", "Title", "Caption.", Axis("x"), Axis("y"), **options)


@pytest.fixture
def table() -> Table:
    points = lab.grid(3, net=[{"L": 2, "h": 20}, {"L": 3, "h": 14}], P=(10, 20))
    return Table(Row(q, {"y": q["P"] * q["L"] + q["seed"], "curve": np.ones(2)}) for q in points)


def test_seeds_of_numpy_become_integers_of_the_points() -> None:
    for seeds in (np.int64(2), np.arange(2)):
        points = list(lab.grid(seeds, L=3))
        assert points == [{"L": 3, "seed": 0}, {"L": 3, "seed": 1}]
        assert all(type(point["seed"]) is int for point in points)


def test_a_grid_has_every_combination_with_seeds_the_fastest() -> None:
    points = list(lab.grid(2, net=[{"L": 2, "h": 20}, {"L": 3, "h": 14}], P=(1, 2), steps=9))
    assert len(points) == 8
    assert points[1] == {"L": 2, "h": 20, "P": 1, "steps": 9, "seed": 1}
    assert points[-1] == {"L": 3, "h": 14, "P": 2, "steps": 9, "seed": 1}
    assert list(lab.grid([5], sizes=[[1, 2]], name="ab")) == [
        {"sizes": [1, 2], "name": "ab", "seed": 5}
    ]
    assert list(lab.grid(2, P=())) == []


def test_rows_of_one_seed_are_averaged(table: Table) -> None:
    np.testing.assert_allclose(table.where(L=2).per_seed("y"), [30, 31, 32])
    np.testing.assert_allclose(table.per_seed(lambda row: row["P"]), [15, 15, 15])
    assert len(table.select(lambda row: row["y"] > 40)) == 5
    assert table.select(lambda row: False).per_seed("y").size == 0


def test_shared_results_are_computed_once_per_table(table: Table) -> None:
    calls = []

    @lab.once
    def total(some: Table, factor: float = 1.0) -> float:
        calls.append(factor)
        return factor * sum(some.column("y"))

    assert total(table) == total(table)
    assert total(table, factor=2.0) == 2 * total(table)
    assert total(Table(table.rows)) == total(table)  # another table, computed anew
    assert calls == [1.0, 2.0, 1.0]


def test_curves_average_rows_of_equal_x(table: Table) -> None:
    drawn = figure().curves(table, "P", "y", by=("L", "h"))
    assert [s.name for s in drawn.series] == ["L = 2, h = 20", "L = 3, h = 14"]
    assert [s.group for s in drawn.series] == [0, 1]
    np.testing.assert_allclose(drawn.series[0].x, [10, 20])
    np.testing.assert_allclose(drawn.series[0].y, [21, 41])
    expected = scaling.mean([20, 21, 22])
    np.testing.assert_allclose(drawn.series[0].y_error, expected.error)
    named = figure().curves(table, lambda row: 2 * row["P"], "y", by="L", name="depth {L}", group=3)
    assert [(s.name, s.group) for s in named.series] == [("depth 2", 3), ("depth 3", 4)]
    assert list(named.series[0].x) == [20, 40]


def test_curves_of_arrays_leave_missing_values_out() -> None:
    x = np.array([1.0, 2.0, 3.0])
    rows = [
        Row({"seed": 0}, {"x": x, "y": np.array([1.0, math.nan, 0.0])}),
        Row({"seed": 1}, {"x": x, "y": np.array([4.0, math.nan, 2.0])}),
    ]
    plain = figure().curves(Table(rows), "x", "y").series[0]
    assert (plain.name, list(plain.x), list(plain.y)) == ("measured", [1, 3], [2.5, 1])
    logs = figure().curves(Table(rows), "x", "y", geometric=True).series[0]
    np.testing.assert_allclose(logs.y, [2, 2])
    assert logs.y_error[1] == 0  # one value is left
    with pytest.raises(ValueError, match=r"lengths|shorter|longer"):
        figure().curves(Table([Row({"seed": 0}, {"x": x, "y": np.ones(2)})]), "x", "y")


def test_the_claims_of_a_figure_are_a_tuple() -> None:
    assert figure(claims=("ch1.a",)).claims == ("ch1.a",)
    with pytest.raises(ValueError, match="claims"):
        figure(claims="ch1.a")

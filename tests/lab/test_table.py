import numpy as np
import pytest

from symscape.lab import Row, Table


@pytest.fixture
def table() -> Table:
    return Table(
        Row({"P": P, "dims": [1, P], "seed": seed}, {"loss": P + seed, "w": np.zeros(P)}, "k")
        for P in (20, 3)
        for seed in (0, 1)
    )


def test_where_takes_fields_of_point_and_result(table: Table) -> None:
    assert len(table.where(P=3)) == 2
    assert [row["seed"] for row in table.where(P=20, loss=21)] == [1]
    assert len(table.where(dims=[1, 3])) == 2
    assert not table.where(P=4)


def test_columns_are_arrays_where_they_are_numbers(table: Table) -> None:
    np.testing.assert_array_equal(table.column("loss"), [20, 21, 3, 4])
    assert [w.shape for w in table.column("w")] == [(20,), (20,), (3,), (3,)]


def test_groups_are_a_sorted_partition(table: Table) -> None:
    groups = list(table.groups("P", "dims"))
    assert [values for values, _ in groups] == [(3, (1, 3)), (20, (1, 20))]
    assert sum(len(group) for _, group in groups) == len(table)
    assert all(set(group.column("P")) == {values[0]} for values, group in groups)


def test_an_unknown_field_is_named_with_what_there_is(table: Table) -> None:
    with pytest.raises(ValueError, match=r"'width'.*'P', 'dims', 'loss'"):
        table.column("width")

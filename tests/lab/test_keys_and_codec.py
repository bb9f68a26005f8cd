import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from symscape.lab import InputError, key_of
from symscape.lab._codec import decode, encode


def test_a_key_depends_on_everything_but_the_order_of_names() -> None:
    point = {"P": 10, "seed": 1}
    key = key_of("a", 1, point)
    assert key == key_of("a", 1, {"seed": 1, "P": 10})
    others = [
        key_of("b", 1, point),
        key_of("a", 2, point),
        key_of("a", 1, {"P": 10, "seed": 2}),
        key_of("a", 1, {"P": 11, "seed": 1}),
        key_of("a", 1, {"P": 10, "seed": 1, "h": 3}),
    ]
    assert len({key, *others}) == 6


@pytest.mark.parametrize(
    "point",
    [
        {"P": 1},
        {"seed": 1.0},
        {"seed": True},
        {"seed": -1},
        {"seed": 2**63},
        {"seed": 1, "x": math.nan},
        {"seed": 1, "x": np.float64(1.0)},
        {"seed": 1, "x": (1, 2)},
        {"seed": 1, "x": {"a": 1}},
    ],
)
def test_points_hold_json_and_a_seed(point: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="'a'"):
        key_of("a", 1, point)


@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_, np.complex128]),
        hnp.array_shapes(min_dims=0, min_side=0),
    )
)
def test_arrays_come_back_exactly(array: np.ndarray) -> None:
    back = decode(*encode({"a": array}))["a"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_scalars_come_back_with_their_type() -> None:
    result = {"i": 3, "f": 0.1, "s": "α", "b": True, "inf": -math.inf, "np": np.float32(0.5)}
    back = decode(*encode(result))
    assert back == {**result, "np": 0.5}
    assert [type(back[k]) for k in "ifsb"] == [int, float, str, bool]
    assert math.isnan(decode(*encode({"x": math.nan}))["x"])


def test_without_arrays_there_are_no_bytes() -> None:
    assert encode({"x": 1})[1] is None


@pytest.mark.parametrize("value", [None, [1, 2], {"a": 1}, object(), np.array([None])])
def test_what_cannot_be_stored_without_pickle_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="bad"):
        encode({"bad": value})


def test_torch_tensors_are_stored_as_arrays() -> None:
    torch = pytest.importorskip("torch")
    back = decode(*encode({"t": torch.ones(2, 3, dtype=torch.float64, requires_grad=True)}))
    np.testing.assert_array_equal(back["t"], np.ones((2, 3)))

import math

import pytest

from symscape.lab import Claim, Finding, Tolerance, judge


def claim(low: float = 0.0, high: float = 1.0, profile: str = "overnight") -> Claim:
    return Claim("c", "Fig. 1", "A statement.", 0.5, Tolerance(low, high, "made up"), profile)


@pytest.mark.parametrize(
    ("measured", "sigma", "profile", "status"),
    [
        (0.5, None, "smoke", "reproduced"),
        (0.0, 0.1, "overnight", "reproduced"),  # the bounds belong to the interval
        (1.0, 0.1, "overnight", "reproduced"),
        (0.5, 1.5, "paper", "inconclusive"),  # error bar wider than the tolerance
        (None, None, "paper", "inconclusive"),
        (math.nan, 0.1, "paper", "inconclusive"),
        (1.1, 0.06, "paper", "inconclusive"),  # within two error bars
        (1.1, 0.04, "overnight", "not reproduced"),
        (-0.1, 0.04, "paper", "not reproduced"),
        (1.1, None, "overnight", "not reproduced"),
        (1.1, math.nan, "overnight", "not reproduced"),
        (1.1, 0.04, "quick", "inconclusive"),  # smaller profile than the claim needs
    ],
)
def test_verdict_rule(
    measured: float | None, sigma: float | None, profile: str, status: str
) -> None:
    verdict = judge(claim(), Finding("c", measured, sigma), profile)
    assert verdict.status == status
    assert verdict.reason.endswith(".")


@pytest.mark.parametrize(
    ("low", "high", "measured", "sigma", "status"),
    [
        (2.0, math.inf, 6.9, 4.8, "reproduced"),
        (2.0, math.inf, 6.9, 9.5, "inconclusive"),
        (2.0, math.inf, 2.0, 0.0, "reproduced"),  # a count at the bound has no error
        (-math.inf, 2.0, 1.0, 0.9, "reproduced"),
        (-math.inf, 2.0, 1.0, 50.0, "inconclusive"),
        (2.0, math.inf, 6.9, math.inf, "inconclusive"),
        (2.0, math.inf, 6.9, None, "reproduced"),
        (-math.inf, math.inf, 6.9, 50.0, "reproduced"),  # nothing can leave the whole line
    ],
)
def test_with_one_bound_the_error_bar_must_not_reach_past_it(
    low: float, high: float, measured: float, sigma: float | None, status: str
) -> None:
    verdict = judge(claim(low, high), Finding("c", measured, sigma), "overnight")
    assert verdict.status == status
    if status == "inconclusive":
        assert verdict.reason.endswith("but the error bar reaches out of it.")


@pytest.mark.parametrize("measured", [math.inf, -math.inf])
def test_infinity_is_no_number(measured: float) -> None:
    verdict = judge(claim(0.0, math.inf), Finding("c", measured), "overnight")
    assert verdict.status == "inconclusive"
    assert "inf is not a number" in verdict.reason


def test_the_note_is_the_reason_where_there_is_no_number() -> None:
    assert judge(claim(), Finding("c", None, note="Too few."), "quick").reason == "Too few."


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="low=2 must not exceed high=1"):
        Tolerance(2, 1, "reason")
    with pytest.raises(ValueError, match="reason"):
        Tolerance(1, 2, "")
    with pytest.raises(ValueError, match="profile='nightly'"):
        claim(profile="nightly")
    with pytest.raises(ValueError, match="'other'"):
        judge(claim(), Finding("other", 1.0), "quick")
    with pytest.raises(ValueError, match="profile='nightly'"):
        judge(claim(), Finding("c", 1.0), "nightly")

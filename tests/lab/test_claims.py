"""The rule of a verdict, and how a claim is answered."""

import math
from collections.abc import Mapping

import pytest

from symscape.lab import Claim, Estimate, NoEstimate, Row, Table, Tolerance, judge, verdict

TABLE = Table([Row({"seed": 0}, {"y": 1.0}, key="a"), Row({"seed": 1}, {"y": 2.0}, key="b")])


def claim(low=0.0, high=1.0, kind="measured", profile="overnight", answer=None) -> Claim:
    tolerance = Tolerance(low, high, "made up")
    return Claim("c", "Fig. 1", "A statement.", 0.5, tolerance, answer, kind, profile)


@pytest.mark.parametrize(
    ("value", "error", "profile", "status"),
    [
        (0.5, 0.1, "smoke", "reproduced"),
        (0.1, 0.1, "overnight", "reproduced"),  # one error from the edge
        (0.1, 0.11, "overnight", "inconclusive"),  # inside, by less than one error
        (1.0, 0.1, "overnight", "inconclusive"),  # on the edge
        (0.5, 0.6, "paper", "inconclusive"),  # both edges are nearer than one error
        (1.1, 0.06, "paper", "inconclusive"),  # outside, by less than two errors
        (1.1, 0.05, "overnight", "not reproduced"),  # by two
        (-0.1, 0.04, "paper", "not reproduced"),
        (1.1, 0.05, "quick", "inconclusive"),  # a smaller profile than the claim needs
        (0.5, None, "paper", "inconclusive"),  # no error bar
        (0.5, 0.0, "paper", "inconclusive"),
        (0.5, math.nan, "paper", "inconclusive"),
        (0.5, math.inf, "paper", "inconclusive"),
        (9.0, None, "paper", "inconclusive"),
        (math.nan, 0.1, "paper", "inconclusive"),
        (math.inf, 0.1, "paper", "inconclusive"),
    ],
)
def test_rule_of_measured_claims(value, error, profile, status) -> None:
    found = judge(claim(), Estimate(value, error), profile)
    assert found.status == status
    assert found.reason.endswith(".")


@pytest.mark.parametrize(
    ("low", "high", "value", "status"),
    [
        (0.5, math.inf, -1.0, "not reproduced"),  # the wrong sign, by three errors and more
        (0.5, math.inf, -0.9, "inconclusive"),  # by 2.8
        (0.5, math.inf, 0.01, "inconclusive"),  # the right sign
        (-math.inf, -0.5, 1.1, "not reproduced"),
        (-math.inf, 0.5, 9.0, "inconclusive"),  # numbers of this sign are allowed
        (-1.0, 1.0, 9.0, "inconclusive"),
    ],
)
def test_a_wrong_sign_counts_in_every_profile(low, high, value, status) -> None:
    assert judge(claim(low, high), Estimate(value, 0.5), "smoke").status == status


@pytest.mark.parametrize("value", [2.1, 1e6])
def test_an_open_end_cannot_be_crossed(value) -> None:
    assert judge(claim(2.0, math.inf), Estimate(value, 0.1), "overnight").status == "reproduced"
    assert judge(claim(-math.inf, 2.0), Estimate(-value, 0.1), "quick").status == "reproduced"


@pytest.mark.parametrize("kind", ["exact", "check"])
def test_identities_need_no_error_bar(kind) -> None:
    assert judge(claim(kind=kind), Estimate(1.0), "smoke").status == "reproduced"
    assert judge(claim(kind=kind), Estimate(1.1), "overnight").status == "not reproduced"
    assert judge(claim(kind=kind), Estimate(1.1), "quick").status == "inconclusive"
    assert judge(claim(kind=kind), Estimate(math.nan), "paper").status == "inconclusive"


def test_a_check_with_an_error_bar_is_judged_by_it() -> None:
    assert judge(claim(kind="check"), Estimate(1.0, 0.1), "paper").status == "inconclusive"


def test_of_several_panels_the_worst_answers() -> None:
    panels: Mapping = {"L = 2": Estimate(0.5, 0.1), "L = 3": Estimate(0.95, 0.1, "Few.")}
    found = judge(claim(), panels, "paper")
    assert (found.status, found.panel) == ("inconclusive", "L = 3")
    assert found.note == "Few. The others: L = 2: 0.5 ± 0.1."
    assert "(L = 3)" in found.reason
    # a panel without a number leaves the question open, unless another one fails already
    assert judge(claim(), {"a": Estimate(0.5, 0.1), "b": "No run."}, "paper").reason == "b: No run."
    failing = judge(claim(), {"a": Estimate(9.0, 0.1), "b": "No run."}, "paper")
    assert (failing.status, failing.panel) == ("not reproduced", "a")
    assert failing.note == "No number for b."
    assert judge(claim(), {}, "paper").status == "inconclusive"


def test_an_answer_is_a_number_a_sentence_or_an_exception_that_is_one() -> None:
    def mean(table, p):
        return Estimate(p * table.column("y").mean(), 0.01)

    def nothing(table, p):
        raise NoEstimate("Too few.")

    found = verdict(claim(answer=mean), TABLE, 0.5, "overnight")
    assert (found.status, found.estimate, found.runs) == (
        "reproduced",
        Estimate(0.75, 0.01),
        ("a", "b"),
    )
    for answer in (nothing, lambda table, p: "Too few."):
        found = verdict(claim(answer=answer), TABLE, None, "overnight")
        assert (found.status, found.reason, found.estimate) == ("inconclusive", "Too few.", None)
    assert verdict(claim(answer=mean), Table([]), 0.5, "overnight").reason == "Not run."


def test_wrong_input_is_named() -> None:
    with pytest.raises(ValueError, match="low=2 must not exceed high=1"):
        Tolerance(2, 1, "reason")
    with pytest.raises(ValueError, match="both infinite"):
        Tolerance(-math.inf, math.inf, "reason")
    with pytest.raises(ValueError, match="reason"):
        Tolerance(1, 2, "")
    with pytest.raises(ValueError, match="profile='nightly'"):
        claim(profile="nightly")
    with pytest.raises(ValueError, match="kind='guess'"):
        claim(kind="guess")
    with pytest.raises(ValueError, match="profile='nightly'"):
        judge(claim(), Estimate(1.0), "nightly")

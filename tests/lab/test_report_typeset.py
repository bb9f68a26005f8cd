"""Plain text and numbers as HTML."""

from __future__ import annotations

import html
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from symscape.lab._report._typeset import duration, interval, measured, number, typeset


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("N_Delta/N", "<i>N</i><sub>Δ</sub>/<i>N</i>"),
        ("|N_+ - N_-|", "|<i>N</i><sub>+</sub> − <i>N</i><sub>−</sub>|"),
        ("10^-3 and P^(-1/2)", "10<sup>−3</sup> and <i>P</i><sup>−1/2</sup>"),
        (
            "P^(-1/(d - 1)) in R^d",
            "<i>P</i><sup>−1/(<i>d</i> − 1)</sup> in <i>R</i><sup><i>d</i></sup>",
        ),
        ("N_{eff} of max_steps", "<i>N</i><sub>eff</sub> of max_steps"),
        ("theta = 0.3 +- 0.1", "θ = 0.3 ± 0.1"),
        ("at most 1e-12.", "at most 10<sup>−12</sup>."),
        ("slope >= -0.5", "slope ≥ −0.5"),
        ("a paper: Paper B, Fig. 3B", "a paper: Paper B, Fig. 3B"),
        ("3 s of P", "3 s of <i>P</i>"),
        ("<i>P</i>/N", "<i>P</i>/<i>N</i>"),
        ("it's the thesis's", "it's the thesis's"),
        ("see `symscape run N_x <b>`.", "see <code>symscape run N_x &lt;b&gt;</code>."),
    ],
)
def test_notation(text: str, expected: str) -> None:
    assert typeset(text) == expected


@given(st.text(max_size=60))
def test_no_text_opens_a_tag_that_is_not_allowed(text: str) -> None:
    rest = re.sub(r"</?(?:i|b|sub|sup|code)>", "", typeset(text))
    assert "<" not in rest
    assert ">" not in rest


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e80, max_value=1e80))
def test_a_number_keeps_four_digits(value: float) -> None:
    text = html.unescape(number(value)).replace("−", "-")
    text = re.sub(r"^(?:(.*) × )?10<sup>(.*)</sup>$", lambda m: f"{m[1] or 1}e{m[2]}", text)
    assert math.isclose(float(text), value, rel_tol=6e-4, abs_tol=1e-300)


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.751234, 0.00423, "0.7512 ± 0.0042"),
        (1234.4, 60.0, "1234 ± 60"),
        (1.2345e-7, 3e-9, "(1.235 ± 0.030) × 10<sup>−7</sup>"),
        (-0.5, None, "−0.5"),
        (None, 0.1, "–"),
        (math.nan, 0.1, "–"),
        (2.0, 0.0, "2"),
    ],
)
def test_a_measured_number_is_rounded_to_its_error(
    value: float | None, error: float | None, expected: str
) -> None:
    assert measured(value, error) == expected


def test_intervals() -> None:
    assert interval(0.65, 0.85) == "0.65 … 0.85"
    assert interval(0.25, math.inf) == "≥ 0.25"
    assert interval(-math.inf, 1e-12) == "≤ 10<sup>−12</sup>"
    assert interval(243, 243) == "= 243"


def test_durations() -> None:
    assert [duration(s) for s in (4.24, 200, 3660, 7199.7)] == [
        "4.2 s",
        "3 min 20 s",
        "1 h 01 min",
        "2 h 00 min",
    ]

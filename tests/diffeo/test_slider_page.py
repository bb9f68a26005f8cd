"""The page with one digit under sliders, in a real browser: its formulas are the library's."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from symscape.diffeo import acceptable_range, displacement

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PAGE = Path(__file__).parents[2] / "docs" / "assets" / "diffeomorphism.html"
N = 28

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(PAGE.as_uri())
        yield page
        assert complaints == []
        browser.close()


def moved(page: Any, log_T: float, c: int) -> str:
    """The verdict after both sliders were moved."""
    for slider, value in (("T", f"{log_T:.2f}"), ("c", str(c))):
        page.locator(f"#{slider}").fill(value)
    return str(page.locator("#verdict").text_content())


def expected(heat: float, c: int) -> str:
    low, high = acceptable_range(c, N)
    if low > high:
        return "no temperature is acceptable at this cut-off"
    if heat < low:
        return "below T_min"
    return "above T_max" if heat > high else "acceptable"


@pytest.mark.parametrize("c", [2, 3, 8, 17, 18, 28])
def test_the_verdict_is_that_of_the_library(page: Any, c: int) -> None:
    low, high = (math.log10(T) for T in acceptable_range(c, N))
    places = {-6.0, -0.3, (low + high) / 2}
    # the steps of the slider on both sides of the bounds
    places |= {step(100 * bound) / 100 for bound in (low, high) for step in (math.floor, math.ceil)}
    for log_T in sorted(round(place, 2) for place in places):
        T = 10**log_T
        verdict = moved(page, log_T, c)
        assert verdict.startswith(expected(T, c)), (log_T, c)
        shown = re.search(r"displacement ([\d.]+) pixels", verdict)
        assert shown is not None
        assert float(shown[1]) == pytest.approx(displacement(T, c, N), abs=0.0051)
        assert page.locator("#T-out").text_content() == f"{T:.2e}".replace("e-0", "e-")
        assert page.locator("#c-out").text_content() == str(c)


def test_fields_fold_over_far_above_the_region_and_not_below_it(page: Any) -> None:
    for c in (3, 10):
        low, high = (math.log10(T) for T in acceptable_range(c, N))
        for _ in range(3):
            page.locator("#new").click()
            assert moved(page, low - 0.5, c).endswith("this field does not fold over")
            assert moved(page, min(high + 1.5, 0.0), c).endswith("this field folds over")


def test_the_digit_moves_with_the_temperature(page: Any) -> None:
    def drawn(log_T: float) -> str:
        moved(page, log_T, 3)
        return str(page.evaluate("document.getElementById('image').toDataURL()"))

    still = drawn(-6.0)
    assert drawn(-2.0) != still
    assert drawn(-6.0) == still

"""The report in a real browser, opened from disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlparse

import pytest
from report_case import CHAPTERS, NAMES, filled

from symscape.lab import build_report

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PAGES = ("index.html", "experiments/sample-jump.html", "experiments/demo-line.html")
SIZES = {"desk": (1280, 900), "wide": (1600, 1000), "phone": (390, 844)}

pytestmark = pytest.mark.browser


def _chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = _chromium()
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with filled(folder) as store:
        out = folder / "with a space"
        return build_report(store, out, experiments=NAMES, chapters=CHAPTERS).parent


class Visit:
    """A page with everything that it said and asked for."""

    def __init__(self, browser: Any, path: Path, scheme: str = "light", size: str = "desk") -> None:
        width, height = SIZES[size]
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            is_mobile=size == "phone",
            has_touch=size == "phone",
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.plot')].every(p => p.querySelector('.main-svg'))"
        )

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_from_disk_without_complaint_or_network(
    browser: Any, report: Path, page: str, scheme: str, size: str
) -> None:
    with Visit(browser, report / page, scheme, size) as visit:
        assert visit.complaints == []
        schemes = {urlparse(url).scheme for url in visit.requests}
        assert schemes <= {"file", "data", "blob"}
        width, seen = visit.page.evaluate(
            "() => [document.documentElement.scrollWidth, window.innerWidth]"
        )
        assert width <= seen
        assert seen == SIZES[size][0]


BESIDE = """() => { const box = e => e.getBoundingClientRect();
    const [plot, claim] = [box(document.querySelector('#figure-jump .plot')),
        box(document.getElementById('ch98.fig6.jump-height'))];
    return {right: claim.left >= plot.right, level: claim.top < plot.bottom,
        below: claim.top >= plot.bottom && claim.left <= plot.left + 1,
        seen: plot.top < window.innerHeight}; }"""


def test_a_claim_stands_beside_its_figure_and_below_it_on_a_phone(
    browser: Any, report: Path
) -> None:
    page = report / "experiments/sample-jump.html"
    with Visit(browser, page, size="wide") as visit:
        wide = visit.page.evaluate(BESIDE)
        assert (wide["right"], wide["level"], wide["seen"]) == (True, True, True)
    with Visit(browser, page, size="phone") as visit:
        assert visit.page.evaluate(BESIDE)["below"]


def test_a_drawing_of_the_index_leads_to_its_figure(browser: Any, report: Path) -> None:
    with Visit(browser, report / "index.html", size="phone") as visit:
        sketch = visit.page.locator("svg.sketch")
        assert sketch.count() == 1
        assert sketch.bounding_box()["width"] > 300
        visit.page.click("a.drawing")
        visit.page.wait_for_url("**/experiments/sample-jump.html#figure-jump")


def test_a_report_on_one_experiment_opens_at_its_page(browser: Any, tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        index = build_report(store, tmp_path / "one page", experiments=["sample-jump"])
    with Visit(browser, index) as visit:
        visit.page.wait_for_url("**/experiments/sample-jump.html")
        assert visit.page.locator("h1").inner_text().startswith("The number of unsatisfied")


def test_figures_have_traces_with_points(browser: Any, report: Path) -> None:
    with Visit(browser, report / "experiments/sample-jump.html") as visit:
        plots = visit.page.evaluate(
            """() => [...document.querySelectorAll('.plot')].map(p => ({
                traces: p.data.length,
                drawn: p.querySelectorAll('.scatterlayer .trace').length,
                titles: [p.layout.xaxis.title.text, p.layout.yaxis.title.text],
                legend: p.parentElement.querySelectorAll('.legend button').length}))"""
        )
        assert [p["traces"] for p in plots] == [6, 2, 8]
        for plot in plots:
            assert plot["drawn"] == plot["traces"] == plot["legend"]
            assert all(plot["titles"])


@pytest.mark.parametrize("page", PAGES)
def test_links_resolve(browser: Any, report: Path, page: str) -> None:
    with Visit(browser, report / page) as visit:
        links = visit.page.eval_on_selector_all("a[href]", "links => links.map(a => a.href)")
        assert links
        for link in links:
            url, fragment = urldefrag(link)
            target = Path(unquote(urlparse(url).path))
            assert target.is_file(), link
            if fragment:
                assert f'id="{fragment}"' in target.read_text(), link


def test_data_can_be_downloaded(browser: Any, report: Path) -> None:
    with Visit(browser, report / "experiments/sample-jump.html") as visit:
        with visit.page.expect_download() as download:
            visit.page.click("#figure-jump a[download]")
        assert download.value.path().read_text().startswith("series,kind,x,y,x_error,y_error\n")


def test_a_change_of_the_color_scheme_recolors_page_and_figures(browser: Any, report: Path) -> None:
    look = """() => { const plot = document.querySelector('.plot'); return [
        getComputedStyle(document.body).backgroundColor,
        getComputedStyle(plot.querySelector('.xtick text')).fill,
        plot.data.find(t => t.meta === 'thesis').line.color,
        plot.data.find(t => t.meta === 'measured').marker.color]; }"""
    with Visit(browser, report / "experiments/sample-jump.html", "light") as visit:
        light = visit.page.evaluate(look)
        visit.page.emulate_media(color_scheme="dark")
        visit.page.wait_for_function(
            f"light => ({look})().every((color, i) => color !== light[i])", arg=light
        )
        dark = visit.page.evaluate(look)
        visit.page.emulate_media(color_scheme="light")
        visit.page.wait_for_function(
            f"light => ({look})().every((color, i) => color === light[i])", arg=light
        )
    with Visit(browser, report / "experiments/sample-jump.html", "dark") as visit:
        assert visit.page.evaluate(look) == dark


def test_paper_is_white_in_the_dark(browser: Any, report: Path) -> None:
    """What the print dialog shows: light figures; afterwards the screen is as before."""
    ticks = "() => getComputedStyle(document.querySelector('.xtick text')).fill"
    with Visit(browser, report / "experiments/sample-jump.html", "light") as visit:
        light = visit.page.evaluate(ticks)
    with Visit(browser, report / "experiments/sample-jump.html", "dark") as visit:
        dark = visit.page.evaluate(ticks)
        visit.page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
        assert visit.page.evaluate(ticks) == light
        visit.page.evaluate("() => window.dispatchEvent(new Event('afterprint'))")
        assert visit.page.evaluate(ticks) == dark


def test_the_legend_hides_and_shows_a_series(browser: Any, report: Path) -> None:
    shown = "() => document.querySelectorAll('#figure-jump .scatterlayer .trace').length"
    with Visit(browser, report / "experiments/sample-jump.html") as visit:
        button = visit.page.locator("#figure-jump .legend button").first
        assert visit.page.evaluate(shown) == 6
        button.click()
        assert visit.page.evaluate(shown) == 5
        assert button.get_attribute("aria-pressed") == "false"
        button.press("Enter")
        assert visit.page.evaluate(shown) == 6


def test_counts_filter_the_claims(browser: Any, report: Path) -> None:
    with Visit(browser, report / "index.html") as visit:
        rows = visit.page.locator("tr.claim:visible")
        assert rows.count() == 8  # six measured, an identity and a check
        button = visit.page.locator("[data-filter=not-reproduced]")
        button.click()
        assert rows.count() == 1
        assert "only measured claims that are not reproduced" in (
            visit.page.locator("#filtered").inner_text().lower()
        )
        button.click()
        assert rows.count() == 8


def test_a_finger_scrolls_the_page_over_a_figure(browser: Any, report: Path) -> None:
    with Visit(browser, report / "experiments/sample-jump.html", size="phone") as visit:
        assert visit.page.evaluate("() => document.querySelector('.plot').layout.dragmode") is False


def test_controls_have_names(browser: Any, report: Path) -> None:
    for page in PAGES:
        with Visit(browser, report / page) as visit:
            nameless = visit.page.eval_on_selector_all(
                "button, a[href], figure, section, [role=img], [role=region]",
                """all => all.filter(e => !(e.innerText?.trim() || e.getAttribute('aria-label')
                    || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML.slice(0, 80))""",
            )
            assert nameless == []
            dangling = visit.page.eval_on_selector_all(
                "[aria-labelledby]",
                """all => all.map(e => e.getAttribute('aria-labelledby'))
                    .filter(id => !document.getElementById(id))""",
            )
            assert dangling == []

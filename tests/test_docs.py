"""The documentation says what is true: its code runs, its links lead somewhere, it builds."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^(?P<indent>[ ]*)```python(?P<mark>[^\n]*)\n(?P<code>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)
DOCUMENTED = [
    "networks",
    "dynamics",
    "training",
    "landscape",
    "datasets",
    "lab",
    "scaling",
    "kernels",
    "bandit",
    "diffeo",
    "contraction",
    "math",
    "o3",
    "nn",
    "io",
    "testing",
]
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def script(page: str) -> str:
    """All blocks of a page as one script, in which line numbers are those of the page."""
    lines = [""] * (page.count("\n") + 1)
    for block in BLOCK.finditer(page):
        if "no-run" in block["mark"]:
            continue
        first = page.count("\n", 0, block.start("code"))
        width = len(block["indent"])
        for offset, line in enumerate(block["code"].splitlines()):
            lines[first + offset] = line[width:]
    return "\n".join(lines)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_page(page: Path, folder: Path) -> str:
    file = folder / f"{page.stem}.py"
    file.write_text(script(page.read_text(encoding="utf-8")), encoding="utf-8")
    one_thread = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, str(file)],
        cwd=folder,
        env=os.environ | one_thread,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, f"{name(page)}: line numbers are those of the page\n{run.stderr}"
    return run.stdout


WITH_CODE = [page for page in PAGES if script(page.read_text(encoding="utf-8")).strip()]


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_code_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    run_page(page, tmp_path)


def test_line_numbers_and_marks_of_a_page() -> None:
    indented = "    ```python\n    b = a\n    ```\n"
    page = f"text\n\n```python\na = 1\n```\n\n{indented}```python no-run\nc\n```"
    assert script(page).splitlines()[3] == "a = 1"
    assert script(page).splitlines()[7] == "b = a"
    assert len(script(page).split()) == 6


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(
        r"```.*?```|`[^`\n]*`|\$[^$]*\$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL
    )
    targets = {match[1] or match[2] for match in LINK.finditer(text)}
    inside = {t.split("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)}
    missing = sorted(t for t in inside if not (page.parent / t).exists())
    assert not missing, f"{name(page)} points to {', '.join(missing)}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return folder


def test_site_builds_without_warnings_and_formulas_are_mathml(site: Path) -> None:
    chapter = (site / "chapters" / "jamming.html").read_text(encoding="utf-8")
    assert "<math" in chapter
    unconverted = [p.name for p in site.rglob("*.html") if 'class="arithmatex"' in p.read_text()]
    assert unconverted == []


def test_site_fetches_nothing_from_outside(site: Path) -> None:
    loads = re.compile(
        r"<(?:script|img|iframe)[^>]*\ssrc=\"?https?:|<link(?![^>]*canonical)[^>]*href=\"?https?:"
    )
    assert [p.name for p in site.rglob("*.html") if loads.search(p.read_text())] == []


@pytest.mark.browser
def test_site_works_from_disk(site: Path) -> None:
    """Nothing fails or is fetched, fractions are built up, and the search finds."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed")
    complaints: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto((site / "chapters" / "jamming.html").as_uri())
        letter, fraction = (page.locator(f"math {tag}").first for tag in ("mi", "mfrac"))
        assert fraction.bounding_box()["height"] > 1.5 * letter.bounding_box()["height"]
        page.fill("input[name=query]", "overlap")
        page.wait_for_selector(".md-search-result__item")
        browser.close()
    inside = ("file:", "data:", "blob:")
    assert [c for c in complaints if not c.startswith(inside)] == []


def test_reference_holds_every_public_name(site: Path) -> None:
    for package in DOCUMENTED:
        page = (site / "api" / f"{package}.html").read_text(encoding="utf-8")
        module = importlib.import_module(f"symscape.{package}")
        public = [n for n in module.__all__ if isinstance(getattr(module, n), (type, FunctionType))]
        missing = [n for n in public if f'id="symscape.{package}.{n}"' not in page]
        assert missing == [], f"symscape.{package}: without a docstring, or not found"


def hook(stem: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(stem, ROOT / "docs" / "_hooks" / f"{stem}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLAIM = {
    "id": "ch1.fig0.a<b",
    "kind": "measured",
    "chapter": "1",
    "source": "Paper A, Fig. 0",
    "statement": "The jump is finite.",
    "thesis": 0.75,
    "measured": 0.61234,
    "uncertainty": 0.0123,
    "panel": "L = 3",
    "tolerance": {"low": 0.65, "high": None, "reason": 'a "reason"'},
    "verdict": "not reproduced",
    "reason": "It is outside.",
    "note": "",
    "profile": "overnight",
    "runs": {"count": 3, "sha256": ""},
}


def with_claims(root: Path, mark: str) -> str:
    config = SimpleNamespace(config_file_path=str(root / "mkdocs.yml"))
    return hook("claims").on_page_markdown(f"before\n\n<!-- claims: {mark} -->\n", None, config)


def test_table_of_claims_shows_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    other = CLAIM | {"id": "b", "measured": None, "verdict": "inconclusive"}
    exact = CLAIM | {"id": "c", "kind": "exact", "verdict": "reproduced"}
    (tmp_path / "results" / "claims.json").write_text(json.dumps([exact, CLAIM, other]))
    page = with_claims(tmp_path, "1")
    assert "2 measured claims: 1 not reproduced, 1 inconclusive" in page
    assert "1 of 1 identities hold." in page
    assert "<small>L = 3</small>" in page
    assert ">not reproduced<" in page
    assert "0.6123 ± 0.012" in page
    assert "≥ 0.65" in page
    assert "no number" in page
    assert "a&lt;b" in page
    assert "| 1 | 2 | 0 | 1 | 1 | 1 of 1 | – |" in with_claims(tmp_path, "summary")


@pytest.mark.parametrize("mark", ["1", "summary"])
def test_page_says_that_no_results_are_committed(tmp_path: Path, mark: str) -> None:
    page = with_claims(tmp_path, mark)
    assert "No results are committed yet" in page
    assert "reproduced" not in page


def test_docstrings_become_markdown() -> None:
    markdown = hook("docstrings").markdown
    assert markdown("See :class:`~a.B` and :math:`x\n^2`.") == "See `a.B` and $x ^2$."
    assert "\\begin{aligned}\na &= b" in markdown(".. math::\n    a &= b, \\\\\n    c &= d\n\nEnd.")
    assert markdown("Text\n\n>>> f(1)\n2\n\nEnd") == "Text\n\n```pycon\n>>> f(1)\n2\n```\n\nEnd"
    rule = "========= ====="
    rows = ("name      x", rule, ":math:`a` b c", "          d")
    table = markdown("\n".join((rule, *rows, rule, "")))
    assert table.split("\n")[1:4] == ["| name | x |", "|---|---|", "| $a$ | b c d |"]

"""The report and the export: what they say, and that they appear whole or not at all."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from demo_experiment import Demo
from report_case import CHAPTERS, NAMES, filled, registered
from report_experiment import Jump

from symscape.lab import (
    InProcess,
    InputError,
    Store,
    build_report,
    export_results,
    run_experiment,
)

FIELDS = [
    *("id", "kind", "chapter", "source", "statement", "thesis", "measured", "uncertainty"),
    *("panel", "tolerance", "verdict", "reason", "note", "profile", "runs"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with filled(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def report(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report"
    return build_report(store, out, experiments=NAMES, chapters=CHAPTERS).parent


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def claims(folder: Path) -> dict[str, dict[str, Any]]:
    return {c["id"]: c for c in json.loads((folder / "claims.json").read_text())}


class Text(HTMLParser):
    """The visible text of a page, and the ids and tags in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.words: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.open: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["script"]:
            self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        self.open.append("/" + tag)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


# -- the report --------------------------------------------------------------------------------


def test_the_report_holds_these_files(report: Path) -> None:
    assert set(contents(report)) == {
        "index.html",
        "claims.json",
        "experiments/sample-jump.html",
        "experiments/demo-line.html",
        "data/sample-jump/jump.csv",
        "data/sample-jump/loss.csv",
        "data/sample-jump/gaps.csv",
        "assets/plotly.min.js",
        "assets/report.css",
        "assets/report.js",
        "assets/made.js",
    }


def test_claims_json_has_exactly_the_promised_fields(report: Path) -> None:
    records = json.loads((report / "claims.json").read_text())
    assert all(list(record) == FIELDS for record in records)
    assert [r["id"] for r in records] == [c.id for e in (Jump, Demo) for c in e.claims]
    jump = claims(report)["ch98.fig6.jump-height"]
    assert jump["verdict"] == "reproduced"
    assert (jump["thesis"], jump["uncertainty"], jump["profile"]) == (0.75, 0.012, "quick")
    assert (jump["kind"], jump["panel"]) == ("measured", "relu")
    assert jump["tolerance"] == {
        "low": 0.65,
        "high": 0.85,
        "reason": "spread of the points in the figure",
    }
    assert len(jump["runs"]) == 39  # one of the 40 points fails
    assert claims(report)["ch98.text.loss"]["tolerance"]["low"] is None


@pytest.mark.parametrize("page", ["index.html", "experiments/sample-jump.html"])
def test_verdicts_are_shown_with_their_numbers(report: Path, page: str) -> None:
    text = Text(report / page).text
    assert "0.743 ± 0.012 worst: relu" in text
    assert "0.65 … 0.85" in text
    assert "Small P bends the curve." in text
    assert "No run was close enough to the transition." in text
    assert "Paper A, Fig. 6b" in text
    for kind in ("measured", "exact identity", "check of our own code"):
        assert kind in text


def test_identities_and_checks_are_counted_and_shown_apart(report: Path) -> None:
    page = report / "index.html"
    text = Text(page).text
    assert "1 reproduced 1 not reproduced 4 inconclusive 6 measured claims" in text
    assert "1 of 1 exact identity and 1 of 1 check of our own code" in text
    assert text.index("Exact identities") > text.index("ch99.fig1.slope")
    shown = {c["id"]: section_of(page, c["id"]) for c in claims(report).values()}
    assert shown["ch98.fig6.gap"] == "exact"
    assert shown["ch98.text.loss"] == "check"
    assert {s for i, s in shown.items() if i not in ("ch98.fig6.gap", "ch98.text.loss")} == {
        "chapter-98",
        "chapter-99",
    }


def section_of(page: Path, claim: str) -> str:
    """Id of the section of the index in which the row of a claim stands."""
    before = page.read_text().split(f'id="{claim}"')[0]
    return re.findall(r'<section id="([\w-]+)"', before)[-1]


def test_figures_stand_beside_the_claims_that_they_show(report: Path) -> None:
    """Each claim once: beside the first figure that shows it, or in the list of the rest."""
    ids = Text(report / "experiments/sample-jump.html").ids
    order = [i for i in ids if i.startswith(("figure-", "ch98."))]
    assert order == [
        *("figure-jump", "ch98.fig6.jump-height", "ch98.fig6.gap"),
        *("figure-loss", "ch98.text.loss"),
        "figure-gaps",
        *("ch98.fig6.slope", "ch98.fig8.theta", "ch98.fig12.dead"),
    ]
    page = (report / "experiments/sample-jump.html").read_text()
    assert page.count('href="#ch98.fig6.gap"') == 1  # beside the second figure


def test_a_figure_may_show_many_claims(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, ids = Jump.figures, [claim.id for claim in Jump.claims]

    def one_shows_all(self: Jump, table: Any, p: Any) -> list[Any]:
        return [replace(draw(self, table, p)[0], claims=tuple(ids))]

    monkeypatch.setattr(Jump, "figures", one_shows_all)
    folder = build_report(store, tmp_path / "report", experiments=NAMES).parent
    shown = Text(folder / "experiments/sample-jump.html").ids
    assert [i for i in shown if i in ids] == ids


def test_the_index_opens_with_a_drawing_per_chapter(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert "plotly" not in page
    opening = page[: page.index('<section id="chapter-98"')]
    drawings = re.findall(r'<svg class="sketch".*? aria-label="([^"]*)"', opening)
    # The demo has not run.
    assert drawings == [
        "Unsatisfied patterns across the transition: N_Delta/N against P/N; "
        "measured, thesis, theory"
    ]
    assert 'href="experiments/sample-jump.html#figure-jump"' in opening


def test_a_report_on_one_experiment_leads_to_its_page(store: Store, tmp_path: Path) -> None:
    index = build_report(store, tmp_path / "report", experiments=["sample-jump"])
    assert 'url=experiments/sample-jump.html"' in index.read_text()
    page = (index.parent / "experiments/sample-jump.html").read_text()
    assert "index.html" not in page


def test_the_index_names_what_was_run_where_that_is_little(report: Path) -> None:
    text = Text(report / "index.html").text
    assert f"Run so far: {Jump.title}." in text


def test_an_experiment_without_runs_is_inconclusive_because_not_run(report: Path) -> None:
    records = [claims(report)[claim.id] for claim in Demo.claims]
    assert {r["verdict"] for r in records} == {"inconclusive"}
    assert {r["measured"] for r in records} == {None}
    text = Text(report / "experiments/demo-line.html").text
    assert "Not run." in text
    assert "symscape run demo-line" in text


def test_the_page_of_an_experiment_tells_where_its_numbers_come_from(report: Path) -> None:
    text = Text(report / "experiments/sample-jump.html").text
    assert "39 of 40 points finished, 1 failed" in text
    assert "mnist-sample, SHA-256 0123456789abcdef…, in 39 points" in text
    assert "0–4" in text  # seeds
    assert re.search(r"symscape \d+\.\d+", text)
    assert re.search(r"torch \d+\.\d+", text)
    assert re.search(r"depth ?3 ?hidden layers L", text)
    assert "20 points of “runs” are not positive" in text


def test_a_traceback_is_shown_as_text(report: Path) -> None:
    page = report / "experiments/sample-jump.html"
    assert "FloatingPointError: loss is NaN at step 4711 <script>alert(1)</script>" in (
        Text(page).text
    )
    assert "<script>alert" not in page.read_text()


@pytest.mark.parametrize("page", ["index.html", "experiments/sample-jump.html"])
def test_pages_are_sound(report: Path, page: str) -> None:
    parsed = Text(report / page)
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert parsed.headings[0] == 1
    assert parsed.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(parsed.headings, parsed.headings[1:]))


def test_the_same_store_gives_the_same_bytes(store: Store, report: Path, tmp_path: Path) -> None:
    again = build_report(store, tmp_path / "again", experiments=NAMES, chapters=CHAPTERS).parent
    first, second = contents(report), contents(again)
    assert {name for name in first if first[name] != second.get(name)} <= {"assets/made.js"}
    assert set(first) == set(second)


def test_a_run_in_another_order_gives_the_same_figures_and_claims(
    report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Jump, "cost", lambda self, point: -point["ratio"])
    with filled(tmp_path) as other:
        again = build_report(other, tmp_path / "report", experiments=NAMES).parent
    first, second = contents(report), contents(again)
    for name in first:
        if name.startswith("data/") or name == "claims.json":
            assert first[name] == second[name]


def test_an_older_report_is_replaced_as_a_whole(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "report"
    build_report(store, out, experiments=NAMES)
    build_report(store, out, experiments=["demo-line"])
    assert not (out / "experiments/sample-jump.html").exists()
    assert os.listdir(tmp_path) == ["report"]


def test_a_folder_with_other_things_is_left_alone(store: Store, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other things"):
        build_report(store, tmp_path, experiments=NAMES)
    with pytest.raises(InputError, match="is a file"):
        build_report(store, tmp_path / "precious.txt", experiments=NAMES)
    assert os.listdir(tmp_path) == ["precious.txt"]


def test_a_folder_that_cannot_be_written_is_one_sentence(store: Store) -> None:
    with pytest.raises(InputError, match=r"Folder /proc/report cannot be written: .+\."):
        build_report(store, "/proc/report", experiments=NAMES)


def test_an_error_while_writing_leaves_the_old_report(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    build_report(store, out, experiments=NAMES)
    before = contents(out)

    def broken() -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("symscape.lab._report._site._plotly", broken)
    with pytest.raises(InputError, match="No space left on device"):
        build_report(store, out, experiments=["demo-line"])
    assert contents(out) == before
    assert os.listdir(tmp_path) == ["report"]


def test_a_process_killed_while_writing_leaves_the_old_report(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "report"
    build_report(store, out, experiments=NAMES)
    before = contents(out)
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from symscape.lab import Store, build_report, register
from symscape.lab._report import _site
import demo_experiment
_site._plotly = lambda: os.kill(os.getpid(), signal.SIGKILL)
build_report(Store({str(store.engine.url)!r}), {str(out)!r}, experiments=["demo-line"])
"""
    died = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert died.returncode == -9
    assert contents(out) == before


def test_an_unknown_experiment_or_profile_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Did you mean 'sample-jump'"):
        build_report(store, tmp_path / "r", experiments=["sample-jmp"])
    with pytest.raises(InputError, match="Did you mean 'quick'"):
        build_report(store, tmp_path / "r", profile="quik", experiments=NAMES)
    with pytest.raises(InputError, match="Did you mean 'overnight'"):
        export_results(store, tmp_path / "r", profile="overnigt", experiments=NAMES)


def broken(*_: object) -> Any:
    raise KeyError("no such column")


def test_broken_figures_cost_only_their_own_page(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Jump, "figures", broken)
    folder = build_report(store, tmp_path / "report", experiments=NAMES).parent
    text = Text(folder / "experiments/sample-jump.html").text
    assert "its figures raised an error" in text
    assert "KeyError: 'no such column'" in text
    assert claims(folder)["ch98.fig6.jump-height"]["verdict"] == "reproduced"


def test_a_broken_answer_costs_only_its_own_verdict(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = Jump.claims
    monkeypatch.setattr(Jump, "claims", (replace(first, answer=broken), *others))
    folder = build_report(store, tmp_path / "report", experiments=NAMES).parent
    text = Text(folder / "experiments/sample-jump.html").text
    assert f"the answer to {first.id} raised an error" in text
    assert "KeyError: 'no such column'" in text
    assert claims(folder)[first.id]["verdict"] == "inconclusive"
    assert claims(folder)["ch98.fig6.slope"]["verdict"] == "not reproduced"


def test_replaced_parameters_are_shown(tmp_path: Path) -> None:
    with registered(Demo), Store(f"sqlite:///{tmp_path / 's.sqlite'}") as store:
        with InProcess() as executor:
            run_experiment(Demo(), "smoke", store, executor, overrides={"slope": 3.0})
        folder = build_report(store, tmp_path / "report", experiments=["demo-line"]).parent
        text = Text(folder / "experiments/demo-line.html").text
        assert "some parameters were replaced" in text
        assert "3.0 (profile smoke: 2.0)" in text
        assert claims(folder)["ch99.fig1.slope"]["verdict"] == "not reproduced"
        with pytest.raises(InputError, match="demo-line has no results"):
            export_results(store, tmp_path / "results", "smoke", ["demo-line"])


def test_the_points_are_those_of_the_run_and_not_what_they_would_be_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other data found here and now (another variable in the environment) change no report."""
    with filled(tmp_path) as store:
        before = contents(build_report(store, tmp_path / "before").parent)
        expand = Jump.points

        def elsewhere(self: Jump, p: Any) -> Any:
            return [{**point, "data": "other"} for point in expand(self, p)]

        monkeypatch.setattr(Jump, "points", elsewhere)
        after = contents(build_report(store, tmp_path / "after").parent)
    assert {k: v for k, v in after.items() if not k.endswith("made.js")} == {
        k: v for k, v in before.items() if not k.endswith("made.js")
    }


def test_the_largest_complete_profile_is_shown(tmp_path: Path) -> None:
    with registered(Demo), Store(f"sqlite:///{tmp_path / 's.sqlite'}") as store:
        with InProcess() as executor:
            run_experiment(Demo(), "smoke", store, executor)
        folder = build_report(store, tmp_path / "report", experiments=["demo-line"]).parent
        assert claims(folder)["ch99.fig1.slope"]["profile"] == "smoke"
        assert len(claims(folder)["ch99.fig1.slope"]["runs"]) == 8
        build_report(store, folder, "quick", ["demo-line"])
        # Profile quick shares these eight points.
        assert "8 of 40 points finished" in Text(folder / "experiments/demo-line.html").text


# -- the export --------------------------------------------------------------------------------


def test_the_export_is_compact_and_stable(store: Store, tmp_path: Path) -> None:
    export_results(store, tmp_path / "a", "quick", NAMES[:1])
    export_results(store, tmp_path / "b", "quick", NAMES[:1])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    known = claims(tmp_path / "a")
    jump = known["ch98.fig6.jump-height"]
    assert list(jump) == FIELDS
    assert jump["runs"]["count"] == 39
    assert re.fullmatch("[0-9a-f]{64}", jump["runs"]["sha256"])
    for number in (jump["measured"], jump["uncertainty"]):
        assert math.isclose(number, float(f"{number:.5g}"), rel_tol=0, abs_tol=0)
    order = [i for i in known if i.startswith("ch98.fig")]
    assert order.index("ch98.fig6.gap") < order.index("ch98.fig12.dead")


def test_the_export_says_what_computed_it_but_not_on_whose_machine(
    store: Store, tmp_path: Path
) -> None:
    export_results(store, tmp_path / "results", "quick", NAMES[:1])
    text = (tmp_path / "results/provenance.json").read_text()
    origin = json.loads(text)["sample-jump"]
    assert origin["points"] == {"done": 39, "failed": 1, "all": 40}
    assert origin["software"][0]["packages"]["torch"]
    assert origin["data"][0]["name"] == "mnist-sample"
    assert "host" not in text


def test_the_export_keeps_what_this_store_does_not_hold(store: Store, tmp_path: Path) -> None:
    results = tmp_path / "results"
    with registered(Demo), Store(f"sqlite:///{tmp_path / 's.sqlite'}") as other:
        with InProcess() as executor:
            run_experiment(Demo(), "quick", other, executor)
        export_results(other, results, "quick", NAMES[1:])
    (results / "README.md").write_text("About these results.")
    before = contents(results)
    export_results(store, results, "quick", NAMES[:1])
    after = contents(results)
    for name in ("demo-line/line.csv", "README.md"):
        assert after[name] == before[name]
    assert claims(results)["ch99.fig1.slope"]["measured"] == pytest.approx(2, abs=0.1)
    assert claims(results)["ch98.fig6.slope"]["measured"] == 0.71
    assert set(json.loads(after["provenance.json"])) == set(NAMES)


def test_the_export_drops_figures_that_are_no_longer_drawn(store: Store, tmp_path: Path) -> None:
    results = tmp_path / "results"
    export_results(store, results, "quick", NAMES[:1])
    (results / "sample-jump" / "old.csv").write_text("x\n")
    export_results(store, results, "quick", NAMES[:1])
    assert not (results / "sample-jump" / "old.csv").exists()


def test_a_damaged_export_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "claims.json").write_text("<<<<<<< conflict")
    with pytest.raises(InputError, match=r"claims\.json is not JSON"):
        export_results(store, tmp_path, "quick", NAMES[:1])

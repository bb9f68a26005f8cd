"""What the export refuses: results that are not there, or whose code no commit names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_experiment import Demo
from report_case import registered

from symscape.lab import InProcess, InputError, Store, export_results, run_experiment
from symscape.lab import _store as store_module
from symscape.lab._code import running_code

CODE = running_code()["symscape"]
COMMIT, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with registered(Demo), Store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        yield store


@pytest.fixture(autouse=True)
def repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository with two commits, the code of the first one being what runs here."""
    commits = {COMMIT: CODE, OTHER: "other code"}
    monkeypatch.setattr("symscape.lab._report._export.code_of_commit", commits.__getitem__)


def measure(
    store: Store, monkeypatch: pytest.MonkeyPatch, profile: str = "smoke", **origin: Any
) -> None:
    """Run the demo as if it came from somewhere."""
    known = {**store_module.provenance(), **origin}
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "provenance", lambda: known)
        run_experiment(Demo(), profile, store, InProcess())


def export(store: Store, folder: Path, names: list[str] | None = None) -> dict[str, Any]:
    target = export_results(store, folder / "results", "quick", names or ["demo-line"])
    return json.loads((target.parent / "provenance.json").read_text())


@pytest.mark.parametrize("commit", [None, COMMIT])
def test_a_clean_commit_and_a_version_are_exported(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: str | None
) -> None:
    measure(store, monkeypatch, "quick", commit=commit)
    [software] = export(store, tmp_path)["demo-line"]["software"]
    assert (software["commit"], software["code"]) == (commit, CODE)


def test_several_clean_commits_are_fine(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(store, monkeypatch, commit=COMMIT)
    measure(store, monkeypatch, "quick", commit=OTHER, code="other code")
    software = export(store, tmp_path)["demo-line"]["software"]
    assert [(s["commit"], s["points"]) for s in software] == [(OTHER, 32), (COMMIT, 8)]


@pytest.mark.parametrize(
    ("origin", "sentence"),
    [
        (
            {"commit": f"{COMMIT}+changes"},
            "demo-line has 8 points measured with uncommitted changes on commit aaaaaaaaaaaa",
        ),
        (
            {"commit": OTHER},
            "demo-line has 8 points measured by other code than that of commit bbbbbbbbbbbb",
        ),
        (
            {"commit": "c" * 40},
            "demo-line has 8 points of commit cccccccccccc, which is not in this repository",
        ),
        (
            {"commit": None, "code": "edited in place"},
            "demo-line has points measured outside a checkout by different code of one version",
        ),
    ],
)
def test_results_without_a_commit_that_names_their_code_are_refused(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    origin: dict[str, Any],
    sentence: str,
) -> None:
    measure(store, monkeypatch, **origin)
    measure(store, monkeypatch, "quick", commit=None if origin["commit"] is None else COMMIT)
    with pytest.raises(InputError, match=sentence):
        export(store, tmp_path)
    assert not (tmp_path / "results").exists()


def test_results_of_before_there_were_digests_are_judged_by_their_commit(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(store, monkeypatch, "quick", commit=OTHER, code=None)
    assert export(store, tmp_path)


def test_a_profile_that_was_not_run_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="demo-line has no results"):
        export(store, tmp_path)
    with pytest.raises(InputError, match=r"holds no results of profile 'quick'"):
        export_results(store, tmp_path / "results", "quick")
    measure(store, monkeypatch, commit=COMMIT)
    with pytest.raises(InputError, match="demo-line has 8 of 40 points"):
        export(store, tmp_path)
    assert not (tmp_path / "results").exists()


def test_an_analysis_that_fails_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(store, monkeypatch, "quick", commit=COMMIT)

    def broken(*_: object) -> Any:
        raise KeyError("no such column")

    monkeypatch.setattr(Demo, "figures", broken)
    with pytest.raises(InputError, match="demo-line raises an error in its figures"):
        export(store, tmp_path)

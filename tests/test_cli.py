"""The command line: what it prints, for people and for programs, and how fast it starts."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from symscape import __version__

LAB = Path(__file__).parent / "lab"


def symscape(
    *arguments: str, cwd: Path | None = None, **changes: str
) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(LAB), os.environ.get("PYTHONPATH", "")])
    extra = {"PYTHONPATH": paths, "SYMSCAPE_EXPERIMENTS": "demo_experiment"}
    return subprocess.run(
        [sys.executable, "-m", "symscape.cli", *arguments],
        cwd=cwd,
        env={**os.environ, **extra, **changes},
        capture_output=True,
        text=True,
        timeout=240,
    )


COMMANDS = ["", "list", "run", "report", "reproduce", "doctor", "stability", "regime"]
DATA_COMMANDS = ["data", "data list", "data fetch", "data verify"]


@pytest.mark.parametrize("command", [*COMMANDS, *DATA_COMMANDS])
def test_every_help_shows_an_example(command: str) -> None:
    done = symscape(*command.split(), "--help")
    assert done.returncode == 0
    example = f"symscape {command}".strip()
    assert "Example" in done.stdout
    assert example in done.stdout.partition("Example")[2]


def test_list_json_has_exactly_the_promised_fields() -> None:
    done = symscape("list", "--json")
    assert done.returncode == 0, done.stderr
    experiments = json.loads(done.stdout)
    for experiment in experiments:
        assert list(experiment) == ["name", "chapter", "sources", "title", "profiles", "claims"]
    [demo] = [experiment for experiment in experiments if experiment["name"] == "demo-line"]
    assert demo["chapter"] == "99"
    assert demo["sources"] == ["Demo, Fig. 1"]
    assert demo["profiles"] == ["smoke", "quick", "overnight", "paper"]
    assert demo["claims"] == ["ch99.fig1.slope", "ch99.fig1.curvature"]


def test_list_takes_a_chapter() -> None:
    done = symscape("list", "--chapter", "99", "--json")
    assert [experiment["name"] for experiment in json.loads(done.stdout)] == ["demo-line"]
    missing = symscape("list", "--chapter", "98")
    assert missing.returncode == 2
    assert "There is no chapter '98'" in missing.stderr


def test_list_and_help_load_nothing_heavy() -> None:
    heavy = ["torch", "sklearn", "scipy", "numba", "dask", "distributed", "plotly", "sqlalchemy"]
    code = (
        "import sys\n"
        "from symscape.cli import app\n"
        "for arguments in (['--help'], ['list']):\n"
        "    try: app(arguments)\n"
        "    except SystemExit as end: assert not end.code\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"


def test_help_starts_within_a_second_of_processor_time() -> None:
    def processor_time() -> float:
        before = os.times()
        assert symscape("--help").returncode == 0
        after = os.times()
        return after.children_user + after.children_system - before[2] - before[3]

    assert min(processor_time() for _ in range(3)) < 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "demo-lime"], ["no experiment 'demo-lime'", "Did you mean 'demo-line'?"]),
        (["report", "demo-lime"], ["no experiment 'demo-lime'", "Did you mean 'demo-line'?"]),
        (["run", "demo-line", "--profile", "quik"], ["'quik'", "Did you mean 'quick'?"]),
        (
            ["run", "demo-line", "--set", "slop=3"],
            ["'slop'", "points, seeds, slope, sleep", "Did you mean 'slope'?"],
        ),
        (["run", "demo-line", "--set", "points=0"], ["'points'", "greater than or equal to 1"]),
        (["run", "demo-line", "--set", "points"], ["KEY=VALUE", "'points'"]),
        (["run", "demo-line", "--set", "points=many"], ["'points'", "'many'", "valid integer"]),
        (["run", "demo-line", "--workers", "0"], ["workers=0"]),
        (["run", "demo-line", "--workers", "2", "--in-process"], ["one of --workers"]),
        (["run", "demo-line", "--store", "runs.sqlite"], ["'runs.sqlite'", "sqlite:///"]),
        (["run", "demo-line", "--store", "sqlite:///no/where.sqlite"], ["does not exist"]),
        (["run", "demo-line", "--store", "sqlite:///a?b.sqlite"], ["options 'b.sqlite'", "%3F"]),
        (["reproduce", "--chapter", "98"], ["no chapter '98'"]),
        (["report"], ["There is no store"]),
        (["data", "fetch", "mnits"], ["mnits", "mnist"]),
    ],
)
def test_wrong_input_is_one_sentence_with_status_2(
    arguments: list[str], words: list[str], tmp_path: Path
) -> None:
    one_sentence(symscape(*arguments, cwd=tmp_path), *words)
    assert not (tmp_path / "runs.sqlite").exists()


def test_a_module_of_experiments_that_is_missing_is_one_sentence() -> None:
    done = symscape("list", SYMSCAPE_EXPERIMENTS="nowhere")
    assert done.returncode == 2
    assert "'nowhere' cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_is_quiet_without_a_terminal_and_says_what_it_did(tmp_path: Path) -> None:
    first = symscape("run", "demo-line", "--profile", "smoke", "--in-process", cwd=tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert "smoke: 8 points, 8 measured" in first.stdout
    second = symscape("run", "demo-line", "--profile", "smoke", "--in-process", cwd=tmp_path)
    assert "0 measured, 8 in the store already" in second.stdout
    assert (tmp_path / "symscape-store.sqlite").exists()


def test_set_takes_json_and_repeats(tmp_path: Path) -> None:
    settings = ["--set", "points=3", "--set", "slope=1.5", "--set", "seeds=1"]
    done = symscape("run", "demo-line", "--in-process", *settings, "--json", cwd=tmp_path)
    [summary] = json.loads(done.stdout)
    assert (summary["points"], summary["done"], summary["failed"]) == (3, 3, 0)


def test_on_a_terminal_there_is_one_bar(tmp_path: Path) -> None:
    shown = on_terminal(
        ["run", "demo-line", "--profile", "smoke", "--set", "sleep=0.1", "--in-process"],
        tmp_path,
        DEMO_FAIL="3/1",
    )
    assert "8/8 points" in shown
    assert "1 failed" in shown
    assert "left" in shown
    assert "demo-line failed at x=3.0" in shown


def on_terminal(arguments: list[str], cwd: Path, **changes: str) -> str:
    ours, theirs = pty.openpty()
    extra = {"PYTHONPATH": str(LAB), "SYMSCAPE_EXPERIMENTS": "demo_experiment", "COLUMNS": "150"}
    process = subprocess.Popen(
        [sys.executable, "-m", "symscape.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", **extra, **changes},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not block:
            break
        shown += block
    assert process.wait(60) == 1
    return shown.decode(errors="replace")


def test_report_says_where_it_is(tmp_path: Path) -> None:
    symscape("run", "demo-line", "--profile", "smoke", "--in-process", cwd=tmp_path)
    done = symscape("report", "demo-line", "--out", "page", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files: dict[str, Any] = json.loads(done.stdout)
    index, page = tmp_path / "page" / "index.html", tmp_path / "page/experiments/demo-line.html"
    assert Path(files["report"]) == index
    assert [Path(file) for file in files["pages"]] == [page]
    assert page.is_file()
    shown = symscape("report", "demo-line", "--out", "page", cwd=tmp_path).stdout
    assert shown == f"{index}\n{page}\n"
    claims = json.loads(Path(files["claims"]).read_text())
    assert {claim["id"] for claim in claims} == {"ch99.fig1.slope", "ch99.fig1.curvature"}


def test_reproduce_ends_with_the_path_of_the_report(tmp_path: Path) -> None:
    arguments = ["reproduce", "--chapter", "99", "--profile", "smoke", "--in-process"]
    done = symscape(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = Path(done.stdout.splitlines()[-1])
    assert page == tmp_path / "symscape-report" / "index.html"
    assert page.is_file()
    failing = symscape(*arguments, "--store", "sqlite:///new.sqlite", cwd=tmp_path, DEMO_FAIL="1/0")
    assert failing.returncode == 1
    assert Path(failing.stdout.splitlines()[-1]).is_file()


def name_commit(folder: Path, commit: str | None) -> None:
    """Let all results be of this commit."""
    with sqlite3.connect(folder / "symscape-store.sqlite") as store:
        change = "UPDATE provenance SET json = json_set(json, '$.commit', ?)"
        store.execute(change, (commit,))


def test_export_writes_text_beside_the_report_if_the_code_has_a_name(tmp_path: Path) -> None:
    run = ["--profile", "overnight"]
    symscape("run", "demo-line", *run, "--in-process", cwd=tmp_path)
    export = ["report", "demo-line", *run, "--export", "results"]

    name_commit(tmp_path, "a" * 40 + "+changes")
    refused = symscape(*export, cwd=tmp_path)
    one_sentence(refused, "demo-line has 200 points measured with uncommitted changes on", "aaaaaa")
    assert not (tmp_path / "results").exists()
    name_commit(tmp_path, None)
    done = symscape(*export, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    claims = json.loads((tmp_path / "results" / "claims.json").read_text())
    assert [claim["profile"] for claim in claims] == ["overnight", "overnight"]


def test_export_without_names_is_of_all_that_the_store_holds(tmp_path: Path) -> None:
    profile = ["--profile", "overnight"]
    symscape("run", "introduction-losses", *profile, "--in-process", cwd=tmp_path)
    name_commit(tmp_path, None)
    done = symscape("report", *profile, "--export", "results", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    provenance = json.loads((tmp_path / "results" / "provenance.json").read_text())
    assert set(provenance) == {"introduction-losses"}


def test_export_of_a_profile_that_was_not_run_is_one_sentence(tmp_path: Path) -> None:
    symscape("run", "demo-line", "--profile", "smoke", "--in-process", cwd=tmp_path)
    for names in ([], ["demo-line"]):
        done = symscape("report", *names, "--export", "results", cwd=tmp_path)
        # The profiles share their first points.
        one_sentence(done, "'overnight'", "demo-line has 8 of 200 points", "`symscape run`")
    assert not (tmp_path / "results").exists()


def test_a_link_to_the_report_stays_a_link(tmp_path: Path) -> None:
    symscape("run", "demo-line", "--profile", "smoke", "--in-process", cwd=tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to("new/place")
    for out, place in (("link", "real"), ("link", "real"), ("dangling", "new/place")):
        assert symscape("report", "demo-line", "--out", out, cwd=tmp_path).returncode == 0
        assert (tmp_path / out).is_symlink()
        assert (tmp_path / place / "index.html").is_file()


def test_the_current_folder_is_not_replaced(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 's.sqlite'}"
    where = ["demo-line", "--store", store]
    symscape("run", *where, "--profile", "smoke", "--in-process", cwd=tmp_path)
    report = tmp_path / "report"
    assert symscape("report", *where, "--out", str(report), cwd=tmp_path).returncode == 0
    before = sorted(report.rglob("*"))
    for cwd, out in ((report, "."), (report / "experiments", "..")):
        done = symscape("report", *where, "--out", out, cwd=cwd)
        one_sentence(done, f"Folder {report}", "contains the current folder")
    assert sorted(report.rglob("*")) == before


def test_a_damaged_row_is_one_sentence(tmp_path: Path) -> None:
    symscape("run", "demo-line", "--profile", "smoke", "--in-process", cwd=tmp_path)
    with sqlite3.connect(tmp_path / "symscape-store.sqlite") as store:
        [key] = store.execute("SELECT key FROM results LIMIT 1").fetchone()
        store.execute("UPDATE results SET scalars = 'none' WHERE key = ?", (key,))
    done = symscape("report", "demo-line", cwd=tmp_path)
    one_sentence(done, key, f"DELETE FROM results WHERE key = '{key}'")


def test_a_deleted_current_folder_is_one_sentence(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "os.rmdir(os.getcwd())\n"
        "from symscape.cli import main\n"
        "sys.argv = ['symscape', 'run', 'demo-line', '--profile', 'smoke', '--in-process']\n"
        "main()\n"
    )
    (tmp_path / "gone").mkdir()
    paths = os.pathsep.join([str(LAB), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "SYMSCAPE_EXPERIMENTS": "demo_experiment"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "gone",
        env=environment,
        capture_output=True,
        text=True,
    )
    one_sentence(done, "current folder")


def one_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("symscape: ")
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_version() -> None:
    done = symscape("--version")
    assert (done.returncode, done.stdout) == (0, f"symscape {__version__}\n")


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [("typer", ["--help"]), ("pydantic", ["list"]), ("sqlalchemy", ["report"])],
)
def test_where_only_the_core_is_installed_the_extra_is_named(
    missing: str, arguments: list[str]
) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['symscape', *{arguments}]\n"
        "from symscape.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    one_sentence(done, missing, "pip install 'symscape[lab]'")


def test_data_lists_the_sample_that_ships() -> None:
    done = symscape("data", "list", "--json")
    assert done.returncode == 0, done.stderr
    [sample] = [entry for entry in json.loads(done.stdout) if entry["name"] == "mnist-sample"]
    assert (sample["status"], sample["n"]) == ("found", 12000)
    assert re.search(r"mnist-sample +found, 12000 samples", symscape("data", "list").stdout)


def test_data_verify_finds_damage(tmp_path: Path) -> None:
    assert symscape("data", "verify", "mnist-sample").returncode == 0
    import gzip

    folder = tmp_path / "mnist"
    folder.mkdir()
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            with gzip.open(folder / f"{part}-{kind}-ubyte.gz", "wb") as file:
                file.write(b"not what it should be")
    done = symscape("data", "verify", "mnist", SYMSCAPE_DATA=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.count("damaged") == 4


def test_doctor_carries_out_its_checks() -> None:
    done = symscape("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0, checks
    assert "wal" in checks["store"]["detail"]
    assert "cpu" in checks["torch"]["detail"]
    assert "MB of at most 500 MB" in checks["kernel cache"]["detail"]
    assert "mnist-sample" in checks["data"]["detail"]
    broken = symscape("doctor", SYMSCAPE_DATA="/no/such/folder")
    assert broken.returncode == 1
    assert "BAD  data" in broken.stdout

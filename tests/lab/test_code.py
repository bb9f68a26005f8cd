"""Results name the code that measured them: commits, digests, and source that is edited."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import symscape
from symscape.lab import _code
from symscape.lab._code import difference, running_code

PROVENANCE = "from symscape.lab._provenance import provenance, code_of_commit; p = provenance()\n"

SWEEP = """
import sys
from pathlib import Path
from typing import Any

from demo_experiment import Demo
from symscape.lab import ExecutorError, InProcess, LocalProcesses, Store, run_experiment


class Edited(Demo):
    '''Its third point edits the source, and then imports it.'''

    name = "demo-edited"

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        if point["x"] == 2.0:
            import symscape

            module = sys.argv[2]
            file = Path(symscape.__file__).parent / f"{module}/__init__.py"
            file.write_text(file.read_text() + "# edited")
            __import__(f"symscape.{module}")
        return super().measure(point)


if __name__ == "__main__":
    from sweep import Edited

    executor = InProcess() if sys.argv[1] == "here" else LocalProcesses(1)
    with Store("sqlite:///store.sqlite") as store:
        try:
            print(run_experiment(Edited(), "smoke", store, executor).done)
        except ExecutorError as error:
            print(error)
        print(sorted(status for status, _ in store.status(Edited()).values()))
"""


class Checkout:
    """A git repository that holds a copy of the package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "src" / "symscape"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(symscape.__file__).parent, self.package, ignore=ignore)
        self.git("init", "--quiet")
        (folder / ".gitignore").write_text("__pycache__/\n*.sqlite*\n")
        self.commit()

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        command = ["git", *identity, "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a state")
        return self.git("rev-parse", "HEAD")

    def python(self, *arguments: str) -> list[str]:
        """Run Python, which imports the copy, and return what it printed."""
        paths = [str(self.package.parent), str(self.folder), str(Path(__file__).parent)]
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_a_clean_commit_names_the_code(checkout: Checkout) -> None:
    head = checkout.git("rev-parse", "HEAD")
    ask = PROVENANCE + "print(p['commit'], p['code'], code_of_commit(p['commit']))"
    [line] = checkout.python("-c", ask)
    commit, code, archived = line.split()
    assert commit == head
    assert code == archived
    file = checkout.package / "scaling" / "__init__.py"
    file.write_text(file.read_text() + "# another state\n")
    new = checkout.commit()
    [line] = checkout.python("-c", ask)
    assert line.split()[0] == new
    assert line.split()[1] == line.split()[2] != code
    [line] = checkout.python("-c", PROVENANCE + f"print(code_of_commit({head!r}))")
    assert line == code


def test_an_unknown_commit_is_said_to_be_unknown(checkout: Checkout) -> None:
    code = PROVENANCE + (
        "try: code_of_commit('0' * 40)\nexcept LookupError as error: print('unknown', error)"
    )
    assert checkout.python("-c", code) == [f"unknown {'0' * 40}"]


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("src/symscape/scaling/__init__.py", True),
        ("src/symscape/new.py", True),
        ("src/symscape/new folder/new.py", True),
        ("src/symscape/new.txt", False),
        ("new.py", False),
    ],
)
def test_changes_are_files_of_src_and_python_files_that_are_not_tracked(
    checkout: Checkout, file: str, changed: bool
) -> None:
    head = checkout.git("rev-parse", "HEAD")
    path = checkout.folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("# changed")
    [commit] = checkout.python("-c", PROVENANCE + "print(p['commit'])")
    assert commit == head + "+changes" * changed


def test_a_process_that_runs_an_older_state_does_not_claim_the_commit(checkout: Checkout) -> None:
    code = (
        "import subprocess\n"
        "from pathlib import Path\n"
        "from symscape.lab._provenance import provenance\n"
        "assert not provenance()['commit'].endswith('+changes')\n"
        "before = provenance()['code']\n"
        "Path('src/symscape/new.py').write_text('')\n"
        "subprocess.run('git add -A && git -c user.name=A -c user.email=a@b.c commit -qm new',"
        " shell=True, check=True)\n"
        "print(provenance()['commit'].endswith('+changes'), provenance()['code'] == before)\n"
    )
    assert checkout.python("-c", code) == ["True True"]


def test_outside_a_checkout_there_is_no_commit(checkout: Checkout) -> None:
    shutil.rmtree(checkout.folder / ".git")
    code = PROVENANCE + "print(p['commit'], p['symscape'], len(p['code']), code_of_commit('a'))"
    assert checkout.python("-c", code) == [f"None {symscape.__version__} 64 None"]


@pytest.mark.parametrize("where", ["here", "there"])
def test_source_that_is_edited_before_it_is_imported_ends_the_sweep(
    checkout: Checkout, where: str
) -> None:
    (checkout.folder / "sweep.py").write_text(SWEEP)
    error, stored = checkout.python("sweep.py", where, "bandit")
    assert "bandit/__init__.py edited there" in error
    assert "was not stored" in error
    assert "\n" not in error
    assert stored == "['done', 'done']"


@pytest.mark.parametrize("where", ["here", "there"])
def test_edits_of_what_was_imported_before_change_nothing(checkout: Checkout, where: str) -> None:
    (checkout.folder / "sweep.py").write_text(SWEEP)
    done, _ = checkout.python("sweep.py", where, "lab")
    assert done == "8"


def test_an_experiment_of_another_package_is_part_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "walks"
    folder.mkdir()
    (folder / "__init__.py").write_text("class Walk: pass\n")
    (folder / "late.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(_code, "_PACKAGES", dict(_code._PACKAGES))
    walk = importlib.import_module("walks").Walk
    code = running_code(walk)
    assert list(code) == ["symscape", "walks"]
    assert difference(code, running_code(walk)) == ""
    assert difference(code, running_code()) == (
        f"walks is not known there and {code['walks'][:12]} here"
    )
    (folder / "__init__.py").write_text("class Walk: changed = True\n")
    assert running_code(walk) == code  # what was imported is what runs
    (folder / "late.py").write_text("x = 2\n")
    importlib.import_module("walks.late")
    assert difference(code, running_code(walk)) == (
        f"walks is {code['walks'][:12]} with late.py edited there and {code['walks'][:12]} here"
    )


def test_a_class_that_travels_by_value_brings_its_code_along() -> None:
    class Local:
        pass

    assert list(running_code(Local)) == ["symscape"]

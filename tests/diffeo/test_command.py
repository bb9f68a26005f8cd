"""The command `symscape stability`."""

import json
import os
import subprocess
import sys

import pytest

from symscape.diffeo._classifier import load_classifier, place

NETS = """
from symscape.diffeo import zoo
def lenet():
    return zoo.build("lenet", 1, 28, seed=0)
def color():
    return zoo.build("lenet", 3, 32)
def number():
    return 3
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "symscape.cli", "stability", *arguments],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return command


def test_it_prints_the_stability_and_its_place(run):
    arguments = ["--model", "nets:lenet", "--data", "mnist-sample", "--count", "60"]
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 0.4 < found["stability"]["R"] < 2.5
    assert found["place"] == place(found["stability"]["R"])
    assert found["data"].startswith("mnist-sample@")
    text = run(*arguments).stdout
    assert f"R_f = {found['stability']['R']:.3g}" in text
    assert found["place"] in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nets"], "module:function"),
        (["--model", "nets:nothing"], "cannot be imported"),
        (["--model", "nets:number"], "torch.nn.Module"),
        (["--model", "nets:color", "--data", "mnist-sample"], "does not take images"),
        (["--model", "nets:lenet", "--data", "mnist-sample", "--delta", "9"], "above T_max"),
        (["--model", "nets:lenet", "--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, arguments, words):
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_help_shows_an_example(run):
    assert "Example: symscape stability" in run("--help").stdout


@pytest.mark.parametrize(
    ("R", "words"), [(0.001, "below all"), (0.05, "modern"), (0.6, "LeNet"), (3.0, "fully")]
)
def test_places(R, words):
    assert words in place(R)


def test_a_function_that_is_not_there():
    with pytest.raises(ValueError, match="cannot be imported"):
        load_classifier("symscape.diffeo.zoo:nothing")

"""The command `symscape stability`."""

import dataclasses
import json
import math
import os
import subprocess
import sys

import pytest

from symscape.diffeo import classifier_stability
from symscape.diffeo._classifier import place

NETS = """
from torch import nn
from symscape.diffeo import zoo
def lenet():
    return zoo.build("lenet", 1, 28, seed=0)
def color():
    return zoo.build("lenet", 3, 32)
def number():
    return 3
def needs(argument):
    return lenet()
def boom():
    raise KeyError("x")
def double():
    return lenet().double()
def scalar():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1), nn.Flatten(0))
def undefined():
    model = lenet()
    model[0].weight.data.fill_(float("nan"))
    return model
def constant():
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))
    model[1].weight.data.zero_()
    return model
class Changed(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.lenet, self.change = lenet(), change
    def forward(self, x):
        return self.change(self.lenet(x))
def classes():
    return Changed(lambda f: f.argmax(1))
def decisions():
    return Changed(lambda f: f > 0)
def huge():
    return Changed(lambda f: 2.0**100 * f)
def tiny():
    return Changed(lambda f: 2.0**-100 * f)
def shifted():
    return Changed(lambda f: f + 1e30)
def enormous():
    return Changed(lambda f: 1e200 * f.double())
def vanishing():
    return Changed(lambda f: 1e-200 * f.double())
class Rare(nn.Module):
    def forward(self, x):
        return (x.mean((1, 2, 3)) - 0.2).relu()
class Picky(nn.Module):
    def forward(self, x):
        assert x.shape[1] == 3, "three channels"
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "broken.py").write_text("def f(:\n")

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
        (["--model", "broken:f"], "cannot be imported: SyntaxError"),
        (["--model", "nets:classes", "--data", "mnist-sample"], "as class numbers are"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, arguments, words):
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "nets_in_process.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    yield "nets_in_process"
    sys.modules.pop("nets_in_process", None)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("needs", "needs the argument 'argument'"),
        ("boom", "cannot be called: KeyError: 'x'"),
        ("Picky", r"shape \(1, 28, 28\) and torch.float32: AssertionError: three channels"),
        ("undefined", "NaN or infinite"),
        ("constant", "same output for all images"),
        ("shifted", "same output for all images"),
        ("classes", r"gives torch.int64, as class numbers are; allowed: floating point"),
        ("decisions", r"gives torch.bool"),
        ("enormous", r"outputs of \de\+19\d, whose squares leave the range"),
        ("vanishing", r"outputs of \de-20\d, whose squares leave the range"),
        ("Rare", "most pairs of images"),
    ],
)
def test_a_model_that_cannot_be_measured_is_told_why(nets, model, words):
    with pytest.raises(ValueError, match=words) as caught:
        classifier_stability(f"{nets}:{model}", "mnist-sample", count=30)
    assert "\n" not in str(caught.value)


def test_names_and_counts_that_are_not_allowed():
    with pytest.raises(ValueError, match="module:function"):
        classifier_stability(".nets:lenet", "mnist-sample")
    with pytest.raises(ValueError, match="count: 2 given; allowed: an integer >= 3"):
        classifier_stability("nets:lenet", "mnist-sample", count=2)


@pytest.mark.parametrize("model", ["lenet", "double", "scalar"])
def test_models_of_other_dtypes_and_shapes_and_few_images(nets, model):
    found = classifier_stability(f"{nets}:{model}", "mnist-sample", count=3)
    numbers = [v for v in dataclasses.asdict(found.stability).values() if isinstance(v, float)]
    assert all(map(math.isfinite, [*numbers, found.expected_error]))
    assert found.stability.R > 0


@pytest.mark.parametrize("model", ["huge", "tiny"])
def test_the_scale_of_the_outputs_does_not_matter(nets, model):
    found, usual = (
        classifier_stability(f"{nets}:{name}", "mnist-sample", count=40).stability
        for name in (model, "lenet")
    )
    for name in ("D", "G", "R"):
        assert getattr(found, name) == pytest.approx(getattr(usual, name), rel=1e-4)


def test_help_shows_an_example(run):
    assert "Example: symscape stability" in run("--help").stdout


@pytest.mark.parametrize(
    ("R", "words"), [(0.001, "below all"), (0.05, "modern"), (0.6, "LeNet"), (3.0, "fully")]
)
def test_places(R, words):
    assert words in place(R)


@pytest.mark.parametrize("R", [math.nan, -1.0])
def test_there_is_no_place_for_what_is_no_stability(R):
    with pytest.raises(ValueError, match="R: "):
        place(R)

"""`symscape regime`: a network of one's own, in a folder of one's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from symscape import lab
from symscape.experiments.learning_regimes import small_cnn, small_fc
from symscape.lab import Row, Table

NETS = """
from torch import nn
def build(shape, classes, width=32):
    layers = nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], width), nn.ReLU()
    return nn.Sequential(*layers, nn.Linear(width, classes))
def parity():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.Tanh(), nn.Linear(30, 1)).double()
def normed():
    return nn.Sequential(nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(2304, 10))
def dropped():
    return nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(784, 10))
def seven():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 7))
def color():
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
def number():
    return 3
def frozen():
    return build((1, 28, 28), 10).requires_grad_(False)
"""

SMALL = ("--data", "mnist-sample", "--points", "30", "--set", "batch=30", "--set", "n_test=100")
FAST = (*SMALL, "--set", "steps=1000", "--alpha", "0.3,30", "--in-process")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def regime(folder: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "symscape.cli", "regime", *arguments],
        cwd=folder,
        env={**os.environ, **threads, **changes},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_network_of_one_s_own_is_measured_and_the_sweep_goes_on(folder: Path) -> None:
    done = regime(folder, "--model", "nets:build", *FAST, "--seeds", "1")
    assert done.returncode == 0, done.stderr
    assert "regimes-own-network  quick: 2 points, 2 measured" in done.stdout
    again = regime(folder, "--model", "nets:build", *FAST, "--seeds", "2", "--out", "mine")
    assert again.returncode == 0, again.stderr
    lines = again.stdout.splitlines()
    assert lines[0] == "nets:build"
    assert re.match(r" +0\.3  .* ± .*  2 of 2", lines[2])
    assert re.match(r" +30  .* ± .*  2 of 2", lines[3])
    assert re.match(r"(Lazy training|Feature training|Near .*): at alpha = 1 the kernel", lines[4])
    assert "quick: 4 points, 2 measured, 2 in the store already" in again.stdout
    page = Path(lines[-1])
    assert page == folder / "mine" / "experiments" / "regimes-own-network.html"
    assert "nets:build" in page.read_text(encoding="utf-8")
    # an edited network is another one
    (folder / "nets.py").write_text(NETS.replace("ReLU", "Tanh"))
    edited = regime(folder, "--model", "nets:build", *FAST, "--seeds", "1")
    assert "2 points, 2 measured" in edited.stdout


def test_workers_import_the_module_and_programs_read_json(folder: Path) -> None:
    arguments = [a for a in FAST if a != "--in-process"]
    done = regime(folder, "--model", "nets:parity", *arguments, "--workers", "1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    [network] = found["networks"]
    assert network["network"] == "nets:parity"
    assert [line["alpha"] for line in network["scales"]] == [0.3, 30.0]
    changes = [line["change"]["value"] for line in network["scales"]]
    assert changes[0] > changes[1] > 0
    verdict = network["regime"]
    assert verdict["side"] in ("lazy", "feature", "near")
    assert verdict["sentence"] == network["sentence"]
    assert found["runs"][0]["done"] == 4
    assert Path(found["report"]).exists()


def test_widths_are_networks(folder: Path) -> None:
    widths = ("--set", "widths=[16, 32]", "--seeds", "1")
    done = regime(folder, "--model", "nets:build", *FAST, *widths)
    assert done.returncode == 0, done.stderr
    assert "nets:build, width 32" in done.stdout
    assert "nets:build, width 16" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nowhere:build"], "model: nowhere:build cannot be imported: ModuleNotFound"),
        (["--model", "nets:normed"], "BatchNorm2d '1' changes in a forward pass"),
        (["--model", "nets:build", "--alpha", "-1,1"], "-1.0: input should be greater than 0"),
        (["--model", "nets:build", "--alpha", "a,b"], "--alpha takes numbers, for example 0.1,1"),
        (["--model", "nets:build", "--alpha", "2,20"], "--at 1 is outside the scales, 2 to 20"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_before_the_work(
    folder: Path, arguments: list[str], words: str
) -> None:
    done = regime(folder, *FAST, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert not list(folder.glob("*.sqlite"))


@pytest.fixture
def nets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop("nets", None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ["nets"]}, "allowed: module:function"),
        ({"models": ["nets:nothing"]}, "cannot be imported: AttributeError"),
        ({"models": ["nets:number"]}, "gives a int; allowed: a torch.nn.Module"),
        ({"models": ["nets:seven"]}, r"gives 7 outputs; allowed for mnist-sample: 1 \(even or odd"),
        ({"models": ["nets:color"]}, r"does not take points of shape \(1, 28, 28\) and"),
        ({"models": ["nets:dropped"]}, "as dropout makes it; allowed: a function of the param"),
        ({"models": ["nets:frozen"]}, "no parameters that require gradients; allowed: one or more"),
        ({"models": ["nets:parity"], "widths": [3]}, "widths: given for nets:parity; allowed"),
        ({"data": "cifar11"}, "cifar11"),
        ({"P": 999_999}, "P must be in .* got 999999"),
        ({"batch": 61}, "batch: 61 given; allowed: at most P = 60"),
        ({"kernel_points": 501}, "kernel_points: 501 given; allowed: at most 500"),
        ({"alphas": [1.0, 0.1]}, "'alphas' .* sizes must increase"),
        ({"alphas": [0.0, 1.0]}, "greater than 0"),
        ({"seeds": 0}, "'seeds' was given as 0"),
    ],
)
def test_networks_and_parameters_that_do_not_fit(nets: None, changes: Any, words: str) -> None:
    experiment = lab.find("regimes-own-network")
    with pytest.raises(ValueError, match=words) as caught:  # noqa: PT012
        p = experiment.parameters(
            "quick", {"data": "mnist-sample", "models": ["nets:build"]} | changes
        )
        experiment.points(p)
    assert "\n" not in str(caught.value)


def test_data_that_are_absent_are_told_where_they_were_looked_for(folder: Path) -> None:
    done = regime(folder, "--model", "nets:build", "--data", "emnist-letters", SYMSCAPE_DATA="")
    assert done.returncode == 2
    assert "emnist-letters" in done.stderr
    assert "symscape data fetch" in done.stderr or "looked" in done.stderr


def test_the_networks_that_it_brings_along() -> None:
    import torch

    x = torch.randn(2, 1, 28, 28)
    for build in (small_fc, small_cnn):
        assert build((1, 28, 28), 0)(x).shape == (2,)
        small, large = (
            sum(p.numel() for p in build((1, 28, 28), 0, width=width).parameters())
            for width in (8, 16)
        )
        assert large > small


def test_trainings_that_did_not_fit_are_left_out_and_named() -> None:
    experiment = lab.find("regimes-own-network")
    p = experiment.parameters("smoke", {"alphas": (0.1, 1.0, 10.0)})

    def row(alpha: float, seed: int) -> Row:
        point = {"model": "nets:build", "alpha": alpha, "seed": seed}
        lost = (alpha, seed) == (10.0, 1)
        change = 0.3 / alpha * (1 + 0.1 * seed)
        return Row(point, {"change": change, "trained": not lost, "test_error": 0.1})

    table = Table([row(alpha, seed) for alpha in p.alphas for seed in range(2)])
    from symscape.experiments.learning_regimes import regime_of, scales

    found = regime_of(table, 1.0)
    assert found.side == "lazy"
    assert 0.1 < found.crossover.value < 1
    lines = scales(table)
    assert [line["fitted"] for line in lines] == [2, 2, 1]
    figures = experiment.figures(table, p)
    assert all("1 trainings that did not fit" in figure.caption for figure in figures)
    with pytest.raises(lab.NoEstimate, match="There is no verdict"):
        regime_of(table, 10.0)

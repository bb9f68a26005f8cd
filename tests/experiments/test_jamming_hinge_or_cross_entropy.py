"""Hinge against cross entropy: the comparison, the data it falls back on, the nets it trains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from symscape import lab
from symscape.experiments.jamming._hinge_or_cross_entropy import HingeOrCrossEntropy
from symscape.experiments.jamming._image_classifiers import _ShakeBlock, classifier
from symscape.lab import Row, Table, Verdict
from symscape.scaling import student

EXPERIMENT = HingeOrCrossEntropy()
P = EXPERIMENT.profiles["smoke"]


def table(entropy: Sequence[float], hinge: Sequence[float], data: str = "cifar10@1") -> Table:
    rows = []
    for loss, errors in (("cross entropy", entropy), ("hinge", hinge)):
        for seed, error in enumerate(errors):
            point = {"loss": loss, "seed": seed, "data": data, "architecture": "small"}
            result = {
                "test_error": error,
                "n_weights": 1,
                "n_train_used": 10,
                "n_test_used": 10,
                "history_test_error": np.array([90.0, error]),
            }
            rows.append(Row(point, result))
    return Table(rows)


def verdict(rows: Table) -> Verdict:
    (found,) = lab.verdicts(EXPERIMENT, rows, P, "overnight")
    return found


def test_the_thesis_own_runs_differ_little() -> None:
    found = verdict(table([3.72], [3.61, 3.65, 3.82])).estimate
    assert found is not None
    assert found.value == pytest.approx(3.61 - 3.72)  # of the seed that both have
    assert found.error is None  # one run has no spread


def test_the_difference_is_taken_seed_by_seed() -> None:
    found = verdict(table([40.0, 50.0, 45.0], [44.0, 56.0, 50.0]))
    assert found.estimate is not None
    assert found.estimate.value == pytest.approx(5.0)
    assert found.estimate.error == pytest.approx(student(3) / 3**0.5)
    assert found.status == "not reproduced"


def test_a_loss_that_errs_less_is_another_loss_as_well() -> None:
    assert verdict(table([40.0, 41.0, 42.0], [35.0, 36.5, 36.0])).status == "not reproduced"


def test_nets_that_guess_give_no_verdict_and_other_images_are_named() -> None:
    assert verdict(table([90.0, 90.0], [90.0, 90.0])).estimate is None
    assert "CIFAR-10 was not" in verdict(table([5.0], [5.0], data="mnist-sample@1")).note
    assert "CIFAR-10 was not" not in verdict(table([5.0], [5.0])).note


def test_without_cifar10_the_packaged_digits_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMSCAPE_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    points = list(EXPERIMENT.points(EXPERIMENT.profiles["quick"]))
    assert {point["data"].partition("@")[0] for point in points} == {"mnist-sample"}
    rng = np.random.default_rng(0)
    (tmp_path / "cifar10").mkdir()
    arrays = {
        f"{part}_{kind}": rng.integers(10, size=(20, 32, 32, 3) if kind == "images" else 20)
        for part in ("train", "test")
        for kind in ("images", "labels")
    }
    np.savez(
        tmp_path / "cifar10" / "cifar10.npz", **{k: v.astype(np.uint8) for k, v in arrays.items()}
    )
    points = list(EXPERIMENT.points(EXPERIMENT.profiles["quick"]))
    assert {point["data"].partition("@")[0] for point in points} == {"cifar10"}
    small = {**points[0], "n_train": 20, "n_test": 10, "epochs": 1, "batch": 10, "width": 2}
    result = EXPERIMENT.measure({**small, "architecture": "small", "pad": 2})
    assert (result["n_train_used"], result["n_test_used"]) == (20, 10)


def test_either_loss_learns_digits() -> None:
    for point in EXPERIMENT.points(P):
        learned = {**point, "n_train": 300, "n_test": 200, "epochs": 8, "width": 8, "batch": 20}
        result = EXPERIMENT.measure(learned)
        assert result["history_loss"][-1] < 0.5 * result["history_loss"][0]
        assert result["test_error"] < 65  # chance: 90


def test_nets_are_drawn_by_their_seed_and_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    a, b, c = (classifier("small", 1, 4, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(u, v) for u, v in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(u, v) for u, v in zip(a.parameters(), c.parameters(), strict=True))


def test_shake_shake_has_the_published_size() -> None:
    network = classifier("shake-shake", 3, 32, 0)
    n = sum(w.numel() for w in network.parameters())
    assert n == pytest.approx(2.9e6, rel=0.02)  # "26 2x32d", 2.9 million
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_shake_block_mixes_forward_and_backward_with_other_weights() -> None:
    torch.manual_seed(0)
    block = _ShakeBlock(3, 3, 1)
    x = torch.randn(4, 3, 5, 5)
    first, second = (branch(x) for branch in block.branches)
    mixed = block(x) - x
    # alpha is one number in [0, 1] per image
    alpha = ((mixed - second) / (first - second)).flatten(1).median(1).values
    assert ((alpha >= 0) & (alpha <= 1)).all()
    rebuilt = second + alpha[:, None, None, None] * (first - second)
    assert torch.allclose(mixed, rebuilt, atol=1e-4)
    block.eval()
    first, second = (branch(x) for branch in block.branches)
    assert torch.allclose(block(x), x + (first + second) / 2, atol=1e-6)

"""The points of chapter 4, measured at their smallest: seeded numbers of the stated shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from symscape import lab
from symscape.experiments import diffeomorphisms as chapter
from symscape.experiments.diffeomorphisms import _measure
from symscape.experiments.diffeomorphisms._measure import CUTOFFS, DELTAS, NOISE_NORMS


def smallest(experiment: lab.Experiment, **changes: Any) -> dict[str, Any]:
    """The first point of profile smoke, made smaller."""
    point = next(iter(experiment.points(experiment.parameters("smoke"))))
    assert set(changes) <= set(point)
    return {**point, **changes}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return set(one) == set(other) and all(
        np.array_equal(one[k], other[k], equal_nan=not isinstance(one[k], str)) for k in one
    )


def test_networks_are_measured_alike_each_time() -> None:
    experiment = chapter.Networks()
    tiny = {"steps": 2, "batch_size": 8, "probes": 20, "P": 32}
    lenet = smallest(experiment, net="lenet", full=True, **tiny)
    first = experiment.measure(lenet)
    assert same(first, experiment.measure(lenet))
    assert not np.array_equal(first["R"], experiment.measure({**lenet, "seed": 1})["R"])

    shape = (len(CUTOFFS), len(DELTAS))
    for name in ("R", "D", "G"):
        assert first[name].shape == first[f"init_{name}"].shape == (len(_measure.AVERAGES),)
        assert first[f"{name}_grid"].shape == (2, *shape)
        assert first[f"init_{name}_grid"].shape == (1, *shape)
        assert np.all(first[f"{name}_grid"] > 0)
    for prefix in ("", "init_"):
        np.testing.assert_allclose(first[f"{prefix}R"] * first[f"{prefix}G"], first[f"{prefix}D"])
    assert first["R_layers"].shape == first["init_R_layers"].shape
    assert first["R_layers"][-1] == first["R"][0]
    # larger deformations change the output more, and small noise by its square
    assert np.all(first["D_grid"][0, :, -1] > first["D_grid"][0, :, 0])
    small = np.array(NOISE_NORMS) < 0.01
    slope = np.polyfit(np.log(np.array(NOISE_NORMS)[small]), np.log(first["G_noise"][small]), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.01)

    part = experiment.measure({**lenet, "full": False})
    assert not {"G_noise", "R_layers", "R_grid"} & set(part)
    assert all(np.array_equal(part[name], first[name]) for name in part)


def test_probes_of_a_fresh_network_do_not_depend_on_its_training() -> None:
    experiment = chapter.Networks()
    point = smallest(experiment, net="vgg11-bn", P=32, batch_size=16, probes=20, full=False)
    short, long = (experiment.measure({**point, "steps": steps}) for steps in (1, 3))
    for name in ("init_R", "init_D", "init_G", "n_parameters"):
        np.testing.assert_array_equal(short[name], long[name])
    assert not np.array_equal(short["R"], long["R"])
    assert not np.array_equal(short["R"], short["init_R"])


def test_parts_of_a_data_set_do_not_overlap() -> None:
    [data] = _measure.available(("mnist-sample",)).values()
    images = _measure.images_of(data)
    parts = [part for part, _ in images]
    assert [len(part) for part in parts[1:]] == [_measure.HELD_OUT] * 2
    assert all(len(x) == len(y) for x, y in images)
    whole = torch.cat(parts).flatten(1)
    repeated = len(whole) - len(torch.unique(whole, dim=0))
    from symscape.datasets import load

    digits = torch.from_numpy(load(data).images).flatten(1)[: len(whole)]
    assert repeated == len(digits) - len(torch.unique(digits, dim=0))


def test_more_images_may_test() -> None:
    [data] = _measure.available(("mnist-sample",)).values()
    usual, more = _measure.images_of(data), _measure.images_of(data, 1500)
    sizes = {name: len(x) for name, (x, _) in more._asdict().items()}
    assert sizes == {
        "train": len(usual.train[0]) - 500,
        "validation": _measure.HELD_OUT,
        "test": 1500,
    }
    assert torch.equal(more.train[0], usual.train[0][:-500])


def test_color_images_alone_are_augmented_unless_an_arm_says_so() -> None:
    assert _measure.augmentation("mnist-sample@1") is None
    assert _measure.augmentation("cifar10@1", "none") is None
    x = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))

    def drawn(augment: Any, seed: int) -> torch.Tensor:
        out: torch.Tensor = augment(x, torch.Generator().manual_seed(seed))
        assert out.shape == x.shape
        assert out.is_contiguous()
        return out

    for data, arm in (("cifar10@1", None), ("mnist@1", "translation"), ("mnist@1", "diffeo")):
        augment = _measure.augmentation(data, arm)
        assert torch.equal(drawn(augment, 1), drawn(augment, 1))
        assert not torch.equal(drawn(augment, 1), drawn(augment, 2))


def test_translations_move_images_by_up_to_four_pixels() -> None:
    x = torch.zeros(40, 1, 28, 28)
    x[:, 0, 14, 10] = 1.0
    moved = _measure.augmentation("mnist@1", "translation")(x, torch.Generator().manual_seed(0))
    where = moved.flatten(1).argmax(1)
    rows, columns = where // 28 - 14, where % 28 - 10
    assert torch.all(moved.sum((1, 2, 3)) == 1)
    for shift in (rows, columns):
        assert int(shift.min()) < 0 < int(shift.max())
        assert int(shift.abs().max()) <= 4


@pytest.mark.parametrize("arm", ["none", "translation", "diffeo"])
def test_augmented_trainings_are_seeded(arm: str) -> None:
    experiment = chapter.Augmentation()
    point = smallest(experiment, arm=arm, P=32, steps=2, batch_size=8, probes=20)
    found = experiment.measure(point)
    assert same(found, experiment.measure(point))
    assert found["R"].shape == found["init_R"].shape == (len(CUTOFFS),)
    assert 0 <= found["test_error"] <= 1


def test_all_augmentations_begin_with_the_same_network() -> None:
    experiment = chapter.Augmentation()
    common = {"P": 32, "steps": 1, "batch_size": 8, "probes": 20}
    found = [
        experiment.measure(smallest(experiment, arm=arm, **common)) for arm in ("none", "diffeo")
    ]
    np.testing.assert_array_equal(found[0]["init_R"], found[1]["init_R"])
    assert not np.array_equal(found[0]["R"], found[1]["R"])


def test_the_plane_is_measured_alike_each_time() -> None:
    experiment = chapter.PhaseDiagram()
    point = smallest(experiment, n=24, c=3, draws=25)
    found = experiment.measure(point)
    assert same(found, experiment.measure(point))
    assert found["square"] != experiment.measure({**point, "seed": 1})["square"]
    assert found["fold"].shape == (25,)
    assert found["share"].shape == found["mode"].shape == (6,)
    shares = found["folded"][np.argsort(point["heats"])]
    assert np.all(np.diff(shares) >= 0)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert found["participation"] == pytest.approx(4.002, abs=1e-3)
    assert found["norm_mismatch"] < 1e-12


def test_the_plane_measures_the_exact_sums() -> None:
    from symscape import diffeo

    experiment = chapter.PhaseDiagram()
    point = smallest(experiment, n=32, c=2, draws=1500, heats=[1.0])
    found = experiment.measure(point)
    assert found["norm"] == pytest.approx(math.pi**2 / 2 * 3, rel=0.05)
    assert found["square"] == pytest.approx(diffeo.rms_displacement(1.0, 2, 32) ** 2, rel=0.05)
    np.testing.assert_allclose(found["share"], np.ones(3), rtol=0.1)


def test_the_mean_square_is_the_integral() -> None:
    """By Parseval the sum over the pixels is exact: (T n^2 / 4) sum of C^2 + D^2."""
    from symscape import diffeo

    point = smallest(chapter.PhaseDiagram(), n=32, c=3, draws=40, heats=[1.0])
    seeds = diffeo.sample_seeds(point["seed"], 40)
    unit = diffeo.MaximumEntropy(1.0, 3, outside="allow").coefficients(seeds)
    expected = 32**2 / 4 * float(unit.square().sum((-3, -2, -1)).mean())
    assert chapter.PhaseDiagram().measure(point)["square"] == pytest.approx(expected, rel=1e-12)


def test_networks_before_training_are_counted_and_probed() -> None:
    experiment = chapter.Initialization()
    point = smallest(experiment, net="lenet", noise=True)
    found = experiment.measure(point)
    assert same(found, experiment.measure(point))
    assert (found["n_parameters"], found["depth"]) == (62_006, 5)
    assert 0.1 < found["R"] < 10
    assert found["G_noise"][1] / found["G_noise"][0] == pytest.approx(10.0, rel=0.2)
    assert "G_noise" not in experiment.measure({**point, "noise": False})


def test_stripes_are_measured_alike_each_time() -> None:
    experiment = chapter.Stripe()
    point = smallest(experiment, h=20, P=32, n_test=50, max_steps=40)
    found = experiment.measure(point)
    assert same(found, experiment.measure(point))
    assert found["R"] != experiment.measure({**point, "seed": 1})["R"]
    assert found["R"] > 0
    assert found["amplification"] > 0
    assert found["steps"] <= 40
    cut = experiment.measure({**point, "max_steps": 10, "fraction": 1.0})
    assert (cut["stopped"], cut["steps"]) == ("steps", 10)

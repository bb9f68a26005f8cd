"""What the answers of chapter 4 leave out, name and draw; its worlds are in ``worlds``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from worlds import World
from worlds.diffeomorphisms import WORLDS, changed, near, network

from symscape import diffeo, lab
from symscape.experiments import diffeomorphisms as chapter
from symscape.experiments.diffeomorphisms import _network_claims as answers
from symscape.experiments.diffeomorphisms._measure import CUTOFFS
from symscape.lab import Table, Verdict

NETWORKS, PLANE, STRIPE, AUGMENTATION, INITIAL = WORLDS
SMALL = ("fc-l2", "fc-l4", "lenet", "alexnet", "vgg11-bn", "resnet18")


def verdict(world: World, claim: str, table: Table) -> Verdict:
    experiment = lab.find(world.experiment)
    [found] = [c for c in experiment.claims if c.id == f"ch4.{claim}"]
    return lab.verdict(found, table, world.parameters, "paper")


def measured(world: World, claim: str, table: Table) -> float:
    estimate = verdict(world, claim, table).estimate
    return math.nan if estimate is None else estimate.value


def small(change: Callable[..., dict[str, Any]] = lambda q, r, random: {}) -> Table:
    """The true world of few networks, with a change."""
    table = NETWORKS.table(changed(network, change))
    return table.select(lambda row: row["net"] in SMALL and row["seed"] < 2)


@pytest.mark.parametrize("loss", [math.log(10), math.nan])
def test_networks_that_did_not_learn_are_named_and_left_out(loss: float) -> None:
    def at_chance(q: Any, r: Any, random: Any) -> dict[str, Any]:
        unlearned = q["net"] == "alexnet" and q["data"].startswith("mnist")
        return {"loss": loss, "R": np.full(3, 1e-6)} if unlearned else {}

    with_it, without = small(at_chance), small().select(lambda row: row["net"] != "alexnet")
    for what in ("relative", "deformations", "noise"):
        claim = f"table2.mnist-{what}"
        assert measured(NETWORKS, claim, with_it) == measured(NETWORKS, claim, without)
        assert "5 networks. Left out" in verdict(NETWORKS, claim, with_it).note
        assert "MNIST, alexnet (6 runs)" in verdict(NETWORKS, claim, with_it).note
    assert "Left out" not in verdict(NETWORKS, "table2.fashion-relative", with_it).note
    of: dict[str, Any] = {
        claim.id: claim.answer(with_it, NETWORKS.parameters) for claim in answers.CLAIMS
    }
    assert "MNIST, alexnet" in of["ch4.fig3.init"]  # before training it counts
    assert "MNIST, alexnet" not in of["ch4.fig11.quadratic"]
    assert "CIFAR-10, alexnet" in of["ch4.fig11.quadratic"]


def test_few_networks_have_no_correlation() -> None:
    few = small().select(lambda row: row["net"] not in ("alexnet", "lenet"))
    found = verdict(NETWORKS, "table2.mnist-relative", few)
    assert (found.status, found.estimate) == ("inconclusive", None)
    assert found.note == "4 trained networks on MNIST; 5 are needed."


def test_the_panel_that_fails_is_named() -> None:
    def one_fails(q: Any, r: Any, random: Any) -> dict[str, Any]:
        here = (q["data"], q["net"]) == ("mnist@1", "vgg11-bn")
        return {"init_R": near(r["R"] / 1.2, random)} if here else {}

    found = verdict(NETWORKS, "fig3.trained", small(one_fails))
    assert (found.status, found.panel) == ("not reproduced", "MNIST, vgg11-bn")
    assert measured(NETWORKS, "fig3.trained", small(one_fails)) == pytest.approx(1.2, rel=0.1)


def test_each_displacement_and_interpolation_is_a_panel() -> None:
    def at_two(q: Any, r: Any, random: Any) -> dict[str, Any]:
        grid = r["R_grid"].copy()
        grid[1, 0, 3:5] *= (0.4, 1 / 0.4)  # one and two pixels: the mean would be 1
        return {"R_grid": grid}

    found = verdict(NETWORKS, "fig3.interpolation", small(at_two))
    assert found.status == "not reproduced"
    assert found.panel.endswith("delta = 2")


def test_data_that_are_missing_are_said() -> None:
    digits = small().select(lambda row: row["data"].startswith("mnist"))
    experiment = chapter.Networks()
    silent = [
        c for c in experiment.claims if "CIFAR-10" in c.statement and "other" not in c.statement
    ]
    assert len(silent) > 10
    for claim in silent:
        found = lab.verdict(claim, digits, NETWORKS.parameters, "paper")
        assert (found.status, found.note) == ("inconclusive", "No run on CIFAR-10 here.")
    assert verdict(NETWORKS, "table2.fashion-noise", digits).note == "No run on Fashion-MNIST here."


def test_no_error_at_all_counts_as_half_an_image_of_the_test() -> None:
    def law(error: float) -> float:
        best = small(lambda q, r, random: {"test_error": error} if q["net"] == "resnet18" else {})
        return measured(NETWORKS, "fig5.prefactor", best)

    tested = NETWORKS.parameters.test_images
    assert tested == 9000
    assert law(0.0) == pytest.approx(law(0.5 / tested), rel=1e-12)
    assert law(0.0) < 0.9 * law(5e-4)


def test_a_run_that_is_missing_is_left_out_of_the_curves() -> None:
    table = small()
    some = table.select(lambda row: (row["P"], row["seed"]) != (2048, 1))
    for claim in ("fig3.more-data", "fig6.relative", "fig18.separation"):
        assert verdict(NETWORKS, claim, some).status == "reproduced"


@pytest.mark.parametrize(
    ("delta", "c", "answer"),
    [(0.25, 3, False), (0.5, 3, True), (2.0, 5, True), (4.0, 3, False), (1.0, 15, False)],
)
def test_acceptable_deformations_of_32_pixels(delta: float, c: int, answer: bool) -> None:
    assert answers.acceptable(delta, c, 32) is answer
    low, high = diffeo.acceptable_range(c, 32)
    assert answer is bool(low * (1 - 1e-12) <= diffeo.temperature(delta, c, 32) <= high)


def test_runs_of_the_usual_test_set_do_not_name_it() -> None:
    for world in (NETWORKS, AUGMENTATION):
        experiment = lab.find(world.experiment)
        for profile, images in (("overnight", None), ("paper", 9000)):
            assert world.points is not None
            points = world.points(experiment.parameters(profile))
            assert {point.get("test_images") for point in points} == {images}


def test_fashion_has_sizes_and_steps_of_its_own() -> None:
    assert NETWORKS.points is not None
    points = list(NETWORKS.points(chapter.Networks().parameters("overnight")))
    for data, sizes, steps in (
        ("mnist@1", {512, 2048, 8192}, 1500),
        ("fashion-mnist@1", {512, 8192}, 800),
        ("cifar10@1", {512, 2048, 8192}, 3000),
    ):
        some = [point for point in points if point["data"] == data]
        assert {point["P"] for point in some} == sizes
        assert {point["steps"] for point in some} == {steps}
        assert {point["P"] for point in some if point["full"]} == {8192}


def test_figures_draw_all_that_is_measured() -> None:
    p = NETWORKS.parameters
    figures = {f.id: f for f in chapter.Networks().figures(small(), p)}
    shown = {claim for figure in figures.values() for claim in figure.claims}
    assert shown == {claim.id for claim in chapter.Networks().claims}
    for data in ("mnist", "fashion-mnist", "cifar10"):
        for name in ("", "-d", "-g"):
            assert len(figures[f"robustness{name}-{data}"].series) == 2 * len(CUTOFFS)
        both = {s.name: s for s in figures[f"interpolations-against-p-{data}"].series}
        assert set(both) == {
            f"{net}, {way}" for net in ("vgg11-bn", "resnet18") for way in ("bilinear", "Gaussian")
        }
        for net in ("vgg11-bn", "resnet18"):
            assert both[f"{net}, bilinear"].group == both[f"{net}, Gaussian"].group


def test_table_1_is_compared_in_units_of_its_last_digit() -> None:
    counts = {
        "lenet": (5, 62_006),
        "resnet50": (50, 23_520_842),
        "efficientnet-b0": (81, 3_598_598),
    }
    table = INITIAL.table(
        changed(
            INITIAL.true,
            lambda q, r, random: dict(
                zip(("depth", "n_parameters"), counts.get(q["net"], (0, 0)), strict=True)
            ),
        )
    ).select(lambda row: row["net"] in counts)
    assert verdict(INITIAL, "table1.parameters", table).status == "reproduced"
    assert measured(INITIAL, "table1.parameters", table) == pytest.approx(0.479158)
    assert verdict(INITIAL, "table1.depth", table).status == "reproduced"
    assert verdict(INITIAL, "table1.efficientnet", table).status == "not reproduced"
    assert measured(INITIAL, "table1.efficientnet", table) == pytest.approx(1.401402)


def test_the_boundary_of_folding_is_where_half_of_the_fields_fold() -> None:
    experiment, p = chapter.PhaseDiagram(), PLANE.parameters

    def sharp(q: Any, r: Any, random: Any) -> dict[str, Any]:
        return {"folded": (np.array(q["heats"]) > 1.5).astype(float)}

    table = PLANE.table(changed(PLANE.true, sharp))
    assert measured(PLANE, "fig1.boundary", table) == pytest.approx(1.7**0.5)
    [region] = [f for f in experiment.figures(table, p) if f.id == "region"]
    [series] = [s for s in region.series if s.name == "half of the fields fold over"]
    # half way, in the logarithm, between 1.0 and 1.7 times T_max
    expected = [1.7**0.5 * diffeo.acceptable_range(c, p.n).high for c in p.cutoffs]
    np.testing.assert_allclose(series.y, expected)


def there_and_back(line: Any) -> Any:
    """The 13 lines of 61 points that are drawn as one, all forward."""
    lines = np.array(line).reshape(13, 61)
    lines[1::2] = lines[1::2, ::-1].copy()
    return lines


def test_the_drawings_fold_over_above_the_region_alone() -> None:
    experiment = chapter.PhaseDiagram()
    figures = {f.id: f for f in experiment.figures(Table([]), PLANE.parameters)}
    for name, folds in (("below", False), ("above", True)):
        series = {s.name: s for s in figures[f"lattice-{name}"].series}
        x, column_x, column_y = (
            there_and_back(values)
            for values in (series["rows"].x, series["columns"].x, series["columns"].y)
        )
        assert bool((np.diff(x) < 0).any()) is folds
        assert bool((np.diff(column_y) < 0).any()) is folds
        np.testing.assert_allclose(x[:, ::5], column_x[:, ::5].T)  # they cross on the lattice
        # the frame stays, so that the turns of the line lie on it
        np.testing.assert_allclose(x[:, [0, -1]], [[0.0, 60.0]] * 13, atol=1e-12)
    sphere = next(s for s in figures["sphere"].series if s.kind == "measured")
    np.testing.assert_allclose(sphere.x, sphere.y, rtol=1e-12)
    samples = {s.name: len(s.y) for s in figures["samples"].series}
    assert list(samples) == ["too small to be seen", "acceptable", "folded over"]
    assert min(samples.values()) > 100


def test_stripes_that_did_not_fit_are_left_out_and_counted() -> None:
    p = STRIPE.parameters

    def cut_short(q: Any, r: Any, random: Any) -> dict[str, Any]:
        return {"R": 1.0, "stopped": "steps"} if q["P"] == max(p.sizes) else {}

    table = STRIPE.table(changed(STRIPE.true, cut_short))
    found = verdict(STRIPE, "fig7.slope", table)
    assert found.status == "reproduced"
    assert f"{p.seeds} runs met the limit" in found.note
    table = STRIPE.table(changed(STRIPE.true, lambda q, r, random: {"stopped": "steps"}))
    for claim in ("fig7.slope", "sec6.amplification", "sec6.stability-from-alignment"):
        assert verdict(STRIPE, claim, table).status == "inconclusive"


def test_seeds_without_all_augmentations_are_not_compared() -> None:
    table = AUGMENTATION.table(AUGMENTATION.true)
    some = table.select(lambda row: (row["arm"], row["seed"]) != ("diffeo", 0))
    found = verdict(AUGMENTATION, "fig12.diffeo", some)
    assert found.estimate is not None
    assert found.estimate.n_seeds == AUGMENTATION.parameters.seeds - 1
    none = table.select(lambda row: row["arm"] != "diffeo")
    assert verdict(AUGMENTATION, "fig12.diffeo", none).status == "inconclusive"


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.experiment)
def test_figures_without_a_run_have_titles(world: World) -> None:
    experiment = lab.find(world.experiment)
    assert all(figure.title for figure in experiment.figures(Table([]), world.parameters))

"""Properties of the experiments of chapter 2b beyond the common contract."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from worlds.double_descent import THESIS, WIDTH

from symscape import datasets, lab
from symscape.dynamics import ensemble_statistics
from symscape.experiments.double_descent._boundary import TOY, _zeros
from symscape.experiments.double_descent._curves import curves
from symscape.experiments.double_descent._ensembles import excess, limit, whole
from symscape.experiments.double_descent._kernel import _trained, deviation, relative_fluctuation
from symscape.experiments.double_descent._parity_nets import network, pinned, split, trained
from symscape.experiments.double_descent._width import _width
from symscape.experiments.double_descent._width_claims import _envelope, power
from symscape.lab import InputError, Row, Table


@pytest.fixture(scope="module")
def curve():
    """A few nets of a made-up world, one of them silent."""
    world = lab.find(WIDTH.experiment).parameters(
        "overnight", {**WIDTH.overrides, "widths": (4, 7, 12, 40), "seeds": 4, "n_test": 200}
    )
    rows = []
    for place, point in enumerate(WIDTH.points(world)):
        result = THESIS(point, np.random.default_rng(place))
        if point["h"] == 7 and point["seed"] == 3:
            result |= {"silent": True, "margin_test": 0 * result["margin_test"] + 0.1}
        rows.append(Row(point, result, key=str(place)))
    (found,) = curves(Table(rows))
    return found


def test_energy_of_the_principal_components():
    if datasets.find("mnist") is None:
        pytest.skip("MNIST is not on this machine")
    from symscape.datasets._pca import remembered_pca

    digits = datasets.load("mnist")
    variances = remembered_pca(digits.images, key=f"{digits.source.sha256}-all").variances
    share = np.cumsum(variances) / variances.sum()
    assert share[9] == pytest.approx(0.4892, abs=5e-5)
    assert share[29] == pytest.approx(0.7316, abs=5e-5)


def test_fractional_widths():
    assert network({"d": 10, "h": 10.5, "L": 5}).n_weights == 551


@pytest.mark.parametrize("L", [2, 5, 8])
def test_widths_of_other_depths_have_as_many_weights(L):
    for h in (6, 20, 90):
        wanted = network({"d": 10, "h": h, "L": 3}).n_weights
        found = network({"d": 10, "h": _width(h, 10, L), "L": L}).n_weights
        assert found == pytest.approx(wanted, rel=0.2)
    assert _width(6.5, 10, 3) == 6.5


def test_curves_are_the_statistics_of_the_library(curve):
    everyone = curve.everyone
    y = torch.ones(curve.margins.shape[-1], dtype=torch.float32)
    for size in range(len(curve.N)):
        alive = np.isfinite(curve.margins[:, size, 0])
        found = ensemble_statistics(torch.from_numpy(curve.margins[alive, size]), y)
        assert everyone.single[size] == pytest.approx(found.error)
        assert everyone.ensemble[size] == pytest.approx(found.ensemble_error)
        assert everyone.deviation_test[size] ** 2 == pytest.approx(found.variance, rel=1e-4)
        assert everyone.of_members(int(alive.sum()))[size] == pytest.approx(found.ensemble_error)


def test_silent_nets_are_left_out(curve):
    assert np.isnan(curve.rows["single"]).sum() == 1
    assert np.isfinite(curve.everyone.single).all()
    assert "1 nets of constant output are left out" in curve.estimate(lambda m, _: 1.0).note


def test_threshold_lies_between_the_sizes_that_fit_and_those_that_do_not(curve):
    fitted = curve.rows["fitted"][0]
    first = int(np.argmax(fitted == 1))
    assert curve.N_star[0] == pytest.approx(math.sqrt(curve.N[first] * curve.N[first - 1]))


def test_repeated_seeds_weigh_twice(curve):
    once, twice = curve.mean((0, 1)), curve.mean((0, 0, 1, 1))
    np.testing.assert_allclose(once.ensemble, twice.ensemble)
    np.testing.assert_allclose(once.single, twice.single)


def test_ensembles_at_equal_cost_are_as_large_as_there_are_nets(curve):
    mean = curve.everyone
    cheaper = mean.ratio >= 1.5
    cheapest = [mean.of_members(n)[cheaper & (n * mean.N * mean.steps <= (mean.N * mean.steps)[-1])]
                for n in (2, 3)]  # fmt: skip
    assert _envelope(mean, 1.0) == pytest.approx(np.concatenate(cheapest).min() / mean.single[-1])


def test_powers_of_exact_laws(curve):
    mean = curve.everyone
    exact = power(lambda m: m.N, lambda m: 3 * m.N**-0.25)
    assert exact(mean, 0.0) == pytest.approx(-0.25)
    with pytest.raises(lab.NoEstimate):
        exact(mean, 1e6)


def test_what_a_net_of_many_widths_leaves_behind():
    experiment = lab.find("double-descent-width")
    p = experiment.parameters("smoke")
    point = next(q for q in experiment.points(p) if q["h"] == 12)
    result = experiment.measure(point)
    x, y, x_test, y_test, _ = split(point)
    run = trained(point, x, y, point["seed"])
    f = network(point)(run.w, x_test)
    np.testing.assert_array_equal(result["margin_test"], (y_test * f).numpy())
    assert result["norm_test"][-1] == pytest.approx(float(f.square().mean()), rel=1e-5)
    # The gradient's length, by differences along every axis.
    h, axes = 1e-4, torch.eye(point["d"], dtype=torch.float64)
    net, w, z = network(point), run.w.double(), x_test[:20].double()
    slopes = [(net(w, z + h * e) - net(w, z - h * e)) / (2 * h) for e in axes]
    length = torch.stack(slopes).square().sum(0).sqrt()
    error = np.abs(result["gradient_norm"][:20] / length.numpy() - 1)
    assert np.median(error) < 1e-4
    assert experiment.measure(point | {"h": 1})["silent"] in (True, False)


def test_zero_loss_ends_the_training():
    point = {"data": pinned("mnist-sample", 300), "d": 10, "P": 60, "L": 3, "h": 20}
    point |= {"steps": 3000, "rate": 3e-3, "n_test": 100}
    x, y, *_ = split(point)
    run = trained(point, x, y, seed=0)
    assert run.status == "converged"
    assert run.loss < 1e-12
    assert (y * network(point)(run.w, x) > 1 - 1e-5).all()


def test_data_that_are_missing_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("SYMSCAPE_DATA", str(tmp_path))
    if datasets.find("fashion-mnist"):
        pytest.skip("Fashion-MNIST lies in the user's own folder")
    experiment = lab.find("double-descent-width")
    both = experiment.parameters(
        "smoke", {"curves": (("mnist-sample", 3, 60), ("fashion-mnist", 3, 60))}
    )
    assert {q["data"].split("@")[0] for q in experiment.points(both)} == {"mnist-sample"}
    alone = experiment.parameters("smoke", {"curves": (("fashion-mnist", 3, 60),)})
    with pytest.raises(datasets.DataNotFoundError, match="fashion-mnist"):
        list(experiment.points(alone))


def test_limit_of_many_nets_and_the_finite_pool():
    n, pool = np.array([1, 2, 4, 8]), 20
    delta = 0.4 * np.sqrt((1 / n) * (1 - n / pool))
    row = Row({"sizes": n.tolist(), "pool": pool}, {"error": 0.1 + 0.03 / n, "delta": delta})
    assert limit(row) == pytest.approx((0.1, 1.0))
    np.testing.assert_allclose(excess(row), 0.03 / n)
    np.testing.assert_allclose(whole("delta")(row), 0.4 / np.sqrt(n))


def test_an_ensemble_is_smaller_than_its_pool():
    with pytest.raises(InputError, match="smaller than the pool"):
        lab.find("double-descent-ensembles").parameters("quick", {"pool": 10})


def test_boundary_of_a_linear_function_on_the_grid():
    axis = np.linspace(-1, 1, TOY)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    found = _zeros((x + 2 * y - 0.3).ravel())
    np.testing.assert_allclose(found[0] + 2 * found[1], 0.3, atol=1e-12)
    assert len(found[0]) > TOY


def test_fluctuations_of_known_ensembles():
    matrix, size = np.arange(9.0).reshape(3, 3), np.array([-1.0, 0.0, 1.0])
    kernels = matrix + 0.1 * size[:, None, None] * matrix
    assert relative_fluctuation(kernels) == pytest.approx(0.1)
    assert deviation(size[:, None] * np.array([3.0, 4.0])) == pytest.approx(math.sqrt(12.5))


def test_wide_nets_stay_close_to_their_first_kernel():
    point = {"L": 2, "P": 20, "seed": 0, "loss": 1e-2, "steps": 2000}
    narrow, wide = (_trained({**point, "h": h}) for h in (16, 256))
    assert narrow["reached"]
    assert wide["reached"]
    for name in ("change", "off_kernel"):
        assert wide[name] < narrow[name] / 4

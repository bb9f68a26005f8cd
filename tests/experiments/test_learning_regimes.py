"""Properties of the experiments on feature and lazy training beyond the common contract."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from symscape import lab
from symscape.dynamics import EulerThesis
from symscape.experiments.learning_regimes import _details, _observed_flow, _relu, _scan_claims
from symscape.experiments.learning_regimes import _scan_runs as runs
from symscape.experiments.learning_regimes._details import Details
from symscape.experiments.learning_regimes._flow import network
from symscape.experiments.learning_regimes._observed_flow import LEVELS, SLAB
from symscape.experiments.learning_regimes._scan import Scan
from symscape.lab import InputError, NoEstimate, Row, Table

POINT = {"data": SLAB, "n": 16, "n_test": 60, "L": 2, "h": 12, "seed": 0, "kernel_points": 20}


@pytest.fixture(scope="module")
def lazy() -> dict[float, dict]:
    """Runs of one net at three scales, far on the lazy side."""
    return {s: _observed_flow.observe({**POINT, "scale": s}) for s in (1e2, 1e4, 1e6)}


@pytest.mark.parametrize(
    ("L", "a", "b"),
    [(1, 1, 1 / 2), (2, 4 / 3, 1 / 3), (3, 3 / 2, 1 / 4), (5, 5 / 3, 1 / 6), (9, 9 / 5, 1 / 10)],
)
def test_exponents_of_the_theory(L: int, a: float, b: float) -> None:
    assert _scan_claims.kernel_exponent(L) == pytest.approx(a)
    assert _scan_claims.weight_exponent(L) == pytest.approx(b)
    assert a == pytest.approx(2 * L * b)


def test_the_rescaled_loss_starts_at_one_and_a_fitted_net_is_below_ln2_over_20() -> None:
    data = _observed_flow.problem(SLAB, 16, 60)
    net = network(8, 12, 2)
    alpha = 0.3
    result = _observed_flow.follow(
        net, net.initial_weights(0), data, alpha, _observed_flow.integrator(), levels=LEVELS
    )
    assert result.status == "converged"
    assert alpha**2 * result.history["loss"][0] == pytest.approx(1.0000000001030576, abs=1e-12)
    assert alpha**2 * result.loss < math.log(2) / 20


def test_times_of_the_loss_increase_and_the_output_grows_with_them(lazy) -> None:
    run = lazy[1e2]
    assert run["status"] == "converged"
    assert np.all(np.diff(run["loss_times"]) > 0)
    assert np.all(np.diff(run["growth"][:5]) > 0)
    assert run["margins"].dtype == np.float32
    assert run["margins"].shape == (60,)
    assert run["test_error"] == pytest.approx((run["margins"] <= 0).mean())


def test_lazy_nets_move_as_one_over_alpha_and_become_their_frozen_kernel(lazy) -> None:
    for name in ("kernel_change", "displacement"):
        slope = np.log10(lazy[1e6][name] / lazy[1e4][name]) / 2
        assert slope == pytest.approx(-1, abs=0.02)
    frozen = _observed_flow.observe_frozen(POINT)
    far, near = (
        np.linalg.norm(lazy[s]["margins"] - frozen["margins"]) / np.linalg.norm(frozen["margins"])
        for s in (1e2, 1e6)
    )
    assert near < 0.02
    assert near < far


def test_without_f0_a_net_that_starts_at_zero_is_the_centered_one() -> None:
    """Pairs of neurons with opposite outputs: f_0 = 0, so that both predictors are one."""
    data = _observed_flow.problem(SLAB, 16, 60)
    net = network(8, 12, 1)
    first, _ = net.unpack(net.initial_weights(1))
    half, out = first[0][:6], torch.randn(1, 6, dtype=torch.float64)
    w0 = net.pack([(torch.cat([half, half]), None), (torch.cat([out, -out], 1), None)])
    assert float(net(w0, data.x).abs().max()) < 1e-14
    alpha = 0.7
    centered = _observed_flow.follow(net, w0, data, alpha, _observed_flow.integrator(1e-6))
    plain = _details._follow_alpha_f(net, w0, data, alpha, _observed_flow.integrator(1e-6), 100_000)
    F = [net(run.w, data.x_test) for run in (centered, plain)]
    assert float((F[0] - F[1]).norm() / F[0].norm()) < 1e-3
    # the same flow with another unit of time
    assert plain.time * alpha == pytest.approx(centered.time, rel=1e-3)


def test_biases_with_a_vanishing_factor_change_nothing() -> None:
    point = {**POINT, "role": "bias", "scale": 1.0, "factor": 1e-4}
    found = Details().measure(point)
    np.testing.assert_allclose(found["biased_margins"], found["plain_margins"], atol=1e-4)


def test_soft_hinges_are_ln2_over_beta_above_the_corner() -> None:
    found = _details._losses({})
    for beta in (1, 5, 20):
        assert found[f"distance_{beta}"] == pytest.approx(math.log(2) / beta, rel=1e-12)
        assert found[f"where_{beta}"] == pytest.approx(1.0, abs=1e-12)


def test_small_relu_nets_are_trained_where_the_rule_of_the_thesis_is_stuck() -> None:
    point = {"data": SLAB, "components": None, "n": 20, "n_test": 30, "L": 3, "h": 16, "seed": 1}
    ours = _relu.Relu().measure({**point, "scale": 1.0})
    thesis = _relu.Relu().measure({**point, "scale": 1.0, "budget": 300})
    assert ours["n_delta"] == 0
    assert thesis["n_delta"] > 0
    assert ours["crossings"] > 0


def scan_row(seed: int, h: int, scale: float, **result: object) -> Row:
    point = {"role": "net", "data": SLAB, "L": 2, "h": h, "scale": scale, "seed": seed}
    return Row(point, {"status": "converged", **result}, f"{seed}-{h}-{scale}")


def test_the_crossover_is_found_between_the_scales() -> None:
    rows = [
        scan_row(seed, h, scale, kernel_change=(scale / 7.0) ** -1.2)
        for seed in range(3)
        for h in (25, 100)
        for scale in (1.0, 3.2, 10.0, 32.0)
    ]
    widths, alphas = _scan_claims.crossovers(Table(rows))
    np.testing.assert_allclose(alphas, np.tile(7.0 / np.sqrt(widths), (3, 1)))
    # a seed that lacks one side of it is left out
    some = Table(row for row in rows if row["seed"] > 0 or row["scale"] > 9)
    assert _scan_claims.crossovers(some)[1].shape == (2, 2)
    with pytest.raises(NoEstimate, match="No seed has all widths"):
        _scan_claims.crossovers(Table(row for row in rows if row["scale"] > 9))


def test_the_middle_of_the_error_is_half_way_between_its_ends() -> None:
    scales = np.array([1.0, 10.0, 100.0, 1000.0])
    errors = np.array([[0.1, 0.2, 0.4, 0.5], [0.1, 0.2, 0.4, 0.5]])
    found = _scan_claims.middle(scales, errors)
    u = (math.log(0.3) - math.log(0.2)) / math.log(2)
    assert found == pytest.approx(10 ** (1 + u))
    with pytest.raises(NoEstimate):
        _scan_claims.middle(scales, np.full((2, 4), 0.3))


def test_runs_that_do_not_fit_are_left_out_of_curves_and_ensembles() -> None:
    rows = [scan_row(s, 8, 1.0, kernel_change=2.0, margins=np.ones(4)) for s in range(3)]
    stuck = {**rows[0].result, "status": "out_of_budget", "kernel_change": 9.0}
    table = Table([Row(rows[0].point, stuck, "x"), *rows[1:]])
    _, curve = runs.curves(table, "scale", runs.KERNEL_CHANGE)
    assert np.isnan(curve[0]).all()
    assert (curve[1:] == 2.0).all()
    assert sorted(runs.stack(table, SLAB, 2, 8, 1.0)) == [1, 2]


def test_the_size_of_the_output_is_read_between_the_levels() -> None:
    times = np.full(len(LEVELS), math.nan)
    times[:3] = 1.0, 10.0, 100.0
    row = scan_row(0, 8, 1.0, loss_times=times, growth=3.0 * times)
    assert _scan_claims.size_at(row, 30.0) == pytest.approx(90.0)
    assert math.isnan(_scan_claims.size_at(row, 1000.0))


def test_a_net_without_its_frozen_twin_has_no_distance() -> None:
    margins = np.arange(1.0, 5.0)
    net = scan_row(0, 8, 1e4, margins=margins)
    twin = Row({**net.point, "role": "frozen"}, {"margins": 2 * margins}, "twin")
    assert _scan_claims.distance(Table([net, twin]), net) == pytest.approx(0.5)
    assert math.isnan(_scan_claims.distance(Table([net]), net))


def test_the_thesis_integrator_agrees_with_ours_on_smooth_nets() -> None:
    data = _observed_flow.problem(SLAB, 16, 60)
    net = network(8, 16, 2)
    w0 = net.initial_weights(0)
    runs_of = [
        _observed_flow.follow(net, w0, data, 1.0, method)
        for method in (EulerThesis(), _observed_flow.integrator(1e-5))
    ]
    F = [net(run.w, data.x_test) - net(w0, data.x_test) for run in runs_of]
    assert float((F[0] - F[1]).norm() / F[1].norm()) < 3e-3


def test_scales_must_increase_and_points_of_an_ensemble_share_their_data() -> None:
    with pytest.raises(InputError, match="sizes must increase"):
        Scan().parameters("smoke", {"scales": [1.0, 0.1]})
    p = Scan().parameters("overnight", {"source": "mnist-sample"})
    points = list(Scan().points(p))
    slab = [q for q in points if q["data"] == SLAB]
    assert {(q["n"], q["n_test"]) for q in slab} == {(64, 1000)}
    at = [
        q for q in slab if q["role"] == "net" and (q["L"], q["h"], q.get("scale")) == (2, 64, 1.0)
    ]
    assert sorted(q["seed"] for q in at) == list(range(12))
    assert lab.find("regimes-scan").chapter == "3"


def test_an_output_that_is_no_number_is_an_error() -> None:
    assert _observed_flow.error_of(torch.tensor([1.0, math.nan, -1.0, 0.0])) == 0.75

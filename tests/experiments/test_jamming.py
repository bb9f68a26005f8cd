"""The analysis of the jamming experiments on tables with known answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from symscape.experiments.jamming import _near_jamming as near
from symscape.experiments.jamming._mnist import Mnist
from symscape.experiments.jamming._state import share_of_silent, silent_patterns, train_hinge
from symscape.experiments.jamming._transition import Transition
from symscape.lab import Finding, Row, Table, judge
from symscape.landscape import constant_output_loss
from symscape.networks import FullyConnected

STEPS = np.arange(0, 1001, 10)


def run(
    *,
    N: int = 400,
    ratio: float = 2.9,
    n_delta: int = 300,
    loss: float = 1e-3,
    seed: int = 0,
    activation: str = "relu",
    L: int = 2,
    **result: Any,
) -> Row:
    """A finished run near the transition, as ``measure_run`` returns it."""
    random = np.random.default_rng(seed)
    P = round(ratio * N)
    modes = np.linspace(-1, 1, N) if activation == "relu" else np.linspace(-0.86, 1.14, N)
    overlaps = -(random.uniform(0, 2, P) ** 1.25)  # gaps with density |Delta|^-0.2
    overlaps[:n_delta] = random.uniform(0, 1, n_delta) ** (1 / 1.3)  # z^0.3
    point = {"activation": activation, "L": L, "P": P, "seed": seed, "steps": int(STEPS[-1])}
    return Row(
        point,
        {
            "n_weights": N,
            "n_parameters": N + 10,
            "n_delta": n_delta,
            "loss": loss,
            "misclassified": 0,
            "n_dead": 0,
            "dead_share": 0.0,
            "status": "out_of_budget",
            "history_step": STEPS,
            "history_loss": np.full(len(STEPS), loss),
            "history_n_delta": np.full(len(STEPS), n_delta),
            "overlaps": overlaps,
            "eigenvalues_hp": modes * math.sqrt(loss),
            "eigenvalues_h0": np.r_[np.zeros(N - n_delta), np.linspace(1, 2, n_delta)],
            "eigenvalues_h": np.r_[np.linspace(-0.1, -0.01, N // 10), np.ones(N - N // 10)],
            "rank_h0": n_delta,
            "n_effective": N,
            "preactivations": np.ones((L, 70)),
            "preactivations_fresh": np.ones((L, 70)),
            "cusp_masses": np.full(L, 0.1),
            "n_cusps": N // 5,
            "n_cusps_fresh": 1,
            "ks_outside_peak": 0.01,
            "test_error": 0.08,
        }
        | result,
        key=f"{activation}-{L}-{ratio}-{seed}",
    )


def fitted(**options: Any) -> Row:
    return run(n_delta=0, loss=0.0, **options)


def by_claim(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.claim: finding for finding in findings}


def test_fitted_settled_and_moving_runs_are_told_apart() -> None:
    # down to where the rate is lowered, and then at rest, as everything is
    moving = np.where(STEPS < 600, np.geomspace(1.0, 1e-6, len(STEPS)), 1e-3)
    assert near.is_fitted(fitted())
    assert near.is_fitted(run(n_delta=3, loss=1e-13))
    assert not near.is_fitted(run())
    assert near.is_settled(fitted())
    assert near.is_settled(run())
    assert not near.is_settled(run(history_loss=moving, loss=1e-3))
    table = Table([fitted(), run(), run(history_loss=moving)])
    assert near.jammed(table) == [table.rows[1]]


@pytest.mark.parametrize("middle", [2.6, 2.75])
def test_midpoint_lies_between_the_fitted_and_the_jammed_ratios(middle: float) -> None:
    ratios = np.arange(2.3, 3.2, 0.1)
    rows = [run(ratio=r) if r > middle else fitted(ratio=r) for r in ratios]
    found = near.midpoint_of_fit(rows)
    last, first = max(r for r in ratios if r <= middle), min(r for r in ratios if r > middle)
    assert last < found < first


def test_censored_runs_widen_the_location_of_the_transition() -> None:
    moving = np.where(STEPS < 600, np.geomspace(1.0, 1e-6, len(STEPS)), 1e-3)
    ends = [fitted(ratio=2.0), fitted(ratio=2.2), run(ratio=3.2), run(ratio=3.4)]
    sharp, narrow = near.location([*ends, fitted(ratio=2.6), run(ratio=2.8)])
    assert sharp == pytest.approx(2.7, abs=0.05)
    between = [run(ratio=r, history_loss=moving) for r in (2.4, 2.6, 2.8, 3.0)]
    middle, wide = near.location([*ends, *between])
    assert middle == pytest.approx(2.7, abs=0.05)
    assert wide > 0.3 > narrow
    assert math.isnan(near.location([*ends[:2], *between])[0])  # none is at rest beyond


@pytest.mark.parametrize("outcome", ["fits at the lowest ratio only", "jams at the highest only"])
@pytest.mark.parametrize("profile", ["quick", "overnight", "paper"])
def test_a_transition_elsewhere_is_not_taken_for_the_thesis_s(outcome: str, profile: str) -> None:
    parameters = Transition.profiles[profile]
    first, last = min(parameters.relu_ratios), max(parameters.relu_ratios)
    fits = (lambda r: r == first) if outcome.startswith("fits") else (lambda r: r < last)
    rows = [fitted(ratio=r) if fits(r) else run(ratio=r) for r in parameters.relu_ratios]
    found = by_claim(Transition().analyse(Table(rows), parameters))["ch1.fig6a.location"]
    claim = next(c for c in Transition.claims if c.id == found.claim)
    assert judge(claim, found, profile).status != "reproduced"


def test_midpoint_needs_both_outcomes() -> None:
    assert math.isnan(near.midpoint_of_fit([run()]))
    assert math.isnan(near.midpoint_of_fit([fitted()]))


def test_bootstrap_is_the_standard_error_of_a_mean() -> None:
    random = np.random.default_rng(0)
    rows = [run(loss=float(v)) for v in random.normal(1.0, 0.2, 200)]
    error = near.bootstrap(rows, near.mean_of(lambda row: row["loss"]), resamples=2000)
    assert error == pytest.approx(0.2 / math.sqrt(200), rel=0.2)
    assert near.bootstrap(rows[:1], near.mean_of(lambda row: row["loss"])) is None


def test_transition_reads_known_answers() -> None:
    losses = np.geomspace(1e-4, 3e-3, 4)
    rows = [fitted(ratio=r, seed=s, L=L) for r in (2.5, 2.7) for s in range(2) for L in (2, 3)]
    rows += [
        run(ratio=3.0 + 0.01 * i, loss=float(loss), seed=i, L=L)
        for i, loss in enumerate(losses)
        for L in (2, 3)
    ]
    rows += [
        run(activation="tanh", ratio=4.2, seed=i, loss=float(loss), eigenvalues_h=np.ones(400))
        for i, loss in enumerate(losses)
    ]
    experiment = Transition()
    found = by_claim(experiment.analyse(Table(rows), experiment.profiles["quick"]))
    assert found["ch1.fig6a.no-intermediate-state"].measured == 0
    assert 2.7 < found["ch1.fig6a.location"].measured < 3.0
    assert found["ch1.fig6b.jump-height"].measured == pytest.approx(0.75)
    assert found["ch1.fig6b.no-depth-dependence"].measured == pytest.approx(0.0)
    assert found["ch1.fig7b.symmetric-spectrum"].measured == pytest.approx(0.0, abs=1e-12)
    assert found["ch1.fig7b.collapse"].measured == pytest.approx(0.0, abs=1e-6)
    assert found["ch1.fig7c.rank"].measured == pytest.approx(1.0)
    assert found["ch1.fig7d.negative-modes"].measured == pytest.approx(0.1)
    assert found["ch1.fig7e.tanh-c0"].measured == pytest.approx(0.43, abs=0.01)
    assert found["ch1.fig7g.tanh-stable"].measured == 0.0
    assert found["ch1.fig8b.gamma"].measured == pytest.approx(0.2, abs=0.1)
    assert found["ch1.fig12.cusps"].measured == pytest.approx(0.2)


def test_runs_stuck_on_silent_inputs_are_left_out() -> None:
    stuck = run(n_delta=60, loss=2e-3, dead_share=0.9)
    experiment = Transition()
    found = by_claim(experiment.analyse(Table([run(), stuck]), experiment.profiles["quick"]))
    assert found["ch1.fig6a.no-intermediate-state"].measured == 0
    assert "1 were stuck" in found["ch1.fig6a.no-intermediate-state"].note
    assert found["ch1.fig6b.jump-height"].measured == pytest.approx(0.75)


def test_participation_of_equal_exponential_and_single_overlaps() -> None:
    random = np.random.default_rng(0)
    assert near.participation(run(overlaps=np.full(50, 0.3))) == pytest.approx(1.0)
    assert near.participation(run(overlaps=random.exponential(1.0, 10**6))) == pytest.approx(
        1 / 6, rel=0.05
    )
    one = np.full(100, 1e-4)
    one[0] = 1.0
    assert near.participation(run(overlaps=one)) == pytest.approx(0.01, rel=1e-3)
    assert near.participation(run(overlaps=-one)) == 0.0


def test_theta_is_measured_on_evenly_jammed_runs() -> None:
    even = run(seed=1, N=4000, n_delta=3000)
    uneven = run(seed=2, N=4000, n_delta=3000)
    uneven.result["overlaps"][0] = 100.0
    found = near.exponent_finding("x", "theta", [even, uneven], (1e-2, 1.0))
    assert found.runs == [even.key]
    assert found.measured == pytest.approx(0.3, abs=0.15)
    assert near.exponent_finding("x", "theta", [uneven], (1e-2, 1.0)).measured is None


def test_an_intermediate_state_is_seen() -> None:
    experiment = Transition()
    found = by_claim(experiment.analyse(Table([run(n_delta=60)]), experiment.profiles["quick"]))
    assert found["ch1.fig6a.no-intermediate-state"].measured == 1


def test_mnist_reads_known_answers() -> None:
    experiment = Mnist()
    rows = [run(n_delta=200, ratio=26.0, loss=1e-3, seed=s, rank_h0=200) for s in range(3)]
    found = by_claim(experiment.analyse(Table(rows), experiment.profiles["quick"]))
    assert found["ch1.fig9b.jump-height"].measured == pytest.approx(0.5)
    assert found["ch1.fig9g.zero-modes"].measured == pytest.approx(1 - 200 / 410)
    assert found["ch1.sec7.accuracy"].measured == pytest.approx(0.92)


def test_silent_patterns_share_one_output_and_the_loss_of_a_constant() -> None:
    net = FullyConnected(d=2, h=3, L=1)
    w = net.initial_weights(0, "orthogonal")
    layers = [(matrix.clone(), b.clone()) for matrix, b in net.unpack(w)]
    layers[0][0][:] = torch.tensor([[1.0, 0.0]] * 3)  # every neuron is off where x_1 < 0
    layers[1][1][:] = 1 / 3
    w = net.pack(layers)
    x = torch.tensor([[-1.0, 0.3], [-2.0, 1.0], [-0.5, 2.0]], dtype=torch.float64)
    y = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert silent_patterns(net, w, x).all()
    assert share_of_silent(net, w, x, y) == 1.0
    least, output = constant_output_loss(2, 1)
    assert output == pytest.approx(1 / 3)
    assert 0.5 * (1 - y * net(w, x)).square().sum().item() == pytest.approx(least)


def test_training_schedule_ends_at_the_final_rate() -> None:
    net = FullyConnected(d=3, h=4, L=1)
    x = torch.randn(60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.where(torch.arange(60) % 2 == 0, 1.0, -1.0).double()
    point = {"seed": 0, "steps": 1000, "learning_rate": 1e-2, "final_rate": 1e-5}
    result = train_hinge(net, point, x, y)
    rates = np.diff(result.history["time"]) / np.diff(result.history["step"])
    assert rates[0] == pytest.approx(1e-2)
    assert result.time == pytest.approx(600 * 1e-2 + 133 * 1e-3 + 133 * 1e-4 + 134 * 1e-5, rel=0.01)

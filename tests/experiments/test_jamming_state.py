"""Training to rest, and the state in which it ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from symscape.datasets import random_sphere
from symscape.dynamics import Hinge
from symscape.experiments.jamming._state import (
    KINK,
    REST,
    heard,
    measure_run,
    silent_patterns,
    train_hinge,
)
from symscape.landscape import constant_output_loss, hessian, least_gradient
from symscape.networks import FullyConnected

TRAINING = {"seed": 0, "steps": 1000, "iterations": 500, "learning_rate": 1e-3, "final_rate": 1e-7}


def test_what_can_be_fitted_is_fitted() -> None:
    net = FullyConnected(d=8, h=12, L=2)
    x, y = random_sphere(60, 8, seed=0)
    result = train_hinge(net, TRAINING, x, y)
    assert result.status == "converged"
    assert result.loss < 1e-12
    assert np.all(np.diff(result.history["step"]) >= 0)
    assert result.history["step"][-1] == result.steps


def test_a_relu_net_rests_on_its_kinks() -> None:
    net = FullyConnected(d=5, h=5, L=2)
    x, y = random_sphere(250, 5, seed=1)
    result = train_hinge(net, TRAINING, x, y)
    assert result.status == "stalled"
    found = least_gradient(net, result.w, x, y, Hinge(), KINK)
    assert result.grad_norm == pytest.approx(found.norm, rel=1e-6)
    assert found.norm <= REST * math.sqrt(result.loss)
    # the gradient of either side is no measure of rest
    assert least_gradient(net, result.w, x, y, Hinge(), 0.0).norm > 2 * found.norm


def test_a_tanh_net_reaches_a_minimum() -> None:
    net = FullyConnected(d=4, h=4, L=2, activation="tanh")
    x, y = random_sphere(150, 4, seed=2)
    result = train_hinge(net, TRAINING, x, y)
    assert result.status == "stalled"
    eigenvalues = torch.linalg.eigvalsh(hessian(net, result.w, x, y, Hinge()).H)
    assert eigenvalues[0] > -1e-4 * eigenvalues[-1]


def test_a_run_that_is_cut_short_is_censored() -> None:
    net = FullyConnected(d=5, h=5, L=2)
    x, y = random_sphere(250, 5, seed=1)
    result = train_hinge(net, {**TRAINING, "steps": 10, "iterations": 2}, x, y)
    assert result.status == "out_of_budget"


@pytest.mark.parametrize(("seed", "silent"), [(1, False), (4, True)])
def test_measures_of_a_jammed_run(seed: int, silent: bool) -> None:
    point = {"activation": "relu", "L": 2, "h": 5, "d": 5, **TRAINING}
    x, y = random_sphere(250, 5, seed=seed)
    fresh, _ = random_sphere(250, 5, seed=2)
    found = measure_run(point, x, y, fresh, test=(fresh, y))
    assert found["status"] == "stalled"
    assert (found["n_silent"] > 0) == silent
    # At rest are the patterns that are measured, not those that the net fell silent on.
    assert found["grad_norm"] <= REST * math.sqrt(found["loss"])
    assert found["n_delta"] == int((found["overlaps"] > 0).sum())
    assert found["rank_h0"] <= min(found["n_delta"], found["n_effective"])
    assert len(found["eigenvalues_h"]) == found["n_parameters"]
    assert found["n_pinned"] > 0
    assert 0.3 < found["test_error"] < 0.7


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
    assert heard(net, w, x).all()  # where none is heard, none is left out
    assert heard(net, w, torch.cat([x, -x])).tolist() == [False] * 3 + [True] * 3
    least, output = constant_output_loss(2, 1)
    assert output == pytest.approx(1 / 3)
    assert 0.5 * (1 - y * net(w, x)).square().sum().item() == pytest.approx(least)

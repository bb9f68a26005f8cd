"""Effective parameters: what is counted for real nets, and the analysis of known ranks."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from symscape.experiments.jamming._effective_parameters import EffectiveParameters, _count
from symscape.lab import Estimate, Row, Table, verdicts
from symscape.networks import FullyConnected

D, H, L = 5, 6, 2
SEED = 0


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(150, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def net_and_weights(activation: str) -> tuple[FullyConnected, torch.Tensor]:
    """A net without silent neurons, with every pair of neighbors on together somewhere."""
    net = FullyConnected(D, H, L, activation=activation)
    return net, net.initial_weights(SEED, "normal")


def silenced(net: FullyConnected, w: torch.Tensor, layer: int, neurons: list[int]) -> torch.Tensor:
    layers = [(matrix.clone(), b) for matrix, b in net.unpack(w)]
    b = layers[layer][1]
    assert b is not None
    b = b.clone()
    b[neurons] = -100.0
    layers[layer] = (layers[layer][0], b)
    return net.pack(layers)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("relu", lambda n: n.n_parameters - n.n_neurons), ("tanh", lambda n: n.n_parameters)],
)
def test_relu_loses_its_rescalings_and_tanh_nothing(
    activation: str, expected: Any, x: torch.Tensor
) -> None:
    net, w = net_and_weights(activation)
    assert _count(net, w, x, "initial")["rank_initial"] == expected(net)


def test_a_linear_net_has_an_affine_function(x: torch.Tensor) -> None:
    net, w = net_and_weights("linear")
    assert _count(net, w, x, "initial")["rank_initial"] == D + 1


@pytest.mark.parametrize("layer", [0, 1])
def test_silent_neurons_take_their_weights_with_them(layer: int, x: torch.Tensor) -> None:
    net, w = net_and_weights("relu")
    counted = _count(net, silenced(net, w, layer, [3]), x, "initial")
    assert counted["n_silent_initial"] == 1
    assert counted["rank_initial"] == counted["live_initial"] < net.n_parameters - net.n_neurons


def test_a_silent_layer_leaves_one_parameter(x: torch.Tensor) -> None:
    net, w = net_and_weights("relu")
    assert _count(net, silenced(net, w, 1, list(range(H))), x, "initial")["rank_initial"] == 1


def row(activation: str, *, depth: int = 3, h: int = 10, lost: int = 0, later: int = 0) -> Row:
    net = FullyConnected(10, h, depth, activation=activation)
    full = {
        "relu": net.n_parameters - net.n_neurons,
        "tanh": net.n_parameters,
        "linear": net.d + 1,
    }[activation]
    point = {"activation": activation, "L": depth, "h": h, "d": 10, "seed": lost}
    result = {"n_parameters": net.n_parameters, "n_neurons": net.n_neurons}
    for stage, off in (("initial", lost), ("trained", later)):
        result |= {
            f"rank_{stage}": full - off,
            f"live_{stage}": full,
            f"n_silent_{stage}": 0,
            f"gap_{stage}": 1e9,
        }
    return Row(point, result)


def answers(rows: list[Row]) -> dict[str, Estimate | None]:
    experiment = EffectiveParameters()
    found = verdicts(experiment, Table(rows), experiment.profiles["quick"], "quick")
    return {verdict.claim.id.removeprefix("ch1."): verdict.estimate for verdict in found}


def test_exact_counts_give_exact_answers() -> None:
    found = answers([row("relu", h=h) for h in (5, 10, 40)] + [row("tanh"), row("linear")])
    assert found["fig11.relu"].value == pytest.approx(1.0)
    assert found["fig11.relu-live"].value == pytest.approx(1.0)
    assert found["secII.linear"].value == found["appA.tanh"].value == 0.0
    # Only the largest net of the figure's depth counts: N_tot = 3761, 120 neurons.
    assert found["fig11.close-to-all"].value == pytest.approx(1 - 120 / 3761)


def test_one_lost_direction_is_seen() -> None:
    found = answers([row("relu", lost=3), row("tanh", lost=1), row("linear", later=1)])
    full = row("relu")["rank_initial"]
    assert found["fig11.relu"].value == pytest.approx((full - 3) / full)
    assert found["appA.tanh"].value == 1.0
    assert found["secII.linear"].value == 0.0
    assert "after training 1" in found["secII.linear"].note


def test_the_thesis_line_is_drawn_for_every_depth() -> None:
    experiment = EffectiveParameters()
    rows = Table([row("relu", depth=depth, h=h) for depth in (1, 3) for h in (5, 10)])
    figure = experiment.figures(rows, experiment.profiles["quick"])[0]
    measured = {s.name: s.y for s in figure.series if s.kind == "measured"}
    thesis = {s.name: s.y for s in figure.series if s.kind == "thesis"}
    for depth in (1, 3):
        assert measured[f"relu, L = {depth}"] == pytest.approx(thesis[f"N_tot - L h, L = {depth}"])

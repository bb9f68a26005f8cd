"""Training by SGD and gradient flow, and the exponents of parametrizations."""

import math

import numpy as np
import pytest
import torch

from symscape import dynamics, networks
from symscape.experiments.discussion._parametrization_limits import (
    NAMED,
    ParametrizationLimits,
    boundary,
    exponents,
    slice_of,
)
from symscape.experiments.discussion._parametrizations import train
from symscape.experiments.discussion._sgd import (
    BETA,
    FLOW,
    measure_members,
    method,
    stability_limit,
    temperature,
)
from symscape.experiments.discussion._sgd_jamming import SgdJamming, n_weights
from symscape.experiments.discussion._sgd_plane import SgdPlane
from symscape.lab import Row, Table

POINT = {
    "source": "mnist-sample",
    "components": 10,
    "P": 32,
    "n_test": 100,
    "h": 12,
    "alpha": 10.0,
    "horizon": 4000.0,
    "members": 2,
    "compare": False,
    "seed": 0,
}


def test_above_the_stability_limit_of_the_kernel_descent_oscillates():
    """On a linear network the limit is exact, where the loss has its largest curvature."""
    net = networks.FullyConnected(4, 1, 0, parametrization="ntp", bias=False)
    x = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w0 = net.initial_weights(0)
    limit = stability_limit(net, w0, x)
    hessian = BETA / 4 * x.T @ x / 4 / len(x)
    assert limit * torch.linalg.eigvalsh(hessian)[-1].item() == pytest.approx(2)
    loss = dynamics.SoftHinge(beta=BETA)
    at_margin = torch.ones(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss.value(at_margin, at_margin.detach()), at_margin)
    step = 1e-4
    other = loss.derivative(torch.tensor([1 + step]).double(), torch.ones(1).double())
    assert (other - slope).item() / step == pytest.approx(BETA / 4, rel=1e-3)


def test_sgd_of_a_full_batch_and_small_rate_is_gradient_flow():
    far, near = (
        measure_members(POINT | {"batch": 32, "rate": rate, "compare": True})["distance"].max()
        for rate in (16.0, 4.0)
    )
    assert near < far / 2  # of first order in the step, hence about a quarter
    assert near < 0.1


def test_fields_of_a_point():
    flow = measure_members(POINT | FLOW)
    assert flow["fitted"].all()
    again = measure_members(POINT | FLOW)
    for name, value in flow.items():
        np.testing.assert_array_equal(value, again[name])
    # Members share the data and differ by their start; seeds are other data.
    assert len(set(flow["size"])) == 2
    assert flow["size"][0] != measure_members(POINT | FLOW | {"seed": 1})["size"][0]
    assert 0 < flow["ensemble_error"] < 0.5
    assert flow["fluctuation"] > 0
    short = measure_members(POINT | {"batch": 8, "rate": 4.0, "horizon": 40.0})
    assert short["steps"].tolist() == [10, 10]
    np.testing.assert_allclose(short["time"], 40.0)
    assert not short["fitted"].any()


def test_a_run_that_diverges_has_no_error():
    found = measure_members(POINT | {"alpha": 0.1, "batch": 2, "rate": 1e30, "horizon": 1e32})
    assert not found["fitted"].any()
    assert np.isnan(found["error"]).all()
    assert np.isnan(found["kernel_change"]).all()
    assert math.isnan(found["ensemble_error"])


def test_names_and_temperatures_of_methods():
    assert method(POINT | FLOW) == "gradient flow"
    assert temperature(POINT | FLOW) == 0
    assert method(POINT | {"batch": 32, "rate": 64.0}) == "full batch, rate 64"
    assert method(POINT | {"batch": 4, "rate": 0.25}) == "B = 4, rate 0.25"
    assert temperature({"batch": 4, "rate": 16.0}) == 4


def test_parameters_are_counted_as_the_network_has_them():
    for h in (3, 20):
        net = networks.FullyConnected(10, h, 2, bias=False)
        assert n_weights(h) == net.n_parameters


def test_methods_of_the_plane_are_no_hotter_than_allowed():
    experiment = SgdPlane()
    p = experiment.parameters("overnight", {"source": "mnist-sample"})
    rows = [q for q in experiment.points(p) if q["role"] == "plane"]
    assert max(temperature(q) for q in rows) == 4
    assert {q["h"] for q in rows} == set(p.widths)
    flows = [q for q in experiment.points(p) if q["batch"] == 0]
    assert {q["rate"] for q in flows} == {0.0}
    # Stability is looked for with as many steps at every rate.
    assert {q["horizon"] / q["rate"] for q in experiment.points(p) if q["role"] == "edge"} == {2000}


@pytest.mark.parametrize("experiment", [SgdPlane(), SgdJamming(), ParametrizationLimits()])
def test_figures_and_claims_of_nothing_and_of_one_run(experiment):
    p = experiment.parameters("smoke")
    points = list(experiment.points(p))
    for rows in ([], [Row(points[0], experiment.measure(points[0]), key="0")]):
        figures = experiment.figures(Table(rows, expected=len(points)), p)
        assert len({figure.id for figure in figures}) == len(figures)
        shown = {claim for figure in figures for claim in figure.claims}
        assert shown == {claim.id for claim in experiment.claims}


def test_exponents_of_the_classification():
    """Yang and Hu: r = 1/2 for NTP, 0 for Maximal Update, 1 - A between."""
    for name, r, change in (("NTP", 0.5, 0.0), ("between", 0.25, 0.0), ("Maximal Update", 0, 0)):
        found = exponents(NAMED[name])
        assert [found[f"layer {l}"] for l in (1, 2, 3)] == pytest.approx([-r] * 3)
        assert found["change of the output"] == pytest.approx(change)
    assert exponents(NAMED["NTP"])["output at the start"] == 0
    assert exponents(NAMED["Maximal Update"])["output at the start"] == -0.5
    assert exponents(NAMED["trivial"])["change of the output"] == -0.5
    # The symmetry of abc-parametrizations leaves all of them as they are.
    for of in NAMED.values():
        assert exponents(of.shifted(0.3)) == pytest.approx(exponents(of))


def test_boundary_of_stability_passes_through_both_limits():
    assert boundary(0.5) == 0  # NTP
    assert boundary(1.0) == -1  # Maximal Update
    assert boundary(1.25) == -1.25
    for A in (0.5, 0.6, 1.0):
        assert exponents(slice_of(A, boundary(A)))["change of the output"] == pytest.approx(0)


def test_what_layers_add_is_the_change_of_the_output_where_the_last_one_learns_alone():
    """The change of the output is that of the last weights plus that of the features."""
    point = {"width": 512, "hidden": 3, "steps": 5, "seed": 0}
    alone = train(NAMED["last layer alone"], point)
    moved = (alone.output - alone.start).square().mean().sqrt().item()
    assert alone.own[-1] == pytest.approx(moved, rel=0.05)
    assert alone.own.shape == (4,)
    # The first layer's preactivations change by its own weights alone.
    for of in NAMED.values():
        trained = train(of, point)
        assert trained.own[0] == pytest.approx(trained.change[0])
    still = train(NAMED["NTP"], point | {"steps": 0})
    assert not still.own.any()

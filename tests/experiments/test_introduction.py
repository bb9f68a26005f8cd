"""Properties of the experiments of the introduction beyond the common contract."""

import math

import numpy as np
import pytest
from scipy.special import gamma

from symscape.experiments.introduction import _convolution as convolution
from symscape.experiments.introduction import _curse_of_dimensionality as curse
from symscape.experiments.introduction import _landscape as landscape
from symscape.experiments.introduction import _losses as losses
from symscape.experiments.introduction import _networks as networks
from symscape.experiments.introduction import _overparametrization as overparametrization
from symscape.lab import Row, Table, verdicts


def run(experiment, p):
    """The estimates by claim and the figures by id, measured in this process."""
    rows = [Row(q, experiment.measure(q), key=str(i)) for i, q in enumerate(experiment.points(p))]
    table = Table(rows)
    found = {v.claim.id: v.estimate for v in verdicts(experiment, table, p, "overnight")}
    return table, found, {figure.id: figure for figure in experiment.figures(table, p)}


def test_networks():
    p = networks.NetworkParameters(widths=(16, 64, 256), networks=40, seeds=4)
    table, found, figures = run(networks.Networks(), p)
    assert found["ch0.fig1.parameters"].value == 243
    assert found["ch0.table1.ratio"].value < 1e-12
    for claim, expected in (("ntp", 0.0), ("mfp", -0.5)):
        finding = found[f"ch0.table1.{claim}-output"]
        assert abs(finding.value - expected) < max(0.05, 3 * finding.error)
    assert found["ch0.sec1.second-moment"].value == pytest.approx(1.0, abs=0.02)
    # The output is of order one, not only independent of the width.
    assert table.where(role="width").column("ntp_rms").mean() == pytest.approx(1.0, abs=0.1)
    # Without the factor each layer halves the second moment.
    widest = table.where(h=256).rows[0]["before_without_factor"]
    np.testing.assert_allclose(widest, 0.5 ** np.arange(len(widest)), rtol=0.15)
    assert {series.kind for series in figures["output"].series} == {"measured", "thesis"}


def test_wide_and_narrow_networks_do_not_share_their_weights():
    experiment = networks.Networks()
    p = networks.NetworkParameters(widths=(32, 33), networks=2, seeds=1)
    one, two = experiment.points(p)[1:]
    outputs = [experiment.measure(point)["ntp_rms"] for point in (one, two)]
    assert abs(outputs[0] - outputs[1]) > 1e-3


def test_losses():
    experiment = losses.Losses()
    table, found, figures = run(experiment, experiment.parameters("smoke"))
    assert all(found[claim.id].value in claim.tolerance for claim in experiment.claims)
    for row in table:
        # The derivative is that of the value: central differences, exact for the quadratic part.
        yf, value, slope = row["yf"], row["value"], row["slope"]
        numeric = (value[2:] - value[:-2]) / (yf[2:] - yf[:-2])
        np.testing.assert_allclose(numeric, slope[1:-1], atol=0.07)
    measured, formula = figures["losses"].series[:2]
    np.testing.assert_allclose(measured.y, formula.y, atol=1e-15)


@pytest.mark.parametrize("per_unit", [2, 10, 64])
def test_the_margin_is_always_on_the_grid_of_the_losses(per_unit):
    p = losses.LossParameters(per_unit=per_unit)
    _, found, _ = run(losses.Losses(), p)
    assert found["ch0.fig4.hinge-range"].value == 0.5
    assert found["ch0.fig4.hinge-at-zero"].value == 0.125


@pytest.mark.parametrize("d", [1, 2, 3])
def test_nearest_distance_on_the_torus_is_the_exact_one(d):
    # P points leave a ball of volume V r^d empty with probability (1 - V r^d)^P, hence
    # <log r> = -(log V + H_P) / d with the harmonic number H_P.
    P = 400
    point = {"cloud": "torus", "d": d, "sizes": [P], "n_test": 4000, "seed": 0}
    harmonic = (1.0 / np.arange(1, P + 1)).sum()
    volume = math.pi ** (d / 2) / gamma(d / 2 + 1)
    expected = -(math.log(volume) + harmonic) / d
    measured = [
        math.log(curse.CurseOfDimensionality().measure(point | {"seed": seed})["distance"][0])
        for seed in range(8)
    ]
    error = np.std(measured, ddof=1) / math.sqrt(8)
    assert abs(np.mean(measured) - expected) < 4 * error


def test_curse_of_dimensionality():
    p = curse.CurseParameters(
        dimensions=(2, 4),
        sphere_dimensions=(3, 5),
        sizes=(512, 2048, 8192),
        far_dimensions=(3, 100),
        n_test=1000,
        seeds=4,
    )
    table, found, figures = run(curse.CurseOfDimensionality(), p)
    for claim in ("distance-exponent", "distance-exponent-sphere", "learning-exponent"):
        finding = found[f"ch0.sec4.{claim}"]
        assert finding.value == pytest.approx(1.0, abs=0.1)
        assert 0 < finding.error < 0.1
    far = table.where(cloud="far")
    ratio = {
        d: np.mean([row["relative_distance"] for row in rows]) for (d,), rows in far.groups("d")
    }
    assert ratio[3] < 0.1
    assert found["ch0.fig3c.far-neighbors"].value == pytest.approx(ratio[100])
    assert ratio[100] > 0.75
    quoted = [s for s in figures["exponents"].series if s.kind == "thesis"]
    assert quoted[0].text == ("language modeling", "image classification")


@pytest.mark.parametrize(("stride", "fields"), [(1, [3, 5, 7]), (2, [3, 7, 15])])
def test_receptive_fields_grow_by_two_neurons_or_by_a_factor_of_two(stride, fields):
    point = {"n": 64, "stride": stride, "seed": 1}
    found = convolution.Convolution().measure(point)["fields"]
    assert found[:3].tolist() == fields
    # the whole ring, or until the layers have become too small
    assert found[-1] == (64 if stride == 1 else 63)


def test_descents_end_in_minima_and_the_section_passes_through_them():
    experiment = landscape.Landscape()
    p = experiment.parameters("smoke", {"starts": 6})
    narrow, wide = (
        next(row for row in run(experiment, p)[0] if row["h"] == h and row["seed"] == 0)
        for h in p.widths
    )
    assert narrow["at_rest"].all()
    assert (np.diff(narrow["loss"]) >= 0).all()
    assert narrow["loss"][0] > 0 == wide["loss"].max()
    places = [int(np.abs(landscape.ALONG - t).argmin()) for t in (0, 1)]
    expected = [narrow["loss"][0], narrow["loss"][len(narrow["loss"]) // 2]]
    np.testing.assert_allclose(narrow["line"][places], expected)
    # a minimum: the loss rises on both sides of it along the line
    at = places[0]
    assert narrow["line"][at] < min(narrow["line"][at - 1], narrow["line"][at + 1])


def test_a_linear_classifier_fits_where_its_components_are_as_many_as_the_images():
    experiment = overparametrization.Overparametrization()
    p = experiment.parameters("smoke")
    table, found, _ = run(experiment, p)
    linear = table.where(model="linear")
    assert [row["fitted"] for row in linear if row["N"] == p.P] == [True] * p.seeds
    assert linear.where(N=p.P).column("test_error").mean() > 0.3
    assert found["ch0.fig3b.usual"].value > 1.2
    network = table.where(model="network", h=64)
    assert network.column("fitted").all()
    assert network.rows[0]["N"] == 64 * 11

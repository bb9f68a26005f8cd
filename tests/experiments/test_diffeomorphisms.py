"""The analyses of chapter 4 on made-up runs: every claim comes out where it holds, and only there.

Each experiment has a made-up world in which all its claims hold, and for each claim a change of
that world after which it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from symscape import diffeo, lab
from symscape.experiments import diffeomorphisms as chapter
from symscape.experiments.diffeomorphisms import _augmentation, _networks, _phase_diagram, _stripe
from symscape.experiments.diffeomorphisms import _network_claims as answers
from symscape.experiments.diffeomorphisms._measure import CUTOFFS, DELTAS, NOISE_NORMS
from symscape.lab import Finding, Row, Table, judge

Result = dict[str, Any]
Change = Callable[[dict[str, Any], Result], None]
"""Changes the results of a point in place."""

NETS = _networks.SMALL_NETS


@pytest.fixture(autouse=True)
def every_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """All data sets count as found, those too that are not known yet; no image is read."""

    def found(names: tuple[str, ...]) -> dict[str, str]:
        return {n: f"{n}@1" for n in (*names, "svhn", "tiny-imagenet")}

    monkeypatch.setattr(_networks, "available", found)
    monkeypatch.setattr(_augmentation, "available", lambda names: {n: f"{n}@1" for n in names})


def made(
    experiment: lab.Experiment,
    p: Any,
    world: Callable[[dict[str, Any]], Result],
    change: Change | None = None,
) -> Table:
    """The table of an experiment's points with made-up results."""
    rows = []
    for index, point in enumerate(experiment.points(p)):
        result = world(point)
        if change is not None:
            change(point, result)
        rows.append(Row(point, result, key=str(index)))
    return Table(rows)


def judged(
    experiment: lab.Experiment, p: Any, table: Table, profile: str = "paper"
) -> tuple[dict[str, Finding], dict[str, str]]:
    """Findings and verdicts by claim."""
    findings = {finding.claim: finding for finding in experiment.analyse(table, p)}
    assert list(findings) == [claim.id for claim in experiment.claims]
    status = {c.id: judge(c, findings[c.id], profile).status for c in experiment.claims}
    return findings, status


# --- trained networks -----------------------------------------------------------------------

LEVELS = dict(zip(NETS, (1.3, 1.1, 0.5, 0.3, 0.05, 0.02), strict=True))
"""R_f of the networks at the largest P."""


def across() -> tuple[np.ndarray, np.ndarray]:
    """ln R_f over networks, and as long a direction that is not correlated with it."""
    x = np.log([LEVELS[net] for net in NETS])
    x = x - x.mean()
    w = np.array([1.0, -2.0, 1.5, 0.5, -1.5, 0.5])
    w -= w.mean()
    w -= x * (w @ x) / (x @ x)
    return x, w * np.sqrt((x @ x) / (w @ w))


def ln_D(net: str, rhos: tuple[float, float] = (0.62, 0.85)) -> float:
    """ln D_f with the given correlations of the test error with it and with 1/G_f."""
    along_D, along_G = (rho / math.sqrt(1 - rho**2) for rho in rhos)
    b = 1 / (along_D + along_G)
    x, w = across()
    k = NETS.index(net)
    return float(along_D * b * x[k] + b * w[k])


def network(q: dict[str, Any]) -> Result:
    """A world as in the thesis: R_f falls with P, and the test error is 0.24 R_f^(1/2)."""
    level = LEVELS[q["net"]]
    start = level**0.3 if answers.is_convolutional(q["net"]) else level
    R = start * (level / start) ** (math.log(q["P"] / 512) / math.log(16))
    grid = np.full((2, len(CUTOFFS), len(DELTAS)), R)
    of_table_2 = (0.87, 0.28) if q["data"].startswith("svhn") else (0.62, 0.85)
    D = math.exp(ln_D(q["net"], of_table_2))
    return {
        "test_error": 0.24 * math.sqrt(R),
        "init_R": np.ones(3),
        "R": np.full(3, R),
        "D": np.full(3, D),
        "G": np.full(3, D / R),
        "R_gaussian": R,
        "init_R_layers": np.array([1.1, math.nan, 1 / 1.1]),
        "R_layers": np.array([1.0, 0.5, 0.25, R / 8]),
        "R_grid": grid,
        "init_R_grid": np.ones((1, len(CUTOFFS), len(DELTAS))),
        "G_noise": 1e-3 * np.array(NOISE_NORMS) ** 2,
    }


def setting(**changes: Any) -> Change:
    """Replace results by numbers, or by functions of the point and the results."""

    def change(q: dict[str, Any], result: Result) -> None:
        new = {k: v(q, result) if callable(v) else v for k, v in changes.items()}
        result.update(new)

    return change


def error_falls_with_R(q: dict[str, Any], result: Result) -> float:
    return float(0.01 / math.sqrt(result["R"][0]))


def D_tells_the_error(sign: int) -> Change:
    """D is the power ``sign`` of the error, with which R goes along weakly."""

    def change(q: dict[str, Any], result: Result) -> None:
        x, w = across()
        k = NETS.index(q["net"])
        D, R = math.exp(sign * x[k]), math.exp(w[k] + 0.2 * x[k])
        result.update(test_error=0.1 * math.exp(0.3 * x[k]))
        result.update({name: np.full(3, v) for name, v in (("D", D), ("R", R), ("G", D / R))})

    return change


def only_of(kind: Callable[[str], bool], **changes: Any) -> Change:
    change = setting(**changes)
    return lambda q, result: change(q, result) if kind(q["net"]) else None


def one_bad_deformation(q: dict[str, Any], result: Result) -> None:
    result["R_grid"][1, 0, DELTAS.index(2.0)] = 1 / result["R"][0]


def spread_at_small_sizes(q: dict[str, Any], result: Result) -> None:
    result["R"] = network({**q, "P": 512 * 8192 // q["P"]})["R"]


NETWORK_BREAKS: dict[str, tuple[Change, list[str]]] = {
    "probes": (
        setting(
            init_R=np.full(3, 10.0),
            R_gaussian=lambda q, r: 2 * r["R"][0],
            R_grid=lambda q, r: r["R_grid"] * np.array([1.0, 2.0])[:, None, None],
            R_layers=lambda q, r: r["R_layers"][::-1],
            init_R_layers=np.array([10.0, math.nan, 10.0]),
            G_noise=np.array(NOISE_NORMS),
        ),
        [
            "fig3.init",
            "fig3.interpolation",
            "fig4.fully-connected",
            "fig11.quadratic",
            "fig13.interpolation",
            "fig14.init",
            "fig14.depth",
        ],
    ),
    "training changes nothing": (setting(init_R=lambda q, r: r["R"]), ["fig3.trained"]),
    "data change nothing": (
        setting(R=lambda q, r: np.full(3, LEVELS[q["net"]])),
        ["fig3.more-data"],
    ),
    "stable LeNet": (
        only_of(lambda net: net == "lenet", R=np.full(3, 1e-3)),
        ["fig4.lenet"],
    ),
    "R falls with the error": (
        setting(test_error=error_falls_with_R),
        ["fig5.correlation", *(f"table2.{name}-relative" for name in answers.TABLE_2)],
    ),
    "error like R": (setting(test_error=lambda q, r: 0.24 * r["R"][0]), ["fig5.exponent"]),
    "small error": (
        setting(test_error=lambda q, r: 0.05 * r["R"][0] ** 0.5),
        ["fig5.prefactor"],
    ),
    "D alone tells the error": (
        D_tells_the_error(-1),
        ["fig5.better-than-deformations", "fig17.means"],
    ),
    "growth": (
        setting(
            G=lambda q, r: np.full(3, q["P"] ** -0.5),
            R=lambda q, r: np.full(3, LEVELS[q["net"]] * q["P"] ** 0.5),
        ),
        ["fig6.noise", "fig6.relative"],
    ),
    "D falls with the error": (
        setting(D=lambda q, r: 1 / r["R"]),
        ["fig15.deformations", *(f"table2.{name}-deformations" for name in answers.TABLE_2)],
    ),
    "G grows with the error": (
        setting(G=lambda q, r: r["R"]),
        ["fig16.noise", *(f"table2.{name}-noise" for name in answers.TABLE_2)],
    ),
    "spread at small P": (spread_at_small_sizes, ["fig18.separation"]),
    "one bad deformation": (one_bad_deformation, ["fig21.robust"]),
}


def of_panel(data: str, net: str, **changes: Any) -> Change:
    """Results of one network on one data set."""
    change = setting(**changes)
    here = (f"{data}@1", net)
    return lambda q, result: change(q, result) if (q["data"], q["net"]) == here else None


def alternating(**changes: Callable[[Result, float], Any]) -> Change:
    """Results that deviate by a factor up and down in turn: their log-average does not."""

    def change(q: dict[str, Any], result: Result) -> None:
        factor = 4.0 if NETS.index(q["net"]) % 2 else 0.25
        result.update({name: new(result, factor) for name, new in changes.items()})

    return change


def growing(power: float) -> Callable[[dict[str, Any], Result], Any]:
    return lambda q, r: np.full(3, q["P"] ** power)


OPPOSITE: dict[str, tuple[Change, list[str]]] = {
    "networks deviate up and down": (
        alternating(
            init_R=lambda r, f: np.full(3, f),
            R_gaussian=lambda r, f: f * r["R"][0],
            R_grid=lambda r, f: r["R_grid"] * np.array([1.0, f])[:, None, None],
            G_noise=lambda r, f: np.array(NOISE_NORMS) ** (2.0 + 0.1 * math.log(f)),
        ),
        ["fig3.init", "fig3.interpolation", "fig11.quadratic", "fig13.interpolation"],
    ),
    "layers deviate up and down": (
        setting(init_R_layers=np.array([4.0, 1.0, 0.25])),
        ["fig14.init"],
    ),
    "one network is not trained to be stable": (
        of_panel("cifar10", "vgg11-bn", init_R=lambda q, r: r["R"] / 1.2),
        ["fig3.trained"],
    ),
    "one network does not mind more data": (
        of_panel("cifar10", "vgg11-bn", R=growing(0.2)),
        ["fig3.more-data", "fig6.relative"],
    ),
    "one panel of G falls": (of_panel("mnist", "vgg11-bn", G=growing(-0.3)), ["fig6.noise"]),
    "one fully connected network becomes stable": (
        of_panel("mnist", "fc-l2", init_R=lambda q, r: 2 * r["R"]),
        ["fig4.fully-connected"],
    ),
    "LeNet is stable on one data set": (
        of_panel("mnist", "lenet", R=np.full(3, 1e-3)),
        ["fig4.lenet"],
    ),
    "one network does not change with depth": (
        of_panel("mnist", "resnet10", R_layers=np.array([0.1, 0.3, 0.2, 0.1])),
        ["fig14.depth"],
    ),
}
"""Worlds in which a claim holds on average, but not where it says that it does."""


def networks(**options: Any) -> tuple[lab.Experiment, Any]:
    """The experiment, with made-up runs on all data sets of Table 2 and CIFAR-10."""
    experiment = chapter.Networks()
    names = ["mnist", "fashion-mnist", "cifar10"]
    return experiment, experiment.parameters("overnight", {"datasets": names, **options})


def test_claims_about_networks_hold_in_the_thesiss_world() -> None:
    experiment, p = networks()
    found, status = judged(experiment, p, made(experiment, p, network))
    assert set(status.values()) == {"reproduced"}
    expected = {
        "ch4.fig3.init": 1.0,
        "ch4.fig3.trained": 0.05,
        "ch4.fig3.more-data": 0.05**0.7,
        "ch4.fig4.fully-connected": 1.1,
        "ch4.fig4.lenet": 25.0,
        "ch4.fig5.correlation": 1.0,
        "ch4.fig5.exponent": 0.5,
        "ch4.fig5.prefactor": 0.24,
        "ch4.fig5.better-than-deformations": 0.38,
        "ch4.fig6.relative": 0.7 * math.log(0.05) / math.log(16),
        "ch4.fig6.noise": -0.7 * math.log(0.05) / math.log(16),
        "ch4.fig11.quadratic": 2.0,
        "ch4.fig14.init": 1.1,
        "ch4.fig14.depth": -1.0,
        "ch4.fig15.deformations": 0.62,
        "ch4.fig16.noise": 0.85,
        "ch4.fig17.means": 0.15,
        "ch4.fig18.separation": 1 / 0.3,
        "ch4.table2.mnist-noise": -0.85,
    }
    for claim, value in expected.items():
        assert found[claim].measured == pytest.approx(value, abs=1e-9), claim


@pytest.mark.parametrize("name", NETWORK_BREAKS)
def test_claims_about_networks_fail_where_they_do_not_hold(name: str) -> None:
    change, claims = NETWORK_BREAKS[name]
    experiment, p = networks()
    _, status = judged(experiment, p, made(experiment, p, network, change))
    assert [status[f"ch4.{claim}"] for claim in claims] == ["not reproduced"] * len(claims)


@pytest.mark.parametrize("name", OPPOSITE)
def test_deviations_of_opposite_signs_do_not_cancel(name: str) -> None:
    change, claims = OPPOSITE[name]
    experiment, p = networks()
    found, status = judged(experiment, p, made(experiment, p, network, change))
    assert [status[f"ch4.{claim}"] for claim in claims] == ["not reproduced"] * len(claims)
    assert all(found[f"ch4.{claim}"].note for claim in claims)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_correlation_of_either_sign_tells_the_error(sign: int) -> None:
    experiment, p = networks()
    table = made(experiment, p, network, D_tells_the_error(sign))
    found, _ = judged(experiment, p, table)
    rho = 0.2 / math.sqrt(1 + 0.2**2)
    for claim in ("ch4.fig5.better-than-deformations", "ch4.fig17.means"):
        assert found[claim].measured == pytest.approx(rho - 1)


def test_the_interpolation_is_judged_where_the_thesis_shows_it() -> None:
    experiment, p = networks()
    digits = of_panel(
        "mnist", "resnet10", R_grid=lambda q, r: r["R_grid"] * np.array([[[1]], [[3]]])
    )
    _, status = judged(experiment, p, made(experiment, p, network, digits))
    assert status["ch4.fig3.interpolation"] == "reproduced"


def test_every_claim_about_networks_has_its_counterexample() -> None:
    broken = [f"ch4.{claim}" for _, claims in NETWORK_BREAKS.values() for claim in claims]
    assert sorted(broken) == sorted(claim.id for claim in answers.CLAIMS)


def test_data_that_are_missing_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_networks, "available", lambda names: {"mnist": "mnist-sample@1"})
    experiment, p = networks()
    found, status = judged(experiment, p, made(experiment, p, network))
    missing = {c for c, word in status.items() if word == "inconclusive"}
    color = tuple(f"ch4.fig{k}" for k in (5, 15, 16, 17, 18, 21))
    color += ("ch4.fig3.more-data", "ch4.fig3.interpolation")
    table = ("ch4.table2.fashion", "ch4.table2.svhn", "ch4.table2.tiny")
    assert missing == {c for c in status if c.startswith((*color, *table))}
    unknown = {c for c in missing if c.startswith(table[1:])}
    assert {found[c].note for c in unknown} == set(answers.NOT_KNOWN.values())
    assert {found[c].note for c in missing - unknown} == {
        "Not on this machine: fashion-mnist, cifar10."
    }
    assert set(status.values()) == {"reproduced", "inconclusive"}


def test_runs_of_the_usual_test_set_do_not_name_it() -> None:
    for kind in (chapter.Networks, chapter.Augmentation):
        experiment = kind()
        for profile, images in (("overnight", None), ("paper", 9000)):
            points = list(experiment.points(experiment.parameters(profile)))
            assert {point.get("test_images") for point in points} == {images}


def test_figures_draw_all_that_is_measured() -> None:
    experiment, p = networks(datasets=["mnist", "cifar10"])

    def doubled(q: dict[str, Any], result: Result) -> None:
        result.update({f"{name}_grid": result["R_grid"] * k for name, k in (("D", 2), ("G", 3))})
        result.update(R_gaussian=2 * result["R"][0], init_R_layers=np.ones(4))

    figures = {f.id: f for f in experiment.figures(made(experiment, p, network, doubled), p)}
    for data in ("mnist", "cifar10"):
        for name in ("", "-d", "-g"):
            assert len(figures[f"robustness{name}-{data}"].series) == 2 * len(CUTOFFS)
        both = {s.name: s.y for s in figures[f"interpolations-against-p-{data}"].series}
        assert set(both) == {
            f"{net}, {way}" for net in ("vgg11-bn", "resnet10") for way in ("bilinear", "Gaussian")
        }
        np.testing.assert_allclose(both["resnet10, Gaussian"], 2 * both["resnet10, bilinear"])


def test_few_networks_and_a_single_size_leave_claims_open() -> None:
    experiment, p = networks(nets=["lenet", "resnet10"], sizes=[512])
    _, status = judged(experiment, p, made(experiment, p, network))
    assert status["ch4.fig5.correlation"] == "inconclusive"
    assert status["ch4.fig3.more-data"] == "inconclusive"
    assert status["ch4.fig6.noise"] == "inconclusive"
    assert status["ch4.fig4.fully-connected"] == "inconclusive"
    assert status["ch4.fig3.init"] == "reproduced"


def test_claims_of_the_paper_stay_open_in_a_smaller_profile() -> None:
    experiment, p = networks()
    table = made(experiment, p, network, NETWORK_BREAKS["error like R"][0])
    assert judged(experiment, p, table, "overnight")[1]["ch4.fig5.exponent"] == "inconclusive"


def test_no_error_at_all_counts_as_half_an_image() -> None:
    experiment, p = networks()

    def law(error: float) -> float:
        best = only_of(lambda net: net == "resnet10", test_error=error)
        table = made(experiment, p, network, best)
        return judged(experiment, p, table)[0]["ch4.fig5.prefactor"].measured or math.nan

    assert law(0.0) == pytest.approx(law(5e-4), rel=1e-12)


def test_a_run_that_is_missing_is_left_out_of_the_curves() -> None:
    experiment, p = networks()
    table = made(experiment, p, network)
    some = Table(row for row in table if (row["P"], row["seed"]) != (2048, 1))
    found, status = judged(experiment, p, some)
    assert set(status.values()) == {"reproduced"}
    whole = {f.claim: f for f in experiment.analyse(table, p)}
    for claim in ("ch4.fig3.more-data", "ch4.fig6.relative", "ch4.fig18.separation"):
        assert found[claim].measured == pytest.approx(whole[claim].measured)


@pytest.mark.parametrize(
    ("delta", "c", "answer"),
    [(0.25, 3, False), (0.5, 3, True), (2.0, 5, True), (4.0, 3, False), (1.0, 15, False)],
)
def test_acceptable_deformations_of_32_pixels(delta: float, c: int, answer: bool) -> None:
    assert answers.acceptable(delta, c, 32) is answer
    low, high = diffeo.acceptable_range(c, 32)
    assert answer is bool(low * (1 - 1e-12) <= diffeo.temperature(delta, c, 32) <= high)


# --- the plane of temperature and cut-off ---------------------------------------------------


def plane(q: dict[str, Any]) -> Result:
    """The closed forms themselves, and fields that fold over above 1.5 T_max."""
    n, c = q["n"], q["c"]
    i = np.arange(1, c + 1)
    mode = (i[:, None] ** 2 + i**2)[diffeo.mode_mask(c).numpy()].astype(float)
    return {
        "fold": np.full(q["draws"], diffeo.typical_fold(1.0, c)),
        "folded": (np.array(q["heats"]) > 1.5).astype(float),
        "square": diffeo.rms_displacement(1.0, c, n) ** 2,
        "norm": math.pi**2 / 2 * len(mode),
        "share": np.ones(len(mode)),
        "mode": mode,
        "norm_mismatch": 1e-16,
        "participation": 4.002,
    }


def times(name: str, factor: float) -> Change:
    return setting(**{name: lambda q, r: factor * r[name]})


def folding(at: float, share: float) -> Change:
    def change(q: dict[str, Any], result: Result) -> None:
        result["folded"][q["heats"].index(at)] = share

    return change


PLANE_BREAKS: dict[str, Change] = {
    "ch4.eq3.displacement": times("square", 1.8),
    "ch4.eq3.exact-sum": times("square", 1.1),
    "ch4.eq7.norm": times("norm", 0.9),
    "ch4.appA.equipartition": setting(share=lambda q, r: r["mode"] ** 0.1),
    "ch4.eq8.visible": times("square", 3.0),
    "ch4.eq13.fold": lambda q, r: times("fold", 2.0)(q, r) if q["c"] == 5 else None,
    "ch4.eq14.bijective": folding(1.0, 0.8),
    "ch4.fig9.folding-above": folding(30.0, 0.9),
    "ch4.fig9.no-folding-below": folding(0.03, 0.1),
    "ch4.fig2.norms": lambda q, r: setting(norm_mismatch=1e-9)(q, r) if q["c"] == 2 else None,
    "ch4.fig10.participation": times("participation", 1.05),
}


def test_claims_about_the_plane_hold_for_the_closed_forms() -> None:
    experiment = chapter.PhaseDiagram()
    p = experiment.parameters("quick")
    found, status = judged(experiment, p, made(experiment, p, plane), "quick")
    assert set(status.values()) == {"reproduced"}
    assert found["ch4.eq3.displacement"].measured == pytest.approx(0.908**2, abs=1e-3)
    for claim in ("ch4.eq3.exact-sum", "ch4.eq7.norm", "ch4.eq13.fold", "ch4.eq14.bijective"):
        assert found[claim].measured == pytest.approx(1.0)
    assert found["ch4.appA.equipartition"].measured == pytest.approx(0.0, abs=1e-12)
    assert found["ch4.eq13.fold"].uncertainty == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("claim", PLANE_BREAKS)
def test_claims_about_the_plane_fail_where_they_do_not_hold(claim: str) -> None:
    experiment = chapter.PhaseDiagram()
    p = experiment.parameters("quick")
    table = made(experiment, p, plane, PLANE_BREAKS[claim])
    assert judged(experiment, p, table, "quick")[1][claim] == "not reproduced"


def test_every_claim_about_the_plane_has_its_counterexample() -> None:
    assert set(PLANE_BREAKS) == {claim.id for claim in _phase_diagram.CLAIMS}


def test_the_worst_cutoff_is_named() -> None:
    experiment = chapter.PhaseDiagram()
    p = experiment.parameters("quick")
    table = made(experiment, p, plane, PLANE_BREAKS["ch4.eq13.fold"])
    finding = judged(experiment, p, table)[0]["ch4.eq13.fold"]
    assert finding.measured == pytest.approx(2.0)
    assert "c = 5" in finding.note


def test_the_boundary_of_folding_is_where_half_of_the_fields_fold() -> None:
    experiment = chapter.PhaseDiagram()
    p = experiment.parameters("quick")
    [region] = [f for f in experiment.figures(made(experiment, p, plane), p) if f.id == "region"]
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
    figures = {f.id: f for f in experiment.figures(Table([]), experiment.parameters("quick"))}
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
        np.testing.assert_allclose(x[:, 0], 0.0, atol=1e-12)
        np.testing.assert_allclose(x[:, -1], 60.0, atol=1e-12)
    sphere = next(s for s in figures["sphere"].series if s.kind == "measured")
    np.testing.assert_allclose(sphere.x, sphere.y, rtol=1e-12)
    samples = {s.name: len(s.y) for s in figures["samples"].series}
    assert list(samples) == ["too small to be seen", "acceptable", "folded over"]
    assert min(samples.values()) > 100


# --- the stripe model -----------------------------------------------------------------------


def stripe(q: dict[str, Any]) -> Result:
    Lambda = (1 + 0.1 * q["seed"]) * q["P"] ** 0.5
    return {"R": Lambda**-2, "amplification": Lambda, "stopped": "fitted"}


STRIPE_BREAKS: dict[str, Change] = {
    "ch4.fig7.slope": setting(R=lambda q, r: q["P"] ** -0.5),
    "ch4.sec6.amplification": setting(amplification=lambda q, r: q["P"] ** 0.2),
    "ch4.sec6.stability-from-alignment": setting(R=lambda q, r: q["P"] ** -0.6),
}


def test_claims_about_stripes_hold_for_power_laws_and_fail_for_others() -> None:
    experiment = chapter.Stripe()
    p = experiment.parameters("overnight")
    found, status = judged(experiment, p, made(experiment, p, stripe))
    assert set(status.values()) == {"reproduced"}
    measured = [finding.measured for finding in found.values()]
    assert measured == pytest.approx([-1.0, 0.5, -2.0])
    assert set(STRIPE_BREAKS) == {claim.id for claim in _stripe.CLAIMS}
    for claim, change in STRIPE_BREAKS.items():
        table = made(experiment, p, stripe, change)
        assert judged(experiment, p, table)[1][claim] == "not reproduced"


def test_runs_that_did_not_fit_are_left_out_and_counted() -> None:
    experiment = chapter.Stripe()
    p = experiment.parameters("overnight")

    def cut_short(q: dict[str, Any], result: Result) -> None:
        if q["P"] == max(p.sizes):
            result.update(R=1.0, stopped="steps")

    found, status = judged(experiment, p, made(experiment, p, stripe, cut_short))
    assert found["ch4.fig7.slope"].measured == pytest.approx(-1.0)
    assert f"{p.seeds} runs met the limit" in found["ch4.fig7.slope"].note
    assert set(status.values()) == {"reproduced"}

    table = made(experiment, p, stripe, setting(stopped="steps"))
    assert set(judged(experiment, p, table)[1].values()) == {"inconclusive"}


def test_a_seed_without_all_sizes_does_not_bend_the_exponent() -> None:
    experiment = chapter.Stripe()
    p = experiment.parameters("overnight")
    table = made(experiment, p, stripe)
    some = Table(row for row in table if row["seed"] or row["P"] != max(p.sizes))
    found, _ = judged(experiment, p, some)
    measured = [finding.measured for finding in found.values()]
    assert measured == pytest.approx([-1.0, 0.5, -2.0])


# --- augmentation ---------------------------------------------------------------------------


def augmented(q: dict[str, Any]) -> Result:
    R = {"none": 0.2, "translation": 0.15, "diffeo": 0.1}[q["arm"]]
    return {"R": R * np.ones(len(CUTOFFS)), "init_R": np.ones(len(CUTOFFS))}


def of_arm(arm: str, R: float) -> Change:
    return lambda q, result: result.update(R=np.full(3, R)) if q["arm"] == arm else None


AUGMENTATION_BREAKS: dict[str, Change] = {
    "ch4.fig12.diffeo": of_arm("diffeo", 0.4),
    "ch4.fig12.translation": of_arm("translation", 0.01),
    "ch4.fig12.below-init": of_arm("translation", 0.9),
}


def test_claims_about_augmentation_hold_and_fail() -> None:
    experiment = chapter.Augmentation()
    p = experiment.parameters("overnight")
    found, status = judged(experiment, p, made(experiment, p, augmented))
    assert set(status.values()) == {"reproduced"}
    assert [f.measured for f in found.values()] == pytest.approx([0.5, 0.75, 0.2])
    assert set(AUGMENTATION_BREAKS) == {claim.id for claim in _augmentation.CLAIMS}
    for claim, change in AUGMENTATION_BREAKS.items():
        table = made(experiment, p, augmented, change)
        assert judged(experiment, p, table)[1][claim] == "not reproduced"


def test_seeds_without_all_augmentations_are_not_compared() -> None:
    experiment = chapter.Augmentation()
    p = experiment.parameters("overnight")
    table = made(experiment, p, augmented)
    some = Table(row for row in table if (row["arm"], row["seed"]) != ("diffeo", 0))
    found, _ = judged(experiment, p, some)
    assert found["ch4.fig12.diffeo"].measured == pytest.approx(0.5)
    assert found["ch4.fig12.diffeo"].uncertainty is None
    none = Table(row for row in table if row["arm"] != "diffeo")
    assert set(judged(experiment, p, none)[1].values()) == {"inconclusive"}


# --- all ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [chapter.Networks, chapter.PhaseDiagram, chapter.Stripe, chapter.Augmentation]
)
def test_without_a_run_every_claim_is_open(kind: type[lab.Experiment]) -> None:
    experiment = kind()
    p = experiment.parameters("overnight")
    found, status = judged(experiment, p, Table([]))
    assert set(status.values()) == {"inconclusive"}
    assert all(finding.measured is None and finding.note for finding in found.values())
    assert all(figure.title for figure in experiment.figures(Table([]), p))

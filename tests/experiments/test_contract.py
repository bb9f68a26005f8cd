"""What every registered experiment must keep, checked on all of them in profile smoke."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import numpy as np
import pytest

from symscape import lab
from symscape.datasets import DataNotFoundError
from symscape.lab import Experiment, InProcess, Store, Table, run_experiment

lab.discover(["symscape.experiments"])
NAMES = list(lab.registry())


@pytest.fixture(scope="module", params=NAMES)
def experiment(request: pytest.FixtureRequest) -> Experiment:
    return lab.find(request.param)


@pytest.fixture(scope="module")
def finished(
    experiment: Experiment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, Table]]:
    """The experiment's smoke sweep in a store of its own."""
    folder = tmp_path_factory.mktemp("store")
    with Store(f"sqlite:///{folder}/store.sqlite") as store:
        summary = run_experiment(experiment, "smoke", store, InProcess())
        assert summary.failed == 0, store.failures(experiment, _points(experiment))
        yield store, store.table(experiment, _points(experiment))


def _points(experiment: Experiment, profile: str = "smoke") -> list[dict]:
    try:
        return list(experiment.points(experiment.profiles[profile]))
    except DataNotFoundError as missing:
        if profile == "smoke":
            raise
        pytest.skip(str(missing))


def _same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, np.asarray(b), equal_nan=a.dtype.kind == "f"))
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return bool(a == b)


def test_declares_all_profiles_and_larger_ones_are_larger(experiment: Experiment) -> None:
    assert tuple(experiment.profiles) == lab.PROFILES
    costs = [
        sum(experiment.cost(point) for point in _points(experiment, profile))
        for profile in ("smoke", "quick", "overnight")
    ]
    assert costs == sorted(costs)


def test_points_are_json_with_seeds_and_distinct(experiment: Experiment) -> None:
    # Profile paper may ask for more data than are here.
    for profile in ("smoke", "quick", "overnight"):
        points = _points(experiment, profile)
        assert points
        assert all(json.loads(json.dumps(point)) == point for point in points)
        assert all(isinstance(point["seed"], int) for point in points)
        assert len(
            {lab.key_of(experiment.name, experiment.version, point) for point in points}
        ) == len(points)


def test_a_second_run_computes_nothing(
    experiment: Experiment, finished: tuple[Store, Table]
) -> None:
    store, table = finished
    again = run_experiment(experiment, "smoke", store, InProcess())
    assert (again.done, again.already) == (0, len(table))
    assert len(table) == len(_points(experiment))


def test_a_point_measured_alone_gives_the_same_numbers(
    experiment: Experiment, finished: tuple[Store, Table]
) -> None:
    _, table = finished
    row = min(table, key=lambda row: row.seconds)
    again = experiment.measure(dict(row.point))
    assert set(again) == set(row.result)
    assert [name for name in again if not _same(row.result[name], again[name])] == []


def test_every_claim_has_a_verdict(experiment: Experiment, finished: tuple[Store, Table]) -> None:
    _, table = finished
    for verdict in lab.verdicts(experiment, table, experiment.profiles["smoke"], "smoke"):
        assert verdict.reason
        assert verdict.claim.source
        assert verdict.claim.tolerance.reason
        assert verdict.claim.kind == "measured" or verdict.estimate, "an identity holds in any run"


def test_answers_and_figures_of_a_few_points_do_not_stop(
    experiment: Experiment, finished: tuple[Store, Table]
) -> None:
    _, table = finished
    p = experiment.profiles["smoke"]
    for few in (Table([]), Table(table.rows[:1], len(table)), Table(table.rows[-1:], len(table))):
        lab.verdicts(experiment, few, p, "smoke")
        experiment.figures(few, p)


def test_figures_have_labels_data_and_captions(
    experiment: Experiment, finished: tuple[Store, Table]
) -> None:
    _, table = finished
    figures = experiment.figures(table, experiment.profiles["smoke"])
    assert figures
    assert len({figure.id for figure in figures}) == len(figures)
    claims = {claim.id for claim in experiment.claims}
    assert {claim for figure in figures for claim in figure.claims} <= claims
    for figure in figures:
        assert figure.x.label
        assert figure.y.label
        assert figure.caption
        assert figure.csv().startswith("series,kind,x,y")


def test_claims_name_their_chapter_and_are_unique() -> None:
    claims = [(claim.id, name) for name in NAMES for claim in lab.find(name).claims]
    assert len({claim for claim, _ in claims}) == len(claims)
    assert all(claim.startswith(f"ch{lab.find(name).chapter}.") for claim, name in claims)

"""A store with results of the sample experiment, shared by the tests of the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from demo_experiment import Demo
from report_experiment import Jump

from symscape.lab import Experiment, InProcess, Store, _experiment, run_experiment

NAMES = ("sample-jump", "demo-line")
CHAPTERS = {"98": "Jamming", "99": "A line"}


@contextmanager
def registered(*experiments: type[Experiment]) -> Iterator[None]:
    """Register experiments for a while: contract tests must not meet them."""
    with pytest.MonkeyPatch.context() as patch:
        for experiment in experiments:
            patch.setitem(_experiment._REGISTRY, experiment.name, experiment)
        yield


@contextmanager
def filled(folder: Path) -> Iterator[Store]:
    """A store in which the sample has run, and the demo has not."""
    with registered(Jump, Demo), Store(f"sqlite:///{folder / 'store.sqlite'}") as store:
        with InProcess() as executor:
            run_experiment(Jump(), "quick", store, executor)
        yield store

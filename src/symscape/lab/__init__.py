"""The laboratory: experiments, claims, the store of results, executors and the report.

It knows no physics. An experiment expands parameters into points; an executor measures them; the
store keeps every finished point; the analysis turns them into verdicts, figures and a report.

Names are imported on first use, so that defining an experiment costs neither SQLAlchemy nor Dask.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_WHERE = {
    "PROFILES": "_claims",
    "Claim": "_claims",
    "Tolerance": "_claims",
    "Verdict": "_claims",
    "judge": "_claims",
    "verdict": "_claims",
    "verdicts": "_claims",
    "Estimate": "_claims",
    "NoEstimate": "_claims",
    "InputError": "_errors",
    "StoreError": "_errors",
    "ExecutorError": "_errors",
    "Experiment": "_experiment",
    "Parameters": "_experiment",
    "discover": "_experiment",
    "find": "_experiment",
    "increasing": "_experiment",
    "register": "_experiment",
    "registry": "_experiment",
    "Axis": "_figures",
    "Figure": "_figures",
    "Point": "_table",
    "Result": "_table",
    "Row": "_table",
    "Table": "_table",
    "grid": "_table",
    "once": "_table",
    "Failure": "_store",
    "Run": "_store",
    "Store": "_store",
    "Progress": "_progress",
    "key_of": "_keys",
    "Executor": "_executors",
    "InProcess": "_executors",
    "LocalProcesses": "_executors",
    "DaskCluster": "_dask",
    "Job": "_runner",
    "RunSummary": "_runner",
    "expand": "_runner",
    "run_experiment": "_runner",
    "run_sweep": "_runner",
    "build_report": "_report",
    "export_results": "_report",
}

__all__ = [
    "PROFILES",
    "Axis",
    "Claim",
    "DaskCluster",
    "Estimate",
    "Executor",
    "ExecutorError",
    "Experiment",
    "Failure",
    "Figure",
    "InProcess",
    "InputError",
    "Job",
    "LocalProcesses",
    "NoEstimate",
    "Parameters",
    "Point",
    "Progress",
    "Result",
    "Row",
    "Run",
    "RunSummary",
    "Store",
    "StoreError",
    "Table",
    "Tolerance",
    "Verdict",
    "build_report",
    "discover",
    "expand",
    "export_results",
    "find",
    "grid",
    "increasing",
    "judge",
    "key_of",
    "once",
    "register",
    "registry",
    "run_experiment",
    "run_sweep",
    "verdict",
    "verdicts",
]

if TYPE_CHECKING:
    from symscape.lab._claims import (
        PROFILES,
        Claim,
        Estimate,
        NoEstimate,
        Tolerance,
        Verdict,
        judge,
        verdict,
        verdicts,
    )
    from symscape.lab._dask import DaskCluster
    from symscape.lab._errors import ExecutorError, InputError, StoreError
    from symscape.lab._executors import Executor, InProcess, LocalProcesses
    from symscape.lab._experiment import (
        Experiment,
        Parameters,
        discover,
        find,
        increasing,
        register,
        registry,
    )
    from symscape.lab._figures import Axis, Figure
    from symscape.lab._keys import key_of
    from symscape.lab._progress import Progress
    from symscape.lab._report import build_report, export_results
    from symscape.lab._runner import Job, RunSummary, expand, run_experiment, run_sweep
    from symscape.lab._store import Failure, Run, Store
    from symscape.lab._table import Point, Result, Row, Table, grid, once


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'symscape.lab' has no attribute {name!r}")
    value = getattr(import_module(f"symscape.lab.{_WHERE[name]}"), name)
    globals()[name] = value
    return value

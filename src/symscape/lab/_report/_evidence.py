"""What the store holds about each experiment: everything that a page shows, gathered once."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from symscape.lab._claims import PROFILES, Claim, Verdict, judge, verdict
from symscape.lab._errors import InputError, StoreError, did_you_mean
from symscape.lab._experiment import Experiment, discover
from symscape.lab._figures import Figure
from symscape.lab._table import Table

if TYPE_CHECKING:
    from symscape.lab._store import Failure, Store

T = TypeVar("T")

# A point names its data as name@digest, so that its key changes with the data.
_PINNED = re.compile(r"([A-Za-z][\w.-]*)@([0-9a-f]{8,64})")


@dataclass(frozen=True)
class DataUse:
    """A data set that points name, with the beginning of its SHA-256."""

    name: str
    sha256: str
    points: int


@dataclass(frozen=True)
class Problem:
    """Something of an experiment that raised while the report was made, with its traceback."""

    what: str
    error: str


@dataclass
class Evidence:
    """One experiment in one profile, as the store knows it.

    ``profile`` is None when nothing of the experiment has been run.
    """

    experiment: Experiment
    profile: str | None
    parameters: BaseModel | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    table: Table = field(default_factory=lambda: Table([]))
    failures: list[Failure] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    provenance: list[dict[str, Any]] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """Number of points of the sweep."""
        return self.table.expected

    @property
    def has_results(self) -> bool:
        """Whether any point was tried."""
        return bool(self.table) or bool(self.failures)

    @property
    def complete(self) -> bool:
        """Whether every point was tried."""
        return self.has_results and len(self.table) + len(self.failures) >= self.expected

    @property
    def seconds(self) -> float:
        """Compute time of all points, finished and failed."""
        return sum(r.seconds for r in self.table) + sum(f.seconds for f in self.failures)

    @property
    def seeds(self) -> list[int]:
        """The seeds of the finished points, sorted."""
        return sorted({int(row.point["seed"]) for row in self.table if "seed" in row.point})

    @property
    def data(self) -> list[DataUse]:
        """The data sets that the finished points name."""
        counts: dict[tuple[str, str], int] = {}
        for row in self.table:
            texts = {v for v in row.point.values() if isinstance(v, str)}
            for match in filter(None, map(_PINNED.fullmatch, sorted(texts))):
                pair = (match[1], match[2])
                counts[pair] = counts.get(pair, 0) + 1
        return [DataUse(name, digest, n) for (name, digest), n in sorted(counts.items())]


def chosen(experiments: Iterable[str] | None) -> list[Experiment]:
    """Return the named experiments, or all registered ones, by chapter and name.

    Raises:
        InputError: a name is unknown.
    """
    known = discover()
    names = list(known) if experiments is None else list(dict.fromkeys(experiments))
    for name in names:
        if name not in known:
            raise InputError(f"There is no experiment '{name}'.{did_you_mean(name, known)}")
    return [known[name]() for name in known if name in names]


def gather(
    store: Store, experiment: Experiment, profile: str | None, *, overridden: bool = True
) -> Evidence:
    """Gather what the store holds of one experiment.

    Args:
        store: the store.
        experiment: the experiment.
        profile: its profile; None takes the largest one all of whose points were tried, else the
            largest one with results.
        overridden: use the parameters that the newest run of the profile replaced.

    Raises:
        InputError: there is no such profile.
        StoreError: the store cannot be read.
    """
    if profile is not None and profile not in PROFILES:
        raise InputError(
            f"There is no profile '{profile}'; there are {', '.join(PROFILES)}."
            f"{did_you_mean(profile, PROFILES)}"
        )
    tried: list[Evidence] = []
    for name in [profile] if profile else reversed(PROFILES):
        if name not in experiment.profiles:
            continue
        evidence = _look(store, experiment, name, overridden)
        if evidence.has_results or evidence.problems:
            tried.append(evidence)
    best = next((e for e in tried if e.complete), None)
    best = best or next((e for e in tried if e.has_results), tried[0] if tried else None)
    if best is None:
        best = Evidence(experiment, None)
    _conclude(best, store, profile)
    return best


def _look(store: Store, experiment: Experiment, profile: str, overridden: bool) -> Evidence:
    """Fetch the points of one profile, without analysing them."""
    evidence = Evidence(experiment, profile)
    runs = [
        run
        for run in store.runs(experiment.name, profile)
        if run.version == experiment.version and (overridden or not run.overrides)
    ]
    run = runs[0] if runs else None
    overrides = dict(run.overrides) if run else {}
    try:
        evidence.parameters = experiment.parameters(profile, overrides)
        evidence.overrides = overrides
        # What the run measured, and not what its parameters would mean here and now: the data
        # that are found may be others.
        same = run is not None and run.parameters == evidence.parameters.model_dump(mode="json")
        points = run.points if run and same else list(experiment.points(evidence.parameters))
    except StoreError:
        raise
    except Exception:
        evidence.problems.append(Problem("its points", _traceback()))
        return evidence
    evidence.table = store.table(experiment, points)
    evidence.failures = store.failures(experiment, points)
    return evidence


def _conclude(evidence: Evidence, store: Store, asked: str | None) -> None:
    """Answer, judge and draw."""
    experiment, table, p = evidence.experiment, evidence.table, evidence.parameters
    if evidence.has_results:
        keys = table.keys + [failure.key for failure in evidence.failures]
        evidence.provenance = store.provenance(keys)
    for claim in experiment.claims:
        evidence.verdicts.append(_verdict(evidence, claim, asked))
    if table:
        none: list[Figure] = []
        figures = _attempt(evidence, "its figures", lambda: experiment.figures(table, p), none)
        evidence.figures = _distinct(evidence, figures)


def _verdict(evidence: Evidence, claim: Claim, asked: str | None) -> Verdict:
    """The verdict on a claim; without an answer, with the reason why there is none."""
    profile = evidence.profile or asked or claim.profile
    if not evidence.table:
        note = "Not run."
        if evidence.problems:
            note = f"It stopped in {evidence.problems[0].what}; its page shows the error."
        elif evidence.has_results:
            note = "Every point that was tried has failed."
        return judge(claim, note, profile)
    stopped = judge(claim, "Its answer stopped with an error, which its page shows.", profile)
    table, p = evidence.table, evidence.parameters
    return _attempt(
        evidence, f"the answer to {claim.id}", lambda: verdict(claim, table, p, profile), stopped
    )


def _distinct(evidence: Evidence, figures: Sequence[Figure]) -> list[Figure]:
    ids = [figure.id for figure in figures]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        evidence.problems.append(Problem("its figures", f"Two figures have the id {twice[0]!r}."))
    return list({figure.id: figure for figure in figures}.values())


def _attempt(evidence: Evidence, what: str, call: Callable[[], T], otherwise: T) -> T:
    """One broken experiment must not cost the report of the others: its page shows the error."""
    try:
        return call()
    except Exception:
        evidence.problems.append(Problem(what, _traceback()))
        return otherwise


def _traceback() -> str:
    return traceback.format_exc(limit=-4)

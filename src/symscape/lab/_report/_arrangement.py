"""What stands where: claims by kind, figures beside the claims that they show, chapters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from symscape.lab._claims import Kind, Status, Verdict
from symscape.lab._experiment import Experiment
from symscape.lab._figures import Figure, Series
from symscape.lab._report._evidence import Evidence

STATUSES: tuple[Status, ...] = ("reproduced", "not reproduced", "inconclusive")


@dataclass(frozen=True)
class Tally:
    """Counts of verdicts; identities and checks of our own code are no evidence, and stand apart.

    ``identities`` and ``checks`` hold how many came out, and how many there are.
    """

    measured: dict[Status, int]
    identities: tuple[int, int]
    checks: tuple[int, int]

    @property
    def total(self) -> int:
        """Number of measured claims."""
        return sum(self.measured.values())


def tally(pages: Iterable[Evidence]) -> Tally:
    """Return how many claims have each verdict."""
    verdicts = [verdict for page in pages for verdict in page.verdicts]

    def statuses(kind: Kind) -> list[Status]:
        return [v.status for v in verdicts if v.claim.kind == kind]

    measured, exact, check = statuses("measured"), statuses("exact"), statuses("check")
    return Tally(
        {status: measured.count(status) for status in STATUSES},
        (exact.count("reproduced"), len(exact)),
        (check.count("reproduced"), len(check)),
    )


@dataclass(frozen=True)
class Group:
    """Claims of one experiment that stand together in a table."""

    page: Evidence
    verdicts: list[Verdict]


def of_kind(pages: Iterable[Evidence], kind: Kind) -> list[Group]:
    """Return the claims of one kind by experiment."""
    groups = [Group(p, [v for v in p.verdicts if v.claim.kind == kind]) for p in pages]
    return [group for group in groups if group.verdicts]


@dataclass(frozen=True)
class Exhibit:
    """A figure with the claims that it shows.

    Each claim stands beside the first figure that shows it; ``again`` are those that stand beside
    an earlier one.
    """

    figure: Figure
    verdicts: list[Verdict]
    again: list[Verdict]


def exhibits(page: Evidence) -> tuple[list[Exhibit], list[Figure], list[Verdict]]:
    """Return the figures with their claims, the figures without one, the claims without one."""
    shown, others = [], []
    left = {verdict.claim.id: verdict for verdict in page.verdicts}
    known = dict(left)
    for figure in page.figures:
        ids = [i for i in dict.fromkeys(figure.claims) if i in known]
        again = [known[i] for i in ids if i not in left]
        beside = [left.pop(i) for i in ids if i in left]
        if beside or again:
            shown.append(Exhibit(figure, beside, again))
        else:
            others.append(figure)
    return shown, others, list(left.values())


@dataclass(frozen=True)
class Chapter:
    """A chapter of the index."""

    number: str
    title: str
    pages: list[Evidence]

    @property
    def name(self) -> str:
        """``"Introduction"``, ``"Chapter 4"``."""
        return "Introduction" if self.number == "0" else f"Chapter {self.number}"

    @property
    def tally(self) -> Tally:
        """Counts of verdicts."""
        return tally(self.pages)

    @property
    def measured(self) -> list[Group]:
        """The measured claims by experiment."""
        return of_kind(self.pages, "measured")

    @property
    def without(self) -> list[Experiment]:
        """Experiments that make no measured claim."""
        measured = {group.page.experiment.name for group in self.measured}
        return [p.experiment for p in self.pages if p.experiment.name not in measured]

    @cached_property
    def leading(self) -> tuple[Evidence, Figure] | None:
        """The figure that stands for the chapter, with its experiment; None if none is drawn.

        One that has the thesis's numbers beside ours comes first, then the one that shows most
        measured claims, whatever their verdicts.
        """
        drawn = [(page, f) for page in self.pages for f in page.figures if not f.is_empty]
        return max(drawn, key=lambda item: _weight(*item), default=None)


def _weight(page: Evidence, figure: Figure) -> tuple[bool, int]:
    ours = any(_is_drawn(figure, s) for s in figure.series if s.kind in ("measured", "histogram"))
    thesis = any(_is_drawn(figure, s) for s in figure.series if s.kind == "thesis")
    measured = {v.claim.id for v in page.verdicts if v.claim.kind == "measured"}
    return ours and thesis, len(measured & set(figure.claims))


def _is_drawn(figure: Figure, series: Series) -> bool:
    # A histogram has one edge more than densities.
    return bool(np.any(figure.x.shows(series.x[: len(series.y)]) & figure.y.shows(series.y)))


def chapters(pages: Sequence[Evidence], titles: Mapping[str, str]) -> list[Chapter]:
    """Return the pages by chapter, in their order."""
    numbers = dict.fromkeys(page.experiment.chapter for page in pages)
    return [
        Chapter(
            n,
            "" if n == "0" else titles.get(n, ""),
            [page for page in pages if page.experiment.chapter == n],
        )
        for n in numbers
    ]

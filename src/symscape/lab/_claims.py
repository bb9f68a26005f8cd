"""Claims of the thesis, what was measured, and the one rule that turns both into a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from symscape.scaling import Estimate, NoEstimate, margin, number, worst

if TYPE_CHECKING:
    from symscape.lab._experiment import Experiment
    from symscape.lab._table import Table

PROFILES = ("smoke", "quick", "overnight", "paper")
"""Names of the profiles, from the smallest to the thesis's own sizes."""

Kind = Literal["exact", "measured", "check"]
KINDS: tuple[Kind, ...] = ("exact", "measured", "check")

Status = Literal["reproduced", "not reproduced", "inconclusive"]

Answer = Estimate | str | Mapping[Any, Estimate | str]
"""A number, the sentence why there is none, or one of the two per panel."""


@dataclass(frozen=True)
class Tolerance:
    """The interval in which a measured number agrees with the thesis, and why it is that wide.

    An edge that the number cannot cross (0 for an absolute deviation, 1 for a share) is none: use
    :meth:`at_most` and :meth:`at_least`.

    Args:
        low: smallest value that agrees (``-math.inf`` for an upper bound alone).
        high: largest value that agrees (``math.inf`` for a lower bound alone).
        reason: where the interval comes from, one sentence.
    """

    low: float
    high: float
    reason: str

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"Tolerance: low={self.low} must not exceed high={self.high}")
        if math.isinf(self.low) and math.isinf(self.high):
            raise ValueError("Tolerance: low and high are both infinite; nothing could fail")
        if not self.reason:
            raise ValueError("Tolerance: reason is empty; say where the interval comes from")

    @classmethod
    def at_most(cls, high: float, reason: str) -> Tolerance:
        """An upper bound alone."""
        return cls(-math.inf, high, reason)

    @classmethod
    def at_least(cls, low: float, reason: str) -> Tolerance:
        """A lower bound alone."""
        return cls(low, math.inf, reason)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def has_sign_of(self, value: float) -> bool:
        """Whether some number in the interval has the sign of ``value``."""
        return self.low < 0 if value < 0 else self.high > 0


@dataclass(frozen=True)
class Claim:
    """One statement of the thesis that a number can confirm or refute.

    Args:
        id: for example ``"ch1.fig6.jump-height"``.
        source: the figure, table or section, for example ``"Paper A, Fig. 6b"``.
        statement: the claim as a sentence.
        thesis: the thesis's number or words.
        tolerance: the interval that counts as agreement.
        answer: function of the finished points (a table, never empty) and the parameters. It
            returns an :class:`symscape.scaling.Estimate`; or a sentence why there is none; or one
            of the two for each panel (depth, data set, curve), of which the worst one answers. A
            :class:`symscape.scaling.NoEstimate` that it raises is such a sentence.
        kind: ``"measured"``, which needs an error bar; ``"exact"``, an identity; ``"check"``, of
            our own code, which is counted apart from the thesis's statements.
        profile: the smallest profile whose failure counts as "not reproduced"; in a smaller one
            a failure is "inconclusive".
    """

    id: str
    source: str
    statement: str
    thesis: str | float
    tolerance: Tolerance
    answer: Callable[[Table, Any], Answer]
    kind: Kind = "measured"
    profile: str = "overnight"

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"Claim {self.id}: profile={self.profile!r} is not one of {PROFILES}")
        if self.kind not in KINDS:
            raise ValueError(f"Claim {self.id}: kind={self.kind!r} is not one of {KINDS}")


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim in one profile.

    Attributes:
        status: reproduced, not reproduced or inconclusive.
        reason: in one sentence.
        claim: the claim.
        estimate: the number, of the worst panel where there are several; None without one.
        note: what the reader must know.
        profile: the profile of the runs.
        runs: keys of the stored points.
    """

    status: Status
    reason: str
    claim: Claim
    estimate: Estimate | None
    note: str
    profile: str
    runs: tuple[str, ...] = ()

    @property
    def panel(self) -> str:
        """The panel that the number is of, empty where there is one only."""
        return "" if self.estimate is None else self.estimate.panel


def verdicts(experiment: Experiment, table: Table, p: Any, profile: str) -> list[Verdict]:
    """Answer and judge every claim of an experiment from its finished points."""
    return [verdict(claim, table, p, profile) for claim in experiment.claims]


def verdict(claim: Claim, table: Table, p: Any, profile: str) -> Verdict:
    """Answer one claim from the finished points of its experiment, and judge it."""
    return judge(claim, answered(claim, table, p), profile, table.keys)


def answered(claim: Claim, table: Table, p: Any) -> Answer:
    """What a claim answers; where it has no number, the sentence why."""
    if not table:
        return "Not run."
    try:
        return claim.answer(table, p)
    except NoEstimate as none:
        return str(none)


def judge(claim: Claim, answer: Answer, profile: str, runs: Sequence[str] = ()) -> Verdict:
    """Compare an answer with its claim.

    - no number, or one that is not finite: inconclusive;
    - measured: without an error bar inconclusive; inside and at least one error from every edge
      reproduced; outside by two errors or more not reproduced; else inconclusive;
    - exact, and check without an error bar: reproduced inside, not reproduced outside;
    - in a profile smaller than ``claim.profile`` not reproduced becomes inconclusive, unless a
      measured number has the wrong sign and is outside by three errors.

    Args:
        claim: the claim.
        answer: what its ``answer`` returned; of several panels the worst one is judged.
        profile: the profile of the runs.
        runs: keys of the points that the answer comes from.

    Raises:
        ValueError: the profile is unknown.
    """
    if profile not in PROFILES:
        raise ValueError(f"judge: profile={profile!r} is not one of {PROFILES}")
    allowed = claim.tolerance
    if isinstance(answer, Mapping):
        try:
            answer = worst(answer, allowed.low, allowed.high)
        except NoEstimate as none:
            answer = str(none)
    if isinstance(answer, str):
        return Verdict("inconclusive", answer, claim, None, answer, profile, tuple(runs))
    status, reason = _rule(claim, answer, profile)
    return Verdict(status, reason, claim, answer, answer.note, profile, tuple(runs))


def _rule(claim: Claim, estimate: Estimate, profile: str) -> tuple[Status, str]:
    allowed, value, error = claim.tolerance, estimate.value, estimate.error
    of = f" ({estimate.panel})" if estimate.panel else ""
    if not math.isfinite(value):
        return "inconclusive", f"{value} is not a number that can be judged{of}."
    has_error = error is not None and math.isfinite(error) and error > 0
    if claim.kind == "measured" and not has_error:
        return "inconclusive", f"{value:.4g}{of} has no error bar."
    said, interval = f"{number(estimate)}{of}", _interval(allowed)
    distance = margin(estimate, allowed.low, allowed.high)
    if distance >= 1:
        return "reproduced", f"{said} lies in {interval}."
    if distance > -2:
        where = "in" if value in allowed else "outside"
        far = "one error" if value in allowed else "two errors"
        return "inconclusive", f"{said} lies {where} {interval}, by less than {far}."
    wrong_sign = has_error and not allowed.has_sign_of(value) and distance <= -3
    if PROFILES.index(profile) < PROFILES.index(claim.profile) and not wrong_sign:
        return (
            "inconclusive",
            f"{said} is outside {interval}, but profile {profile} is smaller than "
            f"{claim.profile}, where the claim is expected to come out.",
        )
    return "not reproduced", f"{said} is outside {interval}."


def _interval(allowed: Tolerance) -> str:
    """An interval in words and numbers; an open end is not written as infinity."""
    if math.isinf(allowed.low):
        return f"the range up to {allowed.high:.4g}"
    if math.isinf(allowed.high):
        return f"the range from {allowed.low:.4g} up"
    return f"[{allowed.low:.4g}, {allowed.high:.4g}]"

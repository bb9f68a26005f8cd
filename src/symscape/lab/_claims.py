"""Claims of the thesis, what was measured, and the one rule that turns both into a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

PROFILES = ("smoke", "quick", "overnight", "paper")
"""Names of the profiles, from the smallest to the thesis's own sizes."""

Status = Literal["reproduced", "not reproduced", "inconclusive"]


@dataclass(frozen=True)
class Tolerance:
    """The interval in which a measured number agrees with the thesis, and why it is that wide.

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
        if not self.reason:
            raise ValueError("Tolerance: reason is empty; say where the interval comes from")

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    @property
    def width(self) -> float:
        """``high - low``, infinite for a one-sided tolerance."""
        return self.high - self.low

    def distance(self, value: float) -> float:
        """Distance of ``value`` from the interval, 0 inside it."""
        return max(self.low - value, value - self.high, 0.0)

    def room(self, value: float) -> float:
        """The largest error bar that a ``value`` inside may have and still confirm a claim.

        The width; with one bound, which has no width, the distance from that bound.
        """
        if math.isinf(self.width):
            return min(value - self.low, self.high - value)
        return self.width


@dataclass(frozen=True)
class Claim:
    """One statement of the thesis that a number can confirm or refute.

    Args:
        id: for example ``"ch1.fig6.jump-height"``.
        source: the figure, table or section, for example ``"Paper A, Fig. 6b"``.
        statement: the claim as a sentence.
        thesis: the thesis's number or words.
        tolerance: the interval that counts as agreement.
        profile: the smallest profile whose failure counts as "not reproduced"; in a smaller one
            a failure is "inconclusive".
    """

    id: str
    source: str
    statement: str
    thesis: str | float
    tolerance: Tolerance
    profile: str = "overnight"

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise ValueError(f"Claim {self.id}: profile={self.profile!r} is not one of {PROFILES}")


@dataclass
class Finding:
    """What an analysis found for one claim.

    Args:
        claim: id of the claim.
        measured: the number, or None where the runs did not allow one.
        uncertainty: its 1-sigma error (bootstrap over seeds), or None where there is none.
        note: what the reader must know; the reason where ``measured`` is None.
        runs: keys of the stored points it was computed from (all of the table when left empty).
    """

    claim: str
    measured: float | None
    uncertainty: float | None = None
    note: str = ""
    runs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim in one profile, with its reason in one sentence."""

    status: Status
    reason: str
    claim: Claim
    finding: Finding
    profile: str


def judge(claim: Claim, finding: Finding, profile: str) -> Verdict:
    """Compare a finding with its claim.

    - no finite number: inconclusive;
    - inside the tolerance: reproduced, but inconclusive if the error bar is too wide to tell:
      wider than the tolerance, or, where that has one bound only, reaching past the bound;
    - outside by at most two error bars: inconclusive;
    - outside by more, or without an error bar: not reproduced, but inconclusive in a profile
      smaller than ``claim.profile``.

    Args:
        claim: the claim.
        finding: what was measured for it.
        profile: the profile of the runs.

    Raises:
        ValueError: if the finding belongs to another claim, or the profile is unknown.
    """
    if finding.claim != claim.id:
        raise ValueError(f"judge: finding of {finding.claim!r} given for claim {claim.id!r}")
    if profile not in PROFILES:
        raise ValueError(f"judge: profile={profile!r} is not one of {PROFILES}")
    status, reason = _rule(claim, finding, profile)
    return Verdict(status, reason, claim, finding, profile)


def _rule(claim: Claim, finding: Finding, profile: str) -> tuple[Status, str]:
    measured, sigma, allowed = finding.measured, finding.uncertainty, claim.tolerance
    if measured is None or math.isnan(measured):
        return "inconclusive", finding.note or "No finished run gives this number."
    if math.isinf(measured):
        return "inconclusive", finding.note or f"{measured} is not a number that can be judged."
    if sigma is not None and math.isnan(sigma):
        sigma = None
    interval = _interval(allowed)
    value = f"{measured:.4g}" if sigma is None else f"{measured:.4g} ± {sigma:.2g}"
    if measured in allowed:
        if sigma is not None and sigma > allowed.room(measured):
            but = "reaches out of it" if math.isinf(allowed.width) else "is wider"
            return "inconclusive", f"{value} lies in {interval}, but the error bar {but}."
        return "reproduced", f"{value} lies in {interval}."
    if sigma is not None and allowed.distance(measured) <= 2 * sigma:
        return "inconclusive", f"{value} is outside {interval} by less than two error bars."
    if PROFILES.index(profile) < PROFILES.index(claim.profile):
        return (
            "inconclusive",
            f"{value} is outside {interval}, but profile {profile} is smaller than "
            f"{claim.profile}, where the claim is expected to come out.",
        )
    return "not reproduced", f"{value} is outside {interval}."


def _interval(allowed: Tolerance) -> str:
    """An interval in words and numbers; an open end is not written as infinity."""
    if math.isinf(allowed.low) and math.isinf(allowed.high):
        return "the whole line"
    if math.isinf(allowed.low):
        return f"the range up to {allowed.high:.4g}"
    if math.isinf(allowed.high):
        return f"the range from {allowed.low:.4g} up"
    return f"[{allowed.low:.4g}, {allowed.high:.4g}]"

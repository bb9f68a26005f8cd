"""Verdicts as JSON."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from symscape.lab._claims import Verdict
from symscape.lab._report._evidence import Evidence


def entry(verdict: Verdict, chapter: str) -> dict[str, Any]:
    """Return one verdict as a record; an open end of the tolerance is null."""
    claim, estimate = verdict.claim, verdict.estimate
    return {
        "id": claim.id,
        "kind": claim.kind,
        "chapter": chapter,
        "source": claim.source,
        "statement": claim.statement,
        "thesis": claim.thesis,
        "measured": None if estimate is None else finite(estimate.value),
        "uncertainty": None if estimate is None else finite(estimate.error),
        "panel": verdict.panel,
        "tolerance": {
            "low": finite(claim.tolerance.low),
            "high": finite(claim.tolerance.high),
            "reason": claim.tolerance.reason,
        },
        "verdict": verdict.status,
        "reason": verdict.reason,
        "note": verdict.note,
        "profile": verdict.profile,
        "runs": list(verdict.runs),
    }


def entries(evidence: Iterable[Evidence]) -> list[dict[str, Any]]:
    """Return the records of all verdicts, in the order of the report."""
    return [entry(v, e.experiment.chapter) for e in evidence for v in e.verdicts]


def finite(value: float | None, digits: int | None = None) -> float | None:
    """Return a number that JSON can hold, rounded to significant digits; None for NaN and ∞."""
    if value is None or not math.isfinite(value):
        return None
    return float(value) if digits is None else float(f"{value:.{digits}g}")


def fingerprint(keys: Sequence[str]) -> dict[str, Any]:
    """Return many keys as their number and the SHA-256 of their sorted list."""
    text = "\n".join(sorted(keys))
    return {"count": len(keys), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def dump(value: Any) -> str:
    """Return readable, diffable JSON text."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

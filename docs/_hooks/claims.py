"""MkDocs hook: verdicts come from results/claims.json when the site is built, never typed in.

A line `<!-- claims: 1 -->` becomes the table of the claims of chapter 1, and
`<!-- claims: summary -->` the number of claims of each verdict by chapter.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_MARK = re.compile(r"^<!-- claims: ([\w.]+) -->$", re.MULTILINE)
_VERDICTS = ("reproduced", "not reproduced", "inconclusive")


def on_page_markdown(markdown: str, page, config, **_: object) -> str:  # type: ignore[no-untyped-def]
    """Replace the marks of a page."""
    if not _MARK.search(markdown):
        return markdown
    path = Path(config.config_file_path).parent / "results" / "claims.json"
    try:
        claims = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    except ValueError as error:
        raise PluginError(f"{path.name} is not JSON: {error}") from None
    return _MARK.sub(lambda match: _render(match[1], claims), markdown)


def _render(what: str, claims: list[dict[str, Any]]) -> str:
    chosen = [c for c in claims if what in ("summary", c["chapter"])]
    if not chosen:
        return (
            '!!! note "No results are committed yet"\n\n'
            "    `symscape report --export results` writes them; this table then fills itself."
        )
    return summary(chosen) if what == "summary" else table(chosen)


def summary(claims: list[dict[str, Any]]) -> str:
    """The number of measured claims of each verdict, one row per chapter; identities and checks."""
    lines = [
        "| chapter | measured claims | "
        + " | ".join(_VERDICTS)
        + " | identities that hold | checks of our code that pass |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for chapter in sorted({c["chapter"] for c in claims}):
        ours = [c for c in claims if c["chapter"] == chapter]
        counts = Counter(c["verdict"] for c in ours if c["kind"] == "measured")
        cells = [counts.total(), *(counts[verdict] for verdict in _VERDICTS)]
        cells += [_passed(ours, kind) for kind in ("exact", "check")]
        lines.append(f"| {chapter} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _passed(claims: list[dict[str, Any]], kind: str) -> str:
    of_kind = [c["verdict"] == "reproduced" for c in claims if c["kind"] == kind]
    return f"{sum(of_kind)} of {len(of_kind)}" if of_kind else "–"


def table(claims: list[dict[str, Any]]) -> str:
    """One row per claim: what the thesis says, what was measured, the verdict; measured first."""
    measured = [c for c in claims if c["kind"] == "measured"]
    others = [c for c in claims if c["kind"] != "measured"]
    counts = Counter(c["verdict"] for c in measured)
    profiles = sorted({c["profile"] for c in claims})
    said = ", ".join(f"{counts[v]} {v}" for v in _VERDICTS if counts[v])
    head = f"{len(measured)} measured claims: {said} (profile {', '.join(profiles)})."
    for kind, name in (("exact", "identities hold"), ("check", "checks of our own code pass")):
        if any(c["kind"] == kind for c in others):
            head += f" {_passed(others, kind)} {name}."
    rows = "\n".join(_row(c) for c in [*measured, *others])
    return (
        f"{head}\n\n"
        '<div class="claims md-typeset__scrollwrap"><div class="md-typeset__table"><table>\n'
        "<thead><tr><th>claim</th><th>thesis</th><th>measured</th><th>agrees if</th>"
        f"<th>verdict</th></tr></thead>\n<tbody>\n{rows}\n</tbody></table></div></div>"
    )


def _row(claim: dict[str, Any]) -> str:
    verdict = claim["verdict"]
    kind = "" if claim["kind"] == "measured" else f" ({claim['kind']})"
    name = verdict.replace(" ", "-")
    cells = (
        f"{_text(claim['statement'])}<br><small>{_text(claim['source'])} "
        f"<code>{_text(claim['id'])}</code>{kind}</small>",
        _number(claim["thesis"]),
        _measured(claim),
        f'<span title="{_text(claim["tolerance"]["reason"])}">{_interval(claim)}</span>',
        f'<span class="verdict verdict-{name}" title="{_text(_why(claim))}">{verdict}</span>',
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _measured(claim: dict[str, Any]) -> str:
    if claim["measured"] is None:
        return "no number"
    number = _number(claim["measured"])
    if claim["uncertainty"] is not None:
        number += f" ± {claim['uncertainty']:.2g}"
    panel = claim["panel"]
    return f"{number}<br><small>{_text(panel)}</small>" if panel else number


def _why(claim: dict[str, Any]) -> str:
    reason, note = claim["reason"], claim["note"]
    return reason if note in reason else f"{reason} {note}"


def _interval(claim: dict[str, Any]) -> str:
    low, high = claim["tolerance"]["low"], claim["tolerance"]["high"]
    if low is None:
        return f"≤ {high:.4g}"
    if high is None:
        return f"≥ {low:.4g}"
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _number(value: float | str | None) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else _text(str(value))


def _text(value: str) -> str:
    return html.escape(value, quote=True)

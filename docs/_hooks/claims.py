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
    """The number of claims of each verdict, one row per chapter."""
    lines = ["| chapter | claims | " + " | ".join(_VERDICTS) + " |", "|---|--:|--:|--:|--:|"]
    for chapter in sorted({c["chapter"] for c in claims}):
        counts = Counter(c["verdict"] for c in claims if c["chapter"] == chapter)
        cells = " | ".join(str(counts[verdict]) for verdict in _VERDICTS)
        lines.append(f"| {chapter} | {counts.total()} | {cells} |")
    return "\n".join(lines)


def table(claims: list[dict[str, Any]]) -> str:
    """One row per claim: what the thesis says, what was measured, the verdict."""
    counts = Counter(c["verdict"] for c in claims)
    profiles = sorted({c["profile"] for c in claims})
    said = ", ".join(f"{counts[v]} {v}" for v in _VERDICTS if counts[v])
    head = f"{len(claims)} claims: {said} (profile {', '.join(profiles)}).\n\n"
    rows = "\n".join(_row(c) for c in claims)
    return (
        head
        + '<div class="claims md-typeset__scrollwrap"><div class="md-typeset__table"><table>\n'
        + "<thead><tr><th>claim</th><th>thesis</th><th>measured</th><th>agrees if</th>"
        + f"<th>verdict</th></tr></thead>\n<tbody>\n{rows}\n</tbody></table></div></div>"
    )


def _row(claim: dict[str, Any]) -> str:
    verdict = claim["verdict"]
    name = verdict.replace(" ", "-")
    cells = (
        f"{_text(claim['statement'])}<br><small>{_text(claim['source'])} "
        f"<code>{_text(claim['id'])}</code></small>",
        _number(claim["thesis"]),
        _measured(claim),
        f'<span title="{_text(claim["tolerance"]["reason"])}">{_interval(claim)}</span>',
        f'<span class="verdict verdict-{name}">{_text(verdict)}</span>',
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _measured(claim: dict[str, Any]) -> str:
    if claim["measured"] is None:
        return "no number"
    number = _number(claim["measured"])
    error = claim["uncertainty"]
    return number if error is None else f"{number} ± {error:.2g}"


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

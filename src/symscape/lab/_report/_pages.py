"""The pages, from what was gathered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from symscape.lab._claims import Verdict
from symscape.lab._figures import Figure
from symscape.lab._report import _typeset
from symscape.lab._report._arrangement import chapters, exhibits, of_kind, tally
from symscape.lab._report._evidence import Evidence
from symscape.lab._report._gauge import gauge
from symscape.lab._report._palette import palette
from symscape.lab._report._plot import Entry, plot
from symscape.lab._report._sketch import sketch


@dataclass(frozen=True)
class Drawing:
    """A figure ready for the page."""

    figure: Figure
    plot: Markup
    legend: list[Entry]
    csv: str

    @property
    def hidden(self) -> list[tuple[str, int]]:
        """Series with numbers that a logarithmic axis cannot show."""
        return self.figure.hidden()


def index(pages: Sequence[Evidence], titles: Mapping[str, str]) -> str:
    """Return index.html; that of a report on one experiment leads to its page."""
    if len(pages) == 1:
        return _render("forward.html.jinja", experiment=pages[0].experiment)
    ran = [page for page in pages if page.has_results]
    return _render(
        "index.html.jinja",
        root="",
        chapters=chapters(pages, titles),
        tally=tally(pages),
        profiles=list(dict.fromkeys(page.profile for page in ran)),
        ran=[page.experiment for page in ran],
        experiments=len(pages),
        apart={kind: of_kind(pages, kind) for kind in ("exact", "check")},
    )


def experiment(pages: Sequence[Evidence], place: int, titles: Mapping[str, str]) -> str:
    """Return the page of one experiment."""
    page = pages[place]
    shown, others, rest = exhibits(page)
    return _render(
        "experiment.html.jinja",
        root="../",
        alone=len(pages) == 1,
        page=page,
        experiment=page.experiment,
        chapter=chapters([page], titles)[0],
        tally=tally([page]),
        exhibits=[(exhibit, _drawing(page, exhibit.figure)) for exhibit in shown],
        others=[_drawing(page, figure) for figure in others],
        rest=rest,
        parameters=_parameters(page),
        seeds=_ranges(page.seeds),
        previous=pages[place - 1].experiment if place > 0 else None,
        following=pages[place + 1].experiment if place + 1 < len(pages) else None,
    )


def stylesheet() -> str:
    """Return report.css, with the palette of both color schemes."""
    return _render("report.css.jinja", light=palette("light"), dark=palette("dark"))


def script() -> str:
    """Return report.js."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, "report.js")[0]


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(values)


def _drawing(page: Evidence, figure: Figure) -> Drawing:
    drawn, legend = plot(figure)
    text = json.dumps(drawn, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # The text stands inside a <script> element, which "</script>" would end.
    safe = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return Drawing(figure, Markup(safe), legend, f"../{csv_path(page, figure)}")


def csv_path(page: Evidence, figure: Figure) -> str:
    """Return the path of a figure's data, relative to the report."""
    return f"data/{page.experiment.name}/{figure.id}.csv"


def _parameters(page: Evidence) -> list[dict[str, Any]]:
    """Name, meaning and value of every parameter, and the profile's own where it was replaced."""
    if page.parameters is None or page.profile is None:
        return []
    values = page.parameters.model_dump(mode="json")
    own = page.experiment.profiles[page.profile].model_dump(mode="json")
    return [
        {
            "name": name,
            "meaning": field.description or "",
            "value": _value(values[name]),
            "own": _value(own[name]) if own[name] != values[name] else None,
        }
        for name, field in type(page.parameters).model_fields.items()
    ]


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value) or "(none)"
    if isinstance(value, dict):
        return ", ".join(f"{name} = {_value(item)}" for name, item in value.items())
    return {None: "–", True: "yes", False: "no"}.get(value) or str(value)


def _ranges(numbers: Sequence[int]) -> str:
    """Return sorted integers as text: ``"0–9, 100"``."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][1] + 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    parts = [str(a) if a == b else f"{a}–{b}" for a, b in runs]
    return ", ".join(parts if len(parts) <= 12 else [*parts[:11], f"… {parts[-1]}"])


def _thesis(value: str | float) -> Markup:
    return Markup(_typeset.typeset(value) if isinstance(value, str) else _typeset.number(value))


def _measured(verdict: Verdict) -> Markup:
    estimate = verdict.estimate
    if estimate is None:
        return Markup(_typeset.measured(None, None))
    return Markup(_typeset.measured(estimate.value, estimate.error))


def _accepted(verdict: Verdict) -> Markup:
    return Markup(_typeset.interval(verdict.claim.tolerance.low, verdict.claim.tolerance.high))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("symscape.lab._report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "typeset": lambda text: Markup(_typeset.typeset(text)),
        "duration": _typeset.duration,
        "thesis": _thesis,
        "measured": _measured,
        "accepted": _accepted,
        "gauge": gauge,
        "sketch": sketch,
        "slug": lambda status: status.replace(" ", "-"),
    }
    return environment

"""MkDocs hook: the table of experiments comes from the code when the site is built.

A line `<!-- experiments: 1 -->` becomes the experiments of chapter 1, with the figures they cover
and the size of each profile; `<!-- parameters: 1 -->` their parameters, folded.
"""

from __future__ import annotations

import json
import re

from symscape import lab

_MARK = re.compile(r"^<!-- (experiments|parameters): (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the marks of a page."""
    render = {"experiments": table, "parameters": parameters}
    return _MARK.sub(lambda match: render[match[1]](match[2]), markdown)


def table(chapter: str) -> str:
    """One row per experiment of a chapter."""
    lines = ["| experiment | covers | claims | " + " | ".join(lab.PROFILES) + " |"]
    lines.append("|---|---|--:|" + "--:|" * len(lab.PROFILES))
    for experiment in _of(chapter):
        sizes = " | ".join(_points(experiment, profile) for profile in lab.PROFILES)
        sources = "<br>".join(experiment.sources)
        title = f"`{experiment.name}`<br>{_plain(experiment.title)}"
        lines.append(f"| {title} | {sources} | {len(experiment.claims)} | {sizes} |")
    return "\n".join(lines) + "\n\nThe last columns count the independent points of each profile."


def parameters(chapter: str) -> str:
    """One folded table per experiment: name, meaning and value in the profile quick."""
    return "\n\n".join(_parameters(experiment) for experiment in _of(chapter))


def _parameters(experiment: lab.Experiment) -> str:
    values = experiment.parameters("quick").model_dump(mode="json")
    lines = ["| parameter | meaning | in `quick` |", "|---|---|---|"]
    for name, field in experiment.Parameters.model_fields.items():
        meaning = _plain(field.description or "")
        lines.append(f"| `{name}` | {meaning} | `{json.dumps(values[name])}` |")
    body = "\n".join("    " + line for line in lines)
    return f'??? note "Parameters of {experiment.name}"\n\n{body}'


def _of(chapter: str) -> list[lab.Experiment]:
    found = lab.discover(["symscape.experiments"])
    return [kind() for kind in found.values() if kind.chapter == chapter]


def _plain(text: str) -> str:
    """Text in which Markdown finds no marks."""
    return re.sub(r"([*_|<])", r"\\\1", text)


def _points(experiment: lab.Experiment, profile: str) -> str:
    """The number of points; a profile may need data that are not on this machine."""
    if profile not in experiment.profiles:
        return ""
    try:
        return str(len(lab.expand(experiment, profile)))
    except lab.InputError:
        return "needs data"

"""Griffe extensions: docstrings in Markdown, and constructors that are ``__new__``.

Docstrings are read by people in an editor first, and hold a few marks of reStructuredText: roles,
``.. math::`` blocks, simple tables, ``::`` before code, and ``>>>`` sessions.
"""

from __future__ import annotations

import re
from textwrap import dedent, indent

import griffe

_ROLE = re.compile(r":(?:py:)?(?:mod|class|func|meth|attr|data|exc|obj):`~?\.?([^`]+)`")
_MATH_ROLE = re.compile(r":math:`([^`]+)`")
_MATH_BLOCK = re.compile(
    r"^(?P<indent>[ ]*)\.\. math::[ ]*(?P<first>[^\n]*)\n"
    r"(?P<body>(?:[ ]*\n|(?P=indent)[ ]+[^\n]*(?:\n|\Z))*)",
    re.MULTILINE,
)
_SESSION = re.compile(r"^(?P<indent>[ ]*)>>> [^\n]*(?:\n(?P=indent)[^\s][^\n]*)*", re.MULTILINE)
_LITERAL = re.compile(r"::[ ]*\n(?=[ ]*\n[ ]+\S)")
_RULE = re.compile(r"^ *=+(?: +=+)+ *$")


class Markdown(griffe.Extension):
    """Converts every docstring as it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Convert the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


class Constructors(griffe.Extension):
    """Gives a class that is made by ``__new__`` the signature of it, as ``__init__`` would."""

    def on_class(self, *, cls: griffe.Class, **_: object) -> None:
        """Add the signature to one class."""
        new = cls.members.get("__new__")
        if isinstance(new, griffe.Function) and "__init__" not in cls.members:
            init = griffe.Function("__init__", parameters=new.parameters, parent=cls)
            cls.set_member("__init__", init)


def markdown(text: str) -> str:
    """The docstring in Markdown."""
    text = _tables(text)  # first: the columns are those of the source
    text = _SESSION.sub(_session, text)
    text = _MATH_BLOCK.sub(_math_block, text)
    text = _MATH_ROLE.sub(lambda match: "$" + " ".join(match[1].split()) + "$", text)
    text = _ROLE.sub(r"`\1`", text)
    return _LITERAL.sub(":\n", text)


def _session(match: re.Match[str]) -> str:
    space = match["indent"]
    return f"{space}```pycon\n{match[0]}\n{space}```"


def _math_block(match: re.Match[str]) -> str:
    latex = dedent(match["first"] + "\n" + dedent(match["body"])).strip()
    if "&" in latex or r"\\" in latex:
        latex = "\\begin{aligned}\n" + latex + "\n\\end{aligned}"
    return indent(f"$$\n{latex}\n$$\n", match["indent"]) + "\n"


def _tables(text: str) -> str:
    """Replace simple tables, whose columns are given by rules of equals signs."""
    lines, out = text.split("\n"), []
    while lines:
        line = lines.pop(0)
        if not _RULE.match(line) or sum(bool(_RULE.match(other)) for other in lines) < 2:
            out.append(line)
            continue
        head = lines.pop(0)
        lines.pop(0)
        end = next(i for i, other in enumerate(lines) if _RULE.match(other))
        out += _table(line, [head, *lines[:end]])
        lines = lines[end + 1 :]
    return "\n".join(out)


def _table(rule: str, lines: list[str]) -> list[str]:
    """Markdown rows of a simple table; a line whose first cell is empty continues the last row."""
    columns = [match.span() for match in re.finditer("=+", rule)]
    ends = [start for start, _ in columns[1:]] + [None]
    rows: list[list[str]] = []
    for line in lines:
        cells = [line[start:end].strip() for (start, _), end in zip(columns, ends, strict=True)]
        if cells[0] or not rows:
            rows.append(cells)
        else:
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)]
    space = " " * columns[0][0]
    head, *body = [space + "| " + " | ".join(row) + " |" for row in rows]
    return ["", head, space + "|" + "---|" * len(columns), *body, ""]

"""MkDocs hook: ```` ```python no-run ```` is for the tests; readers see an ordinary code block."""

from __future__ import annotations

import re

_MARKED = re.compile(r"^([ \t]*```+[ \t]*python)[ \t]+no-run[ \t]*$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Drop the mark."""
    return _MARKED.sub(r"\1", markdown)

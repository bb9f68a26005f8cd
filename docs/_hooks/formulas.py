"""MkDocs hook: formulas become MathML when the site is built, so no script draws them."""

from __future__ import annotations

import html
import re

from math_core import LatexError, LatexToMathML
from mkdocs.exceptions import PluginError

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">(?P<latex>\\[(\[].*?\\[)\]])</(?P=tag)>', re.DOTALL
)
_CONVERTER = LatexToMathML(fancy_error=False, annotation=True)


def on_page_content(content: str, page, **_: object) -> str:  # type: ignore[no-untyped-def]
    """Replace what the Markdown extension arithmatex marked."""

    def mathml(match: re.Match[str]) -> str:
        latex = html.unescape(match["latex"])
        try:
            return _CONVERTER.convert_with_local_state(
                latex[2:-2].strip(), displaystyle=match["tag"] == "div"
            )
        except LatexError as error:
            raise PluginError(f"{page.file.src_uri}: {error}, in the formula {latex}") from None

    return _FORMULA.sub(mathml, content)

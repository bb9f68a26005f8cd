"""Numbers and formulas of plain text as HTML.

Statements, captions and axis labels are plain text, which also goes into JSON and CSV.  On the page
``N_Delta/N`` becomes *N*<sub>Δ</sub>/N and ``10^-3`` a power of ten.
"""

from __future__ import annotations

import html
import math
import re
from itertools import zip_longest

_GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ϵ",
    "theta": "θ",
    "lambda": "λ",
    "mu": "μ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "Delta": "Δ",
    "Lambda": "Λ",
    "Sigma": "Σ",
}
_WORD = "|".join(_GREEK)
# One letter (or the name of a Greek one) with a subscript; longer names are identifiers.
_SUBSCRIPT = re.compile(
    rf"\b([A-Za-zα-ωΑ-Ωℋℒ]|{_WORD})_(?:\{{([^{{}}]+)\}}|([A-Za-z0-9α-ωΑ-Ω]+|[+\-−*]))"
)
_SUPERSCRIPT = re.compile(
    r"(?<=[\w)\]>|*])\^(?:\{([^{}]+)\}|\(((?:[^()]|\([^()]*\))+)\)|([+\-−]?\w+(?:[./]\d+)?|\*))"
)
_NAME = re.compile(rf"(?<![\w&/-])({_WORD})(?![\w-])")
# A letter alone is a variable, but for words (a, A, I), panels and units.
_LETTER = re.compile(
    r"\b(?:Paper|Part|Appendix|App\.|Figs?\.|Figure|Panels?|panels?|Table|Sec\.|Eq\.) \w+"
    r"|\d [a-zA-Z]\b|(?<!\S)\([a-z]\)|&[a-z]+;|</?[a-z]+>|\b[a-zA-Z]\.[a-zA-Z]"
    r"|(?<![\w'’.>])([B-HJ-Zb-z])(?![\w'’])"
)
# A number as programs print it: 1e-12, 3.1e+05.
_SCIENTIFIC = re.compile(r"(?<![\w.@])(\d+(?:\.\d+)?)e([+-]?)0*(\d+)(?!\w|\.\d)")
_SIGNS = {"&gt;=": "≥", "&lt;=": "≤", "-&gt;": "→", "+-": "±", " - ": " − ", " %": "\u00a0%"}
_NEGATIVE = re.compile(r"(?<![\w.)\]>-])-(?=\d|<i>)")
_CODE = re.compile(r"`([^`]+)`")
# The few tags that a label may bring along, for what the notation cannot say.
_ALLOWED = re.compile(r"&lt;(/?(?:i|b|sub|sup))&gt;")


def typeset(text: str) -> str:
    """Return plain text as safe HTML, with subscripts, superscripts and Greek letters.

    ``X_a`` and ``X_{ab}`` need a single letter or a Greek name as base, so ``max_steps`` stays
    what it is, and so does `code` between backticks.  The tags i, b, sub and sup pass; everything
    else is escaped.
    """
    parts = _CODE.split(text)
    code = [f"<code>{html.escape(part, quote=False)}</code>" for part in parts[1::2]]
    return "".join(map("".join, zip_longest(map(_prose, parts[::2]), code, fillvalue="")))


def _prose(text: str) -> str:
    safe = _ALLOWED.sub(r"<\1>", html.escape(text, quote=False))
    for plain, sign in _SIGNS.items():
        safe = safe.replace(plain, sign)
    safe = _SCIENTIFIC.sub(lambda m: _power(m[1], m[2].replace("+", "") + m[3]), safe)
    safe = _SUBSCRIPT.sub(lambda m: f"<i>{_greek(m[1])}</i><sub>{_greek(m[2] or m[3])}</sub>", safe)
    safe = _SUPERSCRIPT.sub(lambda m: f"<sup>{_exponent(m[1] or m[2] or m[3])}</sup>", safe)
    safe = _LETTER.sub(lambda m: f"<i>{m[1]}</i>" if m[1] else m[0], safe)
    safe = _NEGATIVE.sub("−", safe)
    return _NAME.sub(lambda m: _greek(m[1]), safe)


def number(value: float, digits: int = 4) -> str:
    """Return a number as HTML with at most ``digits`` digits: ``"1.2 × 10<sup>−5</sup>"``."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e5:
        return _minus(str(int(value)))
    if 1e-3 <= abs(value) < 1e5:
        text = _plain(value, max(digits - 1 - math.floor(math.log10(abs(value))), 0))
        return _minus(text.rstrip("0").rstrip(".") if "." in text else text)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return _power(f"{float(mantissa):g}", str(int(exponent)))


def measured(value: float | None, uncertainty: float | None) -> str:
    """Return a measured number with its error, rounded to two digits of the error, as HTML."""
    if value is None or math.isnan(value):
        return "–"
    if uncertainty is None or not math.isfinite(uncertainty) or uncertainty <= 0:
        return number(value)
    top = math.floor(math.log10(max(abs(value), uncertainty)))
    last = math.floor(math.log10(uncertainty)) - 1
    if -3 <= top < 5:
        return f"{_minus(_plain(value, -last))} ± {_plain(uncertainty, -last)}"
    scale, decimals = 10.0**top, max(top - last, 0)
    return (
        f"({_minus(_plain(value / scale, decimals))} ± {_plain(uncertainty / scale, decimals)})"
        f" × 10<sup>{_minus(str(top))}</sup>"
    )


def interval(low: float, high: float) -> str:
    """Return an accepted interval as HTML; a one-sided one as an inequality."""
    if math.isinf(low) and math.isinf(high):
        return "any number"
    if math.isinf(low):
        return f"≤ {number(high)}"
    if math.isinf(high):
        return f"≥ {number(low)}"
    if low == high:
        return f"= {number(low)}"
    return f"{number(low)} … {number(high)}"


def duration(seconds: float) -> str:
    """Return a duration as text: ``"1 h 05 min"``, ``"3 min 20 s"``, ``"4.2 s"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds) // 60
    if minutes < 60:
        return f"{minutes} min {round(seconds) % 60:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _power(mantissa: str, exponent: str) -> str:
    ten = f"10<sup>{_minus(exponent)}</sup>"
    return ten if mantissa == "1" else f"{_minus(mantissa)} × {ten}"


def _exponent(text: str) -> str:
    return f"<i>{text}</i>" if len(text) == 1 and text.isalpha() else _minus(text)


def _plain(value: float, decimals: int) -> str:
    return f"{round(value, decimals):.{max(decimals, 0)}f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _greek(name: str) -> str:
    return _minus(_GREEK.get(name, name))

"""A small drawing beside each claim: accepted interval, measured number, thesis's number."""

from __future__ import annotations

import math

from markupsafe import Markup

from symscape.lab._claims import Verdict

_WIDTH, _HEIGHT = 132, 20
_EDGE = 8  # numbers beyond the drawing sit this far from its ends


def gauge(verdict: Verdict) -> Markup | None:
    """Return the drawing as SVG, or None without a number or for an interval of one number.

    The accepted interval takes the middle third (or the open end's side) of the width; numbers
    that lie farther out are drawn as arrowheads at the ends.  It repeats what the text says, so
    assistive technology skips it.
    """
    tolerance, estimate = verdict.claim.tolerance, verdict.estimate
    if estimate is None or not math.isfinite(estimate.value):
        return None
    if tolerance.low == tolerance.high:
        return None
    measured = estimate.value
    scale = _Scale(tolerance.low, tolerance.high, measured)
    left = 0.0 if math.isinf(tolerance.low) else scale.place(tolerance.low)
    right = float(_WIDTH) if math.isinf(tolerance.high) else scale.place(tolerance.high)
    middle = _HEIGHT / 2
    parts = [
        f'<line class="rail" x1="0" x2="{_WIDTH}" y1="{middle:g}" y2="{middle:g}"/>',
        f'<rect class="accepted" x="{left:.1f}" y="4" width="{max(right - left, 2):.1f}"'
        f' height="{_HEIGHT - 8}" rx="2"/>',
    ]
    parts += _error_bar(scale, measured, estimate.error)
    thesis = verdict.claim.thesis
    if isinstance(thesis, int | float) and scale.inside(thesis):
        parts.append(_diamond(scale.place(thesis)))
    parts.append(_mark(scale, measured))
    return Markup(
        f'<svg class="gauge" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}"'
        f' height="{_HEIGHT}" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'
    )


class _Scale:
    """Values to places: the interval in the middle third, or one end of it at a third."""

    def __init__(self, low: float, high: float, measured: float) -> None:
        if math.isfinite(low) and math.isfinite(high):
            self.origin, self.unit = low, high - low
        else:
            self.origin = low if math.isfinite(low) else high
            reach = abs(measured - self.origin) / 1.5
            self.unit = max(reach, abs(self.origin) / 2, 1e-300)
        self.start = 2 / 3 if math.isinf(low) else 1 / 3

    def raw(self, value: float) -> float:
        return (self.start + (value - self.origin) / self.unit / 3) * _WIDTH

    def place(self, value: float) -> float:
        return min(max(self.raw(value), _EDGE), _WIDTH - _EDGE)

    def inside(self, value: float) -> bool:
        return _EDGE <= self.raw(value) <= _WIDTH - _EDGE


def _error_bar(scale: _Scale, measured: float, sigma: float | None) -> list[str]:
    if sigma is None or not math.isfinite(sigma) or not scale.inside(measured):
        return []
    low, high = scale.place(measured - sigma), scale.place(measured + sigma)
    y = _HEIGHT / 2
    return [f'<line class="error" x1="{low:.1f}" x2="{high:.1f}" y1="{y:g}" y2="{y:g}"/>']


def _mark(scale: _Scale, measured: float) -> str:
    x, y = scale.place(measured), _HEIGHT / 2
    if scale.inside(measured):
        return f'<circle class="ours" cx="{x:.1f}" cy="{y:g}" r="4.2"/>'
    tip = 7 if scale.raw(measured) > x else -7
    return f'<path class="ours" d="M{x:.1f} {y - 6:g}l{tip} 6l{-tip} 6z"/>'


def _diamond(x: float) -> str:
    y = _HEIGHT / 2
    return f'<path class="thesis" d="M{x:.1f} {y - 6:g}l6 6l-6 6l-6 -6z"/>'

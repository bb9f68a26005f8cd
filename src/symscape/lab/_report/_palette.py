"""The report's colors, in one place, for light and dark paper.

The six colors of measured series differ in hue and in lightness, so that readers with any of the
common color deficiencies tell them apart; markers differ as well.  The thesis's color is used for
nothing else.  Figures name colors by token (``"--series-0"``), which the page resolves against the
CSS variables of the same name, so that a change of the color scheme recolors them.
"""

from __future__ import annotations

SERIES = 6
"""Number of distinct colors for measured series; further groups repeat them."""

STEPS = 9
"""Number of colors on the scale of ordered groups."""

_PAPER = {
    "light": {
        "--paper": "#fffefb",
        "--raised": "#f7f5ef",
        "--ink": "#1c1e22",
        "--muted": "#5c6068",
        "--rule": "#e2dfd6",
        "--link": "#1b5592",
        "--guide": "#85888f",
        "--good": "#1c6b3c",
        "--good-soft": "#e4f1e6",
        "--bad": "#9b1c3d",
        "--bad-soft": "#fae6ea",
        "--open": "#5d5320",
        "--open-soft": "#f5efd6",
        "--thesis": "#c4400f",
        "--band": "rgba(110, 112, 120, 0.14)",
    },
    "dark": {
        "--paper": "#131519",
        "--raised": "#1b1e24",
        "--ink": "#e9e7e2",
        "--muted": "#a2a6ae",
        "--rule": "#2e323a",
        "--link": "#8cbcf2",
        "--guide": "#83878f",
        "--good": "#86d6a0",
        "--good-soft": "#16301f",
        "--bad": "#ff9db0",
        "--bad-soft": "#3d1822",
        "--open": "#e4d285",
        "--open-soft": "#332d13",
        "--thesis": "#ff7f50",
        "--band": "rgba(170, 174, 184, 0.16)",
    },
}

_SERIES = {
    "light": ("#1a5fb4", "#00725c", "#8f3d86", "#c69000", "#4f9ad3", "#3d4149"),
    "dark": ("#5b9dee", "#35c2ac", "#d48fd0", "#ecd04f", "#a9d4f5", "#d9d3cc"),
}

# From the smallest value of a map to the largest: pale, so that lines on it are seen.
_MAP = {"light": ("#f3efe2", "#7d8ea6"), "dark": ("#1d222a", "#76869c")}

# Viridis: dark half on light paper, light half on dark paper.
_VIRIDIS = (
    *("#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c"),
    *("#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725"),
)
_WINDOW = {"light": (0.0, 0.62), "dark": (0.32, 1.0)}


def palette(scheme: str) -> dict[str, str]:
    """Return every color of a scheme, ``"light"`` or ``"dark"``, by CSS variable.

    Raises:
        ValueError: for another scheme.
    """
    if scheme not in _PAPER:
        raise ValueError(f"scheme: 'light' or 'dark' are possible, got {scheme!r}")
    colors = dict(_PAPER[scheme])
    for i, color in enumerate(_SERIES[scheme]):
        colors[f"--series-{i}"] = color
        red, green, blue = _rgb(color)
        colors[f"--series-{i}-soft"] = f"rgba({red}, {green}, {blue}, 0.16)"
    colors["--map-low"], colors["--map-high"] = _MAP[scheme]
    low, high = _WINDOW[scheme]
    for i in range(STEPS):
        red, green, blue = _viridis(low + (high - low) * i / (STEPS - 1))
        colors[f"--step-{i}"] = f"#{red:02x}{green:02x}{blue:02x}"
        colors[f"--step-{i}-soft"] = f"rgba({red}, {green}, {blue}, 0.16)"
    return colors


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _viridis(t: float) -> tuple[int, int, int]:
    place = t * (len(_VIRIDIS) - 1)
    i = min(int(place), len(_VIRIDIS) - 2)
    a, b = _rgb(_VIRIDIS[i]), _rgb(_VIRIDIS[i + 1])
    red, green, blue = (round(p + (q - p) * (place - i)) for p, q in zip(a, b))
    return red, green, blue

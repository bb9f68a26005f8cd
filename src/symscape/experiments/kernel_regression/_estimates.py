"""Exponents of rows of a table, and findings made of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from symscape.lab import Figure, Finding, Table

if TYPE_CHECKING:
    from symscape.kernels import Kernel
    from symscape.scaling import PowerLaw


def increasing(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Validate a parameter: windows and nested sets are counted from the largest size, the last.

    Raises:
        ValueError: the sizes do not increase.
    """
    if any(b <= a for a, b in pairwise(sizes)):
        raise ValueError("sizes must increase")
    return sizes


def kernel(name: str, sigma: float) -> Kernel:
    """The kernel that a point names: ``laplace``, ``gaussian`` or ``matern-NU``."""
    from symscape.kernels import gaussian, laplace, matern

    if name.startswith("matern-"):
        return matern(float(name.removeprefix("matern-")), sigma)
    return laplace(sigma) if name == "laplace" else gaussian(sigma)


def power_law(
    table: Table, window: tuple[float, float], name: str = "error", x: str = "sizes"
) -> PowerLaw | None:
    """The power law of one array of all rows, fitted per seed; None without two values of x."""
    if not table:
        return None
    return fit_curves(table.rows[0][x], [row[name] for row in table], window)


def fit_curves(x: ArrayLike, y: ArrayLike, window: tuple[float, float]) -> PowerLaw | None:
    """The power law of curves, one per seed; None where no curve has two values in the window."""
    from symscape.scaling import fit_power_law

    sizes, curves = np.array(x, dtype=float), np.array(y, dtype=float)
    # An error that fell to zero, or below by rounding, has no logarithm.
    curves[~((curves > 0) & np.isfinite(curves))] = math.nan
    inside = (sizes >= window[0]) & (sizes <= window[1])
    if (~np.isnan(curves[:, inside])).sum(axis=1).max(initial=0) < 2:
        return None
    return fit_power_law(sizes, curves, window)


def exponent_finding(claim: str, fit: PowerLaw | None, table: Table, missing: str) -> Finding:
    """The exponent of a decay, positive, with its whole error; a note names the window."""
    if fit is None:
        return Finding(claim, None, None, missing)
    return Finding(claim, -fit.exponent, fit.error, window_note(fit), table.keys)


def window_note(fit: PowerLaw) -> str:
    """Where a power law was fitted, and its two errors."""
    low, high = fit.window
    parts = [f"Fit of {fit.n_points} sizes from {low:.4g} to {high:.4g}, {fit.n_seeds} seeds"]
    if fit.statistical is not None:
        parts.append(f"statistical error {fit.statistical:.2g}")
    if fit.systematic is not None:
        parts.append(f"drift over windows {fit.systematic:.2g}")
    return "; ".join(parts) + "."


def largest_deviation(
    claim: str, cases: Iterable[tuple[str, PowerLaw | None, float]], keys: list[str], missing: str
) -> Finding:
    """The largest distance of measured exponents from theory, with its statistical error."""
    known = [(label, fit, beta) for label, fit, beta in cases if fit is not None]
    if not known:
        return Finding(claim, None, None, missing)
    label, fit, beta = max(known, key=lambda case: abs(-case[1].exponent - case[2]))
    note = (
        f"Largest of {len(known)}: {label}, {-fit.exponent:.3f} against {beta:.3f}. "
        + window_note(fit)
    )
    return Finding(claim, abs(-fit.exponent - beta), fit.statistical, note, keys)


def draw_curve(
    figure: Figure,
    label: str,
    table: Table,
    name: str = "error",
    x: str = "sizes",
    group: int | None = None,
) -> None:
    """Geometric means over seeds against the sizes, with standard errors."""
    if not table:
        return
    sizes = np.array(table.rows[0][x], dtype=float)
    curves = np.array([row[name] for row in table], dtype=float)
    curves[~(curves > 0)] = math.nan
    shown = ~np.isnan(curves).all(axis=0)
    if not shown.any():
        return
    sizes, logs = sizes[shown], np.log(curves[:, shown])
    count = (~np.isnan(logs)).sum(axis=0)
    mean = np.exp(np.nanmean(logs, axis=0))
    error = mean * np.nanstd(logs, axis=0) / np.sqrt(np.maximum(count - 1, 1))
    figure.measured(label, sizes, mean, y_error=error, mode="lines+markers", group=group)


def draw_slope(figure: Figure, label: str, fit: PowerLaw | None, beta: float) -> None:
    """The thesis's slope through the fitted curve, over the window of the fit."""
    if fit is None:
        return
    n = np.array(fit.window)
    middle = math.sqrt(n[0] * n[1])
    level = fit.amplitude * middle**fit.exponent
    figure.thesis(label, n, level * (n / middle) ** -beta)

"""A number, its error, and the statistics over seeds that every experiment shares.

The seed is the unit: rows of one seed share their data and are correlated, so that each statistic
takes one number, or one curve, per seed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
T = TypeVar("T")

_NAMED = 6  # panels that a note lists beside the worst one, the next worse ones first
_ONE_SIGMA = 0.5 * (1.0 + math.erf(0.5**0.5))  # 0.8413: one-sided level of one standard deviation


class NoEstimate(ValueError):
    """There is no number; the message is one sentence that says why."""


@dataclass(frozen=True)
class Estimate:
    """A number with its error.

    Attributes:
        value: the number.
        error: half-width of the interval with 68.27 % confidence: the standard error over seeds
            times Student's factor, and what the analysis chose (windows, cut-offs) in quadrature;
            None where there is none, as for a single seed.
        note: what a reader must know, in whole sentences.
        n_seeds: how many seeds gave the error.
        panel: of several panels (depths, data sets, figures), the one that this number is of.
    """

    value: float
    error: float | None = None
    note: str = ""
    n_seeds: int | None = None
    panel: str = ""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        r"""Confidence interval ``value`` :math:`\pm t_{S-1}\,` standard error (Student's t).

        Raises:
            ValueError: no error or number of seeds, or a level outside (0, 1).
        """
        if self.error is None or self.n_seeds is None or self.n_seeds < 2:
            raise ValueError("interval: a single seed has no error bar; 2 or more are needed")
        if not 0 < level < 1:
            raise ValueError(f"level must be in (0, 1); got {level}")
        reach = _student_quantile(self.n_seeds - 1, 0.5 + level / 2)
        reach *= self.error / student(self.n_seeds)
        return self.value - reach, self.value + reach

    def noted(self, *sentences: str) -> Estimate:
        """The estimate with further sentences in its note."""
        return dataclasses.replace(self, note=" ".join(filter(None, (self.note, *sentences))))

    def scaled(self, factor: float) -> Estimate:
        """The estimate times a number that has no error."""
        error = None if self.error is None else abs(factor) * self.error
        return dataclasses.replace(self, value=factor * self.value, error=error)

    def shifted(self, offset: float) -> Estimate:
        """The estimate plus a number that has no error."""
        return dataclasses.replace(self, value=self.value + offset)

    def __neg__(self) -> Estimate:
        return self.scaled(-1.0)

    def __abs__(self) -> Estimate:
        return self.scaled(-1.0 if self.value < 0 else 1.0)


def student(n: int) -> float:
    """Factor from the standard error of ``n`` seeds to the half-width of 68.27 % confidence.

    1.84, 1.32, 1.20 for 2, 3, 4 seeds, and 1 for many.

    Raises:
        ValueError: n < 2.
    """
    if n < 2:
        raise ValueError(f"n: an error needs 2 seeds or more; got {n}")
    return _student_quantile(n - 1, _ONE_SIGMA)


def _student_quantile(freedom: int, level: float) -> float:
    from scipy.special import stdtrit  # the command line lists experiments without SciPy

    return float(stdtrit(freedom, level))


def mean(values: ArrayLike, note: str = "") -> Estimate:
    r"""Mean of one number per seed, with the error :math:`t\,s/\sqrt n`; one seed has no error.

    Args:
        values: (seeds,), of which none may be missing.
        note: of the estimate.

    Raises:
        NoEstimate: there is no value, or one is not finite.
    """
    sample = _sample(values)
    n = len(sample)
    if n == 1:
        return Estimate(float(sample[0]), None, note, 1)
    error = float(sample.std(ddof=1)) / math.sqrt(n) * student(n)
    return Estimate(float(sample.mean()), error, note, n)


def geometric_mean(values: ArrayLike, note: str = "") -> Estimate:
    """Geometric mean of one positive number per seed; the error is that of the logarithm.

    Raises:
        NoEstimate: there is no value, or one is not finite or not positive.
    """
    sample = _sample(values)
    if sample.min() <= 0:
        raise NoEstimate(f"A geometric mean needs positive numbers; one is {sample.min():.3g}.")
    return exponential(mean(np.log(sample), note))


def exponential(logarithm: Estimate) -> Estimate:
    """The number of which a logarithm was estimated."""
    value = math.exp(logarithm.value)
    error = None if logarithm.error is None else value * logarithm.error
    return dataclasses.replace(logarithm, value=value, error=error)


def share(k: int, n: int, note: str = "") -> Estimate:
    """Share ``k / n`` of independent cases; its error reaches the farther end of Wilson's interval.

    It is never zero: of 0 in n the error is ``1 / (n + 1)``.

    Raises:
        NoEstimate: n is 0.
        ValueError: not 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k: must be from 0 to n = {n}; got {k}")
    if n == 0:
        raise NoEstimate("There is no case of which a share could be counted.")
    p = k / n
    center = (p + 1 / (2 * n)) / (1 + 1 / n)
    half = math.sqrt(p * (1 - p) / n + 1 / (4 * n**2)) / (1 + 1 / n)
    error = max(center + half - p, p - center + half)
    return Estimate(p, error, note or f"{k} of {n}.", n)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """``a - b`` of independent estimates; of paired seeds take the mean of the differences."""
    return Estimate(a.value - b.value, _quadrature(a.error, b.error), a.note, _fewest(a, b))


def ratio(a: Estimate, b: Estimate) -> Estimate:
    """``a / b`` of independent estimates; of paired seeds take the geometric mean of the ratios.

    Raises:
        NoEstimate: b is 0.
    """
    if b.value == 0:
        raise NoEstimate("A ratio has no value where its denominator is 0.")
    value = a.value / b.value
    error = None
    if a.error is not None and b.error is not None:
        error = math.hypot(a.error, value * b.error) / abs(b.value)
    return Estimate(value, error, a.note, _fewest(a, b))


def spread(panels: Mapping[Any, Estimate], *, log: bool = False) -> Estimate:
    """Largest estimate minus smallest, or with ``log`` their ratio: do the panels differ?

    Raises:
        NoEstimate: fewer than two panels.
    """
    if len(panels) < 2:
        raise NoEstimate("Fewer than two panels have a number that could be compared.")
    low = min(panels, key=lambda name: panels[name].value)
    high = max(panels, key=lambda name: panels[name].value)
    found = (ratio if log else difference)(panels[high], panels[low])
    sign = "over" if log else "less"
    return dataclasses.replace(found, note=f"{high} {sign} {low} ({listed(panels)}).")


def scan(estimate: Callable[[Any], Estimate], windows: Sequence[Any], note: str = "") -> Estimate:
    """An estimate in its window, with the largest drift over other windows in its error.

    Args:
        estimate: of a window or another choice of the analysis (a cut-off, a number of bins).
        windows: the choices, the first of which gives the value. One in which there is no number
            is named in the note.
        note: of the estimate.

    Raises:
        NoEstimate: the first window has no number, or there is none to compare it with.
    """
    first = estimate(windows[0])
    others, missing = {}, []
    for window in windows[1:]:
        try:
            others[_label(window)] = estimate(window)
        except NoEstimate:
            missing.append(_label(window))
    if not others:
        raise NoEstimate("No other window has a number, so that its drift is not known.")
    drift = max(abs(other.value - first.value) for other in others.values())
    error = None if first.error is None else math.hypot(first.error, drift)
    said = f"In {_label(windows[0])}; drift {drift:.2g} over other windows ({listed(others)})."
    if missing:
        said += f" No number in {', '.join(missing)}."
    return dataclasses.replace(first, error=error).noted(said, note)


def bootstrap(
    items: Sequence[T],
    statistic: Callable[[list[T]], float],
    *,
    by: Callable[[T], Hashable] | None = None,
    resamples: int = 400,
    seed: int = 0,
    note: str = "",
) -> Estimate:
    r"""A statistic of many items, with the error from resampling whole clusters of them.

    The error is the standard deviation over resamples times :math:`\sqrt{S/(S-1)}` and Student's
    factor, S being the number of clusters.

    Args:
        items: what the statistic takes, for example rows of a table.
        statistic: of a list of items, in which some may stand several times. A resample of which it
            raises NoEstimate, or gives NaN, is left out and counted in the note.
        by: the cluster of an item, for example its seed; each item is one where this is None.
        resamples: number of resamples.
        seed: of the resampling.
        note: of the estimate.

    Raises:
        NoEstimate: there are no items, the statistic of all of them has no value, or more than
            half of the resamples have none.
    """
    if not items:
        raise NoEstimate("No run gives this number.")
    value = float(statistic(list(items)))
    if not math.isfinite(value):
        raise NoEstimate(f"The runs give {value}.")
    clusters: dict[Hashable, list[T]] = {}
    for place, item in enumerate(items):
        clusters.setdefault(place if by is None else by(item), []).append(item)
    S = len(clusters)
    if S == 1:
        return Estimate(value, None, note, 1)
    parts = list(clusters.values())
    random = np.random.default_rng(seed)
    values = []
    for chosen in random.integers(S, size=(resamples, S)):
        try:
            drawn = float(statistic([item for i in chosen for item in parts[i]]))
        except NoEstimate:
            continue
        if math.isfinite(drawn):
            values.append(drawn)
    lost = resamples - len(values)
    if lost > resamples / 2:
        raise NoEstimate(f"{lost} of {resamples} resamples of the {S} seeds give no number.")
    said = f"{lost} of {resamples} resamples gave no number." if lost else ""
    return Estimate(value, seed_error(values, S) * student(S), "", S).noted(note, said)


def worst(panels: Mapping[Any, Estimate | str], low: float, high: float) -> Estimate | str:
    """The panel that is nearest to leaving [low, high], or farthest outside, in its own errors.

    Args:
        panels: estimates by name of the panel; a sentence where a panel has no number, which
            counts as two errors outside, for it leaves the question open.
        low: lower edge, ``-math.inf`` for none.
        high: upper edge, ``math.inf`` for none.

    Returns:
        The estimate with its ``panel``, and the others in its note; or the sentence.

    Raises:
        NoEstimate: there are no panels.
    """
    if not panels:
        raise NoEstimate("No run gives this number.")

    def key(name: Any) -> tuple[float, float]:
        panel = panels[name]
        if isinstance(panel, str):
            return -2.0, 0.0
        return margin(panel, low, high), min(panel.value - low, high - panel.value)

    name = min(panels, key=key)
    found = panels[name]
    if isinstance(found, str):
        return f"{name}: {found}"
    ordered = ((n, panels[n]) for n in sorted(panels, key=key) if n != name)
    rest = [(n, panel) for n, panel in ordered if not isinstance(panel, str)]
    others = listed(dict(rest[:_NAMED]))
    more = f", and {len(rest) - _NAMED} more" if len(rest) > _NAMED else ""
    silent = [str(n) for n, p in panels.items() if isinstance(p, str)]
    return dataclasses.replace(found, panel=str(name)).noted(
        f"The others: {others}{more}." if rest else "",
        f"No number for {', '.join(silent)}." if silent else "",
    )


def margin(estimate: Estimate, low: float, high: float) -> float:
    """Distance from the nearer edge in errors, positive inside; infinite without an error."""
    if not math.isfinite(estimate.value):
        return -math.inf
    room = min(estimate.value - low, high - estimate.value)
    if not estimate.error:
        return math.inf if room >= 0 else -math.inf
    return room / estimate.error if math.isfinite(room) else math.inf


def listed(panels: Mapping[Any, Estimate]) -> str:
    """Estimates as text: ``"L = 2: 1.06 ± 0.05, L = 3: 0.87 ± 0.04"``."""
    return ", ".join(f"{_label(name)}: {number(panel)}" for name, panel in panels.items())


def number(estimate: Estimate) -> str:
    """An estimate as text: ``"1.063 ± 0.052"``."""
    value = f"{estimate.value:.4g}"
    return value if estimate.error is None else f"{value} ± {estimate.error:.2g}"


def seed_error(values: ArrayLike, S: int) -> float:
    """Standard deviation over resamples of ``S`` seeds, corrected for their small number."""
    return float(np.std(np.asarray(values, dtype=float))) * math.sqrt(S / (S - 1))


def _sample(values: ArrayLike) -> Array:
    sample = np.asarray(values, dtype=float).ravel()
    if sample.size == 0:
        raise NoEstimate("No run gives this number.")
    missing = int((~np.isfinite(sample)).sum())
    if missing:
        raise NoEstimate(f"{missing} of {sample.size} values are not finite.")
    return sample


def _quadrature(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else math.hypot(a, b)


def _fewest(a: Estimate, b: Estimate) -> int | None:
    known = [n for n in (a.n_seeds, b.n_seeds) if n is not None]
    return min(known, default=None)


def _label(window: Any) -> str:
    if isinstance(window, tuple) and len(window) == 2 and not isinstance(window[0], str):
        return f"[{window[0]:g}, {window[1]:g}]"
    return f"{window:g}" if isinstance(window, float) else str(window)

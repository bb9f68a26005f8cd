"""The transition N*: the smallest network that still fits (Ch. 1, Sec. III)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from symscape._arguments import integer

__all__ = ["Outcome", "Transition", "Trial", "find_transition", "fit_transition", "search_width"]

Outcome = Literal["sat", "unsat", "censored"]
"""How a training run ended: fitted, at a minimum of positive loss, or out of budget."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One training run: its width, its seed and how it ended."""

    h: int
    seed: int
    outcome: Outcome


@dataclass(frozen=True)
class Transition:
    r"""Where networks stop fitting.

    Attributes:
        N_star: median over seeds of the smallest N that fits (the definition of the thesis);
            None where that median lies above the largest width tried.
        error: one standard deviation: the bootstrap over seeds and the spacing of the widths
            (uniform, so spacing / sqrt(12)), added in squares; None where ``N_star`` is.
        bound_only: True where a run out of budget, or the end of the range, and not an
            unsatisfiable one, is what lies below the smallest fit in half of the seeds or more;
            then ``N_star`` is only an upper bound.
        h_star: smallest width that fits, by seed; None where no width did.
        N_half: N at which half of the runs fit, from a logistic fit of P(sat) against log N to
            the runs that are not censored; None where they all ended alike.
        N_half_interval: bootstrap interval of ``N_half`` over seeds, 16 % to 84 %.
        slope: slope of the logistic function in log N; bounded by what the spacing of the
            widths can resolve.
        trials: all runs, in the order given.
    """

    N_star: float | None
    error: float | None
    bound_only: bool
    h_star: dict[int, int | None]
    N_half: float | None
    N_half_interval: tuple[float, float] | None
    slope: float | None
    trials: tuple[Trial, ...]

    @property
    def censored(self) -> tuple[Trial, ...]:
        """The runs that ran out of budget: neither fitted nor unsatisfiable."""
        return tuple(trial for trial in self.trials if trial.outcome == "censored")


def search_width(
    fits: Callable[[int, int], str],
    seed: int,
    *,
    guess: int,
    h_max: int,
    h_min: int = 1,
    growth: float = 1.25,
    resolution: float = 0.0,
) -> list[Trial]:
    """Bracket and bisect the smallest width that fits, for one seed.

    From the guess it moves down while runs fit, or up until one does, by a factor ``growth``
    that squares at every step, then bisects. It never trains a width above one known to fit, as
    runs far above the transition cost the most per step and tell nothing. A censored run moves
    the search like an unsatisfiable one, and stays marked.

    Args:
        fits: ``fits(h, seed)`` trains a network of width h and returns "sat", "unsat" or
            "censored".
        seed: passed on.
        guess: width to start from; clipped to ``[h_min, h_max]``.
        h_max: largest width to try.
        h_min: smallest width to try, at least 1.
        growth: first factor of the bracketing steps, > 1.
        resolution: stop once the bracket is narrower than this fraction of the width; 0 goes
            down to neighboring integers.

    Returns:
        The runs made, in order.

    Raises:
        ValueError: an argument out of range, or ``fits`` returns something else.
    """
    guess, h_min, h_max = integer("guess", guess), integer("h_min", h_min), integer("h_max", h_max)
    _check_range(h_min, h_max, growth, resolution)
    trials: list[Trial] = []

    def run(h: int) -> bool:
        outcome = fits(h, seed)
        if outcome not in get_args(Outcome):
            raise ValueError(f"fits must return one of {get_args(Outcome)}; got {outcome!r}")
        trials.append(Trial(h, seed, outcome))  # type: ignore[arg-type]
        return outcome == "sat"

    h = min(max(guess, h_min), h_max)
    factor = growth
    if run(h):
        fit, fail = h, h_min - 1
        while fit > h_min:
            h = max(h_min, min(fit - 1, math.floor(fit / factor)))
            if not run(h):
                fail = h
                break
            fit, factor = h, factor**2
    else:
        fit, fail = h_max + 1, h
        while fail < h_max:
            h = min(h_max, max(fail + 1, math.ceil(fail * factor)))
            if run(h):
                fit = h
                break
            fail, factor = h, factor**2
        else:
            return trials
    while fit - fail > max(1.0, resolution * fit):
        h = (fit + fail) // 2
        if run(h):
            fit = h
        else:
            fail = h
    return trials


def find_transition(
    fits: Callable[[int, int], str],
    n_weights: Callable[[int], float],
    *,
    guess: int,
    h_max: int,
    seeds: Sequence[int] = (0, 1, 2),
    h_min: int = 1,
    growth: float = 1.25,
    resolution: float = 0.0,
    resamples: int = 400,
) -> Transition:
    """Find ``N*`` with an error bar: one search per seed, each from the last one's result.

    Args:
        fits: ``fits(h, seed)`` trains a network of width h and returns "sat", "unsat" or
            "censored".
        n_weights: number of weights N of a network of width h, increasing.
        guess: width from which the first seed starts, e.g. from a neighboring number of patterns.
        h_max: largest width to try.
        seeds: one search each; all different.
        h_min: smallest width to try.
        growth: first factor of the bracketing steps of the first seed that fits.
        resolution: relative width of the final bracket; 0: neighboring integers.
        resamples: number of bootstrap resamples over seeds.

    Raises:
        ValueError: no or repeated seeds, ``resamples`` < 2, or as ``search_width``.
    """
    if len(seeds) == 0 or len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds must be different and at least one; got {list(seeds)}")
    resamples = integer("resamples", resamples, 2)
    trials: list[Trial] = []
    for seed in seeds:
        found = search_width(
            fits,
            seed,
            guess=guess,
            h_max=h_max,
            h_min=h_min,
            growth=growth,
            resolution=resolution,
        )
        trials += found
        fitted = [trial.h for trial in found if trial.outcome == "sat"]
        if fitted:
            # seeds differ little: the next one starts here, with finer steps
            guess, growth = min(fitted), min(growth, 1.06)
    return fit_transition(trials, n_weights, resamples=resamples)


def fit_transition(
    trials: Iterable[Trial],
    n_weights: Callable[[int], float],
    *,
    resamples: int = 400,
    seed: int = 0,
) -> Transition:
    """Read ``N*`` off finished runs, however they were chosen; see ``Transition``.

    Args:
        trials: runs of any widths and seeds.
        n_weights: number of weights N of a network of width h, increasing.
        resamples: number of bootstrap resamples over seeds, at least 2.
        seed: seed of the bootstrap.

    Raises:
        ValueError: no runs, ``resamples`` < 2, or an unknown outcome.
    """
    runs = tuple(trials)
    if not runs:
        raise ValueError("trials must hold at least one run; got none")
    resamples = integer("resamples", resamples, 2)
    for trial in runs:
        if trial.outcome not in get_args(Outcome):
            raise ValueError(f"outcome must be one of {get_args(Outcome)}; got {trial.outcome!r}")
    seeds = sorted({trial.seed for trial in runs})
    draws = np.random.default_rng(seed).integers(len(seeds), size=(resamples, len(seeds)))
    brackets = [_bracket([t for t in runs if t.seed == s]) for s in seeds]
    N_star, error = _median_fit(brackets, n_weights, draws)
    N_half, interval, slope = _logistic(runs, seeds, n_weights, draws)
    unproven = [not proven for h, _, proven in brackets if h is not None]
    return Transition(
        N_star=N_star,
        error=error,
        bound_only=bool(unproven) and sum(unproven) * 2 >= len(unproven),
        h_star={s: h for s, (h, _, _) in zip(seeds, brackets, strict=True)},
        N_half=N_half,
        N_half_interval=interval,
        slope=slope,
        trials=runs,
    )


_Bracket = tuple[int | None, int | None, bool]


def _bracket(trials: list[Trial]) -> _Bracket:
    """Smallest width that fits, the next smaller one tried, and whether that is unsatisfiable."""
    h_star = min((t.h for t in trials if t.outcome == "sat"), default=None)
    if h_star is None:
        return None, None, False
    below = [t for t in trials if t.h < h_star]
    if not below:
        return h_star, None, False
    nearest = max(below, key=lambda t: t.h)
    return h_star, nearest.h, nearest.outcome == "unsat"


def _median_fit(
    brackets: list[_Bracket], n_weights: Callable[[int], float], draws: NDArray[np.int64]
) -> tuple[float | None, float | None]:
    """Median over seeds of the smallest N that fits, and its standard deviation."""
    smallest = np.array([math.inf if h is None else n_weights(h) for h, _, _ in brackets])
    # the middle value itself, so that seeds without a fit count as larger than all others
    middle = (len(brackets) - 1) // 2, len(brackets) // 2

    def median(values: Array) -> Array:
        ranked = np.sort(values, axis=-1)
        return 0.5 * (ranked[..., middle[0]] + ranked[..., middle[1]])

    N_star = float(median(smallest))
    if not math.isfinite(N_star):
        return None, None
    finite = [(h, below) for h, below, _ in brackets if h is not None]
    spacing = float(np.median([n_weights(h) - _next_smaller(h, b, n_weights) for h, b in finite]))
    resampled = median(smallest[draws])
    resampled = resampled[np.isfinite(resampled)]
    return N_star, math.hypot(float(np.std(resampled)), spacing / math.sqrt(12))


def _next_smaller(h: int, tried: int | None, n_weights: Callable[[int], float]) -> float:
    """N of the width tried below ``h``, or of the next integer; no network is below h = 1."""
    below = h - 1 if tried is None else tried
    return n_weights(below) if below > 0 else 0.0


def _logistic(
    runs: tuple[Trial, ...],
    seeds: list[int],
    n_weights: Callable[[int], float],
    draws: NDArray[np.int64],
) -> tuple[float | None, tuple[float, float] | None, float | None]:
    """Maximum likelihood on a grid of midpoints and slopes, and its bootstrap over seeds.

    The likelihood of each seed is tabulated once; a resample is a sum of tables. The steepest
    slope allowed crosses from 12 % to 88 % within the smallest spacing of the widths tried,
    which settles the fit where the outcomes separate completely.
    """
    decided = [t for t in runs if t.outcome != "censored"]
    if len({t.outcome for t in decided}) < 2:
        return None, None, None
    log_N = np.array([math.log(n_weights(t.h)) for t in decided])
    sign = np.array([1.0 if t.outcome == "sat" else -1.0 for t in decided])
    owner = np.array([seeds.index(t.seed) for t in decided])
    distinct = np.unique(log_N)
    if distinct.size == 1:
        return math.exp(distinct[0]), None, None
    steepest = 4 / np.diff(distinct).min()
    slopes = np.geomspace(min(1.0, steepest / 100), steepest, 60)
    middles = np.linspace(distinct[0], distinct[-1], 401)
    arguments = slopes[:, None] * (log_N[:, None, None] - middles)
    surprise = np.logaddexp(0, -sign[:, None, None] * arguments)
    table = np.stack([surprise[owner == index].sum(0) for index in range(len(seeds))])
    flat = table.reshape(len(seeds), -1)
    slope_index, middle_index = divmod(int(flat.sum(0).argmin()), middles.size)
    counts = np.stack([(draws == index).sum(1) for index in range(len(seeds))], 1)
    resampled = middles[(counts @ flat).argmin(1) % middles.size]
    low, high = np.exp(np.quantile(resampled, [0.16, 0.84]))
    return (
        math.exp(middles[middle_index]),
        (float(low), float(high)),
        float(slopes[slope_index]),
    )


def _check_range(h_min: int, h_max: int, growth: float, resolution: float) -> None:
    if not 1 <= h_min <= h_max:
        raise ValueError(f"h_min and h_max must satisfy 1 <= h_min <= h_max; got {h_min}, {h_max}")
    if not growth > 1:
        raise ValueError(f"growth must be larger than 1; got {growth}")
    if not 0 <= resolution < 1:
        raise ValueError(f"resolution must be in [0, 1); got {resolution}")

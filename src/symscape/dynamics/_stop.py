"""When a run ends, and what it writes down on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from symscape._arguments import integer, integer_fields, refused

__all__ = ["Observable", "Plateau", "Record", "Status", "Stop"]

Status = Literal["converged", "stalled", "out_of_budget", "diverged"]
Observable = Literal["displacement", "output_norm", "predictor_norm"]


@dataclass(frozen=True)
class Plateau:
    """Stop when the loss fell by less than the fraction ``fraction`` over ``steps`` steps.

    Args:
        steps: length of the window in steps, >= 1.
        fraction: relative decrease below which the run counts as stalled, in (0, 1).
    """

    steps: int
    fraction: float = 1e-3

    def __post_init__(self) -> None:
        integer_fields(self, steps=1)
        if not 0 < self.fraction < 1:
            raise ValueError(f"fraction: {self.fraction!r} given; allowed: a number in (0, 1)")


@dataclass(frozen=True)
class Stop:
    """When a run ends.

    Args:
        max_steps: largest number of (accepted) steps; the run is then ``out_of_budget``.
        max_time: flow time at which the run ends, or None; ``out_of_budget``. Flows shorten
            their last step to end at it exactly.
        wall_time: seconds of computation, or None; ``out_of_budget``.
        zero_loss: end as ``converged`` as soon as no constraint is unsatisfied (N_Delta = 0). For
            flows the time of it is located inside the step.
        loss_below: end as ``converged`` when the mean of the loss function over the training set
            (with alpha: alpha^2 times the loss) is below it, or None. The default counts a
            quadratic hinge that decays to 0 without ever crossing it as fitted.
        plateau: end as ``stalled`` when the loss stops falling, or None.
        check_every: steps between two looks at the conditions (stochastic methods evaluate the
            full training set for each); recorded steps are looked at as well.
    """

    max_steps: int = 100_000
    max_time: float | None = None
    wall_time: float | None = None
    zero_loss: bool = True
    loss_below: float | None = 1e-12
    plateau: Plateau | None = None
    check_every: int = 1

    def __post_init__(self) -> None:
        integer_fields(self, max_steps=0, check_every=1)
        for name in ("max_time", "wall_time", "loss_below"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name}: {value!r} given; allowed: None or a number >= 0")


@dataclass(frozen=True)
class Record:
    r"""When a run writes a line of its history, what else it says, and at which losses the weights
    are kept.

    Step 0 and the last step are always recorded. Observables are computed at recorded steps only:

    ================== ====================================================================
    ``displacement``   :math:`\|w - w_0\| / \|w_0\|`; networks only
    ``output_norm``    root mean square of f over the training set, and ``test_output_norm``
                       over the test set if there is one
    ``predictor_norm`` the two of the predictor F (f itself without alpha), likewise
    ================== ====================================================================

    Args:
        per_decade: steps per factor of ten, logarithmically spaced; 0 for none.
        every: also every so many steps, or None.
        loss_levels: the weights are kept where the loss (with alpha: alpha^2 times the loss) first
            falls to each level (see :class:`Snapshot`).
        observables: names of further columns of the history.
        keep_steps: the weights are kept at these steps too (of methods that reject steps: at the
            first look after them); runs that end before have none.
    """

    per_decade: int = 20
    every: int | None = 1000
    loss_levels: tuple[float, ...] = ()
    observables: tuple[Observable, ...] = ()
    keep_steps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        integer_fields(self, per_decade=0)
        if self.every is not None:
            integer_fields(self, every=1)
        kept = tuple(integer("keep_steps", step, 0) for step in self.keep_steps)
        object.__setattr__(self, "keep_steps", kept)
        for name in self.observables:
            if name not in get_args(Observable):
                raise refused("observables", name, ", ".join(get_args(Observable)))

    def steps(self) -> Iterator[float]:
        """The steps to record, increasing, without end (infinity once there are no more)."""
        step: float = 0
        yield step
        while True:
            following = [math.inf]
            if self.every is not None:
                following.append((step // self.every + 1) * self.every)
            if self.per_decade:
                rung = math.floor(self.per_decade * math.log10(max(step, 1)) + 1e-9) + 1
                while (at := round(10 ** (rung / self.per_decade))) <= step:
                    rung += 1
                following.append(1 if step == 0 else at)
            step = min(following)
            yield step

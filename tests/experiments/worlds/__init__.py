"""Made-up worlds: results of an experiment's points as they would be where the thesis is true, and
where it is false.

Every measured claim must come out in the one and never in the other. A false world is the plausible
alternative (the effect is absent, has the opposite sign, or another exponent), not missing numbers.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symscape import lab
from symscape.lab import Point, Result, Row, Table

Measure = Callable[[Point, np.random.Generator], Result]
"""Stands in for ``measure``: results of a point, with noise from the generator."""


@dataclass(frozen=True)
class World:
    """The two worlds of one experiment.

    Args:
        experiment: its registered name.
        true: results where the thesis is true.
        false: where it is false, for all measured claims or by id.
        profile: whose parameters the points have.
        overrides: parameters that are replaced, so that there are fewer points.
        points: in place of the experiment's, where those need data that may not be there.
    """

    experiment: str
    true: Measure
    false: Measure | Mapping[str, Measure]
    profile: str = "overnight"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    points: Callable[[Any], Iterable[Point]] | None = None

    @property
    def parameters(self) -> Any:
        """The parameters of its points."""
        return lab.find(self.experiment).parameters(self.profile, self.overrides)

    def table(self, measure: Measure) -> Table:
        """The points with made-up results; each point has a generator of its own."""
        points = self.points or lab.find(self.experiment).points
        return Table(
            Row(point, measure(point, np.random.default_rng(place)), key=str(place))
            for place, point in enumerate(points(self.parameters))
        )

    def falsified(self, claim: str) -> Measure | None:
        """The false world of a claim, None where there is none."""
        return self.false.get(claim) if isinstance(self.false, Mapping) else self.false


def worlds() -> dict[str, World]:
    """The worlds of all chapters, by experiment."""
    modules = [
        importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)
    ]
    return {world.experiment: world for module in modules for world in module.WORLDS}

"""Parameters that the experiments of the jamming chapter share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from symscape import lab

Depth = Annotated[int, Field(ge=1, le=100)]
"""Number of hidden layers L."""

Width = Annotated[int, Field(ge=1, le=100_000)]
"""Width h of the hidden layers."""

Patterns = Annotated[int, Field(ge=2)]
"""Number of patterns P."""

Dimension = Annotated[int, Field(ge=1, le=784)]
"""Input dimension d; of digits, principal components."""

Ratio = Annotated[float, Field(gt=0, le=1000)]
"""P / N."""


class HingeTraining(lab.Parameters):
    """Descent on the quadratic hinge until at rest, see :func:`._state.train_hinge`."""

    seeds: int = Field(ge=1, description="independent data sets and initializations")
    steps: int = Field(ge=100, description="ADAM steps at the full rate")
    iterations: int = Field(ge=0, default=1000, description="L-BFGS iterations of a round")
    learning_rate: float = Field(gt=0, le=1, default=3e-4, description="ADAM rate at the start")
    final_rate: float = Field(
        gt=0, le=1, default=1e-7, description="ADAM rate at the end of the decay"
    )

    @property
    def training(self) -> dict[str, Any]:
        """What a point needs to be trained."""
        return {
            "steps": self.steps,
            "iterations": self.iterations,
            "learning_rate": self.learning_rate,
            "final_rate": self.final_rate,
        }


def pinned_digits(source: str, largest: int, *, n_test: int = 0) -> str:
    """The pinned name of the digits that a sweep uses.

    Args:
        source: a name that :func:`symscape.datasets.resolve` knows.
        largest: the largest training set of the sweep.
        n_test: digits that must be left to test on.

    Raises:
        ValueError: the data are not found, or hold fewer digits.
    """
    from symscape.datasets import resolve

    found = resolve(source)
    if largest + n_test > found.n:
        for_test = f" and {n_test} to test on" if n_test else ""
        raise ValueError(
            f"{largest} digits{for_test} are asked for, and {found.name} holds {found.n}; "
            "`symscape data fetch mnist` brings all 70,000"
        )
    return found.pinned

"""Explicit Runge-Kutta pairs as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOGACKI_SHAMPINE", "ButcherTableau"]


@dataclass(frozen=True)
class ButcherTableau:
    r"""An explicit embedded pair for :math:`\dot w = g(w)` whose last stage is the new point.

    .. math::
        k_i = g\Big(w + \Delta t\sum_{j<i} a_{ij}k_j\Big), \qquad
        w' = w + \Delta t\sum_j b_j k_j, \qquad
        e = \Delta t\sum_j (b_j - \hat b_j) k_j.

    The last row of ``a`` must be ``b`` (without its last entry, 0): the last stage is the slope
    at w', and the first stage of the next step.

    Attributes:
        name: name of the pair.
        order: order p of w'.
        a: rows of the stages 2, 3, ...
        b: weights of the solution, one per stage.
        b_embedded: weights of the embedded solution, of order p - 1.
    """

    name: str
    order: int
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    b_embedded: tuple[float, ...]

    def __post_init__(self) -> None:
        stages = len(self.b)
        if [len(row) for row in self.a] != list(range(1, stages)):
            raise ValueError(
                f"a: rows of {[len(row) for row in self.a]} entries; allowed: 1, 2, ..."
            )
        if len(self.b_embedded) != stages:
            raise ValueError(f"b_embedded: {len(self.b_embedded)} weights; allowed: {stages}")
        if (*self.a[-1], 0.0) != self.b:
            raise ValueError(
                "a: its last row differs from b; allowed: pairs whose last stage is w'"
            )

    @property
    def error(self) -> tuple[float, ...]:
        """The weights of the error, b - b_embedded."""
        return tuple(b - other for b, other in zip(self.b, self.b_embedded, strict=True))


BOGACKI_SHAMPINE = ButcherTableau(
    name="Bogacki-Shampine 3(2)",
    order=3,
    a=((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    b=(2 / 9, 1 / 3, 4 / 9, 0.0),
    b_embedded=(7 / 24, 1 / 4, 1 / 3, 1 / 8),
)
"""Third order with an embedded second order, four stages, three evaluations per step."""

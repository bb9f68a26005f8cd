"""What SGD does to the peak of the test error at jamming (Sec. 8.3)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.discussion._sgd import (
    FLOW,
    SgdTraining,
    measure_members,
    member_seconds,
)
from symscape.lab import Claim

Width = Annotated[int, Field(ge=2, le=4096)]
Batch = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]

ALPHA = 10.0
"""The rescaled alpha, sqrt(h) alpha: near the cross-over."""


class SgdJammingParameters(SgdTraining):
    P: int = Field(ge=32, default=128, description="training points")
    members: int = Field(ge=2, default=6, description="networks of one data set and width")
    widths: Annotated[tuple[Width, ...], AfterValidator(lab.increasing)] = Field(
        min_length=3, description="widths, below and beyond jamming"
    )
    methods: tuple[tuple[Batch, Rate], ...] = Field(
        min_length=1, description="(B, rate) of SGD, B = 0 for the full batch; rate in limits"
    )
    horizon: float = Field(gt=0, default=20_000.0, description="time of training, in limits")


CLAIMS: tuple[Claim, ...] = ()


@lab.register
class SgdJamming(lab.Experiment):
    """Ch. 8, Sec. 8.3."""

    name = "discussion-sgd-jamming"
    chapter = "8"
    title = "What SGD does to double descent"
    summary = (
        "Narrow networks on the parity of digits, from too few parameters to fit to many more, "
        "trained by SGD and by gradient flow for the same time from the same starts. Where they "
        "begin to fit, how large their outputs become there, and how high the test error peaks."
    )
    sources = ("Ch. 8, Sec. 8.3",)
    version = 1
    Parameters = SgdJammingParameters
    profiles = {  # noqa: RUF012
        "smoke": SgdJammingParameters(
            P=64,
            n_test=200,
            members=2,
            widths=(3, 6, 16),
            methods=((16, 16.0),),
            horizon=1000.0,
            seeds=1,
        ),
        "quick": SgdJammingParameters(
            P=64,
            members=4,
            widths=(2, 3, 4, 6, 10, 20),
            methods=((16, 16.0), (4, 4.0)),
            horizon=5000.0,
            seeds=2,
        ),
        "overnight": SgdJammingParameters(
            widths=(3, 4, 5, 6, 8, 10, 14, 20, 32),
            methods=((16, 4.0), (0, 32.0), (16, 16.0), (4, 4.0)),
            seeds=5,
        ),
        "paper": SgdJammingParameters(
            P=1000,
            n_test=10_000,
            members=20,
            widths=(4, 6, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40, 56, 80, 160),
            methods=((64, 4.0), (16, 4.0), (0, 32.0), (64, 64.0), (16, 16.0), (4, 4.0)),
            horizon=200_000.0,
            seeds=10,
        ),
    }
    claims = CLAIMS

    def points(self, p: SgdJammingParameters) -> list[dict[str, Any]]:
        sgd = [{"batch": batch or p.P, "rate": rate} for batch, rate in p.methods]
        return list(
            lab.grid(
                p.seeds,
                h=p.widths,
                method=[FLOW, *sgd],
                alpha=ALPHA,
                components=10,
                compare=False,
                horizon=p.horizon,
                members=p.members,
                **p.common(),
            )
        )

    def cost(self, point: dict[str, Any]) -> float:
        return 0.05 + point["members"] * member_seconds(point)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        return measure_members(point)

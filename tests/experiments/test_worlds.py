"""Every measured claim comes out where the thesis is true, and never where it is false."""

from __future__ import annotations

import pytest
from worlds import Measure, worlds

from symscape import lab
from symscape.lab import Claim, Table

lab.discover(["symscape.experiments"])
WORLDS = worlds()
MEASURED = [
    pytest.param(name, claim, id=claim.id)
    for name, experiment in lab.registry().items()
    for claim in experiment.claims
    if claim.kind == "measured"
]


TABLES: dict[tuple[str, int], Table] = {}


def table(name: str, measure: Measure) -> Table:
    """The table of a world, made once; a measure need not be hashable."""
    key = name, id(measure)
    if key not in TABLES:
        TABLES[key] = WORLDS[name].table(measure)
    return TABLES[key]


def judged(name: str, claim: Claim, measure: Measure) -> lab.Verdict:
    world = WORLDS[name]
    return lab.verdict(claim, table(name, measure), world.parameters, world.profile)


@pytest.mark.parametrize(("name", "claim"), MEASURED)
def test_comes_out_where_the_thesis_is_true(name: str, claim: Claim) -> None:
    found = judged(name, claim, WORLDS[name].true)
    assert found.status == "reproduced", found.reason


@pytest.mark.parametrize(("name", "claim"), MEASURED)
def test_does_not_come_out_where_the_thesis_is_false(name: str, claim: Claim) -> None:
    false = WORLDS[name].falsified(claim.id)
    assert false is not None, "the claim has no false world"
    found = judged(name, claim, false)
    assert found.status != "reproduced", found.reason
    assert found.estimate is not None, f"nothing was measured there: {found.reason}"

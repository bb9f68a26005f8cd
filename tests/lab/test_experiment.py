import sys
from pathlib import Path
from typing import Any, Self

import pytest
from demo_experiment import Demo, DemoParameters
from pydantic import model_validator

from symscape.lab import Experiment, InputError, discover, expand, find, register


def test_overrides_are_validated_as_a_whole() -> None:
    assert Demo().parameters("smoke", {"points": 7}).points == 7  # type: ignore[attr-defined]
    assert Demo().parameters("smoke") == Demo.profiles["smoke"]


@pytest.mark.parametrize(
    ("profile", "overrides", "sentence"),
    [
        ("quik", {}, r"no profile 'quik'.*smoke, quick.*Did you mean 'quick'\?"),
        ("smoke", {"ponts": 3}, r"no parameter 'ponts'.*seeds.*Did you mean 'points'\?"),
        ("smoke", {"points": 0}, r"'points' was given as 0: .*greater than or equal to 1"),
        ("smoke", {"slope": "steep"}, r"'slope' was given as 'steep': .*number"),
    ],
)
def test_wrong_input_is_named_with_what_is_allowed(
    profile: str, overrides: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        Demo().parameters(profile, overrides)
    assert "\n" not in str(caught.value)


def test_what_a_validator_says_of_several_parameters_is_one_sentence_of_ours() -> None:
    class Parameters(DemoParameters):
        @model_validator(mode="after")
        def _check(self) -> Self:
            if self.points * self.seeds > 1000:
                raise ValueError("points times seeds must be at most 1000")
            return self

    class Limited(Demo):
        pass

    Limited.Parameters = Parameters  # type: ignore[misc]
    with pytest.raises(InputError, match="do not fit together: points times seeds must be at"):
        Limited().parameters("smoke", {"points": 100, "seeds": 11})


def test_an_unknown_experiment_gets_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"'demo-lime'. Did you mean 'demo-line'\?"):
        find("demo-lime")


def test_a_point_may_not_be_yielded_twice() -> None:
    class Twice(Demo):
        def points(self, p: DemoParameters) -> list[dict[str, Any]]:
            return 2 * super().points(p)

    with pytest.raises(InputError, match="a point twice"):
        expand(Twice(), "smoke")


def test_missing_data_are_an_input_error() -> None:
    class NoData(Demo):
        def points(self, p: DemoParameters) -> list[dict[str, Any]]:
            raise FileNotFoundError("mnist is not there; symscape data fetch mnist")

    with pytest.raises(InputError, match="cannot be set up: mnist is not there"):
        expand(NoData(), "smoke")


def test_incomplete_or_inconsistent_experiments_are_refused() -> None:
    class Abstract(Experiment):
        name = "abstract"

    with pytest.raises(ValueError, match=r"Abstract lacks chapter.*measure"):
        register(Abstract)
    with pytest.raises(ValueError, match=r"'demo-line' of .* is already taken"):
        register(type("Impostor", (Demo,), {}))
    with pytest.raises(ValueError, match="lower case"):
        register(type("Loud", (Demo,), {"name": "LOUD"}))
    with pytest.raises(ValueError, match="'huge'"):
        register(type("Huge", (Demo,), {"name": "huge", "profiles": {"huge": None}}))


def test_modules_of_experiments_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "third_party_experiments.py").write_text(
        "from demo_experiment import Demo\n"
        "from symscape.lab import register\n"
        "@register\n"
        "class Third(Demo):\n"
        "    name = 'third-party'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SYMSCAPE_EXPERIMENTS", "third_party_experiments")
    try:
        assert "third-party" in discover()
    finally:
        from symscape.lab import _experiment

        _experiment._REGISTRY.pop("third-party", None)
        sys.modules.pop("third_party_experiments", None)

    monkeypatch.setenv("SYMSCAPE_EXPERIMENTS", "no_such_module")
    with pytest.raises(InputError, match="'no_such_module' cannot be imported"):
        discover()

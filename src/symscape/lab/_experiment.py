"""What an experiment is, and the registry of all of them."""

from __future__ import annotations

import importlib
import inspect
import itertools
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from symscape.lab._claims import PROFILES, Claim
from symscape.lab._errors import InputError, did_you_mean
from symscape.lab._table import Point, Result, Table

if TYPE_CHECKING:
    from symscape.lab._figures import Figure

T = TypeVar("T")

ENTRY_POINTS = "symscape.experiments"
"""Entry-point group in which another distribution names its modules of experiments."""

ENVIRONMENT = "SYMSCAPE_EXPERIMENTS"
"""Environment variable with further modules of experiments, separated by ``:`` or ``,``."""


class Parameters(BaseModel):
    """Base of an experiment's parameters: frozen, and a misspelt name is an error.

    Give every field bounds and a description: ``P: int = Field(ge=1, description="patterns")``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def increasing(sizes: tuple[T, ...]) -> tuple[T, ...]:
    """Validator of a parameter whose values must increase.

    Raises:
        ValueError: they do not.
    """
    if any(b <= a for a, b in itertools.pairwise(sizes)):  # type: ignore[operator]
        raise ValueError("sizes must increase")
    return sizes


class Experiment(ABC):
    """A figure or table of the thesis as a sweep of independent points.

    A subclass sets the class variables, writes the methods and is registered with
    :func:`register`. Modules of experiments are imported by ``symscape list``, so they import
    torch and the library inside their methods.
    """

    name: ClassVar[str]
    """Unique, lower case with hyphens: ``"jamming-transition"``."""
    chapter: ClassVar[str]
    """Chapter of the thesis, ``"0"`` for the introduction."""
    title: ClassVar[str]
    """Title of the page of the report."""
    summary: ClassVar[str]
    """Two or three sentences for the page of the report."""
    sources: ClassVar[tuple[str, ...]]
    """Figures and tables that it reproduces: ``("Paper A, Fig. 6", "Paper B, Fig. 3B")``."""
    version: ClassVar[int] = 1
    """Part of every key: raise it when ``measure`` changes, and old results are left aside."""
    Parameters: ClassVar[type[BaseModel]]
    """The validated parameters (a subclass of :class:`symscape.lab.Parameters`)."""
    profiles: ClassVar[Mapping[str, BaseModel]]
    """Parameters of the profiles ``smoke``, ``quick``, ``overnight`` and ``paper``."""
    claims: ClassVar[tuple[Claim, ...]] = ()
    """The claims, each with its answer."""

    @abstractmethod
    def points(self, p: Any) -> Iterable[Point]:
        """Expand the parameters into points: cheap, and complete in themselves.

        A point holds JSON scalars and lists, among them an integer ``"seed"``, and all that
        ``measure`` needs (the data source that was found, for example).
        """

    def cost(self, point: Point) -> float:
        """Estimate the seconds that a point takes on one core; long ones are started first."""
        return 1.0

    @abstractmethod
    def measure(self, point: Point) -> Result:
        """Measure one point: a pure function of it, with no randomness beyond its seed.

        Returns:
            Numpy arrays, numbers, strings and booleans by name; no name of the point again.
        """

    def figures(self, table: Table, p: Any) -> list[Figure]:
        """Draw the figures of the report from the finished points (which may be few, or none)."""
        return []

    def parameters(self, profile: str, overrides: Mapping[str, Any] | None = None) -> BaseModel:
        """Return the parameters of a profile, some of them replaced, validated as a whole.

        Args:
            profile: one of ``self.profiles``.
            overrides: values by name of parameter.

        Raises:
            InputError: for an unknown profile or parameter (the nearest name is suggested) and
                for a value out of its bounds; the sentence says what is allowed.
        """
        if profile not in self.profiles:
            raise InputError(
                f"Experiment '{self.name}' has no profile '{profile}'; it has "
                f"{', '.join(self.profiles)}.{did_you_mean(profile, self.profiles)}"
            )
        chosen = self.profiles[profile]
        if not overrides:
            return chosen
        fields = self.Parameters.model_fields
        for name in overrides:
            if name not in fields:
                raise InputError(
                    f"Experiment '{self.name}' has no parameter '{name}'; it has "
                    f"{', '.join(fields)}.{did_you_mean(name, fields)}"
                )
        try:
            return self.Parameters.model_validate({**chosen.model_dump(), **overrides})
        except ValidationError as error:
            raise InputError(f"Experiment '{self.name}': {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")  # what a validator of ours said
    message = message[:1].lower() + message[1:]
    if not place:
        return f"the parameters do not fit together: {message}."
    return f"parameter '{place}' was given as {problem['input']!r}: {message}."


_REGISTRY: dict[str, type[Experiment]] = {}

E = TypeVar("E", bound=type[Experiment])


def register(experiment: E) -> E:
    """Class decorator: add an experiment to the registry.

    Raises:
        ValueError: if the class is incomplete, or another one already has its name.
    """
    _check(experiment)
    known = _REGISTRY.get(experiment.name)
    if known is not None and (known.__module__, known.__qualname__) != (
        experiment.__module__,
        experiment.__qualname__,
    ):
        raise ValueError(
            f"register: name={experiment.name!r} of {experiment.__qualname__} is already taken "
            f"by {known.__module__}.{known.__qualname__}"
        )
    _REGISTRY[experiment.name] = experiment
    return experiment


def _check(experiment: type[Experiment]) -> None:
    what = f"register: {experiment.__qualname__}"
    needed = ("name", "chapter", "title", "summary", "sources", "Parameters", "profiles")
    missing = [name for name in needed if not hasattr(experiment, name)]
    if missing or inspect.isabstract(experiment):
        missing += sorted(getattr(experiment, "__abstractmethods__", ()))
        raise ValueError(f"{what} lacks {', '.join(missing)}")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", experiment.name):
        raise ValueError(f"{what}: name={experiment.name!r} must be lower case with hyphens")
    for profile, values in experiment.profiles.items():
        if profile not in PROFILES:
            raise ValueError(f"{what}: profile {profile!r} is not one of {PROFILES}")
        if not isinstance(values, experiment.Parameters):
            raise ValueError(f"{what}: profile {profile!r} is not an instance of its Parameters")
    ids = [claim.id for claim in experiment.claims]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{what}: two claims have the same id in {ids}")


def registry() -> dict[str, type[Experiment]]:
    """Return the registered experiments by name, ordered by chapter and then by name."""

    def place(item: tuple[str, type[Experiment]]) -> tuple[int, str, str]:
        chapter = item[1].chapter
        return (int(chapter) if chapter.isdigit() else 10**6, chapter, item[0])

    return dict(sorted(_REGISTRY.items(), key=place))


def find(name: str) -> Experiment:
    """Return an instance of the registered experiment of that name.

    Raises:
        InputError: if there is none; the sentence suggests the nearest name.
    """
    if name not in _REGISTRY:
        hint = did_you_mean(name, _REGISTRY) or " `symscape list` shows all of them."
        raise InputError(f"There is no experiment '{name}'.{hint}")
    return _REGISTRY[name]()


def discover(modules: Sequence[str] = ()) -> dict[str, type[Experiment]]:
    """Import every module of experiments and return the registry.

    Imported are ``modules``, the entry points of group ``symscape.experiments``, and the modules
    that the environment variable ``SYMSCAPE_EXPERIMENTS`` names.

    Raises:
        InputError: if one of them cannot be imported.
    """
    declared = [entry.value for entry in entry_points(group=ENTRY_POINTS)]
    named = re.split(r"[:,]", os.environ.get(ENVIRONMENT, ""))
    for module in dict.fromkeys([*modules, *declared, *filter(None, map(str.strip, named))]):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise InputError(
                f"The experiments of module '{module}' cannot be imported: {error}."
            ) from error
    return registry()

"""The command ``symscape``.

Exit status: 0 success, 1 some points failed, 2 the request cannot be carried out (one sentence on
stderr says why), 130 interrupted. Heavy packages are imported by the commands that need them.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from symscape import __version__
from symscape.lab import ExecutorError, InputError, StoreError

try:
    import typer
except ModuleNotFoundError:
    print(
        "symscape: the command needs packages that are not installed (typer, to begin with): "
        "pip install 'symscape[lab]'",
        file=sys.stderr,
    )
    sys.exit(2)

if TYPE_CHECKING:
    from symscape.lab import Executor, Experiment, Job, Progress, RunSummary

EXPERIMENTS = "symscape.experiments"
DEFAULT_STORE = "sqlite:///symscape-store.sqlite"
DEFAULT_REPORT = "symscape-report"

_LOG = logging.getLogger("symscape")

app = typer.Typer(
    name="symscape",
    help="Loss landscapes and symmetries in neural networks: the thesis, executable.\n\n"
    "Example: symscape reproduce --chapter 1",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(
    help="Data sets: what is there, fetching, checking.\n\nExample: symscape data fetch mnist",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")

StoreOption = Annotated[
    str, typer.Option("--store", metavar="URL", help="SQLAlchemy URL of the store of results.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
ProfileOption = Annotated[
    str, typer.Option("--profile", help="smoke, quick, overnight or paper: the size of the runs.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Local processes; as many as cores by default."),
]
DaskOption = Annotated[
    str | None, typer.Option("--dask", metavar="ADDRESS", help="Measure on this Dask cluster.")
]
InProcessOption = Annotated[
    bool, typer.Option("--in-process", help="Measure in this process, for debugging or a GPU.")
]
OutOption = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the report.")]


def main() -> None:
    """Run the command line; errors that a user can mend become one sentence, status 2."""
    _LOG.setLevel(logging.ERROR)
    try:
        app()
    except (InputError, StoreError, ExecutorError) as error:
        sentence = str(error)
    except ModuleNotFoundError as error:
        if not error.name or error.name.startswith("symscape"):
            raise
        sentence = f"the package '{error.name}' is not installed: pip install 'symscape[lab]'"
    except OSError as error:
        sentence = _system_error(error)
    else:
        return
    print(f"symscape: {sentence}", file=sys.stderr)
    sys.exit(2)


def _system_error(error: OSError) -> str:
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current folder was deleted; go to another one"
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"symscape {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print and end."),
    ] = False,
) -> None:
    """Options of the command itself."""


# -- list --------------------------------------------------------------------------------------


@app.command("list")
def list_experiments(
    chapter: Annotated[str | None, typer.Option(help="Only this chapter.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the experiments.

    \b
    Example: symscape list --chapter 1
    """
    experiments = _chosen(chapter=chapter)
    if as_json:
        _print_json([_description(experiment) for experiment in experiments])
        return
    width = max((len(experiment.name) for experiment in experiments), default=0)
    for experiment in experiments:
        print(f"{experiment.chapter:>2}  {experiment.name:<{width}}  {experiment.title}")
        print(f"{'':{width + 4}}  {'; '.join(experiment.sources)}")


def _description(experiment: Experiment) -> dict[str, Any]:
    return {
        "name": experiment.name,
        "chapter": experiment.chapter,
        "sources": list(experiment.sources),
        "title": experiment.title,
        "profiles": list(experiment.profiles),
        "claims": [claim.id for claim in experiment.claims],
    }


# -- run, report, reproduce --------------------------------------------------------------------


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Experiments.")],
    profile: ProfileOption = "quick",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a parameter; may be repeated."),
    ] = None,
    workers: WorkersOption = None,
    dask: DaskOption = None,
    in_process: InProcessOption = False,
    store: StoreOption = DEFAULT_STORE,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failed point.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run experiments; what the store has already is not measured again, what failed is.

    The command can be interrupted, or killed, at any time: the same command goes on from there.

    \b
    Examples:
      symscape run jamming-transition --profile smoke
      symscape run jamming-mnist --set seeds=5 --set 'sizes=[700, 900]' --workers 8
    """
    from symscape.lab import Job

    experiments = _chosen(names)
    overrides = _overrides(settings or [])
    jobs = [Job(experiment, profile, overrides) for experiment in experiments]
    executor = _executor(workers, dask, in_process)
    summaries = _sweep(jobs, store, executor, fail_fast=fail_fast)
    if as_json:
        _print_json([dataclasses.asdict(summary) for summary in summaries])
    else:
        _print_summaries(summaries)
    raise typer.Exit(_status(summaries))


@app.command()
def report(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]", help="Experiments; default: all.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="Show this profile; default: the largest one finished."),
    ] = None,
    out: OutOption = Path(DEFAULT_REPORT),
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="DIR", help="Write verdicts and data as text, too."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Write the report, which opens in a browser, and claims.json beside it; print its path.

    With one NAME, the path of the experiment's own page follows.

    \b
    Examples:
      symscape report --out jamming
      symscape report --profile overnight --export results
    """
    known = [experiment.name for experiment in _chosen(names)]
    chosen = known if names else None
    if export is not None:
        from symscape.lab import Store, export_results

        with Store(store, create=False) as opened:
            export_results(opened, export, profile=profile or "overnight", experiments=chosen)
    index = _report(store, out, profile, chosen)
    pages = [index.parent / "experiments" / f"{name}.html" for name in chosen or ()]
    if as_json:
        files = {"report": index, "pages": pages, "claims": index.parent / "claims.json"}
        _print_json({**files, "export": export})
    else:
        print(index, *pages if len(pages) == 1 else (), sep="\n")


@app.command()
def reproduce(
    chapter: Annotated[str | None, typer.Option(help="Only this chapter.")] = None,
    profile: ProfileOption = "quick",
    workers: WorkersOption = None,
    dask: DaskOption = None,
    in_process: InProcessOption = False,
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = Path(DEFAULT_REPORT),
    as_json: JsonOption = False,
) -> None:
    """Run all experiments of the thesis, then write the report and print its path.

    \b
    Example: symscape reproduce --chapter 1 --workers 2
    """
    from symscape.lab import Job

    experiments = _chosen(chapter=chapter)
    jobs = [Job(experiment, profile) for experiment in experiments]
    summaries = _sweep(jobs, store, _executor(workers, dask, in_process))
    page = _report(store, out, profile, [experiment.name for experiment in experiments])
    if as_json:
        runs = [dataclasses.asdict(summary) for summary in summaries]
        _print_json({"report": str(page), "runs": runs})
    else:
        _print_summaries(summaries)
        print(page)
    raise typer.Exit(_status(summaries))


def _chosen(names: Sequence[str] | None = None, chapter: str | None = None) -> list[Experiment]:
    """Return instances of the named experiments, or of all (of a chapter)."""
    from symscape.lab import discover, find

    known = discover([EXPERIMENTS])
    if names:
        return [find(name) for name in dict.fromkeys(names)]
    chapters = list(dict.fromkeys(experiment.chapter for experiment in known.values()))
    if chapter is not None and chapter not in chapters:
        raise InputError(f"There is no chapter '{chapter}'; there are {', '.join(chapters)}.")
    return [kind() for kind in known.values() if chapter in (None, kind.chapter)]


def _overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs; a value is JSON where it can be, else a string."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not name or not equals:
            raise InputError(f"--set takes KEY=VALUE, for example P=500; given was '{setting}'.")
        try:
            values[name] = json.loads(text)
        except json.JSONDecodeError:
            values[name] = text
    return values


def _executor(workers: int | None, dask: str | None, in_process: bool) -> Executor:
    from symscape.lab import DaskCluster, InProcess, LocalProcesses

    if (workers is not None) + (dask is not None) + in_process > 1:
        raise InputError("Give one of --workers, --dask and --in-process.")
    if dask is not None:
        return DaskCluster(dask)
    return InProcess() if in_process else LocalProcesses(workers)


def _sweep(
    jobs: Sequence[Job], url: str, executor: Executor, *, fail_fast: bool = False
) -> list[RunSummary]:
    from symscape.lab import Store, run_sweep

    # A scheduler of jobs ends a process with SIGTERM: stop as with Ctrl-C, giving up the leases.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _LOG.setLevel(logging.WARNING)  # what is measured without the data that are not found
    with _resumable(url), Store(url) as store:
        return run_sweep(jobs, store, executor, fail_fast=fail_fast, progress=_progress())


@contextmanager
def _resumable(url: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        from symscape.lab._schema import display, parse_url

        print(
            f"\nInterrupted. Finished points are in the store {display(parse_url(url))}; the same "
            f"command goes on from there.",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None


def _progress() -> Progress:
    from symscape.lab._progress import Bar, FailureLines

    return Bar() if sys.stderr.isatty() else FailureLines()


def _report(url: str, out: Path, profile: str | None, names: Sequence[str] | None) -> Path:
    from symscape.experiments import CHAPTERS
    from symscape.lab import Store, build_report

    with Store(url, create=False) as store:
        return build_report(store, out, profile, names, chapters=CHAPTERS).resolve()


def _print_summaries(summaries: Sequence[RunSummary]) -> None:
    from symscape.lab._progress import duration

    width = max((len(summary.experiment) for summary in summaries), default=0)
    for summary in summaries:
        counts = [f"{summary.points} points", f"{summary.done} measured"]
        counts += [f"{summary.already} in the store already"] if summary.already else []
        counts += [f"{summary.elsewhere} measured elsewhere"] if summary.elsewhere else []
        counts += [f"{summary.failed} failed"] if summary.failed else []
        counts += [] if summary.complete else ["stopped early"]
        print(f"{summary.experiment:<{width}}  {summary.profile}: {', '.join(counts)}")
    if summaries:
        print(f"in {duration(max(summary.seconds for summary in summaries))}")


def _status(summaries: Sequence[RunSummary]) -> int:
    return int(any(summary.failed for summary in summaries))


def _print_json(value: Any) -> None:
    def plain(thing: Any) -> Any:
        is_record = dataclasses.is_dataclass(thing) and not isinstance(thing, type)
        return dataclasses.asdict(thing) if is_record else str(thing)

    print(json.dumps(value, indent=2, ensure_ascii=False, default=plain))


# -- data --------------------------------------------------------------------------------------


@contextmanager
def _input_errors() -> Iterator[None]:
    """A wrong name, a damaged file or a missing network is for the user to mend."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error)) from error


@data_app.command("list")
def data_list(as_json: JsonOption = False) -> None:
    """Show the known data sets and where they were found.

    \b
    Example: symscape data list
    """
    from symscape import datasets

    with _input_errors():
        records = datasets.list_sources()
    if as_json:
        _print_json([dataclasses.asdict(record) for record in records])
        return
    width = max(len(record.name) for record in records)
    for record in records:
        size = f", {record.n} samples" if record.n else ""
        place = record.path or record.note or ""
        print(f"{record.name:<{width}}  {record.status}{size}  {place}".rstrip())


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set, such as mnist.")],
    folder: Annotated[
        Path | None, typer.Option("--folder", metavar="DIR", help="Default: the user's cache.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Download a data set from one of its mirrors and check it.

    \b
    Example: symscape data fetch mnist
    """
    from symscape import datasets

    with _input_errors():
        source = datasets.fetch(name, folder)
    if as_json:
        _print_json(dataclasses.asdict(source))
    else:
        print(f"{source.name}: {source.n} samples in {source.path}")


@data_app.command("verify")
def data_verify(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Default: all that are found.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the files of a data set against their official checksums; status 1 if one is damaged.

    \b
    Example: symscape data verify mnist
    """
    from symscape import datasets

    with _input_errors():
        records = datasets.verify(name)
    if as_json:
        _print_json([dataclasses.asdict(record) for record in records])
    else:
        for record in records:
            note = f"  {record.note}" if record.note else ""
            print(f"{record.name}  {record.status}  {record.file}{note}")
    raise typer.Exit(int(any(record.status == "damaged" for record in records)))


# -- stability ---------------------------------------------------------------------------------


@app.command()
def stability(
    model: Annotated[
        str, typer.Option("--model", metavar="MODULE:FUNCTION", help="Returns a torch module.")
    ],
    data: Annotated[str, typer.Option("--data", help="A data set of images.")] = "cifar10",
    delta: Annotated[float, typer.Option(help="Displacement in pixels.")] = 1.0,
    c: Annotated[int, typer.Option("--c", help="Cut-off of the deformations.")] = 3,
    count: Annotated[int, typer.Option(min=1, help="Test images.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of deformations and noise.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure the relative stability of a classifier, and place it among the thesis's networks.

    \b
    Example: symscape stability --model my_package.nets:trained --data cifar10
    """
    from symscape.diffeo import classifier_stability

    sys.path.insert(0, "")
    with _input_errors():
        found = classifier_stability(model, data, delta=delta, c=c, count=count, seed=seed)
    if as_json:
        _print_json(dataclasses.asdict(found))
        return
    R = found.stability
    print(f"R_f = {R.R:.3g} +- {R.R_error:.2g}  (D_f = {R.D:.3g}, G_f = {R.G:.3g})")
    print(f"{R.images} images of {found.data}, c = {c}, displacement {delta:g} pixels")
    print(f"It is {found.place}.")
    print(f"By the thesis's law a test error of about {found.expected_error:.2g} on CIFAR-10.")


# -- regime ------------------------------------------------------------------------------------


@app.command()
def regime(
    model: Annotated[
        str, typer.Option("--model", metavar="MODULE:FUNCTION", help="Returns a torch module.")
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="NAME", help="Images: mnist, cifar10, ...")
    ] = "auto",
    alpha: Annotated[
        str | None,
        typer.Option("--alpha", metavar="A,B,...", help="Scales of the predictor, increasing."),
    ] = None,
    at: Annotated[
        float, typer.Option("--at", help="The scale at which the network stands; 1: as it is.")
    ] = 1.0,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Trainings per scale.")] = None,
    size: Annotated[int | None, typer.Option("--points", help="Training images.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a parameter; may be repeated."),
    ] = None,
    profile: ProfileOption = "quick",
    workers: WorkersOption = None,
    dask: DaskOption = None,
    in_process: InProcessOption = False,
    store: StoreOption = DEFAULT_STORE,
    out: OutOption = Path(DEFAULT_REPORT),
    as_json: JsonOption = False,
) -> None:
    """Say whether a classifier learns features or trains lazily.

    It is trained with the predictor alpha (f - f0) at several scales alpha, and it is measured how
    far its tangent kernel moves. The function may have arguments shape (channels, rows, columns),
    classes, seed and width; it returns a module with one output (even or odd class), or one for
    each class. The command can be interrupted: the same one goes on from there.

    \b
    Examples:
      symscape regime --model nets:build --data mnist
      symscape regime --model nets:build --data cifar10 --alpha 0.1,1,10,100 --seeds 5 --points 1000
    """
    from symscape.lab import Job

    sys.path.insert(0, "")
    [experiment] = _chosen(["regimes-own-network"])
    given = {"alphas": _numbers("--alpha", alpha), "seeds": seeds, "P": size}
    overrides = {"models": [model], "data": data, **_overrides(settings or [])}
    overrides |= {name: value for name, value in given.items() if value is not None}
    p: Any = experiment.parameters(profile, overrides)
    if not p.alphas[0] <= at <= p.alphas[-1]:
        raise InputError(
            f"--at {at:g} is outside the scales, {p.alphas[0]:g} to {p.alphas[-1]:g}: give --alpha "
            f"with scales on both sides of it."
        )
    with _input_errors():
        list(experiment.points(p))  # all that can be said before the long work
    executor = _executor(workers, dask, in_process)
    summaries = _sweep([Job(experiment, profile, overrides)], store, executor)
    found = _regimes(experiment, profile, store, at)
    page = _report(store, out, profile, [experiment.name])
    if as_json:
        runs = [dataclasses.asdict(summary) for summary in summaries]
        _print_json({"networks": found, "report": page, "runs": runs})
    else:
        for network in found:
            _print_regime(network)
        _print_summaries(summaries)
        print(page.parent / "experiments" / f"{experiment.name}.html")
    raise typer.Exit(_status(summaries))


def _numbers(option: str, text: str | None) -> list[float] | None:
    """Numbers with commas in between."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} takes numbers, for example 0.1,1,10; given was '{text}'."
        ) from None


def _regimes(experiment: Experiment, profile: str, url: str, at: float) -> list[dict[str, Any]]:
    """What the last run measured of each network, and the verdict."""
    from symscape.experiments.learning_regimes import networks, regime_of, scales
    from symscape.lab import NoEstimate, Store

    with Store(url, create=False) as store:
        run = store.last_run(experiment.name, profile)
        table = store.table(experiment, run.points if run else [])
    found = []
    for name, rows in networks(table):
        network: dict[str, Any] = {"network": name, "scales": scales(rows)}
        try:
            verdict = regime_of(rows, at)
            network |= {"sentence": verdict.sentence, "regime": verdict}
        except NoEstimate as missing:
            network |= {"sentence": str(missing), "regime": None}
        found.append(network)
    return found


def _print_regime(network: dict[str, Any]) -> None:
    from symscape.scaling import number

    print(network["network"])
    print(f"{'alpha':>8}  {'kernel change':<20}  {'test error':<16}  fitted")
    for line in network["scales"]:
        change, error = (
            number(line[name]) if name in line else "-" for name in ("change", "test_error")
        )
        fitted = f"{line['fitted']} of {line['trainings']}"
        print(f"{line['alpha']:>8g}  {change:<20}  {error:<16}  {fitted}")
    print(network["sentence"])
    print()


# -- doctor ------------------------------------------------------------------------------------


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Say what is installed, which executors, stores and devices work, and where data are.

    \b
    Example: symscape doctor
    """
    from symscape._doctor import checks

    found = checks()
    if as_json:
        _print_json([dataclasses.asdict(check) for check in found])
    else:
        width = max(len(check.name) for check in found)
        for check in found:
            print(f"{'ok ' if check.ok else 'BAD'}  {check.name:<{width}}  {check.detail}")
    raise typer.Exit(int(not all(check.ok for check in found)))


if __name__ == "__main__":
    main()

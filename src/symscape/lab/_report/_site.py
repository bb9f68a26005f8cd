"""The report as a folder of pages."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import symscape
from symscape.lab._report import _pages
from symscape.lab._report._claims_json import dump, entries
from symscape.lab._report._evidence import Evidence, chosen, gather
from symscape.lab._report._folder import replaced, write

if TYPE_CHECKING:
    from symscape.lab._store import Store

_MARKER = "assets/made.js"


def build_report(
    store: Store,
    out_dir: str | Path,
    profile: str | None = None,
    experiments: Iterable[str] | None = None,
    chapters: Mapping[str, str] | None = None,
) -> Path:
    """Write the report and return the path of its index.html.

    The folder holds ``index.html``, a page per experiment under ``experiments/``, the data of each
    figure under ``data/``, ``claims.json`` and ``assets/``.  It opens from disk without a server
    or a network.  The index of a report on one experiment leads to its page.  The same store gives
    the same bytes, but for ``assets/made.js``, which holds the time of making.  An older report in
    ``out_dir`` is replaced as a whole.

    Args:
        store: the store.
        out_dir: folder of the report: new, empty, or an older report.
        profile: the profile to show; None takes for each experiment the largest one that is
            complete, else the largest with results.
        experiments: names of the experiments; None takes all that are registered.
        chapters: titles of the chapters by number.

    Raises:
        InputError: an experiment is unknown, or the folder cannot be used.
        StoreError: the store cannot be read.
    """
    pages = [gather(store, experiment, profile) for experiment in chosen(experiments)]
    with replaced(Path(out_dir), _MARKER) as folder:
        _fill(folder, pages, chapters or {})
    return Path(out_dir).expanduser().absolute() / "index.html"


def _fill(folder: Path, pages: list[Evidence], titles: Mapping[str, str]) -> None:
    write(folder / "index.html", _pages.index(pages, titles))
    for place, page in enumerate(pages):
        name = f"experiments/{page.experiment.name}.html"
        write(folder / name, _pages.experiment(pages, place, titles))
        for figure in page.figures:
            write(folder / _pages.csv_path(page, figure), figure.csv())
    write(folder / "claims.json", dump(entries(pages)))
    _assets(folder / "assets")


def _assets(folder: Path) -> None:
    write(folder / "report.css", _pages.stylesheet())
    write(folder / "report.js", _pages.script())
    shutil.copyfile(_plotly(), folder / "plotly.min.js")
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    made = {"time": now, "version": symscape.__version__}
    write(folder / "made.js", f"window.symscapeReport = {json.dumps(made)};\n")


def _plotly() -> Path:
    import plotly

    return Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

"""Verdicts and figures as small text files, to be committed and compared."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from symscape.lab._errors import InputError
from symscape.lab._experiment import discover
from symscape.lab._provenance import code_of_commit
from symscape.lab._report._claims_json import dump, entry, fingerprint, finite
from symscape.lab._report._evidence import Evidence, chosen, gather
from symscape.lab._report._folder import replaced, write

if TYPE_CHECKING:
    from symscape.lab._store import Store

_DIGITS = 5
_MARKER = "claims.json"
# Names of machines are nobody's business; what they are is.
_PRIVATE = ("host", "hosts")


def export_results(
    store: Store,
    folder: str | Path,
    profile: str = "overnight",
    experiments: Iterable[str] | None = None,
) -> Path:
    """Write the verdicts of a profile as they are committed; return the path of claims.json.

    - ``claims.json``: the fields of the report's, sorted by chapter and id, numbers with five
      significant digits, ``runs`` as their count and the SHA-256 of their sorted keys;
    - ``<experiment>/<figure>.csv``: the data of the figures, five digits;
    - ``provenance.json``: by experiment, what computed them.

    Runs that replaced parameters of the profile do not count.  Of an experiment that was not asked
    for by name and of which the store holds nothing, what an earlier export wrote is kept, so that
    chapters can be run on different machines.

    Raises:
        InputError: an experiment or the profile is unknown; one is not finished, or its analysis
            fails; results were measured with uncommitted changes or by other code than the commit
            that they name; or the folder cannot be used.
        StoreError: the store cannot be read.
    """
    target = Path(folder).expanduser().absolute()
    names = None if experiments is None else list(experiments)
    pages = [gather(store, e, profile, overridden=False) for e in chosen(names)]
    if names is None:
        # An error in its points, say for want of data, is nothing to one that was never run.
        pages = [
            page
            for page in pages
            if page.has_results or (page.problems and store.status(page.experiment))
        ]
    _check(pages, profile, str(store))
    fresh = {page.experiment.name: page for page in pages}
    claims = _old_claims(target)
    for page in pages:
        for verdict in page.verdicts:
            claims[verdict.claim.id] = _rounded(entry(verdict, page.experiment.chapter))
    provenance = _load(target / "provenance.json", {}) | {
        name: _origin(page) for name, page in fresh.items()
    }
    with replaced(target, _MARKER) as new:
        _keep_old(target, new, fresh)
        ordered = sorted(claims.values(), key=_order)
        write(new / "claims.json", dump(ordered))
        write(new / "provenance.json", dump(dict(sorted(provenance.items()))))
        for page in fresh.values():
            for figure in page.figures:
                write(new / page.experiment.name / f"{figure.id}.csv", figure.csv(_DIGITS))
    return target / "claims.json"


def _check(pages: list[Evidence], profile: str, store: str) -> None:
    """Refuse an export that would say less, or other things, than a reader takes from it."""
    if not pages:
        raise InputError(
            f"There is nothing to export: the store {store} holds no results of profile "
            f"'{profile}'."
        )
    faults = [f"{page.experiment.name} {fault}" for page in pages for fault in _faults(page)]
    if faults:
        raise InputError(
            f"Nothing was exported, for results must be complete in profile '{profile}' and come "
            f"from clean commits: {'; '.join(faults)}. `symscape run` measures what is missing; "
            f"what other code has measured in the store {store} must be measured in a new one."
        )


def _faults(page: Evidence) -> Iterator[str]:
    """Say what is wrong with the results of one experiment."""
    tried = len(page.table) + len(page.failures)
    if not page.complete:
        yield f"has {tried} of {page.expected} points" if tried else "has no results"
    yield from (f"raises an error in {problem.what}" for problem in page.problems)
    for origin in page.provenance:
        if fault := _fault(origin["commit"], origin.get("code")):
            yield f"has {origin['points']} points {fault}"
    installed = {(o["symscape"], o.get("code")) for o in page.provenance if o["commit"] is None}
    if len({version for version, _ in installed}) < len(installed):
        yield "has points measured outside a checkout by different code of one version"


def _fault(commit: str | None, code: str | None) -> str:
    """Say why a commit does not name the code that measured; outside a checkout the version does.

    Results of before there were digests (``code`` is None) are judged by their commit alone.
    """
    if commit is None:
        return ""
    if commit.endswith("+changes"):
        return f"measured with uncommitted changes on commit {commit[:12]}"
    try:
        named = code_of_commit(commit)
    except LookupError:
        return f"of commit {commit[:12]}, which is not in this repository"
    same = code is None or named in (None, code)
    return "" if same else f"measured by other code than that of commit {commit[:12]}"


def _rounded(record: dict[str, Any]) -> dict[str, Any]:
    return record | {
        "measured": finite(record["measured"], _DIGITS),
        "uncertainty": finite(record["uncertainty"], 2),
        "runs": fingerprint(record["runs"]),
    }


def _origin(page: Evidence) -> dict[str, Any]:
    """What computed the results of one experiment."""
    parameters = page.parameters.model_dump(mode="json") if page.parameters is not None else {}
    return {
        "profile": page.profile,
        "version": page.experiment.version,
        "points": {"done": len(page.table), "failed": len(page.failures), "all": page.expected},
        "compute_seconds": round(page.seconds),
        "runs": fingerprint(page.table.keys),
        "data": [{"name": d.name, "sha256": d.sha256, "points": d.points} for d in page.data],
        "parameters": parameters,
        "software": [
            {name: value for name, value in origin.items() if name not in _PRIVATE}
            for origin in page.provenance
        ],
    }


def _old_claims(target: Path) -> dict[str, dict[str, Any]]:
    """Records of an earlier export whose claims still exist."""
    known = {claim.id for experiment in discover().values() for claim in experiment.claims}
    return {c["id"]: c for c in _load(target / "claims.json", []) if c["id"] in known}


def _load(path: Path, otherwise: Any) -> Any:
    if not path.is_file():
        return otherwise
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}); remove it or restore it.") from None


def _keep_old(target: Path, new: Path, fresh: dict[str, Evidence]) -> None:
    """Copy what this export does not write: other experiments, and files like a README."""
    if not target.is_dir():
        return
    written = {"claims.json", "provenance.json", *fresh}
    for item in sorted(target.iterdir()):
        if item.name in written:
            continue
        if item.is_dir():
            shutil.copytree(item, new / item.name)
        else:
            shutil.copy2(item, new / item.name)


def _order(record: dict[str, Any]) -> tuple[list[tuple[int, str]], str]:
    """By chapter, then by id, with fig9 before fig12."""
    parts = re.split(r"(\d+)", f"{record['chapter']} {record['id']}")
    return [(int(p), "") if p.isdigit() else (10**6, p) for p in parts if p], record["id"]

"""What ``symscape doctor`` looks at: each check is really carried out."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from symscape.lab._provenance import package_versions, provenance

NEEDED = ("numpy", "scipy", "torch", "numba", "pydantic", "sqlalchemy", "plotly", "jinja2")


@dataclass(frozen=True)
class Check:
    """The outcome of one check."""

    name: str
    ok: bool
    detail: str


def checks() -> list[Check]:
    """Carry out all checks."""
    named: list[tuple[str, Callable[[], str]]] = [
        ("symscape", _version),
        ("machine", _machine),
        ("packages", _packages),
        ("torch", _torch),
        ("tensor products", _tensor_products),
        ("kernel cache", _kernel_cache),
        ("store", _store),
        ("PostgreSQL driver", _postgresql),
        ("local processes", _local_processes),
        ("Dask", _dask),
        ("data", _data),
    ]
    return [_carry_out(name, check) for name, check in named]


def _carry_out(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except Exception as error:  # whatever is broken here is what the user wants to see
        return Check(name, False, f"{type(error).__name__}: {error}")


def _version() -> str:
    known = provenance()
    commit = f", commit {known['commit']}" if known["commit"] else ""
    return f"{known['symscape']}{commit}, code {known['code'][:12]}, Python {known['python']}"


def _machine() -> str:
    known = provenance()
    return f"{known['processor']}, {known['cores']} cores, {known['system']}"


def _packages() -> str:
    versions = package_versions(NEEDED)
    missing = [name for name in NEEDED if name not in versions]
    if missing:
        raise ImportError(f"missing: {', '.join(missing)}; install symscape[lab]")
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _torch() -> str:
    import torch

    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    threads = f"{torch.get_num_threads()} threads"
    return f"{torch.__version__}, devices {', '.join(devices)}, {threads}"


def _tensor_products() -> str:
    """Every backend multiplies two vectors, and all of them agree."""
    import torch

    from symscape.contraction import Path, Product, Segment, available_backends, contract

    vector, scalar = Segment(0, 1, 3), Segment(0, 1, 1)
    table = tuple((i, i, 0, 1.0) for i in range(3))
    dot = Product(3, 3, 1, 0, (Path("uuu", vector, vector, scalar, None, 1.0, table),))
    backends = available_backends()
    for backend in backends:
        device = "cuda" if backend == "cuda" and torch.cuda.is_available() else "cpu"
        x = torch.tensor([[1.0, 2.0, 3.0]], device=device)
        y = torch.tensor([[4.0, 5.0, 6.0]], device=device)
        result = contract(dot, x, y, backend=backend).item()
        if result != 32.0:
            raise ArithmeticError(f"backend {backend}: (1, 2, 3) . (4, 5, 6) = {result}")
    return f"backends {', '.join(backends)}"


def _kernel_cache() -> str:
    from symscape.contraction._disk_cache import cache_folder, cache_limit

    size = sum(file.stat().st_size for file in cache_folder().glob("*.o"))
    return f"{cache_folder()}, {size / 1e6:.0f} MB of at most {cache_limit() / 1e6:g} MB"


def _store() -> str:
    from symscape.lab._schema import open_engine, parse_url

    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(parse_url(f"sqlite:///{Path(folder) / 'doctor.sqlite'}"), create=True)
        with engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        engine.dispose()
    return f"SQLite {sqlite3.sqlite_version}, journal {mode}"


def _postgresql() -> str:
    import psycopg

    return f"psycopg {psycopg.__version__}"


def _local_processes() -> str:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from symscape.lab._executors import available_cores

    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(os.getpid).result(timeout=60)
    return f"a process starts; {available_cores()} would be used"


def _dask() -> str:
    import distributed

    return f"distributed {distributed.__version__}"


def _data() -> str:
    from symscape import datasets

    records = datasets.list_sources()
    damaged = [f"{record.name}: {record.note}" for record in records if record.status == "damaged"]
    if damaged:
        raise ValueError("; ".join(damaged))
    return ", ".join(f"{r.name} in {r.path}" for r in records if r.status == "found") or "none"

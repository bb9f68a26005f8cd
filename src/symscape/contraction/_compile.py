"""From LLVM's assembly language to machine code, with a cache on disk."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from symscape.contraction import _disk_cache

__all__ = ["Function", "compiled", "vector_registers", "vector_width"]

Function = Callable[..., None]

_lock = threading.RLock()  # LLVM's objects are not for several threads
# a fork waits for the code that is being made: its thread would be missing in the child, and LLVM's
# objects and own locks stay as they are
os.register_at_fork(
    before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
)
_alive: list[Any] = []  # code stays loaded as long as the process
_addresses: dict[str, int] = {}


def compiled(
    key: str, entry: str, argument_types: list[Any], source: Callable[[], str]
) -> Function:
    """A function, from the cache or compiled.

    The cache is shared by processes (see `_disk_cache`); a file belongs to one kind of processor.

    Args:
        key: names the source text, so that it need not be made when the code is in the cache.
        entry: name of the function in the source.
        argument_types: ctypes of its arguments.
        source: makes the text of the module.
    """
    with _lock:
        name = hashlib.sha256(f"{key} {_platform()} {_generator()}".encode()).hexdigest()[:40]
        if name not in _addresses:  # two threads may have asked for the same
            code = _disk_cache.read(name)
            if code is None:
                code = _object_code(source())
                _disk_cache.write(name, code)
            _addresses[name] = _link(name, entry, code)
    return ctypes.CFUNCTYPE(None, *argument_types)(_addresses[name])


@functools.cache
def vector_width(double: bool) -> int:
    """Number of elements in a vector register of this processor, or in half of one if it has few.

    Registers of 512 bits come with 32 of their kind, which is what the wide kernels need.
    """
    size = 64 if _has_wide_vectors() else 32
    return size // (8 if double else 4)


@functools.cache
def vector_registers() -> int:
    """Number of the registers that `vector_width` is about."""
    return 32 if _has_wide_vectors() else 16


@functools.cache
def _has_wide_vectors() -> bool:
    import llvmlite.binding as llvm  # type: ignore[import-untyped]

    features = llvm.get_host_cpu_features()
    return all(features.get(name, False) for name in ("avx512f", "avx512vl", "avx512dq"))


@functools.cache
def _machine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
        reloc="pic",
        codemodel="small",
    )


@functools.cache
def _linker() -> Any:
    import llvmlite.binding as llvm

    return llvm.create_lljit_compiler(_machine())


@functools.cache
def _platform() -> str:
    import llvmlite
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features().flatten()
    registers = f"{vector_registers()} x {vector_width(False)}"
    return f"{llvmlite.__version__} {llvm.get_host_cpu_name()} {features} {registers}"


@functools.cache
def _generator() -> str:
    """Changes with the code that makes the sources, so that old files are not taken."""
    folder = Path(__file__).parent
    texts = [path.read_bytes() for path in sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(texts)).hexdigest()


def _object_code(text: str) -> bytes:
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.triple = _machine().triple
    module.data_layout = str(_machine().target_data)
    return _machine().emit_object(module)


def _link(name: str, entry: str, code: bytes) -> int:
    import llvmlite.binding as llvm

    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    library = builder.export_symbol(entry).link(_linker(), name)
    _alive.append(library)
    return library[entry]

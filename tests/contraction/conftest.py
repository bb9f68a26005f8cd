"""Kernels of these tests in a cache of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels are compiled cold, and not left in the user's cache."""
    before = os.environ.get("SYMSCAPE_CACHE")
    os.environ["SYMSCAPE_CACHE"] = str(tmp_path_factory.mktemp("kernels"))
    yield
    if before is None:
        del os.environ["SYMSCAPE_CACHE"]
    else:
        os.environ["SYMSCAPE_CACHE"] = before

"""How functions are compiled here, and a cache that knows every file an entry point is made of.

numba's cache watches only the file of the cached function: after a change in a function it calls it would serve stale
machine code, and with it stale events. So only entry points are cached, and each carries a digest of all sources as
part of its cache key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import njit

_FILES = (
    "native.py",
    "philox.py",
    "exactmath.py",
    "sampling.py",
    "people.py",
    "recursion.py",
    "payments.py",
    "lending/scoring.py",
    "lending/regional.py",
    "lending/calendar.py",
    "lending/borrowing.py",
    "lending/life.py",
)
_ROOM = Path(__file__).parent
STAMP = hashlib.sha256(b"".join((_ROOM / name).read_bytes() for name in _FILES)).hexdigest()

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile for calls from other compiled functions; IEEE division instead of Python's check for zero."""
    options: dict[str, Any] = {}
    made: F = njit(error_model="numpy", **options)(function)
    return made


def leaf(function: F) -> F:
    """The same for functions that allocate nothing: without reference counts on their array arguments (a third of the
    time).
    """
    options: dict[str, Any] = {"_nrt": False}
    made: F = njit(error_model="numpy", **options)(function)
    return made


def inlined(function: F) -> F:
    """A leaf put in the place of its call: records of many arrays are not copied at each one."""
    options: dict[str, Any] = {"_nrt": False}
    made: F = njit(error_model="numpy", inline="always", **options)(function)
    return made


def entry(make: Callable[[str], Callable[..., Any]]) -> Callable[..., Any]:
    """Compile what `make(STAMP)` returns, without the GIL and cached on disk.

    It must refer to its argument, which then keys the cache.
    """
    made: Callable[..., Any] = njit(cache=True, nogil=True)(make(STAMP))
    return made

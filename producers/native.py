"""Compiled entry points whose cache knows every file they are made of.

numba's cache watches only the file of the cached function: after a change in a function it calls it would serve stale machine code,
and with it stale events. So only entry points are cached, and each carries a digest of all sources as part of its cache key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

_FILES = ("philox.py", "exactmath.py", "sampling.py", "people.py", "recursion.py", "payments.py")
_ROOM = Path(__file__).parent
STAMP = hashlib.sha256(b"".join((_ROOM / name).read_bytes() for name in _FILES if (_ROOM / name).exists())).hexdigest()


def entry(make: Callable[[str], Callable[..., Any]]) -> Callable[..., Any]:
    """Compile, without the GIL and cached on disk, what `make(STAMP)` returns; it must refer to its argument to be keyed by it."""
    compiled: Callable[..., Any] = njit(cache=True, nogil=True)(make(STAMP))
    return compiled

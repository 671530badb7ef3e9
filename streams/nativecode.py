"""From plain Python functions to machine code: the kernels of this room are ordinary, typed functions until they pass through here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from schemas.kernels import compiled

HEADER = """from __future__ import annotations
import numpy as np
from numba import njit, types as t

ro = lambda of: t.Array(of, 1, "C", readonly=True)
rw = lambda of: t.Array(of, 1, "C")
rw2 = lambda of: t.Array(of, 2, "C")
"""


def native(function: Callable[..., Any], signature: str, *inlined: Callable[..., Any], constants: str = "") -> Callable[..., Any]:
    """`function` compiled with numba for one signature, without the GIL, kept in the kernel cache.

    signature: text over `t` (numba.types), `ro(x)` (read-only 1-D array), `rw(x)` and `rw2(x)` (written 1-D and 2-D arrays).
    inlined: functions it calls. constants: module text that both need.
    """
    parts = [HEADER, constants]
    parts.extend("@njit(nogil=True, cache=True)\n" + inspect.getsource(helper) for helper in inlined)
    parts.append(f"@njit({signature}, nogil=True, cache=True)\n" + inspect.getsource(function))
    return compiled("\n\n".join(parts), function.__name__)

"""From plain Python functions to machine code: static kernels of this room are ordinary modules until they pass
through here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

from schemas.kernels import compiled

NUMBA_TYPE = {
    "int8": "t.int8",
    "int16": "t.int16",
    "int32": "t.int32",
    "int64": "t.int64",
    "bool": "t.boolean",
    "float64": "t.float64",
}
HEADER = """import numpy as np
from numba import njit, types as t


def ro(of):
    return t.Array(of, 1, "C", readonly=True)


def rw(of, dimensions=1):
    return t.Array(of, dimensions, "C")
"""


def native(
    module: ModuleType, entry: str, signature: str, *called: str, instead: ModuleType | None = None
) -> Callable[..., Any]:
    """The function `entry` of a module, compiled with numba for one signature, without the GIL, kept in the kernel
    cache.

    signature: text over `t` (numba.types), `ro(x)` (read-only 1-D array) and `rw(x, d)` (written d-D array). called:
    names of functions that it calls, callees first. instead: a module, without imports from the future, whose
    functions take the place of those of the same name; no other name may be in both.
    """
    lines = [inspect.getsource(module)]
    if instead is not None:
        lines.append(inspect.getsource(instead))
    lines.append(HEADER)
    lines.extend(f"{name} = njit(nogil=True, cache=True)({name})" for name in called)
    lines.append(f"{entry} = njit({signature}, nogil=True, cache=True)({entry})")
    return compiled("\n".join(lines) + "\n", entry)

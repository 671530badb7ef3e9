"""Tumbling windows as the proof understands them: by NumPy's calendar, apart from the engine's."""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from jinliu.oracle.errors import OracleError

Int64 = npt.NDArray[np.int64]
SECOND = 1_000
LENGTH_MS = {"second": SECOND, "minute": 60 * SECOND, "hour": 3_600 * SECOND, "day": 86_400 * SECOND}
UNIT_MS = {"ms": 1, "s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND, "d": 86_400 * SECOND}
CALENDAR = {"month": "M", "year": "Y"}


@dataclass(frozen=True, slots=True)
class Window:
    """One window [start, end), UTC milliseconds."""

    start: int
    end: int


def starts(name: str, times: Int64) -> Int64:
    """Window starts, int64[n] UTC ms, of event times int64[n]. Raises OracleError for an unknown name."""
    if name in CALENDAR:
        return times.astype("M8[ms]").astype(f"M8[{CALENDAR[name]}]").astype("M8[ms]").astype(np.int64)
    length = length_ms(name)
    return times - times % length


def length_ms(name: str) -> int:
    """Length of a window of fixed length. Raises OracleError."""
    if name in LENGTH_MS:
        return LENGTH_MS[name]
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", name)
    if match is None or int(match[1]) == 0:
        raise OracleError(f"window {name!r} is neither a calendar unit nor a length such as 15m")
    return int(match[1]) * UNIT_MS[match[2]]


def over(name: str, start_ms: int, end_ms: int) -> list[Window]:
    """All windows that meet the span [start_ms, end_ms), in order."""
    if name not in CALENDAR:
        length = length_ms(name)
        return [Window(at, at + length) for at in range(start_ms - start_ms % length, end_ms, length)]
    unit = CALENDAR[name]
    first = np.datetime64(start_ms, "ms").astype(f"M8[{unit}]")
    last = np.datetime64(end_ms - 1, "ms").astype(f"M8[{unit}]")
    edges = np.arange(first, last + 2).astype("M8[ms]").astype(np.int64).tolist()
    return [Window(lo, hi) for lo, hi in pairwise(edges)]

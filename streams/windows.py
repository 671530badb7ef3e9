"""Tumbling event-time windows from a millisecond to a year.

Windows are half open, [start, end), in UTC milliseconds. Windows of fixed length are aligned to the epoch (as in
Kafka Streams and SQL's `date_bin`), months and years to the calendar. Every boundary inside the span lies on the
run's tick grid, so that a window is a union of ticks and control totals can speak about it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams.errors import WindowError
from topologies.windows import NAMES, length_ms

Int64 = npt.NDArray[np.int64]

CALENDAR = ("month", "year")
MONTHS_TO_2010 = 480
"""From January 1970."""
NO_EDGES: Int64 = np.empty(0, np.int64)
NO_EDGES.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """All windows of one name that meet a span, numbered from 0.

    origin: start of window 0, UTC ms. length: ms, 0 when the boundaries are a table. edges: int64[count + 1], empty
    for a fixed length.
    """

    name: str
    origin: int
    length: int
    edges: Int64
    count: int

    def start(self, index: int) -> int:
        return self.origin + index * self.length if self.length else int(self.edges[index])

    def end(self, index: int) -> int:
        return self.start(index + 1)

    def index(self, time_ms: int) -> int:
        """Number of the window that holds a time of the span."""
        if self.length:
            return (time_ms - self.origin) // self.length
        return int(np.searchsorted(self.edges, time_ms, side="right")) - 1

    def indices(self, times_ms: Int64) -> Int64:
        """int64[n] window numbers of int64[n] times of the span."""
        if self.length:
            return (times_ms - self.origin) // self.length
        return np.searchsorted(self.edges, times_ms, side="right").astype(np.int64) - 1

    def closed(self, floor_ms: int) -> int:
        """How many windows end at or before the floor; they are the first ones."""
        if floor_ms >= self.end(self.count - 1):
            return self.count
        return max(0, self.index(floor_ms))

    def starts(self) -> Int64:
        """int64[count] starts of all windows."""
        if self.length:
            return self.origin + self.length * np.arange(self.count, dtype=np.int64)
        return self.edges[:-1]


def tumbling(name: str, start_ms: int, end_ms: int, tick_ms: int) -> Windows:
    """The windows called `name` over [start_ms, end_ms).

    name: second, minute, hour, day, month, year, or a number with a unit such as `500ms`, `15m`, `7d`.
    Raises WindowError if the name is unknown or a boundary inside the span is off the tick grid.
    """
    if end_ms <= start_ms or tick_ms <= 0:
        raise WindowError(f"window {name!r}: the span [{start_ms}, {end_ms}) holds no tick of {tick_ms} ms")
    if name in CALENDAR:
        windows = _calendar(name, start_ms, end_ms)
        off = (windows.edges[1:-1] - start_ms) % tick_ms != 0
    else:
        length = _length(name)
        origin = start_ms // length * length
        windows = Windows(name, origin, length, NO_EDGES, -((origin - end_ms) // length))
        inside = windows.count > 1
        off = np.array(
            [inside and ((origin + length - start_ms) % tick_ms != 0 or (windows.count > 2 and length % tick_ms != 0))]
        )
    if off.any():
        raise WindowError(
            f"window {name!r} is no union of ticks of {tick_ms} ms counted from {start_ms}: "
            "choose a longer window or a shorter tick"
        )
    return windows


def nested(names: tuple[str, ...], start_ms: int, end_ms: int, tick_ms: int) -> tuple[Windows, ...]:
    """Windows of several names, finest first. Raises WindowError unless every coarser one is a union of finest ones."""
    if not names:
        raise WindowError("a metric needs at least one window, such as `day`")
    tables = sorted(
        (tumbling(name, start_ms, end_ms, tick_ms) for name in dict.fromkeys(names)), key=lambda table: -table.count
    )
    finest = tables[0]
    for table in tables[1:]:
        inner = table.starts()[1:]
        if (
            (inner != finest.origin + (inner - finest.origin) // finest.length * finest.length).any()
            if finest.length
            else not np.isin(inner, finest.edges).all()
        ):
            raise WindowError(f"window {table.name!r} is no union of windows {finest.name!r}: choose names that nest")
    return tuple(tables)


def month_of(time_ms: int) -> int:
    """Calendar months from January 2010 to the one a time lies in, as a loan's vintage counts them."""
    return int(np.datetime64(time_ms, "ms").astype("datetime64[M]").astype(np.int64)) - MONTHS_TO_2010


def _length(name: str) -> int:
    try:
        length = length_ms(name)
    except ValueError:
        raise WindowError(f"unknown window {name!r}: use {NAMES}") from None
    assert length is not None, name
    return length


def _calendar(name: str, start_ms: int, end_ms: int) -> Windows:
    unit = "datetime64[M]" if name == "month" else "datetime64[Y]"
    first, last = np.array([start_ms, end_ms - 1], "datetime64[ms]").astype(unit).astype(np.int64).tolist()
    edges = np.arange(first, last + 2).astype(unit).astype("datetime64[ms]").astype(np.int64)
    edges.setflags(write=False)
    return Windows(name, int(edges[0]), 0, edges, len(edges) - 1)

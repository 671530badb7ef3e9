"""The open windows of one rollup in one shard: rows of the finest window that are folded into, and sums of closed
ones, for coarser windows or, where the rollup is cumulative, since the start of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streams import foldkernel, packing
from streams.errors import OutOfRange, SumOverflow
from streams.foldkernel import FoldPass
from streams.rollup import Layout
from streams.windows import Windows

Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class BoundRollup:
    """A rollup of a metric with its layout and windows, finest first."""

    metric: str
    layout: Layout
    windows: tuple[Windows, ...]

    @property
    def name(self) -> str:
        return self.layout.rollup.name


CARRIED = -1
"""The level, in stored state, of what a cumulative rollup has summed over all closed windows; its number is 0."""


@dataclass(frozen=True, slots=True)
class Written:
    """One window to write: its level in `windows`, its number there, its row packed; closed when it is the last
    writing.
    """

    level: int
    index: int
    packed: bytes
    closed: bool


class OpenWindows:
    """Folds a rollup. Level 0 is the finest window; a row of a coarser level holds only what closed level-0 windows
    left.

    Closing is in order of time and complete: every window of the span is handed out closed exactly once, empty ones
    too. What a cumulative rollup hands out is the sum of all closed windows, `_carried`, and of the open ones up to it.
    """

    def __init__(self, bound: BoundRollup, fold: FoldPass, shards: int) -> None:
        self.bound, self.layout = bound, bound.layout
        self._pass = fold
        self.opened = [0] * len(bound.windows)
        self._slots = np.full(8, -1, np.int32)
        self._touched = np.zeros(8, np.uint8)
        self._reach_ms = bound.windows[0].origin
        self._params = np.array((bound.windows[0].origin, bound.windows[0].length, 0, shards), np.int64)
        self._rows = np.zeros((2, self.layout.width), np.int64)
        self._free = np.arange(2, dtype=np.int32)
        self._used = 0
        self._coarse: list[dict[int, Int64]] = [{} for _ in bound.windows]
        self.cumulative = bound.layout.rollup.cumulative
        self._carried = np.zeros(self.layout.width if self.cumulative else 0, np.int64)
        self._carried_changed = False
        self._unwritten: list[set[int]] = [set() for _ in bound.windows]
        self._unstored: list[set[int]] = [set() for _ in bound.windows]
        self._stored: list[set[int]] = [set() for _ in bound.windows]
        self._scratch = np.empty(packing.scratch_size(self.layout), np.uint8)

    # -- folding ----------------------------------------------------------------------------------------------------
    def fold(self, keep: UInt8, columns: Mapping[str, npt.NDArray[np.generic]], latest_ms: int) -> None:
        """Fold the kept events of a chunk. latest_ms: greatest event time among them. Raises SumOverflow,
        OutOfRange.
        """
        windows, base = self.bound.windows[0], self.opened[0]
        if latest_ms >= self._reach_ms:
            self._reach(windows.index(latest_ms) - base + 1)
        self._params[2] = base
        fields = [columns[name] for name in self._pass.columns]
        position = 0
        while True:
            status, position, self._used = self._pass.run(
                position, self._used, keep, columns["event_time"], *fields, *self._pass.tables,
                windows.edges, self._params, self._slots, self._touched, self._free, self._rows,
            )  # fmt: skip
            if status == foldkernel.DONE:
                break
            if status != foldkernel.GROW:
                raise self._broken(status, position)
            self._grow()
        for k in self._touched.nonzero()[0].tolist():
            self._touch(base + k)
        self._touched.fill(0)

    def _touch(self, index: int) -> None:
        self._unstored[0].add(index)
        self._changed(index)
        if self.cumulative:  # later windows hold it, too
            for k in np.flatnonzero(self._slots >= 0).tolist():
                if self.opened[0] + k > index:
                    self._changed(self.opened[0] + k)

    def _changed(self, index: int) -> None:
        """A finest window, and the coarser ones around it, are to be handed out anew."""
        if index not in self._unwritten[0]:
            self._unwritten[0].add(index)
            start = self.bound.windows[0].start(index)
            for level, windows in enumerate(self.bound.windows[1:], 1):
                self._unwritten[level].add(windows.index(max(start, windows.origin)))

    def _reach(self, count: int) -> None:
        """Make the tables of open windows at least `count` long, and note up to which time they reach."""
        have = len(self._slots)
        if count > have:
            more = max(count, 2 * have) - have
            self._slots = np.concatenate((self._slots, np.full(more, -1, np.int32)))
            self._touched = np.concatenate((self._touched, np.zeros(more, np.uint8)))
        last = min(self.opened[0] + len(self._slots), self.bound.windows[0].count) - 1
        self._reach_ms = self.bound.windows[0].end(last)

    def _grow(self) -> None:
        have = len(self._rows)
        self._rows = np.concatenate((self._rows, np.zeros((have, self.layout.width), np.int64)))
        self._free = np.concatenate((self._free, np.arange(have, 2 * have, dtype=np.int32)))

    def _broken(self, status: int, position: int) -> SumOverflow | OutOfRange:
        where = f"metric {self.bound.metric!r}, rollup {self.bound.name!r}, event {position} of the chunk"
        if status == foldkernel.OVERFLOW:
            return SumOverflow(f"{where}: a sum leaves int64; use a shorter window or drop a weight")
        return OutOfRange(f"{where}: a value outside its bitmap or window; the topic's rules should have refused it")

    # -- closing ----------------------------------------------------------------------------------------------------
    def close(self, floor_ms: int) -> list[Written]:
        """Close, in order, every window that ends at or before the floor."""
        written: list[Written] = []
        finest = self.bound.windows[0]
        until = finest.closed(floor_ms)
        if until > self.opened[0]:
            for index in range(self.opened[0], until):
                written.append(self._close_finest(index))
                if self.cumulative:  # before the next window is added to what they hold
                    written += self._close_coarse(finest.end(index))
            self._shift(until - self.opened[0])
            self.opened[0] = until
        return written + self._close_coarse(floor_ms)

    def _close_coarse(self, floor_ms: int) -> list[Written]:
        """Close the coarser windows that end at or before the floor; the finest ones inside them are closed."""
        written: list[Written] = []
        for level, windows in enumerate(self.bound.windows[1:], 1):
            for index in range(self.opened[level], max(windows.closed(floor_ms), self.opened[level])):
                row = self._carried if self.cumulative else self._coarse[level].pop(index, None)
                self._forget(level, index)
                written.append(Written(level, index, self._pack(row), True))
                self.opened[level] = index + 1
        return written

    def _close_finest(self, index: int) -> Written:
        k = index - self.opened[0]
        slot = int(self._slots[k]) if k < len(self._slots) else -1
        self._forget(0, index)
        if slot < 0:
            return Written(0, index, self._pack(self._carried if self.cumulative else None), True)
        row = self._rows[slot]
        if self.cumulative:
            packing.absorb(self.layout, self._carried, row)
            self._carried_changed = True
            packed = self._pack(self._carried)
        else:
            self._add_to_coarse(index, row)
            packed = self._pack(row)
        row[:] = 0
        self._used -= 1
        self._free[self._used] = slot
        return Written(0, index, packed, True)

    def _add_to_coarse(self, index: int, row: Int64) -> None:
        """Leave the row of a finest window that closes in the coarser ones around it."""
        start = self.bound.windows[0].start(index)
        for level, windows in enumerate(self.bound.windows[1:], 1):
            coarse = windows.index(max(start, windows.origin))
            if coarse not in self._coarse[level]:
                self._coarse[level][coarse] = np.zeros(self.layout.width, np.int64)
            packing.absorb(self.layout, self._coarse[level][coarse], row)
            self._unstored[level].add(coarse)

    def _shift(self, by: int) -> None:
        self._slots[:-by] = self._slots[by:] if by < len(self._slots) else -1
        self._slots[-by:] = -1

    def _forget(self, level: int, index: int) -> None:
        self._unwritten[level].discard(index)
        self._unstored[level].discard(index)

    def _pack(self, row: Int64 | None) -> bytes:
        return b"" if row is None else packing.pack(self.layout, row, self._scratch)

    # -- writing ----------------------------------------------------------------------------------------------------
    def provisional(self) -> Iterator[Written]:
        """Open windows that changed since they were last handed out."""
        for level, changed in enumerate(self._unwritten):
            for index in sorted(changed):
                yield Written(level, index, self._pack(self._so_far(level, index)), False)
            changed.clear()

    def _so_far(self, level: int, index: int) -> Int64:
        if self.cumulative:
            row, end = self._carried.copy(), self.bound.windows[level].end(index)
            for k in np.flatnonzero(self._slots >= 0).tolist():
                if self.bound.windows[0].start(self.opened[0] + k) < end:
                    packing.absorb(self.layout, row, self._rows[self._slots[k]])
            return row
        if level == 0:
            finest_row: Int64 = self._rows[self._slots[index - self.opened[0]]]
            return finest_row
        windows, finest = self.bound.windows[level], self.bound.windows[0]
        row = np.zeros(self.layout.width, np.int64)
        if index in self._coarse[level]:
            row[:] = self._coarse[level][index]
        start, end = windows.start(index), windows.end(index)
        for k in np.flatnonzero(self._slots >= 0).tolist():
            if start <= max(finest.start(self.opened[0] + k), windows.origin) < end:
                packing.absorb(self.layout, row, self._rows[self._slots[k]])
        return row

    def changes(self) -> Iterator[tuple[int, int, bytes | None]]:
        """State rows (level, window number, packed row or None for a tombstone) that differ from what was stored
        last. What is carried is the row (CARRIED, 0).
        """
        if self._carried_changed:
            self._carried_changed = False
            yield CARRIED, 0, self._pack(self._carried)
        for level, stored in enumerate(self._stored):
            for index in sorted(index for index in stored if index < self.opened[level]):
                stored.discard(index)
                yield level, index, None
            for index in sorted(self._unstored[level]):
                row = self._rows[self._slots[index - self.opened[0]]] if level == 0 else self._coarse[level][index]
                stored.add(index)
                yield level, index, self._pack(row)
            self._unstored[level].clear()

    def restore(self, level: int, index: int, packed: bytes) -> None:
        """Take a stored row back, to be handed out once more as provisional. Call after `opened` is set."""
        row = np.zeros(self.layout.width, np.int64)
        packing.unpack_into(self.layout, row, packed)
        if level == CARRIED:
            self._carried = row
            return
        self._stored[level].add(index)
        if level:
            self._unwritten[level].add(index)
            self._coarse[level][index] = row
            return
        self._touch(index)
        self._unstored[0].discard(index)
        self._reach(index - self.opened[0] + 1)
        if self._used == len(self._free):
            self._grow()
        slot = int(self._free[self._used])
        self._used += 1
        self._slots[index - self.opened[0]] = slot
        self._rows[slot] = row

"""Which records count: the acceptance rules, floor and completeness of a shard, recomputed from its log alone.

A second implementation, written from the contract and not from the engine. Between two ticks of a partition the floor
and every source's tick end stand still, so a chunk is judged stretch by stretch (`jinliu.oracle.stretch`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jinliu.oracle.alerts import Alert
from jinliu.oracle.columns import Bool
from jinliu.oracle.decode import Decoded
from jinliu.oracle.loanlife import Lives
from jinliu.oracle.rules import NOBODY, Rules
from jinliu.oracle.spans import Window, over
from jinliu.oracle.stretch import Stretch

FOREVER = 1 << 62


@dataclass(slots=True)
class Ledger:
    """What became of the records of one source.

    `missing`: sequence numbers never seen. Ticks seen twice count as ticks.
    """

    folded: int = 0
    late: int = 0
    duplicate: int = 0
    dead: int = 0
    ticks: int = 0
    missing: int = 0


@dataclass(slots=True)
class Source:
    """A source as the log has shown it so far; `events`, `amount`, `gap` and `latest` (time of an event) since its last
    tick, `worth` in all."""

    seq: int
    tick_end: int
    events: int = 0
    amount: int = 0
    gap: int = 0
    worth: int = 0
    latest: int = -FOREVER
    closed: bool = False


@dataclass(slots=True)
class Calendar:
    """The windows of one name: `windows[upto:]` are open.

    missing: position -> {source: events known missing}. since: likewise, from a position on, of what adds windows up.
    """

    windows: list[Window]
    upto: int = 0
    missing: dict[int, dict[str, int]] = field(default_factory=dict)
    since: dict[int, dict[str, int]] = field(default_factory=dict)

    def lacking(self, position: int) -> dict[str, int]:
        """What the windows up to a position lack together, by source."""
        lost: dict[str, int] = {}
        for at, named in self.since.items():
            if at <= position:
                for source, count in named.items():
                    lost[source] = lost.get(source, 0) + count
        return lost


class Acceptor:
    """Judges one partition's log, chunk after chunk."""

    def __init__(self, rules: Rules, shard: int) -> None:
        self.rules, self.shard = rules, shard
        self.sources = [Source(-1, rules.start_ms) for _ in rules.roster]
        self.ledgers: dict[str, Ledger] = {name: Ledger() for name in (*rules.roster, NOBODY)}
        self.calendars = {name: Calendar(over(name, rules.start_ms, rules.end_ms)) for name in rules.windows}
        self.watermark = rules.start_ms
        self.floor = rules.start_ms - rules.lateness_ms
        self.lives = Lives()
        self.alerts: list[Alert] = []

    def feed(self, chunk: Decoded, offsets: Sequence[int]) -> Bool:
        """Which of the chunk's events are folded, bool[events]. offsets: of the chunk's records in the partition."""
        self.ledgers[NOBODY].dead += int((chunk.kind < 0).sum())
        events, ticks = chunk.rows[self.rules.record], chunk.rows["tick"]
        stretch = Stretch(self, events, np.array(offsets, np.int64)[chunk.kind == 0])
        stops = np.searchsorted(np.flatnonzero(chunk.kind == 0), np.flatnonzero(chunk.kind == 1))
        at = 0
        for stop, tick in zip(stops.tolist(), ticks.to_pylist(), strict=True):
            if stop > at:
                stretch.judge(at, stop)
                at = stop
            self._tick(tick)
        if events.num_rows > at:
            stretch.judge(at, events.num_rows)
        stretch.close()
        return stretch.folded

    def _tick(self, tick: dict[str, Any]) -> None:
        """Take a tick: sequence, control totals, then watermark and closing."""
        rules, name, seq = self.rules, tick["source"], tick["seq"]
        ledger = self.ledgers[name if name in rules.roster else NOBODY]
        if name not in rules.roster or tick["shard"] != self.shard or not self._belongs(tick):
            ledger.dead += 1
            return
        source = self.sources[rules.roster.index(name)]
        if seq - source.seq > rules.max_seq_jump:
            ledger.dead += 1
            return
        ledger.ticks += 1
        if seq <= source.seq and (source.closed or tick["kind"] != "CLOSE"):
            return
        skipped = max(0, seq - source.seq - 1)  # CLOSE is the last of a source, though others were told with its name
        source.gap += skipped
        ledger.missing += skipped
        source.seq = max(seq, source.seq)
        begin, stop = tick["tick_start"], tick["tick_end"]
        if (tick["events"], tick["amount_fen"], begin) != (source.events, source.amount, source.tick_end):
            self.lose(name, *self._covered(begin, stop, source.tick_end), source.gap, self.floor)
        if source.latest >= stop:  # told of before its time had come
            self.lose(name, stop, source.latest + 1, 0, self.floor)
        source.events = source.amount = source.gap = 0
        source.latest = -FOREVER
        source.tick_end = max(source.tick_end, stop)
        source.closed = source.closed or tick["kind"] == "CLOSE"
        self._move_floor()

    def _belongs(self, tick: dict[str, Any]) -> bool:
        """Whether a tick lies on the grid of the run, in reach of the sources: OPEN at its start, CLOSE at its end."""
        rules, begin, stop = self.rules, tick["tick_start"], tick["tick_end"]
        if tick["events"] < 0 or tick["amount_fen"] < 0:
            return False
        if begin > max(source.tick_end for source in self.sources) + rules.patience_ms:
            return False
        if tick["kind"] != "TICK":
            return bool(begin == stop == (rules.start_ms if tick["kind"] == "OPEN" else rules.end_ms))
        whole = (begin - rules.start_ms) % rules.tick_ms == 0 and stop - begin == rules.tick_ms
        return bool(rules.start_ms <= begin and stop <= rules.end_ms and whole)

    def _covered(self, begin: int, stop: int, last: int) -> tuple[int, int]:
        """The time a failing control total speaks about, at least one tick."""
        low, high = min(begin, last), max(stop, last)
        if low < high:
            return low, high
        return (low - self.rules.tick_ms, high) if low > self.rules.start_ms else (low, high + self.rules.tick_ms)

    def _move_floor(self) -> None:
        """Move watermark and floor, name sources that the floor left behind, close windows it has passed."""
        rules = self.rules
        least = min((s.tick_end for s in self.sources if not s.closed), default=FOREVER)
        self.watermark = max(self.watermark, least, max(s.tick_end for s in self.sources) - rules.patience_ms)
        floor = FOREVER if self.watermark == FOREVER else self.watermark - rules.lateness_ms
        if floor <= self.floor:
            return
        before, self.floor = self.floor, floor
        reach = min(floor, rules.end_ms)
        for name, source in zip(rules.roster, self.sources, strict=True):
            if not source.closed and source.tick_end < reach:
                self.lose(name, source.tick_end, reach, 0, before)
        for calendar in self.calendars.values():
            while calendar.upto < len(calendar.windows) and calendar.windows[calendar.upto].end <= floor:
                calendar.upto += 1

    def lose(self, source: str, start: int, end: int, lost: int, floor: int) -> None:
        """Mark every window that overlaps [start, end) and ends after the floor, and from where on sums lack it."""
        for calendar in self.calendars.values():
            first = True
            for i in range(calendar.upto, len(calendar.windows)):
                window = calendar.windows[i]
                if window.end > max(start, floor):
                    if first:
                        since = calendar.since.setdefault(i, {})
                        since[source] = since.get(source, 0) + lost
                        first = False
                    if window.start >= end:
                        break
                    missing = calendar.missing.setdefault(i, {})
                    missing[source] = missing.get(source, 0) + lost

"""Which records count: the acceptance rules, floor and completeness of a shard, recomputed from its log alone.

A second implementation, written from the contract and not from the engine. Between two ticks of a partition the floor
and every source's tick end stand still, so a chunk is judged stretch by stretch, each source's events of a stretch at
once; where their `seq` does not simply rise, one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jinliu.oracle.decode import Decoded
from jinliu.oracle.spans import Window, over

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
FOREVER = 1 << 62
NOBODY = ""
"""Accounting's source for what names none of the roster."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a topic's records are judged by; times in ms.

    words: string field -> its known words. ranges: field -> (least, most). person, institution: the field that places
    an event. places: institution -> its index in the topology.
    """

    topic: str
    record: str
    shards: int
    roster: tuple[str, ...]
    start_ms: int
    end_ms: int
    tick_ms: int
    lateness_ms: int
    patience_ms: int
    max_seq_jump: int
    persons: int
    words: dict[str, frozenset[str]]
    ranges: dict[str, tuple[int, int]]
    person: str | None
    institution: str | None
    places: dict[str, int]
    windows: tuple[str, ...]

    @property
    def worth_max(self) -> int:
        """What amount * weight may come to over all accepted events of one source in one shard, fen."""
        return (2**63 - 1) // (self.shards * len(self.roster))


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

    def feed(self, chunk: Decoded) -> Bool:
        """Which of the chunk's events are folded, bool[events]."""
        self.ledgers[NOBODY].dead += int((chunk.kind < 0).sum())
        events, ticks = chunk.rows[self.rules.record], chunk.rows["tick"]
        stretch = _Stretch(self, events)
        stops = np.searchsorted(np.flatnonzero(chunk.kind == 0), np.flatnonzero(chunk.kind == 1))
        at = 0
        for stop, tick in zip(stops.tolist(), ticks.to_pylist(), strict=True):
            if stop > at:
                stretch.judge(at, stop)
                at = stop
            self._tick(tick)
        if events.num_rows > at:
            stretch.judge(at, events.num_rows)
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
        if seq <= source.seq:
            return
        skipped = seq - source.seq - 1
        source.gap += skipped
        ledger.missing += skipped
        source.seq = seq
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


class _Stretch:
    """The events of one chunk, as columns, judged a stretch between ticks at a time."""

    def __init__(self, acceptor: Acceptor, events: pa.RecordBatch) -> None:
        self.of = acceptor
        self.folded = np.zeros(events.num_rows, bool)
        rules = acceptor.rules
        codes = {name: code for code, name in enumerate(rules.roster)}
        self.source = mapped(events.column("source"), codes, -1)
        self.seq = _longs(events, "seq")
        self.time = _longs(events, "event_time")
        self.amount = _longs(events, "amount_fen")
        self.weight = _longs(events, "weight") if "weight" in events.schema.names else np.ones_like(self.amount)
        self.refused = self._refused(events, rules, acceptor.shard)

    def _refused(self, events: pa.RecordBatch, rules: Rules, shard: int) -> Bool:
        """Events that no state could make good: bool[n]."""
        bad = (self.time < rules.start_ms) | (self.time >= rules.end_ms)
        for name, words in rules.words.items():
            bad |= mapped(events.column(name), dict.fromkeys(words, 0), -1) < 0
        for name, (least, most) in rules.ranges.items():
            value = _longs(events, name)
            bad |= (value < least) | (value > most)
        if rules.person:
            person = _longs(events, rules.person)
            bad |= (person < 0) | (person >= rules.persons) | (person % rules.shards != shard)
        if rules.institution:
            bad |= mapped(events.column(rules.institution), rules.places, -1) % rules.shards != shard
        return bad

    def judge(self, lo: int, hi: int) -> None:
        """Judge events [lo, hi): no tick lies among them."""
        source = self.source[lo:hi]
        if (source == source[0]).all():
            self._judge_source(int(source[0]), np.arange(lo, hi))
            return
        for code in np.unique(source).tolist():
            self._judge_source(code, lo + np.flatnonzero(source == code))

    def _judge_source(self, code: int, rows: Int64) -> None:
        rules = self.of.rules
        ledger = self.of.ledgers[rules.roster[code] if code >= 0 else NOBODY]
        if code < 0:
            ledger.dead += len(rows)
            return
        state = self.of.sources[code]
        dead = self.refused[rows] | (self.time[rows] > state.tick_end + rules.patience_ms)
        if dead.any():
            ledger.dead += int(dead.sum())
            rows = rows[~dead]
        rows = self._in_sequence(rows, state, ledger)
        if not len(rows):
            return
        state.events += len(rows)
        state.amount += int(self.amount[rows].sum())
        late = self.time[rows] < self.of.floor
        ledger.late += int(late.sum())
        ledger.folded += int(len(rows) - late.sum())
        self.folded[rows[~late]] = True
        state.latest = max(state.latest, int(self.time[rows].max()))
        for i in np.flatnonzero(self.time[rows] < state.tick_end).tolist():  # the tick of its time did not count it
            moment = int(self.time[rows[i]])
            self.of.lose(rules.roster[code], moment, moment + 1, int(late[i]), self.of.floor)

    def _in_sequence(self, rows: Int64, state: Source, ledger: Ledger) -> Int64:
        """The rows whose `seq` goes on from the source's and whose worth fits; duplicates, leaps beyond the bound and
        what is worth too much are counted.
        """
        if not len(rows):
            return rows
        seq, jump = self.seq[rows], self.of.rules.max_seq_jump
        first, last, before = int(seq[0]), int(seq[-1]), state.seq
        worth = float((self.amount[rows].astype(float) * self.weight[rows]).sum())
        fits = state.worth + worth * (1 + 1e-6) < self.of.rules.worth_max
        if fits and before < first and last - before <= jump and bool((seq[1:] > seq[:-1]).all()):
            state.seq, kept = last, rows
            state.worth += int((self.amount[rows] * self.weight[rows]).sum())
        else:
            kept = rows[self._one_by_one(rows, state, ledger)]
        skipped = state.seq - before - len(kept)
        state.gap += skipped
        ledger.missing += skipped
        return kept

    def _one_by_one(self, rows: Int64, state: Source, ledger: Ledger) -> list[int]:
        """As the rule is written."""
        kept = []
        columns = (self.seq[rows].tolist(), self.amount[rows].tolist(), self.weight[rows].tolist())
        for i, (number, amount, weight) in enumerate(zip(*columns, strict=True)):
            worth = state.worth + amount * weight
            if number <= state.seq:
                ledger.duplicate += 1
            elif number - state.seq > self.of.rules.max_seq_jump or worth > self.of.rules.worth_max:
                ledger.dead += 1
            else:
                state.seq, state.worth = number, worth
                kept.append(i)
        return kept


def mapped(column: pa.Array, codes: Mapping[str, int], other: int) -> Int64:
    """int64[n] codes of a string column, `other` for unknown strings."""
    encoded = column.dictionary_encode()
    table = np.array([codes.get(word, other) for word in encoded.dictionary.to_pylist()] or [other], np.int64)
    codes_by_row: Int64 = table[encoded.indices.to_numpy(zero_copy_only=False)]
    return codes_by_row


def _longs(batch: pa.RecordBatch, name: str) -> Int64:
    """int64[n] of an integer column, 0 where null."""
    column = batch.column(name)
    if column.null_count:
        column = column.fill_null(0)
    values: Int64 = column.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return values

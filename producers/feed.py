"""One sequence: what a source tells of one topic in one shard, from generated columns to acknowledged batches."""

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from producers.batches import BatchBuilder, Columns, Rows
from producers.errors import ResumeError
from producers.producer import BatchProducer
from producers.resume import CLOSE, OPEN, Position
from schemas.encode import Encoder

log = logging.getLogger(__name__)

BLOCK_TICKS = 4096
"""Most ticks asked for at once, whatever their size."""


class Block(Protocol):
    """What `producers.block.Block` offers: columns of events and ticks, and the events of each tick, in log
    order."""

    @property
    def events(self) -> Mapping[str, npt.NDArray[Any]]: ...

    @property
    def ticks(self) -> Mapping[str, npt.NDArray[Any]]: ...

    @property
    def counts(self) -> npt.NDArray[np.int64]: ...


class Blocks(Protocol):
    """What a feed needs of `producers.generator.Generator`."""

    def block(self, topic: str, shard: int, first_tick: int, stop_tick: int, seq: int) -> Block: ...

    def vocabularies(self, topic: str) -> Mapping[str, tuple[str, ...]]: ...


@dataclass(frozen=True, slots=True)
class Span:
    """The run's ticks: `ticks` of `tick_ms` each from `start_ms`."""

    start_ms: int
    tick_ms: int
    ticks: int

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.ticks * self.tick_ms

    def ticks_until(self, at_ms: float) -> int:
        """Whole ticks that end at or before at_ms, from 0 to `ticks`."""
        if at_ms >= self.end_ms:
            return self.ticks
        return max(0, int(at_ms - self.start_ms) // self.tick_ms)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Who tells what where. `code` is the source's place in the roster, `place` the topic's name on the broker."""

    source: str
    code: int
    topic: str
    place: str
    shard: int

    def __str__(self) -> str:
        return f"{self.source}/{self.topic}/{self.shard}"


@dataclass(frozen=True, slots=True)
class Encoders:
    """Of one topic: its events, and ticks (the words of the column `run` are the one run id)."""

    events: Encoder
    ticks: Encoder


@dataclass(slots=True)
class _Cursor:
    """A block and how much of it is in the builder: rows up to `row`, ticks up to `tick` (counted in the block).

    `ends` are the rows up to the end of each tick, `times` the event times.
    """

    events: Rows
    ticks: Rows
    times: npt.NDArray[np.int64]
    ends: list[int]
    tick: int = 0
    row: int = 0


class Feed:
    """Tells one sequence, from its position on.

    `told_ticks` counts the ticks whose Tick is in a batch, `acked_ticks` those the broker has acknowledged,
    `acked_events` the events acknowledged since this process started. The `acked_*` are written by the producer's
    thread. `generator` may be replaced between calls: levers change only ticks that are not made yet.
    """

    def __init__(
        self,
        sequence: Sequence,
        span: Span,
        generator: Blocks,
        encoders: Encoders,
        producer: BatchProducer,
        position: Position,
        builder: BatchBuilder | None = None,
    ) -> None:
        self.sequence = sequence
        self._span = span
        self.generator = generator
        self._encoders = encoders
        self._producer = producer
        self._builder = BatchBuilder() if builder is None else builder
        self._cursors: deque[_Cursor] = deque()
        self.told_ticks = self._resumed_ticks(position)
        self._made_ticks = self.told_ticks
        self._seq = position.seq - len(position.told)
        self._told = position.told
        self._rows_per_tick = 0.0
        self._held_events = 0
        self.closed = position.closed
        self.acked_ticks = self.told_ticks
        self.acked_events = 0
        self.acked_closed = position.closed
        if position.seq == 0:
            self._control(OPEN, span.start_ms)

    def _resumed_ticks(self, position: Position) -> int:
        ticks, rest = divmod(position.tick_end_ms - self._span.start_ms, self._span.tick_ms)
        if rest or not 0 <= ticks <= self._span.ticks:
            raise ResumeError(
                f"the last tick of {self.sequence} in topic {self.sequence.place} ends at {position.tick_end_ms}, "
                "which is no tick of this run; start over with another --prefix"
            )
        return ticks

    @property
    def rows_per_tick(self) -> float:
        """Events a tick in the last block made; 0 before the first."""
        return self._rows_per_tick

    def tell(self, stop_tick: int, until_ms: float, rows: int) -> None:
        """Put into batches what happens up to until_ms, in ticks before stop_tick; about `rows` events are
        made at a time."""
        while self.told_ticks < stop_tick:
            if not self._cursors:
                self.prepare(stop_tick, rows)
            cursor = self._cursors[0]
            self._tell_whole(cursor, until_ms)
            if cursor.tick < len(cursor.ends):
                self._tell_part(cursor, until_ms)
                return
            self._cursors.popleft()

    def prepare(self, stop_tick: int, rows: int) -> bool:
        """Make the next block of at most about `rows` events, in ticks before stop_tick; whether there was
        one to make."""
        first = self._made_ticks
        if first >= stop_tick:
            return False
        ticks = BLOCK_TICKS if self._rows_per_tick * BLOCK_TICKS < rows else max(1, int(rows / self._rows_per_tick))
        if not self._rows_per_tick:
            ticks = 1
        stop = min(stop_tick, first + ticks)
        block = self.generator.block(self.sequence.topic, self.sequence.shard, first, stop, self._seq)
        ends: list[int] = np.cumsum(block.counts).tolist()
        if len(ends) != stop - first:
            raise AssertionError(f"{self.sequence}: {len(ends)} ticks were made, {stop - first} asked for")
        self._check_times(block)
        row = self._told_of(block.events["event_time"][: ends[0]])
        events = Rows(self._encoders.events, block.events, ends[-1])
        ticks_told = Rows(self._encoders.ticks, block.ticks, len(ends))
        self._cursors.append(_Cursor(events, ticks_told, block.events["event_time"], ends, row=row))
        self._told = ()
        self._made_ticks = stop
        self._seq += ends[-1] + len(ends)
        self._rows_per_tick = max(ends[-1] / len(ends), 1e-3)
        return True

    def _check_times(self, block: Block) -> None:
        """Every event lies in the tick that counts it: else each of its windows would close INCOMPLETE."""
        told = np.flatnonzero(block.counts)
        if not len(told):
            return
        ends = np.cumsum(block.counts)
        times, at = block.events["event_time"][: ends[-1]], ends[told] - block.counts[told]
        early = np.minimum.reduceat(times, at) < block.ticks["tick_start"][told]
        late = np.maximum.reduceat(times, at) >= block.ticks["tick_end"][told]
        if early.any() or late.any():
            raise AssertionError(f"{self.sequence}: an event was made outside its tick")

    def _told_of(self, times: npt.NDArray[np.int64]) -> int:
        """How many events of a resumed tick are in the log: as many as have the times of this run's.

        Others that follow the last tick were written by somebody else. The engine judges those by its own rules; told
        again, an event that it took there counts as a duplicate, one that it refused is not lost.

        Raises ResumeError where they are more than the tick makes and do not even begin with its own: another run's.
        """
        told = np.array(self._told[: len(times)], np.int64)
        differs = np.flatnonzero(told != times[: len(told)])
        row = int(differs[0]) if len(differs) else len(told)
        if row < len(times) < len(self._told):
            raise ResumeError(
                f"topic {self.sequence.place} holds {len(self._told)} events of {self.sequence} in tick "
                f"{self._made_ticks}, this run makes {len(times)}: seed, topology or levers differ from what wrote it"
            )
        if row < len(self._told):
            log.warning(
                "%s: %d events behind its last tick in topic %s are not what it tells there; it goes on before them",
                self.sequence, len(self._told) - row, self.sequence.place,
            )  # fmt: skip
        return row

    @property
    def blocks(self) -> int:
        """Blocks made and not wholly told."""
        return len(self._cursors)

    def _tell_whole(self, cursor: _Cursor, until_ms: float) -> None:
        """The ticks of a block that end by until_ms."""
        done = self.told_ticks - cursor.tick
        whole = min(len(cursor.ends), self._span.ticks_until(until_ms) - done)
        ends = cursor.ends
        while cursor.tick < whole:
            stop = ends[cursor.tick]
            if cursor.row < stop:
                self._append(cursor.events, cursor.row, stop, events=True)
                cursor.row = stop
            after = cursor.tick + 1
            while after < whole and ends[after] == stop:
                after += 1
            self._append(cursor.ticks, cursor.tick, after)
            cursor.tick = after
            self.told_ticks = done + after

    def _tell_part(self, cursor: _Cursor, until_ms: float) -> None:
        """The events of the tick under way that have happened by until_ms, without its Tick."""
        stop = cursor.ends[cursor.tick]
        if cursor.row >= stop:
            return
        ahead = cursor.times[cursor.row : stop] > until_ms
        if ahead.any():
            stop = cursor.row + int(ahead.argmax())
        if cursor.row < stop:
            self._append(cursor.events, cursor.row, stop, events=True)
            cursor.row = stop

    def close(self) -> None:
        """Tell CLOSE once every tick of the span is told."""
        if not self.closed and self.told_ticks == self._span.ticks:
            self._control(CLOSE, self._span.end_ms)
            self.closed = True
            self.flush()

    def _control(self, kind: int, at_ms: int) -> None:
        """OPEN or CLOSE: a tick of no length that names the run."""
        columns: Columns = {
            "source": np.array([self.sequence.code], np.int16),
            "seq": np.array([self._seq], np.int64),
            "kind": np.array([kind], np.int8),
            "shard": np.array([self.sequence.shard], np.int32),
            "tick_start": np.array([at_ms], np.int64),
            "tick_end": np.array([at_ms], np.int64),
            "events": np.zeros(1, np.int64),
            "amount_fen": np.zeros(1, np.int64),
            "run": np.zeros(1, np.int16),
            "run?": np.ones(1, np.bool_),
        }
        self._append(Rows(self._encoders.ticks, columns, 1), 0, 1)
        self._seq += 1

    def _append(self, rows: Rows, lo: int, hi: int, *, events: bool = False) -> None:
        while lo < hi:
            taken = self._builder.append(rows, lo, hi)
            if events:
                self._held_events += taken - lo
            lo = taken
            if lo < hi:
                self.flush()

    def flush(self) -> None:
        """Hand what is in the builder to the producer."""
        if not len(self._builder):
            return
        ticks, events, closed = self.told_ticks, self._held_events, self.closed
        self._held_events = 0

        def acknowledged() -> None:
            self.acked_events += events
            self.acked_ticks = ticks
            self.acked_closed = closed

        sequence = self.sequence
        self._producer.send_ready(sequence.place, sequence.shard, self._builder.seal(), acknowledged)

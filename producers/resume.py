"""Where a source stopped: read back from the end of each partition to its last tick.

Other sources' batches lie between, so the scan goes back in growing steps until every wanted source has shown a tick
that goes on from the tick before it. Anybody can write into a topic: a tick that does not is an alien's and is passed
over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from producers.errors import ResumeError
from producers.logs import BatchLog
from schemas.decode import Decoder

FIRST_STEP = 20_000
"""Offsets; each further step is four times as long."""
GROWTH = 4
OPEN, TICK, CLOSE = 0, 1, 2
"""Symbols of TickKind."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source has told one (topic, shard).

    `seq` is the next sequence number, `tick_end_ms` the end of the last whole tick, `told` the times of the events that
    follow it in the log: those of the tick after it, unless somebody else wrote them. seq 0 means that not even OPEN
    is.
    """

    seq: int
    tick_end_ms: int
    told: tuple[int, ...]
    closed: bool


@dataclass(frozen=True, slots=True)
class Tail:
    """Rows of the wanted sources from the end of a partition's log, in log order: int64 arrays of one length.

    kind is -1 for an event and the tick's kind otherwise; tick_start and tick_end are an event's time, events is 0.
    """

    source: npt.NDArray[np.int64]
    seq: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    tick_start: npt.NDArray[np.int64]
    tick_end: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]

    @classmethod
    def empty(cls) -> "Tail":
        return cls(*(np.empty(0, np.int64) for _ in fields(cls)))

    def behind(self, earlier: "Tail") -> "Tail":
        """The rows of `earlier` and then these."""
        pairs = [(getattr(earlier, field.name), getattr(self, field.name)) for field in fields(self)]
        return Tail(*(np.concatenate(pair) for pair in pairs))


def position(tail: Tail, code: int, start_ms: int) -> Position | None:
    """Where source number `code` stopped, or None when the tail has no tick of it that can be told to be its own.

    The last tick is the one with the greatest seq (a successor of a stopped process may have told rows twice) that
    follows another gaplessly, in time and in seq, or is OPEN; the events counted after it are those that follow it
    gaplessly. So an alien record with a made-up seq does not count.
    """
    mine = np.flatnonzero(tail.source == code)
    last = _last_tick(tail, mine[tail.kind[mine] >= 0])
    if last is None:
        return None
    seq = int(tail.seq[last]) + 1
    if tail.kind[last] == CLOSE:
        return Position(seq, int(tail.tick_end[last]), (), True)
    told: list[int] = []
    after = mine[(mine > last) & (tail.kind[mine] < 0)]
    for found, time_ms in zip(tail.seq[after].tolist(), tail.tick_start[after].tolist(), strict=True):
        if found == seq + len(told):
            told.append(time_ms)
    end = start_ms if tail.kind[last] == OPEN else int(tail.tick_end[last])
    return Position(seq + len(told), end, tuple(told), False)


def _last_tick(tail: Tail, ticks: npt.NDArray[np.int64]) -> int | None:
    """The row of a source's last tick among its `ticks`."""
    ends = set(zip(tail.seq[ticks].tolist(), tail.tick_end[ticks].tolist(), strict=True))
    for row in ticks[np.argsort(-tail.seq[ticks], kind="stable")].tolist():
        seq, events = int(tail.seq[row]), int(tail.events[row])
        opens = tail.kind[row] == OPEN and seq == 0
        if opens or (tail.kind[row] != OPEN and (seq - 1 - events, int(tail.tick_start[row])) in ends):
            return int(row)
    return None


def position_decoder(record: str, ids: Mapping[str, int], roster: Sequence[str]) -> Decoder:
    """Decoder of what tells how far the sources of an event topic are."""
    return Decoder(
        {record: ids[record], "tick": ids["tick"]},
        {"source": roster},
        {
            record: ("source", "seq", "event_time"),
            "tick": ("source", "seq", "kind", "tick_start", "tick_end", "events"),
        },
    )


class LogEnds:
    """Finds positions of sources in the partitions of one event topic."""

    def __init__(
        self, log: BatchLog, topic: str, record: str, ids: Mapping[str, int], roster: Sequence[str], start_ms: int
    ) -> None:
        self._log = log
        self._topic = topic
        self._record = record
        self._roster = tuple(roster)
        self._start_ms = start_ms
        self._decoder = position_decoder(record, ids, self._roster)

    def find(self, partition: int, sources: Sequence[str]) -> dict[str, Position]:
        """Positions of the sources in a partition; a source whose OPEN the log does not hold starts with it, seq 0.

        Raises ResumeError if the log was cut and holds events of such a source.
        """
        first, stop = self._log.bounds(self._topic, partition)
        found: dict[str, Position] = {}
        tail = Tail.empty()
        step = FIRST_STEP
        while stop > first and len(found) < len(sources):
            low = max(first, stop - step)
            tail = tail.behind(self._read(partition, low, stop))
            for source in sources:
                place = position(tail, self._roster.index(source), self._start_ms)
                if place is not None:
                    found[source] = place
            stop, step = low, step * GROWTH
        missing = [source for source in sources if source not in found]
        for source in missing:
            code = self._roster.index(source)
            if first > 0 and np.any(tail.source == code):
                raise ResumeError(
                    f"{self._topic}/{partition} holds events of source {source} but no OPEN before them: the log was "
                    f"cut, it begins at offset {first}; start over with another --prefix"
                )
            found[source] = Position(0, self._start_ms, (), False)
        return found

    def _read(self, partition: int, first: int, stop: int) -> Tail:
        """Rows at offsets first..stop-1 that name a known source."""
        rows = self._decoder.decode(self._log.batches(self._topic, partition, first, stop), first)
        events, ticks = rows.columns[self._record], rows.columns["tick"]
        offset = np.concatenate([rows.offset[rows.index[self._record]], rows.offset[rows.index["tick"]]])
        count = len(rows.index[self._record])
        nothing, times = np.zeros(count, np.int64), events["event_time"]
        source = np.concatenate([events["source"], ticks["source"]]).astype(np.int64)
        seq = np.concatenate([events["seq"], ticks["seq"]])
        kind = np.concatenate([nothing - 1, ticks["kind"].astype(np.int64)])
        tick_start, tick_end = (np.concatenate([times, ticks[name]]) for name in ("tick_start", "tick_end"))
        told = np.concatenate([nothing, ticks["events"]])
        order = np.argsort(offset, kind="stable")
        order = order[(offset[order] < stop) & (source[order] >= 0)]
        return Tail(*(column[order] for column in (source, seq, kind, tick_start, tick_end, told)))

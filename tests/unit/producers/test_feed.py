"""One sequence: the same rows however it is sliced, and on from any place where the log may stop."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.batches import BatchBuilder, ReadyBatch
from producers.errors import ResumeError
from producers.feed import Encoders, Feed, Sequence, Span
from producers.resume import CLOSE, OPEN, TICK, Position, Tail, position
from schemas.decode import Decoder
from schemas.encode import Encoder
from schemas.recordbatch import NONE, RawBatch, split
from tests.unit.producers.fake_world import BANKS, DAY_MS, ROSTER, START_MS, Block, Generator, World

TICKS = 12
SPAN = Span(START_MS, DAY_MS, TICKS)
SEQUENCE = Sequence("wechat-pay", 1, "payments", "x.payments", 1)
FRESH = Position(0, START_MS, (), False)
INF = float("inf")
RUN = "0123456789abcdef"
ENCODERS = Encoders(
    Encoder("payment", 1, {"source": ROSTER, "payer_bank": BANKS, "payee_bank": BANKS}, "payer_id"),
    Encoder("tick", 2, {"source": ROSTER, "run": (RUN,)}, "source"),
)
DECODER = Decoder(
    {"payment": 1, "tick": 2},
    {"source": ROSTER, "run": (RUN,)},
    {
        "payment": ("source", "seq", "event_time", "amount_fen"),
        "tick": ("source", "seq", "kind", "tick_start", "tick_end", "events", "run"),
    },
)


@dataclass
class Log:
    """Stands for the producer: keeps what it is given; acknowledges when told to."""

    batches: list[ReadyBatch] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)

    def send_ready(self, topic: str, partition: int, batch: ReadyBatch, acknowledged: Callable[[], None]) -> None:
        assert (topic, partition) == ("x.payments", 1)
        self.batches.append(batch)
        self.waiting.append(acknowledged)

    def acknowledge(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()

    def raw(self) -> list[RawBatch]:
        found, offset = [], 0
        for batch in self.batches:
            batch.close()
            raw = next(split(batch.buffer()))
            raw.base_offset, raw.last_offset = offset, offset + raw.count - 1
            offset += raw.count
            found.append(raw)
        return found

    def values(self) -> list[tuple[bytes | None, bytes | None]]:
        """Key and value of every record."""
        rows = DECODER.decode(self.raw())
        return [rows.raw(i)[:2] for i in range(rows.n)]


def feed(log: Any, at: Position = FRESH, span: Span = SPAN, base: int = 20) -> Feed:
    return Feed(SEQUENCE, span, Generator(World(), "wechat-pay", base), ENCODERS, log, at, BatchBuilder(NONE))


def told() -> Log:
    log = Log()
    whole = feed(log)
    whole.tell(TICKS, INF, 8_000)
    whole.close()
    return log


def tail_of(log: Log) -> Tail:
    rows = DECODER.decode(log.raw())
    pay, tick = rows.columns["payment"], rows.columns["tick"]
    tail = Tail(*(np.zeros(rows.n, np.int64) for _ in fields(Tail)))
    tail.source[:], tail.kind[:] = 1, -1
    tail.seq[rows.index["payment"]] = pay["seq"]
    tail.tick_start[rows.index["payment"]] = tail.tick_end[rows.index["payment"]] = pay["event_time"]
    for name in ("seq", "kind", "tick_start", "tick_end", "events"):
        getattr(tail, name)[rows.index["tick"]] = tick[name]
    return tail


WHOLE = told()
VALUES = WHOLE.values()
TAIL = tail_of(WHOLE)


def test_a_sequence_is_open_ticks_behind_their_events_and_close() -> None:
    rows = DECODER.decode(WHOLE.raw())
    ticks = rows.columns["tick"]
    assert ticks["kind"].tolist() == [OPEN, *[TICK] * TICKS, CLOSE]
    assert ticks["run?"].tolist() == [True, *[False] * TICKS, True]
    assert ticks["tick_end"].tolist() == [START_MS, *(START_MS + DAY_MS * (t + 1) for t in range(TICKS)), SPAN.end_ms]
    assert TAIL.seq.tolist() == list(range(rows.n))
    assert np.diff(rows.index["tick"])[:TICKS].tolist() == (ticks["events"][1:-1] + 1).tolist()


@settings(max_examples=40, deadline=None)
@given(
    slices=st.lists(st.integers(0, TICKS * DAY_MS), max_size=8).map(sorted),
    limits=st.lists(st.integers(0, TICKS), max_size=8).map(sorted),
    rows=st.integers(1, 300),
    flush=st.booleans(),
)
def test_the_rows_do_not_depend_on_how_they_are_sliced(
    slices: list[int], limits: list[int], rows: int, flush: bool
) -> None:
    log = Log()
    sliced = feed(log)
    for until, limit in zip(slices, limits, strict=False):
        sliced.tell(limit, START_MS + until, rows)
        assert sliced.told_ticks <= limit
        assert sliced.told_ticks * DAY_MS <= until
        if flush:
            sliced.flush()
            sliced.prepare(limit, rows)
    sliced.close()
    assert not sliced.closed or sliced.told_ticks == TICKS
    sliced.tell(TICKS, INF, rows)
    sliced.close()
    sliced.close()
    assert log.values() == VALUES


@settings(max_examples=60, deadline=None)
@given(stop=st.integers(1, len(VALUES) - 1))
def test_a_killed_source_goes_on_at_the_next_seq(stop: int) -> None:
    tail = Tail(*(getattr(TAIL, column.name)[:stop] for column in fields(Tail)))
    at = position(tail, 1, START_MS)
    assert at is not None
    log = Log()
    rest = feed(log, at)
    rest.tell(TICKS, INF, 100)
    rest.close()
    assert VALUES[:stop] + log.values() == VALUES


def test_a_closed_sequence_tells_nothing_more() -> None:
    at = position(TAIL, 1, START_MS)
    assert at is not None
    assert at.closed
    log = Log()
    done = feed(log, at)
    done.tell(TICKS, INF, 100)
    done.close()
    done.flush()
    assert log.batches == []
    assert (done.acked_ticks, done.acked_closed) == (TICKS, True)


def test_only_what_the_broker_acknowledged_counts_as_progress() -> None:
    log = Log()
    some = feed(log)
    some.tell(3, INF, 8_000)
    some.flush()
    assert (some.told_ticks, some.acked_ticks, some.acked_events) == (3, 0, 0)
    log.acknowledge()
    assert (some.acked_ticks, some.acked_events) == (3, sum((20 + t + 1) % 40 for t in range(3)))
    some.tell(TICKS, INF, 8_000)
    some.close()
    assert not some.acked_closed
    log.acknowledge()
    assert some.acked_closed


def test_events_are_not_told_before_their_time() -> None:
    log = Log()
    paced = feed(log)
    noon = START_MS + DAY_MS // 2
    paced.tell(1, noon, 8_000)
    paced.flush()
    rows = DECODER.decode(log.raw())
    times = rows.columns["payment"]["event_time"]
    assert len(times)
    assert times.max() <= noon
    assert paced.told_ticks == 0


@pytest.mark.parametrize("astray", [-1, DAY_MS])
def test_an_event_made_outside_its_tick_stops_the_source(astray: int) -> None:
    class Astray(Generator):
        def block(self, topic: str, shard: int, first_tick: int, stop_tick: int, seq: int) -> Block:
            made = super().block(topic, shard, first_tick, stop_tick, seq)
            made.events["event_time"][0 if astray < 0 else -1] = (
                made.ticks["tick_start"][0 if astray < 0 else -1] + astray
            )
            return made

    broken = Feed(SEQUENCE, SPAN, Astray(World(), "wechat-pay", 20), ENCODERS, Log(), FRESH, BatchBuilder(NONE))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="an event was made outside its tick"):
        broken.tell(3, INF, 100)


def test_a_log_that_another_run_wrote_is_refused() -> None:
    with pytest.raises(ResumeError, match="no tick of this run"):
        feed(Log(), Position(9, START_MS + 5, (), False))
    with pytest.raises(ResumeError, match="no tick of this run"):
        feed(Log(), Position(9, SPAN.end_ms + DAY_MS, (), False))
    with pytest.raises(ResumeError, match="this run makes 21"):
        feed(Log(), Position(23, START_MS, (0,) * 22, False)).tell(1, INF, 100)


@settings(max_examples=30, deadline=None)
@given(stop=st.integers(2, len(VALUES) - 2))
def test_a_stranger_behind_the_last_tick_is_not_taken_for_its_event(stop: int) -> None:
    tail = Tail(*(getattr(TAIL, column.name)[:stop] for column in fields(Tail)))
    at = position(tail, 1, START_MS)
    assert at is not None
    taken = replace(at, seq=at.seq + 1, told=(*at.told, START_MS + 1))
    log = Log()
    rest = feed(log, taken)
    rest.tell(TICKS, INF, 100)
    rest.close()
    assert VALUES[:stop] + log.values() == VALUES


def test_quiet_ticks_are_made_and_told_together() -> None:
    span = Span(START_MS, DAY_MS, 20_000)
    log = Log()
    quiet = Feed(Sequence("wechat-pay", 1, "payments", "x.payments", 1), span, _Silent(), ENCODERS, log, FRESH)  # type: ignore[arg-type]
    quiet.tell(20_000, INF, 8_000)
    quiet.close()
    assert sum(batch.next_offset() for batch in log.batches) == 20_002


class _Silent(Generator):
    """A source to whom nothing happens."""

    def __init__(self) -> None:
        super().__init__(World(), "wechat-pay")

    def block(self, topic: str, shard: int, first_tick: int, stop_tick: int, seq: int) -> Any:
        block = super().block(topic, shard, first_tick, first_tick + 1, seq)
        n = stop_tick - first_tick
        ticks = {name: np.repeat(values, n) for name, values in block.ticks.items()}
        ticks["seq"] = seq + np.arange(n)
        return Block(block.events, ticks, np.zeros(n, np.int64))

"""The engine's judgement, without a broker: whose chunk it is, where it goes on, and when it gives up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from schemas.errors import JinliuError
from streams import engine as engine_module
from streams.engine import STUCK_AFTER, Engine
from streams.failures import BackgroundError, FoldError, RecordsDeletedError, ShardStuckError
from streams.fetch import Chunk
from streams.options import Options
from streams.task import Batch
from streams.telemetry import Telemetry
from streams.transaction import FencedError, Partition, Record, TransactionLostError

TOPIC = "p.events"
HERE = TP(TOPIC, 0)


class Log:
    """What the broker would hold: the state of each partition, its earliest offset, and what goes wrong."""

    def __init__(self) -> None:
        self.state: dict[Partition, dict[bytes, bytes]] = {}
        self.earliest = 0
        self.trouble: list[TransactionLostError] = []
        self.calls: list[str] = []
        self.gate: asyncio.Event | None = None


class Producer:
    """Commits into `Log`."""

    log: Log

    def __init__(self, broker: str, transactional_id: str, name: str) -> None:
        self.log.calls.append(f"new {transactional_id}")

    async def run(self, call: Callable[..., Any], *args: Any) -> Any:
        if self.log.gate is not None:
            await self.log.gate.wait()
        return call(*args)

    def open(self, dropped: Callable[[], bool]) -> None:
        self.log.calls.append("open")

    def commit(self, records: list[Record], dropped: Callable[[], bool]) -> None:
        self.log.calls.append("commit")
        if self.log.trouble:
            raise self.log.trouble.pop(0)
        for record in records:
            assert record.key is not None
            assert record.value is not None
            self.log.state.setdefault(Partition(record.topic, record.partition), {})[record.key] = record.value

    def close(self) -> None:
        self.log.calls.append("close")

    def shutdown(self) -> None:
        self.log.calls.append("shutdown")


class Reader:
    log: Log

    def __init__(self, broker: str, group: str) -> None:
        pass

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def bounds(self, where: Partition) -> tuple[int, int]:
        return (self.log.earliest, 0) if where.topic == TOPIC else (0, 1)

    def read(self, where: Partition, first: int, stop: int) -> Iterator[list[Any]]:
        for key, value in self.log.state.get(where, {}).items():
            yield [SimpleNamespace(key=lambda key=key: key, value=lambda value=value: value)]


class Counting:
    """Work that counts events; a chunk that begins at 666 breaks it."""

    state_topic = "p.state.events"

    def __init__(self, partition: int) -> None:
        self.partition, self.next_offset, self.events, self.taken = partition, 0, 0, 0

    def restore(self, rows: Mapping[bytes, bytes], reader: Any) -> None:
        if rows:
            self.next_offset, self.events = (int(number) for number in rows[b"count"].split())
            self.taken = self.next_offset

    def fold(self, chunk: Chunk) -> int:
        if chunk.first == 666:
            raise ArithmeticError("too much")
        self.events += chunk.last + 1 - chunk.first
        self.next_offset = chunk.last + 1
        return chunk.last + 1 - chunk.first

    def take(self, now_ms: int, final: bool) -> Batch | None:
        if self.taken == self.next_offset:
            return None
        self.taken = self.next_offset
        record = Record(self.state_topic, self.partition, b"count", b"%d %d" % (self.next_offset, self.events))
        return Batch(self.next_offset, lambda: [record])


class Consumer:
    def __init__(self) -> None:
        self.sought: list[dict[TP, int]] = []
        self.rejoined = 0

    async def seek_wait(self, to: dict[TP, int]) -> None:
        self.sought.append(to)

    async def rejoin(self) -> None:
        self.rejoined += 1


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(Producer, "log", log, raising=False)
    monkeypatch.setattr(Reader, "log", log, raising=False)
    monkeypatch.setattr(engine_module, "ShardProducer", Producer)
    monkeypatch.setattr(engine_module, "Reader", Reader)
    monkeypatch.setattr(engine_module, "REJOIN_DELAYS_S", (0.0,))
    return log


def made() -> tuple[Engine, Consumer]:
    options = Options(broker="nowhere", topology=SimpleNamespace(), prefix="p.", uncommitted_bytes=1000)  # type: ignore[arg-type]
    engine, consumer = Engine(options, {TOPIC: lambda partition: Counting(partition)}, Telemetry()), Consumer()
    engine.attach(consumer)  # type: ignore[arg-type]
    engine.assign({HERE, TP("changelog", 0)})
    return engine, consumer


def chunk(engine: Engine, first: int, last: int, nbytes: int = 10) -> Chunk:
    return Chunk(TOPIC, 0, first, last, nbytes, owner=engine.owner_of(HERE))


def running(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


async def begun(engine: Engine) -> None:
    """One round of the commit loop, without what comes of it."""
    for shard in list(engine.shards.values()):
        engine._begin_commit(shard, final=False)
        if shard.committing is not None:
            await shard.committing


async def committed(engine: Engine) -> None:
    """One round of the commit loop, to its end."""
    await begun(engine)
    await settled(engine)


async def committed_or_failed(engine: Engine) -> None:
    """One round of the commit loop whose transaction's end may raise."""
    for shard in list(engine.shards.values()):
        engine._begin_commit(shard, final=False)
    await asyncio.gather(*engine._background, return_exceptions=True)
    await asyncio.sleep(0)


async def settled(engine: Engine) -> None:
    while engine._background:
        await asyncio.gather(*engine._background)


def counter(engine: Engine, name: str) -> float:
    return engine.telemetry.registry.get_sample_value(name) or 0.0


def test_a_shard_goes_on_where_its_state_ends(log: Log) -> None:
    log.state[Partition("p.state.events", 0)] = {b"count": b"40 38"}

    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        assert engine.positions() == {HERE: 40}
        assert engine.committed_offset(HERE) == 40
        await engine.fold(chunk(engine, 40, 49))
        assert engine.committed_offset(HERE) == 40
        await committed(engine)
        assert engine.committed_offset(HERE) == 50
        assert log.state[Partition("p.state.events", 0)] == {b"count": b"50 48"}
        assert log.calls[0] == "new p.jinliu.events.0"

    running(story())


def test_stale_and_repeated_chunks_change_nothing(log: Log) -> None:
    async def story() -> None:
        engine, consumer = made()
        await engine.take_over()
        stale = chunk(engine, 0, 9)
        engine.drop(HERE)
        await engine.take_over()
        await engine.fold(stale)
        assert engine.positions() == {HERE: 0}
        await engine.fold(chunk(engine, 0, 9))
        await engine.fold(chunk(engine, 0, 9))
        await engine.fold(Chunk(TOPIC, 0, 10, 19, 1, owner=None))
        assert engine.positions() == {HERE: 10}
        assert counter(engine, "jinliu_stale_chunks_total") == 3
        assert consumer.sought == []

    running(story())


def test_a_gap_is_read_again(log: Log) -> None:
    async def story() -> None:
        engine, consumer = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        await engine.fold(chunk(engine, 15, 19))
        await engine.fold(chunk(engine, 20, 29))
        assert consumer.sought == [{HERE: 10}], "one seek answers a gap, however many chunks are on their way"
        await engine.fold(chunk(engine, 10, 29))
        assert engine.positions() == {HERE: 30}

    running(story())


def test_a_chunk_that_overlaps_is_read_again(log: Log) -> None:
    async def story() -> None:
        engine, consumer = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        await engine.fold(chunk(engine, 5, 14))
        assert consumer.sought == [{HERE: 10}]
        assert engine.positions() == {HERE: 10}

    running(story())


def test_a_fold_that_fails_ends_the_worker_and_commits_nothing(log: Log) -> None:
    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 665))
        await engine.fold(chunk(engine, 666, 700))
        assert engine.failed.is_set()
        assert isinstance(engine.failure, FoldError)
        assert "folding p.events/0 failed at offsets 666..700: ArithmeticError: too much" in str(engine.failure)
        await engine.finish()
        await engine.close()
        assert log.state == {}

    running(story())


def test_a_group_that_cannot_be_joined_again_ends_the_worker(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(_: Consumer) -> None:
        raise OSError("no coordinator")

    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        log.trouble = [TransactionLostError("timed out")]
        monkeypatch.setattr(Consumer, "rejoin", gone)
        await begun(engine)
        await asyncio.wait_for(engine.failed.wait(), 5)
        assert isinstance(engine.failure, BackgroundError)
        assert "OSError: no coordinator" in str(engine.failure)

    running(story())


def test_a_worker_that_stops_does_not_wait_to_join_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "REJOIN_DELAYS_S", (3600.0,))

    async def story() -> None:
        engine, consumer = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        log.trouble = [TransactionLostError("timed out")]
        await begun(engine)
        await engine.finish()
        await asyncio.wait_for(engine.close(), 5)
        assert consumer.rejoined == 0
        assert engine.failure is None

    running(story())


def test_what_did_not_commit_is_folded_again(log: Log) -> None:
    async def story() -> None:
        engine, consumer = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        log.trouble = [TransactionLostError("timed out")]
        await committed(engine)
        assert (engine.shards, consumer.rejoined) == ({}, 1)
        await engine.take_over()
        assert engine.positions() == {HERE: 0}
        await engine.fold(chunk(engine, 0, 9))
        await committed(engine)
        assert log.state[Partition("p.state.events", 0)] == {b"count": b"10 10"}

    running(story())


def test_a_fenced_shard_is_dropped(log: Log) -> None:
    async def story() -> None:
        engine, consumer = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        log.trouble = [FencedError("a newer owner")]
        await committed(engine)
        assert engine.shards == {}
        assert counter(engine, "jinliu_fenced_total") == 1
        assert consumer.rejoined == 1

    running(story())


def test_a_shard_without_headway_ends_the_worker(log: Log) -> None:
    async def story() -> None:
        engine, _ = made()
        for _ in range(STUCK_AFTER):
            await engine.take_over()
            await engine.fold(chunk(engine, 0, 9))
            log.trouble = [TransactionLostError("message too large")]
            await committed(engine)
        assert isinstance(engine.failure, ShardStuckError)
        assert "message too large" in str(engine.failure)

    running(story())


def test_records_deleted_unread_end_the_worker(log: Log) -> None:
    log.earliest = 7

    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        assert isinstance(engine.failure, RecordsDeletedError)
        assert isinstance(engine.failure, JinliuError)

    running(story())


def test_folding_waits_for_the_broker_when_too_far_ahead(log: Log) -> None:
    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9, nbytes=2000))
        waiting = asyncio.ensure_future(engine.fold(chunk(engine, 10, 19)))
        await asyncio.sleep(0)
        assert engine.positions() == {HERE: 10}
        await committed(engine)
        await waiting
        assert engine.positions() == {HERE: 20}

    running(story())


def test_folding_goes_on_while_a_transaction_is_in_flight(log: Log) -> None:
    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        log.gate = asyncio.Event()
        await engine.fold(chunk(engine, 0, 9))
        shard = engine.shards[HERE]
        engine._begin_commit(shard, final=False)
        await engine.fold(chunk(engine, 10, 19))
        engine._begin_commit(shard, final=False)
        log.gate.set()
        assert shard.committing is not None
        await shard.committing
        assert engine.committed_offset(HERE) == 10, "the snapshot is of when the transaction began"
        await engine.finish()
        assert log.state[Partition("p.state.events", 0)] == {b"count": b"20 20"}
        assert engine.committed_offset(HERE) == 20, "the group's offsets are asked for after the last transaction"
        await engine.close()
        assert log.calls[-2:] == ["close", "shutdown"]

    running(story())


def test_a_shard_dropped_in_flight_waits_for_nobody(log: Log) -> None:
    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9, nbytes=2000))
        waiting = asyncio.ensure_future(engine.fold(chunk(engine, 10, 19)))
        await asyncio.sleep(0)
        engine.drop(HERE)
        await waiting
        assert engine.positions() == {}
        await settled(engine)
        assert log.calls.count("commit") == 0

    running(story())


def test_what_is_revoked_during_a_takeover_is_not_taken_over_again(log: Log) -> None:
    """Two rebalances in a row: Faust, late, asks for the takeover of the first while the second is under way."""

    async def story() -> None:
        engine, _ = made()
        log.gate = asyncio.Event()
        taking = asyncio.ensure_future(engine.take_over())
        await asyncio.sleep(0)
        engine.revoke({HERE})
        engine.assign({HERE})
        engine.revoke({HERE})
        log.gate.set()
        await taking
        await engine.take_over()  # of the second generation, before the third is assigned
        assert engine.positions() == {}
        engine.assign({TP(TOPIC, 1)})
        await engine.take_over()
        assert engine.positions() == {TP(TOPIC, 1): 0}
        await settled(engine)

    running(story())


def test_what_is_not_assigned_any_more_is_dropped(log: Log) -> None:
    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        engine.assign({TP(TOPIC, 1)})
        assert engine.positions() == {}
        await settled(engine)

    running(story())


def test_a_fold_that_stops_short_ends_the_worker(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "fold", lambda self, chunk: 0)

    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        assert isinstance(engine.failure, FoldError)
        assert "fold stopped short of 9" in str(engine.failure)

    running(story())


def test_a_position_that_went_back_ends_the_worker(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        engine.shards[HERE].upto = 50
        await committed_or_failed(engine)
        assert isinstance(engine.failure, BackgroundError)
        assert "upto went back from 50 to 10" in str(engine.failure)

    running(story())


def test_a_takeover_that_raises_whatever_ends_the_worker(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, rows: Any, reader: Any) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Counting, "restore", broken)

    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        assert isinstance(engine.failure, BackgroundError)
        assert "RuntimeError: no memory" in str(engine.failure)
        assert engine.positions() == {}
        await settled(engine)

    running(story())


def test_takeovers_that_fail_between_commits_that_fail_are_no_headway(log: Log) -> None:
    async def story() -> None:
        engine, _ = made()
        await engine.take_over()
        await engine.fold(chunk(engine, 0, 9))
        await committed(engine)
        for _ in range(STUCK_AFTER):
            shard = engine.shards[HERE]
            engine._lose(shard, TransactionLostError("silent"))
            await settled(engine)
            await engine.take_over()
            if engine.failure is None:
                engine.shards[HERE].upto = 0  # as after a takeover that failed
        assert isinstance(engine.failure, ShardStuckError)

    running(story())


def test_nothing_is_taken_over_while_stopping(log: Log) -> None:
    async def story() -> None:
        engine, _ = made()
        await engine.finish()
        await engine.take_over()
        assert engine.shards == {}

    running(story())

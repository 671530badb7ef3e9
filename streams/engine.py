"""The engine: owns shards, folds their chunks, and writes what changed in one transaction a shard and interval.

A shard is a (topic, partition) with its state in memory, which is a function of that partition's prefix. What is not
in a committed transaction did not happen: losing a shard drops its memory, taking it over means fencing the former
owner, reading the state topic to its last stable offset, and going on at `upto`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog
from faust.types import TP

from schemas.errors import JinliuError
from streams.failures import BackgroundError, FoldError, RecordsDeletedError, ShardStuckError, WorkerError
from streams.transaction import DroppedError, FencedError, Partition, Reader, ShardProducer, TransactionLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from streams.fetch import Chunk
    from streams.options import Options
    from streams.task import Batch, Task
    from streams.telemetry import Telemetry
    from streams.transport import Consumer

log = structlog.get_logger("streams.engine")

STUCK_AFTER = 6
"""Takeovers of a shard without headway after which the worker gives up."""

REJOIN_DELAYS_S = (0.0, 0.2, 0.5, 1.0, 3.0, 10.0)
"""Wait before the group is joined again, by failures of the shard without headway."""

TURNS = 8
"""Parts of a commit interval in which the shards' transactions begin."""

SEEK_PAUSE_S = 1.0
"""A gap is not answered by a second seek for so long: chunks fetched before the first one are still on their way."""

FINISH_TIMEOUT_S = 15.0
"""How long a stopping worker waits for its last transactions."""


class Shard:
    """One owned partition: its work, its transactions, and how far both are."""

    def __init__(self, tp: TP, task: Task, producer: ShardProducer) -> None:
        self.tp = tp
        self.task = task
        self.producer = producer
        self.upto = 0
        self.live = False
        self.dropped = False
        self.uncommitted_bytes = 0
        self.committing: asyncio.Task[None] | None = None
        self.room = asyncio.Event()
        self.sought_s = 0.0
        self.due_s = 0.0

    def is_dropped(self) -> bool:
        """Asked by the shard's thread while it waits for the broker."""
        return self.dropped

    def __str__(self) -> str:
        return f"{self.tp.topic}/{self.tp.partition}"


class Engine:
    """Shards of one worker. All methods belong to the event loop of the app."""

    def __init__(self, options: Options, tasks: dict[str, Callable[[int], Task]], telemetry: Telemetry) -> None:
        """tasks: full topic name -> maker of a partition's work."""
        self.options = options
        self.topics = frozenset(tasks)
        self.shards: dict[TP, Shard] = {}
        self.telemetry = telemetry
        self.failure: JinliuError | None = None
        self.failed = asyncio.Event()
        self.ready = asyncio.Event()
        self._assigned: frozenset[TP] = frozenset()
        self._tasks = tasks
        self._producers: dict[TP, ShardProducer] = {}
        self._failures: dict[TP, tuple[int, int]] = {}  # at upto, how many
        self._stopping = False
        self._rejoining: asyncio.Task[Any] | None = None
        self._consumer: Consumer | None = None
        self._background: set[asyncio.Task[Any]] = set()

    def attach(self, consumer: Consumer) -> None:
        """The consumer whose partitions these are."""
        self._consumer = consumer

    # -- what the consumer asks ------------------------------------------------------------------------------------

    def owner_of(self, tp: TP) -> Shard | None:
        """The shard a chunk of `tp` belongs to now."""
        return self.shards.get(tp)

    def committed_offset(self, tp: TP) -> int | None:
        """The group's offset for lag tools."""
        shard = self.shards.get(tp)
        return shard.upto if shard is not None and shard.live and shard.upto else None

    def positions(self) -> dict[TP, int]:
        """Where the consumer has to go on, by partition."""
        return {tp: shard.task.next_offset for tp, shard in self.shards.items() if shard.live}

    # -- ownership -------------------------------------------------------------------------------------------------

    def assign(self, assigned: Iterable[TP]) -> None:
        """The group gave these partitions to this worker; shards of others are dropped."""
        self._assigned = frozenset(tp for tp in assigned if tp.topic in self.topics)
        for tp in self.shards.keys() - self._assigned:
            self.drop(tp)

    def revoke(self, revoked: Iterable[TP]) -> None:
        """The group takes these partitions back. Until it assigns again nothing of them is taken over: while a worker
        waits for the other members its consumer still shows what it had, and so does Faust, late, after a takeover.
        """
        gone = frozenset(revoked)
        self._assigned -= gone
        for tp in gone:
            self.drop(tp)

    async def take_over(self) -> None:
        """Take over every assigned partition that is not owned yet. Faust awaits it before it seeks."""
        if self._consumer is None or self._stopping or self.failure is not None:
            return
        wanted = sorted(self._assigned - self.shards.keys())
        started = time.monotonic()
        await asyncio.gather(*(self._take(TP(*tp)) for tp in wanted))
        if wanted:
            log.info("shards taken over", shards=len(wanted), seconds=round(time.monotonic() - started, 2))
        self.ready.set()

    async def _take(self, tp: TP) -> None:
        if tp not in self._assigned or tp in self.shards:
            return  # revoked since the takeover began
        producer = self._producers.get(tp)
        if producer is None:
            producer = self._producers[tp] = ShardProducer(
                self.options.broker,
                f"{self.options.prefix}jinliu.{self._plain(tp.topic)}.{tp.partition}",
                f"{tp.topic}-{tp.partition}",
            )
        shard = self.shards[tp] = Shard(tp, self._tasks[tp.topic](tp.partition), producer)
        try:
            await producer.run(self._open, shard)
        except TransactionLostError as error:
            self._lose(shard, error)
        except Exception as error:  # whatever it is, it ends the worker: nobody else would take the shard over
            self._fail(shard, error if isinstance(error, JinliuError) else BackgroundError(error))
        else:
            if not shard.dropped:
                shard.upto = shard.task.next_offset
                shard.live = True
                log.debug("shard taken over", shard=str(shard), upto=shard.upto)

    def _open(self, shard: Shard) -> None:
        """In the shard's thread."""
        if shard.dropped:
            return
        shard.producer.open(shard.is_dropped)
        where = Partition(shard.task.state_topic, shard.tp.partition)
        with Reader(self.options.broker, self.options.group) as reader:
            rows: dict[bytes, bytes] = {}
            for batch in reader.read(where, *reader.bounds(where)):
                for message in batch:
                    key, value = message.key() or b"", message.value()
                    if value is None:
                        rows.pop(key, None)
                    else:
                        rows[key] = value
            shard.task.restore(rows, reader)
            earliest, _ = reader.bounds(Partition(shard.tp.topic, shard.tp.partition))
        if earliest > shard.task.next_offset:
            raise RecordsDeletedError(shard.tp.topic, shard.tp.partition, shard.task.next_offset, earliest)

    def drop(self, tp: TP) -> None:
        """Forget a shard: its memory is gone, its producer is closed behind whatever it is doing."""
        shard = self.shards.pop(tp, None)
        if shard is None:
            return
        shard.dropped, shard.live = True, False
        shard.room.set()
        self._spawn(self._close(shard))

    async def _close(self, shard: Shard) -> None:
        fenced = await shard.producer.run(shard.producer.close)
        if fenced is not None:
            self._say_fenced(shard, fenced)

    def _say_fenced(self, shard: Shard, error: Exception) -> None:
        self.telemetry.fenced.inc()
        log.warning("fenced", topic=shard.tp.topic, partition=shard.tp.partition, upto=shard.upto, error=str(error))

    def _lose(self, shard: Shard, error: TransactionLostError) -> None:
        """A transaction failed. Nothing of it happened, or it did and the state read next will show it."""
        if isinstance(error, FencedError):
            self._say_fenced(shard, error)
        elif not isinstance(error, DroppedError):
            log.warning("shard lost", shard=str(shard), upto=shard.upto, error=str(error))
        if shard.dropped or self.shards.get(shard.tp) is not shard:
            return
        at, times = self._failures.get(shard.tp, (0, 0))
        times = 1 if shard.upto > at else times + 1  # a takeover that failed has upto 0: no headway
        self._failures[shard.tp] = (max(at, shard.upto), times)
        if times >= STUCK_AFTER:
            self._fail(shard, ShardStuckError(shard.tp.topic, shard.tp.partition, shard.upto, times, error))
            return
        self.drop(shard.tp)
        if not self._stopping and not self._rejoining:
            # One new assignment serves all shards that were lost meanwhile.
            self._rejoining = self._spawn(self._rejoin(REJOIN_DELAYS_S[min(times, len(REJOIN_DELAYS_S)) - 1]))

    async def _rejoin(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        self._rejoining = None
        if self._consumer is not None and not self._stopping:
            await self._consumer.rejoin()

    def _fail(self, shard: Shard, error: JinliuError) -> None:
        """The worker ends. The shard is dropped, so that nothing half folded is committed."""
        log.error("worker ends", error=str(error))
        if self.failure is None:
            self.failure = error
        self.drop(shard.tp)
        self.failed.set()

    # -- fold ------------------------------------------------------------------------------------------------------

    async def fold(self, chunk: Chunk) -> None:
        """Fold a chunk into the shard that owns its partition, or drop it if it is not the shard's next.

        A chunk that a former owner was sent is dropped; so is one that was folded already. After a gap the consumer
        seeks back to the shard's next offset.
        """
        shard: Shard | None = chunk.owner
        chunk.owner = None
        while shard is not None and shard.live and shard.uncommitted_bytes > self.options.uncommitted_bytes:
            shard.room.clear()
            await shard.room.wait()
        if shard is None or not shard.live or self.shards.get(shard.tp) is not shard:
            self.telemetry.stale.inc()
            return
        if chunk.first != shard.task.next_offset:
            await self._misplaced(shard, chunk)
            return
        try:
            events = shard.task.fold(chunk)
            assert shard.task.next_offset == chunk.last + 1, f"{shard}: fold stopped short of {chunk.last}"
        except Exception as error:  # out of the agent it would make Faust's supervisor go on behind the chunk
            self._fail(shard, FoldError(chunk.topic, chunk.partition, chunk.first, chunk.last, error))
            log.debug("fold failed", exc_info=error)
            return
        shard.uncommitted_bytes += chunk.nbytes
        self.telemetry.folded(chunk, events)

    async def _misplaced(self, shard: Shard, chunk: Chunk) -> None:
        expected = shard.task.next_offset
        if chunk.last < expected:
            self.telemetry.stale.inc()
            return
        self.telemetry.gaps.inc()
        now = time.monotonic()
        if now - shard.sought_s < SEEK_PAUSE_S or self._consumer is None:
            return
        shard.sought_s = now
        log.info("seeking back", shard=str(shard), expected=expected, first=chunk.first, last=chunk.last)
        await self._consumer.seek_wait({shard.tp: expected})

    # -- commit ----------------------------------------------------------------------------------------------------

    async def commit_loop(self) -> None:
        """Begin a transaction of every shard with changes, every `commit_ms`; folding goes on meanwhile.

        The shards take turns within the interval: all at once they would wait for one another at the broker.
        """
        interval = self.options.commit_ms / 1000
        while not self._stopping:
            await asyncio.sleep(interval / TURNS)
            now = time.monotonic()
            for number, shard in enumerate(list(self.shards.values())):
                if not shard.due_s:
                    shard.due_s = now + interval * (number % TURNS) / TURNS
                if now >= shard.due_s and shard.committing is None:
                    shard.due_s = now + interval
                    self._begin_commit(shard, final=False)

    def _begin_commit(self, shard: Shard, final: bool) -> None:
        if not shard.live or shard.committing is not None:
            return
        try:
            batch = shard.task.take(time.time_ns() // 1_000_000, final)
        except Exception as error:  # whatever it is, it ends the worker
            upto = shard.task.next_offset
            self._fail(shard, FoldError(shard.tp.topic, shard.tp.partition, shard.upto, upto - 1, error))
            return
        shard.uncommitted_bytes = 0
        if batch is None:
            shard.room.set()
            return
        shard.committing = self._spawn(self._commit(shard, batch))

    async def _commit(self, shard: Shard, batch: Batch) -> None:
        started = time.monotonic()
        try:
            records = await shard.producer.run(self._write, shard, batch)
        except TransactionLostError as error:
            self._lose(shard, error)
        except Exception as error:  # a record that cannot be encoded is as fatal as a fold
            self._fail(shard, FoldError(shard.tp.topic, shard.tp.partition, shard.upto, batch.upto - 1, error))
        else:
            assert batch.upto >= shard.upto, f"{shard}: upto went back from {shard.upto} to {batch.upto}"
            if batch.upto > shard.upto:
                self._failures.pop(shard.tp, None)
            shard.upto = batch.upto
            self.telemetry.committed(shard.tp.topic, batch, records, time.monotonic() - started)
        finally:
            shard.committing = None
            shard.room.set()

    @staticmethod
    def _write(shard: Shard, batch: Batch) -> int:
        """In the shard's thread."""
        records = list(batch.records())
        shard.producer.commit(records, shard.is_dropped)
        return len(records)

    async def finish(self) -> None:
        """Commit what is folded; the worker stops."""
        self._stopping = True
        if self._rejoining is not None:
            self._rejoining.cancel()
        try:
            await asyncio.wait_for(self._commit_all(), FINISH_TIMEOUT_S)
        except TimeoutError:
            log.warning("last transactions not committed in time; the next owner folds them again")

    async def close(self) -> None:
        """Let go of all shards and their threads. Comes after the group's offsets, which ask the shards."""
        for tp in list(self.shards):
            self.drop(tp)
        await asyncio.gather(*self._background, return_exceptions=True)
        for producer in self._producers.values():
            producer.shutdown()

    async def _commit_all(self) -> None:
        for _ in range(2):  # the first round waits for what is in flight, the second takes what came behind it
            pending = [shard.committing for shard in self.shards.values() if shard.committing is not None]
            await asyncio.gather(*pending)
            for shard in list(self.shards.values()):
                self._begin_commit(shard, final=True)
        await asyncio.gather(*(shard.committing for shard in self.shards.values() if shard.committing is not None))

    # -- small things ----------------------------------------------------------------------------------------------

    def _plain(self, topic: str) -> str:
        return topic.removeprefix(self.options.prefix)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        """Work in the background ended. An error there leaves a shard without an owner, so the worker ends with it."""
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._stopping:
            log.error("worker ends", error=f"{type(error).__name__}: {error}")
            if self.failure is None:
                self.failure = error if isinstance(error, JinliuError) else BackgroundError(error)
            self.failed.set()


__all__ = ["Engine", "Shard", "WorkerError"]

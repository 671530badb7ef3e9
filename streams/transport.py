"""Faust's consumer with the engine's hooks: who owns a shard, where it goes on, and what counts as committed.

Order of a rebalance: `on_partitions_revoked` drops the shards, then Faust's own work; `on_partitions_assigned` says
what is ours; Faust awaits the signal `on_rebalance_complete`, in which the engine takes its shards over;
`perform_seek` then moves the consumer to each shard's next offset. Acks mean nothing here: Faust acks stale events it
skipped and restarts a failed agent behind the chunk that broke it, so the group's offset follows the committed
transactions and is for lag tools only.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.fetch import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import aiokafka

FETCH_MIN_BYTES = 1 << 20
"""The broker answers a fetch at once when it has so much: as much as one partition gives at most."""

FETCH_WAIT_MS = 50
"""Else it waits so long for more. With 1 byte and Faust's 1500 ms chunks hold a single batch each, and a fetch of idle
partitions keeps busy ones waiting.
"""


class Owner(Protocol):
    """What the consumer asks of the engine."""

    topics: frozenset[str]

    def owner_of(self, tp: TP) -> Any: ...

    def committed_offset(self, tp: TP) -> int | None: ...

    def positions(self) -> dict[TP, int]: ...

    def assign(self, assigned: set[TP]) -> None: ...

    def revoke(self, revoked: set[TP]) -> None: ...

    async def commit_loop(self) -> None: ...

    async def finish(self) -> None: ...

    async def close(self) -> None: ...


class _Unread(defaultdict[TP, int | None]):
    """Faust's read offsets, forgotten for the engine's topics.

    Faust drops a message below the offset it read last; after a seek back a late write of the old offset would make
    it drop the chunks that were fetched again. The engine judges by the shard's own next offset instead.
    """

    def __init__(self, topics: frozenset[str]) -> None:
        super().__init__(lambda: None)
        self._ours = topics

    def __getitem__(self, tp: TP) -> int | None:
        return None if tp.topic in self._ours else super().__getitem__(tp)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread aiokafka's consumer lives in: reads committed records only and survives a failed offset commit."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # Faust sets it only for its own exactly-once
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = FETCH_MIN_BYTES, FETCH_WAIT_MS
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        ours = {
            TopicPartition(tp.topic, tp.partition): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in self.assignment()
        }
        try:
            await self._ensure_consumer().commit(ours)
        except KafkaError as error:  # Faust would crash the app; the state does not depend on these offsets
            self.log.warning("group offsets not committed: %r", error)
            return False
        return len(ours) == len(offsets)

    async def rejoin(self) -> None:
        """Ask the group for a new assignment."""
        self._ensure_consumer()._coordinator.request_rejoin()


class Consumer(driver.Consumer):
    """Faust's consumer, driven by the engine for the engine's topics."""

    engine: ClassVar[Owner]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Unread(self.engine.topics)

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, Chunk):
            return super()._to_message(tp, record)
        record.owner = self.engine.owner_of(tp)
        return ConsumerMessage(
            record.topic,
            record.partition,
            record.last,
            record.wall_ms / 1000.0,
            0,
            [],
            None,
            cast("bytes", record),
            None,
            0,
            record.nbytes,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if tp.topic not in self.engine.topics:
            await super()._add_gap(tp, offset_from, offset_to)

    def _new_offset(self, tp: TP) -> int | None:
        if tp.topic not in self.engine.topics:
            return super()._new_offset(tp)
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.engine.committed_offset(tp)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        """All of the engine's: a shard taken over at the end of its log gets no chunk, whose ack would be the occasion
        to commit what the former owner did not come to.
        """
        for tp in self.engine.positions():
            self._acked.setdefault(tp, [])
        yield from super()._filter_tps_with_pending_acks(topics)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """Faust counts offsets as committed that were refused; at the end of a log nothing would commit them again."""
        committed: bool = await super()._commit_offsets(offsets, start_new_transaction)
        if not committed:
            for tp in offsets:
                self._committed_offset.pop(tp, None)
        return committed

    async def perform_seek(self) -> None:
        """Seek the engine's partitions to their shards' next offsets, all others to the committed ones."""
        await super().perform_seek()
        positions = self.engine.positions()
        if positions:
            await self.seek_wait(positions)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Drop the shards first: what they had in flight is fenced or committed by whoever comes next."""
        self.engine.revoke(revoked)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Tell the engine what is its, then Faust, which makes it take that over."""
        self.engine.assign(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def rejoin(self) -> None:
        """Ask the group for a new assignment, in the consumer's thread."""
        thread = cast("ConsumerThread", self._thread)
        await thread.call_thread(thread.rejoin)

    async def on_stop(self) -> None:
        """Commit what is folded, then leave the group at once."""
        await self.engine.finish()
        await super().on_stop()
        await self.engine.close()

    @driver.Consumer.task
    async def _commit_transactions(self) -> None:
        await self.engine.commit_loop()


def transport_for(engine: Owner) -> type[driver.Transport]:
    """A transport class whose consumers belong to `engine`."""
    consumer = type("EngineConsumer", (Consumer,), {"engine": engine, "__module__": __name__})
    return type("EngineTransport", (driver.Transport,), {"Consumer": consumer, "__module__": __name__})

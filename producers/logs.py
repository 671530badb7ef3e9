"""Reading topics with kafka-python: one-partition topics record by record, event partitions as raw batches."""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import kafka.errors
from kafka import KafkaConsumer
from kafka.protocol.consumer import FetchRequest
from kafka.structs import TopicPartition

from producers.errors import ProducerError, TopicMissingError
from schemas import wire
from schemas.errors import UnknownSchema, WireError
from schemas.recordbatch import RawBatch, split

log = logging.getLogger(__name__)

METADATA_S = 5.0
"""How long a topic that was only just created may stay unknown to the broker's metadata."""
READ_S = 60.0
FETCH_BYTES = 8 << 20
FETCH_VERSION = 12
"""Newest fetch request that names topics (13 wants topic ids)."""


def _consumer(broker: str, client_id: str) -> Any:
    try:
        return KafkaConsumer(
            bootstrap_servers=broker,
            client_id=client_id,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
    except kafka.errors.KafkaError as error:
        raise ProducerError(f"no Kafka broker answers at {broker}: {error}") from error


def partitions(consumer: Any, topic: str) -> int:
    """Number of partitions of a topic, once the broker's metadata has it. Raises TopicMissingError."""
    deadline = time.monotonic() + METADATA_S
    pause = threading.Event()
    while not (found := consumer.partitions_for_topic(topic)):
        if time.monotonic() > deadline:
            raise TopicMissingError(
                f"topic {topic} is not there: create the topics first (jinliu up, or jinliu clock --create-topics)"
            )
        pause.wait(0.1)
    return len(found)


@dataclass(frozen=True, slots=True)
class Entry:
    """A decoded record: schema `name` and `value`, both None for a tombstone."""

    key: bytes | None
    offset: int
    name: str | None
    value: dict[str, Any] | None


class TopicReader:
    """A one-partition topic from its beginning, in log order. Not thread-safe.

    Records that are not in the Confluent format with one of `ids` are passed over with a warning: anybody may write
    there.
    """

    def __init__(self, broker: str, topic: str, ids: Mapping[str, int], client_id: str) -> None:
        self._ids = ids
        self._consumer = _consumer(broker, client_id)
        self._place = TopicPartition(topic, 0)
        try:
            count = partitions(self._consumer, topic)
            if count != 1:
                raise TopicMissingError(f"topic {topic} has {count} partitions, but its order needs exactly one")
        except ProducerError:
            self._consumer.close()
            raise
        self._consumer.assign([self._place])
        self._consumer.seek(self._place, 0)

    def poll(self, timeout_s: float = 0.0) -> list[Entry]:
        """Records that have arrived since the last call; waits for the first one up to timeout_s."""
        polled = self._consumer.poll(timeout_ms=round(timeout_s * 1000))
        return [entry for records in polled.values() for record in records for entry in self._decoded(record)]

    def _decoded(self, record: Any) -> Iterator[Entry]:
        if record.value is None:
            yield Entry(record.key, record.offset, None, None)
            return
        try:
            name, value = wire.decode(record.value, self._ids)
        except (WireError, UnknownSchema) as error:
            log.warning("record %d of %s is passed over: %s", record.offset, record.topic, error)
            return
        yield Entry(record.key, record.offset, name, value)

    def read_to_end(self) -> list[Entry]:
        """Records up to where the log ends now. Raises ProducerError when the broker does not give them in time."""
        end = self._consumer.end_offsets([self._place])[self._place]
        deadline = time.monotonic() + READ_S
        records: list[Entry] = []
        while self._consumer.position(self._place) < end:
            records += self.poll(0.2)
            if time.monotonic() > deadline:
                raise ProducerError(f"{self._place.topic} could not be read to offset {end} within {READ_S:g} s")
        return records

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BatchLog:
    """Raw record batches of event partitions, by offset: what a source needs to find where it stopped.

    Sends fetch requests through the consumer's connection manager, private to kafka-python like `producer`'s seam.
    """

    def __init__(self, broker: str, client_id: str) -> None:
        self._consumer = _consumer(broker, client_id)

    def partitions(self, topic: str) -> int:
        """Number of partitions. Raises TopicMissingError."""
        return partitions(self._consumer, topic)

    def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset in the log and the offset after the last."""
        place = TopicPartition(topic, partition)
        return (
            self._consumer.beginning_offsets([place])[place],
            self._consumer.end_offsets([place])[place],
        )

    def batches(self, topic: str, partition: int, first: int, stop: int) -> Iterator[RawBatch]:
        """Batches that hold offsets first..stop-1; the outer ones may hold others too."""
        position = first
        while position < stop:
            data = self._fetch(topic, partition, position)
            before = position
            for batch in split(data):
                if batch.last_offset >= position:
                    yield batch
                    position = batch.last_offset + 1
                if position >= stop:
                    return
            if position == before:
                raise ProducerError(f"{topic}/{partition} ends at offset {position}, {stop} was expected")

    def _fetch(self, topic: str, partition: int, offset: int) -> bytes:
        manager = self._consumer._manager
        leader = manager.cluster.leader_for_partition(TopicPartition(topic, partition))
        wanted = FetchRequest.FetchTopic(
            topic=topic,
            partitions=[
                FetchRequest.FetchTopic.FetchPartition(
                    partition=partition, fetch_offset=offset, partition_max_bytes=FETCH_BYTES
                )
            ],
        )
        request = FetchRequest(
            max_wait_ms=500,
            min_bytes=1,
            max_bytes=FETCH_BYTES,
            isolation_level=0,
            session_id=0,
            session_epoch=-1,
            topics=[wanted],
            forgotten_topics_data=[],
            rack_id="",
            max_version=FETCH_VERSION,
        )

        async def fetch() -> Any:
            return await manager.send(request, node_id=leader)

        found = manager.run(fetch).responses[0].partitions[0]
        if found.error_code:
            error = kafka.errors.for_code(found.error_code)
            raise ProducerError(f"{topic}/{partition} could not be read at offset {offset}: {error.__name__}")
        return bytes(found.records or b"")

    def close(self) -> None:
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

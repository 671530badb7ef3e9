"""Reading topics: records one by one with librdkafka, event partitions as raw batches with kafka-python."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeVar, cast

import confluent_kafka as ck
import kafka.errors
from kafka import KafkaConsumer
from kafka.protocol.consumer import FetchRequest
from kafka.structs import TopicPartition

from producers.errors import ProducerError, TopicMissingError
from schemas import wire
from schemas.errors import CorruptBatch, UnknownSchema, WireError
from schemas.recordbatch import RawBatch, split

log = logging.getLogger(__name__)
_quiet = logging.getLogger("producers.librdkafka")
_quiet.setLevel(logging.CRITICAL + 1)  # what matters is raised; librdkafka would print it to stderr as well

Answer = TypeVar("Answer")

ANSWER_S, ASK_S, ASK_PAUSE_S = 30.0, 5.0, 0.1
"""How long the broker may take to answer a question, and one call of librdkafka: Python hears no signal meanwhile."""
METADATA_S = 5.0
"""How long a topic that was only just created may stay unknown to the broker's metadata."""
READ_S = 60.0
FETCH_BYTES = 8 << 20
FETCH_VERSION = 12
"""Newest fetch request that names topics (13 wants topic ids)."""

_UNREADABLE = frozenset(
    (
        ck.KafkaError._BAD_COMPRESSION,
        ck.KafkaError._BAD_MSG,
        ck.KafkaError._NOT_IMPLEMENTED,
        ck.KafkaError.INVALID_MSG,
        ck.KafkaError.MSG_SIZE_TOO_LARGE,
    )
)
"""Errors of one batch, which reading it again does not mend: such as zstd that unpacks to over 100 MB."""


class Record(NamedTuple):
    """A record as it lies in the log; without headers where one has a name that is not UTF-8."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, Any]]


def _record(place: TopicPartition, offset: int, message: Any) -> Record:
    return Record(place.topic, place.partition, offset, message.key(), message.value(), wire.headers(message))


class LogConsumer:
    """Partitions from their beginning, each in log order. Not thread-safe.

    By librdkafka, which unpacks every codec and takes any header. It has that part of kafka-python's consumer which its
    readers need. A batch that cannot be unpacked is passed over with a warning.

    Raises ProducerError where the broker does not answer.
    """

    def __init__(self, broker: str, client_id: str, isolation_level: str = "read_uncommitted") -> None:
        self._broker, self._client_id = broker, client_id
        self._positions: dict[TopicPartition, int] = {}
        self._reading = False
        self.trouble = ""
        """What has kept it from reading since the last record, in librdkafka's words."""
        try:
            self._consumer = ck.Consumer(
                {
                    "bootstrap.servers": broker,
                    "client.id": client_id,
                    "group.id": client_id,  # a must, and no more: partitions are assigned, offsets never committed
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": isolation_level,
                    "enable.partition.eof": True,
                    "allow.auto.create.topics": False,
                    "fetch.wait.max.ms": 100,  # a question behind such a fetch waits for so long, too
                    "fetch.queue.backoff.ms": 5,
                    "reconnect.backoff.max.ms": 1000,
                    "queued.max.messages.kbytes": 32 << 10,
                },
                logger=_quiet,
            )
        except ck.KafkaException as error:
            raise ProducerError(f"no Kafka broker can be asked at {broker}: {error.args[0].str()}") from error

    def _silent(self, error: ck.KafkaException) -> ProducerError:
        cause = error.args[0]
        said = "no Kafka broker answers" if _may_pass(cause) else "the Kafka broker refuses what it is asked"
        return ProducerError(f"{said} at {self._broker}: {cause.str()}")

    def _ask(self, call: Callable[[float], Answer], limit_s: float = ANSWER_S) -> Answer:
        """What `call` (of a time limit in seconds) returns, within limit_s. Raises ProducerError."""
        deadline = time.monotonic() + limit_s
        pause = threading.Event()
        while True:
            try:
                return call(min(ASK_S, limit_s))
            except ck.KafkaException as error:
                if time.monotonic() >= deadline or not _may_pass(error.args[0]):
                    raise self._silent(error) from error
            pause.wait(ASK_PAUSE_S)

    def topics(self) -> dict[str, set[int]]:
        """Partitions of every topic."""
        found = self._ask(lambda limit_s: self._consumer.list_topics(timeout=limit_s)).topics
        return {name: set(topic.partitions) for name, topic in found.items() if topic.error is None}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Its partitions; None for a topic that is not there."""
        found = self._ask(lambda limit_s: self._consumer.list_topics(topic, timeout=limit_s)).topics[topic]
        return set(found.partitions) if found.error is None else None

    def assign(self, places: Sequence[TopicPartition]) -> None:
        """Read these, from their beginning."""
        # From the first poll on: a fetch that waits at a partition's end would hold up the question where that is.
        self._positions, self._reading = dict.fromkeys(places, 0), False

    def end_offsets(self, places: Sequence[TopicPartition], limit_s: float = ANSWER_S) -> dict[TopicPartition, int]:
        """The offset after the last that may be read now, by partition."""
        asked = [_at(place, ck.OFFSET_END) for place in places]

        def ends(limit_s: float) -> dict[TopicPartition, int]:
            found = self._consumer.offsets_for_times(asked, timeout=limit_s)
            for each in found:
                if each.error is not None:  # such as no leader: the broker is only just coming up
                    raise ck.KafkaException(each.error)
            return {TopicPartition(each.topic, each.partition): each.offset for each in found}

        return self._ask(ends, limit_s)

    def position(self, place: TopicPartition) -> int:
        """The next offset."""
        return self._positions[place]

    def poll(self, timeout_ms: int = 0, max_records: int = 500) -> dict[TopicPartition, list[Record]]:
        """Records that have arrived since the last call; waits for something to come up to timeout_ms."""
        if not self._reading:
            self._consumer.assign([_at(place, offset) for place, offset in self._positions.items()])
            self._reading = True
        found: dict[TopicPartition, list[Record]] = {}
        for message in self._arrived(timeout_ms / 1000, max_records):
            place = TopicPartition(message.topic(), message.partition())
            offset, error = message.offset(), message.error()
            if error is not None:
                self._stumble(place, offset, error)
                continue
            self._positions[place], self.trouble = offset + 1, ""
            found.setdefault(place, []).append(_record(place, offset, message))
        return found

    def _arrived(self, timeout_s: float, most: int) -> list[Any]:
        """Messages and errors. `consume` alone would wait out its time unless so many come."""
        if timeout_s <= 0:
            return self._consumer.consume(most, 0.0)
        first = self._consumer.poll(timeout_s)
        return [] if first is None else [first, *self._consumer.consume(most, 0.0)]

    def _stumble(self, place: TopicPartition, offset: int | None, error: ck.KafkaError) -> None:
        """Take the end of a partition, or something that is no record."""
        ahead = place in self._positions and offset is not None and offset >= self._positions[place]
        if error.code() == ck.KafkaError._PARTITION_EOF:
            # Behind the last record there may be marks of transactions, or records that were aborted.
            if ahead:
                self._positions[place] = cast(int, offset)
            return
        self.trouble = error.str()
        if ahead and error.code() in _UNREADABLE:
            self._pass_over(place, cast(int, offset))

    def _pass_over(self, place: TopicPartition, offset: int) -> None:
        """Go on behind the batch at an offset. Should that fail: librdkafka stumbles over it again."""
        try:
            with BatchLog(self._broker, self._client_id) as batches:
                batches.partitions(place.topic)
                last = next(batches.batches(place.topic, place.partition, offset, offset + 1)).last_offset
            self._consumer.seek(_at(place, last + 1))
        except (ProducerError, CorruptBatch, kafka.errors.KafkaError, ck.KafkaException) as error:
            log.warning("%s partition %d cannot be read at offset %d: %s", place.topic, place.partition, offset, error)
            return
        log.warning(
            "%s partition %d: offsets %d to %d are passed over: %s; who else writes there?",
            place.topic, place.partition, offset, last, self.trouble,
        )  # fmt: skip
        self._positions[place] = last + 1

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()


def _at(place: TopicPartition, offset: int) -> ck.TopicPartition:
    return ck.TopicPartition(place.topic, place.partition, offset)


def _may_pass(error: ck.KafkaError) -> bool:
    """Whether asking again may help: no broker is there yet, or it is only just coming up."""
    return error.retriable() or error.code() in (
        ck.KafkaError._TRANSPORT, ck.KafkaError._TIMED_OUT, ck.KafkaError._ALL_BROKERS_DOWN, ck.KafkaError._RESOLVE,
        ck.KafkaError.LEADER_NOT_AVAILABLE, ck.KafkaError.NOT_LEADER_FOR_PARTITION,
    )  # fmt: skip


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
        self._consumer = LogConsumer(broker, client_id)
        self._place = TopicPartition(topic, 0)
        try:
            count = partitions(self._consumer, topic)
            if count != 1:
                raise TopicMissingError(f"topic {topic} has {count} partitions, but its order needs exactly one")
        except ProducerError:
            self._consumer.close()
            raise
        self._consumer.assign([self._place])

    def poll(self, timeout_s: float = 0.0) -> list[Entry]:
        """Records that have arrived since the last call; waits for the first one up to timeout_s."""
        polled = self._consumer.poll(timeout_ms=round(timeout_s * 1000))
        return [entry for records in polled.values() for record in records for entry in self._decoded(record)]

    def _decoded(self, record: Record) -> Iterator[Entry]:
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
                why = f": {self._consumer.trouble}" if self._consumer.trouble else ""
                raise ProducerError(f"{self._place.topic} could not be read to offset {end} within {READ_S:g} s{why}")
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

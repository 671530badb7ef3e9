"""The transactional producer of one shard, and the thread that all its Kafka calls run in.

One thread per shard, because a late `init_transactions` of a lost shard must never fence the newer producer that this
same process made for it. librdkafka keeps the state of a retriable transactional call: calling again resumes it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

import confluent_kafka as ck

from streams.failures import MissingTopicError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Result = TypeVar("Result")

_log = logging.getLogger("streams.librdkafka")
_log.setLevel(logging.CRITICAL + 1)  # every error that matters is raised; librdkafka would print it to stderr as well

TRANSACTION_TIMEOUT_MS = 10_000
"""The broker aborts a transaction left open for so long; a frozen worker holds readers up no longer."""

CALL_TIMEOUT_S = 5.0
"""One blocking call; retriable timeouts are resumed until `PATIENCE_S` or until the shard is dropped."""

PATIENCE_S = 60.0
"""How long a retriable error is resumed before the shard is given up."""

READ_BATCH = 1000
"""Records asked for at once when a partition is read to its end."""

_FENCED = frozenset(
    (
        ck.KafkaError._FENCED,
        ck.KafkaError.PRODUCER_FENCED,
        ck.KafkaError.INVALID_PRODUCER_EPOCH,
        ck.KafkaError.TRANSACTION_COORDINATOR_FENCED,
    )
)


class Record(NamedTuple):
    """One record of a transaction; partition -1 leaves the choice to the key's murmur2 hash, as Kafka's own clients."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class TransactionLostError(Exception):
    """The transaction did not commit, or nobody knows: drop the shard and take it over again."""


class FencedError(TransactionLostError):
    """A newer owner of the shard has fenced this producer."""


class DroppedError(TransactionLostError):
    """The shard was dropped while the call was waiting for the broker."""


class Partition(NamedTuple):
    """A topic partition without Faust's or Kafka's classes."""

    topic: str
    partition: int


class ShardProducer:
    """Transactions of one shard. All methods but `run`, `abandon` and `shutdown` belong to the shard's thread."""

    def __init__(self, broker: str, transactional_id: str, name: str) -> None:
        self._broker = broker
        self._id = transactional_id
        self._producer: ck.Producer | None = None
        self._thread = ThreadPoolExecutor(1, f"producer-{name}")

    async def run(self, call: Callable[..., Result], *args: object) -> Result:
        """Run `call` in the shard's thread, behind everything sent there before."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def shutdown(self) -> None:
        """Let the thread end when its queue is empty."""
        self._thread.shutdown(wait=False)

    # -- in the shard's thread -------------------------------------------------------------------------------------

    def open(self, dropped: Callable[[], bool]) -> None:
        """Fence the former owner and settle the transaction it left open.

        Raises:
            TransactionLostError: the broker refused or stayed silent.
        """
        producer = ck.Producer(
            {
                "bootstrap.servers": self._broker,
                "transactional.id": self._id,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                # Before compression, the broker's limit counts after it: a dead letter may unpack to 256 MB.
                "message.max.bytes": 300_000_000,
                "queue.buffering.max.kbytes": 256 << 10,
            },
            logger=_log,
        )
        _resume(producer.init_transactions, dropped)
        self._producer = producer

    def commit(self, records: Iterable[Record], dropped: Callable[[], bool]) -> None:
        """Write `records` in one transaction.

        Raises:
            FencedError: another owner has taken the shard over.
            TransactionLostError: any other error that calling again does not mend.
        """
        producer = self._producer
        if producer is None:
            raise DroppedError(f"{self._id} is closed")
        try:
            producer.begin_transaction()
            for record in records:
                _produce(producer, record, dropped)
        except ck.KafkaException as error:
            raise _lost(error) from error
        _resume(producer.commit_transaction, dropped)

    def close(self) -> FencedError | None:
        """Abort what is open. Returns the error if the producer found itself fenced, which is a newer owner's right."""
        producer, self._producer = self._producer, None
        if producer is None:
            return None
        try:
            producer.purge()
            producer.abort_transaction(CALL_TIMEOUT_S)
        except ck.KafkaException as error:
            lost = _lost(error)
            return (
                lost if isinstance(lost, FencedError) else None
            )  # no transaction open: the next init settles the rest
        return None


def _produce(producer: ck.Producer, record: Record, dropped: Callable[[], bool]) -> None:
    while True:
        try:
            producer.produce(record.topic, record.value, record.key, record.partition, headers=list(record.headers))
        except BufferError:
            if dropped():
                raise DroppedError(record.topic) from None
            producer.poll(0.1)
        else:
            return


def _resume(call: Callable[[float], object], dropped: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            call(CALL_TIMEOUT_S)
        except ck.KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise _lost(error) from error
            if dropped():
                raise DroppedError(str(error.args[0])) from error
        else:
            return


def _lost(error: ck.KafkaException) -> TransactionLostError:
    cause = error.args[0]
    return (FencedError if cause.code() in _FENCED else TransactionLostError)(str(cause))


class Reader:
    """Reads partitions from their start, committed records only. A context manager; one thread at a time."""

    def __init__(self, broker: str, group: str) -> None:
        self._consumer = ck.Consumer(
            {
                "bootstrap.servers": broker,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "allow.auto.create.topics": False,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 5,
                "queued.max.messages.kbytes": 32 << 10,
            },
            logger=_log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def bounds(self, where: Partition) -> tuple[int, int]:
        """First offset and last stable offset (the end for a reader of committed records).

        Raises:
            MissingTopicError: there is no such partition.
            TransactionLostError: the broker did not answer.
        """
        try:
            low, high = self._consumer.get_watermark_offsets(ck.TopicPartition(*where), timeout=30)
        except ck.KafkaException as error:
            if error.args[0].code() in (ck.KafkaError._UNKNOWN_PARTITION, ck.KafkaError.UNKNOWN_TOPIC_OR_PART):
                raise MissingTopicError(f"{where.topic}/{where.partition}") from error
            raise _lost(error) from error
        return low, high

    def read(self, where: Partition, first: int, stop: int) -> Iterator[Sequence[ck.Message]]:
        """Committed records with first <= offset < stop, in batches.

        Raises:
            TransactionLostError: the broker failed, or stayed silent for `PATIENCE_S`.
        """
        if first >= stop:
            return
        self._consumer.assign([ck.TopicPartition(where.topic, where.partition, first)])
        deadline = time.monotonic() + PATIENCE_S
        position = first
        while position < stop:
            batch = []
            for message in self._consumer.consume(READ_BATCH, 0.02):  # waits out the timeout unless READ_BATCH came
                error, offset = message.error(), message.offset()
                if error is not None and error.code() != ck.KafkaError._PARTITION_EOF:
                    raise TransactionLostError(str(error))
                assert offset is not None
                position = offset if error else offset + 1
                if error is None and offset < stop:
                    batch.append(message)
            if batch:
                deadline = time.monotonic() + PATIENCE_S
                yield batch
            elif time.monotonic() > deadline:
                raise TransactionLostError(f"{where.topic}/{where.partition} stayed silent at {position} of {stop}")
        self._consumer.unassign()

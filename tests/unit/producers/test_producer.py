"""The producer's own part, without a broker: back-pressure, and what a failed batch does to those behind it."""

import threading
from collections import defaultdict
from typing import Any

import kafka.errors
import pytest
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.structs import TopicPartition

from producers.batches import BATCH_BYTES, ReadyBatch
from producers.errors import SendError
from producers.producer import BatchProducer
from schemas.recordbatch import NONE


class Metadata:
    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0, 1} if topic == "payments" else None


class Sender:
    def __init__(self) -> None:
        self.woken = 0

    def wakeup(self) -> None:
        self.woken += 1


class Unconnected(BatchProducer):
    """A BatchProducer whose accumulator nobody drains."""

    def __init__(self, pending_bytes: int) -> None:
        self._gate = threading.Condition()
        self._pending_bytes = 0
        self._pending_limit = pending_bytes
        self._failure = None
        self._closed = True
        self.config = {"bootstrap_servers": "nowhere:1", "max_block_ms": 1}
        self._accumulator = RecordAccumulator()
        self._metadata = Metadata()
        self._sender: Any = Sender()

    def _wait_on_metadata(self, topic: str, max_wait_ms: float) -> set[int]:
        raise kafka.errors.KafkaTimeoutError("no metadata")

    def queued(self) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = defaultdict(list)
        for place, batches in self._accumulator._batches.items():
            found[place.partition] += batches
        return found


def batch(size: int = 100) -> ReadyBatch:
    return ReadyBatch(bytearray(size), 1, 5, NONE, size)


def drain(producer: Unconnected, partition: int) -> Any:
    """As the sender does it: out of the queue and on its way."""
    taken = producer._accumulator._batches[TopicPartition("payments", partition)].popleft()
    taken.drained = 1.0
    return taken


def test_batches_wait_in_order_and_are_counted_until_acknowledged() -> None:
    producer = Unconnected(1_000)
    done: list[str] = []
    first, second = batch(), batch(50)
    producer.send_ready("payments", 1, first, lambda: done.append("first"))
    producer.send_ready("payments", 1, second, lambda: done.append("second"))
    assert [found.records for found in producer.queued()[1]] == [first, second]
    assert producer.pending_bytes == 150
    assert producer._sender.woken == 2
    drain(producer, 1).complete(7, -1)
    assert (done, producer.pending_bytes) == (["first"], 50)


def test_more_than_the_limit_waits_for_acknowledgement() -> None:
    producer = Unconnected(150)
    producer.send_ready("payments", 0, batch())
    producer.send_ready("payments", 0, batch())
    third = threading.Thread(target=producer.send_ready, args=("payments", 0, batch()))
    third.start()
    assert len(producer.queued()[0]) == 2
    drain(producer, 0).complete(7, -1)
    third.join(10)
    assert not third.is_alive()
    assert producer.pending_bytes == 200


def test_a_failed_batch_drops_those_behind_it_and_fails_the_producer() -> None:
    producer = Unconnected(1_000)
    done: list[int] = []
    for number in range(3):
        producer.send_ready("payments", 0, batch(), lambda number=number: done.append(number))  # type: ignore[misc]
    producer.send_ready("payments", 1, batch())
    error = kafka.errors.NotEnoughReplicasError("too few")
    drain(producer, 0).complete_exceptionally(error, lambda index: error)
    assert producer.queued() == {0: [], 1: []}
    assert (done, producer.pending_bytes) == ([], 0)
    with pytest.raises(SendError, match=r"payments/0: NotEnoughReplicasError"):
        producer.check()
    with pytest.raises(SendError):
        producer.send_ready("payments", 1, batch())


def test_a_failure_wakes_whoever_waits_for_room() -> None:
    producer = Unconnected(100)
    producer.send_ready("payments", 0, batch())
    errors: list[SendError] = []

    def waits() -> None:
        try:
            producer.send_ready("payments", 1, batch())
        except SendError as error:
            errors.append(error)

    waiting = threading.Thread(target=waits)
    waiting.start()
    error = kafka.errors.KafkaTimeoutError("gone")
    drain(producer, 0).complete_exceptionally(error, lambda index: error)
    waiting.join(10)
    assert len(errors) == 1


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    producer = Unconnected(1_000)
    with pytest.raises(SendError, match="over the limit"):
        producer.send_ready("payments", 0, batch(BATCH_BYTES + 1))
    with pytest.raises(SendError, match="has 2 partitions, partition 2"):
        producer.send_ready("payments", 2, batch())
    with pytest.raises(SendError, match="create the topics first"):
        producer.send_ready("loans", 0, batch())

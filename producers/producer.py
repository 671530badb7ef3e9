"""kafka-python's producer, taking ready batches.

The seam is private to kafka-python: `KAFKA_PYTHON` is the version it was written against, and
tests/unit/producers/test_producer_seam.py fails loudly when it moves.
"""

import threading
from collections.abc import Callable
from typing import Any

import kafka.errors
from kafka import KafkaProducer
from kafka.producer.producer_batch import ProducerBatch
from kafka.structs import TopicPartition

from producers.batches import BATCH_BYTES, ReadyBatch
from producers.errors import SendError

KAFKA_PYTHON = "3.0.12"
PENDING_BYTES = 32 << 20
"""Bytes handed over and not yet acknowledged, at most; `send_ready` waits above it."""
REQUEST_BYTES = 8 << 20
"""Several partitions' batches travel in one produce request: at most one per partition is in flight (idempotence)."""
WAIT_S = 0.5
ABANDON_S = 1.0


class BatchProducer(KafkaProducer):  # type: ignore[misc]  # kafka-python is untyped
    """An idempotent KafkaProducer (acks=all) with `send_ready`; plain `send` stays for rare records.

    The first failed batch fails the producer: what was handed over and not yet sent is dropped, so that no partition
    gets a batch behind one that is missing, and every later call raises SendError. The log then ends at a whole
    prefix of each sequence, from which a restarted source goes on.
    """

    def __init__(self, broker: str, *, client_id: str, pending_bytes: int = PENDING_BYTES, **configs: Any) -> None:
        self._gate = threading.Condition()
        self._pending_bytes = 0
        self._pending_limit = pending_bytes
        self._failure: Exception | None = None
        super().__init__(
            bootstrap_servers=broker,
            client_id=client_id,
            acks="all",
            enable_idempotence=True,
            allow_auto_create_topics=False,
            max_request_size=REQUEST_BYTES,
            metrics_enabled=False,
            **configs,
        )
        # A batch split after MESSAGE_TOO_LARGE never completes its first future, and ours are cut small
        # enough: fail instead.
        self._sender._can_split = lambda batch, error: False

    def send_ready(
        self, topic: str, partition: int, batch: ReadyBatch, acknowledged: Callable[[], None] | None = None
    ) -> None:
        """Hand a batch over; waits while more than `pending_bytes` are unacknowledged.

        `acknowledged` is called from the sender's thread once every in-sync replica has the batch.
        Raises SendError when the batch is too large, the topic or partition is not there, or an earlier batch failed.
        """
        size = batch.size_in_bytes()
        if size > BATCH_BYTES:
            raise SendError(f"batch of {size} bytes for {topic}/{partition} is over the limit of {BATCH_BYTES}")
        self._check_partition(topic, partition)
        place = TopicPartition(topic, partition)
        ready = ProducerBatch(place, batch)

        def done(result: tuple[int, int, Callable[[int], Exception] | None]) -> None:
            self._completed(place, size, result[2], acknowledged)

        ready.produce_future.add_callback(done)
        with self._gate:
            while self._pending_bytes >= self._pending_limit and self._failure is None:
                self._gate.wait(WAIT_S)
            self.check()
            # Under the gate: a failure sets itself there first and then drops what was appended before.
            self._pending_bytes += size
            accumulator = self._accumulator
            with accumulator._tp_lock(place):
                accumulator._batches[place].append(ready)
                accumulator._incomplete.add(ready)
        self._sender.wakeup()

    def check(self) -> None:
        """Raise SendError when a batch has failed."""
        if self._failure is not None:
            raise SendError(str(self._failure)) from self._failure

    @property
    def pending_bytes(self) -> int:
        """Bytes handed over by `send_ready` and not yet acknowledged."""
        return self._pending_bytes

    def flush_all(self, timeout_s: float) -> None:
        """Wait until everything handed over is acknowledged. Raises SendError on a failure or after timeout_s."""
        try:
            self.flush(timeout=timeout_s)
        except kafka.errors.KafkaTimeoutError as error:
            self.check()
            raise SendError(
                f"the broker did not acknowledge everything within {timeout_s:g} s; is it running?"
            ) from error
        self.check()

    def abandon(self) -> None:
        """Close without sending what still waits; what is on its way is given a moment to be acknowledged."""
        with self._gate:
            if self._failure is None:
                self._failure = SendError("the producer was abandoned")
        self._accumulator.abort_undrained_batches(self._failure)
        try:
            self.close(timeout=ABANDON_S)
        except kafka.errors.KafkaTimeoutError:
            self._sender.force_close()

    def _check_partition(self, topic: str, partition: int) -> None:
        known = self._metadata.partitions_for_topic(topic)
        if known is None:
            try:
                known = self._wait_on_metadata(topic, self.config["max_block_ms"])
            except kafka.errors.KafkaError as error:
                raise SendError(
                    f"topic {topic} is not there: create the topics first (jinliu up, or jinliu clock --create-topics)"
                ) from error
        if partition not in known:
            raise SendError(f"topic {topic} has {len(known)} partitions, partition {partition} was asked for")

    def _completed(
        self,
        place: Any,
        size: int,
        failed: Callable[[int], Exception] | None,
        acknowledged: Callable[[], None] | None,
    ) -> None:
        first_failure = False
        with self._gate:
            self._pending_bytes -= size
            if failed is not None and self._failure is None:
                cause = failed(0)
                self._failure = SendError(
                    f"the broker at {self.config['bootstrap_servers']} did not take a batch of {size} bytes for "
                    f"{place.topic}/{place.partition}: {type(cause).__name__}: {cause}"
                )
                self._failure.__cause__ = cause
                first_failure = True
            self._gate.notify_all()
        if first_failure:
            self._accumulator.abort_undrained_batches(self._failure)
        if failed is None and acknowledged is not None:
            acknowledged()

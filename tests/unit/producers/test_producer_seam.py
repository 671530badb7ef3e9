"""The private seams to kafka-python: when one of these fails, read producers/producer.py and producers/logs.py
against the new version before moving the pin."""

import inspect
import re
from pathlib import Path

import kafka
import pytest
from kafka.consumer.group import KafkaConsumer
from kafka.future import Future
from kafka.net.manager import KafkaConnectionManager
from kafka.producer import producer_batch, record_accumulator, sender
from kafka.producer.kafka import KafkaProducer
from kafka.protocol.consumer import FetchRequest
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import TopicPartition

from producers.batches import ReadyBatch
from producers.producer import KAFKA_PYTHON

NOT_NEEDED = {"skip", "records"}  # compaction tests, and reading one's own batch back


def test_the_version_is_the_one_it_was_written_against() -> None:
    assert kafka.__version__ == KAFKA_PYTHON


def test_a_ready_batch_has_the_surface_of_a_records_builder() -> None:
    wanted = {name for name in vars(MemoryRecordsBuilder) if not name.startswith("_")} - NOT_NEEDED
    assert wanted <= set(dir(ReadyBatch))
    for name in (
        "set_producer_state",
        "append",
        "close",
        "size_in_bytes",
        "compression_rate",
        "is_full",
        "next_offset",
        "buffer",
    ):
        theirs = list(inspect.signature(getattr(MemoryRecordsBuilder, name)).parameters)
        assert list(inspect.signature(getattr(ReadyBatch, name)).parameters) == theirs, name


@pytest.mark.parametrize("module", [record_accumulator, producer_batch, sender])
def test_the_producer_asks_nothing_else_of_a_batch(module: object) -> None:
    source = Path(inspect.getfile(module)).read_text()  # type: ignore[arg-type]
    assert set(re.findall(r"\brecords\.([a-z_]+)\(", source)) - {"append"} <= set(dir(ReadyBatch))


def test_the_accumulator_keeps_batches_where_ours_are_put() -> None:
    accumulator = record_accumulator.RecordAccumulator()
    place = TopicPartition("t", 0)
    with accumulator._tp_lock(place):
        accumulator._batches[place].append("batch")
    accumulator._incomplete.add("batch")
    assert list(accumulator._batches) == [place]
    assert accumulator._incomplete.all() == ["batch"]
    assert list(inspect.signature(accumulator.abort_undrained_batches).parameters) == ["error"]


def test_a_finished_batch_tells_its_future_offset_time_and_failure() -> None:
    for failure in (None, kafka.errors.KafkaTimeoutError("late")):
        batch = producer_batch.ProducerBatch(TopicPartition("t", 0), None)
        seen: list[tuple[object, ...]] = []
        batch.produce_future.add_callback(seen.append)
        if failure is None:
            batch.complete(17, -1)
            assert seen == [(17, -1, None)]
        else:
            batch.complete_exceptionally(failure, lambda index, failure=failure: failure)
            assert seen[0][2](0) is failure  # type: ignore[operator]
    assert issubclass(type(batch.produce_future), Future)


def test_the_producer_and_sender_have_the_parts_used() -> None:
    source = inspect.getsource(KafkaProducer.__init__)
    for part in ("self._accumulator =", "self._sender =", "self._metadata ="):
        assert part in source
    assert list(inspect.signature(KafkaProducer._wait_on_metadata).parameters) == ["self", "topic", "max_wait_ms"]
    assert list(inspect.signature(sender.Sender._can_split).parameters) == ["self", "batch", "error"]
    assert "self._can_split(batch, error_cls)" in inspect.getsource(sender.Sender._dispatch_error)
    assert {"wakeup", "force_close"} <= set(dir(sender.Sender))
    assert "partitions_for_topic" in source + inspect.getsource(KafkaProducer._wait_on_metadata)


def test_raw_batches_can_be_fetched_through_the_connection_manager() -> None:
    assert "self._manager =" in inspect.getsource(KafkaConsumer.__init__)
    assert list(inspect.signature(KafkaConnectionManager.send).parameters)[:3] == ["self", "request", "node_id"]
    assert list(inspect.signature(KafkaConnectionManager.run).parameters)[:2] == ["self", "coro"]
    part = FetchRequest.FetchTopic.FetchPartition(partition=1, fetch_offset=2, partition_max_bytes=3)
    topic = FetchRequest.FetchTopic(topic="t", partitions=[part])
    request = FetchRequest(
        max_wait_ms=1, min_bytes=1, max_bytes=1, isolation_level=0, session_id=0, session_epoch=-1, topics=[topic],
        forgotten_topics_data=[], rack_id="", max_version=12,
    )  # fmt: skip
    assert request.topics[0].partitions[0].fetch_offset == 2

"""What a stranger writes on `runs`, `policies` or a metric topic is passed over, however it is packed."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence

import confluent_kafka as ck
import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.structs import TopicPartition

from jinliu.subscription import MetricReader
from producers.batches import ReadyBatch
from producers.logs import LogConsumer, TopicReader
from producers.options import Options
from producers.policies import CLOCK, HORIZON, Decision
from producers.producer import BatchProducer
from producers.runrecord import open_run, read_run, unfinished
from schemas import catalog, wire
from schemas.recordbatch import CODECS, frame, split
from tests.integration.source_log import Ticking, assert_whole, make_topics, options, tell
from tests.unit.jinliu.test_subscription import ROW
from tests.unit.schemas.reference import record

ROW_BYTES = wire.encode("accounting", ROW, catalog.ids())
LONG = b"junk" * 100
"""Shrinks in every codec."""


class Name(str):
    """A header name that is not UTF-8."""

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe\x80"


def put(broker: str, topic: str, *batches: tuple[str, Sequence[bytes]]) -> None:
    """Batches as (codec, encoded records), in this order, to a topic's first partition."""
    producer = BatchProducer(broker, client_id="stranger")
    try:
        for codec, records in batches:
            plain = b"".join(records)
            framed = frame(plain, len(records), 0, CODECS[codec])
            assert next(iter(split(bytes(framed)))).codec == CODECS[codec]
            producer.send_ready(topic, 0, ReadyBatch(framed, len(records), 1, CODECS[codec], len(plain)))
            producer.flush_all(60)
    finally:
        producer.close(timeout=60)


def strange(value: bytes | None = LONG) -> list[tuple[str, Sequence[bytes]]]:
    """A value in every codec, and behind a header name that is not UTF-8."""
    each = [(codec, [record(0, b"stranger", value)]) for codec in CODECS]
    return [*each, ("zstd", [record(0, b"stranger", value, [(Name("h"), b"x"), ("other", None)])])]


def bomb(value: bytes) -> tuple[str, Sequence[bytes]]:
    """Zstandard that unpacks to more than librdkafka takes, with a second record behind."""
    return "zstd", [record(0, b"stranger", bytes(110_000_000)), record(1, b"stranger", value)]


@pytest.fixture
def run(broker: str) -> Options:
    run = options(broker, ticks=20)
    make_topics(run)
    return run


def test_a_run_is_opened_told_and_read_among_them(run: Options, caplog: pytest.LogCaptureFixture) -> None:
    for topic in ("runs", "policies"):
        put(run.broker, run.topic(topic), *strange())
    opened = open_run(run)
    key = opened.id.encode()
    put(run.broker, run.topic("runs"), *strange(), ("snappy", [record(0, key, LONG)]))
    anchors = ("[" * 100_000, '{"at": 0, "wall": 0, "speed": "x"}', '{"at": 1e999, "wall": 0, "speed": 1}')
    forged = [wire.encode("policy", Decision(HORIZON, text, 0, CLOCK).record(), catalog.ids()) for text in anchors]
    put(run.broker, run.topic("policies"), *(("none", [record(0, b"horizon", value)]) for value in forged))
    with Ticking(run):
        assert tell(run).closed
    assert_whole(run)
    assert read_run(run.broker, run.prefix) == opened == open_run(run)
    assert unfinished(run, catalog.ids(), opened) == ()
    assert "unreadable anchor" in caplog.text


def test_what_no_client_can_unpack_is_passed_over_whole(run: Options, caplog: pytest.LogCaptureFixture) -> None:
    opened = open_run(run)
    put(run.broker, run.topic("runs"), bomb(LONG), ("none", [record(0, b"k", LONG)]))
    with TopicReader(run.broker, run.topic("runs"), catalog.ids(), "test") as reader:
        assert [entry.key for entry in reader.read_to_end()] == [opened.id.encode()]
        assert reader.poll() == []
    assert f"{run.topic('runs')} partition 0: offsets 1 to 2 are passed over" in caplog.text
    assert f"record 3 of {run.topic('runs')} is passed over" in caplog.text
    assert read_run(run.broker, run.prefix) == opened


def test_rows_are_read_in_every_codec(broker: str, caplog: pytest.LogCaptureFixture) -> None:
    prefix = f"strangers-{uuid.uuid4().hex[:8]}."
    topic = f"{prefix}metrics.accounting"
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(name=topic, num_partitions=1, replication_factor=1)])
    admin.close()
    many = [(codec, [record(i, b"k", ROW_BYTES) for i in range(20)]) for codec in CODECS]
    named = ("none", [record(0, b"k", ROW_BYTES, [(Name("h"), b"x")])])
    with MetricReader(["accounting"], broker, prefix) as reader, caplog.at_level(logging.WARNING):
        assert list(reader.to_end()) == []
        put(broker, topic, *strange(), bomb(LONG), *many, named)
        assert len(list(reader.to_end())) == 20 * len(CODECS) + 1
        _transactions(broker, topic)
        rows = [row for _, row in reader.to_end()]
        assert [row.folded for row in rows] == [6]
        assert list(reader.to_end()) == []
    assert len([line for line in caplog.messages if "is no row of metric accounting" in line]) == len(strange())


def _transactions(broker: str, topic: str) -> None:
    """One that is aborted, one that is committed, one that is aborted."""
    producer = ck.Producer({"bootstrap.servers": broker, "transactional.id": topic})
    producer.init_transactions(60)
    for end in (producer.abort_transaction, producer.commit_transaction, producer.abort_transaction):
        producer.begin_transaction()
        producer.produce(topic, ROW_BYTES, b"k")
        producer.flush(60)
        end(60)


def test_the_end_of_committed_records_lies_before_an_open_transaction(broker: str, run: Options) -> None:
    place = TopicPartition(run.topic("runs"), 0)
    producer = ck.Producer({"bootstrap.servers": broker, "transactional.id": run.prefix})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(place.topic, LONG, b"k", partition=0)
    producer.flush(60)
    for isolation, end in (("read_committed", 0), ("read_uncommitted", 1)):
        consumer = LogConsumer(broker, "test", isolation)
        assert consumer.end_offsets([place]) == {place: end}
        consumer.close()
    producer.abort_transaction(60)
